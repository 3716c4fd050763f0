//! Enhanced fan-out: what polling promises, by subscription.

mod faults;

use std::time::Duration;

use kinesis_lease::{Checkpoint, FanOut, StartAt, StreamSettings};

use crate::support::reader::Reader;
use crate::support::server::{Deviation, Server};
use crate::support::stream::Stream;
use crate::support::{bare_client, subscribed};

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod ferrokinesis_server {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Server::ferrokinesis().await).await;
            })*
        }
        mod kinesis_local {
            $(#[tokio::test]
            async fn $case() {
                if let Some(server) = super::Server::kinesis_local().await {
                    super::$case(server).await;
                }
            })*
        }
        mod by_the_book {
            $(#[tokio::test]
            async fn $case() {
                let mut server = super::Server::ferrokinesis().await;
                let before = super::Server::with_fan_out(&mut server, super::Duration::from_secs(300)).await;
                super::$case(server).await;
                drop(before);
            })*
        }
    };
}

contract!(
    every_record_of_every_shard_comes_once,
    latest_gives_only_what_comes_after,
    a_split_and_a_merge_while_subscribed,
    a_resume_neither_loses_nor_repeats,
    a_resume_after_a_reshard_finds_the_children,
    a_consumer_is_registered_once,
);

async fn every_record_of_every_shard_comes_once(server: Server) {
    let mut stream = Stream::create(&server.client, 4).await;
    stream.put(100).await;
    let mut reader = Reader::start(&server.client, subscribed(&stream.name));
    reader.until_payloads(100).await;
    stream.put(60).await;
    reader.until_payloads(160).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.payloads.len(), seen.opened.len(), seen.caught_up.len()), (160, 4, 4));
}

async fn latest_gives_only_what_comes_after(server: Server) {
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(20).await;
    let settings = StreamSettings { start: StartAt::Latest, ..subscribed(&stream.name) };
    let mut reader = Reader::start(&server.client, settings);
    reader.until("an event of each shard", |seen| seen.pages.len() == 2).await;
    stream.put(30).await;
    reader.until_payloads(30).await;
    let (_, manifest) = reader.stop().await;
    assert!(manifest.checkpoints.values().all(|lease| lease.checkpoint != Checkpoint::Latest));
}

async fn a_split_and_a_merge_while_subscribed(server: Server) {
    if server.cannot(Deviation::SubscriptionsDoNotEnd) {
        return;
    }
    let mut stream = Stream::create(&server.client, 2).await;
    let mut reader = Reader::start(&server.client, subscribed(&stream.name));
    stream.put(64).await;
    stream.split(&stream.open_shards().await[0]).await;
    stream.put(64).await;
    let open = stream.open_shards().await;
    stream.merge(&open[1], &open[2]).await;
    stream.put(64).await;
    reader.until_payloads(stream.len()).await;
    reader.until("three ends", |seen| seen.ended.len() == 3).await;
    reader.until("five shards", |seen| seen.opened.len() == 5).await;
    reader.settle().await;
    let (seen, manifest) = reader.stop().await;
    assert_eq!(seen.payloads.len(), stream.len());
    let lineage: Vec<usize> = manifest.checkpoints.values().map(|lease| lease.parents.len()).collect();
    assert_eq!(lineage, [0, 0, 1, 1, 2]);
}

async fn a_resume_neither_loses_nor_repeats(server: Server) {
    let mut stream = Stream::create(&server.client, 3).await;
    stream.put(90).await;
    let mut first = Reader::start(&server.client, subscribed(&stream.name));
    first.until("some of them", |seen| seen.payloads.len() >= 30).await;
    let (first, manifest) = first.stop().await;
    stream.put(30).await;
    let rest = stream.len() - first.payloads.len();
    let mut second = Reader::resume(&server.client, subscribed(&stream.name), manifest);
    second.until_payloads(rest).await;
    second.settle().await;
    let (second, _) = second.stop().await;
    let mut all = [first.payloads, second.payloads].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), stream.len());
}

