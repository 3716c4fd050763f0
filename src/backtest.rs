//! Backtests over counts: the baselines as the engine has them, fed with calls by identity and five minutes.
//!
//! No clock and no files: rows in, scores and alerts out. Time is the rows' own; where rows say when they arrived, they are
//! handled in that order, as a consumer that lags behind would.

pub mod score;

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::baseline::fleet::{CohortId, Fleet, FleetSettings, Measure};
use crate::baseline::profile::BUCKETS_A_DAY;
use crate::baseline::story::{Step, Story};
use crate::baseline::{Baseline, Campaign, Channel, Comparison, Score, Sight};
use crate::stats::ring::{BUCKET, TooOld};
use crate::time::{HOUR, MINUTE};

/// How late a row may come and still count as if in order, in buckets (15 minutes).
const LATENESS: i64 = 15 * MINUTE / BUCKET;
/// Buckets after midnight when the day before is counted: four hours.
const PASS_AFTER: i64 = 4 * HOUR / BUCKET;
/// Buckets behind the newest before which nothing may still come.
const SETTLED_AFTER: i64 = 30 * MINUTE / BUCKET;
/// A row this many buckets ahead of all others has a wrong clock, unless the next rows are there too.
const AHEAD_MAX: i64 = BUCKETS_A_DAY;
/// Days that are counted one by one after a silence.
const SILENCE_MAX: i64 = 60;
/// Most rows that wait for others to show that time has really passed.
const PARKED_MAX: usize = 10_000;

/// Calls of one identity in one bucket, from one context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bucket since 1970.
    pub slot: i64,
    /// Bucket in which the row arrived; `slot` where that is not known.
    pub arrived: i64,
    /// Who.
    pub identity: Arc<str>,
    /// The group whose members are its peers.
    pub group: Arc<str>,
    /// Whether it is a machine.
    pub is_machine: bool,
    /// Calls.
    pub calls: u32,
    /// The context.
    pub sight: Sight,
}

/// A score of one identity and bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Bucket since 1970.
    pub slot: i64,
    /// Who.
    pub identity: Arc<str>,
    /// The judgement.
    pub score: Score,
}

/// An alert about one identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Who.
    pub identity: Arc<str>,
    /// Its group.
    pub group: Arc<str>,
    /// The leading channel.
    pub channel: Channel,
    /// Why it is said.
    pub step: Step,
    /// Bucket in which it began, in which the threshold was reached, and in which that was known.
    pub onset: i64,
    /// The bucket that is spoken of.
    pub slot: i64,
    /// The bucket of arrival.
    pub raised: i64,
    /// The numbers.
    pub comparison: Comparison,
    /// Median of the peers' busiest hours.
    pub group_median: u32,
    /// −log10 of the share of identity-days that reach as far.
    pub rarity: f64,
    /// Identity-days behind that.
    pub sample: f64,
}

/// What a backtest says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A moment was judged.
    Score(Box<Scored>),
    /// An identity is alerted on.
    Alert(Box<Raised>),
    /// A group is.
    Campaign(Campaign),
}

/// What a backtest counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacktestCounts {
    /// Rows that were taken in.
    pub rows: u64,
    /// Rows older than lateness: judged where a window still holds them, and not learned.
    pub late: u64,
    /// Rows too old for any window: not judged.
    pub too_late: u64,
    /// Rows from a wrong clock: left out.
    pub future: u64,
    /// Days that were counted.
    pub days: u64,
    /// Identity-days since calibration: what false alerts are measured against.
    pub live_identity_days: u64,
    /// Of these, days with an alert.
    pub alerted_days: u64,
}

#[derive(Debug)]
struct Actor {
    identity: Arc<str>,
    group: Arc<str>,
    cohort: CohortId,
    baseline: Baseline,
    story: Story,
    /// The newest day with an alert.
    alerted: i64,
    /// Slots to be judged when the present bucket of arrival is over, and whether they teach.
    touched: Vec<(i64, bool)>,
}

