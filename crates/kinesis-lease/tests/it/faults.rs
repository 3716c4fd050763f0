//! What the consumer does when service and network misbehave: it says so, goes on, and neither
//! loses nor repeats a record.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use kinesis_lease::{Checkpoint, Consumer, ConsumerSettings, Delivery, GapKind, Lease, Manifest, ShardKey, StreamSettings, TroubleKind};
use tokio::net::TcpListener;

use crate::support::proxy::{Act, Call, Proxy};
use crate::support::reader::{Reader, Seen};
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{anonymous_client, bare_client, client, fast, quick};

/// Reads 40 records of two shards through a proxy with this script.
async fn read_through(script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Seen {
    read_with(quick(), bare_client, script).await
}

/// The same, with little patience for answers that do not come. On a loaded machine others may be
/// late, too, so that time-outs are counted with "at least".
async fn read_impatiently(script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Seen {
    let call_timeout = Duration::from_millis(500);
    read_with(ConsumerSettings { call_timeout, ..quick() }, bare_client, script).await
}

async fn read_with(
    settings: ConsumerSettings,
    client: impl Fn(&str) -> Client,
    script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static,
) -> Seen {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(40).await;
    let proxy = Proxy::start(&server.endpoint, script).await;
    let stream = StreamSettings { records_per_call: 6, ..fast(&stream.name) };
    let mut reader = Reader::start_with(&client(&proxy.endpoint), stream, settings, Manifest::default());
    reader.until_payloads(40).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!(seen.payloads.len(), 40);
    assert!(seen.ended.is_empty() && seen.gaps.is_empty());
    seen
}

fn first(count: usize, operation: &'static str, act: impl Fn() -> Act + Send + Sync) -> impl Fn(&Call<'_>) -> Act + Send + Sync {
    move |call| if call.operation == operation && call.nth < count { act() } else { Act::Pass }
}

#[tokio::test]
async fn a_throttling_storm_is_only_lag() {
    let storm = || Act::error(400, "ProvisionedThroughputExceededException");
    let seen = read_through(first(20, "GetRecords", storm)).await;
    assert_eq!(seen.count(TroubleKind::Throttled), 20);
    let seen = read_through(first(3, "ListShards", || Act::error(400, "LimitExceededException"))).await;
    assert_eq!(seen.count(TroubleKind::Throttled), 3);
    let seen = read_through(first(3, "GetRecords", || Act::error(400, "KMSThrottlingException"))).await;
    assert_eq!(seen.count(TroubleKind::Throttled), 3);
}

#[tokio::test]
async fn the_clients_own_retries_hide_a_single_failure() {
    let once = first(1, "GetRecords", || Act::error(500, "InternalFailure"));
    let seen = read_with(quick(), client, once).await;
    assert!(seen.troubles.is_empty(), "{:?}", seen.troubles);
}

#[tokio::test]
async fn server_errors_are_retried() {
    for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
        let seen = read_through(first(4, operation, || Act::error(500, "InternalFailure"))).await;
        assert_eq!(seen.count(TroubleKind::ServiceFailed), 4, "{operation}");
        let seen = read_through(first(2, operation, || Act::Answer(503, "<html>busy</html>".into()))).await;
        assert_eq!(seen.troubles.len(), 2, "{operation}: {:?}", seen.troubles);
    }
}

#[tokio::test]
async fn a_black_hole_is_survived() {
    for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
        let seen = read_impatiently(first(2, operation, || Act::Hang)).await;
        assert!(seen.count(TroubleKind::TimedOut) >= 2, "{operation}");
    }
}

#[tokio::test]
async fn a_lost_reply_loses_and_repeats_nothing() {
    for operation in ["GetShardIterator", "GetRecords"] {
        let seen = read_impatiently(first(3, operation, || Act::LoseReply)).await;
        assert!(seen.count(TroubleKind::TimedOut) >= 3, "{operation}");
    }
}

#[tokio::test]
async fn a_garbage_reply_is_no_shard_end() {
    for body in ["", "{}", "no JSON", "[]", "{\"Shards\":[]}", "{\"Records\":[]}"] {
        for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
            let seen = read_through(first(2, operation, move || Act::Answer(200, body.into()))).await;
            assert_eq!(seen.count(TroubleKind::BadReply), 2, "{operation} {body:?}: {:?}", seen.troubles);
        }
    }
}

#[tokio::test]
async fn a_garbage_reply_is_no_tip() {
    let server = Server::ferrokinesis().await;
    let stream = Stream::create(&server.client, 1).await;
    let proxy = Proxy::start(&server.endpoint, first(usize::MAX, "GetRecords", || Act::Answer(200, "{}".into()))).await;
    let mut reader = Reader::start(&bare_client(&proxy.endpoint), fast(&stream.name));
    reader.until("three denials", |seen| seen.count(TroubleKind::BadReply) >= 3).await;
    assert!(reader.stop().await.0.caught_up.is_empty());
}

