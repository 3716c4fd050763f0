//! Seeded chance.
//!
//! Everything random is drawn from a *stream*: a generator that is named by the
//! company's seed and a few numbers (what for, who, which day). Two streams never
//! disturb each other, so a person's Tuesday is the same whether or not anybody
//! asked for Monday, and a change to one script leaves all other traffic as it was.

/// What a stream is for; the first part of its name.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    Estate = 1,
    Person,
    Workday,
    Session,
    BaseSession,
    SignIn,
    BaseSignIn,
    Calls,
    Machine,
    MachineDay,
    KeyUser,
    Delivery,
    Vacation,
    Attack,
    Load,
    LoadIdentity,
    CensusPerson,
    CensusDay,
    CensusDelivery,
    FleetWorld,
    FleetIdentity,
    FleetDay,
    FleetAttack,
}

/// One stream of chance.
#[derive(Clone, Debug)]
pub(crate) struct Random(fastrand::Rng);

/// The alphabet of AWS's unique ids (base 32).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Random {
    /// The stream of that name.
    pub(crate) fn stream(seed: u64, purpose: Purpose, name: &[u64]) -> Self {
        let start = mix(seed ^ mix(purpose as u64));
        Self(fastrand::Rng::with_seed(name.iter().fold(start, |state, part| mix(state ^ part))))
    }

    /// 0 ≤ result < `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.usize(..bound) }
    }

    /// `low` ≤ result ≤ `high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.i64(low..=high.max(low))
    }

    /// 0 ≤ result < 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Nearly normal with mean 0 and deviation 1, never beyond ±6.
    ///
    /// A sum of twelve uniforms and no Box–Muller: it needs no logarithm, whose last
    /// bit differs between platforms, and its bounded tails keep honest people honest.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.0.f64()).sum::<f64>() - 6.0
    }

    /// Lognormal around `median`, cut to a factor of `most` on either side.
    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64, most: f64) -> f64 {
        let factor = (sigma * self.normal()).exp();
        median * factor.clamp(1.0 / most, most)
    }

    /// `low` ≤ result < `high`, every value alike.
    pub(crate) fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// `low` ≤ result < `high`, every order of magnitude alike.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// Pareto from `least` on, cut at `most`: the mean of an uncut one would depend on its single largest draw.
    pub(crate) fn pareto(&mut self, least: f64, tail_index: f64, most: f64) -> f64 {
        (least * (1.0 - self.unit()).powf(-1.0 / tail_index)).min(most)
    }

    /// How often something happens that happens `mean` times on average (Poisson, for small means).
    pub(crate) fn occurrences(&mut self, mean: f64) -> u32 {
        let limit = (-mean).exp();
        let (mut count, mut product) = (0, self.unit());
        while product > limit {
            count += 1;
            product *= self.unit();
        }
        count
    }

    /// `value` as a whole number, up or down by chance so that the mean stays.
    pub(crate) fn whole(&mut self, value: f64) -> u32 {
        (value + self.unit()) as u32
    }

    /// Brings `items` into an order of chance.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// 128 bits for an id in UUID form.
    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid(self.0.u64(..), self.0.u64(..))
    }

    /// `prefix` and sixteen base-32 letters: access keys (`ASIA…`, `AKIA…`) and
    /// unique ids (`AROA…`, `AIDA…`).
    pub(crate) fn unique_id(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 16);
        id.push_str(prefix);
        let mut bits = u128::from(self.0.u64(..)) << 64 | u128::from(self.0.u64(..));
        for _ in 0..16 {
            id.push(char::from(BASE32[(bits & 31) as usize]));
            bits >>= 5;
        }
        id
    }

    /// `length` hexadecimal digits, as in instance and endpoint ids.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(HEX[self.0.usize(..16)])).collect()
    }

    /// `length` lower-case letters and digits, as in guardrail ids.
    pub(crate) fn lower(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(LOWER[self.0.usize(..36)])).collect()
    }
}

/// An id in UUID form, written lazily so that the bulk stream allocates nothing for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uuid(u64, u64);

impl Uuid {
    /// Appends the 36 characters.
    pub(crate) fn write(self, out: &mut String) {
        // Version 4, variant 1, as in CloudTrail's own ids.
        let high = self.0 & !0xf000 | 0x4000;
        let low = self.1 & !(0b11 << 62) | (0b10 << 62);
        for (digits, shift_from) in [(8, 64), (4, 32), (4, 16)] {
            write_hex(out, high, shift_from, digits);
            out.push('-');
        }
        write_hex(out, low, 64, 4);
        out.push('-');
        write_hex(out, low, 48, 12);
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(36);
        self.write(&mut text);
        formatter.write_str(&text)
    }
}

fn write_hex(out: &mut String, value: u64, from_bit: u32, digits: u32) {
    for digit in 1..=digits {
        let nibble = value >> (from_bit - 4 * digit) & 0xf;
        out.push(char::from(HEX[nibble as usize]));
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_distinct() {
        let draw = |name: &[u64]| Random::stream(7, Purpose::Calls, name).uuid().to_string();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
    }

    /// A changed sequence would silently change every committed expectation.
    #[test]
    fn the_sequence_behind_a_seed_is_fixed() {
        let mut random = Random::stream(1, Purpose::Estate, &[]);
        assert_eq!(random.uuid().to_string(), "b018aafe-c04f-4e9c-b6e1-2b74b66ccf72");
        let key = random.unique_id("ASIA");
        assert_eq!(key.len(), 20);
        assert!(key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
    }

    #[test]
    fn the_normal_has_the_moments_it_claims() {
        let mut random = Random::stream(3, Purpose::Calls, &[]);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
