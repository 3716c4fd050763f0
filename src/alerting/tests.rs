//! The life cycle against a plain reading of its rules, and messages that nobody can break out of.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::message::{Form, Links, SUBJECT_BYTES_MAX, render};
use super::*;
use crate::finding::{Confidence, DetectorId, Who};
use crate::identity::{ActorKind, DepartmentSource, Unknown};

pub(super) fn finding(subject: &str, time: i64, severity: Severity) -> Finding {
    let time = EventTime::from_unix(time);
    Finding {
        detector: DetectorId::AccessDenied,
        fingerprint: Fingerprint::of(DetectorId::AccessDenied, &[subject]),
        severity,
        confidence: Confidence::High,
        title: format!("Bedrock call refused: {subject}"),
        explanation: format!("{subject} was refused."),
        channel: String::new(),
        who: Who {
            actor: ActorKey::new(ActorKind::Person, subject),
            person: Some(subject.into()),
            arn: "".into(),
            issuer: "".into(),
            access_key_id: "ASIA1".into(),
            department: Department::Known { name: "legal".into(), source: DepartmentSource::SessionTag },
            manager: None,
        },
        model: None,
        denial: None,
        policy: None,
        account: "1".into(),
        region: "us-east-1".into(),
        source_ip: "192.0.2.1".into(),
        history: None,
        numbers: [("refusals".to_owned(), 1.0)].into(),
        event_id: None,
        earlier: Vec::new(),
        story_events: None,
        onset: time,
        time,
        techniques: vec![],
        rule: None,
    }
}

fn handle(alerting: &mut Alerting, finding: Finding) -> Vec<Alert> {
    let mut out = Vec::new();
    alerting.handle(Signal::Finding(Box::new(finding)), &mut out);
    out
}

#[test]
fn three_of_a_department_are_one_incident() {
    let mut alerting = Alerting::new(AlertSettings::default());
    let spike = |who: &str, at: i64| {
        let fingerprint = Fingerprint::of(DetectorId::InvocationSpike, &[who]);
        Finding { detector: DetectorId::InvocationSpike, fingerprint, ..finding(who, at, Severity::Medium) }
    };
    let first = handle(&mut alerting, spike("a", 0));
    let second = handle(&mut alerting, spike("b", 600));
    assert_ne!(first[0].incident_id, second[0].incident_id);
    let third = handle(&mut alerting, spike("c", 1_200));
    assert!(third[0].explanation.contains("3 actors of legal are unusual at once"), "{}", third[0].explanation);
    let fourth = handle(&mut alerting, spike("d", 1_800));
    assert_eq!(third[0].incident_id, fourth[0].incident_id);
    // The first two keep their ids and are told of the group.
    let mut out = Vec::new();
    alerting.handle_time(EventTime::from_unix(3_600), &mut out);
    let linked: Vec<_> =
        out.iter().filter(|alert| alert.linked_incidents == [third[0].incident_id]).map(|alert| alert.incident_id).collect();
    assert_eq!(linked.len(), 2, "{out:?}");
    assert!(linked.contains(&first[0].incident_id) && linked.contains(&second[0].incident_id));
    // Refusals make no groups: each credential's is a story of its own.
    let mut alerting = Alerting::new(AlertSettings::default());
    let incidents: std::collections::HashSet<_> =
        ["a", "b", "c", "d"].iter().map(|who| handle(&mut alerting, finding(who, 0, Severity::Medium))[0].incident_id).collect();
    assert_eq!(incidents.len(), 4);
    // All are resolved and nothing stays behind.
    let mut out = Vec::new();
    alerting.handle_time(EventTime::from_unix(3 * 86_400), &mut out);
    assert_eq!((alerting.open_count(), alerting.incidents.len()), (0, 0));
}

