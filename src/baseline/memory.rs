//! One actor's baseline: what it has just done, what it usually does, and the judgement of a moment by both.
//!
//! A moment is judged by what the days before have taught; a day teaches when it is over. For any moment the score can
//! only rise while more calls of the same time come in, so that what was said stays true, and it is the same for any order
//! of arrival within [`super::track::REACH`].

mod reading;
mod spend;

use serde::{Deserialize, Serialize};

use super::calibration::Curves;
use super::channel::{CHANNELS, Channel, Class, Score, TAILS};
use super::habits::{Habits, Known, NewRates, Noted, Sight};
use super::half::Half;
use super::peers::PeerView;
use super::profile::{BUCKETS_A_DAY, EFFECT_FLOOR, Profile};
use super::tail::Tail;
use super::track::{Track, looked_at};
use crate::stats::ring::{BUCKET, TooOld};
use crate::time::HOUR;

pub use reading::Comparison;
use spend::{ClosedSpend, OpenSpend, Purse, SpendModel};
pub use spend::{SPEND_TAILS, SpendComparison, SpendLesson, SpendPeers, Spent};

/// Hours after midnight UTC from which a moment is judged by what the day before has taught.
pub const MODEL_SWITCH: i64 = 3 * HOUR;
/// Days that the plot shows.
pub const PLOT_DAYS: usize = 28;
/// Buckets after the switch for which the model before it is kept, for calls of before it that come late.
const OLD_MODEL_BUCKETS: i64 = HOUR / BUCKET;
/// Added to a pace before its ratio is taken.
const PACE_FLOOR: f64 = 5.0;

/// No day was begun: 1970 has no Bedrock.
const NO_DAY: i32 = 0;

/// The last day whose lessons a moment is judged by.
pub const fn last_known_day(slot: i64) -> i64 {
    (slot - MODEL_SWITCH / BUCKET).div_euclid(BUCKETS_A_DAY) - 1
}

/// What the days have taught.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Model {
    profile: Profile,
    tails: [Tail; TAILS],
    rates: NewRates,
    spend: SpendModel,
    /// Active days that were learned.
    days: u16,
}

/// A day that is not over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct OpenDay {
    day: i32,
    /// Calls by hour.
    hours: [u32; 24],
    /// Highest raw value by channel.
    highest: [Half; TAILS],
    /// Highest surprise by channel, highest of all together, and the rarity of that.
    surprises: [Half; CHANNELS],
    together: Half,
    rarity: Half,
    spend: OpenSpend,
}

impl OpenDay {
    fn starting(day: i64) -> Self {
        Self { day: day as i32, highest: [Half::LOWEST; TAILS], ..Self::default() }
    }

    const fn day(&self) -> i64 {
        self.day as i64
    }

    fn is_active(&self) -> bool {
        self.hours.iter().any(|calls| *calls > 0)
    }
}

/// A closed day that the fleet has not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ClosedDay {
    day: i32,
    class: Class,
    surprises: [Half; CHANNELS],
    together: Half,
    rarity: Half,
    busiest_hour: u32,
    spend: ClosedSpend,
}

/// One actor's baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    track: Track,
    model: Model,
    /// The model of before the last switch, while calls of before it may still come.
    before: Option<Box<Model>>,
    today: OpenDay,
    /// The day before today while it is not closed: for three hours after midnight.
    yesterday: Option<Box<OpenDay>>,
    closed: ClosedDay,
    habits: Habits,
    /// What was spent lately; only of those who spend.
    purse: Option<Box<Purse>>,
    /// Last day that `model` has learned, idle ones too.
    learned: i32,
    /// Busiest hour of the last days, `[day mod 28]`.
    busiest: [Half; PLOT_DAYS],
    /// Newest hour in which the actor counted into its crowd, and for it and the seven before: bit n of the first byte for
    /// unusual, of the second for paced.
    crowd_hour: i32,
    crowd_bits: [u8; 2],
    /// The first day, once any was begun; else [`NO_DAY`].
    first_day: i32,
    /// Whether the next day that is learned counts as it is: somebody has said that it is how things are now.
    is_acknowledged: bool,
}

