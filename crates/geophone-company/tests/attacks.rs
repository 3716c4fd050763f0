//! Every attack leaves the events that its name promises.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests fail by panicking, and wait by the clock"
)]
use std::collections::BTreeSet;

use geophone_company::{Attack, Company, CompanySettings, Event, base_model};
use serde_json::Value;

/// Tuesday of the second week, eleven o'clock.
fn late_morning(company: &Company) -> i64 {
    company.settings().first_day + 8 * 86_400 + 11 * 3_600
}

/// The labelled records of an attack on a company whose day has been played.
fn play(attack: Attack) -> (Company, Vec<(Event, Value)>) {
    let mut company = Company::new(CompanySettings::default());
    company.day(8);
    let at = late_morning(&company);
    let events = company.attack(attack, at);
    let labelled = events.into_iter().filter(|event| event.label.is_some());
    let parsed = labelled.map(|event| {
        let record = serde_json::from_str(&event.json).unwrap();
        (event, record)
    });
    let parsed = parsed.collect();
    (company, parsed)
}

fn named<'a>(events: &'a [(Event, Value)], name: &str) -> Vec<&'a Value> {
    events.iter().map(|(_, record)| record).filter(|record| record["eventName"] == name).collect()
}

fn denied(events: &[(Event, Value)]) -> Vec<&str> {
    events.iter().filter_map(|(_, record)| record["errorMessage"].as_str()).collect()
}

fn calls(events: &[(Event, Value)]) -> usize {
    let call = |record: &Value| record["eventType"] == "AwsApiCall" && record["tlsDetails"].to_string().contains("bedrock-runtime");
    events.iter().filter(|(_, record)| call(record)).count()
}

fn distinct<'a>(events: &'a [(Event, Value)], field: &str) -> BTreeSet<&'a str> {
    events.iter().filter_map(|(_, record)| record[field].as_str()).collect()
}

#[test]
fn names_round_trip() {
    for attack in Attack::ALL {
        assert_eq!(attack.name().parse::<Attack>(), Ok(attack));
    }
    assert!("nothing".parse::<Attack>().unwrap_err().to_string().contains("llm-jacking"));
}

#[test]
fn all_are_labelled_sorted_and_unique() {
    let mut company = Company::new(CompanySettings::default());
    let mut ids = BTreeSet::new();
    for (number, attack) in Attack::ALL.into_iter().enumerate() {
        let at = late_morning(&company) + 300 * number as i64;
        // Twice, because an attack may be repeated.
        for repeat in 0..2 {
            let events = company.attack(attack, at + repeat * 86_400);
            assert!(events.windows(2).all(|pair| pair[0].time <= pair[1].time));
            let labels: Vec<_> = events.iter().filter_map(|event| event.label.as_ref()).collect();
            assert!(labels.len() >= 4, "{attack}");
            assert!(labels.iter().all(|label| label.attack == attack && !label.actor.is_empty()));
            for event in events.iter().filter(|event| event.label.is_some()) {
                let record: Value = serde_json::from_str(&event.json).unwrap();
                assert!(ids.insert(record["eventID"].as_str().unwrap().to_owned()), "{attack}");
            }
        }
    }
}

/// Alone or in its day, an attack's temporary keys have their grants in the stream.
#[test]
fn stolen_keys_are_explained() {
    for (attack, with_day) in Attack::ALL.into_iter().flat_map(|attack| [(attack, false), (attack, true)]) {
        let mut company = Company::new(CompanySettings::default());
        let mut events = if with_day { company.day(8) } else { Vec::new() };
        let at = late_morning(&company);
        events.extend(company.attack(attack, at));
        let records: Vec<Value> = events.iter().map(|event| serde_json::from_str(&event.json).unwrap()).collect();
        let key = |record: &Value| record["responseElements"]["credentials"]["accessKeyId"].as_str().map(str::to_owned);
        let granted: BTreeSet<String> = records.iter().filter_map(key).collect();
        let ids: BTreeSet<String> = records.iter().map(|record| record["eventID"].to_string()).collect();
        assert_eq!(ids.len(), records.len(), "{attack}");
        for record in &records {
            let key = record["userIdentity"]["accessKeyId"].as_str().unwrap_or_default();
            assert!(!key.starts_with("ASIA") || granted.contains(key), "{attack} {with_day} {record}");
        }
    }
}

#[test]
fn tiny_companies_can_be_attacked() {
    for people in [1, 3] {
        let mut company = Company::new(CompanySettings { people, ..CompanySettings::default() });
        let at = late_morning(&company);
        for attack in Attack::ALL {
            company.attack(attack, at);
        }
    }
}

