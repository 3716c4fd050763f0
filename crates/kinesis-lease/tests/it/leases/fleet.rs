//! Workers over a real table, by the real clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinesis_lease::Checkpoint;
use kinesis_lease::leasing::{
    Change, CheckpointError, FolderTable, LeaseEvent, LeaseTable, LeaseToken, LeaseWorker, LeaseWorkerHandle, LostReason, MemoryTable,
    PlanSettings, ShardSource, TableError, TokenState, WorkerSettings, Write,
};
use kinesis_lease::plan::ListedShard;
use tokio::sync::mpsc::Receiver;

use crate::support::DEADLINE;
use crate::support::dynamo::Dynamo;

/// Shards that stay as they are.
pub struct Fixed(pub usize);

impl ShardSource for Fixed {
    async fn list(&self) -> Result<Vec<ListedShard>, TableError> {
        let shard = |at: usize| ListedShard { shard: format!("shardId-{at:012}").into(), parents: vec![], open: true, hash_range: None };
        Ok((0..self.0).map(shard).collect())
    }
}

pub const FAILOVER: Duration = Duration::from_millis(1_500);

pub struct Worker<T> {
    pub events: Receiver<LeaseEvent<T>>,
    pub handle: LeaseWorkerHandle<T>,
    pub tokens: BTreeMap<Arc<str>, LeaseToken<T>>,
}

impl<T: LeaseTable> Worker<T> {
    fn start(table: T, name: &str, shards: usize) -> Self {
        Self::start_with(table, name, Fixed(shards), PlanSettings::default())
    }

    /// The failover time is always [`FAILOVER`].
    pub fn start_with(table: T, name: &str, source: impl ShardSource, plan: PlanSettings) -> Self {
        let settings = WorkerSettings {
            plan: PlanSettings { failover: FAILOVER, ..plan },
            take_interval: Duration::from_millis(400),
            discovery_interval: Duration::from_millis(300),
            stop_timeout: Duration::from_secs(5),
            ..WorkerSettings::new(name)
        };
        let (events, handle) = LeaseWorker::start(table, source, settings);
        Self { events, handle, tokens: BTreeMap::new() }
    }

    /// Takes what comes, lets go of what is asked for, until it has `count` leases.
    pub async fn until(&mut self, count: usize) {
        let until = async {
            loop {
                self.settle().await;
                if self.tokens.len() == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, until).await.unwrap_or_else(|_| panic!("{count} leases, not {:?}", self.handle.counts()));
    }

    pub async fn settle(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if let LeaseEvent::Gained(token) = event {
                self.tokens.insert(token.key().clone(), token);
            }
        }
        let asked: Vec<_> = self.tokens.values().filter(|token| token.state() == TokenState::Asked).cloned().collect();
        for token in asked {
            token.checkpoint(Checkpoint::after("50"), Some("handed over".into())).await.unwrap();
            token.release().await.unwrap();
        }
        self.tokens.retain(|_, token| !matches!(token.state(), TokenState::Over(_)));
    }
}

