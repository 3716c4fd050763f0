//! `SubscribeToShard` as the service's documents have it, put before a server that only polls well:
//! positions are honoured, a shard's last event names its children and no continuation, a
//! subscription is over after a while, and the later of two ends the earlier.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::event_stream::{event, exception, initial_response};
use super::proxy::{answer, forward};

pub struct FanOut {
    pub endpoint: String,
    inner: Arc<Inner>,
    task: AbortHandle,
}

struct Inner {
    upstream: String,
    client: Client,
    /// How long a subscription lasts.
    session: Duration,
    /// Per shard, how many subscriptions there were.
    subscriptions: Mutex<BTreeMap<String, u64>>,
}

impl FanOut {
    pub async fn before(upstream: &str, session: Duration) -> Self {
        let client = super::client(upstream);
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let inner = Arc::new(Inner { upstream, client, session, subscriptions: Mutex::default() });
        let app = Router::new().fallback(handle).with_state(inner.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }).abort_handle();
        Self { endpoint, inner, task }
    }

    /// How many subscriptions there were to all shards.
    pub fn subscriptions(&self) -> u64 {
        self.inner.subscriptions.lock().unwrap().values().sum()
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    if headers["x-amz-target"].to_str().unwrap().ends_with(".SubscribeToShard") {
        return inner.subscribe(&body).await;
    }
    forward(&inner.upstream, &headers, &body).await
}

/// One subscription.
struct Session {
    inner: Arc<Inner>,
    stream: String,
    shard: String,
    number: u64,
    ends: Instant,
    /// `None`: over.
    iterator: Option<String>,
    continuation: String,
}

impl Inner {
    async fn subscribe(self: Arc<Self>, body: &str) -> Response<Body> {
        let request: Value = serde_json::from_str(body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (shard, position) = (text(&request["ShardId"]), &request["StartingPosition"]);
        let consumer = text(&request["ConsumerARN"]);
        let stream = consumer.split("stream/").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let iterator = self.client.get_shard_iterator().stream_name(&stream).shard_id(&shard);
        let iterator = iterator.shard_iterator_type(ShardIteratorType::from(text(&position["Type"]).as_str()));
        let iterator = iterator.set_starting_sequence_number(position["SequenceNumber"].as_str().map(str::to_owned));
        let time = position["Timestamp"].as_f64().map(aws_sdk_kinesis::primitives::DateTime::from_secs_f64);
        let iterator = match iterator.set_timestamp(time).send().await {
            Ok(reply) => reply.shard_iterator,
            Err(error) => {
                let error = error.into_service_error();
                let code = aws_sdk_kinesis::error::ProvideErrorMetadata::code(&error).unwrap_or("InternalFailure");
                return answer(400, format!(r#"{{"__type":"{code}","message":"refused"}}"#).into());
            }
        };
        let listed = self.client.list_shards().stream_name(&stream).send().await.unwrap().shards.unwrap();
        let listed = listed.iter().find(|listed| listed.shard_id() == shard).unwrap();
        let first = listed.sequence_number_range().unwrap().starting_sequence_number().to_owned();
        let continuation = position["SequenceNumber"].as_str().map_or(first, str::to_owned);
        let number = {
            let mut subscriptions = self.subscriptions.lock().unwrap();
            let number = subscriptions.entry(shard.clone()).or_default();
            *number += 1;
            *number
        };
        let ends = Instant::now() + self.session;
        let session = Session { inner: self, stream, shard, number, ends, iterator, continuation };
        let start = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from(initial_response())) });
        let events = futures_util::stream::unfold(session, Session::next);
        let body = Body::from_stream(futures_util::StreamExt::chain(start, events));
        Response::builder().header("content-type", "application/vnd.amazon.eventstream").body(body).unwrap()
    }
}

impl Session {
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        let iterator = self.iterator.take()?;
        if self.inner.subscriptions.lock().unwrap()[&self.shard] > self.number {
            return Some((Ok(exception("ResourceInUseException").into()), self));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        if Instant::now() > self.ends {
            return None;
        }
        let page = self.inner.client.get_records().shard_iterator(iterator).limit(10).send().await.unwrap();
        if let Some(last) = page.records.last() {
            self.continuation = last.sequence_number.clone();
        }
        let record = |record: &aws_sdk_kinesis::types::Record| {
            json!({
                "SequenceNumber": record.sequence_number,
                "Data": base64(record.data.as_ref()),
                "PartitionKey": record.partition_key,
                "ApproximateArrivalTimestamp": record.approximate_arrival_timestamp.unwrap().as_secs_f64(),
            })
        };
        let mut body = json!({
            "Records": page.records.iter().map(record).collect::<Vec<_>>(),
            "MillisBehindLatest": page.millis_behind_latest.unwrap_or(0),
        });
        if page.next_shard_iterator.is_some() {
            body["ContinuationSequenceNumber"] = self.continuation.clone().into();
        } else {
            body["ChildShards"] = self.children().await;
        }
        self.iterator = page.next_shard_iterator;
        Some((Ok(event(&body.to_string()).into()), self))
    }

    async fn children(&self) -> Value {
        let listed = self.inner.client.list_shards().stream_name(&self.stream).send().await.unwrap().shards.unwrap();
        let is_child = |parent: Option<&str>| parent == Some(&self.shard);
        let children = listed.iter().filter(|shard| is_child(shard.parent_shard_id()) || is_child(shard.adjacent_parent_shard_id()));
        let child = |shard: &aws_sdk_kinesis::types::Shard| {
            let range = shard.hash_key_range().unwrap();
            let range = json!({"StartingHashKey": range.starting_hash_key(), "EndingHashKey": range.ending_hash_key()});
            json!({"ShardId": shard.shard_id(), "ParentShards": [&self.shard], "HashKeyRange": range})
        };
        children.map(child).collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}