#[test]
fn denied_probe() {
    let (_, events) = play(Attack::DeniedProbe);
    let messages = denied(&events);
    assert_eq!(messages.len(), events.len());
    for part in ["because no identity-based policy allows", "explicit deny in an identity-based", "service control policy"] {
        assert!(messages.iter().any(|message| message.contains(part)), "{part}");
    }
    assert!(distinct(&events, "awsRegion").len() >= 3);
    let unread = events.iter().filter(|(_, record)| record["requestParameters"].is_null()).count();
    assert!(unread * 2 > events.len());
}

#[test]
fn cross_department() {
    let (company, events) = play(Attack::CrossDepartment);
    assert!(calls(&events) >= 5 && denied(&events).is_empty());
    let marketing = company.departments().iter().find(|department| department.name == "marketing").unwrap();
    for (_, record) in &events {
        if let Some(model) = record["requestParameters"]["modelId"].as_str() {
            assert!(!marketing.may_call(base_model(model)));
        }
    }
}

#[test]
fn invocation_burst() {
    let (_, events) = play(Attack::InvocationBurst);
    assert!(calls(&events) >= 400);
    assert!(events.last().unwrap().0.time - events[0].0.time < 1_200);
}

#[test]
fn llm_jacking() {
    let (company, events) = play(Attack::LlmJacking);
    for name in [
        "GetFoundationModelAvailability",
        "GetModelInvocationLoggingConfiguration",
        "DeleteModelInvocationLoggingConfiguration",
        "PutUseCaseForModelAccess",
        "CreateFoundationModelAgreement",
        "PutFoundationModelEntitlement",
        "InvokeModel",
    ] {
        assert!(!named(&events, name).is_empty(), "{name}");
    }
    for (event, record) in &events {
        assert_eq!(record["userIdentity"]["accessKeyId"], company.key_user().access_key);
        assert!(record.get("vpcEndpointId").is_none());
        assert_eq!(event.label.as_ref().unwrap().actor, company.key_user().name);
    }
}

#[test]
fn bearer_key() {
    let (_, events) = play(Attack::BearerKey);
    assert_eq!(named(&events, "CreateServiceSpecificCredential").len(), 1);
    let runtime = named(&events, "Converse");
    assert!(runtime.len() > 20);
    assert!(runtime.iter().all(|record| record["additionalEventData"]["callWithBearerToken"] == true));
    let mantle = named(&events, "CreateInference");
    assert!(mantle.iter().all(|record| record["requestParameters"]["callWithBearerToken"] == true
        && record["eventCategory"] == "Data"
        && record["eventSource"] == "bedrock-mantle.amazonaws.com"));
    assert!(mantle.len() > 10);
}

#[test]
fn model_not_enabled() {
    let (_, events) = play(Attack::ModelNotEnabled);
    for (_, record) in &events {
        assert!(record["errorMessage"].as_str().unwrap().starts_with("You don't have access to the model"));
        assert!(record["requestParameters"]["modelId"].is_string());
    }
}

#[test]
fn guardrail_tampering() {
    let (_, events) = play(Attack::GuardrailTampering);
    assert!(named(&events, "UpdateGuardrail").iter().all(|record| record["readOnly"] == false));
    assert_eq!(named(&events, "DeleteGuardrail").len(), 1);
}

#[test]
fn session_theft() {
    let (_, events) = play(Attack::SessionTheft);
    assert!(calls(&events) >= 20);
    for (_, record) in &events {
        assert_eq!(record["userIdentity"]["sessionContext"]["ec2RoleDelivery"], "1.0");
        assert_eq!(record["sourceIPAddress"], "192.0.2.77");
        assert_eq!(record["awsRegion"], "us-west-2");
    }
}

#[test]
fn offboarded() {
    let mut company = Company::new(CompanySettings::default());
    let at = late_morning(&company);
    let events = company.attack(Attack::Offboarded, at);
    let removal = events.iter().position(|event| event.json.contains("AdminDisableUser")).unwrap();
    let first = events.iter().position(|event| event.label.is_some()).unwrap();
    assert!(removal < first);
    assert!(events[removal].label.is_none());
}

#[test]
fn odd_hours() {
    let (_, events) = play(Attack::OddHours);
    assert!(events.iter().all(|(event, _)| event.time % 86_400 < 6 * 3_600));
    assert!(calls(&events) >= 80);
}

#[test]
fn rag_poisoning() {
    let (_, events) = play(Attack::RagPoisoning);
    for name in ["CreateDataSource", "StartIngestionJob", "IngestKnowledgeBaseDocuments"] {
        assert_eq!(named(&events, name).len(), 1, "{name}");
    }
}

#[test]
fn campaign() {
    let (company, events) = play(Attack::Campaign);
    let actors: BTreeSet<&str> = events.iter().filter_map(|(event, _)| event.label.as_ref()).map(|label| &*label.actor).collect();
    let engineering = company.departments().iter().find(|department| department.name == "engineering").unwrap();
    assert_eq!(actors.len(), engineering.people);
}