/// A shard that is stuck without an error: every answer is empty and the lag grows. It is no tip, and
/// whoever watches the lag sees it.
#[tokio::test]
async fn a_lag_that_grows_without_records_is_shown() {
    let server = Server::ferrokinesis().await;
    let stream = Stream::create(&server.client, 1).await;
    let proxy = Proxy::start(&server.endpoint, |call| match call.operation {
        "GetRecords" => {
            let behind = (call.nth + 1) * 60_000;
            Act::Answer(200, format!(r#"{{"Records":[],"NextShardIterator":"stuck","MillisBehindLatest":{behind}}}"#))
        }
        _ => Act::Pass,
    })
    .await;
    let streams = vec![(bare_client(&proxy.endpoint), fast(&stream.name))];
    let (mut deliveries, consumer) = Consumer::start(streams, quick(), Manifest::default()).unwrap();
    let mut shown = Vec::new();
    while shown.len() < 5 {
        if let Delivery::Page { millis_behind_latest, caught_up, end, .. } = deliveries.recv().await.expect("the consumer runs") {
            assert!(!caught_up && end == Checkpoint::TrimHorizon);
            shown.push(millis_behind_latest.unwrap());
        }
    }
    consumer.stop().await;
    assert_eq!(shown, [60_000, 120_000, 180_000, 240_000, 300_000]);
}

#[tokio::test]
async fn refusals_are_told_apart_and_outlived() {
    for (status, code, kind) in [
        (400, "AccessDeniedException", TroubleKind::AccessDenied),
        (400, "UnrecognizedClientException", TroubleKind::Credentials),
        (403, "InvalidSignatureException", TroubleKind::Credentials),
        (400, "ExpiredTokenException", TroubleKind::Credentials),
        (400, "KMSDisabledException", TroubleKind::Encryption),
        (400, "ExpiredIteratorException", TroubleKind::Expired),
        (400, "InvalidArgumentException", TroubleKind::Rejected),
        (400, "SomethingNewException", TroubleKind::Rejected),
    ] {
        let seen = read_through(first(3, "GetRecords", move || Act::error(status, code))).await;
        assert_eq!(seen.count(kind), 3, "{code}: {:?}", seen.troubles);
        assert!(seen.troubles.iter().all(|(shard, ..)| shard.is_some()));
    }
    let seen = read_through(first(2, "ListShards", || Act::error(400, "InvalidSignatureException"))).await;
    let (shard, kind, message) = &seen.troubles[0];
    assert_eq!((shard, *kind, &**message), (&None, TroubleKind::Credentials, "InvalidSignatureException: injected"));
}

#[tokio::test]
async fn no_credentials_are_told_as_such() {
    let server = Server::ferrokinesis().await;
    let mut reader = Reader::start(&anonymous_client(&server.endpoint), fast("any"));
    reader.until("trouble", |seen| !seen.troubles.is_empty()).await;
    let (seen, _) = reader.stop().await;
    assert_eq!(seen.troubles[0].1, TroubleKind::Credentials, "{:?}", seen.troubles);
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut reader = Reader::start(&bare_client(&endpoint), fast("any"));
    reader.until("trouble", |seen| !seen.troubles.is_empty()).await;
    let (seen, _) = reader.stop().await;
    assert_eq!(seen.troubles[0].1, TroubleKind::Unreachable, "{:?}", seen.troubles);
}

#[tokio::test]
async fn a_trimmed_checkpoint_is_a_gap_and_reading_goes_on() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(20).await;
    let proxy = Proxy::start(&server.endpoint, |call| {
        let trimmed = call.operation == "GetShardIterator" && call.body.contains("AFTER_SEQUENCE_NUMBER");
        if trimmed { Act::error(400, "InvalidArgumentException") } else { Act::Pass }
    })
    .await;
    let shard = ShardKey::new(&*stream.name, "shardId-000000000000");
    let mut manifest = Manifest::default();
    manifest.checkpoints.insert(shard.clone(), Lease::new(Checkpoint::after("1"), vec![]));
    let mut reader = Reader::resume(&bare_client(&proxy.endpoint), fast(&stream.name), manifest);
    reader.until_payloads(20).await;
    let (seen, _) = reader.stop().await;
    assert_eq!(seen.gaps, [(shard, GapKind::Trimmed)]);
}

#[tokio::test]
async fn a_refusal_that_is_not_about_the_position_is_no_gap() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(20).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(20).await;
    let (_, manifest) = reader.stop().await;
    stream.put(10).await;
    // Two calls for each attempt: the position, then the horizon.
    let script = first(6, "GetShardIterator", || Act::error(400, "InvalidArgumentException"));
    let proxy = Proxy::start(&server.endpoint, script).await;
    let mut reader = Reader::resume(&bare_client(&proxy.endpoint), fast(&stream.name), manifest);
    reader.until_payloads(10).await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.count(TroubleKind::Rejected), seen.gaps.len()), (3, 0));
}

