//! Calls and the records that issued their keys, in every order of arrival.

use geophone::engine::{Engine, EngineSettings, Report};
use geophone::policy::{DepartmentTable, PolicyBook};
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use crate::support::calls::{START, observed, orders, time};
use crate::support::story::{self, Told};

fn settings() -> EngineSettings {
    let rows = [("legal".to_owned(), vec!["anthropic.*".to_owned()]), ("marketing".to_owned(), vec!["amazon.*".to_owned()])];
    EngineSettings { policy: PolicyBook::of_table(DepartmentTable::new(rows)).into(), dedup_capacity: 1 << 12, ..EngineSettings::default() }
}

fn call(id: &str, at: i64, key: &str) -> Value {
    json!({"eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "eventID": id, "requestID": id, "eventTime": time(at), "awsRegion": "us-east-1",
        "eventType": "AwsApiCall", "requestParameters": {"modelId": "anthropic.claude-x"}, "recipientAccountId": "111122223333",
        "userIdentity": {"type": "AssumedRole", "accessKeyId": key, "arn": "arn:aws:sts::111122223333:assumed-role/App/CognitoIdentityCredentials"}})
}

fn refused(id: &str, at: i64, key: &str) -> Value {
    let mut event = call(id, at, key);
    event["errorCode"] = json!("AccessDenied");
    event
}

fn sts(id: &str, at: i64, key: &str) -> Value {
    json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity", "eventID": id, "eventTime": time(at),
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "cognito-identity.amazonaws.com", "userName": "us-east-1:bob"},
        "requestParameters": {"principalTags": {"dept": "marketing"}}, "responseElements": {"credentials": {"accessKeyId": key}}})
}

fn cognito(id: &str, at: i64, key: &str) -> Value {
    json!({"eventSource": "cognito-identity.amazonaws.com", "eventName": "GetCredentialsForIdentity", "eventID": id, "eventTime": time(at),
        "userIdentity": {"type": "Unknown"}, "responseElements": {"identityId": "us-east-1:bob", "credentials": {"accessKeyId": key}}})
}

fn chained(id: &str, at: i64, parent: &str, key: &str) -> Value {
    json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole", "eventID": id, "eventTime": time(at),
        "userIdentity": {"type": "AssumedRole", "accessKeyId": parent}, "requestParameters": {"incomingTransitiveTags": {"dept": "marketing"}},
        "responseElements": {"credentials": {"accessKeyId": key}}})
}

/// Detector, person and department of every alert as it was told last.
fn told_last(told: &Told) -> Vec<(String, Option<String>, String)> {
    let mut last = std::collections::BTreeMap::new();
    for alert in &told.alerts {
        let person = alert.who.person.as_deref().map(str::to_owned);
        last.insert(alert.alert_id, (alert.detector.label().to_owned(), person, alert.department().to_owned()));
    }
    let mut stories: Vec<_> = last.into_values().collect();
    stories.sort();
    stories
}

#[test]
fn the_two_records_of_cognitos_flow_and_the_calls_may_come_in_any_order() {
    let events = [sts("s", 0, "ASIA1"), cognito("c", 0, "ASIA1"), call("i", 5, "ASIA1"), refused("d", 6, "ASIA1")];
    for order in orders(&events) {
        let told = story::play(&settings(), observed(&order));
        assert_eq!((told.counts.person, told.counts.department), (2, 2), "{order:?}");
        let bob = Some("us-east-1:bob".to_owned());
        let expected = [
            ("access-denied".to_owned(), bob.clone(), "marketing".to_owned()),
            ("cross-department".to_owned(), bob, "marketing".to_owned()),
        ];
        assert_eq!(told_last(&told), expected, "{order:?}");
    }
}

#[test]
fn a_chain_of_roles_waits_for_the_record_that_names_the_person() {
    let events = [sts("s", 0, "ASIA1"), chained("a", 10, "ASIA1", "ASIA2"), chained("b", 20, "ASIA2", "ASIA3"), call("i", 30, "ASIA3")];
    for order in orders(&events) {
        let told = story::play(&settings(), observed(&order));
        assert_eq!((told.counts.person, told.counts.department), (1, 1), "{order:?}");
    }
}