/// A backtest over counts.
#[derive(Debug)]
pub struct Backtest {
    fleet: Fleet,
    actors: Vec<Actor>,
    ids: HashMap<Arc<str>, usize>,
    /// Newest bucket.
    newest: i64,
    /// The bucket of arrival, and in it the bucket that is taken in.
    present: (i64, i64),
    pending: Vec<usize>,
    parked: Vec<Row>,
    counted: Option<i64>,
    counts: BacktestCounts,
}

impl Backtest {
    /// A backtest that knows nothing.
    pub fn new(settings: FleetSettings) -> Self {
        Self {
            fleet: Fleet::new(settings),
            actors: Vec::new(),
            ids: HashMap::new(),
            newest: i64::MIN / 4,
            present: (i64::MIN / 4, i64::MIN / 4),
            pending: Vec::new(),
            parked: Vec::new(),
            counted: None,
            counts: BacktestCounts::default(),
        }
    }

    /// What was counted.
    pub const fn counts(&self) -> &BacktestCounts {
        &self.counts
    }

    /// How many identities there are.
    pub fn identities(&self) -> usize {
        self.actors.len()
    }

    /// Takes a row in. `said` hears what is to be said.
    pub fn handle(&mut self, row: Row, said: &mut impl FnMut(Said)) {
        let is_ahead = self.newest > 0 && row.slot - self.newest > AHEAD_MAX;
        if is_ahead && self.parked.len() < PARKED_MAX {
            // Nobody else is there yet: either everybody was silent for a day, or this clock is wrong.
            let is_confirmed = self.parked.last().is_some_and(|parked| (0..=AHEAD_MAX).contains(&(row.slot - parked.slot)));
            self.parked.push(row);
            if is_confirmed && self.parked.iter().any(|parked| parked.identity != self.parked[0].identity) {
                self.unpark(said);
            }
            return;
        }
        if !self.parked.is_empty() && !is_ahead {
            self.counts.future += self.parked.len() as u64;
            self.parked.clear();
        }
        self.take(&row, said);
    }

    fn unpark(&mut self, said: &mut impl FnMut(Said)) {
        for row in std::mem::take(&mut self.parked) {
            self.take(&row, said);
        }
    }

    fn take(&mut self, row: &Row, said: &mut impl FnMut(Said)) {
        // Judged bucket by bucket also where many arrive at once: an actor's windows reach back only so far.
        let present = (row.arrived.max(row.slot), row.slot);
        if present != self.present {
            self.judge_pending(said);
            self.present = present;
        }
        if row.slot > self.newest {
            self.newest = row.slot;
            self.pass_time(said);
        }
        self.counts.rows += 1;
        let is_late = row.slot < self.newest - LATENESS;
        self.counts.late += u64::from(is_late);
        let index = self.actor(row);
        let actor = &mut self.actors[index];
        let reference = self.fleet.reference(actor.cohort, row.slot);
        match actor.baseline.add(row.slot, row.calls, &row.sight, &reference, !is_late) {
            Ok(noted) => self.fleet.hear(&noted.first_uses),
            Err(TooOld) => {
                self.counts.too_late += 1;
                return;
            }
        }
        if actor.touched.is_empty() {
            self.pending.push(index);
        }
        if actor.touched.last() != Some(&(row.slot, !is_late)) {
            actor.touched.push((row.slot, !is_late));
        }
    }

    fn actor(&mut self, row: &Row) -> usize {
        if let Some(index) = self.ids.get(&row.identity) {
            return *index;
        }
        let cohort = self.fleet.cohort(Some(&row.group), row.is_machine);
        self.actors.push(Actor {
            identity: Arc::clone(&row.identity),
            group: Arc::clone(&row.group),
            cohort,
            baseline: Baseline::default(),
            story: Story::default(),
            alerted: i64::MIN,
            touched: Vec::new(),
        });
        self.ids.insert(Arc::clone(&row.identity), self.actors.len() - 1);
        self.actors.len() - 1
    }

