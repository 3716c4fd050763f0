//! Verdicts and what detectors make of them: documents against calls, removals, stolen sessions, the perimeter.

use std::sync::Arc;

use geophone::alerting::Alert;
use geophone::detect::PerimeterSettings;
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::finding::{DetectorId, Severity};
use geophone::identity::Directory;
use geophone::observation::Observation;
use geophone::policy::{Attached, BookSettings, Decision, Document, PolicyBook, ProfileTable, Roles};
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use crate::support::story::{self, Told};

const START: i64 = 1_780_390_800;
const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";
const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";

fn time(seconds: i64) -> String {
    EventTime::from_unix(START + seconds).to_string()
}

/// Legal has Claude through profiles too, marketing has Nova, both share Llama, and knowledge bases go by clearance.
fn policy() -> Value {
    let models = |patterns: &[&str]| -> Vec<String> {
        let of = |pattern: &&str| {
            vec![format!("arn:aws:bedrock:*::foundation-model/{pattern}"), format!("arn:aws:bedrock:*:*:inference-profile/*.{pattern}")]
        };
        patterns.iter().flat_map(of).collect()
    };
    let statement = |sid: &str, department: Value, resources: Vec<String>| {
        json!({"Sid": sid, "Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": resources,
            "Condition": {"StringEquals": {"aws:PrincipalTag/dept": department}}})
    };
    json!({"Version": "2012-10-17", "Statement": [
        statement("Legal", json!("legal"), models(&["anthropic.claude-*"])),
        statement("Marketing", json!("marketing"), models(&["amazon.nova-*"])),
        statement("Shared", json!(["legal", "marketing"]), models(&["meta.llama3-*"])),
        {"Sid": "Cases", "Effect": "Allow", "Action": "bedrock:Retrieve", "Resource": "arn:aws:bedrock:us-east-1:111122223333:knowledge-base/CASES",
            "Condition": {"StringEquals": {"aws:PrincipalTag/clearance": "high"}}},
        {"Sid": "NoTitan", "Effect": "Deny", "Action": "bedrock:*", "Resource": "arn:aws:bedrock:*::foundation-model/amazon.titan-*"},
        {"Sid": "Lists", "Effect": "Allow", "Action": "bedrock:List*", "Resource": "*"},
    ]})
}

fn book(policy: &Value) -> Arc<PolicyBook> {
    let document = Document::parse("perimeter.json", &policy.to_string()).expect("a document");
    assert!(document.notices.is_empty(), "{:?}", document.notices);
    let attached = Attached { identity: vec![(Roles::Like("App*".to_owned()), document.into())], ..Attached::default() };
    Arc::new(PolicyBook::new(BookSettings { attached, profiles: ProfileTable::shipped(), ..BookSettings::default() }))
}

fn settings() -> EngineSettings {
    let directory =
        "person,user_pool_sub,cognito_identity_id,department,manager\nbob@example.com,sub-bob,us-east-1:bob,marketing,eve@example.com\n";
    EngineSettings {
        policy: book(&policy()),
        directory: Arc::new(Directory::parse(directory).expect("a directory")),
        keep_calls: true,
        dedup_capacity: 1 << 12,
        ..EngineSettings::default()
    }
}

fn call(id: &str, at: i64, key: &str, name: &str, model: &str) -> Value {
    json!({"eventVersion": "1.11", "eventSource": "bedrock.amazonaws.com", "eventName": name, "eventID": id, "requestID": format!("r-{id}"),
        "eventTime": time(at), "awsRegion": "us-east-1", "eventType": "AwsApiCall", "requestParameters": {"modelId": model},
        "recipientAccountId": "111122223333", "sourceIPAddress": "192.0.2.10", "userAgent": "Boto3/1.34 os/linux",
        "tlsDetails": {"tlsVersion": "TLSv1.3"},
        "userIdentity": {"type": "AssumedRole", "accessKeyId": key, "accountId": "111122223333",
            "arn": "arn:aws:sts::111122223333:assumed-role/AppUser/CognitoIdentityCredentials",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/AppUser"}}}})
}

fn refused(mut call: Value, reason: &str) -> Value {
    call["errorCode"] = json!("AccessDenied");
    call["errorMessage"] = json!(format!("User: x is not authorized to perform: bedrock:InvokeModel on resource: y {reason}"));
    call
}

fn sts(id: &str, at: i64, key: &str, tags: Value) -> Value {
    json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity", "eventID": id, "eventTime": time(at),
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "cognito-identity.amazonaws.com", "userName": "us-east-1:bob"},
        "requestParameters": {"principalTags": tags, "roleArn": "arn:aws:iam::111122223333:role/AppUser"},
        "responseElements": {"credentials": {"accessKeyId": key}}})
}

