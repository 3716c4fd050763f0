//! What went wrong in other consumers of Kinesis, and had no test of its own here. The crate's README
//! has the whole list.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinesis_lease::Checkpoint;
use kinesis_lease::leasing::{LeaseEvent, MemoryTable, PlanSettings, ShardSource, TableError, TokenState};
use kinesis_lease::plan::{HashRange, ListedShard};

use super::fleet::{FAILOVER, Fixed, Worker};
use crate::support::DEADLINE;

type Fleet = Worker<MemoryTable>;

fn start(table: &MemoryTable, name: &str, shards: usize) -> Fleet {
    Worker::start_with(table.clone(), name, Fixed(shards), PlanSettings::default())
}

/// Lets all of them go on until `done`.
async fn until(what: &str, workers: &mut [&mut Fleet], done: impl Fn(&[&mut Fleet]) -> bool) {
    let wait = async {
        while !done(workers) {
            for worker in &mut *workers {
                worker.settle().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DEADLINE, wait).await.is_err() {
        panic!("{what}: {:?}", workers.iter().map(|worker| worker.handle.counts()).collect::<Vec<_>>());
    }
}

/// Until one of its leases is asked for; does not let go of it.
async fn until_asked(worker: &Fleet) {
    let asked = async {
        while !worker.tokens.values().any(|token| token.state() == TokenState::Asked) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.expect("one is asked for");
}

/// KCL#1718, KCL#1765: leases that were being handed over stuck for ever.
#[tokio::test]
async fn a_lease_whose_writer_dies_in_the_hand_over_goes_to_who_asked() {
    let table = MemoryTable::default();
    let mut first = start(&table, "first", 2);
    first.until(2).await;
    let mut second = start(&table, "second", 2);
    until_asked(&first).await;
    drop(first);
    second.until(2).await;
    let rows = table.rows();
    assert!(rows.iter().all(|row| row.owner.as_deref() == Some("second") && row.checkpoint_owner.is_none()), "{rows:?}");
}

#[tokio::test]
async fn a_lease_whose_claimant_dies_in_the_hand_over_comes_back() {
    let table = MemoryTable::default();
    let mut first = start(&table, "first", 2);
    first.until(2).await;
    let second = start(&table, "second", 2);
    until_asked(&first).await;
    drop(second);
    // It lets go in good faith: the lease is a dead worker's then.
    first.settle().await;
    assert_eq!(first.tokens.len(), 1);
    first.until(2).await;
    let rows = table.rows();
    assert!(rows.iter().all(|row| row.owner.as_deref() == Some("first") && row.checkpoint_owner.is_none()), "{rows:?}");
}

/// zio-kinesis#1083: where everybody had its share, nobody took what had expired.
#[tokio::test]
async fn a_balanced_fleet_takes_over_from_one_that_dies() {
    let table = MemoryTable::default();
    let mut first = start(&table, "first", 6);
    first.until(6).await;
    let (mut second, mut third) = (start(&table, "second", 6), start(&table, "third", 6));
    let balanced = |workers: &[&mut Fleet]| workers.iter().all(|worker| worker.tokens.len() == 2);
    until("two each", &mut [&mut first, &mut second, &mut third], balanced).await;
    let died = Instant::now();
    drop(third);
    let shared = |workers: &[&mut Fleet]| workers.iter().all(|worker| worker.tokens.len() == 3);
    until("three each", &mut [&mut first, &mut second], shared).await;
    println!("taken over after {:?}, failover time {FAILOVER:?}", died.elapsed());
}

/// KCL#202: at the most leases that each may have, what a dead worker left was read by nobody and
/// nothing said so.
#[tokio::test]
async fn leases_beyond_what_is_allowed_are_told() {
    let table = MemoryTable::default();
    let capped = || PlanSettings { leases_max: 2, ..PlanSettings::default() };
    let mut first = Worker::start_with(table.clone(), "first", Fixed(4), capped());
    let mut second = Worker::start_with(table.clone(), "second", Fixed(4), capped());
    let balanced = |workers: &[&mut Fleet]| workers.iter().all(|worker| worker.tokens.len() == 2);
    until("two each", &mut [&mut first, &mut second], balanced).await;
    until("nothing is beyond", &mut [&mut first, &mut second], |workers| {
        workers.iter().all(|worker| worker.handle.counts().assignment.lease_spillover == 0)
    })
    .await;
    drop(second);
    until("it is told", &mut [&mut first], |workers| {
        let counts = workers[0].handle.counts();
        (counts.assignment.lease_spillover, counts.assignment.expired_leases, counts.current_leases) == (2, 2, 2)
    })
    .await;
    assert_eq!(first.tokens.len(), 2, "and the limit holds");
}

/// Shards that change while workers look at them.
#[derive(Clone, Default)]
struct Changing(Arc<Mutex<Vec<ListedShard>>>);

impl ShardSource for Changing {
    async fn list(&self) -> Result<Vec<ListedShard>, TableError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

fn shard(id: &str, parents: &[&str], range: (u128, u128), open: bool) -> ListedShard {
    let hash_range = Some(HashRange { starting: range.0, ending: range.1 });
    ListedShard { shard: id.into(), parents: parents.iter().map(|parent| Arc::from(*parent)).collect(), open, hash_range }
}

/// KCL#339: shards that were missing after a reshard were read by nobody.
#[tokio::test]
async fn a_listing_that_does_not_cover_the_key_space_is_told() {
    let source = Changing::default();
    *source.0.lock().unwrap() = vec![shard("a", &[], (0, 99), true), shard("c", &[], (200, u128::MAX), true)];
    let mut worker = Worker::start_with(MemoryTable::default(), "only", source.clone(), PlanSettings::default());
    let told = async {
        loop {
            if let LeaseEvent::Holes(holes) = worker.events.recv().await.expect("the worker runs") {
                return holes;
            }
        }
    };
    let holes = tokio::time::timeout(DEADLINE, told).await.expect("it is told");
    assert_eq!(holes, [HashRange { starting: 100, ending: 199 }]);
    // The next listing has it.
    source.0.lock().unwrap().push(shard("b", &[], (100, 199), true));
    tokio::time::timeout(DEADLINE, async {
        while worker.handle.counts().current_leases < 3 {
            _ = worker.events.try_recv();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the missing one is read");
}

/// FLINK-37627: what was stored while a shard was split lost the parent's rest or the child's start.
#[tokio::test]
async fn a_death_between_a_parents_end_and_its_children_loses_nothing() {
    for settled_the_end in [false, true] {
        let (table, source) = (MemoryTable::default(), Changing::default());
        *source.0.lock().unwrap() = vec![shard("p", &[], (0, 99), true)];
        let mut first = Worker::start_with(table.clone(), "first", source.clone(), PlanSettings::default());
        first.until(1).await;
        let parent = first.tokens.values().next().unwrap().clone();
        parent.checkpoint(Checkpoint::after("42"), Some("at 42".into())).await.unwrap();
        *source.0.lock().unwrap() =
            vec![shard("p", &[], (0, 99), false), shard("l", &["p"], (0, 49), true), shard("r", &["p"], (50, 99), true)];
        if settled_the_end {
            parent.checkpoint(Checkpoint::ShardEnd, Some("at its end".into())).await.unwrap();
        }
        drop((parent, first));

        let mut second = Worker::start_with(table.clone(), "second", source, PlanSettings::default());
        if !settled_the_end {
            second.until(1).await;
            let token = second.tokens.values().next().unwrap().clone();
            assert_eq!((&**token.key(), token.opening()), ("p", &Checkpoint::after("42")), "the parent's rest comes first");
            assert_eq!(token.taken().snapshot_ref.as_deref(), Some("at 42"));
            token.checkpoint(Checkpoint::ShardEnd, Some("at its end".into())).await.unwrap();
        }
        second.until(2).await;
        for (key, token) in &second.tokens {
            assert!(["l", "r"].contains(&&**key));
            assert_eq!(*token.opening(), Checkpoint::TrimHorizon);
            assert_eq!(token.parents()[0].snapshot_ref.as_deref(), Some("at its end"), "what belongs to the parent's end is there");
        }
    }
}

/// The README's list names tests that exist.
#[test]
fn every_test_that_the_readme_names_exists() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut sources = String::new();
    let mut ahead = vec![folder.join("src"), folder.join("tests")];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources += &std::fs::read_to_string(&path).unwrap();
        }
    }
    let (_, list) = readme.split_once("## Bugs of others").unwrap();
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| ") && line.contains("::")).collect();
    let names: Vec<&str> = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.contains("::")).collect();
    assert!(rows.len() >= 13 && names.len() >= 20, "{} rows, {} names", rows.len(), names.len());
    for name in names {
        let function = name.rsplit("::").next().unwrap();
        let is_there = ["(", "<"].iter().any(|next| sources.contains(&format!("fn {function}{next}")));
        assert!(is_there, "{name}");
    }
}
