//! What a score means: how many identity-days of this fleet reached it.
//!
//! A channel's own idea of rarity is off by orders of magnitude (measured: what a channel calls 1 in 1,000 happens up to
//! once in 50). So each channel's daily maxima of the whole fleet are counted, by class, with a half-life of 45 days, and a
//! score is read off: the share of identity-days that reached it; beyond the top few per cent an exponential tail.
//!
//! Attacks must not teach the fleet that attacks are normal. Identity-days that would have alerted enter only as far as the
//! twice the budget allows for them; what exceeds it is taken for what it was called. The first days of all, when nobody is known and
//! everything looks rare, stay in the count: they make its tail wide until real days have filled it (leaving them out was
//! measured: three to five times the budget was spent).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::channel::{CHANNELS, CLASSES, Class};

/// Width of a bin of scores.
const BIN: f64 = 0.05;
/// Bins; scores beyond the last are counted in it.
const BINS: usize = 400;
/// Share that older days keep: half after 45.
const KEEP: f64 = 0.984_714;
/// Days from which alerting days enter only within the budget. Before that the sample is too small to tell a rare day from
/// an attack, and whatever it left out would make it smaller still.
const GUARDED_FROM: u32 = 28;
/// Fewer days than this make no curve.
const DAYS_MIN: f64 = 50.0;
/// Fewest days beyond the point from which the tail is exponential.
const TAIL_DAYS_MIN: f64 = 20.0;

/// Counts of daily maxima by score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    bins: Vec<f64>,
    /// Identity-days, those without activity too.
    days: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0.0; BINS], days: 0.0 }
    }
}

impl Histogram {
    /// Counts the maximum of an active day.
    pub fn record(&mut self, score: f64) {
        if score > 0.0 {
            self.bins[((score / BIN) as usize).min(BINS - 1)] += 1.0;
        }
    }

    /// Lets a day pass and takes its counts in, with its identity-days, active or not.
    fn take(&mut self, counted: &Self, days: f64) {
        for (bin, count) in self.bins.iter_mut().zip(&counted.bins) {
            *bin = *bin * KEEP + count;
        }
        self.days = self.days * KEEP + days;
    }

    /// The curve; the tail is exponential beyond the top `share` of active days.
    pub fn curve(&self, share: f64) -> Curve {
        let active: f64 = self.bins.iter().sum();
        if active < DAYS_MIN {
            return Curve::default();
        }
        let wanted = (share * active).max(TAIL_DAYS_MIN);
        let mut beyond = 0.0;
        let mut from = BINS;
        while from > 0 && beyond < wanted {
            from -= 1;
            beyond += self.bins[from];
        }
        let start = from as f64 * BIN;
        let middle = |bin: usize| (bin as f64 + 0.5) * BIN - start;
        let excess = (from..BINS).map(|bin| self.bins[bin] * middle(bin)).sum::<f64>() / beyond;
        // Nothing reaches what has not been seen more often than half a day of the sample.
        let rarity = |count: f64| -((count + 0.5) / (self.days + 1.0)).log10();
        let mut above = active;
        let mut body = Vec::with_capacity(from + 1);
        for bin in 0..from {
            body.push(rarity(above) as f32);
            above -= self.bins[bin];
        }
        body.push(rarity(beyond) as f32);
        Curve {
            start,
            slope: 1.0 / (excess.max(BIN / 2.0) * std::f64::consts::LN_10),
            body,
            days: self.days,
            most: (self.days + 1.0).log10(),
        }
    }
}

/// From a score to −log10 of the share of identity-days that reach it. Rises with the score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Rarity at the left edge of each bin, the last at `start`. Empty: nothing is known.
    body: Vec<f32>,
    /// The score from which the tail is exponential.
    start: f64,
    /// Rarity per score beyond it.
    slope: f64,
    days: f64,
    /// Rarity of one day of the sample.
    most: f64,
}

impl Curve {
    /// The rarity of `score`. Without a curve half the score: an order, not a rate.
    pub fn rarity(&self, score: f64) -> f64 {
        let Some(last) = self.body.last() else { return 0.5 * score.max(0.0) };
        if score >= self.start {
            return self.bounded(f64::from(*last) + (score - self.start) * self.slope);
        }
        let place = (score / BIN).max(0.0);
        let index = (place as usize).min(self.body.len() - 1);
        let (left, right) = (f64::from(self.body[index]), f64::from(self.body[(index + 1).min(self.body.len() - 1)]));
        (left + (right - left) * (place - index as f64)).max(0.0)
    }