fn observed(events: &[Value]) -> Vec<Observation> {
    events.iter().flat_map(|event| story::observe(event.to_string().as_bytes())).collect()
}

fn play(settings: &EngineSettings, events: &[Value]) -> Told {
    story::play(settings, observed(events))
}

/// Opened alerts of a detector.
fn of(told: &Told, detector: DetectorId) -> Vec<Alert> {
    told.opened().into_iter().filter(|alert| alert.detector == detector).cloned().collect()
}

fn decision(told: &Told) -> Vec<Decision> {
    told.counts.verdicts.iter().flat_map(|(decision, count)| vec![*decision; *count as usize]).collect()
}

#[test]
fn a_call_is_judged_by_the_documents_of_its_role() {
    let marketing = || sts("s", 0, "ASIA1", json!({"dept": "marketing"}));
    let legal = || sts("s", 0, "ASIA1", json!({"dept": "legal"}));
    let drift = |told: &Told| {
        of(told, DetectorId::CrossDepartment).first().map(|alert| (alert.severity, alert.policy.clone().expect("a verdict").decision))
    };
    for (grant, name, model, expected, decided) in [
        (legal(), "InvokeModel", CLAUDE, None, Decision::Allow),
        (legal(), "ConverseStream", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", None, Decision::Allow),
        (marketing(), "Converse", NOVA, None, Decision::Allow),
        (marketing(), "InvokeModel", LLAMA, None, Decision::Allow),
        (marketing(), "InvokeModel", CLAUDE, Some((Severity::High, Decision::ImplicitDeny)), Decision::ImplicitDeny),
        (
            marketing(),
            "Converse",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some((Severity::High, Decision::ImplicitDeny)),
            Decision::ImplicitDeny,
        ),
        (marketing(), "InvokeModel", "cohere.command-r-v1:0", Some((Severity::Medium, Decision::ImplicitDeny)), Decision::ImplicitDeny),
        (
            marketing(),
            "InvokeModel",
            "amazon.titan-text-express-v1",
            Some((Severity::High, Decision::ExplicitDeny)),
            Decision::ExplicitDeny,
        ),
        (marketing(), "InvokeModel", "xx.amazon.nova-pro-v1:0", None, Decision::ImplicitDeny),
        // A profile that the table does not know, and a session without the tag: nothing can be told.
        (marketing(), "InvokeModel", "eu.unheard.of-model-v1:0", None, Decision::ImplicitDeny),
        (sts("s", 0, "ASIA1", json!({"dept": "marketing", "team": "x"})), "InvokeModel", NOVA, None, Decision::Allow),
        (sts("s", 0, "ASIA1", json!({"team": "x"})), "InvokeModel", NOVA, None, Decision::Unknown),
    ] {
        let told = play(&settings(), &[grant, call("i", 10, "ASIA1", name, model)]);
        if model.starts_with("xx.") || model.starts_with("eu.") {
            continue;
        }
        assert_eq!((drift(&told), decision(&told)), (expected, vec![decided]), "{name} {model}");
    }
    let told = play(&settings(), &[marketing(), call("i", 10, "ASIA1", "InvokeModel", CLAUDE)]);
    let alert = &of(&told, DetectorId::CrossDepartment)[0];
    assert!(
        alert.explanation.contains("It is legal's.") && alert.who.manager.as_deref() == Some("eve@example.com"),
        "{}",
        alert.explanation
    );
}

#[test]
fn a_profile_that_the_table_does_not_know_is_unknown() {
    let told = play(
        &settings(),
        &[sts("s", 0, "ASIA1", json!({"dept": "marketing"})), call("i", 10, "ASIA1", "InvokeModel", "sa.amazon.nova-pro-v1:0")],
    );
    assert_eq!((decision(&told), of(&told, DetectorId::CrossDepartment).len()), (vec![Decision::Unknown], 0));
    assert!(told.counts.invocations == 1);
}

#[test]
fn data_is_judged_like_models() {
    let retrieve = |key: &str| {
        let mut event = call("k", 10, key, "Retrieve", "");
        event["requestParameters"] = json!({"knowledgeBaseId": "CASES"});
        event
    };
    let high = play(&settings(), &[sts("s", 0, "ASIA1", json!({"dept": "legal", "clearance": "high"})), retrieve("ASIA1")]);
    assert_eq!(decision(&high), [Decision::Allow]);
    let low = play(&settings(), &[sts("s", 0, "ASIA1", json!({"dept": "legal", "clearance": "low"})), retrieve("ASIA1")]);
    assert_eq!(decision(&low), [Decision::ImplicitDeny]);
    let alert = &of(&low, DetectorId::CrossDepartment)[0];
    assert!(alert.title.contains("knowledge-base/CASES"), "{}", alert.title);
    // The session has no such tag, and the role's own tags are in no record.
    let unknown = play(&settings(), &[sts("s", 0, "ASIA1", json!({"dept": "legal"})), retrieve("ASIA1")]);
    assert_eq!(decision(&unknown), [Decision::Unknown]);
}

#[test]
fn a_session_policy_and_a_role_without_documents_are_unknown() {
    let mut narrowed = sts("s", 0, "ASIA1", json!({"dept": "legal"}));
    narrowed["requestParameters"]["policy"] = json!("{}");
    assert_eq!(decision(&play(&settings(), &[narrowed, call("i", 10, "ASIA1", "InvokeModel", CLAUDE)])), [Decision::Unknown]);
    let mut other = call("i", 10, "ASIA1", "InvokeModel", CLAUDE);
    other["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!("arn:aws:iam::111122223333:role/Batch");
    // The documents are not for this role, which is no fault of theirs: it is counted apart.
    let told = play(&settings(), &[sts("s", 0, "ASIA1", json!({"dept": "legal"})), other]);
    assert_eq!((decision(&told), told.counts.unjudged), (vec![], 1));
}

#[test]
fn tag_values_are_text_whatever_they_hold() {
    let policy = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "bedrock:InvokeModel",
        "Resource": "arn:aws:bedrock:*::foundation-model/${aws:PrincipalTag/line}.*"}});
    let settings = EngineSettings { policy: book(&policy), ..settings() };
    for (line, decided) in [
        ("anthropic", Decision::Allow),
        ("*", Decision::ImplicitDeny),
        ("anthropi?", Decision::ImplicitDeny),
        ("${aws:PrincipalTag/dept}", Decision::ImplicitDeny),
        ("", Decision::ImplicitDeny),
    ] {
        let tags = json!({"dept": "anthropic", "LINE": line});
        let told = play(&settings, &[sts("s", 0, "ASIA1", tags), call("i", 10, "ASIA1", "InvokeModel", CLAUDE)]);
        assert_eq!(decision(&told), [decided], "{line}");
    }
    // Fifty tags, one of them as long as IAM allows.
    let mut tags: serde_json::Map<String, Value> = (0..49).map(|n| (format!("tag{n}"), json!("v".repeat(256)))).collect();
    tags.insert("line".to_owned(), json!("anthropic"));
    let told = play(&settings, &[sts("s", 0, "ASIA1", json!(tags)), call("i", 10, "ASIA1", "InvokeModel", CLAUDE)]);
    assert_eq!(decision(&told), [Decision::Allow]);
}

