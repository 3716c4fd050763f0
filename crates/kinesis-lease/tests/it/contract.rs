//! What the consumer promises, against two independent servers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferrokinesis::store::StoreOptions;
use kinesis_lease::{Checkpoint, Manifest, StartAt, StreamSettings, TroubleKind};

use crate::support::proxy::{Act, Proxy};
use crate::support::reader::Reader;
use crate::support::server::{Deviation, Server};
use crate::support::stream::{Stream, fresh_name};
use crate::support::{bare_client, fast};

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
    };
}

contract!(
    every_record_of_every_shard_comes_once,
    a_stream_may_be_named_by_its_arn_as_well,
    empty_shards_are_caught_up,
    latest_gives_only_what_comes_after,
    latest_misses_nothing_over_a_restart,
    at_timestamp_gives_what_came_from_then_on,
    a_split_and_a_merge_while_reading,
    a_start_after_a_split_reads_the_closed_parent_first,
    a_latest_start_after_a_split_skips_the_closed_parent,
    a_resume_neither_loses_nor_repeats,
    a_resume_inside_a_record_gives_it_again,
    a_resume_after_a_reshard_finds_the_children,
    finished_leases_are_kept_while_listed,
    a_stream_may_come_after_its_consumer,
    a_deleted_stream_may_come_back,
    a_foreign_sequence_number_is_a_gap,
    shards_are_listed_page_by_page,
);

async fn every_record_of_every_shard_comes_once(server: Server) {
    let mut stream = Stream::create(&server.client, 4).await;
    stream.put(100).await;
    // Pages of seven records, so that each shard takes several.
    let settings = StreamSettings { records_per_call: 7, ..fast(&stream.name) };
    let mut reader = Reader::start(&server.client, settings);
    reader.until_payloads(100).await;
    stream.put(60).await;
    reader.until_payloads(160).await;
    reader.settle().await;
    let (seen, manifest) = reader.stop().await;
    assert_eq!(seen.payloads.len(), stream.len());
    assert_eq!(seen.opened.len(), 4);
    assert_eq!(manifest.checkpoints.len(), 4);
    assert!(seen.opened.values().all(|from| *from == Checkpoint::TrimHorizon));
}

async fn a_stream_may_be_named_by_its_arn_as_well(server: Server) {
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(20).await;
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", stream.name);
    let named = arn.clone();
    let proxy = Proxy::start(
        &server.endpoint,
        move |call| {
            if call.body.contains(&named) { Act::Pass } else { Act::error(400, "MissingArnException") }
        },
    )
    .await;
    let settings = StreamSettings { arn: Some(arn), ..fast(&stream.name) };
    let mut reader = Reader::start(&bare_client(&proxy.endpoint), settings);
    reader.until_payloads(20).await;
    let (seen, _) = reader.stop().await;
    assert!(seen.troubles.is_empty(), "{:?}", seen.troubles);
}

async fn empty_shards_are_caught_up(server: Server) {
    let stream = Stream::create(&server.client, 3).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until("three quiet shards", |seen| seen.caught_up.len() == 3).await;
    let (seen, manifest) = reader.stop().await;
    assert!(seen.payloads.is_empty() && seen.troubles.is_empty());
    assert!(manifest.checkpoints.values().all(|lease| lease.checkpoint == Checkpoint::TrimHorizon));
}

async fn latest_gives_only_what_comes_after(server: Server) {
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(20).await;
    let settings = StreamSettings { start: StartAt::Latest, ..fast(&stream.name) };
    let mut reader = Reader::start(&server.client, settings);
    reader.until("an answer of each shard", |seen| seen.pages.len() == 2).await;
    stream.put(30).await;
    reader.until_payloads(30).await;
    reader.settle().await;
    assert_eq!(reader.stop().await.0.payloads.len(), 30);
}

async fn latest_misses_nothing_over_a_restart(server: Server) {
    if server.cannot(Deviation::AtTimestampFallsBackToEverything) {
        return;
    }
    let mut stream = Stream::create(&server.client, 2).await;
    let settings = StreamSettings { start: StartAt::Latest, ..fast(&stream.name) };
    let mut reader = Reader::start(&server.client, settings.clone());
    reader.until("an answer of each shard", |seen| seen.pages.len() == 2).await;
    let (_, manifest) = reader.stop().await;
    stream.put(30).await;
    let mut reader = Reader::resume(&server.client, settings, manifest);
    reader.until_payloads(30).await;
    reader.stop().await;
}