#[tokio::test]
async fn a_shard_that_is_gone_is_a_gap_and_an_end() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(20).await;
    let gone = ShardKey::new(&*stream.name, "shardId-000000000099");
    let child = ShardKey::new(&*stream.name, "shardId-000000000000");
    let mut manifest = Manifest::default();
    manifest.checkpoints.insert(gone.clone(), Lease::new(Checkpoint::after("1"), vec![]));
    let waiting = Lease::new(Checkpoint::TrimHorizon, vec![gone.shard.clone()]);
    manifest.checkpoints.insert(child.clone(), waiting);
    let mut reader = Reader::resume(&bare_client(&server.endpoint), fast(&stream.name), manifest);
    reader.until_payloads(20).await;
    let (seen, mut manifest) = reader.stop().await;
    assert_eq!(seen.gaps, [(gone.clone(), GapKind::ShardGone)]);
    assert!(seen.ended.contains(&gone));
    assert_eq!(manifest.tidy(), [gone]);
}

#[tokio::test]
async fn a_listing_without_a_shard_that_is_being_read_ends_nothing() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(32).await;
    let full = server.client.list_shards().stream_name(&stream.name).send().await.unwrap();
    let second = full.shards()[1].shard_id().to_owned();
    let proxy = Proxy::start(&server.endpoint, move |call| match (call.operation, call.nth) {
        ("ListShards", 1..4) => {
            let range =
                r#""HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}"#;
            Act::Answer(200, format!(r#"{{"Shards":[{{"ShardId":"{second}",{range}}}]}}"#))
        }
        _ => Act::Pass,
    })
    .await;
    let mut reader = Reader::start(&bare_client(&proxy.endpoint), fast(&stream.name));
    reader.until_payloads(32).await;
    while proxy.count("ListShards") < 5 {
        reader.settle().await;
    }
    stream.put(32).await;
    reader.until_payloads(64).await;
    assert!(reader.stop().await.0.ended.is_empty());
}

#[tokio::test]
async fn a_caller_that_does_not_receive_stops_the_fetching() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 4).await;
    stream.put(100).await;
    let proxy = Proxy::start(&server.endpoint, |_| Act::Pass).await;
    let one_each = StreamSettings { records_per_call: 1, ..fast(&stream.name) };
    let settings = ConsumerSettings { pages_in_flight: 8, concurrent_fetches: 2, ..quick() };
    let streams = vec![(client(&proxy.endpoint), one_each)];
    let (mut deliveries, consumer) = Consumer::start(streams, settings, Manifest::default()).unwrap();
    // The channel takes one listing, four openings and three pages; two more wait under a permit.
    while proxy.count("GetRecords") < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.count("GetRecords"), 5);
    // It stops without being emptied, and what it had handed over can still be had.
    let began = Instant::now();
    consumer.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "no time-out was needed");
    let mut left = 0;
    while let Some(delivery) = deliveries.recv().await {
        left += usize::from(matches!(delivery, Delivery::Page { .. }));
    }
    assert_eq!(left, 3);
}

#[tokio::test]
async fn it_stops_in_the_middle_of_a_hanging_call() {
    let server = Server::ferrokinesis().await;
    let stream = Stream::create(&server.client, 1).await;
    let proxy = Proxy::start(&server.endpoint, first(usize::MAX, "GetRecords", || Act::Hang)).await;
    let mut reader = Reader::start(&client(&proxy.endpoint), fast(&stream.name));
    reader.until("it is open", |seen| !seen.opened.is_empty()).await;
    let began = Instant::now();
    reader.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "no time-out was needed");
}

#[tokio::test]
async fn one_dead_region_does_not_stop_another() {
    let server = Server::ferrokinesis().await;
    let dead = Stream::create(&server.client, 8).await;
    let mut alive = Stream::create(&server.client, 1).await;
    alive.put(16).await;
    let proxy = Proxy::start(&server.endpoint, first(usize::MAX, "GetRecords", || Act::Hang)).await;
    let settings = ConsumerSettings { concurrent_fetches: 2, call_timeout: Duration::from_millis(300), ..quick() };
    let streams = vec![(bare_client(&proxy.endpoint), fast(&dead.name)), (client(&server.endpoint), fast(&alive.name))];
    let (mut deliveries, consumer) = Consumer::start(streams, settings, Manifest::default()).unwrap();
    let (mut records, mut timeouts) = (0, 0);
    let began = Instant::now();
    // Once every shard of the dead stream has failed, only one of them at a time tries again.
    while timeouts < 16 || records < 16 {
        match deliveries.recv().await.expect("the consumer runs") {
            Delivery::Page { shard, records: page, .. } => {
                assert_eq!(&*shard.stream, alive.name);
                records += page.len();
            }
            Delivery::Trouble { stream, kind, .. } => {
                assert_eq!((&*stream, kind), (&*dead.name, TroubleKind::TimedOut));
                timeouts += 1;
            }
            _ => {}
        }
        assert!(began.elapsed() < crate::support::DEADLINE);
    }
    consumer.stop().await;
}
