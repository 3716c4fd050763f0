//! What one worker has seen of the table, and when, by its own clock. Pure.
//!
//! No clock is shared. A lease is expired if *I* have not seen its counter move for the failover
//! time, measured by *my* monotonic clock between two of *my* scans. Clocks may differ by years and
//! step as they like; only their rates must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::lease::LeaseRow;
use super::table::Scan;

/// A moment on one worker's monotonic clock: the time since some origin of its own. It means
/// nothing to another worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// The time since an earlier moment; nothing if that is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that much later.
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

/// A lease and what this worker knows of its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The row as last read.
    pub row: LeaseRow,
    /// When the counter was first seen at this value.
    pub moved_at: Moment,
    /// When this owner was first seen.
    pub owner_since: Moment,
}

/// Everything that one worker has seen.
#[derive(Debug, Clone, Default)]
pub struct View {
    leases: BTreeMap<Arc<str>, Seen>,
    /// Rows of the last scan that are no leases.
    bad: BTreeSet<Arc<str>>,
    /// When the last whole scan began: no row is older news than that.
    as_of: Moment,
}

impl View {
    /// Takes a complete scan in. What it does not hold is gone.
    ///
    /// A move is dated to the scan's end and expiry is judged at its beginning, so a slow scan
    /// makes leases look younger than they are, never older.
    pub fn observe(&mut self, scan: Scan, began: Moment, ended: Moment) {
        let mut before = std::mem::take(&mut self.leases);
        for row in scan.rows {
            let old = before.remove(&row.key);
            self.leases.insert(row.key.clone(), seen(old, row, ended));
        }
        self.bad = scan.bad.into_iter().map(|bad| Arc::from(bad.key)).collect();
        self.as_of = began;
    }

    /// Takes one row in that was read, or left by a write, at `now`.
    pub fn observe_one(&mut self, row: LeaseRow, now: Moment) {
        let old = self.leases.remove(&row.key);
        // A scan that was under way may be older than a write of this worker's own.
        let row = match &old {
            Some(old) if old.row.counter > row.counter => old.row.clone(),
            Some(_) | None => row,
        };
        self.leases.insert(row.key.clone(), seen(old, row, now));
    }

    /// When the last whole scan began.
    pub fn as_of(&self) -> Moment {
        self.as_of
    }

    /// The leases, by key.
    pub fn leases(&self) -> impl Iterator<Item = &Seen> {
        self.leases.values()
    }

    /// One lease.
    pub fn get(&self, key: &str) -> Option<&Seen> {
        self.leases.get(key)
    }

    /// Whether nothing is between the lease and its reading: it is not at its end, and each parent
    /// is, or has no lease (it was forgotten, or trimmed before it was ever seen). A parent's row that
    /// cannot be understood is in the way: nobody knows how far its shard was read.
    pub fn is_readable(&self, row: &LeaseRow) -> bool {
        !row.is_finished()
            && row
                .parents
                .iter()
                .filter(|parent| **parent != row.key)
                .all(|parent| !self.bad.contains(parent) && self.get(parent).is_none_or(|seen| seen.row.is_finished()))
    }
}

fn seen(old: Option<Seen>, row: LeaseRow, now: Moment) -> Seen {
    let (mut moved_at, mut owner_since) = (now, now);
    if let Some(old) = old {
        if old.row.counter == row.counter {
            moved_at = old.moved_at;
        }
        if old.row.owner == row.owner {
            owner_since = old.owner_since;
        }
    }
    Seen { row, moved_at, owner_since }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::leasing::table::BadRow;

    fn scan(rows: Vec<LeaseRow>) -> Scan {
        Scan { rows, bad: vec![] }
    }

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn row(counter: u64) -> LeaseRow {
        LeaseRow { counter, owner: Some("a".into()), ..LeaseRow::new("s", Checkpoint::TrimHorizon) }
    }

    #[test]
    fn a_lease_ages_from_when_its_counter_was_seen_to_move() {
        let mut view = View::default();
        view.observe(scan(vec![row(7)]), at(100), at(102));
        view.observe(scan(vec![row(7)]), at(110), at(111));
        assert_eq!(view.get("s").unwrap().moved_at, at(102));
        view.observe(scan(vec![row(8)]), at(120), at(121));
        let seen = view.get("s").unwrap();
        assert_eq!((seen.moved_at, seen.owner_since), (at(121), at(102)));
        view.observe_one(row(7), at(122));
        assert_eq!(view.get("s").unwrap().row.counter, 8, "older news");
        view.observe(scan(vec![]), at(130), at(131));
        assert!(view.get("s").is_none());
    }

    #[test]
    fn a_child_is_readable_when_no_parent_is_in_the_way() {
        let mut view = View::default();
        let child = LeaseRow { parents: vec!["s".into(), "forgotten".into()], ..LeaseRow::new("c", Checkpoint::TrimHorizon) };
        view.observe(scan(vec![row(1), child.clone()]), at(1), at(1));
        assert!(!view.is_readable(&child));
        view.observe_one(LeaseRow { checkpoint: Checkpoint::ShardEnd, ..row(2) }, at(2));
        assert!(view.is_readable(&child));
        assert!(!view.is_readable(&view.get("s").unwrap().row));
        let bad = BadRow { key: "forgotten".into(), why: "mangled".into() };
        view.observe(Scan { rows: vec![child.clone()], bad: vec![bad] }, at(3), at(3));
        assert!(!view.is_readable(&child), "nobody knows how far that was read");
    }
}