async fn a_fleet_shares_hands_over_and_fails_over(table: impl LeaseTable + Clone) {
    let mut first = Worker::start(table.clone(), "first", 4);
    first.until(4).await;
    for token in first.tokens.values() {
        token.checkpoint(Checkpoint::after("42"), Some("snapshot".into())).await.unwrap();
    }
    // A second one asks for its half, one by one, and goes on where the first has stopped.
    let mut second = Worker::start(table.clone(), "second", 4);
    let shared = async {
        while second.tokens.len() < 2 || first.tokens.len() > 2 {
            first.settle().await;
            second.settle().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, shared).await.expect("two each");
    assert!(second.tokens.values().all(|token| *token.opening() == Checkpoint::after("50")));
    assert_eq!(first.handle.counts().lost_leases, 0, "asked for, not lost");

    // The first one dies. Its tokens are refused from then on, and the second takes over.
    let Worker { events, handle, tokens } = first;
    let died = Instant::now();
    drop((events, handle));
    second.until(4).await;
    println!("taken over {:?} after the death, failover time {FAILOVER:?}", died.elapsed());
    for token in tokens.values() {
        let error = token.checkpoint(Checkpoint::after("99"), None).await.unwrap_err();
        assert!(matches!(error, CheckpointError::Lost { why: LostReason::Expired | LostReason::Taken, .. }), "{error}");
        let row = table.read(token.key()).await.unwrap().unwrap();
        assert_eq!((row.checkpoint, row.snapshot_ref.as_deref()), (Checkpoint::after("42"), Some("snapshot")));
    }

    // The second one stops in order: nothing has to expire for a third.
    let stop = tokio::spawn(async move {
        let Worker { handle, mut events, tokens } = second;
        let stopping = tokio::spawn(handle.stop());
        for token in tokens.values() {
            let mut state = token.watch();
            state.wait_for(|state| *state != TokenState::Held).await.unwrap();
            token.release().await.unwrap();
        }
        events.close();
        stopping.await.unwrap()
    });
    assert_eq!(stop.await.unwrap(), 0, "nothing had to be taken back");
    let rows = table.scan().await.unwrap().rows;
    assert!(rows.iter().all(|row| row.owner.is_none()), "{rows:?}");
    let begun = Instant::now();
    let mut third = Worker::start(table, "third", 4);
    third.until(4).await;
    assert!(begun.elapsed() < FAILOVER, "nothing had to expire: {:?}", begun.elapsed());
    let counts = third.handle.counts();
    assert_eq!((counts.current_leases, counts.taken_leases, counts.assignment.num_workers), (4, 4, 1));
}

#[tokio::test]
async fn in_dynalite() {
    if let Some(server) = Dynamo::dynalite().await {
        a_fleet_shares_hands_over_and_fails_over(server.table().0).await;
    }
}

#[tokio::test]
async fn in_ministack() {
    if let Some(server) = Dynamo::ministack().await {
        a_fleet_shares_hands_over_and_fails_over(server.table().0).await;
    }
}

#[tokio::test]
async fn in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    a_fleet_shares_hands_over_and_fails_over(FolderTable::open(folder.path()).await.unwrap()).await;
}

/// A processor that gave up without a word: its lease must not be renewed for ever.
#[tokio::test]
async fn a_token_that_is_dropped_frees_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start(FolderTable::open(folder.path()).await.unwrap(), "only", 1);
    worker.until(1).await;
    worker.tokens.clear();
    worker.until(1).await;
    assert_eq!(worker.handle.counts().lost_leases, 1);
}

/// The worker has the lease again, but whoever processed under the old token has missed what another
/// did in between.
#[tokio::test]
async fn a_token_of_a_lost_and_regained_lease_is_refused() {
    let table = MemoryTable::default();
    let mut worker = Worker::start(table.clone(), "me", 1);
    worker.until(1).await;
    let old = worker.tokens.values().next().unwrap().clone();
    old.checkpoint(Checkpoint::after("10"), None).await.unwrap();

    let mut row = table.rows().remove(0);
    let other: Arc<str> = "other".into();
    let theirs = Change::Checkpoint { to: Checkpoint::after("20"), snapshot_ref: Some("theirs".into()) };
    for change in [Change::Take, theirs, Change::Release] {
        let write = Write::new(&row, &other, change);
        assert!(table.write(&write).await.unwrap());
        row = write.applied_to(&row).unwrap();
    }
    let mut state = old.watch();
    state.wait_for(|state| *state == TokenState::Over(LostReason::Taken)).await.unwrap();
    worker.until(1).await;
    let new = worker.tokens.values().next().unwrap();
    assert!(new.is_valid() && !old.is_valid());
    assert_eq!((new.opening(), new.taken().snapshot_ref.as_deref()), (&Checkpoint::after("20"), Some("theirs")));
    let error = old.checkpoint(Checkpoint::after("15"), None).await.unwrap_err();
    assert!(matches!(error, CheckpointError::Lost { why: LostReason::Taken, .. }), "{error}");
    assert!(old.release().await.is_err(), "nor can it let go of what is the other's");
    new.checkpoint(Checkpoint::after("30"), Some("ours".into())).await.unwrap();
    new.checkpoint(Checkpoint::ShardEnd, Some("end".into())).await.unwrap();
    assert!(new.checkpoint(Checkpoint::after("40"), None).await.is_err(), "nothing comes after the end");
    let row = table.rows().remove(0);
    assert_eq!((row.checkpoint, row.snapshot_ref.as_deref()), (Checkpoint::ShardEnd, Some("end")));
}