#[test]
fn opens_once_updates_on_growth_and_resolves_after_quiet() {
    let mut alerting = Alerting::new(AlertSettings::default());
    let opened = handle(&mut alerting, finding("a", 0, Severity::Low));
    assert_eq!((opened.len(), opened[0].status), (1, Status::Opened));
    let mut said = Vec::new();
    for n in 1..40 {
        said.extend(handle(&mut alerting, finding("a", n * 60, Severity::Low)));
    }
    assert_eq!(said.iter().map(|a| (a.status, a.event_count)).collect::<Vec<_>>(), [(Status::Updated, 10)]);
    let urgent = handle(&mut alerting, finding("a", 2_401, Severity::High));
    assert_eq!((urgent[0].status, urgent[0].severity, urgent[0].alert_id), (Status::Updated, Severity::High, opened[0].alert_id));
    let mut out = Vec::new();
    alerting.handle_time(EventTime::from_unix(2_401 + 6 * HOUR), &mut out);
    assert_eq!((out[0].status, out[0].event_count), (Status::Resolved, 41));
    let again = handle(&mut alerting, finding("a", 100_000, Severity::Low));
    assert_ne!(again[0].alert_id, opened[0].alert_id);
}

#[test]
fn overlapping_alerts_of_one_actor_are_one_incident() {
    let mut alerting = Alerting::new(AlertSettings::default());
    let first = handle(&mut alerting, finding("a", 0, Severity::Low));
    let mut other = finding("a", 700, Severity::Low);
    other.detector = DetectorId::CrossDepartment;
    other.fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &["a"]);
    let second = handle(&mut alerting, other);
    assert_eq!(first[0].incident_id, second[0].incident_id);
    assert_ne!(first[0].alert_id, second[0].alert_id);
    assert_ne!(handle(&mut alerting, finding("b", 0, Severity::Low))[0].incident_id, first[0].incident_id);
}

#[test]
fn a_join_names_the_person_and_links_the_incident() {
    let mut alerting = Alerting::new(AlertSettings::default());
    let mut pending = finding("ASIA1", 0, Severity::Low);
    pending.who.person = None;
    pending.who.department = Department::Unknown(Unknown::Pending);
    let opened = handle(&mut alerting, pending.clone());
    let who = Who { actor: ActorKey::new(ActorKind::Person, "alice"), person: Some("alice".into()), ..finding("x", 0, Severity::Low).who };
    let enrichment = Enrichment {
        fingerprint: pending.fingerprint,
        who,
        policy: None,
        severity: Severity::High,
        remark: Some("m belongs to legal".into()),
        time: EventTime::from_unix(9),
    };
    let mut out = Vec::new();
    alerting.handle(Signal::Enrichment(Box::new(enrichment)), &mut out);
    assert_eq!((out[0].alert_id, out[0].severity, out[0].department()), (opened[0].alert_id, Severity::High, "legal"));
    assert_eq!((out[0].incident_id, out[0].linked_incidents.len()), (opened[0].incident_id, 1));
    // The person's next alert joins the incident that was linked.
    let mut other = finding("alice", 700, Severity::Low);
    other.fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &["alice"]);
    assert_eq!(handle(&mut alerting, other)[0].incident_id, out[0].linked_incidents[0]);
    assert!(out[0].explanation.ends_with("m belongs to legal."), "{}", out[0].explanation);
}

#[test]
fn a_recalled_alert_keeps_its_ids() {
    let known = Recalled { alert_id: Digest128::of(&[b"1"]), incident_id: Digest128::of(&[b"2"]), onset: EventTime::from_unix(60) };
    let mut alerting = Alerting::new(AlertSettings::default());
    alerting.recall([(finding("a", 0, Severity::Low).fingerprint, known)]);
    let opened = handle(&mut alerting, finding("a", 0, Severity::Low));
    assert_eq!((opened[0].alert_id, opened[0].incident_id, opened[0].possible_duplicate), (known.alert_id, known.incident_id, true));
}

