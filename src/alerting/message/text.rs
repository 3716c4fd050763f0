//! Plain text, for e-mail and terminals.

use std::fmt::Write as _;

use super::super::paging::Digest;
use super::super::{Alert, Status};
use super::steps::next_steps;
use super::{Links, clean};
use crate::finding::DetectorId;
use crate::identity::Department;
use crate::policy::Verdict;

/// Event ids that are shown.
const EVENT_IDS_SHOWN: usize = 5;

pub(super) fn alert(alert: &Alert, links: &Links) -> String {
    let mut out = String::with_capacity(2_048);
    let kind = if alert.rule.is_some() { "rule " } else { "" };
    let (severity, speaker) = (alert.severity.label().to_ascii_uppercase(), clean(alert.speaker()));
    let _ = writeln!(out, "{severity} {kind}{speaker} ({})", alert.status.label());
    let _ = writeln!(out, "{}\n", clean(&alert.title));
    let _ = writeln!(out, "{}\n", clean(&alert.explanation));
    for (name, value) in rows(alert) {
        let _ = writeln!(out, "{name:<11} {value}");
    }
    if alert.status != Status::Resolved {
        out.push_str("\nWhat to do\n");
        for (step, number) in next_steps(alert).iter().zip(1..) {
            let _ = writeln!(out, "{number}. {}", clean(step));
        }
    }
    let further = [("Incident", links.incident(alert)), ("Runbook", links.runbook(alert))];
    let further: Vec<_> = further.into_iter().filter_map(|(name, url)| url.map(|url| (name, url))).collect();
    if !further.is_empty() {
        out.push('\n');
    }
    for (name, url) in further {
        let _ = writeln!(out, "{name:<11} {url}");
    }
    let _ = writeln!(out, "\nAlert {} of incident {}", alert.alert_id, alert.incident_id);
    for linked in &alert.linked_incidents {
        let _ = writeln!(out, "Linked to incident {linked}");
    }
    if alert.possible_duplicate {
        out.push_str("This alert may have been sent before, under the same id.\n");
    }
    out
}

/// What an hour's budget left over.
pub(super) fn digest(digest: &Digest, links: &Links) -> String {
    let mut out = format!("{} digest\n{}\n\n", digest.severity.label().to_ascii_uppercase(), digest.title());
    for line in digest_lines(digest) {
        let _ = writeln!(out, "{}", clean(&line));
    }
    if let Some(page) = &links.page {
        let _ = writeln!(out, "\nAll of them: {page}/");
    }
    if digest.possible_duplicate {
        out.push_str("This digest may have been sent before.\n");
    }
    out
}

/// What a digest says, line by line.
pub(super) fn digest_lines(digest: &Digest) -> Vec<String> {
    let by: Vec<String> = digest.by_detector.iter().map(|(detector, count)| format!("{count} {detector}")).collect();
    let mut lines = vec![format!(
        "From {} to {} there were {} alerts more than are paged in an hour: {}.",
        digest.from,
        digest.until,
        digest.alerts,
        by.join(", ")
    )];
    lines.extend(digest.shown.iter().map(|(id, severity, title)| format!("- {}: {title} (alert {id})", severity.label())));
    let more = digest.alerts.saturating_sub(digest.shown.len() as u64);
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines
}

/// The facts of an alert, one a row, cleaned.
pub fn rows(alert: &Alert) -> Vec<(&'static str, String)> {
    let who = &alert.who;
    let is_itself = alert.detector == DetectorId::BlindSpot;
    let mut rows = vec![("Who", clean(&format!("{} ({})", who.person.as_ref().unwrap_or(&who.actor.name), who.actor.kind.label())))];
    if !is_itself {
        rows.push(("Department", department(alert)));
    }
    if let Some(manager) = &alert.who.manager {
        rows.push(("Manager", clean(manager)));
    }
    let mut row = |name, value: String| {
        if !value.is_empty() {
            rows.push((name, value));
        }
    };
    row("Role", clean(&who.issuer));
    row("Access key", clean(&who.access_key_id));
    if let Some(model) = &alert.model {
        let written = if model.as_written == model.id { String::new() } else { format!(" (written {})", model.as_written) };
        row("Model", clean(&format!("{}{written}", model.id)));
    }
    if let Some(denial) = &alert.denial {
        row("Refused", clean(format!("{} {}", denial.spoken(), denial.policy_arn.as_deref().unwrap_or("")).trim_end()));
    }
    if let Some(policy) = &alert.policy {
        row("Policy", clean(&spoken_verdict(policy)));
    }
    if alert.channels.len() > 1 {
        row("Steps", clean(&alert.channels.join(", then ")));
    }
    let end = if alert.last_event == alert.onset { String::new() } else { format!(" to {}", alert.last_event) };
    if is_itself {
        // No call is behind it: it has no place, and what it counts is no event.
        row("When", format!("{}{end}", alert.onset));
    } else {
        row("Where", clean(&format!("account {}, {}, from {}", alert.account, alert.region, alert.source_ip)));
        let events = if alert.event_count == 1 { "1 event".to_owned() } else { format!("{} events", alert.event_count) };
        row("When", format!("{}{end}, {events}", alert.onset));
        row("Events", events_shown(alert));
    }
    if let Some(history) = &alert.history {
        let (plot, highest) = history.plot();
        row(
            "History",
            format!("{plot} {} days, busiest hours in {}, highest {highest:.0}", history.busiest_hours.len(), history.unit.label()),
        );
    }
    row("Confidence", format!("{:?}", alert.confidence).to_ascii_lowercase());
    row("Techniques", alert.techniques.join(", "));
    if let Some(rule) = &alert.rule {
        row("Rule", clean(&format!("{} ({})", rule.name, rule.file)));
        row("Read", clean(&rule.references.join(" ")));
    }
    rows
}

/// The first events of an alert, and how many there are besides.
fn events_shown(alert: &Alert) -> String {
    let shown: Vec<String> = alert.event_ids.iter().take(EVENT_IDS_SHOWN).map(ToString::to_string).collect();
    let more = alert.event_count.saturating_sub(shown.len() as u64);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    clean(&format!("{}{tail}", shown.join(", ")))
}

/// The verdict with what decided: `implicit-deny: no identity-based policy allows bedrock:InvokeModel`.
fn spoken_verdict(policy: &Verdict) -> String {
    let reasons = [&policy.statement, &policy.why].into_iter().flatten().map(|text| &**text).collect::<Vec<_>>().join(", ");
    if reasons.is_empty() { policy.decision.label().to_owned() } else { format!("{}: {reasons}", policy.decision.label()) }
}

fn department(alert: &Alert) -> String {
    match &alert.who.department {
        Department::Known { name, source } => clean(&format!("{name} (from {})", source.label())),
        Department::Unknown(why) => format!("unknown ({})", why.label()),
    }
}
