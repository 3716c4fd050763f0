//! Leased consumers over a real Kinesis server: several of them, resharding, a death.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_lease::leasing::{
    LeaseTable, LeasedConsumer, LeasedConsumerHandle, LeasedDelivery, MemoryTable, PlanSettings, TokenState, WorkerSettings,
};
use kinesis_lease::{Checkpoint, Delivery, Record, StreamSettings};
use tokio::sync::mpsc::Receiver;
use tokio::task::AbortHandle;

use crate::support::dynamo::Dynamo;
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{DEADLINE, fast, quick, subscribed};

/// What all callers have processed. A record may come again; its first time has its order.
#[derive(Default)]
struct Processed {
    /// Per key, how many of its records.
    keys: BTreeMap<String, u32>,
    firsts: usize,
    again: usize,
}

impl Processed {
    fn take(&mut self, record: &Record) {
        let payload = String::from_utf8(record.data.clone()).unwrap();
        let (key, number) = payload.split_once(':').unwrap();
        let next = self.keys.entry(key.to_owned()).or_default();
        let number: u32 = number.parse().unwrap();
        assert!(number <= *next, "key {key}: {number} before {next}");
        if number == *next {
            *next += 1;
            self.firsts += 1;
        } else {
            self.again += 1;
        }
    }
}

struct Node<T> {
    handle: LeasedConsumerHandle<T>,
    caller: AbortHandle,
}

type Settings = fn(&str) -> StreamSettings;

fn start<T: LeaseTable + Clone + std::fmt::Debug>(
    server: &Server,
    stream: &Stream,
    table: &T,
    processed: &Arc<Mutex<Processed>>,
    settings: Settings,
) -> Node<T> {
    let worker = WorkerSettings {
        plan: PlanSettings { failover: Duration::from_millis(1_500), ..PlanSettings::default() },
        take_interval: Duration::from_millis(300),
        discovery_interval: Duration::from_millis(500),
        ..WorkerSettings::unique("node")
    };
    let source = (server.client.clone(), settings(&stream.name));
    let (deliveries, handle) = LeasedConsumer::start(source, &quick(), table.clone(), worker).unwrap();
    let caller = tokio::spawn(process(deliveries, processed.clone())).abort_handle();
    Node { handle, caller }
}

async fn process<T: LeaseTable>(mut deliveries: Receiver<LeasedDelivery<T>>, processed: Arc<Mutex<Processed>>) {
    let mut tokens = BTreeMap::new();
    while let Some(message) = deliveries.recv().await {
        match message {
            LeasedDelivery::Gained(token) => {
                // What belongs to a child's beginning is there: its parents' ends.
                let is_child = !token.taken().parents.is_empty() && *token.opening() == Checkpoint::TrimHorizon;
                let ends: Vec<_> = token.parents().iter().map(|row| row.snapshot_ref.as_deref()).collect();
                assert!(!is_child || (!ends.is_empty() && ends.iter().all(|end| *end == Some("end"))), "{ends:?}");
                tokens.insert(token.key().clone(), token);
            }
            LeasedDelivery::Read { token, delivery: Delivery::Page { records, end, .. } } if !records.is_empty() => {
                records.iter().for_each(|record| processed.lock().unwrap().take(record));
                // Refused if the lease is lost; then the next owner has the records again.
                _ = token.checkpoint(end.clone(), Some(end.to_string().into())).await;
            }
            LeasedDelivery::Read { token, delivery: Delivery::ShardEnded { .. } } => {
                _ = token.checkpoint(Checkpoint::ShardEnd, Some("end".into())).await;
                tokens.remove(token.key());
            }
            LeasedDelivery::Asked(token) => {
                _ = token.release().await;
                tokens.remove(token.key());
            }
            LeasedDelivery::Lost { token, .. } => {
                assert!(matches!(token.state(), TokenState::Over(_)));
                tokens.remove(token.key());
            }
            _ => {}
        }
    }
}

async fn until(what: &str, enough: impl Fn() -> bool) {
    let wait = async {
        while !enough() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn a_fleet_reads_every_record_through_reshards_and_a_death<T: LeaseTable + Clone + std::fmt::Debug>(
    server: Server,
    table: T,
    settings: Settings,
) {
    let mut stream = Stream::create(&server.client, 2).await;
    let processed = Arc::new(Mutex::new(Processed::default()));
    let seen = |count: usize| {
        let processed = processed.clone();
        move || processed.lock().unwrap().firsts >= count
    };
    stream.put(48).await;
    let first = start(&server, &stream, &table, &processed, settings);
    until("the first alone", seen(48)).await;
    let second = start(&server, &stream, &table, &processed, settings);
    until("one shard each", || first.handle.counts().current_leases == 1 && second.handle.counts().current_leases == 1).await;
    stream.put(48).await;
    until("both", seen(96)).await;

    stream.split(&stream.open_shards().await[0]).await;
    stream.put(48).await;
    until("through a split", seen(144)).await;
    let open = stream.open_shards().await;
    stream.merge(&open[0], &open[1]).await;
    stream.put(48).await;
    until("through a merge", seen(192)).await;

    // One dies with all its tasks; what it held is taken over from the last checkpoint.
    first.caller.abort();
    drop(first);
    stream.put(48).await;
    until("after a death", seen(240)).await;
    until("all leases with the one that is left", || second.handle.counts().current_leases == 2).await;
    assert_eq!(second.handle.stop().await, 0);
    let rows = table.scan().await.unwrap().rows;
    assert!(rows.iter().all(|row| row.owner.is_none() || row.is_finished()), "{rows:#?}");
    let processed = processed.lock().unwrap();
    assert_eq!((processed.firsts, stream.len()), (240, 240));
    println!("240 records once, {} again", processed.again);
}

#[tokio::test]
async fn over_ferrokinesis_and_memory() {
    a_fleet_reads_every_record_through_reshards_and_a_death(Server::ferrokinesis().await, MemoryTable::default(), fast).await;
}

#[tokio::test]
async fn over_ferrokinesis_and_dynalite() {
    if let Some(dynamo) = Dynamo::dynalite().await {
        a_fleet_reads_every_record_through_reshards_and_a_death(Server::ferrokinesis().await, dynamo.table().0, fast).await;
    }
}

#[tokio::test]
async fn over_kinesis_local_and_ministack() {
    if let (Some(kinesis), Some(dynamo)) = (Server::kinesis_local().await, Dynamo::ministack().await) {
        a_fleet_reads_every_record_through_reshards_and_a_death(kinesis, dynamo.table().0, fast).await;
    }
}

#[tokio::test]
async fn by_subscription_over_memory() {
    let mut server = Server::ferrokinesis().await;
    let before = server.with_fan_out(Duration::from_secs(2)).await;
    a_fleet_reads_every_record_through_reshards_and_a_death(server, MemoryTable::default(), subscribed).await;
    println!("{} subscriptions", before.subscriptions());
}
