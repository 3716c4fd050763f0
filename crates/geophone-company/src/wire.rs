//! The envelopes in which CloudTrail events reach a Kinesis record or a file.
//!
//! Every function takes the JSON texts of whole events and gives bytes as a consumer
//! would read them. The events' own text is never re-serialised.

mod kpl;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::clock::parse_iso;
use crate::json::{Object, object, object_text};
use crate::random::mix;

pub use kpl::kpl;

/// What an EventBridge rule with a Kinesis target sends: one event in its envelope.
pub fn eventbridge(json: &str) -> Vec<u8> {
    // An event that cannot be read gets an envelope with empty fields.
    let event: Value = serde_json::from_str(json).unwrap_or_default();
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    let service = field("eventSource").trim_end_matches(".amazonaws.com");
    let kind = match field("eventType") {
        "AwsServiceEvent" => "AWS Service Event via CloudTrail",
        _ => "AWS API Call via CloudTrail",
    };
    let envelope = object_text(|envelope| {
        envelope.text("version", "0");
        envelope.text("id", &envelope_id(field("eventID")));
        envelope.text("detail-type", kind);
        envelope.text("source", &format!("aws.{service}"));
        envelope.text("account", field("recipientAccountId"));
        envelope.text("time", field("eventTime"));
        envelope.text("region", field("awsRegion"));
        envelope.raw("resources", "[]");
        envelope.raw("detail", json);
    });
    envelope.into_bytes()
}

/// EventBridge has an id of its own, here one that follows from the event's.
fn envelope_id(event_id: &str) -> String {
    let digest = event_id.bytes().fold(0, |state, byte| mix(state ^ u64::from(byte)));
    let low = mix(digest);
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", digest >> 32, digest >> 16 & 0xffff, digest & 0xfff, low >> 52, low & 0xffff_ffff_ffff)
}

/// What a CloudWatch Logs subscription sends: a gzipped `DATA_MESSAGE` in which every
/// event is a JSON text inside JSON.
pub fn cloudwatch_logs(events: &[&str]) -> Vec<u8> {
    let first: Value = events.first().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let field = |name: &str| first[name].as_str().unwrap_or_default();
    let (account, region) = (field("recipientAccountId"), field("awsRegion"));
    let message = object_text(|message| {
        message.text("messageType", "DATA_MESSAGE");
        message.text("owner", account);
        message.text("logGroup", "CloudTrail/logs");
        message.text("logStream", &format!("{account}_CloudTrail_{region}"));
        message.texts("subscriptionFilters", &["geophone"]);
        write_list(message, "logEvents", events, |out, index, json| {
            object(out, |entry| {
                let event: Value = serde_json::from_str(json).unwrap_or_default();
                let id = event["eventID"].as_str().unwrap_or_default();
                let number = id.bytes().fold(index as u64, |state, byte| mix(state ^ u64::from(byte)));
                entry.text("id", &format!("{:056}", u128::from(number) << 40));
                let time = event["eventTime"].as_str().and_then(parse_iso).unwrap_or_default();
                entry.number("timestamp", 1_000 * time.unsigned_abs());
                entry.text("message", json);
            });
        });
    });
    gzip(message.as_bytes())
}

/// The health probe that CloudWatch Logs sends when a subscription is made; consumers
/// must drop it.
pub fn control_message() -> Vec<u8> {
    let message = object_text(|message| {
        message.text("messageType", "CONTROL_MESSAGE");
        message.text("owner", "CloudwatchLogs");
        message.text("logGroup", "");
        message.text("logStream", "");
        message.texts("subscriptionFilters", &[]);
        let text = "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream.";
        write_list(message, "logEvents", &[text], |out, _, text| {
            object(out, |entry| {
                entry.text("id", "");
                entry.number("timestamp", 1_780_272_000_000);
                entry.text("message", text);
            });
        });
    });
    gzip(message.as_bytes())
}

/// A CloudTrail file: `{"Records":[…]}`.
pub fn records(events: &[&str]) -> Vec<u8> {
    let file = object_text(|file| {
        write_list(file, "Records", events, |out, _, json| out.push_str(json));
    });
    file.into_bytes()
}

/// The same as it lies in the bucket, gzipped.
pub fn records_gz(events: &[&str]) -> Vec<u8> {
    gzip(&records(events))
}

/// What `aws cloudtrail lookup-events` prints: every event as a text inside JSON.
pub fn lookup_events(events: &[&str]) -> Vec<u8> {
    let dump = object_text(|dump| {
        write_list(dump, "Events", events, |out, _, json| {
            object(out, |entry| {
                let event: Value = serde_json::from_str(json).unwrap_or_default();
                entry.text("EventId", event["eventID"].as_str().unwrap_or_default());
                entry.text("EventName", event["eventName"].as_str().unwrap_or_default());
                entry.text("CloudTrailEvent", json);
            });
        });
    });
    dump.into_bytes()
}

/// One event a line.
pub fn ndjson(events: &[&str]) -> Vec<u8> {
    let mut lines = events.join("\n");
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.into_bytes()
}

/// A bare JSON array of events.
pub fn json_array(events: &[&str]) -> Vec<u8> {
    format!("[{}]", events.join(",")).into_bytes()
}

/// Gzip at the default level, without a time stamp, so that equal input gives equal bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
    // Writing into a Vec cannot fail; if it ever does, the consumer sees a cut stream.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn write_list(object: &mut Object<'_>, key: &str, items: &[&str], mut write: impl FnMut(&mut String, usize, &str)) {
    let out = object.value(key);
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, index, item);
    }
    out.push(']');
}