/// What a moment is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a, K> {
    /// The peers.
    pub peers: &'a PeerView,
    /// The peers as of the last counted day, and of the one before; and which day that is.
    pub views: [&'a PeerView; 2],
    /// The last counted day.
    pub counted: i64,
    /// The fleet's curves.
    pub curves: &'a Curves,
    /// The same for spending.
    pub spend_curves: &'a Curves,
    /// Micro-dollars that are added to both sides of a ratio of money.
    pub spend_floor: f64,
    /// Values that others use.
    pub known: K,
    /// Days on which nobody did anything: an outage of the records, more likely than of the company.
    pub silent: &'a [i32],
    /// Rarity that the crowd of the hours before takes away.
    pub discount: f64,
    /// Rarity that is added for newcomers, of whom little can be known.
    pub newcomer_bonus: f64,
    /// Whether the actor is a machine.
    pub is_machine: bool,
}

impl<'a, K> Reference<'a, K> {
    /// What is added to the rarity of an actor of this class.
    pub fn bonus(&self, class: Class) -> f64 {
        if class == Class::Newcomer { self.newcomer_bonus } else { 0.0 }
    }

    /// The peers by which a day is learned: those of the day before, whenever it is learned.
    fn peers_of(&self, day: i64) -> &'a PeerView {
        self.views[usize::from(self.counted > day - 1)]
    }
}

/// Whether a moment counts into the crowd: unusual, and paced, each once an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joins {
    /// Unusual for the first time in this hour.
    pub unusual: bool,
    /// Paced for the first time in this hour.
    pub paced: bool,
}

impl Baseline {
    /// Takes calls of one context in. Says what of it is used for the first time. Without `learns` they count in
    /// the windows of this moment and teach nothing.
    ///
    /// # Errors
    /// [`TooOld`] where they are too late for any window; nothing is changed then.
    pub fn add<K: Known>(
        &mut self,
        slot: i64,
        calls: u32,
        sight: &Sight,
        reference: &Reference<'_, K>,
        learns: bool,
    ) -> Result<Noted, TooOld> {
        let day = slot.div_euclid(BUCKETS_A_DAY);
        self.begin(day, slot, reference);
        let before = (self.track.newest() == slot).then(|| self.track.count(slot));
        self.track.add(slot, calls)?;
        if !learns {
            return Ok(Noted::default());
        }
        if let Some(open) = self.open_day(day) {
            let hour = &mut open.hours[(slot.rem_euclid(BUCKETS_A_DAY) / 12) as usize];
            *hour = hour.saturating_add(calls);
        }
        let rates = self.model_at(slot).rates;
        let mut noted = self.habits.note((slot, day), calls, sight, &rates, reference.peers, &reference.known);
        let is_between_steps = before.is_some_and(|before| looked_at(before) == looked_at(before.saturating_add(calls)));
        noted.changes_nothing = is_between_steps && !self.habits.has_fresh();
        Ok(noted)
    }

    /// Slots whose score calls in `slot` may have changed: itself and those after it in which the actor was active.
    pub fn touched(&self, slot: i64) -> impl Iterator<Item = i64> + use<> {
        self.track.active_from(slot)
    }

    /// Makes the day of `slot` the present one where it is newer, and closes days whose lessons `slot` is judged by.
    fn begin<K: Known>(&mut self, day: i64, slot: i64, reference: &Reference<'_, K>) {
        if self.first_day == NO_DAY {
            self.first_day = day as i32;
            self.today = OpenDay::starting(day);
            self.learned = day as i32 - 1;
        }
        if day < self.today.day() && self.yesterday.is_none() {
            self.reopen(day);
        }
        if day > self.today.day() {
            let over = std::mem::replace(&mut self.today, OpenDay::starting(day));
            if over.is_active() {
                // Two days cannot be open: the older one is over for certain.
                if let Some(older) = self.yesterday.take() {
                    self.learn_day(&older, reference);
                }
                self.yesterday = Some(Box::new(over));
            }
        }
        let known = last_known_day(slot);
        if known > self.learned() {
            let is_near_switch = slot < (known + 1) * BUCKETS_A_DAY + MODEL_SWITCH / BUCKET + OLD_MODEL_BUCKETS;
            // What the call before the switch would have learned comes first: it may come later.
            self.learn_until(known - 1, reference);
            self.before = is_near_switch.then(|| Box::new(self.model.clone()));
            self.learn_until(known, reference);
        } else if self.before.is_some() && slot.rem_euclid(BUCKETS_A_DAY) >= MODEL_SWITCH / BUCKET + OLD_MODEL_BUCKETS + super::track::REACH
        {
            self.before = None;
        }
    }