#[test]
fn a_key_that_waited_in_vain_holds_nothing_up_again() {
    let mut engine = Engine::new(settings());
    story::feed(&mut engine, observed(&[call("1", 0, "ASIA1"), call("2", 10, "ASIA1")]));
    assert_eq!(engine.gauges().held, 2);
    let told = story::feed(&mut engine, observed(&[sts("s", 2_000, "ASIA9"), call("3", 2_001, "ASIA1")]));
    assert_eq!((engine.gauges().held, told.counts.unknown.values().sum::<u64>()), (0, 3));
    // Its record comes after all: from then on it counts.
    let told = story::feed(&mut engine, observed(&[sts("t", 2_002, "ASIA1"), call("4", 2_003, "ASIA1")]));
    assert_eq!(told.counts.person, 1);
}

#[test]
fn the_network_twin_of_a_call_is_no_second_call() {
    let mut twin = call("twin", 1, "AKIA1");
    twin["eventType"] = json!("AwsVpceEvents");
    let mut refused_twin = refused("refused", 2, "AKIA1");
    refused_twin["eventType"] = json!("AwsVpceEvents");
    refused_twin["errorCode"] = json!("VpceAccessDenied");
    let told = story::play(&settings(), observed(&[call("i", 0, "AKIA1"), twin, refused_twin]));
    assert_eq!(told.counts.invocations, 2);
    assert!(told.opened().iter().any(|alert| alert.denial.as_ref().is_some_and(|denial| denial.kind.label() == "vpc-endpoint")));
}

#[test]
fn an_event_from_the_future_poisons_nothing() {
    let mut engine = Engine::new(settings());
    let input = engine.input("x");
    let mut report = Report::default();
    let future = observed(&[refused("f", 80 * 365 * 86_400, "ASIA1"), call("g", 80 * 365 * 86_400, "ASIA1")]);
    for observation in future.into_iter().chain(observed(&[refused("h", 60, "ASIA1"), sts("s", 0, "ASIA1")])) {
        engine.handle(input, observation, Now(EventTime::from_unix(START + 60)), &mut report);
    }
    assert_eq!((report.counts.future, engine.gauges().held), (2, 0));
    assert!(engine.gauges().watermark <= EventTime::from_unix(START));
    let last = &engine.open_alerts(1)[0];
    assert_eq!((last.event_count, last.last_event), (2, EventTime::from_unix(START + 60)));
}

#[test]
fn a_call_that_two_accounts_see_counts_once_in_any_order() {
    let mut callers = call("own", 10, "AKIA1");
    callers["sharedEventID"] = json!("shared-1");
    callers["userIdentity"] =
        json!({"type": "IAMUser", "accessKeyId": "AKIA1", "arn": "arn:aws:iam::444455556666:user/u", "accountId": "444455556666"});
    let mut callees = call("theirs", 10, "");
    callees["sharedEventID"] = json!("shared-1");
    callees["userIdentity"] = json!({"type": "AWSAccount", "accountId": "444455556666", "principalId": "AIDAEXAMPLE"});
    for order in orders(&[callers.clone(), callees.clone(), call("other", 20, "AKIA2")]) {
        let order = [order, vec![call("later", 4_000, "ASIA9")]].concat();
        let told = story::play(&settings(), observed(&order));
        assert_eq!((told.counts.duplicates, told.counts.unknown.values().sum::<u64>()), (1, 3), "{order:?}");
        assert_eq!(told.counts.unknown.get(&geophone::identity::Unknown::LongLivedKey), Some(&2), "the caller's own view counts");
    }
    // At the end of all input it is still judged, and refused calls are told.
    let mut denied = callees.clone();
    denied["errorCode"] = json!("AccessDenied");
    let told = story::play(&settings(), observed(&[denied]));
    assert_eq!((told.counts.invocations, told.opened().len()), (1, 1));
    // Where the caller's trail is not read, the called account's view is all there is.
    let told = story::play(&settings(), observed(&[callees, call("later", 4_000, "ASIA9")]));
    assert_eq!(told.counts.unknown.get(&geophone::identity::Unknown::NoIdentity), Some(&1));
}
