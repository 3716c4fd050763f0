//! Envelopes give back the events that went in.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests fail by panicking, and wait by the clock"
)]
use std::io::Read as _;

use geophone_company::{Company, CompanySettings, wire};
use serde_json::Value;

fn sample() -> Vec<String> {
    let mut company = Company::new(CompanySettings::default());
    company.day(0).into_iter().skip(200).take(50).map(|event| event.json).collect()
}

fn refs(events: &[String]) -> Vec<&str> {
    events.iter().map(String::as_str).collect()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn values(events: &[String]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

#[test]
fn eventbridge() {
    for json in sample() {
        let envelope = parse(&wire::eventbridge(&json));
        let event: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(envelope["detail"], event);
        assert_eq!(envelope["time"], event["eventTime"]);
        assert_eq!(envelope["id"].as_str().unwrap().len(), 36);
        let is_service_event = event["eventType"] == "AwsServiceEvent";
        let kind = if is_service_event { "AWS Service Event via CloudTrail" } else { "AWS API Call via CloudTrail" };
        assert_eq!(envelope["detail-type"], kind);
        assert!(envelope["source"].as_str().unwrap().starts_with("aws."));
    }
}

#[test]
fn cloudwatch_logs() {
    let events = sample();
    let message = parse(&gunzip(&wire::cloudwatch_logs(&refs(&events))));
    assert_eq!(message["messageType"], "DATA_MESSAGE");
    assert_eq!(message["owner"], "111122223333");
    let entries = message["logEvents"].as_array().unwrap();
    let texts: Vec<&str> = entries.iter().map(|entry| entry["message"].as_str().unwrap()).collect();
    assert_eq!(texts, refs(&events));
    assert!(entries[0]["timestamp"].as_u64().unwrap() > 1_780_272_000_000);
    assert_eq!(entries[0]["id"].as_str().unwrap().len(), 56);
}

#[test]
fn control_message() {
    let message = parse(&gunzip(&wire::control_message()));
    assert_eq!(message["messageType"], "CONTROL_MESSAGE");
}

#[test]
fn files() {
    let events = sample();
    let texts = refs(&events);
    let expected = Value::Array(values(&events));
    assert_eq!(parse(&wire::records(&texts))["Records"], expected);
    assert_eq!(parse(&gunzip(&wire::records_gz(&texts)))["Records"], expected);
    assert_eq!(parse(&wire::json_array(&texts)), expected);
    let lines = String::from_utf8(wire::ndjson(&texts)).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), texts);
    assert!(wire::ndjson(&[]).is_empty());
    let dump = parse(&wire::lookup_events(&texts));
    let inner: Vec<&str> = dump["Events"].as_array().unwrap().iter().map(|entry| entry["CloudTrailEvent"].as_str().unwrap()).collect();
    assert_eq!(inner, texts);
}