    /// Opens the day before today for a call that comes late, where nothing of it was seen in order.
    fn reopen(&mut self, day: i64) {
        if self.model.days == 0 && day < i64::from(self.first_day) && self.learned() + 1 == i64::from(self.first_day) {
            (self.first_day, self.learned) = (day as i32, day as i32 - 1);
        }
        if day > self.learned() {
            self.yesterday = Some(Box::new(OpenDay::starting(day)));
        }
    }

    /// Learns all days up to `day`.
    fn learn_until<K: Known>(&mut self, day: i64, reference: &Reference<'_, K>) {
        self.learn_active(day, reference);
        self.idle_until(day, reference.silent);
    }

    /// Learns the active days up to `day`, for whoever closes days without a call. Idle ones wait for the next call: it is
    /// known by then whether they were everybody's.
    pub fn learn_active<K: Known>(&mut self, day: i64, reference: &Reference<'_, K>) {
        if self.first_day == NO_DAY || day <= self.learned() {
            return;
        }
        if self.today.day() <= day && self.today.is_active() {
            if let Some(older) = self.yesterday.take() {
                self.learn_day(&older, reference);
            }
            let over = std::mem::replace(&mut self.today, OpenDay::starting(day + 1));
            self.learn_day(&over, reference);
        } else if let Some(over) = self.yesterday.take_if(|open| open.day() <= day) {
            self.learn_day(&over, reference);
        }
    }

    fn idle_until(&mut self, day: i64, silent: &[i32]) {
        if day > self.learned() {
            self.model.profile.learn_idle(self.learned() + 1, day, silent);
            for idle in (self.learned() + 1).max(day - PLOT_DAYS as i64 + 1)..=day {
                self.busiest[idle.rem_euclid(PLOT_DAYS as i64) as usize] = Half::ZERO;
                self.note_busiest_spend(idle, Half::ZERO);
            }
            self.learned = day as i32;
        }
    }

    fn learn_day<K: Known>(&mut self, open: &OpenDay, reference: &Reference<'_, K>) {
        if open.day() <= self.learned() {
            return;
        }
        self.idle_until(open.day() - 1, reference.silent);
        let (days, fully) = (self.model.days, std::mem::take(&mut self.is_acknowledged));
        let busiest_hour = open.hours.iter().copied().max().unwrap_or(0);
        self.closed = ClosedDay {
            day: open.day,
            class: Class::of(reference.is_machine, days),
            surprises: open.surprises,
            together: open.together,
            rarity: open.rarity,
            busiest_hour,
            spend: ClosedSpend::default(),
        };
        let peers = reference.peers_of(open.day());
        let calls: f64 = open.hours.iter().map(|calls| f64::from(*calls)).sum();
        self.closed.spend = self.model.spend.learn(&open.spend, calls, &peers.spend, fully);
        self.note_busiest_spend(open.day(), open.spend.busiest);
        self.model.profile.learn(open.day(), &open.hours, days, peers, fully);
        for (channel, tail) in self.model.tails.iter_mut().enumerate() {
            tail.learn(open.highest[channel].get(), days, &peers.tails[channel], fully);
        }
        self.habits.learn(open.day(), days == 0, &mut self.model.rates, &reference.known);
        self.busiest[open.day().rem_euclid(PLOT_DAYS as i64) as usize] = Half::new(f64::from(busiest_hour));
        self.model.days = days.saturating_add(1);
        self.learned = open.day;
    }

