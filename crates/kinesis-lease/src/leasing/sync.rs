//! Brings the table in line with the stream's shards. Pure.
//!
//! Every worker does it; creating a lease that is there already changes nothing. The rules are those
//! of [`crate::plan`](mod@crate::plan), which serve the single machine as well: children at
//! TRIM_HORIZON whatever the start position, closed parents first, ancestors of leased shards never
//! again. The leases are created parents first, so that a worker which dies half-way leaves no
//! child that looks as if its parents had been read.
//!
//! # Limit
//! The first sight of a stream is whoever finds the table empty. Two workers that start at `LATEST`
//! for the very first time, while the stream is being split, may see two shapes of it. No record
//! after the earlier start is lost (see [`opening`](super::plan::opening)), but the children's first
//! records may be read beside the parent's last ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lease::LeaseRow;
use super::table::Scan;
use crate::checkpoint::{Checkpoint, Lease, ShardKey};
use crate::plan::{HashRange, ListedShard, forgettable, plan};
use crate::settings::StartAt;

/// What to do about the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Leases to create if they are absent, in this order.
    pub create: Vec<LeaseRow>,
    /// Children that leases do not name yet.
    pub adopt: Vec<(Arc<str>, Vec<Arc<str>>)>,
    /// Leases to delete: read to the end, listed no more, and their children have progressed.
    pub forget: Vec<LeaseRow>,
    /// Hash keys that no shard covers between the lowest and the highest open one: shards that a
    /// listing left out. Nothing is forgotten then.
    pub holes: Vec<HashRange>,
}

/// Compares a *complete* scan with a complete listing that was asked for *after* the scan. The other
/// way round a shard that appeared in between, was leased by another worker and read to its end,
/// would be in the scan, missing in the listing, and hence forgotten.
///
/// A row that cannot be understood counts as a lease that has not progressed: its shard is neither
/// leased anew, nor are its ancestors, nor is its parent forgotten.
pub fn synchronise(listed: &[ListedShard], scan: &Scan, start: StartAt) -> Alignment {
    let rows = &scan.rows;
    let leases: BTreeMap<Arc<str>, Lease> = leases(listed, scan);
    let plan = plan(listed, &leases, start);
    let shards: BTreeMap<&Arc<str>, &ListedShard> = listed.iter().map(|shard| (&shard.shard, shard)).collect();
    let mut create: Vec<LeaseRow> = plan
        .create
        .into_iter()
        .map(|(shard, lease)| LeaseRow {
            hash_range: shards.get(&shard).and_then(|shard| shard.hash_range),
            parents: lease.parents,
            ..LeaseRow::new(shard, lease.checkpoint)
        })
        .collect();
    parents_first(&mut create);
    let holes = holes(listed);
    let adopt = adopt(rows, &create);
    let forget = if holes.is_empty() { forget(rows, leases, &create, &adopt) } else { Vec::new() };
    Alignment { create, adopt, forget, holes }
}

fn leases(listed: &[ListedShard], scan: &Scan) -> BTreeMap<Arc<str>, Lease> {
    let shards: BTreeMap<&str, &ListedShard> = listed.iter().map(|shard| (&*shard.shard, shard)).collect();
    let lease = |row: &LeaseRow| Lease {
        checkpoint: row.checkpoint.clone(),
        parents: row.parents.clone(),
        children: row.children.clone(),
        listed: shards.contains_key(&*row.key),
    };
    let bad = scan.bad.iter().filter_map(|bad| shards.get(&*bad.key));
    let bad = bad.map(|shard| (shard.shard.clone(), Lease::new(Checkpoint::TrimHorizon, shard.parents.clone())));
    bad.chain(scan.rows.iter().map(|row| (row.key.clone(), lease(row)))).collect()
}

/// The lineage is the only order that is sure: ids are given in no promised order.
fn parents_first(create: &mut [LeaseRow]) {
    let parents: BTreeMap<Arc<str>, Vec<Arc<str>>> = create.iter().map(|row| (row.key.clone(), row.parents.clone())).collect();
    let mut depths = BTreeMap::new();
    // Each pass settles one generation at least. A circle, which no service has, ends it as well.
    while depths.len() < parents.len() {
        let ready: Vec<(Arc<str>, usize)> = parents
            .iter()
            .filter(|(shard, _)| !depths.contains_key(*shard))
            .filter_map(|(shard, above)| {
                let above = above.iter().filter(|parent| *parent != shard && parents.contains_key(*parent));
                let depth = above.map(|parent| depths.get(parent)).try_fold(0, |most: usize, depth| Some(most.max(depth? + 1)))?;
                Some((shard.clone(), depth))
            })
            .collect();
        if ready.is_empty() {
            break;
        }
        depths.extend(ready);
    }
    create.sort_by_cached_key(|row| (depths.get(&row.key).copied().unwrap_or(usize::MAX), row.key.clone()));
}