#[test]
fn documents_that_would_allow_what_was_refused_are_stale() {
    let legal = sts("s", 0, "ASIA1", json!({"dept": "legal"}));
    for (reason, is_stale) in [
        ("because no identity-based policy allows the bedrock:InvokeModel action", true),
        ("with an explicit deny in a service control policy", false),
        ("because no session policy allows the bedrock:InvokeModel action", false),
    ] {
        let told = play(&settings(), &[legal.clone(), refused(call("i", 10, "ASIA1", "InvokeModel", CLAUDE), reason)]);
        let alerts = of(&told, DetectorId::CrossDepartment);
        assert_eq!(alerts.len(), usize::from(is_stale), "{reason}");
        assert!(alerts.iter().all(|alert| alert.severity == Severity::Low && alert.title.contains("stale")), "{reason}");
    }
}

#[test]
fn a_refused_try_at_another_departments_model_is_high() {
    let told = play(
        &settings(),
        &[
            sts("s", 0, "ASIA1", json!({"dept": "marketing"})),
            refused(
                call("i", 10, "ASIA1", "InvokeModel", CLAUDE),
                "because no identity-based policy allows the bedrock:InvokeModel action",
            ),
        ],
    );
    let alert = &of(&told, DetectorId::AccessDenied)[0];
    assert_eq!(alert.severity, Severity::High, "{}", alert.explanation);
    assert!(alert.explanation.contains("belongs to legal"), "{}", alert.explanation);
}

