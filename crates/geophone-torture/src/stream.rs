//! The stream server: Kinesis in this process, by `ferrokinesis`, which splits and merges and whose iterators grow old.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};
use aws_sdk_kinesis::{Client, Config};
use ferrokinesis::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The stream's name.
pub const STREAM: &str = "trail";
/// Kinesis takes at most so many records a call.
const RECORDS_PER_CALL: usize = 500;
/// And so many bytes.
const BYTES_PER_CALL: usize = 5 << 20;
/// More open shards than any scenario has.
const SHARDS_MAX: u32 = 500;
/// A stream that takes longer to change is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record to put: partition key and bytes.
pub type Entry = (String, Vec<u8>);

/// See the module.
pub struct Stream {
    /// `127.0.0.1:PORT`
    pub address: String,
    client: Client,
    task: AbortHandle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    /// A server with one stream, whose iterators expire after so many seconds.
    pub async fn start(shards: i32, iterator_seconds: u64) -> Self {
        let options = StoreOptions {
            create_stream_ms: 0,
            delete_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: SHARDS_MAX,
            iterator_ttl_seconds: iterator_seconds,
            ..StoreOptions::default()
        };
        let (app, _store) = ferrokinesis::create_app(options);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }).abort_handle();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "torture"));
        let stream = Self { address, client: Client::from_conf(config.build()), task };
        stream.client.create_stream().stream_name(STREAM).shard_count(shards).send().await.expect("created");
        stream.active().await;
        stream
    }

    /// Puts records in their order.
    pub async fn put(&self, entries: &[Entry]) {
        let mut rest = entries;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take(RECORDS_PER_CALL).take_while(|(_, data)| {
                bytes += data.len();
                bytes <= BYTES_PER_CALL
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            let records = now.iter().map(|(key, data)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.clone()));
                entry.build().expect("complete")
            });
            let request = self.client.put_records().stream_name(STREAM).set_records(Some(records.collect()));
            let answer = request.send().await.expect("put");
            assert_eq!(answer.failed_record_count.unwrap_or(0), 0, "the emulator takes everything");
            rest = later;
        }
    }

    /// Splits the `choice`th open shard in its middle.
    pub async fn split(&self, choice: usize) {
        let shards = self.open_shards().await;
        let shard = &shards[choice % shards.len()];
        let (start, end) = range(shard);
        let request = self.client.split_shard().stream_name(STREAM).shard_to_split(shard.shard_id());
        request.new_starting_hash_key((start + (end - start) / 2).to_string()).send().await.expect("split");
        self.active().await;
    }

    /// Merges the `choice`th pair of open neighbours, where there is one.
    pub async fn merge(&self, choice: usize) -> bool {
        let mut shards = self.open_shards().await;
        shards.sort_by_key(range);
        if shards.len() < 2 {
            return false;
        }
        let at = choice % (shards.len() - 1);
        let request = self.client.merge_shards().stream_name(STREAM).shard_to_merge(shards[at].shard_id());
        request.adjacent_shard_to_merge(shards[at + 1].shard_id()).send().await.expect("merged");
        self.active().await;
        true
    }

    /// How many shards take records.
    pub async fn open(&self) -> usize {
        self.open_shards().await.len()
    }

    async fn open_shards(&self) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(STREAM).send().await.expect("listed");
        let mut shards = listed.shards.unwrap_or_default();
        shards.retain(|shard| shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none()));
        shards
    }

    async fn active(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let summary = self.client.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
            if summary.stream_description_summary.is_some_and(|summary| summary.stream_status == StreamStatus::Active) {
                return;
            }
            assert!(Instant::now() < end, "the stream does not become active");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().expect("a range");
    let number = |text: &str| text.parse().expect("a number");
    (number(range.starting_hash_key()), number(range.ending_hash_key()))
}
