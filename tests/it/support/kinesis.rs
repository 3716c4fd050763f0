//! Kinesis in the test's own process: `ferrokinesis` on a port of loopback, whose reads can be made to fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, StreamStatus};
use aws_sdk_kinesis::{Client, Config};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ferrokinesis::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::wait::eventually;

/// Kinesis takes at most so many records a call.
const RECORDS_PER_CALL: usize = 500;

/// A record to put: partition key and bytes.
pub type Entry = (String, Vec<u8>);

/// What is made to fail.
#[derive(Default)]
struct Faults {
    throttles: AtomicBool,
    trims: AtomicBool,
}

pub struct Kinesis {
    pub endpoint: String,
    client: Client,
    faults: Arc<Faults>,
    task: AbortHandle,
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kinesis {
    pub async fn start() -> Self {
        let options =
            StoreOptions { create_stream_ms: 0, delete_stream_ms: 0, update_stream_ms: 0, shard_limit: 100, ..StoreOptions::default() };
        let (app, _store) = ferrokinesis::create_app(options);
        let faults = Arc::<Faults>::default();
        let app = app.layer(from_fn_with_state(Arc::clone(&faults), fail));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }).abort_handle();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&endpoint)
            .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"));
        Self { client: Client::from_conf(config.build()), endpoint, faults, task }
    }

    /// A server with one stream.
    pub async fn with_stream(name: &str, shards: i32) -> Self {
        let kinesis = Self::start().await;
        kinesis.create(name, shards).await;
        kinesis
    }

    pub async fn create(&self, name: &str, shards: i32) {
        self.client.create_stream().stream_name(name).shard_count(shards).send().await.expect("created");
        self.active(name).await;
    }

    /// From now on every `GetRecords` is throttled, or none.
    pub fn throttle_reads(&self, throttles: bool) {
        self.faults.throttles.store(throttles, Ordering::Relaxed);
    }

    /// From now on every position behind a record is refused, as one that the stream has dropped; or none.
    pub fn trim(&self, trims: bool) {
        self.faults.trims.store(trims, Ordering::Relaxed);
    }

    /// Puts records in their order.
    pub async fn put(&self, name: &str, entries: &[Entry]) {
        for chunk in entries.chunks(RECORDS_PER_CALL) {
            let records = chunk.iter().map(|(key, data)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.clone()));
                entry.build().expect("complete")
            });
            let request = self.client.put_records().stream_name(name).set_records(Some(records.collect()));
            let answer = request.send().await.expect("put");
            assert_eq!(answer.failed_record_count.unwrap_or(0), 0);
        }
    }

    /// Splits the stream's first open shard in the middle.
    pub async fn split(&self, name: &str) {
        let shard = self.open_shards(name).await.swap_remove(0);
        let range = shard.hash_key_range().expect("a range");
        let [start, end]: [u128; 2] = [range.starting_hash_key(), range.ending_hash_key()].map(|key| key.parse().expect("a number"));
        let middle = start + (end - start) / 2;
        let request = self.client.split_shard().stream_name(name).shard_to_split(shard.shard_id());
        request.new_starting_hash_key(middle.to_string()).send().await.expect("split");
        self.active(name).await;
    }

    /// Merges the stream's first two open shards that lie beside each other.
    pub async fn merge(&self, name: &str) {
        let range = |shard: &Shard| -> [u128; 2] {
            let range = shard.hash_key_range().expect("a range");
            [range.starting_hash_key(), range.ending_hash_key()].map(|key| key.parse().expect("a number"))
        };
        let mut shards = self.open_shards(name).await;
        shards.sort_by_key(range);
        let request = self.client.merge_shards().stream_name(name).shard_to_merge(shards[0].shard_id());
        request.adjacent_shard_to_merge(shards[1].shard_id()).send().await.expect("merged");
        self.active(name).await;
    }

    async fn open_shards(&self, name: &str) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(name).send().await.expect("listed");
        let mut shards = listed.shards.unwrap_or_default();
        shards.retain(|shard| shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none()));
        shards
    }

    async fn active(&self, name: &str) {
        eventually("an active stream", async || {
            let summary = self.client.describe_stream_summary().stream_name(name).send().await.ok()?;
            let status = summary.stream_description_summary?.stream_status;
            (status == StreamStatus::Active).then_some(())
        })
        .await;
    }
}

/// No emulator throttles reads; AWS does, beyond five calls a second for each shard. And none drops records in time.
async fn fail(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    let target = request.headers().get("x-amz-target").cloned();
    let is = |name: &[u8]| target.as_ref().is_some_and(|target| target.as_bytes().ends_with(name));
    if is(b".GetRecords") && faults.throttles.load(Ordering::Relaxed) {
        return refusal("ProvisionedThroughputExceededException");
    }
    if !is(b".GetShardIterator") || !faults.trims.load(Ordering::Relaxed) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a request");
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("AFTER_SEQUENCE_NUMBER") {
        return refusal("InvalidArgumentException");
    }
    next.run(Request::from_parts(parts, bytes.into())).await
}

fn refusal(kind: &str) -> Response {
    let body = format!(r#"{{"__type":"{kind}","message":"injected"}}"#);
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body).into_response()
}
