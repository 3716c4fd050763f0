//! Who called, at the size of a company: every way to sign in, shuffled, doubled, with records that never come.

use std::collections::HashMap;
use std::sync::Arc;

use geophone::engine::{Engine, EngineSettings, Report, report::AttributedCall};
use geophone::identity::Directory;
use geophone::observation::Observation;
use geophone::time::{EventTime, Now};
use geophone_company::census::{Census, CensusEvent, CensusSettings};

use crate::real_records;
use crate::support::story;

fn settings(census: &Census) -> EngineSettings {
    EngineSettings {
        directory: Arc::new(Directory::parse(&census.directory_csv).expect("the company's own directory")),
        keep_calls: true,
        ..EngineSettings::default()
    }
}

/// Every call by its id with who made it.
fn attributed<'e>(census: &Census, events: impl Iterator<Item = &'e CensusEvent>) -> HashMap<String, AttributedCall> {
    let mut engine = Engine::new(settings(census));
    let input = engine.input("census");
    let (mut calls, mut now) = (HashMap::new(), EventTime::MIN);
    let mut take = |report: Report| {
        for call in report.calls {
            let id = call.event_id.as_ref().expect("an id").to_string();
            assert!(calls.insert(id, call).is_none(), "a call was settled twice");
        }
    };
    let mut batch = Vec::new();
    let mut feed = |batch: &mut Vec<&str>, engine: &mut Engine| {
        let mut report = Report::default();
        for observation in story::observe(&geophone_company::wire::ndjson(batch)) {
            now = now.max(observation.time);
            engine.handle(input, observation, Now(now), &mut report);
        }
        batch.clear();
        report
    };
    for event in events {
        batch.push(event.json.as_str());
        if batch.len() >= 500 {
            take(feed(&mut batch, &mut engine));
        }
    }
    take(feed(&mut batch, &mut engine));
    let mut report = Report::default();
    engine.finish(&mut report);
    take(report);
    calls
}

/// What is said about a call may be less than the truth only where a record is lost, and never anything else.
fn compare(census: &Census, calls: &HashMap<String, AttributedCall>) -> (usize, usize) {
    let (mut right, mut complete) = (0, 0);
    let truths = census.truths();
    assert_eq!(truths.len(), calls.len());
    for (id, truth) in truths {
        let call = &calls[id];
        let (person, department) = (call.person.as_deref(), call.department.name().map(|name| &**name));
        assert!(department.is_none() || department == truth.department.as_deref(), "wrong department {department:?}: {truth:?}");
        assert!(person.is_none() || person == truth.person.as_deref(), "wrong person {person:?}: {truth:?}");
        if truth.has_sts_record {
            complete += 1;
            right += usize::from(person == truth.person.as_deref() && department == truth.department.as_deref());
        }
    }
    (right, complete)
}

#[test]
fn twenty_thousand_people_are_told_apart() {
    let census = Census::new(&CensusSettings { people: 20_000, ..CensusSettings::default() });
    let calls = attributed(&census, census.events.iter());
    let (right, complete) = compare(&census, &calls);
    println!("{} calls, {complete} with all records, {right} of them right", calls.len());
    assert!(complete > 150_000 && right as f64 >= complete as f64 * 0.999, "{right} of {complete}");
}

#[test]
fn half_of_all_records_lost_makes_nobody_somebody_else() {
    let census = Census::new(&CensusSettings { people: 1_500, lost_sts: 0.5, ..CensusSettings::default() });
    let (right, complete) = compare(&census, &attributed(&census, census.events.iter()));
    assert!(right == complete && complete > 1_000, "{right} of {complete}");
}

#[test]
fn the_order_of_arrival_changes_nobody() {
    let census = Census::new(&CensusSettings { people: 800, lost_sts: 0.05, ..CensusSettings::default() });
    let by_arrival = attributed(&census, census.events.iter());
    let sorted = |key: &dyn Fn(&CensusEvent) -> (i64, String)| {
        let mut events: Vec<&CensusEvent> = census.events.iter().collect();
        events.sort_by_key(|event| key(event));
        attributed(&census, events.into_iter())
    };
    let by_time = sorted(&|event| (event.time, event.event_id.clone()));
    // Calls as early, issuing records as late as lateness allows.
    let worst = sorted(&|event| (event.time + if event.truth.is_some() { 0 } else { 880 }, event.event_id.clone()));
    for (name, other) in [("in order", by_time), ("records late", worst)] {
        assert_eq!(by_arrival.len(), other.len());
        for (id, call) in &by_arrival {
            // A machine's call waits for no record, so whether its record was there says something about the order.
            let same = other.get(id).map(|other| AttributedCall { is_joined: call.is_joined, ..other.clone() });
            assert_eq!(Some(call), same.as_ref(), "{name}");
        }
    }
}

#[test]
fn every_real_session_whose_record_is_there_is_joined() {
    let Some(folder) = real_records::corpora() else { return };
    let bytes = std::fs::read(folder.join("corpora/invictus_cloudtrail_part1.jsonl")).expect("a file");
    // Not Bedrock calls, but sessions are sessions: what STS said of their keys must be found again.
    let mut granted = HashMap::new();
    let (mut sessions, mut joined) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        if event["eventSource"] == "sts.amazonaws.com"
            && let Some(key) = event["responseElements"]["credentials"]["accessKeyId"].as_str()
        {
            granted.insert(key.to_owned(), ());
        }
    }
    let mut engine = Engine::new(EngineSettings { keep_calls: true, ..EngineSettings::default() });
    let input = engine.input("real");
    let mut report = Report::default();
    let mut calls = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut event: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        let key = event["userIdentity"]["accessKeyId"].as_str().unwrap_or_default().to_owned();
        // Every session's call is read as if it were one of Bedrock's.
        if event["userIdentity"]["type"] == "AssumedRole" && granted.contains_key(&key) && event["eventSource"] != "sts.amazonaws.com" {
            event["eventSource"] = "bedrock.amazonaws.com".into();
            event["eventType"] = "AwsApiCall".into();
            calls.push(event["eventID"].as_str().unwrap_or_default().to_owned());
        }
        for observation in story::observe(event.to_string().as_bytes()) {
            let Observation { time, .. } = observation;
            engine.handle(input, observation, Now(time.plus(86_400)), &mut report);
        }
    }
    engine.finish(&mut report);
    for call in report.calls.iter().filter(|call| call.event_id.as_ref().is_some_and(|id| calls.contains(&id.to_string()))) {
        sessions += 1;
        joined += usize::from(call.is_joined);
    }
    println!("{sessions} calls of sessions whose record is there, {joined} joined");
    assert!(sessions >= 60 && joined == sessions, "{joined} of {sessions}");
}
