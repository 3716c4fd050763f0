//! A stream under test: made, written to, split and merged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};

use super::DEADLINE;

/// Many enough that each of four shards gets some.
const KEYS: u32 = 16;

pub struct Stream {
    pub name: String,
    client: Client,
    /// Per key, how many records were put.
    written: BTreeMap<u32, u32>,
}

/// A name that no other test of this process uses.
pub fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("stream-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Stream {
    pub async fn create(client: &Client, shards: i32) -> Self {
        Self::create_as(client, fresh_name(), shards).await
    }

    pub async fn create_as(client: &Client, name: String, shards: i32) -> Self {
        client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        let stream = Self { name, client: client.clone(), written: BTreeMap::new() };
        stream.active().await;
        stream
    }

    pub async fn delete(&self) {
        self.client.delete_stream().stream_name(&self.name).send().await.unwrap();
    }

    /// Puts `count` records over the keys, in turn. Each payload is `key:number`, and the numbers
    /// of a key grow.
    pub async fn put(&mut self, count: u32) {
        let mut entries = Vec::new();
        for at in 0..count {
            let key = at % KEYS;
            let number = self.written.entry(key).or_default();
            let entry = PutRecordsRequestEntry::builder().partition_key(format!("key-{key}")).data(Blob::new(format!("{key}:{number}")));
            *number += 1;
            entries.push(entry.build().unwrap());
        }
        let request = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
        assert_eq!(request.send().await.unwrap().failed_record_count.unwrap_or(0), 0);
    }

    /// Puts one record that is not counted.
    pub async fn put_one(&self, key: &str, data: Vec<u8>) {
        self.client.put_record().stream_name(&self.name).partition_key(key).data(Blob::new(data)).send().await.unwrap();
    }

    /// How many records were put.
    pub fn len(&self) -> usize {
        self.written.values().sum::<u32>() as usize
    }

    pub async fn split(&self, shard: &Shard) {
        let range = shard.hash_key_range().unwrap();
        let ends: [u128; 2] = [range.starting_hash_key(), range.ending_hash_key()].map(|end| end.parse().unwrap());
        let middle = ends[0] + (ends[1] - ends[0]) / 2;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard.shard_id());
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.active().await;
    }

    pub async fn merge(&self, left: &Shard, right: &Shard) {
        let request = self.client.merge_shards().stream_name(&self.name);
        request.shard_to_merge(left.shard_id()).adjacent_shard_to_merge(right.shard_id()).send().await.unwrap();
        self.active().await;
    }

    /// The open shards, in the order of their hash key ranges.
    pub async fn open_shards(&self) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        let mut shards = listed.shards.unwrap_or_default();
        shards.retain(|shard| shard.sequence_number_range().unwrap().ending_sequence_number().is_none());
        shards.sort_by_key(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse::<u128>().unwrap());
        shards
    }

    async fn active(&self) {
        let active = async {
            loop {
                let summary = self.client.describe_stream_summary().stream_name(&self.name).send().await;
                let status = summary.ok().and_then(|reply| reply.stream_description_summary).map(|stream| stream.stream_status);
                if status == Some(StreamStatus::Active) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, active).await.expect("the stream becomes active");
    }
}
