//! What an actor spends, judged as its calls are.
//!
//! There is no second profile: what an hour is expected to cost is what it is expected to have in calls, times what a call
//! of this actor costs. What that misses (long prompts in the morning) is part of the spread of its daily maxima.

use serde::{Deserialize, Serialize};

use super::{Baseline, Known, PLOT_DAYS, Reference, TooOld};
use crate::baseline::calibration::DayScore;
use crate::baseline::channel::{CHANNELS, Channel, Class, Score};
use crate::baseline::half::Half;
use crate::baseline::peers::PeerView;
use crate::baseline::profile::BUCKETS_A_DAY;
use crate::baseline::tail::{Tail, TailPrior};
use crate::baseline::track::REACH;

/// Channels of spending: ten minutes and an hour, the first two of [`Channel`].
pub const SPEND_TAILS: usize = 2;
/// Buckets that are kept: an hour's window and how late a call may come.
const BUCKETS: usize = 24;
/// Weight of a new day in what a call costs.
const RATE_DECAY: f64 = 0.08;
/// Days that the peers' cost of a call weighs.
const PEER_DAYS: f64 = 2.0;
/// Days that the actor's own weighs at most.
const OWN_DAYS_MAX: f64 = 12.0;
/// A day teaches at most this many times what its calls were expected to cost.
const WINSOR_FACTOR: f64 = 8.0;
/// Micro-dollars in a cent.
const CENT: f64 = 10_000.0;

/// Money and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Millionths of a dollar.
    pub micros: u64,
    /// Tokens of every kind.
    pub tokens: u64,
}

/// What was spent lately. Whole numbers, so that the order of arrival changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Purse {
    newest: i64,
    micros: [u32; BUCKETS],
    tokens: [u32; BUCKETS],
    /// Most of an hour on each of the last days, `[day mod 28]`, in micro-dollars.
    busiest: [Half; PLOT_DAYS],
}

impl Default for Purse {
    fn default() -> Self {
        Self { newest: i64::MIN / 4, micros: [0; BUCKETS], tokens: [0; BUCKETS], busiest: [Half::ZERO; PLOT_DAYS] }
    }
}

impl Purse {
    fn add(&mut self, slot: i64, spent: Spent) -> Result<(), TooOld> {
        if slot < self.newest - REACH {
            return Err(TooOld);
        }
        if slot > self.newest {
            for skipped in (self.newest + 1).max(slot - BUCKETS as i64 + 1)..=slot {
                (self.micros[index(skipped)], self.tokens[index(skipped)]) = (0, 0);
            }
            self.newest = slot;
        }
        let add = |into: &mut u32, what: u64| *into = into.saturating_add(u32::try_from(what).unwrap_or(u32::MAX));
        add(&mut self.micros[index(slot)], spent.micros);
        add(&mut self.tokens[index(slot)], spent.tokens);
        Ok(())
    }

    /// Micro-dollars and tokens of the `buckets` buckets up to `slot`.
    fn sum(&self, slot: i64, buckets: i64) -> (f64, f64) {
        let kept = (slot - buckets + 1).max(self.newest - BUCKETS as i64 + 1)..=slot.min(self.newest);
        kept.fold((0.0, 0.0), |(micros, tokens), slot| {
            (micros + f64::from(self.micros[index(slot)]), tokens + f64::from(self.tokens[index(slot)]))
        })
    }
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(BUCKETS as i64) as usize
}

/// What the days have taught about spending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SpendModel {
    /// Decayed money and calls of days with any money: what a call costs.
    micros: Half,
    calls: Half,
    tails: [Tail; SPEND_TAILS],
    /// Days with any.
    days: u16,
}

/// A day's spending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenSpend {
    micros: u64,
    /// Highest raw values, and how far they reached.
    highest: [Half; SPEND_TAILS],
    surprises: [Half; SPEND_TAILS],
    together: Half,
    rarity: Half,
    /// Most of an hour, in micro-dollars.
    pub(super) busiest: Half,
}

/// A closed day's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ClosedSpend {
    surprises: [Half; SPEND_TAILS],
    together: Half,
    rarity: Half,
    busiest: Half,
}