async fn at_timestamp_gives_what_came_from_then_on(server: Server) {
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(20).await;
    // A whole second, because arrival times are cut to seconds by one of the servers.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let start = now().as_secs() + 1;
    while now().as_secs() < start {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.put(30).await;
    let start = StartAt::AtTimestamp(i64::try_from(start * 1_000).unwrap());
    let mut reader = Reader::start(&server.client, StreamSettings { start, ..fast(&stream.name) });
    reader.until_payloads(30).await;
    reader.settle().await;
    assert_eq!(reader.stop().await.0.payloads.len(), 30);
}

async fn a_split_and_a_merge_while_reading(server: Server) {
    let mut stream = Stream::create(&server.client, 2).await;
    let mut reader = Reader::start(&server.client, StreamSettings { records_per_call: 5, ..fast(&stream.name) });
    stream.put(64).await;
    let open = stream.open_shards().await;
    stream.split(&open[0]).await;
    stream.put(64).await;
    // A quarter and a half: they stem from different parents, one of which is a child itself.
    let open = stream.open_shards().await;
    assert_eq!(open.len(), 3);
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

async fn a_start_after_a_split_reads_the_closed_parent_first(server: Server) {
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(32).await;
    let open = stream.open_shards().await;
    stream.split(&open[0]).await;
    stream.put(32).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(64).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.opened.len(), seen.ended.len()), (3, 1));
}

async fn a_latest_start_after_a_split_skips_the_closed_parent(server: Server) {
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(32).await;
    let open = stream.open_shards().await;
    stream.split(&open[0]).await;
    let settings = StreamSettings { start: StartAt::Latest, ..fast(&stream.name) };
    let mut reader = Reader::start(&server.client, settings);
    reader.until("an answer of each child", |seen| seen.pages.len() == 2).await;
    // A child of a shard that was known is read from its first record on all the same.
    let open = stream.open_shards().await;
    stream.split(&open[1]).await;
    stream.put(32).await;
    reader.until_payloads(32).await;
    reader.settle().await;
    let (seen, manifest) = reader.stop().await;
    assert_eq!(seen.payloads.len(), 32);
    assert_eq!(manifest.checkpoints.len(), 4, "the parent was never leased");
}

async fn a_resume_neither_loses_nor_repeats(server: Server) {
    let mut stream = Stream::create(&server.client, 3).await;
    stream.put(90).await;
    let settings = StreamSettings { records_per_call: 4, ..fast(&stream.name) };
    let mut first = Reader::start(&server.client, settings.clone());
    first.until("some of them", |seen| seen.payloads.len() >= 30).await;
    let (first, manifest) = first.stop().await;
    stream.put(30).await;
    let rest = stream.len() - first.payloads.len();
    let mut second = Reader::resume(&server.client, settings, manifest);
    second.until_payloads(rest).await;
    second.settle().await;
    let (second, _) = second.stop().await;
    let mut all = [first.payloads, second.payloads].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), stream.len());
}

async fn a_resume_inside_a_record_gives_it_again(server: Server) {
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(10).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(10).await;
    let (_, mut manifest) = reader.stop().await;
    let lease = manifest.checkpoints.values_mut().next().unwrap();
    let Checkpoint::After { sub_sequence, .. } = &mut lease.checkpoint else { panic!("read, so after a record") };
    *sub_sequence = Some(3);
    let mut reader = Reader::resume(&server.client, fast(&stream.name), manifest);
    reader.until_payloads(1).await;
    reader.settle().await;
    assert_eq!(reader.stop().await.0.payloads, ["9:0"]);
}

async fn a_resume_after_a_reshard_finds_the_children(server: Server) {
    let mut stream = Stream::create(&server.client, 2).await;
    stream.put(32).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(32).await;
    let (_, manifest) = reader.stop().await;
    // Down while the stream is merged, and then split again: grandchildren.
    let open = stream.open_shards().await;
    stream.put(16).await;
    stream.merge(&open[0], &open[1]).await;
    stream.put(16).await;
    let open = stream.open_shards().await;
    stream.split(&open[0]).await;
    stream.put(16).await;
    let settings = StreamSettings { start: StartAt::Latest, ..fast(&stream.name) };
    let mut reader = Reader::resume(&server.client, settings, manifest);
    reader.until_payloads(48).await;
    reader.settle().await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.payloads.len(), seen.opened.len(), seen.ended.len()), (48, 5, 3));
}

