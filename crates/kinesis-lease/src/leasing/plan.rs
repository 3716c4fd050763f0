//! Which leases to take, which one to ask for, and what to do about one that was asked for. Pure:
//! the time is in the [`View`], nothing is random.
//!
//! ```text
//!   readable leases ── nobody's, expired, or mine from before ──▶ available
//!        │                                                           │
//!   share = ⌈leases / workers⌉, at most leases_max                   │
//!        │                                                           │
//!   fewer than the share? ── something available ──▶ take, up to the share
//!                         └─ nothing available ────▶ ask the most loaded worker for one,
//!                                                    if it has two more than I
//!   neglected for long ────▶ take, share or not, up to leases_max
//! ```
//! That is KCL 2's count-based assignment, stealing one at a time. It differs in two points: a
//! lease at `SHARD_END`, and one that waits for its parents, are no work and are neither counted
//! nor taken; and a worker asks for a lease instead of tearing it away, unless told otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::counts::AssignmentCounts;
use super::lease::{Change, LeaseRow, Write};
use super::view::{Moment, Seen, View};
use crate::checkpoint::Checkpoint;

/// What planning goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSettings {
    /// A lease whose counter has not moved for this long is free. Default 10 s, as KCL's.
    pub failover: Duration,
    /// The most leases this worker has. Default: no limit. Where the sum over the workers is less
    /// than the number of shards some are not read; `LeaseSpillover` tells.
    pub leases_max: usize,
    /// A lease that was free for this many failover times is taken even by a worker that has its
    /// share: whoever should have taken it cannot. Default 3, as KCL's.
    pub neglected_after: u32,
    /// How long a worker that was asked for a lease may take to finish what it has read. Then, or
    /// when it shows no sign of life for the failover time, the lease is taken from it. Default
    /// 30 s, as KCL 3's. Zero: leases are taken without asking, as KCL 2 does.
    pub handover_timeout: Duration,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self { failover: Duration::from_secs(10), leases_max: usize::MAX, neglected_after: 3, handover_timeout: Duration::from_secs(30) }
    }
}

/// What to write in this round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Free leases to take, in an order of this worker's own, so that workers that start together
    /// do not all try the same ones first.
    pub take: Vec<Write>,
    /// The lease to ask the most loaded worker for. Never together with `take`.
    pub steal: Option<Write>,
    /// What was counted on the way.
    pub counts: AssignmentCounts,
}

/// Plans a round for the worker `me`, which holds the leases `held` (the ones it hands over
/// included).
pub fn assign(view: &View, me: &Arc<str>, held: &BTreeSet<Arc<str>>, settings: &PlanSettings) -> Assignment {
    let mut loads: BTreeMap<&Arc<str>, Vec<&Seen>> = BTreeMap::from([(me, Vec::new())]);
    let mut available = Vec::new();
    let (mut leases, mut expired) = (0, 0);
    for seen in view.leases().filter(|seen| view.is_readable(&seen.row)) {
        leases += 1;
        let is_expired = is_expired(seen, view.as_of(), settings);
        match &seen.row.owner {
            _ if held.contains(&seen.row.key) => {
                // While it is handed over it is the other's load already.
                loads.entry(seen.row.owner.as_ref().unwrap_or(me)).or_default().push(seen);
            }
            Some(owner) if !is_expired && !is_left_behind(&seen.row, me) => loads.entry(owner).or_default().push(seen),
            owner => {
                expired += u64::from(owner.is_some() && is_expired);
                available.push(seen);
            }
        }
    }
    let workers = loads.len();
    let share: usize = usize::div_ceil(leases, workers);
    let target = share.min(settings.leases_max);
    let mine = loads.get(me).map_or(0, Vec::len);

    available.sort_by_key(|seen| rank(me, &seen.row.key));
    let mut take = Vec::new();
    for seen in &available {
        let limit = if is_neglected(seen, view.as_of(), settings) { settings.leases_max } else { target };
        if mine + take.len() < limit {
            take.push(Write::new(&seen.row, me, Change::Take));
        }
    }
    let steal = if available.is_empty() && mine < target { steal(&loads, me, held, settings) } else { None };
    let counts = AssignmentCounts {
        total_leases: leases as u64,
        num_workers: workers as u64,
        expired_leases: expired,
        leases_to_take: (take.len() + usize::from(steal.is_some())) as u64,
        needed_leases: target.saturating_sub(mine) as u64,
        lease_spillover: share.saturating_sub(settings.leases_max) as u64,
    };
    Assignment { take, steal, counts }
}

