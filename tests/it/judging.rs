//! Verdicts of the policy documents, and what `cross-department` makes of them.

use std::sync::Arc;

use geophone::alerting::Alert;
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::finding::{DetectorId, Severity};
use geophone::policy::{Attached, BookSettings, Decision, Document, PolicyBook, Roles};
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use crate::support::calls::{
    CLAUDE, LLAMA, NOVA, START, book, call, decision, from, observed, of, play, policy, refused, settings, sts, time,
};
use crate::support::story::{self, Told};

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
        // Profiles of an area, or of a model, that nobody has heard of.
        (marketing(), "InvokeModel", "xx.amazon.nova-pro-v1:0", None, Decision::Unknown),
        (marketing(), "InvokeModel", "sa.amazon.nova-pro-v1:0", None, Decision::Unknown),
        // Another tag is no matter; a session without the tag cannot be judged, since its role may have one.
        (sts("s", 0, "ASIA1", json!({"dept": "marketing", "team": "x"})), "InvokeModel", NOVA, None, Decision::Allow),
        (sts("s", 0, "ASIA1", json!({"team": "x"})), "InvokeModel", NOVA, None, Decision::Unknown),
    ] {
        let told = play(&settings(), &[grant, call("i", 10, "ASIA1", name, model)]);
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

#[test]
fn an_untagged_session_that_the_documents_deny_is_told() {
    let document = Document::parse("perimeter.json", &policy().to_string()).expect("a document");
    let attached = Attached { identity: vec![(Roles::Every, document.into())], ..Attached::default() };
    let book = PolicyBook::new(BookSettings { attached, roles_are_tagged: false, ..BookSettings::default() });
    let settings = EngineSettings { policy: Arc::new(book), directory: Arc::default(), ..settings() };
    let told = play(&settings, &[sts("s", 0, "ASIA1", json!({"team": "x"})), call("i", 10, "ASIA1", "InvokeModel", CLAUDE)]);
    assert_eq!((decision(&told), of(&told, DetectorId::CrossDepartment).len()), (vec![Decision::ImplicitDeny], 1));
}

#[test]
fn the_way_that_a_call_came_is_part_of_its_verdict() {
    let only_inside = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}]});
    let settings = EngineSettings { policy: book(&only_inside), ..settings() };
    let at = |id: &str, address: &str, endpoint: Option<&str>| from(call(id, 10, "ASIA1", "InvokeModel", NOVA), address, "x", endpoint);
    let calls = [
        (at("1", "AWS Internal", None), Decision::Unknown),
        (at("2", "203.0.113.9", None), Decision::ExplicitDeny),
        (at("3", "10.0.0.9", None), Decision::Unknown),
        (at("4", "10.0.0.9", Some("vpce-1")), Decision::Allow),
    ];
    for order in [vec![0, 1, 2, 3], vec![3, 2, 1, 0], vec![1, 0, 3, 2]] {
        let mut events = vec![sts("s", 0, "ASIA1", json!({"dept": "legal"}))];
        events.extend(order.iter().map(|index| calls[*index].0.clone()));
        let mut engine = Engine::new(settings.clone());
        let mut report = Report::default();
        let input = engine.input("x");
        observed(&events)
            .into_iter()
            .for_each(|observation| engine.handle(input, observation, Now(EventTime::from_unix(START + 100)), &mut report));
        let told: Vec<Option<Decision>> = report.calls.iter().map(|call| call.decision).collect();
        assert_eq!(told, order.iter().map(|index| Some(calls[*index].1)).collect::<Vec<_>>());
    }
}

#[test]
fn agents_flows_guardrails_and_prompts_are_asked_for_by_their_arn() {
    let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "bedrock:*", "Resource": [
        "arn:aws:bedrock:us-east-1:111122223333:agent-alias/AGENT/ALIAS", "arn:aws:bedrock:us-east-1:111122223333:flow/FLOW/alias/A",
        "arn:aws:bedrock:us-east-1:111122223333:guardrail/g1", "arn:aws:bedrock:us-east-1:111122223333:prompt/P1"],
        "Condition": {"StringEquals": {"aws:PrincipalTag/region": "us"}}}]});
    let settings = EngineSettings { policy: book(&all), ..settings() };
    for (name, asked, region, expected) in [
        ("InvokeAgent", json!({"agentId": "AGENT", "agentAliasId": "ALIAS"}), "us", Decision::Allow),
        ("InvokeAgent", json!({"agentId": "AGENT", "agentAliasId": "OTHER"}), "us", Decision::ImplicitDeny),
        ("InvokeAgent", json!({"agentId": "AGENT", "agentAliasId": "ALIAS"}), "eu", Decision::ImplicitDeny),
        ("InvokeFlow", json!({"flowIdentifier": "FLOW", "flowAliasIdentifier": "A"}), "us", Decision::Allow),
        ("ApplyGuardrail", json!({"guardrailIdentifier": "g1"}), "us", Decision::Allow),
        (
            "ApplyGuardrail",
            json!({"guardrailIdentifier": "arn:aws:bedrock:us-east-1:111122223333:guardrail/g2"}),
            "us",
            Decision::ImplicitDeny,
        ),
        ("RenderPrompt", json!({"promptIdentifier": "P1"}), "us", Decision::Allow),
        ("RenderPrompt", json!({}), "us", Decision::Unknown),
        ("RetrieveAndGenerate", json!({"knowledgeBaseId": "K"}), "us", Decision::Unknown),
    ] {
        let mut event = call("i", 10, "ASIA1", name, "");
        event["requestParameters"] = asked.clone();
        let told = play(&settings, &[sts("s", 0, "ASIA1", json!({"dept": "legal", "region": region})), event]);
        assert_eq!(decision(&told), [expected], "{name} {asked}");
    }
}