#[test]
fn a_recalled_id_is_not_given_to_another_story() {
    let known = Recalled { alert_id: Digest128::of(&[b"1"]), incident_id: Digest128::of(&[b"2"]), onset: EventTime::from_unix(0) };
    let mut alerting = Alerting::new(AlertSettings::default());
    handle(&mut alerting, finding("a", 0, Severity::Low));
    let own = alerting.open_alerts(1)[0].alert_id;
    // It is open in the snapshot: only what is said next may be a duplicate.
    alerting.recall([(finding("a", 0, Severity::Low).fingerprint, Recalled { alert_id: own, ..known })]);
    let again = handle(&mut alerting, finding("a", 400, Severity::High));
    assert!(again[0].possible_duplicate);
    assert!(!handle(&mut alerting, finding("a", 800, Severity::Critical))[0].possible_duplicate);
    // Tomorrow's story is another one.
    alerting.recall([(finding("b", 0, Severity::Low).fingerprint, known)]);
    let tomorrow = handle(&mut alerting, finding("b", 90_000, Severity::Low));
    assert!(tomorrow[0].alert_id != known.alert_id && !tomorrow[0].possible_duplicate);
}

#[test]
fn a_story_that_goes_on_after_its_alert_is_another_alert_with_its_own_events() {
    let mut alerting = Alerting::new(AlertSettings { resolve_after: 3_600, ..AlertSettings::default() });
    let told = |time: i64, events: u64| {
        let mut finding = finding("a", time, Severity::Low);
        finding.onset = EventTime::from_unix(0);
        finding.story_events = Some(events);
        finding
    };
    let first = handle(&mut alerting, told(0, 1));
    handle(&mut alerting, told(60, 2));
    let mut out = Vec::new();
    alerting.handle_time(EventTime::from_unix(3_700), &mut out);
    assert_eq!((out[0].status, out[0].event_count), (Status::Resolved, 2));
    let second = handle(&mut alerting, told(7_000, 3));
    assert_ne!(second[0].alert_id, first[0].alert_id);
    assert_eq!((second[0].event_count, second[0].onset), (1, EventTime::from_unix(7_000)));
}

#[test]
fn there_is_always_room_for_one_more() {
    let mut alerting = Alerting::new(AlertSettings { open_max: 3, ..AlertSettings::default() });
    for n in 0..10 {
        handle(&mut alerting, finding(&n.to_string(), n, Severity::Low));
    }
    assert_eq!((alerting.open_count(), alerting.resolved_early()), (3, 7));
}

#[test]
fn an_image_restores_everything() {
    let mut alerting = Alerting::new(AlertSettings::default());
    for n in 0..5 {
        handle(&mut alerting, finding(&(n % 3).to_string(), n * 100, Severity::Low));
    }
    let bytes = postcard::to_allocvec(&alerting.image()).expect("encodes");
    let mut restored = Alerting::new(AlertSettings::default());
    restored.restore(postcard::from_bytes(&bytes).expect("decodes"), EventTime::MIN);
    let (one, other) = (handle(&mut alerting, finding("1", 900, Severity::High)), handle(&mut restored, finding("1", 900, Severity::High)));
    assert_eq!(one[0].to_ndjson(), other[0].to_ndjson());
}