#[test]
fn other_documents_count_from_when_they_are_read() {
    let mut engine = Engine::new(settings());
    let calls = |engine: &mut Engine, id: &str, at| story::feed(engine, observed(&[call(id, at, "ASIA1", "InvokeModel", CLAUDE)]));
    story::feed(&mut engine, observed(&[sts("s", 0, "ASIA1", json!({"dept": "legal"}))]));
    assert_eq!(decision(&calls(&mut engine, "1", 10)), [Decision::Allow]);
    engine.set_policy(book(
        &json!({"Version": "2012-10-17", "Statement": [{"Sid": "None", "Effect": "Deny", "Action": "*", "Resource": "*"}]}),
    ));
    assert_eq!(decision(&calls(&mut engine, "2", 20)), [Decision::ExplicitDeny]);
}

#[test]
fn verdicts_that_depend_on_the_time_are_not_remembered() {
    let until = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "bedrock:*", "Resource": "*",
        "Condition": {"DateLessThan": {"aws:CurrentTime": time(15)}}}]});
    let told = play(
        &EngineSettings { policy: book(&until), ..settings() },
        &[
            sts("s", 0, "ASIA1", json!({"dept": "legal"})),
            call("1", 10, "ASIA1", "InvokeModel", CLAUDE),
            call("2", 20, "ASIA1", "InvokeModel", CLAUDE),
        ],
    );
    assert_eq!(decision(&told), [Decision::Allow, Decision::ImplicitDeny]);
}

#[test]
fn most_verdicts_unknown_is_an_alert_of_its_own() {
    let mut events = vec![sts("s", 0, "ASIA1", json!({"team": "x"}))];
    events.extend((0..60).map(|n| call(&format!("c{n}"), 10 + n, "ASIA1", "InvokeModel", CLAUDE)));
    events.push(call("later", 3 * 3_600, "ASIA1", "InvokeModel", CLAUDE));
    let told = play(&settings(), &events);
    let shares: Vec<Alert> =
        of(&told, DetectorId::CrossDepartment).into_iter().filter(|alert| alert.title.contains("cannot be told")).collect();
    assert!(shares.len() == 1 && shares[0].explanation.contains("60 of 60"), "{shares:?}");
}

