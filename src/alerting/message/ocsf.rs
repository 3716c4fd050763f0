//! OCSF 1.6.0, class Detection Finding, with the profiles `cloud`, `datetime` and `security_control`: `docs/ocsf.md` has
//! the mapping. Nothing is null or empty: what does not apply is left out.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::{Alert, Status};
use super::steps::next_steps;
use super::{Links, clean};
use crate::bedrock::DeniedBy;
use crate::finding::{Confidence, DetectorId, Digest128, Severity};
use crate::identity::{ActorKind, Department};
use crate::time::EventTime;

/// Version of the schema.
const VERSION: &str = "1.6.0";
const CLASS: u32 = 2004;

/// An alert as one line of JSON.
pub(super) fn alert(alert: &Alert, links: &Links) -> String {
    let (activity_id, activity) = match alert.status {
        Status::Opened => (1, "Create"),
        Status::Updated => (2, "Update"),
        Status::Resolved => (3, "Close"),
    };
    let is_over = alert.status == Status::Resolved;
    let (severity_id, severity) = severity(alert.severity);
    let (confidence_id, confidence) = match alert.confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    };
    let (action_id, action, disposition_id, disposition) =
        if alert.denial.is_some() { (2, "Denied", 2, "Blocked") } else { (3, "Observed", 19, "Alert") };
    let mut event = json!({
        "activity_id": activity_id, "activity_name": activity, "category_uid": 2, "category_name": "Findings",
        "class_uid": CLASS, "class_name": "Detection Finding", "type_uid": CLASS * 100 + activity_id,
        "type_name": format!("Detection Finding: {activity}"), "timezone_offset": 0, "count": alert.event_count,
        "severity_id": severity_id, "severity": severity, "confidence_id": confidence_id, "confidence": confidence,
        "status_id": if is_over { 4 } else { 1 }, "status": if is_over { "Resolved" } else { "New" },
        "status_detail": if is_over { "quiet for long enough; nobody reviewed it" } else { "" },
        "is_alert": !is_over, "message": clean(&alert.title), "metadata": metadata(alert), "finding_info": finding_info(alert),
        "cloud": cloud(alert), "evidences": [{"actor": actor(alert), "src_endpoint": source(alert)}], "resources": resources(alert),
        "action_id": action_id, "action": action, "disposition_id": disposition_id, "disposition": disposition,
        "authorizations": authorizations(alert), "observables": observables(alert),
        "remediation": remediation(alert, links), "unmapped": unmapped(alert),
    });
    for (name, time) in [("time", alert.time), ("start_time", alert.onset), ("end_time", alert.last_event)] {
        put_time(&mut event, name, time);
    }
    prune(event).unwrap_or_default().to_string()
}

/// Milliseconds, and beside them the same as text.
fn put_time(object: &mut Value, name: &str, time: EventTime) {
    object[name] = json!(time.unix().saturating_mul(1_000));
    object[format!("{name}_dt")] = json!(time.to_string());
}

fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn metadata(alert: &Alert) -> Value {
    // The same for the same message sent again, another for each update.
    let line = Alert { possible_duplicate: false, ..alert.clone() }.to_ndjson();
    json!({
        "version": VERSION, "profiles": ["cloud", "datetime", "security_control"],
        "product": {"name": "geophone", "vendor_name": "geophone", "version": env!("CARGO_PKG_VERSION")},
        "uid": Digest128::of(&[b"ocsf", line.as_bytes()]).to_string(), "correlation_uid": alert.incident_id.to_string(),
        "event_code": alert.detector_name(),
    })
}

fn finding_info(alert: &Alert) -> Value {
    let (type_id, kind) = match alert.detector {
        DetectorId::FirstSeen | DetectorId::SessionTheft => (2, "Behavioral"),
        DetectorId::InvocationSpike | DetectorId::TokenSpend => (3, "Statistical"),
        DetectorId::AccessDenied
        | DetectorId::CrossDepartment
        | DetectorId::Offboarded
        | DetectorId::Perimeter
        | DetectorId::Sigma
        | DetectorId::Unattributed
        | DetectorId::BlindSpot => (1, "Rule"),
    };
    let label = alert.detector.label();
    let (name, uid, category) = match &alert.rule {
        Some(rule) => (clean(&rule.title), clean(&rule.id), "Sigma"),
        None => (label.to_owned(), label.to_owned(), ""),
    };
    let events: Vec<Value> = alert.event_ids.iter().map(|id| json!({"uid": clean(&id.to_string()), "type": "CloudTrail event"})).collect();
    let mut info = json!({
        "uid": alert.alert_id.to_string(), "title": clean(&alert.title), "desc": clean(&alert.explanation), "types": [label],
        "analytic": {"name": name, "uid": uid, "type_id": type_id, "type": kind, "category": category},
        "attacks": alert.techniques.iter().map(|technique| attack(technique)).collect::<Vec<_>>(),
        "data_sources": ["AWS CloudTrail"], "related_events": events, "related_events_count": alert.event_count,
    });
    for (name, time) in [("first_seen_time", alert.onset), ("last_seen_time", alert.last_event), ("modified_time", alert.time)] {
        put_time(&mut info, name, time);
    }
    info
}

/// `T1078.004` is a part of `T1078`; `AML.T0035` is whole.
fn attack(technique: &str) -> Value {
    let technique = clean(technique);
    match technique.rsplit_once('.').filter(|(_, last)| last.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((whole, _)) => json!({"technique": {"uid": whole}, "sub_technique": {"uid": technique}}),
        None => json!({"technique": {"uid": technique}}),
    }
}