#[test]
fn ndjson_has_exactly_the_fields_of_the_contract() {
    let alert = handle(&mut Alerting::new(AlertSettings::default()), finding("a", 0, Severity::Low)).remove(0);
    let line: serde_json::Value = serde_json::from_str(&alert.to_ndjson()).expect("json");
    let mut names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = vec![
        "alert_id",
        "incident_id",
        "linked_incidents",
        "status",
        "possible_duplicate",
        "time",
        "detector",
        "rule",
        "severity",
        "confidence",
        "title",
        "explanation",
        "actor",
        "department",
        "model",
        "denial",
        "policy",
        "account",
        "region",
        "source_ip",
        "numbers",
        "history",
        "event_ids",
        "event_count",
        "onset",
        "last_event",
        "techniques",
    ];
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

/// Everything that was ever used to break out of a message.
const HOSTILE: &str =
    "x\u{202e}\u{2066}\r\n\0\u{1b}[31m</td><script>alert(1)</script> *bold* `code` <!here> [a](http://evil) & \u{feff}\"}]} \u{e0041}ä";

#[test]
fn attacker_written_fields_cannot_break_out() {
    let mut hostile = finding("x", 0, Severity::High);
    hostile.title = format!("Bedrock call refused: {HOSTILE}");
    hostile.explanation = HOSTILE.repeat(20_000);
    hostile.who.person = Some(HOSTILE.into());
    hostile.who.issuer = HOSTILE.into();
    hostile.who.department = Department::Known { name: HOSTILE.into(), source: DepartmentSource::SessionTag };
    hostile.source_ip = HOSTILE.into();
    let alert = handle(&mut Alerting::new(AlertSettings::default()), hostile).remove(0);
    for form in [Form::Text, Form::Chatbot] {
        let message = render(&alert, form, &Links::default());
        assert!(message.body.len() < message::MESSAGE_BYTES_MAX);
        assert!(message.subject.is_ascii() && message.subject.len() <= SUBJECT_BYTES_MAX && !message.subject.contains(char::is_control));
        assert!(message.attributes.iter().all(|(_, value)| !value.is_empty() && value.len() <= 256 && !value.contains(char::is_control)));
        assert!(!message.body.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)), "{form:?}");
    }
    let chat: serde_json::Value = serde_json::from_str(&render(&alert, Form::Chatbot, &Links::default()).body).expect("JSON");
    let description = chat["content"]["description"].as_str().expect("text");
    assert!(
        !description.contains("<script") && !description.contains("<!here") && !description.contains('`') && !description.contains("](")
    );
    assert_eq!(chat["metadata"]["threadId"], alert.incident_id.to_string());
}

proptest! {
    /// Random histories against the plain reading: at most one open alert a fingerprint, every finding counted once,
    /// every opened alert resolved at the end, ids constant through a life.
    #[test]
    fn no_finding_is_lost(steps in proptest::collection::vec((0u8..4, 0i64..20_000, 0usize..5), 1..200)) {
        let mut alerting = Alerting::new(AlertSettings { resolve_after: 3_600, open_max: 100 });
        let (mut now, mut out, mut given): (i64, Vec<Alert>, HashMap<String, u64>) = (0, Vec::new(), HashMap::new());
        for (subject, pause, severity) in steps {
            now += pause / 10;
            alerting.handle_time(EventTime::from_unix(now - 900), &mut out);
            alerting.handle(Signal::Finding(Box::new(finding(&subject.to_string(), now, Severity::ALL[severity]))), &mut out);
            *given.entry(subject.to_string()).or_default() += 1;
        }
        alerting.handle_time(EventTime::from_unix(now + 1_000_000), &mut out);
        prop_assert_eq!(alerting.open_count(), 0);
        let mut open: HashMap<Fingerprint, Digest128> = HashMap::new();
        let mut counted: HashMap<Arc<str>, u64> = HashMap::new();
        for alert in out {
            match alert.status {
                Status::Opened => prop_assert!(open.insert(alert.fingerprint, alert.alert_id).is_none()),
                Status::Updated => prop_assert_eq!(open.get(&alert.fingerprint), Some(&alert.alert_id)),
                Status::Resolved => {
                    prop_assert_eq!(open.remove(&alert.fingerprint), Some(alert.alert_id));
                    *counted.entry(Arc::clone(&alert.who.actor.name)).or_default() += alert.event_count;
                }
            }
        }
        prop_assert!(open.is_empty());
        for (subject, count) in given {
            prop_assert_eq!(counted.get(subject.as_str()), Some(&count));
        }
    }
}