async fn a_resume_after_a_reshard_finds_the_children(server: Server) {
    if server.cannot(Deviation::SubscriptionsDoNotEnd) {
        return;
    }
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(32).await;
    let mut reader = Reader::start(&server.client, subscribed(&stream.name));
    reader.until_payloads(32).await;
    let (_, manifest) = reader.stop().await;
    let open = stream.open_shards().await;
    stream.put(16).await;
    stream.merge(&open[0], &open[1]).await;
    stream.put(16).await;
    stream.split(&stream.open_shards().await[0]).await;
    stream.put(16).await;
    let settings = StreamSettings { start: StartAt::Latest, ..subscribed(&stream.name) };
    let mut reader = Reader::resume(&server.client, settings, manifest);
    reader.until_payloads(48).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.payloads.len(), seen.opened.len(), seen.ended.len()), (48, 5, 3));
}

async fn a_consumer_is_registered_once(server: Server) {
    let mut stream = Stream::create(&server.client, 3).await;
    stream.put(20).await;
    for _ in 0..2 {
        let mut reader = Reader::start(&server.client, subscribed(&stream.name));
        reader.until_payloads(20).await;
        reader.stop().await;
    }
    let summary = server.client.describe_stream_summary().stream_name(&stream.name).send().await.unwrap();
    let stream_arn = summary.stream_description_summary.unwrap().stream_arn;
    let listed = server.client.list_stream_consumers().stream_arn(stream_arn).send().await.unwrap();
    let consumers = listed.consumers.unwrap();
    assert_eq!(consumers.len(), 1);
    let fan_out = Some(FanOut::Arn(consumers[0].consumer_arn.clone()));
    let mut reader = Reader::start(&server.client, StreamSettings { fan_out, ..subscribed(&stream.name) });
    reader.until_payloads(20).await;
    reader.stop().await;
}

/// Subscriptions of 300 ms instead of five minutes, of at most ten records an event.
#[tokio::test]
async fn a_subscription_is_renewed_where_it_was() {
    let mut server = Server::ferrokinesis().await;
    let before = Server::with_fan_out(&mut server, Duration::from_millis(300)).await;
    let mut stream = Stream::create(&server.client, 2).await;
    let mut reader = Reader::start(&server.client, subscribed(&stream.name));
    for _ in 0..6 {
        stream.put(64).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    reader.until_payloads(384).await;
    stream.split(&stream.open_shards().await[0]).await;
    stream.put(32).await;
    reader.until_payloads(416).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.payloads.len(), seen.ended.len()), (416, 1));
    assert!(before.subscriptions() > 6, "{} subscriptions", before.subscriptions());
    let failed: Vec<_> = seen.troubles.iter().filter(|(.., message)| !message.contains("CREATING")).collect();
    assert!(failed.is_empty(), "a renewal is no trouble: {failed:?}");
}

/// Two readers of one consumer: the later one takes the shard over, the earlier says so and tries
/// again, and neither loses a record.
#[tokio::test]
async fn a_subscription_that_is_taken_over_is_told() {
    let mut server = Server::ferrokinesis().await;
    let _before = Server::with_fan_out(&mut server, Duration::from_secs(300)).await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(32).await;
    let settings = StreamSettings { min_subscribe_interval: Duration::from_millis(500), ..subscribed(&stream.name) };
    let mut first = Reader::start(&server.client, settings.clone());
    first.until_payloads(32).await;
    let mut second = Reader::start(&server.client, settings);
    second.until_payloads(32).await;
    first.until("it is told", |seen| seen.troubles.iter().any(|(.., message)| message.contains("broke off"))).await;
    stream.put(32).await;
    first.until_payloads(64).await;
    second.until_payloads(64).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_third_server_is_subscribed_to() {
    let Some(server) = crate::support::dynamo::Dynamo::ministack().await else { return };
    let client = bare_client(&server.endpoint);
    let mut stream = Stream::create(&client, 2).await;
    stream.put(40).await;
    let mut reader = Reader::start(&client, subscribed(&stream.name));
    reader.until_payloads(40).await;
    stream.put(40).await;
    reader.until_payloads(80).await;
    reader.stop().await;
}