#[test]
fn a_departments_first_use_of_a_model_that_others_own() {
    // The documents are those of other roles: no verdict, but they say whose Claude is.
    let mut strange = call("i", 10, "ASIA1", "InvokeModel", CLAUDE);
    strange["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!("arn:aws:iam::111122223333:role/Tool");
    let mut again = strange.clone();
    (again["eventID"], again["eventTime"]) = (json!("j"), json!(time(20)));
    for order in [[strange.clone(), again.clone()], [again, strange]] {
        let told = play(&settings(), &[vec![sts("s", 0, "ASIA1", json!({"dept": "marketing"}))], order.to_vec()].concat());
        let alerts = of(&told, DetectorId::CrossDepartment);
        assert!(alerts.len() == 1 && alerts[0].title.contains("First use") && alerts[0].severity == Severity::Medium, "{alerts:?}");
    }
}

fn removal(id: &str, at: i64, name: &str) -> Value {
    json!({"eventSource": "cognito-idp.amazonaws.com", "eventName": name, "eventID": id, "eventTime": time(at), "recipientAccountId": "111122223333",
        "requestParameters": {"userPoolId": "p", "username": "HIDDEN_DUE_TO_SECURITY_REASONS"}, "additionalEventData": {"sub": "sub-bob"}})
}

/// All orders of a few things.
fn orders(events: &[Value]) -> Vec<Vec<Value>> {
    if events.len() <= 1 {
        return vec![events.to_vec()];
    }
    let with_first = |first: usize| {
        let mut rest = events.to_vec();
        let chosen = rest.remove(first);
        orders(&rest).into_iter().map(move |order| [vec![chosen.clone()], order].concat())
    };
    (0..events.len()).flat_map(with_first).collect()
}

#[test]
fn whoever_was_removed_and_still_calls_is_told_in_any_order() {
    let nova = |id: &str, at, key: &str| call(id, at, key, "InvokeModel", NOVA);
    let grant = |id: &str, at, key: &str| sts(id, at, key, json!({"dept": "marketing"}));
    let events = [grant("s", 0, "ASIA1"), removal("r", 100, "AdminDisableUser"), nova("before", 50, "ASIA1"), nova("after", 160, "ASIA1")];
    for order in orders(&events) {
        let alerts = of(&play(&settings(), &order), DetectorId::Offboarded);
        assert!(alerts.len() == 1 && alerts[0].severity == Severity::High, "{order:?} {alerts:?}");
        assert_eq!(alerts[0].who.person.as_deref(), Some("bob@example.com"));
        assert!(
            alerts[0].explanation.contains("was disabled at") && alerts[0].explanation.contains("60 s later"),
            "{}",
            alerts[0].explanation
        );
    }
    // Signed out: a new sign-in is as good as any. Enabled again: nothing stands.
    for (events, expected) in [
        (vec![grant("s", 0, "ASIA1"), removal("r", 100, "AdminUserGlobalSignOut"), nova("c", 160, "ASIA1")], 1),
        (vec![removal("r", 100, "AdminUserGlobalSignOut"), grant("s", 150, "ASIA2"), nova("c", 160, "ASIA2")], 0),
        (vec![grant("s", 0, "ASIA1"), removal("r", 100, "AdminRemoveUserFromGroup"), nova("c", 160, "ASIA1")], 1),
        (vec![removal("r", 100, "AdminDisableUser"), grant("s", 150, "ASIA2"), nova("c", 160, "ASIA2")], 1),
        (
            vec![
                removal("r", 100, "AdminDisableUser"),
                removal("e", 140, "AdminEnableUser"),
                grant("s", 150, "ASIA2"),
                nova("c", 160, "ASIA2"),
            ],
            0,
        ),
    ] {
        // What takes a removal back must be known before the call: a page cannot be unsaid.
        let at = |order: &[Value], id: &str| order.iter().position(|event| event["eventID"] == id);
        for order in orders(&events).into_iter().filter(|order| at(order, "e").is_none_or(|enabled| Some(enabled) < at(order, "c"))) {
            assert_eq!(of(&play(&settings(), &order), DetectorId::Offboarded).len(), expected, "{order:?}");
        }
    }
}

#[test]
fn whoever_left_the_directory_and_still_calls_is_told_across_a_restart_too() {
    let nova = |id: &str, at| call(id, at, "ASIA1", "InvokeModel", NOVA);
    let grant = sts("s", 0, "ASIA1", json!({"dept": "marketing"}));
    let without_bob = || Arc::new(Directory::parse("person,department\neve@example.com,marketing\n").expect("a directory"));
    let told = |engine: &mut Engine, events: &[Value]| of(&story::feed(engine, observed(events)), DetectorId::Offboarded).len();

    let mut engine = Engine::new(settings());
    assert_eq!(told(&mut engine, &[grant.clone(), nova("1", 10)]), 0);
    engine.set_directory(without_bob(), Now(EventTime::from_unix(START + 20)));
    assert_eq!(told(&mut engine, &[nova("2", 30)]), 1);

    let mut engine = Engine::new(settings());
    assert_eq!(told(&mut engine, &[grant, nova("1", 10)]), 0);
    let mut engine = Engine::restore(EngineSettings { directory: without_bob(), ..settings() }, engine.image());
    assert_eq!(told(&mut engine, &[nova("2", 30)]), 1);
}

fn from(mut call: Value, address: &str, agent: &str, endpoint: Option<&str>) -> Value {
    call["sourceIPAddress"] = json!(address);
    call["userAgent"] = json!(agent);
    if let Some(id) = endpoint {
        call["vpcEndpointId"] = json!(id);
    }
    call
}

#[test]
fn one_key_in_two_places_at_once_is_theft() {
    const BOTO: &str = "Boto3/1.34 ua/2.0 os/linux#5.10";
    const CURL: &str = "curl/8.0";
    let grant = sts("s", 0, "ASIA1", json!({"dept": "marketing"}));
    let at = |id: &str, seconds, address: &str, agent: &str| from(call(id, seconds, "ASIA1", "InvokeModel", NOVA), address, agent, None);
    for (events, expected) in [
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", CURL), at("3", 90, "192.0.2.9", BOTO)], Some(Severity::High)),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", BOTO), at("3", 90, "192.0.2.9", BOTO)], Some(Severity::Low)),
        // One place after the other, the same network, the same tool by another name.
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "198.51.100.7", BOTO), at("3", 90, "198.51.100.7", BOTO)], None),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 60, "192.0.2.200", BOTO), at("3", 90, "192.0.2.1", BOTO)], None),
        (vec![at("1", 10, "192.0.2.1", BOTO), at("2", 6_000, "198.51.100.7", CURL), at("3", 20_000, "192.0.2.1", BOTO)], None),
    ] {
        for order in orders(&events).into_iter().filter(|order| order.len() < 3 || expected.is_some() || order[0] == events[0]) {
            let all = [vec![grant.clone()], order].concat();
            let told = play(&settings(), &all);
            let worst = of(&told, DetectorId::SessionTheft).iter().map(|alert| alert.severity).max();
            assert_eq!(worst, expected, "{all:?}");
        }
    }
}