fn is_expired(seen: &Seen, as_of: Moment, settings: &PlanSettings) -> bool {
    as_of.since(seen.moved_at) > settings.failover
}

/// Mine by the table, but not in my hands: lost for a while and found again, or a former process of
/// the same name had it. (A claim of mine that is not handed over yet is not one of these.)
fn is_left_behind(row: &LeaseRow, me: &Arc<str>) -> bool {
    row.writer() == Some(me) && row.owner.as_ref() == Some(me)
}

fn is_neglected(seen: &Seen, as_of: Moment, settings: &PlanSettings) -> bool {
    as_of.since(seen.moved_at) > settings.failover.saturating_mul(settings.neglected_after)
}

/// One lease of the most loaded worker, if it has at least two more than I: with one more, the
/// imbalance would only change sides.
///
/// Not one that is in my hands still: another has taken it, and I am about to notice. To take it
/// back before that would let my old tenure go on where the other has been.
fn steal(loads: &BTreeMap<&Arc<str>, Vec<&Seen>>, me: &Arc<str>, held: &BTreeSet<Arc<str>>, settings: &PlanSettings) -> Option<Write> {
    let mine = loads.get(me).map_or(0, Vec::len);
    let (_, leases) = loads.iter().max_by_key(|(owner, leases)| (leases.len(), rank(me, owner)))?;
    if leases.len() < mine + 2 {
        return None;
    }
    // One that changes hands already is let alone.
    let quiet = leases.iter().filter(|seen| seen.row.checkpoint_owner.is_none() && seen.row.owner.is_some());
    let lease = quiet.filter(|seen| !held.contains(&seen.row.key)).min_by_key(|seen| rank(me, &seen.row.key))?;
    let change = if settings.handover_timeout.is_zero() { Change::Take } else { Change::Claim };
    Some(Write::new(&lease.row, me, change))
}

/// What to do about a lease that this worker has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is not, or no longer, a claim of this worker.
    None,
    /// The other worker is still at it.
    Wait,
    /// The lease was let go, or its writer took too long: take it.
    Take(Write),
}

/// Judges a lease as seen at `now`. Only rows whose owner is `me` without `me` holding them are
/// claims.
pub fn claim(seen: &Seen, me: &Arc<str>, now: Moment, settings: &PlanSettings) -> Claim {
    let row = &seen.row;
    if row.owner.as_ref() != Some(me) || row.is_finished() {
        return Claim::None;
    }
    let is_silent = now.since(seen.moved_at) > settings.failover;
    let is_late = now.since(seen.owner_since) > settings.handover_timeout;
    if row.writer() == Some(me) || is_silent || is_late {
        return Claim::Take(Write::new(row, me, Change::Take));
    }
    Claim::Wait
}

/// Where the reading of a lease begins.
///
/// At its checkpoint, with one exception: a child whose parent is leased, too, and that was to
/// begin at `LATEST` begins at `TRIM_HORIZON`. The two were first seen by two workers, one before
/// and one after the split, and everything in the child comes after the parent's start.
pub fn opening(row: &LeaseRow, view: &View) -> Checkpoint {
    let has_parent = row.parents.iter().any(|parent| *parent != row.key && view.get(parent).is_some());
    if row.checkpoint == Checkpoint::Latest && has_parent { Checkpoint::TrimHorizon } else { row.checkpoint.clone() }
}

/// An order of keys that differs from worker to worker: FNV-1a over both names.
fn rank(worker: &str, key: &str) -> u64 {
    let bytes = worker.bytes().chain([0]).chain(key.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The last byte has hardly reached the high bits, by which the order goes.
    hash ^ hash.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
