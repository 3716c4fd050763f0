//! Messages in OCSF's form against its schema (`tests/data/ocsf`), and every form of every detector against golden files
//! (`tests/data/messages`; accept a wanted change with `ACCEPT_GOLDEN=1` and read the diff).

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use geophone::alerting::message::{Form, Links, render};
use geophone::alerting::{Alert, Status};
use geophone::bedrock::{Denial, DenialKind, DeniedBy, Model, ModelMap};
use geophone::finding::{Confidence, DetectorId, History, HistoryUnit, Severity};
use geophone::identity::{ActorKey, ActorKind, Department, DepartmentSource, Unknown};
use serde_json::Value;

use crate::support::schema::Schema;
use crate::support::story;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = fs::read_to_string(data("ocsf/detection_finding.schema.json")).expect("the schema");
    Schema::whole(serde_json::from_str(&text).expect("JSON"))
});

fn check(event: &Value) -> Vec<String> {
    SCHEMA.mistakes(event)
}

/// A refused call of a person, as the engine tells it.
fn told() -> Alert {
    let folder = data("scenarios/sweep-over-models-and-regions");
    let settings = geophone::config::Settings::parse(&fs::read_to_string(folder.join("settings.toml")).expect("settings")).expect("valid");
    let events = fs::read(folder.join("events.ndjson")).expect("events");
    story::play(&settings.engine, story::observe(&events)).alerts.into_iter().next().expect("an alert")
}

/// One alert of each detector, with all that it may carry.
fn alerts() -> Vec<Alert> {
    let base = told();
    let of = |detector: DetectorId| {
        let (title, explanation) = (format!("{}: somebody", detector.label()), "somebody: what was seen, in numbers.".to_owned());
        let mut alert = Alert { detector, title, explanation, ..base.clone() };
        alert.who.person = Some("dana@example.com".into());
        alert.who.manager = Some("noor@example.com".into());
        match detector {
            DetectorId::InvocationSpike | DetectorId::TokenSpend => {
                alert.denial = None;
                alert.channels = vec!["10m".to_owned(), "1h, 10^-4".to_owned()];
                let busiest_hours = (0..28).map(|day| ((day * 7) % 11) as f32).collect();
                let unit = if detector == DetectorId::TokenSpend { HistoryUnit::Dollars } else { HistoryUnit::Calls };
                alert.history = Some(History { unit, last_day: 20_606, busiest_hours });
            }
            DetectorId::AccessDenied => {
                let by = Some(DeniedBy::ServiceControlPolicy);
                let policy_arn = Some("arn:aws:organizations::111122223333:policy/o-example/service_control_policy/p-example".into());
                alert.denial = Some(Denial { kind: DenialKind::ExplicitDeny, by, policy_arn, ..alert.denial.expect("a refusal") });
            }
            DetectorId::Sigma => {
                let rules = geophone::sources::rule_files(&["builtin".into()], std::path::Path::new("")).expect("the pack").0;
                let set = geophone::sigma::load(&rules, geophone::sigma::UnknownFields::Refuse).expect("rules");
                alert.rule = set.alerting().find(|rule| *rule.name == *"model_access_opened_and_used").cloned();
                alert.techniques = alert.rule.as_ref().expect("the rule").techniques.clone();
                alert.denial = None;
            }
            DetectorId::Unattributed => {
                alert.who.actor = ActorKey::new(ActorKind::User, "arn:aws:iam::111122223333:user/translate-legacy");
                (alert.who.person, alert.who.manager) = (None, None);
                alert.who.department = Department::Unknown(Unknown::LongLivedKey);
                alert.source_ip = "cloudformation.amazonaws.com".into();
                (alert.model, alert.policy) = (None, None);
            }
            DetectorId::BlindSpot => {
                alert.who.actor = ActorKey::new(ActorKind::Service, "geophone");
                (alert.who.person, alert.who.manager, alert.who.department) = (None, None, Department::Unknown(Unknown::NoIdentity));
                (alert.who.arn, alert.who.issuer, alert.who.access_key_id) = Default::default();
                (alert.account, alert.region, alert.source_ip) = Default::default();
                (alert.model, alert.policy, alert.denial) = (None, None, None);
                alert.channels = vec!["gap noticed".to_owned(), "gap measured".to_owned()];
                (alert.event_ids, alert.techniques) = Default::default();
                alert.last_event = alert.onset.plus(97_200);
            }
            _ => alert.denial = None,
        }
        alert
    };
    DetectorId::ALL.into_iter().map(of).collect()
}

