//! What a worker counts, under KCL's names.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a round of planning counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AssignmentCounts {
    /// `TotalLeases`: leases that can be read now.
    pub total_leases: u64,
    /// `NumWorkers`: workers with a live lease, and this one.
    pub num_workers: u64,
    /// `ExpiredLeases`: leases whose owner shows no sign of life.
    pub expired_leases: u64,
    /// `LeasesToTake`: leases that this worker set out to take or to ask for.
    pub leases_to_take: u64,
    /// `NeededLeases`: what this worker lacks to its share.
    pub needed_leases: u64,
    /// `LeaseSpillover`: what its share is beyond what it may have.
    pub lease_spillover: u64,
}

/// A worker's numbers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// Of the last round (gauges).
    pub assignment: AssignmentCounts,
    /// `CurrentLeases`: held now (a gauge).
    pub current_leases: u64,
    /// `TakenLeases`, since the start.
    pub taken_leases: u64,
    /// `UntakenLeases`: tried, and another was faster. Since the start.
    pub untaken_leases: u64,
    /// `LostLeases`: taken by others, or not renewed in time. Since the start.
    pub lost_leases: u64,
    /// Rows that are no leases, in the last scan (a gauge).
    pub bad_rows: u64,
}

impl LeaseCounts {
    /// Names and values, for registering metrics. All but `BadRows` are KCL's names.
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("TotalLeases", self.assignment.total_leases),
            ("NumWorkers", self.assignment.num_workers),
            ("ExpiredLeases", self.assignment.expired_leases),
            ("LeasesToTake", self.assignment.leases_to_take),
            ("NeededLeases", self.assignment.needed_leases),
            ("LeaseSpillover", self.assignment.lease_spillover),
            ("CurrentLeases", self.current_leases),
            ("TakenLeases", self.taken_leases),
            ("UntakenLeases", self.untaken_leases),
            ("LostLeases", self.lost_leases),
            ("BadRows", self.bad_rows),
        ]
    }
}

/// The counters that several tasks add to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) taken: AtomicU64,
    pub(super) untaken: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// Adds one. Nothing is ordered by a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