    /// What is rarer than anything in the sample keeps its order, not its rate: no sample tells a thousand years from a
    /// million, and one channel that believes it did would drown all others.
    fn bounded(&self, rarity: f64) -> f64 {
        let most = self.most;
        if rarity <= most { rarity } else { most + (1.0 + rarity - most).log10() }
    }

    /// Whether there is a sample behind it.
    pub const fn is_known(&self) -> bool {
        !self.body.is_empty()
    }

    /// Identity-days behind the curve: nothing rarer than one of them can be claimed.
    pub const fn days(&self) -> f64 {
        self.days
    }
}

/// Share of active days beyond which a channel's tail is exponential.
const CHANNEL_TAIL: f64 = 0.02;
/// The same for all channels together.
const TOGETHER_TAIL: f64 = 0.05;
/// As many alerting days are counted as this many budgets: with one, honest but rare days would never be learned.
const BUDGETS: f64 = 2.0;
/// Identity-days that would have alerted and are waiting to be counted, in budgets: a month's.
const ALLOWANCE_MAX: f64 = 30.0;

/// All counts of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    channels: [[Histogram; CHANNELS]; CLASSES],
    together: [Histogram; CLASSES],
    /// Alerting days that may still be counted.
    allowance: [f64; CLASSES],
    /// Days that were counted.
    pub days: u32,
}

/// What one actor's day reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayScore {
    /// Its class on that day.
    pub class: Class,
    /// Each channel's highest surprise.
    pub surprises: [f64; CHANNELS],
    /// The highest of all together.
    pub together: f64,
    /// The rarity that this was taken for.
    pub rarity: f64,
    /// What settles between equal rarities.
    pub tie: u64,
}

/// The day that is being counted. Whole counts, so that the order of actors changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    seen: [u64; CLASSES],
    is_active: bool,
    channels: [[Histogram; CHANNELS]; CLASSES],
    together: [Histogram; CLASSES],
    /// Days that would have alerted.
    alerting: Vec<DayScore>,
}

/// Most days kept back; beyond it they are left out.
const ALERTING_MAX: usize = 100_000;

impl Counting {
    /// Whether nobody was active.
    pub const fn is_silent(&self) -> bool {
        !self.is_active
    }

    /// Counts an actor that was seen before, active or not.
    pub fn see(&mut self, class: Class) {
        self.seen[class as usize] += 1;
    }

    /// Counts an active day. `alerts_from` is the rarity from which it would have alerted.
    pub fn record(&mut self, day: &DayScore, alerts_from: f64) {
        self.is_active = true;
        if day.rarity < alerts_from {
            self.add(day);
        } else if self.alerting.len() < ALERTING_MAX {
            self.alerting.push(*day);
        }
    }

    fn add(&mut self, day: &DayScore) {
        for (histogram, surprise) in self.channels[day.class as usize].iter_mut().zip(day.surprises) {
            histogram.record(surprise);
        }
        self.together[day.class as usize].record(day.together);
    }
}

impl Calibration {
    /// Takes a whole day in. `budget` is the share of identity-days that may alert.
    pub fn take(&mut self, mut day: Counting, budget: f64) {
        let is_open = self.days < GUARDED_FROM;
        day.alerting.sort_by(|a, b| a.rarity.total_cmp(&b.rarity).then(a.tie.cmp(&b.tie)));
        for (allowance, seen) in self.allowance.iter_mut().zip(day.seen) {
            let seen = seen as f64;
            let most = (ALLOWANCE_MAX * budget * seen).max(ALLOWANCE_MAX);
            *allowance = (*allowance + BUDGETS * budget * seen).min(most);
        }
        for alerting in std::mem::take(&mut day.alerting) {
            let allowance = &mut self.allowance[alerting.class as usize];
            if is_open || *allowance >= 1.0 {
                *allowance -= if is_open { 0.0 } else { 1.0 };
                day.add(&alerting);
            }
        }
        for class in 0..CLASSES {
            let seen = day.seen[class] as f64;
            for (histogram, counted) in self.channels[class].iter_mut().zip(&day.channels[class]) {
                histogram.take(counted, seen);
            }
            self.together[class].take(&day.together[class], seen);
        }
        self.days += 1;
    }

