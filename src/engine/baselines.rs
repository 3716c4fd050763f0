//! The engine's side of the baselines: the fleet, the pass over days that are over, and the hours of departments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::worker::Worker;
use crate::baseline::{CohortId, Fleet, FleetImage, FleetSettings};
use crate::detect::{Judged, invocation_spike};
use crate::finding::Signal;
use crate::identity::Attribution;
use crate::observation::Call;
use crate::time::{DAY, EventTime, HOUR};

/// A day is counted from this long after its end on: by then nothing of it may still come, and everybody who is active has
/// learned it.
const COUNT_AFTER: i64 = 4 * HOUR;
/// It must be counted this long after the next day's end: from an hour later on the count is used, and days are learned.
const COUNT_BY: i64 = 2 * HOUR;
/// Actors that are counted at least at a tick (ten seconds of event time).
const STEP_MIN: usize = 64;
/// A day is counted in about this many ticks.
const STEPS: usize = 2_000;
/// Days that are counted one by one after a silence; of older ones nobody remembers anything that would change.
const DAYS_MAX: i64 = 30;

/// A call, and who made it.
type Sample = (Arc<Call>, Arc<Attribution>);

/// The fleet and where its pass stands.
#[derive(Debug)]
pub struct Baselines {
    /// Peers, calibration, crowds.
    pub fleet: Fleet,
    /// The worker and the place that is counted next.
    cursor: (usize, usize),
    last_counted: Option<i64>,
    /// The earliest call of an hour in which somebody of a cohort kept an unusual pace.
    samples: BTreeMap<(i64, CohortId), Sample>,
}

/// What a snapshot keeps. A pass begins again: counting an actor twice is seen to by not keeping half a count.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct BaselinesImage {
    fleet: FleetImage,
    last_counted: Option<i64>,
    samples: Vec<((i64, CohortId), Sample)>,
}

impl Baselines {
    /// Nothing known.
    pub fn new(settings: FleetSettings) -> Self {
        Self { fleet: Fleet::new(settings), cursor: (0, 0), last_counted: None, samples: BTreeMap::new() }
    }

    /// Takes what a call's actor tells the fleet out of the signals.
    pub fn hear(&mut self, signals: &mut Vec<Signal>, call: &Call, who: &Arc<Attribution>) {
        let (fleet, samples) = (&mut self.fleet, &mut self.samples);
        signals.retain(|signal| {
            let Signal::Baseline(note) = signal else { return true };
            fleet.hear(&note.first_uses);
            for (hour, joins) in &note.joins {
                fleet.note(note.cohort, *hour, *joins);
                if joins.paced {
                    let sample = samples.entry((*hour, note.cohort)).or_insert_with(|| (Arc::new(call.clone()), Arc::clone(who)));
                    if call.order() < sample.0.order() {
                        *sample = (Arc::new(call.clone()), Arc::clone(who));
                    }
                }
            }
            false
        });
    }

    /// Settles the hours that ended before `settled`: a finding for each department that stood out.
    pub fn settle(&mut self, settled: EventTime, out: &mut Vec<Signal>) {
        let hour = settled.slot(HOUR);
        for campaign in self.fleet.settle(hour) {
            let cohort = self.fleet.cohort(campaign.cohort.0.as_ref(), campaign.cohort.1);
            let Some((call, who)) = self.samples.get(&(campaign.hour, cohort)) else { continue };
            out.push(invocation_spike::campaign(&campaign, &Judged::plain(call, who)));
        }
        self.samples = self.samples.split_off(&(hour, 0));
    }

    /// Goes on with the count of days that are over.
    pub fn pass(&mut self, watermark: EventTime, workers: &mut [Worker]) {
        let over = watermark.plus(-COUNT_AFTER).slot(DAY) - 1;
        let due = watermark.plus(-COUNT_BY).slot(DAY) - 2;
        loop {
            if self.fleet.passing().is_none() {
                let next = self.last_counted.map_or(over, |day| (day + 1).max(over - DAYS_MAX));
                if next > over || workers.iter().all(|worker| worker.settled() == 0) {
                    return;
                }
                self.fleet.begin_pass(next);
                self.cursor = (0, 0);
            }
            let Some(day) = self.fleet.passing() else { return };
            let all: usize = workers.iter().map(Worker::settled).sum();
            let step = if day <= due { usize::MAX } else { STEP_MIN.max(all / STEPS) };
            if !self.count(step, workers) {
                return;
            }
            self.fleet.finish_pass();
            self.last_counted = Some(day);
        }
    }

    /// Counts up to `step` actors; whether all are counted.
    fn count(&mut self, step: usize, workers: &mut [Worker]) -> bool {
        for _ in 0..step {
            let Some(worker) = workers.get_mut(self.cursor.0) else { return true };
            if worker.count_day_at(self.cursor.1, &mut self.fleet) {
                self.cursor.1 += 1;
            } else {
                self.cursor = (self.cursor.0 + 1, 0);
            }
        }
        false
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> BaselinesImage {
        let samples = self.samples.iter().map(|(key, sample)| (*key, sample.clone())).collect();
        BaselinesImage { fleet: self.fleet.image(), last_counted: self.last_counted, samples }
    }

    /// Goes on from what a snapshot kept.
    pub fn restore(settings: FleetSettings, image: BaselinesImage) -> Self {
        Self {
            fleet: Fleet::restore(settings, image.fleet),
            cursor: (0, 0),
            last_counted: image.last_counted,
            samples: image.samples.into_iter().collect(),
        }
    }
}
