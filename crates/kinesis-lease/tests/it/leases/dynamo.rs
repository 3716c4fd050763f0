//! What DynamoDB's table alone must do: foreign attributes, bad rows, pages, lost replies.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_lease::leasing::table::perform;
use kinesis_lease::leasing::{Change, DynamoTable, KinesisShards, LeaseRow, LeaseTable, Settled, ShardSource, TableError, Write};
use kinesis_lease::{Checkpoint, StreamSettings, TroubleKind};

use super::{TIMEOUT, name, row};
use crate::support;
use crate::support::dynamo::{Dynamo, bare_client};
use crate::support::proxy::{Act, Proxy};

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn item(client: &Client, table: &str, key: &str) -> HashMap<String, AttributeValue> {
    client.get_item().table_name(table).key("leaseKey", text(key)).send().await.unwrap().item.unwrap()
}

/// The row of a lease that was taken and moved, attribute by attribute, as KCL 2.5.8 writes it. KCL
/// keeps a foreign attribute; so does this crate.
#[tokio::test]
async fn a_row_is_kcls_own_and_foreign_attributes_stay() {
    for server in [Dynamo::dynalite().await, Dynamo::ministack().await].into_iter().flatten() {
        let (table, table_name) = server.table();
        table.prepare().await.unwrap();
        table.create(&row()).await.unwrap();
        let request = server.client.update_item().table_name(&table_name).key("leaseKey", text(&row().key));
        let request = request.update_expression("SET xForeign = :x, pendingCheckpoint = :p, throughputKBps = :t");
        let request = request.expression_attribute_values(":x", text("kept")).expression_attribute_values(":p", text("77"));
        request.expression_attribute_values(":t", AttributeValue::N("12.5".into())).send().await.unwrap();

        let take = Write::new(&row(), &name("worker-1"), Change::Take);
        let Settled::Applied(taken) = perform(&table, &take, &row(), TIMEOUT).await.unwrap() else { panic!("it is free") };
        let to = Checkpoint::After { sequence_number: "4953".into(), sub_sequence: Some(0) };
        let moved = Write::new(&taken, &name("worker-1"), Change::Checkpoint { to, snapshot_ref: Some(name("s3/1")) });
        assert!(table.write(&moved).await.unwrap());

        let number = |number: &str| AttributeValue::N(number.to_owned());
        let expected = HashMap::from([
            ("leaseKey".to_owned(), text("shardId-000000000007")),
            ("leaseOwner".to_owned(), text("worker-1")),
            ("leaseCounter".to_owned(), number("2")),
            ("checkpoint".to_owned(), text("4953")),
            ("checkpointSubSequenceNumber".to_owned(), number("0")),
            ("ownerSwitchesSinceCheckpoint".to_owned(), number("0")),
            ("parentShardId".to_owned(), AttributeValue::Ss(vec!["shardId-000000000003".into(), "shardId-000000000004".into()])),
            ("startingHashKey".to_owned(), text("0")),
            ("endingHashKey".to_owned(), text("340282366920938463463374607431768211455")),
            ("snapshotRef".to_owned(), text("s3/1")),
            ("xForeign".to_owned(), text("kept")),
            ("throughputKBps".to_owned(), number("12.5")),
        ]);
        assert_eq!(item(&server.client, &table_name, &row().key).await, expected);
    }
}

#[tokio::test]
async fn a_bad_row_is_named_and_the_good_ones_are_given() {
    let Some(server) = Dynamo::dynalite().await else { return };
    let (table, table_name) = server.table();
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    for (key, attribute, value) in
        [("bad-1", "leaseCounter", text("many")), ("bad-2", "checkpoint", text("SOMEWHERE")), ("other", "entityType", text("LEADER"))]
    {
        let request = server.client.put_item().table_name(&table_name).item("leaseKey", text(key)).item(attribute, value);
        request.send().await.unwrap();
    }
    let scan = table.scan().await.unwrap();
    assert_eq!(scan.rows, [row()]);
    let mut named: Vec<String> = scan.bad.iter().map(ToString::to_string).collect();
    named.sort();
    assert_eq!(named.len(), 2, "another entity of KCL is no bad lease: {named:?}");
    assert!(named[0].contains("\"bad-1\"") && named[0].contains("leaseCounter"), "{named:?}");
    assert!(matches!(table.read("bad-2").await, Err(TableError::Bad(_))));
}