    /// All curves.
    pub fn curves(&self) -> Curves {
        Curves {
            channels: [0, 1, 2].map(|class: usize| self.channels[class].each_ref().map(|histogram| histogram.curve(CHANNEL_TAIL))),
            together: self.together.each_ref().map(|histogram| histogram.curve(TOGETHER_TAIL)),
        }
    }
}

/// Curves as of the last counted day, and of the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    calibration: Calibration,
    curves: [Arc<Curves>; 2],
}

impl Scale {
    /// Takes a whole day in, where anybody was active. `budget` is the share of identity-days that may alert.
    pub fn take(&mut self, day: Counting, budget: f64) {
        let newest = if day.is_silent() {
            Arc::clone(&self.curves[0])
        } else {
            self.calibration.take(day, budget);
            Arc::new(self.calibration.curves())
        };
        let before = std::mem::replace(&mut self.curves[0], newest);
        self.curves[1] = before;
    }

    /// The curves, `age` days old: 0 or 1.
    pub fn curves(&self, age: usize) -> &Curves {
        &self.curves[age]
    }

    /// Days that were counted.
    pub const fn days(&self) -> u32 {
        self.calibration.days
    }
}

/// The curves by which scores are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    channels: [[Curve; CHANNELS]; CLASSES],
    together: [Curve; CLASSES],
}

impl Curves {
    /// The curve of a channel.
    pub fn channel(&self, class: Class, channel: usize) -> &Curve {
        &self.channels[class as usize][channel]
    }

    /// The curve of all channels together.
    pub fn together(&self, class: Class) -> &Curve {
        &self.together[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days whose maxima are exponential with mean 0.5, at their quantiles.
    fn filled(days: u32) -> Histogram {
        let mut histogram = Histogram::default();
        (0..days).for_each(|n| histogram.record(-0.5 * (f64::from(n) + 0.5).ln() + 0.5 * f64::from(days).ln()));
        histogram.days = f64::from(days);
        histogram
    }

    #[test]
    fn a_curve_gives_back_the_share_of_days() {
        let curve = filled(20_000).curve(0.02);
        for exponent in [0.5, 1.0, 2.0, 3.0, 4.0f64] {
            let score = 0.5 * exponent * std::f64::consts::LN_10;
            assert!((curve.rarity(score) - exponent).abs() < 0.15, "{exponent}: {}", curve.rarity(score));
        }
    }

    #[test]
    fn a_curve_rises() {
        let curve = filled(3_000).curve(0.05);
        let all: Vec<f64> = (0..3_000).map(|step| curve.rarity(f64::from(step) * 0.01)).collect();
        assert!(all.is_sorted(), "{all:?}");
        assert!(!Histogram::default().curve(0.02).is_known());
    }

    fn day(rarity: f64, together: f64) -> DayScore {
        DayScore { class: Class::Human, surprises: [together; CHANNELS], together, rarity, tie: (together * 1e6) as u64 }
    }

    #[test]
    fn a_wave_of_attacks_hardly_moves_the_curve() {
        let (mut calm, mut attacked) = (Calibration::default(), Calibration::default());
        for day_number in 0..80 {
            let (mut one, mut two) = (Counting::default(), Counting::default());
            let attacks = if day_number < 40 { 0 } else { 30 };
            for n in 0..1_000 {
                let score = -0.5 * ((f64::from(n) + 0.5) / 1_000.0).ln();
                for counting in [&mut one, &mut two] {
                    counting.see(Class::Human);
                    counting.record(&day(score * 0.87, score), 3.0);
                }
            }
            (0..attacks).for_each(|n| two.record(&day(6.0, 8.0 + f64::from(n) * 0.1), 3.0));
            calm.take(one, 0.001);
            attacked.take(two, 0.001);
        }
        let rarity = |calibration: &Calibration| calibration.curves().together(Class::Human).rarity(3.5);
        assert!((rarity(&calm) - rarity(&attacked)).abs() < 0.5, "{} {}", rarity(&calm), rarity(&attacked));
    }

    #[test]
    fn the_order_of_actors_changes_nothing() {
        let counted = |order: &mut dyn Iterator<Item = u32>| {
            let mut counting = Counting::default();
            order.for_each(|n| {
                counting.see(Class::Human);
                counting.record(&day(f64::from(n) * 0.04, f64::from(n) * 0.05), 3.0);
            });
            let mut calibration = Calibration::default();
            calibration.take(counting, 0.01);
            calibration
        };
        assert_eq!(counted(&mut (0..100)), counted(&mut (0..100).rev()));
    }
}
