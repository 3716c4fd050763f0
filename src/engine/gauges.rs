//! How full an engine is, for page and metrics.

use super::Engine;
use super::worker::{Occupancy, Worker};
use crate::baseline::Measure;
use crate::time::EventTime;

/// How full an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Actors and credentials.
    pub tables: Occupancy,
    /// Calls that wait for their grant.
    pub held: usize,
    /// Grants that are known.
    pub grants: usize,
    /// Grants that were forgotten for want of room.
    pub grants_evicted: u64,
    /// People whom the directory does not list.
    pub unlinked: usize,
    /// Alerts that are open.
    pub open_alerts: usize,
    /// Alerts that were resolved early for want of room.
    pub resolved_early: u64,
    /// Groups and occurrences of correlations that were forgotten for want of room.
    pub correlations_evicted: u64,
    /// Days that the baselines have counted, and those that they need before they speak.
    pub baseline_days: (u32, u32),
    /// The watermark.
    pub watermark: EventTime,
    /// How far back duplicates are known at the rate of the last day, in seconds of event time; 0 while the rate is not
    /// known. An estimate, not a promise.
    pub dedup_horizon: i64,
}

impl Engine {
    /// How full the engine is.
    pub fn gauges(&self) -> Gauges {
        let mut tables = Occupancy::default();
        for worker in self.workers.iter().map(Worker::occupancy) {
            tables.actors += worker.actors;
            tables.credentials += worker.credentials;
            tables.actors_evicted += worker.actors_evicted;
            tables.newcomers_evicted += worker.newcomers_evicted;
            tables.credentials_evicted += worker.credentials_evicted;
        }
        Gauges {
            tables,
            held: self.held.len(),
            grants: self.shared.grants(),
            grants_evicted: self.joining.grants_evicted(),
            unlinked: self.shared.unlinked_count(),
            open_alerts: self.alerting.open_count(),
            resolved_early: self.alerting.resolved_early(),
            correlations_evicted: self.rules.evicted(),
            baseline_days: (self.baselines.fleet.counted_days(Measure::Calls), self.baselines.fleet.settings().learning_days),
            watermark: self.inputs.watermark(),
            dedup_horizon: self.dedup_horizon(),
        }
    }

    fn dedup_horizon(&self) -> i64 {
        let Some((since, seen)) = self.rate_since else { return 0 };
        let (seconds, events) = (self.inputs.watermark().since(since), self.dedup.seen().saturating_sub(seen));
        if seconds <= 0 || events == 0 { 0 } else { (self.dedup.capacity() as f64 * seconds as f64 / events as f64) as i64 }
    }
}
