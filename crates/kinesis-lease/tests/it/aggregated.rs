//! Records that a producer packed into one, over real servers.

use kinesis_lease::{Checkpoint, Consumer, Delivery, Manifest, Record, StreamSettings, kpl};
use md5::{Digest, Md5};

use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{fast, quick};

/// User records of one key each, packed as KPL does.
fn pack(records: &[(&str, &str)]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        assert!(bytes.len() < 128);
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    };
    let mut message: Vec<u8> = records.iter().flat_map(|(key, _)| field(1, key.as_bytes())).collect();
    for (at, (_, data)) in records.iter().enumerate() {
        message.extend(field(3, &[&[0x08, at as u8][..], &field(3, data.as_bytes())].concat()));
    }
    [&kpl::MAGIC[..], &message, Md5::digest(&message).as_slice()].concat()
}

/// Reads until there are `count` records. Gives them, how many were misplaced, and the manifest.
async fn read(server: &Server, settings: StreamSettings, mut manifest: Manifest, count: usize) -> (Vec<Record>, u64, Manifest) {
    let streams = vec![(server.client.clone(), settings)];
    let (mut deliveries, consumer) = Consumer::start(streams, quick(), manifest.clone()).unwrap();
    let (mut all, mut misplaced) = (Vec::new(), 0);
    let receive = async {
        while all.len() < count {
            let delivery = deliveries.recv().await.expect("the consumer runs");
            manifest.apply(&delivery);
            match delivery {
                Delivery::Page { shard, records, end, .. } => {
                    all.extend(records);
                    manifest.advance(&shard, end);
                }
                Delivery::Misplaced { records, .. } => misplaced += records,
                _ => {}
            }
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, receive).await.expect("all of them in time");
    consumer.stop().await;
    assert_eq!(all.len(), count);
    (all, misplaced, manifest)
}

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.data).unwrap()).collect()
}

async fn user_records_come_one_by_one(server: Server) {
    let stream = Stream::create(&server.client, 1).await;
    stream.put_one("first", pack(&[("a", "1"), ("b", "2"), ("c", "3")])).await;
    stream.put_one("plain", b"4".to_vec()).await;
    let mut damaged = pack(&[("d", "5")]);
    *damaged.last_mut().unwrap() ^= 1;
    stream.put_one("damaged", damaged.clone()).await;
    let (records, misplaced, manifest) = read(&server, fast(&stream.name), Manifest::default(), 5).await;
    assert_eq!((texts(&records[..4]), misplaced), (vec!["1", "2", "3", "4"], 0));
    assert_eq!(records[4].data, damaged, "as it is");
    let keys: Vec<_> = records.iter().map(|record| (record.partition_key.as_str(), record.sub_sequence)).collect();
    assert_eq!(keys, [("a", Some(0)), ("b", Some(1)), ("c", Some(2)), ("plain", None), ("damaged", None)]);
    assert!(records[..3].iter().all(|record| record.sequence_number == records[0].sequence_number && record.arrival_ms.is_some()));

    // Down in the middle of the first record.
    let mut inside = manifest.clone();
    inside.checkpoints.values_mut().next().unwrap().checkpoint = records[1].checkpoint();
    let (rest, _, _) = read(&server, fast(&stream.name), inside, 3).await;
    assert_eq!(rest, records[2..]);
    // Whole pages leave nothing behind.
    let lease = manifest.checkpoints.values().next().unwrap();
    assert_eq!(lease.checkpoint, Checkpoint::after(records[4].sequence_number.as_str()));

    let off = StreamSettings { aggregated: false, ..fast(&stream.name) };
    let (whole, _, _) = read(&server, off, Manifest::default(), 3).await;
    assert!(kpl::take_apart(&whole[0].data).is_some_and(|users| users.len() == 3));
}

/// The producer has not heard of the split yet: what it packs together goes where the first belongs,
/// and it sends the rest again.
async fn what_belongs_to_the_other_half_is_dropped_after_a_split(server: Server) {
    let stream = Stream::create(&server.client, 1).await;
    let (low, high): (Vec<String>, Vec<String>) = (0..20).map(|at| format!("key-{at}")).partition(|key| kpl::hash_of(key) < u128::MAX / 2);
    let packed = [(low[0].as_str(), "low"), (high[0].as_str(), "high"), (low[1].as_str(), "low again")];
    stream.put_one(&low[0], pack(&packed)).await;
    stream.split(&stream.open_shards().await[0]).await;
    stream.put_one(&low[0], pack(&packed)).await;
    stream.put_one(&high[0], pack(&[(&high[0], "high")])).await;
    let (records, misplaced, _) = read(&server, fast(&stream.name), Manifest::default(), 6).await;
    let mut texts = texts(&records);
    texts[3..].sort_unstable();
    assert_eq!((texts, misplaced), (vec!["low", "high", "low again", "high", "low", "low again"], 1));
}

macro_rules! over_both {
    ($($case:ident),*) => {
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

over_both!(user_records_come_one_by_one, what_belongs_to_the_other_half_is_dropped_after_a_split);