/// What the peers spend.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpendPeers {
    /// ln of what a call costs in micro-dollars, on average over the peers.
    pub call: f64,
    /// What the peers' tails say.
    pub tails: [TailPrior; SPEND_TAILS],
    /// Median of the peers' busiest hours, in cents; 0 where nothing is known.
    pub busiest_hour: u32,
}

impl Default for SpendPeers {
    /// A cent a call, and wide tails.
    fn default() -> Self {
        Self { call: CENT.ln(), tails: [TailPrior::default(); SPEND_TAILS], busiest_hour: 0 }
    }
}

/// What one actor teaches its peers about spending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpendLesson<'a> {
    /// ln of what a call costs.
    pub call: f64,
    /// The tails.
    pub tails: &'a [Tail; SPEND_TAILS],
    /// Days behind them.
    pub days: u16,
}

/// What spending was compared with, for the sentence. Money in dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpendComparison {
    /// In ten minutes and in an hour.
    pub dollars: [f64; SPEND_TAILS],
    /// Tokens in the same.
    pub tokens: [f64; SPEND_TAILS],
    /// What was expected.
    pub expected: [f64; SPEND_TAILS],
    /// Most of an hour in the last 28 days.
    pub busiest_hour: f64,
    /// Days with any spending behind the model.
    pub days: u16,
}

impl SpendModel {
    /// What a call costs in micro-dollars, own and peers' together.
    fn call(&self, peers: &SpendPeers) -> f64 {
        let own_days = f64::from(self.days).min(OWN_DAYS_MAX);
        let own = if self.calls.get() > 0.0 && self.micros.get() > 0.0 { (self.micros.get() / self.calls.get()).ln() } else { peers.call };
        ((own_days * own + PEER_DAYS * peers.call) / (own_days + PEER_DAYS)).exp()
    }

    /// Learns a day on which `calls` were made. `fully` as in [`Tail::learn`].
    pub(super) fn learn(&mut self, open: &OpenSpend, calls: f64, peers: &SpendPeers, fully: bool) -> ClosedSpend {
        let OpenSpend { micros, highest, surprises, together, rarity, busiest } = *open;
        if micros == 0 {
            return ClosedSpend::default();
        }
        let most = WINSOR_FACTOR * self.call(peers) * calls.max(1.0);
        let learned = if fully { micros as f64 } else { (micros as f64).min(most) };
        let blend = |old: Half, new: f64| Half::new(old.get() * (1.0 - RATE_DECAY) + RATE_DECAY * new);
        (self.micros, self.calls) = (blend(self.micros, learned), blend(self.calls, calls.max(1.0)));
        for (channel, tail) in self.tails.iter_mut().enumerate() {
            tail.learn(highest[channel].get(), self.days, &peers.tails[channel], fully);
        }
        self.days = self.days.saturating_add(1);
        ClosedSpend { surprises, together, rarity, busiest }
    }
}

impl Baseline {
    /// Takes in what calls of a bucket cost. Without `learns` it counts in the windows of this moment and teaches nothing.
    ///
    /// # Errors
    /// [`TooOld`] where it is too late for any window; nothing is changed then.
    pub fn spend<K: Known>(&mut self, slot: i64, spent: Spent, reference: &Reference<'_, K>, learns: bool) -> Result<(), TooOld> {
        let day = slot.div_euclid(BUCKETS_A_DAY);
        self.begin(day, slot, reference);
        self.purse.get_or_insert_default().add(slot, spent)?;
        if learns && let Some(open) = self.open_day(day) {
            open.spend.micros = open.spend.micros.saturating_add(spent.micros);
        }
        Ok(())
    }

    fn spent(&self, slot: i64, buckets: i64) -> (f64, f64) {
        self.purse.as_ref().map_or((0.0, 0.0), |purse| purse.sum(slot, buckets))
    }

    /// Expected micro-dollars in ten minutes and an hour.
    fn expected_spend(&self, slot: i64, peers: &PeerView) -> [f64; SPEND_TAILS] {
        let model = self.model_at(slot);
        let (ten, hour) = model.profile.expected(slot, model.days, peers);
        let call = model.spend.call(&peers.spend);
        [ten * call, hour * call]
    }