/// More than the megabyte that one page of a scan holds.
#[tokio::test]
async fn a_table_of_several_pages_is_scanned_whole() {
    for server in [Dynamo::dynalite().await, Dynamo::ministack().await].into_iter().flatten() {
        let (table, table_name) = server.table();
        table.prepare().await.unwrap();
        let padding = "x".repeat(50_000);
        for at in 0..45 {
            let row = LeaseRow { snapshot_ref: Some(name(&padding)), ..LeaseRow::new(format!("shardId-{at:012}"), Checkpoint::Latest) };
            assert!(table.create(&row).await.unwrap());
        }
        let proxy = Proxy::start(&server.endpoint, |_| Act::Pass).await;
        let scan = DynamoTable::new(bare_client(&proxy.endpoint), table_name.as_str()).scan().await.unwrap();
        assert_eq!(scan.rows.len(), 45);
        println!("{} pages", proxy.count("Scan"));
    }
}

#[tokio::test]
async fn a_lost_reply_is_not_taken_for_a_lost_lease() {
    let Some(server) = Dynamo::dynalite().await else { return };
    let (table, table_name) = server.table();
    table.prepare().await.unwrap();
    table.create(&row()).await.unwrap();
    let proxy = Proxy::start(&server.endpoint, |call| match (call.operation, call.nth) {
        // The first is done and never answered, the second never arrives.
        ("UpdateItem", 0) => Act::LoseReply,
        ("UpdateItem", 1) => Act::Hang,
        _ => Act::Pass,
    })
    .await;
    let flaky = DynamoTable::new(bare_client(&proxy.endpoint), table_name.as_str());
    let short = Duration::from_millis(700);
    let take = Write::new(&row(), &name("a"), Change::Take);
    let Settled::Applied(taken) = perform(&flaky, &take, &row(), short).await.unwrap() else { panic!("it took effect") };
    assert_eq!(taken.owner.as_deref(), Some("a"));
    let renew = Write::new(&taken, &name("a"), Change::Renew);
    assert_eq!(perform(&flaky, &renew, &taken, short).await.unwrap(), Settled::StillMine(taken.clone()));
    let Settled::Applied(renewed) = perform(&flaky, &renew, &taken, short).await.unwrap() else { panic!("the third try") };
    // Another took it meanwhile.
    let steal = Write::new(&renewed, &name("b"), Change::Take);
    assert!(table.write(&steal).await.unwrap());
    let late = Write::new(&renewed, &name("a"), Change::Renew);
    assert!(matches!(perform(&flaky, &late, &renewed, short).await.unwrap(), Settled::Refused(Some(row)) if row.counter == 3));
}

#[tokio::test]
async fn troubles_are_known_by_what_they_mean() {
    let Some(server) = Dynamo::dynalite().await else { return };
    let (absent, _) = server.table();
    let kind = |error: TableError| error.kind();
    assert_eq!(absent.scan().await.map_err(kind), Err(TroubleKind::NotFound));
    for (code, expected) in [
        ("ProvisionedThroughputExceededException", TroubleKind::Throttled),
        ("AccessDeniedException", TroubleKind::AccessDenied),
        ("ExpiredTokenException", TroubleKind::Credentials),
    ] {
        let proxy = Proxy::start(&server.endpoint, move |_| Act::error(400, code)).await;
        let table = DynamoTable::new(bare_client(&proxy.endpoint), "t");
        assert_eq!(table.read("s").await.map_err(kind), Err(expected));
    }
}

/// A listing of 2,500 shards, in the service's pages of 1,000.
#[tokio::test]
async fn more_than_a_thousand_shards_are_listed() {
    let page = |from: usize| {
        let shard = |at: usize| {
            format!(
                r#"{{"ShardId":"shardId-{at:012}","HashKeyRange":{{"StartingHashKey":"{at}","EndingHashKey":"{at}"}},"SequenceNumberRange":{{"StartingSequenceNumber":"1"}}}}"#
            )
        };
        let shards: Vec<String> = (from..(from + 1_000).min(2_500)).map(shard).collect();
        let token = if from + 1_000 < 2_500 { format!(r#","NextToken":"{}""#, from + 1_000) } else { String::new() };
        format!(r#"{{"Shards":[{}]{token}}}"#, shards.join(","))
    };
    let proxy = Proxy::start("http://127.0.0.1:9", move |call| {
        let token = call.body.split_once(r#""NextToken":""#).and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
        // The service refuses a token beside what names the stream.
        assert!(token.is_none() || !call.body.contains("StreamName"), "{}", call.body);
        Act::Answer(200, page(token.unwrap_or(0)))
    })
    .await;
    let source = KinesisShards::new(support::bare_client(&proxy.endpoint), &StreamSettings::new("wide"), TIMEOUT);
    let listed = source.list().await.unwrap();
    assert_eq!((listed.len(), proxy.count("ListShards")), (2_500, 3));
    assert_eq!(&*listed[2_499].shard, "shardId-000000002499");
    assert!(listed.iter().all(|shard| shard.hash_range.is_some()));
}