fn cloud(alert: &Alert) -> Value {
    let account = clean(&alert.account);
    let account = if account.is_empty() { Value::Null } else { json!({"uid": account, "type_id": 10, "type": "AWS Account"}) };
    json!({"provider": "AWS", "account": account, "region": clean(&alert.region)})
}

fn actor(alert: &Alert) -> Value {
    let who = &alert.who;
    let (type_id, kind) = match who.actor.kind {
        ActorKind::Role | ActorKind::Service => (4, "Service"),
        ActorKind::Person | ActorKind::Session | ActorKind::User | ActorKind::Root | ActorKind::Unknown => (1, "User"),
    };
    let groups = who.department.name().map(|name| json!([{"name": named(name), "type": "department"}]));
    let keys = (!who.access_key_id.is_empty()).then(|| json!([{"uid": clean(&who.access_key_id), "type": "AWS access key"}]));
    let manager = who.manager.as_ref().map(|manager| json!({"manager": {"name": clean(manager)}}));
    json!({
        "user": {
            "name": named(who.person.as_ref().unwrap_or(&who.actor.name)), "uid": clean(&who.arn), "uid_alt": clean(&who.actor.name),
            "type_id": type_id, "type": kind, "programmatic_credentials": keys, "groups": groups, "ldap_person": manager,
        },
        "session": {"issuer": clean(&who.issuer), "uid_alt": clean(&who.arn)},
    })
}

/// A name where OCSF wants one.
fn named(text: &str) -> String {
    let cleaned = clean(text);
    if cleaned.is_empty() { "unknown".to_owned() } else { cleaned }
}

/// An address, or the name of a service.
fn source(alert: &Alert) -> Value {
    let source = clean(&alert.source_ip);
    if source.parse::<IpAddr>().is_ok() { json!({"ip": source}) } else { json!({"svc_name": source}) }
}

fn resources(alert: &Alert) -> Value {
    alert.model.as_ref().map_or(Value::Null, |model| {
        json!([{
            "name": named(&model.id), "uid": clean(&model.as_written), "type": "AWS::Bedrock::Model", "role_id": 1, "role": "Target",
            "region": clean(&alert.region), "labels": [clean(&model.family)],
        }])
    })
}

fn authorizations(alert: &Alert) -> Value {
    let Some(denial) = &alert.denial else { return Value::Null };
    let by = denial.by.and_then(DeniedBy::label).map(str::to_owned);
    let policy = json!({"type": by, "uid": denial.policy_arn.as_deref().map(clean), "desc": clean(&denial.spoken())});
    // A policy without type and id is none to OCSF.
    let is_known = !policy["type"].is_null() || !policy["uid"].is_null();
    json!([{"decision": "Denied", "policy": if is_known { policy } else { Value::Null }}])
}

/// What people search by.
fn observables(alert: &Alert) -> Value {
    let who = &alert.who;
    let ip = Some(&alert.source_ip).filter(|source| source.parse::<IpAddr>().is_ok());
    let model = alert.model.as_ref().map(|model| &model.as_written);
    let all = [
        ("evidences.src_endpoint.ip", 2, "IP Address", ip.map(|ip| clean(ip))),
        ("evidences.actor.user.name", 4, "User Name", Some(clean(who.person.as_ref().unwrap_or(&who.actor.name)))),
        ("evidences.actor.user.programmatic_credentials.uid", 19, "User Credential ID", Some(clean(&who.access_key_id))),
        ("resources.uid", 10, "Resource UID", model.map(|model| clean(model))),
    ];
    let shown = all.into_iter().filter_map(|(name, type_id, kind, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(json!({"name": name, "type_id": type_id, "type": kind, "value": value}))
    });
    Value::Array(shown.collect())
}

fn remediation(alert: &Alert, links: &Links) -> Value {
    let steps: Vec<String> = next_steps(alert).iter().map(|step| clean(step)).collect();
    let links: Vec<String> = [links.runbook(alert), links.incident(alert)].into_iter().flatten().collect();
    json!({"desc": if steps.is_empty() { "Read the alert.".to_owned() } else { steps.join("\n") }, "references": links})
}

fn unmapped(alert: &Alert) -> Value {
    let (source, reason) = match &alert.who.department {
        Department::Known { source, .. } => (source.label(), None),
        Department::Unknown(why) => ("none", Some(why.label())),
    };
    let linked: Vec<String> = alert.linked_incidents.iter().map(ToString::to_string).collect();
    json!({
        "possible_duplicate": alert.possible_duplicate, "linked_incidents": linked, "actor_kind": alert.who.actor.kind.label(),
        "department_source": source, "department_reason": reason, "rule": alert.rule.as_ref().map(|rule| clean(&rule.name)),
        "denial": alert.denial.as_ref().map(|denial| json!({"kind": denial.kind.label(), "by": denial.by.and_then(DeniedBy::label)})),
        "policy": alert.policy.as_ref().map(|policy| json!({
            "verdict": policy.decision.label(), "statement": policy.statement.as_deref().map(clean), "why": policy.why.as_deref().map(clean),
        })),
        "numbers": alert.numbers,
        "history": alert.history.as_ref().map(|history| json!({"unit": history.unit.label(), "busiest_hours": history.busiest_hours})),
    })
}

/// The value without what is null or empty in it; `None` where nothing is left.
fn prune(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(values) => {
            let kept: Vec<Value> = values.into_iter().filter_map(prune).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(entries) => {
            let kept: serde_json::Map<String, Value> =
                entries.into_iter().filter_map(|(key, value)| prune(value).map(|value| (key, value))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => Some(other),
    }
}