    /// Judges what was spent up to a moment, and remembers for its day how far it reached where `learns`.
    pub fn judge_spend<K>(&mut self, slot: i64, reference: &Reference<'_, K>, learns: bool) -> Score {
        let peers = reference.peers;
        let floor = reference.spend_floor;
        let expected = self.expected_spend(slot, peers);
        let sums = [self.spent(slot, 2).0, self.spent(slot, 12).0];
        let model = self.model_at(slot);
        let class = Class::of(reference.is_machine, model.days);
        let (mut values, mut surprises) = ([0.0; SPEND_TAILS], [0.0; CHANNELS]);
        for channel in 0..SPEND_TAILS {
            values[channel] = ((sums[channel] + floor) / (expected[channel] + floor)).ln();
            surprises[channel] = model.spend.tails[channel].surprise(values[channel], model.spend.days, &peers.spend.tails[channel]);
        }
        let score = Score::of(&surprises, reference.spend_curves, class, reference.discount, reference.bonus(class));
        if learns && let Some(open) = self.open_day(slot.div_euclid(BUCKETS_A_DAY)) {
            let open = &mut open.spend;
            for channel in 0..SPEND_TAILS {
                open.highest[channel] = open.highest[channel].max(values[channel]);
                open.surprises[channel] = open.surprises[channel].max(surprises[channel]);
            }
            open.together = open.together.max(score.together);
            open.rarity = open.rarity.max(score.rarity);
            open.busiest = open.busiest.max(sums[Channel::Hour as usize]);
        }
        score
    }

    /// What spending was compared with.
    pub fn spend_comparison(&self, slot: i64, peers: &PeerView) -> SpendComparison {
        let dollars = |micros: f64| micros / 1e6;
        let (ten, hour) = (self.spent(slot, 2), self.spent(slot, 12));
        let busiest = self.purse.as_ref().map_or(0.0, |purse| purse.busiest.iter().map(|half| half.get()).fold(0.0, f64::max));
        SpendComparison {
            dollars: [dollars(ten.0), dollars(hour.0)],
            tokens: [ten.1, hour.1],
            expected: self.expected_spend(slot, peers).map(dollars),
            busiest_hour: dollars(busiest),
            days: self.model_at(slot).spend.days,
        }
    }

    /// Dollars of the busiest hour of each of the last 28 learned days, the oldest first.
    pub fn spend_plot(&self) -> [f32; PLOT_DAYS] {
        let all = self.purse.as_ref().map_or([0.0; PLOT_DAYS], |purse| self.last_days(&purse.busiest));
        all.map(|micros| micros / 1e6)
    }

    /// Remembers the busiest hour of a day that was learned.
    pub(super) fn note_busiest_spend(&mut self, day: i64, busiest: Half) {
        if let Some(purse) = &mut self.purse {
            purse.busiest[day.rem_euclid(PLOT_DAYS as i64) as usize] = busiest;
        }
    }

    /// What `day` reached in spending, where there was any and it is closed. `tie` settles between equals.
    pub fn spend_day_score(&self, day: i64, tie: u64) -> Option<DayScore> {
        let closed = &self.closed;
        let spend = &closed.spend;
        let mut surprises = [0.0; CHANNELS];
        surprises.iter_mut().zip(spend.surprises).for_each(|(wide, half)| *wide = half.get());
        (i64::from(closed.day) == day && spend.busiest.get() > 0.0).then(|| DayScore {
            class: closed.class,
            surprises,
            together: spend.together.get(),
            rarity: spend.rarity.get(),
            tie,
        })
    }

    /// Money of the busiest hour of the closed day, in cents.
    pub fn busiest_spend_cents(&self) -> u32 {
        (self.closed.spend.busiest.get() / CENT) as u32
    }

    /// Whether it has ever spent anything.
    pub const fn has_spent(&self) -> bool {
        self.purse.is_some()
    }

    /// What the actor teaches its peers about spending.
    pub fn spend_lesson(&self) -> Option<SpendLesson<'_>> {
        let model = &self.model.spend;
        let is_known = model.days > 0 && model.micros.get() > 0.0 && model.calls.get() > 0.0;
        is_known.then(|| SpendLesson { call: (model.micros.get() / model.calls.get()).ln(), tails: &model.tails, days: model.days })
    }
}
