//! One contract for all lease tables, and what DynamoDB's alone must do.

mod dynamo;
mod fleet;
mod known_bugs;
mod oracle;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::Checkpoint;
use kinesis_lease::leasing::table::perform;
use kinesis_lease::leasing::{Change, FolderTable, LeaseRow, LeaseTable, MemoryTable, Settled, Write};
use kinesis_lease::plan::HashRange;

use crate::support::dynamo::Dynamo;

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::MemoryTable::default()).await;
            })*
        }
        mod folder {
            $(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                super::$case(super::FolderTable::open(folder.path()).await.unwrap()).await;
            })*
        }
        mod dynalite {
            $(#[tokio::test]
            async fn $case() {
                if let Some(server) = super::Dynamo::dynalite().await {
                    super::$case(server.table().0).await;
                }
            })*
        }
        mod ministack {
            $(#[tokio::test]
            async fn $case() {
                if let Some(server) = super::Dynamo::ministack().await {
                    super::$case(server.table().0).await;
                }
            })*
        }
    };
}

contract!(
    a_table_is_prepared_by_any_number_of_workers,
    a_lease_is_created_once,
    each_write_does_what_it_says_and_nothing_else,
    a_write_against_another_row_is_refused,
    every_checkpoint_comes_back_as_it_was,
    of_many_that_take_one_wins,
    children_are_noted_without_a_sign_of_life,
    only_a_finished_lease_that_has_not_moved_is_deleted,
);

const TIMEOUT: Duration = Duration::from_secs(5);

pub fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

pub fn row() -> LeaseRow {
    LeaseRow {
        parents: vec![name("shardId-000000000003"), name("shardId-000000000004")],
        hash_range: Some(HashRange { starting: 0, ending: u128::MAX }),
        ..LeaseRow::new("shardId-000000000007", Checkpoint::TrimHorizon)
    }
}

/// Writes, and holds the table against the pure model.
async fn apply(table: &impl LeaseTable, row: &LeaseRow, author: &str, change: Change) -> LeaseRow {
    let write = Write::new(row, &name(author), change);
    let expected = write.applied_to(row).expect("the row is as it was");
    assert!(table.write(&write).await.unwrap(), "{write:?}");
    assert_eq!(table.read(&row.key).await.unwrap().as_ref(), Some(&expected), "{write:?}");
    expected
}

async fn a_table_is_prepared_by_any_number_of_workers(table: impl LeaseTable + Clone) {
    let preparations: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let table = table.clone();
                async move { table.prepare().await }
            })
        })
        .collect();
    for preparation in preparations {
        preparation.await.unwrap().unwrap();
    }
    table.prepare().await.unwrap();
    assert_eq!(table.scan().await.unwrap(), Default::default());
    assert_eq!(table.read("shardId-0").await.unwrap(), None);
}

async fn a_lease_is_created_once(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    assert!(table.create(&row()).await.unwrap());
    let later = LeaseRow { checkpoint: Checkpoint::Latest, ..row() };
    assert!(!table.create(&later).await.unwrap());
    assert_eq!(table.scan().await.unwrap().rows, [row()]);
}

async fn each_write_does_what_it_says_and_nothing_else(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let other = LeaseRow::new("shardId-000000000008", Checkpoint::Latest);
    table.create(&other).await.unwrap();
    let moved =
        |number: &str, snapshot: Option<&str>| Change::Checkpoint { to: Checkpoint::after(number), snapshot_ref: snapshot.map(name) };

    let mut row = row();
    for (author, change) in [
        ("a", Change::Take),
        ("a", Change::Renew),
        ("a", moved("100", Some("snapshot-1"))),
        ("b", Change::Claim),
        ("a", Change::Renew),
        ("a", moved("200", Some("snapshot-2"))),
        ("a", Change::Release),
        ("b", Change::Take),
        ("b", moved("300", None)),
        ("b", Change::Release),
        ("c", Change::Take),
        ("d", Change::Take),
        ("e", Change::Claim),
        ("f", Change::Take),
        ("f", Change::Checkpoint { to: Checkpoint::ShardEnd, snapshot_ref: Some(name("last")) }),
    ] {
        row = apply(&table, &row, author, change).await;
    }
    assert_eq!(row.counter, 15);
    assert_eq!(table.read(&other.key).await.unwrap(), Some(other));
}