const HOSTILE: &str = "x\u{202e}\r\n\0\u{1b}[31m</td><script>alert(1)</script> *b* `c` <!here> [a](http://evil) & \u{feff}\"}]} ä";

#[test]
fn every_message_is_a_detection_finding() {
    for alert in alerts() {
        for status in Status::ALL {
            for links in [
                Links::default(),
                Links { page: Some("https://geophone.example".into()), runbooks: Some("https://runbooks.example".into()) },
            ] {
                let alert = Alert { status, confidence: Confidence::Medium, ..alert.clone() };
                let event: Value = serde_json::from_str(&render(&alert, Form::Ocsf, &links).body).expect("JSON");
                assert_eq!(check(&event), Vec::<String>::new(), "{} {}", alert.detector.label(), status.label());
                assert_eq!(event["time"], alert.time.unix() * 1_000);
                assert_eq!(event["finding_info"]["uid"], alert.alert_id.to_string());
            }
        }
    }
}

#[test]
fn empty_and_hostile_texts_stay_within_the_schema() {
    for text in ["", HOSTILE, &"\u{202e}é<".repeat(500_000)] {
        let mut alert = told();
        let shared: Arc<str> = text.into();
        (alert.title, alert.explanation) = (text.to_owned(), text.to_owned());
        (alert.account, alert.region, alert.source_ip) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        alert.who.actor = ActorKey::new(ActorKind::Unknown, text);
        (alert.who.person, alert.who.manager) = (Some(Arc::clone(&shared)), Some(Arc::clone(&shared)));
        (alert.who.arn, alert.who.issuer, alert.who.access_key_id) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        alert.who.department = Department::Known { name: shared, source: DepartmentSource::SessionTag };
        alert.model = Some(Arc::new(Model::parse(text, &ModelMap::default())));
        alert.techniques = vec![text.to_owned(), ".".to_owned(), "T1.".to_owned()];
        alert.severity = Severity::Critical;
        let message = render(&alert, Form::Ocsf, &Links::default());
        let event: Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(check(&event), Vec::<String>::new());
        assert!(message.body.len() < 200_000 && !message.body.contains('\u{202e}'), "{}", message.body.len());
    }
}

#[test]
fn the_schema_catches_mistakes() {
    let good: Value = serde_json::from_str(&render(&told(), Form::Ocsf, &Links::default()).body).expect("JSON");
    let spoilt: [fn(&mut Value); 7] = [
        |event| event["severity_id"] = 9.into(),
        |event| event["severity"] = "Low".into(),
        |event| event["time"] = "2026-06-02T09:00:00Z".into(),
        |event| event["no_such_attribute"] = 1.into(),
        |event| event["cloud"]["account"] = serde_json::json!({}),
        |event| event["evidences"][0]["src_endpoint"]["ip"] = "AWS Internal".into(),
        |event| drop(event.as_object_mut().expect("an object").remove("finding_info")),
    ];
    assert_eq!(check(&good), Vec::<String>::new());
    for (number, spoil) in spoilt.into_iter().enumerate() {
        let mut event = good.clone();
        spoil(&mut event);
        assert!(!check(&event).is_empty(), "mistake {number} is not seen");
    }
    for sample in ["create", "update", "close", "rule"] {
        let text = fs::read_to_string(data(&format!("ocsf/sample_{sample}.json"))).expect("a sample");
        assert_eq!(check(&serde_json::from_str(&text).expect("JSON")), Vec::<String>::new(), "{sample}");
    }
}

#[test]
fn every_detector_in_every_form_is_as_it_was() {
    let links = Links { page: Some("https://geophone.example".into()), runbooks: Some("https://runbooks.example".into()) };
    let folder = data("messages");
    for alert in alerts() {
        for (form, ending) in [(Form::Text, "txt"), (Form::Chatbot, "chatbot.json"), (Form::Ocsf, "ocsf.json"), (Form::Ndjson, "json")] {
            let message = render(&alert, form, &links);
            let body = match serde_json::from_str::<Value>(&message.body) {
                Ok(json) => serde_json::to_string_pretty(&json).expect("JSON") + "\n",
                Err(_) => format!("Subject: {}\n\n{}", message.subject, message.body),
            };
            let path = folder.join(format!("{}.{ending}", alert.detector.label()));
            if std::env::var_os("ACCEPT_GOLDEN").is_some() {
                fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &body)).expect("written");
            }
            assert_eq!(body, fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
        }
    }
}
