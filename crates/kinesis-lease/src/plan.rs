//! Which shards to read now, from where, and which have to wait. Pure: no clock, no I/O.
//!
//! A stream's shards form a graph. A split closes one shard and opens two children; a merge closes
//! two and opens one. [`plan`] takes what the service lists and what is already leased:
//!
//! ```text
//!             is it leased?
//!            /             \
//!          yes              no ── first sight of the stream?
//!           │                       /                    \
//!     at SHARD_END?               yes                     no
//!      /        \                  │                       │
//!  nothing    parents done?   LATEST and closed?    ancestor of a leased shard?
//!  to do       /      \         /        \             /            \
//!            read    wait     skip   lease at the    skip       lease at
//!                                   start position            TRIM_HORIZON
//! ```
//!
//! *Skip* never loses anything: an ancestor of a leased shard was read and forgotten, or closed
//! before a `LATEST` start. What is neither an ancestor nor leased can only be younger than what is
//! leased, hence at TRIM_HORIZON whatever the start position says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Lease, ShardKey};
use crate::settings::StartAt;

/// One shard as `ListShards` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedShard {
    /// The shard's id.
    pub shard: Arc<str>,
    /// Its parent and adjacent parent, as far as it has them. They may be listed no more.
    pub parents: Vec<Arc<str>>,
    /// Whether it still takes records (it has no ending sequence number).
    pub open: bool,
    /// The part of the key space that it takes, if the service said so in digits. The plan does not
    /// look at it.
    pub hash_range: Option<HashRange>,
}

/// A shard's part of the space of hashed partition keys, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    /// The lowest hash.
    pub starting: u128,
    /// The highest hash.
    pub ending: u128,
}

impl HashRange {
    /// From two numbers in decimal digits.
    pub fn parse(starting: &str, ending: &str) -> Option<Self> {
        Some(Self { starting: starting.parse().ok()?, ending: ending.parse().ok()? })
    }
}

/// What to do about a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Leases to create.
    pub create: Vec<(Arc<str>, Lease)>,
    /// Shards to read now: leased (or just created), not at their end, parents done. One that is
    /// being read already is here, too.
    pub read: Vec<Arc<str>>,
    /// Shards that wait for parents.
    pub wait: Vec<Arc<str>>,
    /// Leased shards, thought to be listed, that the service does not list.
    pub unlisted: Vec<Arc<str>>,
}

/// Plans one stream.
///
/// `listed` is a *complete* listing; `leases` are the stream's, with [`Checkpoint::ShardEnd`] for
/// those that have been *read* to the end in this run, settled or not. A stream without any lease
/// is seen for the first time.
///
/// A leased shard that is not at its end and not listed is to be read all the same: only the
/// service's answer to a read proves that it is gone.
pub fn plan(listed: &[ListedShard], leases: &BTreeMap<Arc<str>, Lease>, start: StartAt) -> Plan {
    let create = if leases.is_empty() { first_leases(listed, start) } else { later_leases(listed, leases) };
    let created: BTreeMap<&Arc<str>, &Lease> = create.iter().map(|(shard, lease)| (shard, lease)).collect();
    let lease_of = |shard: &Arc<str>| leases.get(shard).or_else(|| created.get(shard).copied());

    let mut plan = Plan::default();
    for (shard, lease) in leases.iter().chain(created.iter().map(|(s, l)| (*s, *l))) {
        if lease.checkpoint == Checkpoint::ShardEnd {
            continue;
        }
        // A parent without a lease was skipped, forgotten or trimmed before it was ever seen.
        let parents_done = lease
            .parents
            .iter()
            .all(|parent| parent == shard || lease_of(parent).is_none_or(|lease| lease.checkpoint == Checkpoint::ShardEnd));
        let list = if parents_done { &mut plan.read } else { &mut plan.wait };
        list.push(shard.clone());
    }
    let listed: BTreeSet<&Arc<str>> = listed.iter().map(|listed| &listed.shard).collect();
    plan.unlisted =
        leases.iter().filter(|(shard, lease)| lease.listed && !listed.contains(shard)).map(|(shard, _)| shard.clone()).collect();
    plan.create = create;
    plan
}

fn first_leases(listed: &[ListedShard], start: StartAt) -> Vec<(Arc<str>, Lease)> {
    listed.iter().filter(|shard| shard.open || start != StartAt::Latest).map(|shard| lease_for(shard, start.into())).collect()
}

fn later_leases(listed: &[ListedShard], leases: &BTreeMap<Arc<str>, Lease>) -> Vec<(Arc<str>, Lease)> {
    let ancestors = ancestors_of_leased(listed, leases);
    listed
        .iter()
        .filter(|shard| !leases.contains_key(&shard.shard) && !ancestors.contains(&shard.shard))
        .map(|shard| lease_for(shard, Checkpoint::TrimHorizon))
        .collect()
}

fn lease_for(shard: &ListedShard, checkpoint: Checkpoint) -> (Arc<str>, Lease) {
    (shard.shard.clone(), Lease::new(checkpoint, shard.parents.clone()))
}

/// Every shard from which a leased one descends, by the listing's lineage and the leases' own.
fn ancestors_of_leased<'a>(listed: &'a [ListedShard], leases: &'a BTreeMap<Arc<str>, Lease>) -> BTreeSet<&'a Arc<str>> {
    let lineage: BTreeMap<&Arc<str>, &Vec<Arc<str>>> = listed.iter().map(|shard| (&shard.shard, &shard.parents)).collect();
    let mut ancestors = BTreeSet::new();
    let mut ahead: Vec<&Arc<str>> = leases.values().flat_map(|lease| &lease.parents).collect();
    ahead.extend(leases.keys().filter_map(|shard| lineage.get(shard)).flat_map(|parents| parents.iter()));
    while let Some(shard) = ahead.pop() {
        if ancestors.insert(shard) {
            ahead.extend(lineage.get(shard).into_iter().flat_map(|parents| parents.iter()));
        }
    }
    ancestors
}

/// Which finished leases may be forgotten: read and settled to the end, listed no more, and every
/// child that was ever leased has progressed (or has itself been forgotten).
///
/// Until a shard's children have progressed its lease is what says that they start at
/// TRIM_HORIZON; while it is listed its lease is what says that it need not be read again. The
/// last leases of a stream stay, because a stream without leases would be seen for the first time.
pub fn forgettable(leases: &BTreeMap<ShardKey, Lease>) -> Vec<ShardKey> {
    let live: BTreeSet<&Arc<str>> =
        leases.iter().filter(|(_, lease)| lease.listed || lease.checkpoint != Checkpoint::ShardEnd).map(|(key, _)| &key.stream).collect();
    let progressed = |stream: &Arc<str>, shard: &Arc<str>| {
        let key = ShardKey::new(stream.clone(), shard.clone());
        leases.get(&key).is_none_or(|lease| lease.checkpoint.has_progressed())
    };
    leases
        .iter()
        .filter(|(key, lease)| {
            lease.checkpoint == Checkpoint::ShardEnd
                && !lease.listed
                && live.contains(&key.stream)
                && lease.children.iter().all(|child| progressed(&key.stream, child))
        })
        .map(|(key, _)| key.clone())
        .collect()
}