async fn a_write_against_another_row_is_refused(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    let absent = Write::new(&row(), &name("a"), Change::Take);
    assert!(!table.write(&absent).await.unwrap(), "there is no such lease, and none is made");
    assert_eq!(table.read(&row().key).await.unwrap(), None);

    table.create(&row()).await.unwrap();
    let taken = apply(&table, &row(), "a", Change::Take).await;
    let claimed = apply(&table, &taken, "b", Change::Claim).await;
    let stale = [
        row(),
        taken,
        LeaseRow { owner: Some(name("a")), ..claimed.clone() },
        LeaseRow { checkpoint_owner: None, ..claimed.clone() },
        LeaseRow { counter: 1, ..claimed.clone() },
    ];
    for stale in stale {
        let to = Change::Checkpoint { to: Checkpoint::after("9"), snapshot_ref: Some(name("x")) };
        for change in [Change::Renew, Change::Take, Change::Release, to] {
            assert!(!table.write(&Write::new(&stale, &name("a"), change)).await.unwrap(), "{stale:?}");
        }
    }
    assert_eq!(table.read(&row().key).await.unwrap(), Some(claimed));
}

async fn every_checkpoint_comes_back_as_it_was(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let mut row = apply(&table, &row(), "a", Change::Take).await;
    let number = "49680474031664202225895270112978977231184561965658800130";
    let partial = |sub| Checkpoint::After { sequence_number: number.into(), sub_sequence: Some(sub) };
    for to in [
        Checkpoint::Latest,
        Checkpoint::AtTimestamp(1_700_000_000_123),
        partial(0),
        partial(41),
        Checkpoint::after(number),
        partial(2),
        Checkpoint::AtTimestamp(-1),
        Checkpoint::TrimHorizon,
        Checkpoint::ShardEnd,
    ] {
        row = apply(&table, &row, "a", Change::Checkpoint { to, snapshot_ref: None }).await;
    }
}

async fn of_many_that_take_one_wins(table: impl LeaseTable + Clone) {
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let tries: Vec<_> = (0..8)
        .map(|worker| {
            tokio::spawn({
                let table = table.clone();
                async move {
                    let write = Write::new(&row(), &name(&format!("worker-{worker}")), Change::Take);
                    perform(&table, &write, &row(), TIMEOUT).await.unwrap()
                }
            })
        })
        .collect();
    let mut won = Vec::new();
    for attempt in tries {
        match attempt.await.unwrap() {
            Settled::Applied(row) => won.push(row),
            Settled::Refused(Some(row)) => assert_eq!(row.counter, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(table.read(&row().key).await.unwrap(), won.pop());
}

async fn children_are_noted_without_a_sign_of_life(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let taken = apply(&table, &row(), "a", Change::Take).await;
    let children = vec![name("shardId-000000000008"), name("shardId-000000000009")];
    table.adopt(&taken.key, &children).await.unwrap();
    let expected = LeaseRow { children, ..taken };
    assert_eq!(table.read(&row().key).await.unwrap(), Some(expected.clone()));
    apply(&table, &expected, "a", Change::Renew).await;
    table.adopt("shardId-absent", &[name("x")]).await.unwrap();
    assert_eq!(table.scan().await.unwrap().rows.len(), 1, "no row is made by it");
}

async fn only_a_finished_lease_that_has_not_moved_is_deleted(table: impl LeaseTable) {
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let taken = apply(&table, &row(), "a", Change::Take).await;
    table.delete(&taken).await.unwrap();
    assert!(table.read(&row().key).await.unwrap().is_some(), "not at its end");
    let ended = apply(&table, &taken, "a", Change::Checkpoint { to: Checkpoint::ShardEnd, snapshot_ref: None }).await;
    table.delete(&taken).await.unwrap();
    assert!(table.read(&row().key).await.unwrap().is_some(), "it has moved");
    table.delete(&ended).await.unwrap();
    table.delete(&ended).await.unwrap();
    assert_eq!(table.read(&row().key).await.unwrap(), None);
}

#[tokio::test]
async fn a_folder_keeps_its_leases() {
    let folder = tempfile::tempdir().unwrap();
    let table = FolderTable::open(folder.path()).await.unwrap();
    table.create(&row()).await.unwrap();
    let taken = apply(&table, &row(), "a", Change::Take).await;
    let to = Change::Checkpoint { to: Checkpoint::AtTimestamp(5), snapshot_ref: Some(name("snapshot \"1\"")) };
    let moved = apply(&table, &taken, "a", to).await;
    assert!(FolderTable::open(folder.path()).await.is_err(), "it is in use");
    drop(table);
    let table = FolderTable::open(folder.path()).await.unwrap();
    assert_eq!(table.scan().await.unwrap().rows, [moved]);
    drop(table);
    let file = folder.path().join("leases.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("\"leaseCounter\":2", "\"leaseCounter\":3", 1)).unwrap();
    let error = FolderTable::open(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("leases.json") && error.contains("checksum"), "{error}");
}
