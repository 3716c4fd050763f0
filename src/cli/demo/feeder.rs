//! Puts the company's records into Kinesis as they would arrive: minutes late, out of order, in both wire forms.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use geophone_company::{Company, Event, wire};
use indicatif::ProgressBar;

use super::script::{self, Truth};
use super::{HISTORY_DAYS, LIVE_FROM, LIVE_HOURS, STREAM};
use crate::cli::output;
use crate::cli::{Exit, Failure};
use crate::clock::Clock;
use crate::sns::describe;
use crate::time::{DAY, HOUR};
use crate::web::Web;

/// Real time between two puts.
const STEP: Duration = Duration::from_millis(50);
/// Kinesis takes at most 500 records a call.
const RECORDS_PER_CALL: usize = 500;
/// Events of one CloudWatch Logs record.
const BATCH: usize = 64;
/// How long the end waits for the daemon to have read everything.
const CATCH_UP: Duration = Duration::from_secs(20);

/// A client for the embedded Kinesis.
pub(super) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIAIOSFODNN7EXAMPLE", "not-a-secret", None, None, "demo"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// Makes the stream, with two shards.
pub(super) async fn make_stream(client: &Client, name: &str) -> Result<(), Failure> {
    let made = client.create_stream().stream_name(name).shard_count(2).send().await;
    made.map(|_| ()).map_err(|error| Failure::new(Exit::Unavailable, format_args!("the embedded Kinesis: {}", describe(&error))))
}

/// Feeds day after day (or one), each event when it arrives, until everything is read.
pub(super) async fn feed(
    client: Client,
    mut company: Company,
    clock: Clock,
    one_day: bool,
    web: Arc<Web>,
    status: ProgressBar,
) -> Result<Truth, Failure> {
    let mut truth = Truth::default();
    let mut fed = 0;
    for day in HISTORY_DAYS.. {
        let midnight = company.settings().first_day + i64::from(day) * DAY;
        let (from, to) = (midnight + LIVE_FROM, midnight + LIVE_FROM + LIVE_HOURS * HOUR);
        let mut events = script::day(&mut company, day, &mut truth);
        // What arrived before the first day went live was read as history.
        events.retain(|event| event.arrival >= from && event.arrival < to || day > HISTORY_DAYS && event.arrival < from);
        let mut events = events.into_iter().peekable();
        loop {
            let now = clock.now().0.unix();
            let mut due = Vec::new();
            while let Some(event) = events.next_if(|event| event.arrival <= now.max(from)) {
                due.push(event);
            }
            fed += due.len() as u64;
            put(&client, due).await?;
            status.set_message(output::status(&web.view()));
            if events.peek().is_none() && now >= to {
                break;
            }
            tokio::time::sleep(STEP).await;
        }
        if one_day {
            break;
        }
    }
    let end = tokio::time::Instant::now() + CATCH_UP;
    while web.view().events < fed && tokio::time::Instant::now() < end {
        tokio::time::sleep(STEP).await;
    }
    Ok(truth)
}

/// Half of the company's accounts go through EventBridge, half through a CloudWatch Logs subscription: whoever is whose
/// is decided by the partition key, so that every actor keeps one way.
async fn put(client: &Client, events: Vec<Event>) -> Result<(), Failure> {
    let (by_bridge, by_logs): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| event.partition_key.len() % 2 == 0);
    let mut entries: Vec<(String, Vec<u8>)> =
        by_bridge.into_iter().map(|event| (event.partition_key.clone(), wire::eventbridge(&event.json))).collect();
    for (index, batch) in by_logs.chunks(BATCH).enumerate() {
        let texts: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
        entries.push((format!("log-stream-{index}"), wire::cloudwatch_logs(&texts)));
    }
    for chunk in entries.chunks(RECORDS_PER_CALL) {
        let records = chunk.iter().filter_map(|(key, data)| {
            let key: String = key.chars().take(256).collect();
            PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.clone())).build().ok()
        });
        let answer = client.put_records().stream_name(STREAM).set_records(Some(records.collect())).send().await;
        answer.map_err(|error| Failure::new(Exit::Unavailable, format_args!("the embedded Kinesis: {}", describe(&error))))?;
    }
    Ok(())
}
