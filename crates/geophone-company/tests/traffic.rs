//! What the days look like from outside.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests fail by panicking, and wait by the clock"
)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use geophone_company::{Company, CompanySettings, Event, base_model, load::Load};
use serde_json::Value;

const INFERENCE: [&str; 4] = ["InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"];

fn parse(event: &Event) -> Value {
    serde_json::from_str(&event.json).unwrap()
}

fn is_call(record: &Value) -> bool {
    record["eventType"] == "AwsApiCall" && INFERENCE.iter().any(|name| record["eventName"] == *name)
}

type Fortnight = (Company, Vec<(Event, Value)>);

/// Two weeks of a company, parsed.
fn play(settings: CompanySettings) -> Fortnight {
    let mut company = Company::new(settings);
    let events = (0..14).flat_map(|day| company.day(day)).map(|event| {
        let record = parse(&event);
        (event, record)
    });
    let events = events.collect();
    (company, events)
}

/// Two weeks of the default company, made once for all tests.
fn fortnight() -> &'static Fortnight {
    static FORTNIGHT: OnceLock<Fortnight> = OnceLock::new();
    FORTNIGHT.get_or_init(|| play(CompanySettings::default()))
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let day = |seed, before: &[u32]| {
        let mut company = Company::new(CompanySettings { seed, ..CompanySettings::default() });
        for day in before {
            company.day(*day);
        }
        company.day(3)
    };
    assert_eq!(day(5, &[]), day(5, &[0, 1, 2]));
    assert_ne!(day(5, &[]), day(6, &[]));
    assert!(day(5, &[]).is_sorted_by_key(|event| event.time));
}

#[test]
fn benign_days_are_free_of_errors_and_labels() {
    let (_, events) = fortnight();
    for (event, record) in events {
        assert!(record.get("errorCode").is_none(), "{}", event.json);
        assert!(event.label.is_none());
    }
}

#[test]
fn event_ids_are_unique_and_days_sorted() {
    let (_, events) = fortnight();
    let mut ids = BTreeSet::new();
    for (_, record) in events {
        assert!(ids.insert(record["eventID"].as_str().unwrap().to_owned()));
        assert_eq!(record["eventTime"].as_str().unwrap().len(), 20);
    }
}

#[test]
fn calls_have_the_size_of_real_ones() {
    let (_, events) = fortnight();
    for (event, _) in events.iter().filter(|(_, record)| is_call(record)) {
        assert!((900..=2_400).contains(&event.json.len()), "{} {}", event.json.len(), event.json);
    }
}

#[test]
fn delivery_is_late_and_out_of_order() {
    let mut company = Company::new(CompanySettings::default());
    let events = company.day(1);
    let late = |event: &Event| event.arrival - event.time;
    assert!(events.iter().all(|event| (120..=570).contains(&late(event))));
    let mut delays: Vec<i64> = events.iter().map(late).collect();
    delays.sort_unstable();
    let (median, ninetieth) = (delays[delays.len() / 2], delays[delays.len() * 9 / 10]);
    assert!((180..=228).contains(&median) && (390..=450).contains(&ninetieth), "{median} {ninetieth}");

    let mut arrived = events;
    arrived.sort_by_key(|event| event.arrival);
    let swapped = arrived.windows(2).filter(|pair| pair[0].time > pair[1].time).count();
    let share = swapped as f64 / arrived.len() as f64;
    assert!((0.15..0.45).contains(&share), "{share}");
}

#[test]
fn every_temporary_key_is_explained_before_its_first_call() {
    let (_, events) = fortnight();
    let mut granted: BTreeMap<String, i64> = BTreeMap::new();
    let mut first_call: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut overtaken = 0;
    let mut arrivals: BTreeMap<String, i64> = BTreeMap::new();
    for (event, record) in events {
        if record["eventSource"] == "sts.amazonaws.com" {
            let key = record["responseElements"]["credentials"]["accessKeyId"].as_str().unwrap();
            assert!(granted.insert(key.to_owned(), event.time).is_none());
            arrivals.insert(key.to_owned(), event.arrival);
        } else if let Some(key) = record["userIdentity"]["accessKeyId"].as_str().filter(|key| key.starts_with("ASIA")) {
            let first = first_call.entry(key.to_owned()).or_insert((event.time, event.arrival));
            first.0 = first.0.min(event.time);
            first.1 = first.1.min(event.arrival);
        }
    }
    for (key, (time, arrival)) in &first_call {
        assert!(granted[key] <= *time, "{key}");
        overtaken += usize::from(arrivals[key] > *arrival);
    }
    assert!(overtaken * 20 > first_call.len(), "calls seldom overtake their grants: {overtaken}");
}

/// Department of a temporary key, from its grant's tags or else from its role.
fn department_of(company: &Company, events: &[(Event, Value)]) -> BTreeMap<String, String> {
    let mut departments = BTreeMap::new();
    for (_, record) in events.iter().filter(|(_, record)| record["eventSource"] == "sts.amazonaws.com") {
        let request = &record["requestParameters"];
        let maps = [&request["principalTags"]["dept"], &request["incomingTransitiveTags"]["dept"]];
        let tag = request["tags"].as_array().and_then(|tags| tags.iter().find(|tag| tag["key"] == "dept"));
        let machine = company.machines().iter().find(|machine| request["roleArn"] == *machine.role_arn);
        let department = maps
            .iter()
            .find_map(|tag| tag.as_str())
            .or_else(|| tag.and_then(|tag| tag["value"].as_str()))
            .or_else(|| machine.map(|machine| machine.department.as_str()));
        let key = record["responseElements"]["credentials"]["accessKeyId"].as_str().unwrap();
        departments.insert(key.to_owned(), department.unwrap().to_owned());
    }
    departments
}