#[test]
fn the_credentials_of_an_instance_stay_in_it() {
    let machine = |id: &str, at, address: &str, endpoint: Option<&str>| {
        let mut event = call(id, at, "ASIA7", "InvokeModel", NOVA);
        event["userIdentity"]["arn"] = json!("arn:aws:sts::111122223333:assumed-role/Batch/i-0123456789abcdef0");
        event["userIdentity"]["sessionContext"]["ec2RoleDelivery"] = json!("1.0");
        from(event, address, "Boto3/1.34 os/linux", endpoint)
    };
    let inside = machine("1", 10, "10.0.0.5", Some("vpce-1"));
    let outside = machine("2", 20_000, "203.0.113.7", None);
    for order in [[inside.clone(), outside.clone()], [outside, inside.clone()]] {
        let alerts = of(&play(&settings(), &order), DetectorId::SessionTheft);
        assert!(alerts.len() == 1 && alerts[0].severity == Severity::High, "{alerts:?}");
    }
    let told = play(&settings(), &[inside, machine("3", 30, "10.0.0.5", Some("vpce-1"))]);
    assert!(of(&told, DetectorId::SessionTheft).is_empty());
}

#[test]
fn a_call_from_outside_of_the_perimeter_is_told_at_once_and_learns_who_it_was() {
    let mut settings = settings();
    settings.detectors.perimeter = PerimeterSettings {
        vpc_endpoints: vec!["vpce-1".to_owned()],
        networks: vec!["198.51.100.0/24".parse().expect("a network")],
        regions: vec!["us-east-1".to_owned()],
        tls_min: Some((1, 3)),
    };
    let grant = sts("s", 400, "ASIA1", json!({"dept": "marketing"}));
    let one = |address: &str, endpoint: Option<&str>| from(call("i", 10, "ASIA1", "InvokeModel", NOVA), address, "x", endpoint);
    for (event, reason) in [
        (one("10.0.0.1", Some("vpce-1")), None),
        (one("198.51.100.9", None), None),
        (one("203.0.113.9", None), Some("203.0.113.9")),
        (one("10.0.0.1", Some("vpce-2")), Some("vpce-2")),
        (one("lambda.amazonaws.com", None), None),
        (
            {
                let mut event = one("10.0.0.1", Some("vpce-1"));
                event["awsRegion"] = json!("eu-west-1");
                event
            },
            Some("eu-west-1"),
        ),
        (
            {
                let mut event = one("10.0.0.1", Some("vpce-1"));
                event["tlsDetails"] = json!({"tlsVersion": "TLSv1.2"});
                event
            },
            Some("TLSv1.2"),
        ),
    ] {
        // The record that names the person comes last: the alert is open by then.
        let mut engine = Engine::new(settings.clone());
        let told = story::feed(&mut engine, observed(&[event.clone()]));
        let alerts = of(&told, DetectorId::Perimeter);
        assert_eq!(alerts.len(), usize::from(reason.is_some()), "{event}");
        if let Some(reason) = reason {
            assert!(alerts[0].explanation.contains(reason) && !alerts[0].who.is_settled(), "{}", alerts[0].explanation);
            story::feed(&mut engine, observed(&[grant.clone()]));
            assert_eq!(engine.open_alerts(9)[0].who.person.as_deref(), Some("bob@example.com"));
        }
    }
}

#[test]
fn the_past_is_learned_without_being_counted() {
    let mut engine = Engine::new(settings());
    observed(&[sts("s", -7_200, "ASIA1", json!({"dept": "marketing"})), call("old", -7_000, "ASIA1", "InvokeModel", NOVA)])
        .into_iter()
        .for_each(|observation| engine.learn(observation));
    let mut report = Report::default();
    let input = engine.input("x");
    for observation in observed(&[call("i", 10, "ASIA1", "InvokeModel", NOVA)]) {
        engine.handle(input, observation, Now(EventTime::from_unix(START + 10)), &mut report);
    }
    assert_eq!((report.counts.events, report.counts.person, report.counts.grants), (1, 1, 0));
}