    /// The present bucket of arrival is over: judges what has changed in it.
    fn judge_pending(&mut self, said: &mut impl FnMut(Said)) {
        for index in std::mem::take(&mut self.pending) {
            let touched = std::mem::take(&mut self.actors[index].touched);
            let mut slots: Vec<(i64, bool)> = touched
                .into_iter()
                .flat_map(|(slot, learns)| self.actors[index].baseline.touched(slot).map(move |slot| (slot, learns)))
                .collect();
            slots.sort_unstable();
            slots.dedup_by_key(|(slot, _)| *slot);
            slots.into_iter().for_each(|(slot, learns)| self.judge(index, slot, learns, said));
        }
    }

    fn judge(&mut self, index: usize, slot: i64, learns: bool, said: &mut impl FnMut(Said)) {
        let actor = &mut self.actors[index];
        let reference = self.fleet.reference(actor.cohort, slot);
        let score = actor.baseline.judge(slot, &reference, learns);
        let group_median = reference.peers.busiest_hour;
        let class = actor.baseline.class(reference.is_machine);
        if score.rarity >= 1.0 {
            said(Said::Score(Box::new(Scored { slot, identity: Arc::clone(&actor.identity), score })));
        }
        if self.fleet.alerts(Measure::Calls, &score) {
            let day = slot.div_euclid(BUCKETS_A_DAY);
            if day > actor.alerted {
                actor.alerted = day;
                self.counts.alerted_days += 1;
            }
            if let Some(step) = actor.story.hear(slot, &score) {
                let sample = reference.curves.together(class).days();
                let comparison = actor.baseline.comparison(slot, reference.peers);
                said(Said::Alert(Box::new(Raised {
                    identity: Arc::clone(&actor.identity),
                    group: Arc::clone(&actor.group),
                    channel: score.leading(),
                    step,
                    onset: actor.story.onset(),
                    slot,
                    raised: self.present.0,
                    comparison,
                    group_median,
                    rarity: score.rarity,
                    sample,
                })));
            }
        }
        let joins = actor.baseline.join_crowd(slot, &score);
        self.fleet.note(actor.cohort, slot.div_euclid(12), joins);
    }

    /// Counts days that are over, and settles hours of groups.
    fn pass_time(&mut self, said: &mut impl FnMut(Said)) {
        let watermark = self.newest - LATENESS;
        let hour = (watermark - SETTLED_AFTER).div_euclid(12);
        self.fleet.settle(hour).into_iter().for_each(|campaign| said(Said::Campaign(campaign)));
        let over = (watermark - PASS_AFTER).div_euclid(BUCKETS_A_DAY) - 1;
        let next = self.counted.map_or(over, |day| day + 1);
        for day in next..=over {
            // Of months of silence only the newest days are looked at one by one.
            if over - day < SILENCE_MAX {
                self.count_day(day);
            } else if over - day < 2 * SILENCE_MAX {
                self.fleet.skip(day);
            }
        }
        self.counted = Some(self.counted.map_or(over, |day| day.max(over)));
    }

    fn count_day(&mut self, day: i64) {
        if self.actors.is_empty() {
            return;
        }
        let is_live = self.fleet.is_calibrated(Measure::Calls);
        self.fleet.begin_pass(day);
        for actor in &mut self.actors {
            if is_live && actor.baseline.was_seen(day) {
                self.counts.live_identity_days += 1;
            }
            self.fleet.absorb(actor.cohort, &mut actor.baseline, xxh3_64(actor.identity.as_bytes()));
        }
        self.fleet.finish_pass();
        self.counts.days += 1;
    }

    /// The end of all rows.
    pub fn finish(&mut self, said: &mut impl FnMut(Said)) {
        self.unpark(said);
        self.judge_pending(said);
        let hour = self.newest.div_euclid(12) + 1;
        self.fleet.settle(hour).into_iter().for_each(|campaign| said(Said::Campaign(campaign)));
    }
}