#[test]
fn benign_calls_keep_to_the_model_table_and_the_endpoint() {
    let (company, events) = fortnight();
    let mut departments = department_of(company, events);
    let key_user = company.key_user();
    departments.insert(key_user.access_key.clone(), key_user.department.clone());
    let mut seen = BTreeSet::new();
    let mut calls = 0;
    for (event, record) in events.iter().filter(|(_, record)| is_call(record)) {
        let name = &departments[record["userIdentity"]["accessKeyId"].as_str().unwrap()];
        let model = base_model(record["requestParameters"]["modelId"].as_str().unwrap());
        let department = company.departments().iter().find(|department| department.name == *name).unwrap();
        assert!(department.may_call(model), "{name} {model}");
        assert_eq!(record["vpcEndpointId"], company.vpc_endpoint(), "{}", event.json);
        seen.insert(name.clone());
        calls += 1;
    }
    assert_eq!(seen.len(), 6, "every department but the administrators' calls models");
    assert!(calls > 15_000, "{calls}");
}

#[test]
fn streams_have_companions_and_calls_their_tokens() {
    let (_, events) = fortnight();
    let mut parents: BTreeSet<&str> = BTreeSet::new();
    for (_, record) in events {
        if let Some(parent) = record["serviceEventDetails"]["parentRequestId"].as_str() {
            assert_eq!(record["eventType"], "AwsServiceEvent");
            assert!(record["serviceEventDetails"]["AdditionalEventData"]["additionalEntries"]["outputTokens"].is_u64());
            parents.insert(parent);
        }
    }
    for (event, record) in events.iter().filter(|(_, record)| is_call(record)) {
        let streams = record["eventName"].as_str().unwrap().ends_with("Stream");
        assert_eq!(parents.contains(record["requestID"].as_str().unwrap()), streams);
        let makes_images = event.json.contains("canvas") || event.json.contains("stability.");
        let counted = record["additionalEventData"]["inputTokens"].is_u64();
        assert_eq!(counted, !streams && !makes_images, "{}", event.json);
    }
}

#[test]
fn partition_keys_bring_calls_and_grants_together() {
    let (_, events) = fortnight();
    for (event, record) in events {
        let issuer = record["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"].as_str();
        let expected = match record["eventSource"].as_str() {
            Some("sts.amazonaws.com") => record["requestParameters"]["roleArn"].as_str(),
            _ => issuer.or(record["userIdentity"]["arn"].as_str()).or(record["recipientAccountId"].as_str()),
        };
        assert_eq!(Some(event.partition_key.as_str()), expected);
    }
}

#[test]
fn weekends_and_nights_belong_to_the_machines() {
    let (_, events) = fortnight();
    let human = |(_, record): &&(Event, Value)| {
        is_call(record)
            && !record["userIdentity"]["arn"].as_str().unwrap().contains("-role/i-")
            && record["userIdentity"].get("inScopeOf").is_none()
            && record["userIdentity"]["type"] == "AssumedRole"
    };
    let (mut week, mut weekend, mut night) = (0, 0, 0);
    for (event, _) in events.iter().filter(human) {
        let day = (event.time / 86_400 + 3) % 7;
        let hour = event.time % 86_400 / 3_600;
        *(if day >= 5 { &mut weekend } else { &mut week }) += 1;
        night += usize::from(!(7..20).contains(&hour));
    }
    assert!(weekend * 50 < week && night * 20 < week, "{week} {weekend} {night}");
}

#[test]
fn honest_mistakes_are_rare_and_asked_for() {
    let settings = CompanySettings { honest_mistakes: 0.02, ..CompanySettings::default() };
    let (_, events) = play(settings);
    let errors = events.iter().filter(|(_, record)| record["errorCode"] == "AccessDenied").count();
    assert!((2..40).contains(&errors), "{errors}");
}

#[test]
fn the_directory_lists_everybody() {
    for people in [1, 5, 60, 1_500] {
        let company = Company::new(CompanySettings { people, ..CompanySettings::default() });
        assert_eq!(company.people().len(), people);
        let csv = company.directory_csv();
        assert_eq!(csv.lines().count(), people + 1);
        assert!(csv.lines().all(|line| line.split(',').count() == 7));
        let emails: BTreeSet<&str> = company.people().iter().map(|person| &*person.email).collect();
        assert_eq!(emails.len(), people);
        let counted: usize = company.departments().iter().map(|department| department.people).sum();
        assert_eq!(counted, people);
    }
}

#[test]
fn load_is_well_formed_and_skewed() {
    let events: Vec<Event> = Load::new(3, 500).take(20_000).collect();
    let mut ids = BTreeSet::new();
    let mut granted = BTreeSet::new();
    let mut per_key: BTreeMap<String, usize> = BTreeMap::new();
    let mut denied = 0;
    for event in &events {
        let record = parse(event);
        assert!(ids.insert(record["eventID"].as_str().unwrap().to_owned()));
        if let Some(key) = record["responseElements"]["credentials"]["accessKeyId"].as_str() {
            assert!(granted.insert(key.to_owned()));
            continue;
        }
        let key = record["userIdentity"]["accessKeyId"].as_str().unwrap();
        assert!(granted.contains(key));
        let longest = if record["errorCode"].is_string() { 2_500 } else { 2_200 };
        assert!((1_200..=longest).contains(&event.json.len()), "{} {}", event.json.len(), event.json);
        denied += usize::from(record["errorCode"] == "AccessDenied");
        *per_key.entry(key.to_owned()).or_default() += 1;
    }
    assert!(events.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert!((300..=500).contains(&denied), "{denied}");
    assert!(per_key.values().max().unwrap() * 8 > events.len());
    assert_eq!(events[..100], Load::new(3, 500).take(100).collect::<Vec<_>>());
}