async fn finished_leases_are_kept_while_listed(server: Server) {
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(16).await;
    let open = stream.open_shards().await;
    stream.split(&open[0]).await;
    stream.put(16).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(32).await;
    reader.settle().await;
    let (_, mut manifest) = reader.stop().await;
    assert!(manifest.tidy().is_empty(), "the parent is still listed, so its lease says that it is done");
    let mut reader = Reader::resume(&server.client, fast(&stream.name), manifest);
    reader.settle().await;
    reader.until("both children", |seen| seen.pages.len() == 2).await;
    let (seen, _) = reader.stop().await;
    assert_eq!((seen.payloads.len(), seen.opened.len()), (0, 2));
}

async fn a_stream_may_come_after_its_consumer(server: Server) {
    let name = fresh_name();
    let mut reader = Reader::start(&bare_client(&server.endpoint), fast(&name));
    reader.until("two refusals", |seen| seen.count(TroubleKind::NotFound) >= 2).await;
    let mut stream = Stream::create_as(&server.client, name, 2).await;
    stream.put(20).await;
    reader.until_payloads(20).await;
    reader.stop().await;
}

async fn a_deleted_stream_may_come_back(server: Server) {
    let stream = Stream::create(&server.client, 1).await;
    let mut reader = Reader::start(&bare_client(&server.endpoint), fast(&stream.name));
    reader.until("a page", |seen| !seen.pages.is_empty()).await;
    stream.delete().await;
    reader.until("it is missed", |seen| seen.count(TroubleKind::NotFound) >= 2).await;
    let mut stream = Stream::create_as(&server.client, stream.name, 1).await;
    stream.put(20).await;
    reader.until_payloads(20).await;
    assert!(reader.stop().await.0.ended.is_empty());
}

async fn a_foreign_sequence_number_is_a_gap(server: Server) {
    if server.cannot(Deviation::AnySequenceNumberWillDo) {
        return;
    }
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(16).await;
    let mut reader = Reader::start(&server.client, fast(&stream.name));
    reader.until_payloads(16).await;
    let (_, mut manifest) = reader.stop().await;
    // What a trimmed record, or one of a former stream of this name, looks like.
    let lease = manifest.checkpoints.values_mut().next().unwrap();
    lease.checkpoint = Checkpoint::after("4950000000000000000000000000000000000000000000000000");
    let mut reader = Reader::resume(&server.client, fast(&stream.name), manifest);
    reader.until_payloads(16).await;
    assert_eq!(reader.stop().await.0.gaps.len(), 1);
}

async fn shards_are_listed_page_by_page(server: Server) {
    if server.cannot(Deviation::ListShardsHasOnePage) {
        return;
    }
    let mut stream = Stream::create(&server.client, 7).await;
    stream.put(64).await;
    let proxy = Proxy::start(&server.endpoint, |call| match call.operation {
        "ListShards" => Act::Rewrite(call.body.replacen('{', r#"{"MaxResults":2,"#, 1)),
        _ => Act::Pass,
    })
    .await;
    let mut reader = Reader::start(&bare_client(&proxy.endpoint), fast(&stream.name));
    reader.until_payloads(64).await;
    let (_, manifest) = reader.stop().await;
    assert_eq!(manifest.checkpoints.len(), 7);
    assert!(proxy.count("ListShards") >= 4, "two shards a page");
}

#[tokio::test]
async fn an_expired_iterator_is_replaced_without_loss() {
    let options = StoreOptions { iterator_ttl_seconds: 1, ..StoreOptions::default() };
    let server = Server::ferrokinesis_with(options).await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(10).await;
    // Each poll comes after the iterator of the one before has expired.
    let slow = Duration::from_millis(1_200);
    let settings = StreamSettings { poll_interval: slow, idle_poll_interval: slow, ..fast(&stream.name) };
    let mut reader = Reader::start(&server.client, settings);
    reader.until_payloads(10).await;
    stream.put(10).await;
    reader.until_payloads(20).await;
    reader.until("it is told", |seen| seen.count(TroubleKind::Expired) >= 1).await;
    reader.stop().await;
}

#[tokio::test]
async fn kinesis_local_does_not_expire_iterators() {
    if let Some(server) = Server::kinesis_local().await {
        assert!(server.cannot(Deviation::IteratorsDoNotExpireOnDemand));
    }
}

#[tokio::test]
async fn a_manifest_of_other_streams_is_ignored() {
    let server = Server::ferrokinesis().await;
    let mut stream = Stream::create(&server.client, 1).await;
    stream.put(5).await;
    let mut other = Manifest::default();
    let key = kinesis_lease::ShardKey::new("another", "shardId-000000000000");
    other.checkpoints.insert(key, kinesis_lease::Lease::new(Checkpoint::ShardEnd, vec![]));
    let mut reader = Reader::resume(&server.client, fast(&stream.name), other);
    reader.until_payloads(5).await;
    reader.stop().await;
}