fn adopt(rows: &[LeaseRow], create: &[LeaseRow]) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let mut children: BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> = BTreeMap::new();
    for row in rows.iter().chain(create) {
        for parent in row.parents.iter().filter(|parent| **parent != row.key) {
            children.entry(parent).or_default().insert(&row.key);
        }
    }
    let known = |row: &LeaseRow| -> Option<(Arc<str>, Vec<Arc<str>>)> {
        let mut all: BTreeSet<&Arc<str>> = children.get(&row.key)?.clone();
        all.extend(&row.children);
        (all.len() > row.children.len()).then(|| (row.key.clone(), all.into_iter().cloned().collect()))
    };
    rows.iter().chain(create).filter_map(known).collect()
}

/// As if `create` and `adopt` had been done: a child that is only now found has not progressed.
fn forget(
    rows: &[LeaseRow],
    mut leases: BTreeMap<Arc<str>, Lease>,
    create: &[LeaseRow],
    adopt: &[(Arc<str>, Vec<Arc<str>>)],
) -> Vec<LeaseRow> {
    // Its parents, of which a bad row says nothing, have it as a child all the same.
    let lineage: Vec<(Arc<str>, Vec<Arc<str>>)> = leases.iter().map(|(key, lease)| (key.clone(), lease.parents.clone())).collect();
    for (child, parents) in lineage {
        for parent in parents {
            if let Some(lease) = leases.get_mut(&parent)
                && !lease.children.contains(&child)
            {
                lease.children.push(child.clone());
            }
        }
    }
    for row in create {
        leases.insert(row.key.clone(), Lease::new(row.checkpoint.clone(), row.parents.clone()));
    }
    for (key, children) in adopt {
        if let Some(lease) = leases.get_mut(key) {
            lease.children.clone_from(children);
        }
    }
    let stream: Arc<str> = Arc::from("");
    let keyed = leases.into_iter().map(|(shard, lease)| (ShardKey::new(stream.clone(), shard), lease)).collect();
    let keys: BTreeSet<Arc<str>> = forgettable(&keyed).into_iter().map(|key| key.shard).collect();
    rows.iter().filter(|row| keys.contains(&row.key)).cloned().collect()
}