    fn learned(&self) -> i64 {
        i64::from(self.learned)
    }

    fn open_day(&mut self, day: i64) -> Option<&mut OpenDay> {
        if self.today.day() == day {
            return Some(&mut self.today);
        }
        self.yesterday.as_deref_mut().filter(|open| open.day() == day)
    }

    /// The model that judges `slot`.
    fn model_at(&self, slot: i64) -> &Model {
        match &self.before {
            Some(before) if last_known_day(slot) < self.learned() => before,
            _ => &self.model,
        }
    }

    /// The raw values of the channels that have tails.
    fn values(&self, slot: i64, model: &Model, peers: &PeerView, is_machine: bool) -> [f64; TAILS] {
        let (ten, hour) = model.profile.expected(slot, model.days, peers);
        let spare = self.track.spare(slot);
        let calls = |buckets| f64::from(self.track.sum(slot, buckets) - spare);
        let ratio = |calls: f64, expected: f64, floor: f64| ((calls + floor) / (expected + floor)).ln();
        [
            ratio(calls(2), ten, EFFECT_FLOOR),
            ratio(calls(12), hour, EFFECT_FLOOR),
            ratio(f64::from(self.track.steady(slot)), ten / 2.0, PACE_FLOOR),
            f64::from(self.track.run(slot)).ln_1p(),
            model.profile.oddness(&self.track, slot, is_machine, peers),
        ]
    }

    /// Judges a moment, and remembers for its day how far it reached where `learns`.
    pub fn judge<K>(&mut self, slot: i64, reference: &Reference<'_, K>, learns: bool) -> Score {
        let model = self.model_at(slot);
        let (values, days) = (self.values(slot, model, reference.peers, reference.is_machine), model.days);
        let class = Class::of(reference.is_machine, days);
        let mut surprises = [0.0; CHANNELS];
        for (channel, value) in values.iter().enumerate() {
            surprises[channel] = model.tails[channel].surprise(*value, days, &reference.peers.tails[channel]);
        }
        surprises[Channel::Context as usize] = self.habits.novelty(slot);
        let score = Score::of(&surprises, reference.curves, class, reference.discount, reference.bonus(class));
        if learns && let Some(open) = self.open_day(slot.div_euclid(BUCKETS_A_DAY)) {
            for (highest, value) in open.highest.iter_mut().zip(values) {
                *highest = highest.max(value);
            }
            for (highest, surprise) in open.surprises.iter_mut().zip(surprises) {
                *highest = highest.max(surprise);
            }
            open.together = open.together.max(score.together);
            open.rarity = open.rarity.max(score.rarity);
        }
        score
    }

    /// Somebody has said that what is unusual about the actor is how it is from now on: the present day teaches fully.
    pub const fn acknowledge(&mut self) {
        self.is_acknowledged = true;
    }

    /// Whether a judged moment counts into its hour's crowd for the first time.
    pub fn join_crowd(&mut self, slot: i64, score: &Score) -> Joins {
        let hour = slot.div_euclid(12) as i32;
        let ahead = hour - self.crowd_hour;
        if ahead > 0 {
            self.crowd_bits = self.crowd_bits.map(|bits| if ahead >= 8 { 0 } else { bits << ahead });
            self.crowd_hour = hour;
        }
        let mut joined = [false; 2];
        let reaches = [score.alone >= super::crowd::UNUSUAL, f64::from(score.channels[Channel::Steady as usize]) >= super::crowd::PACED];
        for (which, reaches) in reaches.into_iter().enumerate() {
            let bit = 1u8.checked_shl((self.crowd_hour - hour).max(0) as u32).unwrap_or(0);
            joined[which] = reaches && self.crowd_bits[which] & bit == 0 && bit != 0;
            if joined[which] {
                self.crowd_bits[which] |= bit;
            }
        }
        Joins { unusual: joined[0], paced: joined[1] }
    }
}
