//! Subscriptions that are refused, break off, fall silent or speak nonsense.

use std::time::{Duration, Instant};

use ferrokinesis::store::StoreOptions;
use kinesis_lease::{Checkpoint, Consumer, ConsumerSettings, Delivery, GapKind, Lease, Manifest, ShardKey, StreamSettings, TroubleKind};

use crate::support::event_stream::{event, exception, initial_response};
use crate::support::proxy::{Act, After, Call, Proxy};
use crate::support::reader::{Reader, Seen};
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{bare_client, quick, subscribed};

const NOTHING_NEW: &str = r#"{"Records":[],"ContinuationSequenceNumber":"0","MillisBehindLatest":0}"#;

/// The proxy hands a subscription on when it is over.
async fn server() -> Server {
    Server::ferrokinesis_with(StoreOptions { subscribe_to_shard_session_ms: 100, ..StoreOptions::default() }).await
}

fn first(count: usize, operation: &'static str, act: impl Fn() -> Act + Send + Sync) -> impl Fn(&Call<'_>) -> Act + Send + Sync {
    move |call| if call.operation == operation && call.nth < count { act() } else { Act::Pass }
}

/// Reads 40 records of two shards through a proxy with this script.
async fn read_through(script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Seen {
    let server = server().await;
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(40).await;
    let proxy = Proxy::start(&server.endpoint, script).await;
    let limits = ConsumerSettings { call_timeout: Duration::from_secs(1), ..quick() };
    let mut reader = Reader::start_with(&bare_client(&proxy.endpoint), subscribed(&stream.name), limits, Manifest::default());
    reader.until_payloads(40).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert!(seen.payloads.len() == 40 && seen.ended.is_empty() && seen.gaps.is_empty());
    seen
}

#[tokio::test]
async fn refusals_are_told_apart_and_outlived() {
    for (code, kind) in [
        ("ResourceInUseException", TroubleKind::NotReady),
        ("LimitExceededException", TroubleKind::Throttled),
        ("AccessDeniedException", TroubleKind::AccessDenied),
        ("InvalidArgumentException", TroubleKind::Rejected),
        ("ResourceNotFoundException", TroubleKind::NotFound),
    ] {
        let seen = read_through(first(3, "SubscribeToShard", move || Act::error(400, code))).await;
        // A consumer that is being created is not ready, too.
        let told = seen.troubles.iter().filter(|(_, is, message)| *is == kind && message.contains("injected"));
        assert_eq!(told.count(), 3, "{code}: {:?}", seen.troubles);
    }
}

#[tokio::test]
async fn exceptions_in_the_stream_are_told_apart_and_outlived() {
    for (code, kind) in [
        ("ResourceInUseException", TroubleKind::NotReady),
        ("ResourceNotFoundException", TroubleKind::NotFound),
        ("KMSThrottlingException", TroubleKind::Throttled),
        ("KMSDisabledException", TroubleKind::Encryption),
        ("InternalFailureException", TroubleKind::ServiceFailed),
        ("SomethingNewException", TroubleKind::ServiceFailed),
    ] {
        let broken = move || Act::Events([initial_response(), event(NOTHING_NEW), exception(code)].concat(), After::End);
        let seen = read_through(first(3, "SubscribeToShard", broken)).await;
        assert!(seen.count(kind) >= 3, "{code}: {:?}", seen.troubles);
    }
}

#[tokio::test]
async fn silence_is_told_and_the_shard_is_subscribed_to_again() {
    let seen = read_through(first(2, "SubscribeToShard", || Act::Hang)).await;
    assert!(seen.count(TroubleKind::TimedOut) >= 2, "{:?}", seen.troubles);
    let silent = || Act::Events([initial_response(), event(NOTHING_NEW)].concat(), After::Silence);
    let seen = read_through(first(2, "SubscribeToShard", silent)).await;
    assert!(seen.count(TroubleKind::TimedOut) >= 2, "{:?}", seen.troubles);
}

#[tokio::test]
async fn nonsense_is_no_shard_end_and_no_tip() {
    let no_continuation = event(r#"{"Records":[],"MillisBehindLatest":0}"#);
    let mut damaged = event(NOTHING_NEW);
    *damaged.last_mut().unwrap() ^= 1;
    for nonsense in [vec![], b"no frame at all".to_vec(), event("no JSON"), event("{}"), no_continuation, damaged] {
        let events = move || Act::Events([initial_response(), nonsense.clone()].concat(), After::End);
        let seen = read_through(first(2, "SubscribeToShard", events)).await;
        assert!(seen.count(TroubleKind::BadReply) >= 2, "{:?}", seen.troubles);
    }
}

#[tokio::test]
async fn a_consumer_that_cannot_be_found_or_made_is_told_and_waited_for() {
    for operation in ["DescribeStreamSummary", "DescribeStreamConsumer", "RegisterStreamConsumer"] {
        let seen = read_through(first(1, operation, || Act::error(400, "LimitExceededException"))).await;
        assert!(seen.count(TroubleKind::Throttled) >= 1, "{operation}: {:?}", seen.troubles);
        assert!(seen.count(TroubleKind::NotReady) >= 1, "it is being created for a moment: {:?}", seen.troubles);
    }
}

#[tokio::test]
async fn a_consumer_that_was_deregistered_is_registered_again() {
    let server = server().await;
    let mut stream = Stream::create(&server.client, 1).await;
    let mut reader = Reader::start(&server.client, subscribed(&stream.name));
    reader.until("an event", |seen| !seen.pages.is_empty()).await;
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", stream.name);
    server.client.deregister_stream_consumer().stream_arn(&arn).consumer_name("tests").send().await.unwrap();
    reader.until("it is missed", |seen| seen.count(TroubleKind::NotFound) + seen.count(TroubleKind::NotReady) >= 2).await;
    stream.put(20).await;
    reader.until_payloads(20).await;
    assert!(reader.stop().await.0.ended.is_empty());
}

#[tokio::test]
async fn a_trimmed_checkpoint_is_a_gap_and_reading_goes_on() {
    let server = server().await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(20).await;
    let proxy = Proxy::start(&server.endpoint, |call| {
        let trimmed = call.operation == "SubscribeToShard" && call.body.contains("AFTER_SEQUENCE_NUMBER");
        if trimmed { Act::error(400, "InvalidArgumentException") } else { Act::Pass }
    })
    .await;
    let shard = ShardKey::new(&*stream.name, "shardId-000000000000");
    let mut manifest = Manifest::default();
    manifest.checkpoints.insert(shard.clone(), Lease::new(Checkpoint::after("1"), vec![]));
    let mut reader = Reader::resume(&bare_client(&proxy.endpoint), subscribed(&stream.name), manifest);
    reader.until_payloads(20).await;
    assert_eq!(reader.stop().await.0.gaps, [(shard, GapKind::Trimmed)]);
}

#[tokio::test]
async fn a_refused_continuation_is_no_gap() {
    let script = |call: &Call<'_>| {
        let continued = call.operation == "SubscribeToShard" && call.body.contains("AT_SEQUENCE_NUMBER");
        if continued { Act::error(400, "InvalidArgumentException") } else { Act::Pass }
    };
    let seen = read_through(script).await;
    assert!(seen.count(TroubleKind::Rejected) >= 1, "{:?}", seen.troubles);
}

/// The service's limit of one call a second, and none within five of a success.
#[tokio::test]
async fn subscriptions_keep_their_distance() {
    let server = server().await;
    let stream = Stream::create(&server.client, 1).await;
    let proxy = Proxy::start(&server.endpoint, |_| Act::Pass).await;
    let settings = StreamSettings { min_subscribe_interval: Duration::from_secs(1), ..subscribed(&stream.name) };
    let mut reader = Reader::start(&bare_client(&proxy.endpoint), settings);
    reader.until("an event", |seen| !seen.pages.is_empty()).await;
    let before = proxy.count("SubscribeToShard");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let calls = proxy.count("SubscribeToShard") - before;
    assert!((1..=3).contains(&calls), "{calls} calls in 2.5 s");
    reader.stop().await;
}

/// A stream of two shards with 64 records, of which the first shard brings one event and falls silent.
async fn half_silent() -> (Stream, Proxy, Server) {
    let server = server().await;
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(64).await;
    let proxy = Proxy::start(&server.endpoint, |call| {
        let is_silent = call.operation == "SubscribeToShard" && call.body.contains("shardId-000000000000");
        if is_silent { Act::Events([initial_response(), event(NOTHING_NEW)].concat(), After::Silence) } else { Act::Pass }
    })
    .await;
    (stream, proxy, server)
}

/// Whoever waits for an event holds no permit: with a single one the other shard is read.
#[tokio::test]
async fn a_quiet_subscription_is_in_nobodys_way() {
    let (stream, proxy, _server) = half_silent().await;
    let limits = ConsumerSettings { concurrent_fetches: 1, ..quick() };
    let streams = vec![(bare_client(&proxy.endpoint), subscribed(&stream.name))];
    let (mut deliveries, consumer) = Consumer::start(streams, limits, Manifest::default()).unwrap();
    let (mut is_silent, mut pages, mut records) = (false, 0, 0);
    let receive = async {
        // Long after the first shard has begun to wait.
        while !is_silent || pages < 5 || records == 0 {
            if let Delivery::Page { shard, records: page, .. } = deliveries.recv().await.expect("the consumer runs") {
                is_silent |= &*shard.shard == "shardId-000000000000";
                pages += usize::from(is_silent && &*shard.shard == "shardId-000000000001");
                records += page.len();
            }
        }
    };
    // Less than the time after which the silence itself would end the waiting.
    tokio::time::timeout(Duration::from_secs(20), receive).await.expect("the other shard is read");
    consumer.stop().await;
}

/// The time for which a caller does not receive is not the service's silence.
#[tokio::test]
async fn a_slow_caller_is_no_silence() {
    let (stream, proxy, _server) = half_silent().await;
    let call_timeout = Duration::from_secs(1);
    let limits = ConsumerSettings { concurrent_fetches: 1, pages_in_flight: 1, call_timeout, ..quick() };
    let streams = vec![(bare_client(&proxy.endpoint), subscribed(&stream.name))];
    let (mut deliveries, consumer) = Consumer::start(streams, limits, Manifest::default()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        if let Delivery::Page { shard, .. } = deliveries.recv().await.expect("the consumer runs") {
            seen.insert(shard);
        }
    }
    // The other shard's next page waits under the only permit.
    tokio::time::sleep(3 * call_timeout).await;
    let resumed = Instant::now();
    loop {
        if let Delivery::Trouble { kind: TroubleKind::TimedOut, .. } = deliveries.recv().await.expect("the consumer runs") {
            break;
        }
    }
    let silence = resumed.elapsed();
    assert!(silence > call_timeout / 2, "told {silence:?} after the caller was there again");
    consumer.stop().await;
}
