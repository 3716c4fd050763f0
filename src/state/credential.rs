//! What is remembered about one credential that was refused: enough to tell a slip from a burst and a burst from a sweep.

use serde::{Deserialize, Serialize};

use super::table::Stamped;
use crate::finding::Severity;
use crate::stats::Ring;
use crate::time::{EventTime, HOUR};

/// Different models or regions that are told apart; more are "at least as many".
const DISTINCT_MAX: usize = 16;
/// Models and regions that are tried within this time are one sweep.
const SWEEP_TIME: i64 = 2 * HOUR;
/// After this much quiet a new refusal begins a new story.
const STORY_QUIET: i64 = 6 * HOUR;

/// Refusals of one credential.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CredentialState {
    /// Refusals in 5-minute buckets.
    pub denies: Ring,
    /// Hashes of the models that were refused within two hours.
    pub models: Vec<u64>,
    /// Hashes of the regions that refused within two hours.
    pub regions: Vec<u64>,
    /// When `models` and `regions` began to be collected.
    pub sweep_since: EventTime,
    /// Refusals in this story.
    pub total: u64,
    /// The worst that this story has been: later refusals of it are no less severe.
    pub worst: Option<Severity>,
    /// Whose model was tried, as a sentence to add.
    pub ownership: Option<String>,
    /// First refusal of this story.
    pub onset: EventTime,
    /// Latest refusal.
    pub last: EventTime,
}

impl CredentialState {
    /// Takes a refusal into account.
    pub fn refuse(&mut self, time: EventTime, model: Option<u64>, region: u64) {
        if self.total == 0 || time.since(self.last) > STORY_QUIET {
            self.models.clear();
            self.regions.clear();
            self.total = 0;
            (self.worst, self.ownership) = (None, None);
            (self.onset, self.last, self.sweep_since) = (time, time, time);
        }
        // Too old for the ring: still part of the story, only not of its pace.
        let _ = self.denies.add(time);
        self.total += 1;
        self.onset = self.onset.min(time);
        self.last = self.last.max(time);
        if time.since(self.sweep_since) > SWEEP_TIME {
            self.models.clear();
            self.regions.clear();
            self.sweep_since = time;
        }
        if let Some(model) = model {
            remember(&mut self.models, model);
        }
        remember(&mut self.regions, region);
    }
}

fn remember(hashes: &mut Vec<u64>, hash: u64) {
    if hashes.len() < DISTINCT_MAX && !hashes.contains(&hash) {
        hashes.push(hash);
    }
}

impl Stamped for CredentialState {
    fn last_used(&self) -> EventTime {
        self.last
    }
}
