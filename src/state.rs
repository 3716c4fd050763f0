//! What detection remembers.
//!
//! Per-actor and per-credential state lives in the worker that owns it ([`actor`], [`credential`]): nobody else touches
//! it, so there is nothing to lock. What really is shared is here, in sharded maps: the grants that every call is joined
//! with, and the counters that the page and the metrics read.
//!
//! **Invariants:** this is the only module that names `DashMap` (it is sharded locks, not lock-free); no guard leaves it;
//! every table is bounded and counts what it evicts.

pub mod actor;
pub mod chunked;
pub mod credential;
pub mod departments;
pub mod key;
pub mod removals;
pub mod sight;
pub mod table;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};

use crate::hashed::Seeded;
use crate::identity::Grant;
use crate::time::{EventTime, MINUTE};

pub use actor::{ActorState, Counted};
pub use credential::CredentialState;
pub use departments::DepartmentUses;
pub use key::{KeyState, Network, Place};
pub use removals::Removals;
pub use table::{Probation, Table};

/// Shared between all workers of an engine and its readers.
#[derive(Debug, Default)]
pub struct Shared {
    /// Grants by access key. Written by the engine's front only; read by everybody.
    grants: DashMap<Arc<str>, Arc<Grant>, Seeded>,
    counters: Arc<Counters>,
}

/// What the engines of one process count together, for page and metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls by department and model family: a read view for page and metrics, never their source.
    access: DashMap<(Arc<str>, Arc<str>), Arc<AccessCounts>, Seeded>,
    /// Calls of people whom the directory does not list, by the id that stands for them.
    unlinked: DashMap<Arc<str>, u64, Seeded>,
}

/// How many calls of one department to one model family ended how.
#[derive(Debug, Default)]
pub struct AccessCounts {
    /// Succeeded.
    pub success: AtomicU64,
    /// Refused.
    pub denied: AtomicU64,
    /// Throttled.
    pub throttled: AtomicU64,
    /// Failed otherwise.
    pub failed: AtomicU64,
    /// Tokens, in and out.
    pub tokens: AtomicU64,
}

/// One row of the access table, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    /// Department, or the reason why it is unknown in brackets.
    pub department: Arc<str>,
    /// Model family.
    pub family: Arc<str>,
    /// success, denied, throttled, failed.
    pub counts: [u64; 4],
    /// Tokens, in and out.
    pub tokens: u64,
}

/// Most rows of the access table; departments and families are few unless somebody invents them.
const ACCESS_ROWS_MAX: usize = 10_000;
/// Most people that are listed as not linked.
const UNLINKED_MAX: usize = 10_000;
/// A chain of roles longer than this is not followed.
const CHAIN_MAX: usize = 5;

impl Shared {
    /// Counts into `counters`, with grants of its own.
    pub fn with(counters: Arc<Counters>) -> Self {
        Self { grants: DashMap::default(), counters }
    }

    /// The grant of `access_key_id` and the grants that led to it, nearest first; empty where there is none.
    pub fn chain(&self, access_key_id: &str) -> Vec<Arc<Grant>> {
        let mut chain: Vec<Arc<Grant>> = Vec::new();
        let mut next = (!access_key_id.is_empty()).then(|| Arc::<str>::from(access_key_id));
        while let Some(key) = next.take() {
            let Some(grant) = self.grants.get(&key).map(|entry| Arc::clone(entry.value())) else { break };
            if chain.len() < CHAIN_MAX {
                next.clone_from(&grant.parent_key);
            }
            chain.push(grant);
        }
        chain
    }

    /// Whether STS's record of `access_key_id` is known.
    pub fn has_grant(&self, access_key_id: &str) -> bool {
        self.grants.get(access_key_id).is_some_and(|grant| grant.from_sts)
    }

    /// Whether STS's record of `access_key_id` is known and no session stands before it.
    pub fn is_first(&self, access_key_id: &str) -> bool {
        let is_first = |grant: &Arc<Grant>| grant.from_sts && grant.parent_key.as_ref().is_none_or(|key| !key.starts_with("ASIA"));
        self.grants.get(access_key_id).is_some_and(|grant| is_first(&grant))
    }

    /// How many grants are known.
    pub fn grants(&self) -> usize {
        self.grants.len()
    }

    /// The counters of a department and a family.
    pub fn access(&self, department: &Arc<str>, family: &Arc<str>) -> Option<Arc<AccessCounts>> {
        let key = (Arc::clone(department), Arc::clone(family));
        if let Some(counts) = self.counters.access.get(&key) {
            return Some(Arc::clone(counts.value()));
        }
        if self.counters.access.len() >= ACCESS_ROWS_MAX {
            return None;
        }
        Some(Arc::clone(self.counters.access.entry(key).or_default().value()))
    }

    /// Counts a call of somebody whom the directory does not list.
    pub fn count_unlinked(&self, id: &Arc<str>) {
        if let Some(mut count) = self.counters.unlinked.get_mut(id) {
            *count += 1;
        } else if self.counters.unlinked.len() < UNLINKED_MAX {
            self.counters.unlinked.insert(Arc::clone(id), 1);
        }
    }