/// A listing is eventually consistent. The open shards of a stream cover its key space without a
/// hole at any time but while it is being resharded.
fn holes(listed: &[ListedShard]) -> Vec<HashRange> {
    let mut ranges: Vec<HashRange> = listed.iter().filter(|shard| shard.open).filter_map(|shard| shard.hash_range).collect();
    ranges.sort_by_key(|range| range.starting);
    let mut holes = Vec::new();
    let mut covered: Option<u128> = None;
    for range in ranges {
        if let Some(next) = covered.and_then(|end| end.checked_add(1))
            && next < range.starting
        {
            holes.push(HashRange { starting: next, ending: range.starting - 1 });
        }
        covered = Some(covered.map_or(range.ending, |end| end.max(range.ending)));
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leasing::table::BadRow;

    fn scan(rows: &[LeaseRow]) -> Scan {
        Scan { rows: rows.to_vec(), bad: vec![] }
    }

    fn shard(key: &str, parents: &[&str], range: Option<(u128, u128)>) -> ListedShard {
        ListedShard {
            shard: key.into(),
            parents: parents.iter().map(|parent| Arc::from(*parent)).collect(),
            open: range.is_some(),
            hash_range: range.map(|(starting, ending)| HashRange { starting, ending }),
        }
    }

    fn created(sync: &Alignment) -> Vec<(&str, &Checkpoint)> {
        sync.create.iter().map(|row| (&*row.key, &row.checkpoint)).collect()
    }

    #[test]
    fn parents_come_before_children_whatever_their_ids() {
        let listed = [shard("1", &["5"], Some((0, 4))), shard("9", &[], None), shard("5", &["9"], None), shard("2", &["5"], Some((5, 9)))];
        let sync = synchronise(&listed, &scan(&[]), StartAt::TrimHorizon);
        let horizon = &Checkpoint::TrimHorizon;
        assert_eq!(created(&sync), [("9", horizon), ("5", horizon), ("1", horizon), ("2", horizon)]);
        assert_eq!(sync.create[2].hash_range, Some(HashRange { starting: 0, ending: 4 }));
        let children: Vec<Arc<str>> = vec!["1".into(), "2".into()];
        assert!(sync.adopt.contains(&("5".into(), children)));
        assert_eq!(synchronise(&listed, &scan(&[]), StartAt::Latest).create.len(), 2, "closed ones are before the start");
    }

    #[test]
    fn a_child_begins_at_its_horizon_whatever_the_start_says() {
        let row = LeaseRow { checkpoint: Checkpoint::after("7"), ..LeaseRow::new("p", Checkpoint::Latest) };
        let listed = [shard("p", &[], None), shard("a", &["p"], Some((0, 4))), shard("b", &["p"], Some((5, 9)))];
        let sync = synchronise(&listed, &scan(&[row]), StartAt::Latest);
        assert_eq!(created(&sync), [("a", &Checkpoint::TrimHorizon), ("b", &Checkpoint::TrimHorizon)]);
        assert_eq!(sync.adopt, [("p".into(), vec!["a".into(), "b".into()])]);
    }

    #[test]
    fn a_parent_is_forgotten_after_its_children_progressed_and_it_is_listed_no_more() {
        let parent = LeaseRow { children: vec!["a".into()], ..LeaseRow::new("p", Checkpoint::ShardEnd) };
        let child = |checkpoint| LeaseRow { parents: vec!["p".into()], ..LeaseRow::new("a", checkpoint) };
        let forgotten = |listed: &[ListedShard], checkpoint| {
            let rows = [parent.clone(), child(checkpoint)];
            synchronise(listed, &scan(&rows), StartAt::TrimHorizon).forget.len()
        };
        let only_child = [shard("a", &["p"], Some((0, 9)))];
        let both = [shard("p", &[], None), only_child[0].clone()];
        assert_eq!(forgotten(&both, Checkpoint::after("1")), 0, "listed");
        assert_eq!(forgotten(&only_child, Checkpoint::TrimHorizon), 0, "the child has not begun");
        assert_eq!(forgotten(&only_child, Checkpoint::after("1")), 1);
        let rows = [LeaseRow { children: vec![], ..parent.clone() }, LeaseRow::new("other", Checkpoint::TrimHorizon)];
        assert_eq!(synchronise(&only_child, &scan(&rows), StartAt::TrimHorizon).forget, [], "a child that is only now found");
        let torn = [shard("a", &["p"], Some((0, 4))), shard("z", &[], Some((8, 9)))];
        assert_eq!(forgotten(&torn, Checkpoint::after("1")), 0, "such a listing proves nothing");
    }

    #[test]
    fn a_listing_that_left_shards_out_has_holes() {
        let range = |key: &str, range| shard(key, &[], Some(range));
        let hole = |listed: &[ListedShard]| synchronise(listed, &scan(&[]), StartAt::TrimHorizon).holes;
        assert_eq!(hole(&[range("b", (5, 9)), range("a", (0, 4))]), []);
        assert_eq!(hole(&[range("a", (0, 4)), range("c", (8, u128::MAX))]), [HashRange { starting: 5, ending: 7 }]);
    }

    #[test]
    fn a_row_that_cannot_be_understood_is_a_lease_that_has_not_progressed() {
        let listed = [shard("g", &[], None), shard("p", &["g"], None), shard("c", &["p"], Some((0, 9)))];
        let bad = vec![BadRow { key: "c".into(), why: "mangled".into() }];
        let parent = LeaseRow { parents: vec!["g".into()], ..LeaseRow::new("p", Checkpoint::ShardEnd) };
        let sync = synchronise(&listed, &Scan { rows: vec![], bad: bad.clone() }, StartAt::TrimHorizon);
        assert_eq!(created(&sync), [], "neither it nor its ancestors are read anew");
        let sync = synchronise(&listed[2..], &Scan { rows: vec![parent], bad }, StartAt::TrimHorizon);
        assert_eq!((sync.create, sync.forget), (vec![], vec![]));
    }
}
