//! Who somebody is, and whoever goes on after being removed.

use std::sync::Arc;

use geophone::engine::{Engine, EngineSettings, Report};
use geophone::finding::{DetectorId, Severity};
use geophone::identity::Directory;
use geophone::policy::Decision;
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use crate::support::calls::{CLAUDE, NOVA, START, call, observed, of, orders, play, removal, settings, sts, time};
use crate::support::story;

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
    engine.set_directory(without_bob(), Now(EventTime::from_unix(START + 20))).expect("one may leave");
    assert_eq!(told(&mut engine, &[nova("2", 30)]), 1);

    let mut engine = Engine::new(settings());
    assert_eq!(told(&mut engine, &[grant, nova("1", 10)]), 0);
    let mut engine = Engine::restore(EngineSettings { directory: without_bob(), ..settings() }, engine.image());
    assert_eq!(told(&mut engine, &[nova("2", 30)]), 1);
}

#[test]
fn nobody_becomes_somebody_else_by_a_tag_of_their_own_choice() {
    // Bob's session assumes a role and says that it is Eve.
    let chained = json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole", "eventID": "a", "eventTime": time(10),
        "userIdentity": {"type": "AssumedRole", "accessKeyId": "ASIA1"}, "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/AppUser",
        "tags": [{"key": "username", "value": "sub-eve"}, {"key": "dept", "value": "legal"}]}, "responseElements": {"credentials": {"accessKeyId": "ASIA2"}}});
    let directory = "person,user_pool_sub,department\neve@example.com,sub-eve,legal\n";
    let settings = EngineSettings { directory: Arc::new(Directory::parse(directory).expect("a directory")), ..settings() };
    let mut engine = Engine::new(settings);
    let mut report = Report::default();
    let input = engine.input("x");
    let events = [
        sts("s", 0, "ASIA1", json!({"dept": "marketing"})),
        chained,
        call("1", 20, "ASIA2", "InvokeModel", NOVA),
        sts("t", 30, "ASIA3", json!({"dept": "marketing"})),
        call("2", 40, "ASIA3", "InvokeModel", NOVA),
    ];
    for observation in observed(&events) {
        engine.handle(input, observation, Now(EventTime::from_unix(START + 100)), &mut report);
    }
    engine.finish(&mut report);
    assert!(
        report.calls.len() == 2 && report.calls.iter().all(|call| call.person.as_deref() == Some("us-east-1:bob")),
        "{:?}",
        report.calls
    );
    // An identity provider's word counts: the same tag in a web identity's record links the identity for good.
    let mut vouched = sts("s", 0, "ASIA1", json!({"dept": "marketing", "username": "sub-bob"}));
    vouched["userIdentity"]["userName"] = json!("us-east-1:unheard");
    let told = play(&self::settings(), &[vouched, call("1", 20, "ASIA1", "InvokeModel", NOVA)]);
    assert_eq!(told.counts.person, 1);
}

#[test]
fn a_chain_whose_record_lists_no_tags_waits_for_the_one_before_it() {
    let chained = json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole", "eventID": "a", "eventTime": time(10),
        "userIdentity": {"type": "AssumedRole", "accessKeyId": "ASIA1"},
        "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/AppUser", "sourceIdentity": "bob@example.com"},
        "responseElements": {"credentials": {"accessKeyId": "ASIA2"}}});
    let mut first = sts("s", 0, "ASIA1", json!({"dept": "legal"}));
    first["requestParameters"]["transitiveTagKeys"] = json!(["dept"]);
    for order in orders(&[first, chained, call("i", 20, "ASIA2", "InvokeModel", CLAUDE)]) {
        let mut engine = Engine::new(settings());
        let mut report = Report::default();
        let input = engine.input("x");
        for observation in observed(&order) {
            engine.handle(input, observation, Now(EventTime::from_unix(START + 100)), &mut report);
        }
        engine.finish(&mut report);
        let told = &report.calls[0];
        assert_eq!(
            (told.department.name().map(|name| &**name), told.person.as_deref(), told.decision),
            (Some("legal"), Some("bob@example.com"), Some(Decision::Allow)),
            "{order:?}"
        );
    }
}

#[test]
fn removals_of_iam_and_identity_center_find_whom_they_are_about() {
    let iam = |name: &str, asked: Value| json!({"eventSource": "iam.amazonaws.com", "eventName": name, "eventID": "r", "eventTime": time(100), "recipientAccountId": "111122223333", "requestParameters": asked});
    let of_user = json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole", "eventID": "a", "eventTime": time(10),
        "userIdentity": {"type": "IAMUser", "accessKeyId": "AKIA1", "arn": "arn:aws-us-gov:iam::111122223333:user/eng/ci"},
        "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/AppUser"}, "responseElements": {"credentials": {"accessKeyId": "ASIA1"}}});
    let nova = || call("c", 160, "ASIA1", "InvokeModel", NOVA);
    for (removal, expected) in [
        (iam("DeleteUser", json!({"userName": "ci"})), Some(Severity::High)),
        (iam("DeleteUser", json!({"userName": "other"})), None),
        // A rotation: the session goes on, and that is all.
        (iam("DeleteAccessKey", json!({"userName": "ci", "accessKeyId": "AKIA1"})), Some(Severity::Low)),
        (iam("DeleteAccessKey", json!({"userName": "ci", "accessKeyId": "AKIA2"})), None),
    ] {
        let worst = of(&play(&settings(), &[of_user.clone(), removal.clone(), nova()]), DetectorId::Offboarded)
            .iter()
            .map(|alert| alert.severity)
            .max();
        assert_eq!(worst, expected, "{removal}");
    }
    let saml = json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithSAML", "eventID": "a", "eventTime": time(10),
        "userIdentity": {"type": "SAMLUser", "userName": "_persistent7"}, "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/AppUser"},
        "responseElements": {"credentials": {"accessKeyId": "ASIA1"}, "subject": "_persistent7", "subjectType": "persistent",
            "assumedRoleUser": {"arn": "arn:aws:sts::111122223333:assumed-role/AppUser/al@example.com"}}});
    let disabled = json!({"eventSource": "sso-directory.amazonaws.com", "eventName": "DisableUser", "eventID": "r", "eventTime": time(100), "requestParameters": {"userName": "al@example.com"}});
    assert_eq!(of(&play(&settings(), &[saml, disabled, nova()]), DetectorId::Offboarded).len(), 1);
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