    /// Ids that no directory entry could be found for with their calls, most calls first.
    pub fn unlinked(&self) -> Vec<(Arc<str>, u64)> {
        let mut all: Vec<(Arc<str>, u64)> = self.counters.unlinked.iter().map(|entry| (Arc::clone(entry.key()), *entry.value())).collect();
        all.sort_unstable_by(|(a, calls_a), (b, calls_b)| (calls_b, a).cmp(&(calls_a, b)));
        all
    }

    /// How many there are.
    pub fn unlinked_count(&self) -> usize {
        self.counters.unlinked.len()
    }

    /// Forgets them: there is another directory.
    pub fn forget_unlinked(&self) {
        self.counters.unlinked.clear();
    }

    /// All rows, sorted.
    pub fn access_rows(&self) -> Vec<AccessRow> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut rows: Vec<AccessRow> = self
            .counters
            .access
            .iter()
            .map(|entry| AccessRow {
                department: Arc::clone(&entry.key().0),
                family: Arc::clone(&entry.key().1),
                counts: [read(&entry.success), read(&entry.denied), read(&entry.throttled), read(&entry.failed)],
                tokens: read(&entry.tokens),
            })
            .collect();
        rows.sort_unstable_by(|a, b| (&a.department, &a.family).cmp(&(&b.department, &b.family)));
        rows
    }
}

/// The writer's side of the grants: keeps them within their number and their time.
#[derive(Debug)]
pub struct GrantKeeper {
    shared: Arc<Shared>,
    /// Access keys, each once, in about the order in which they expire: what is found to last longer goes to the back.
    order: VecDeque<(EventTime, Arc<str>)>,
    grants_max: usize,
    lifetime: i64,
    evicted: u64,
}

/// What a snapshot keeps of the grants.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GrantsImage(Vec<(Arc<str>, Arc<Grant>)>);

impl GrantKeeper {
    /// A keeper of at most `grants_max` grants, each for `lifetime` seconds.
    pub fn new(shared: Arc<Shared>, grants_max: usize, lifetime: i64) -> Self {
        Self { shared, order: VecDeque::new(), grants_max: grants_max.max(1), lifetime, evicted: 0 }
    }

    /// Remembers a grant, or adds to the one that is known.
    pub fn insert(&mut self, access_key_id: Arc<str>, grant: Grant) {
        let merged = match self.shared.grants.get(&access_key_id).map(|entry| Grant::clone(entry.value())) {
            Some(mut known) => {
                known.merge(grant);
                known
            }
            None => {
                if self.order.len() >= self.grants_max {
                    self.forget_oldest();
                }
                self.order.push_back((self.expiry(&grant), Arc::clone(&access_key_id)));
                grant
            }
        };
        self.shared.grants.insert(access_key_id, Arc::new(merged));
    }

    /// When the credentials of a grant have expired for certain. A session's own length may be shorter than what it can
    /// be prolonged to, so that no grant is kept for less than `lifetime`.
    fn expiry(&self, grant: &Grant) -> EventTime {
        grant.issued.plus(self.lifetime.max(grant.duration + 15 * MINUTE))
    }

    /// Forgets grants whose credentials have expired for certain.
    pub fn expire(&mut self, watermark: EventTime) {
        while self.order.front().is_some_and(|(expiry, _)| *expiry < watermark) {
            let Some((_, key)) = self.order.pop_front() else { break };
            let expiry = self.shared.grants.get(&key).map(|grant| self.expiry(&grant));
            match expiry.filter(|expiry| *expiry >= watermark) {
                Some(later) => self.order.push_back((later, key)),
                None => drop(self.shared.grants.remove(&key)),
            }
        }
    }

    /// Grants that were forgotten for want of room, since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> GrantsImage {
        let entry =
            |(_, key): &(EventTime, Arc<str>)| self.shared.grants.get(key).map(|entry| (Arc::clone(key), Arc::clone(entry.value())));
        GrantsImage(self.order.iter().filter_map(entry).collect())
    }

    /// Takes over what a snapshot kept.
    pub fn restore(&mut self, image: GrantsImage) {
        for (key, grant) in image.0 {
            self.insert(key, Arc::unwrap_or_clone(grant));
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.shared.grants.remove(&key);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(parent: Option<&str>, issued: i64) -> Grant {
        Grant { parent_key: parent.map(Into::into), issued: EventTime::from_unix(issued), from_sts: true, ..Grant::default() }
    }

    #[test]
    fn grants_are_bounded_expire_and_chain() {
        let shared = Arc::new(Shared::default());
        let mut keeper = GrantKeeper::new(Arc::clone(&shared), 2, 2_000);
        keeper.insert("A".into(), grant(None, 0));
        keeper.insert("B".into(), grant(Some("A"), 50));
        assert_eq!(shared.chain("B").len(), 2);
        keeper.insert("C".into(), grant(Some("C"), 60));
        assert_eq!((keeper.evicted(), shared.has_grant("A")), (1, false));
        assert_eq!(shared.chain("C").len(), CHAIN_MAX + 1, "a chain to itself ends");
        keeper.expire(EventTime::from_unix(2_055));
        assert_eq!((shared.has_grant("B"), shared.has_grant("C")), (false, true));
    }
}
