//! What leaves through SNS: an alert as text for people, or in the schema of Amazon Q Developer in chat applications.
//!
//! Session names, user agents, model ids and error messages are an attacker's to choose. Everything that is not ours is
//! cleaned: control and bidirectional characters are dropped, lengths are cut, and in chat `& < >` are escaped and code
//! spans cannot be closed.

use std::fmt::Write as _;

use serde::Serialize;

use super::record::{Alert, Status};
use crate::cloudtrail::lenient::cut;
use crate::identity::Department;
use crate::policy::Verdict;

/// SNS's limit for a message with its attributes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// SNS's limit for a subject: fewer than 100 characters.
pub const SUBJECT_BYTES_MAX: usize = 99;
/// Left free for attributes.
const ATTRIBUTE_BYTES: usize = 4 * 1024;
/// Longest text of somebody else's that is shown, in bytes.
const FOREIGN_BYTES_MAX: usize = 600;
const EVENT_IDS_SHOWN: usize = 5;

/// The form of a topic's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Plain text, for e-mail.
    #[default]
    Text,
    /// Amazon Q Developer's custom notification, version 1.0: any other JSON or text it drops silently.
    Chatbot,
    /// The alert's own line of JSON, for queues and functions.
    Ndjson,
}

impl Form {
    /// The form that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "chatbot" => Some(Self::Chatbot),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

/// A message for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// ASCII, at most 99 bytes, one line.
    pub subject: String,
    /// At most 256 KiB together with the attributes.
    pub body: String,
    /// For subscribers' filter policies: severity, detector, department, account, region, status.
    pub attributes: Vec<(&'static str, String)>,
}

/// `alert` in `form`.
pub fn render(alert: &Alert, form: Form) -> Message {
    let body = match form {
        Form::Text => text(alert),
        Form::Chatbot => chatbot(alert),
        Form::Ndjson => alert.to_ndjson(),
    };
    Message { subject: subject(alert), body: within_limit(body, form), attributes: attributes(alert) }
}

/// Cuts a text that would be refused. JSON cannot be cut and need not be: every part of it has a limit of its own.
fn within_limit(body: String, form: Form) -> String {
    const NOTE: &str = "\n[cut: the message was longer than SNS takes]\n";
    let bytes_max = MESSAGE_BYTES_MAX - ATTRIBUTE_BYTES;
    if body.len() <= bytes_max || form != Form::Text {
        return body;
    }
    format!("{}{NOTE}", cut(&body, bytes_max - NOTE.len()))
}

fn subject(alert: &Alert) -> String {
    let status = match alert.status {
        Status::Opened => "",
        Status::Updated => "update: ",
        Status::Resolved => "resolved: ",
    };
    let line = format!("[{}] {status}{}", alert.severity.label().to_ascii_uppercase(), clean(&alert.title));
    let ascii: String = line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    cut(&ascii, SUBJECT_BYTES_MAX).trim_end().to_owned()
}

fn attributes(alert: &Alert) -> Vec<(&'static str, String)> {
    // An attribute's value must not be empty.
    let value = |text: &str| {
        let cleaned = clean(text);
        let cleaned = cut(cleaned.trim(), 256);
        if cleaned.is_empty() { "unknown".to_owned() } else { cleaned.to_owned() }
    };
    vec![
        ("severity", value(alert.severity.label())),
        ("detector", value(&alert.detector_name())),
        ("department", value(alert.department())),
        ("account", value(&alert.account)),
        ("region", value(&alert.region)),
        ("status", value(alert.status.label())),
    ]
}

fn text(alert: &Alert) -> String {
    let mut out = String::with_capacity(2_048);
    let _ = writeln!(out, "{} {} ({})", alert.severity.label().to_ascii_uppercase(), alert.detector_name(), alert.status.label());
    let _ = writeln!(out, "{}\n", clean(&alert.title));
    let _ = writeln!(out, "{}\n", clean(&alert.explanation));
    for (name, value) in rows(alert) {
        let _ = writeln!(out, "{name:<11} {value}");
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

/// The facts of an alert, one a row, cleaned.
fn rows(alert: &Alert) -> Vec<(&'static str, String)> {
    let who = &alert.who;
    let mut rows = vec![("Who", clean(&format!("{} ({})", who.person.as_ref().unwrap_or(&who.actor.name), who.actor.kind.label())))];
    rows.push(("Department", department(alert)));
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
    row("Where", clean(&format!("account {}, {}, from {}", alert.account, alert.region, alert.source_ip)));
    let events = if alert.event_count == 1 { "1 event".to_owned() } else { format!("{} events", alert.event_count) };
    row("When", format!("{} to {}, {events}", alert.onset, alert.last_event));
    let shown: Vec<String> = alert.event_ids.iter().take(EVENT_IDS_SHOWN).map(ToString::to_string).collect();
    let more = alert.event_count.saturating_sub(shown.len() as u64);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    row("Events", clean(&format!("{}{tail}", shown.join(", "))));
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
        row("Next", clean(&rule.triage.join(" ")));
        row("Read", clean(&rule.references.join(" ")));
    }
    rows
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

#[derive(Serialize)]
struct Notification<'a> {
    version: &'static str,
    source: &'static str,
    id: String,
    content: Content,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    next_steps: Vec<String>,
    keywords: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    thread_id: String,
    summary: String,
    event_type: &'a str,
    related_resources: Vec<String>,
    additional_context: std::collections::BTreeMap<&'static str, String>,
}

fn chatbot(alert: &Alert) -> String {
    let mut description = format!("{}\n", chat(&alert.explanation));
    for (name, value) in rows(alert) {
        let _ = write!(description, "\n*{name}*: {}", chat(&value));
    }
    let status = if alert.status == Status::Opened { String::new() } else { format!("{} ", alert.status.label()) };
    let notification = Notification {
        version: "1.0",
        source: "custom",
        id: alert.alert_id.to_string(),
        content: Content {
            text_type: "client-markdown",
            title: format!("{} [{}] {}", status.trim_end(), alert.severity.label(), chat(&alert.title)).trim_start().to_owned(),
            description,
            next_steps: next_steps(alert),
            keywords: vec![alert.detector.label().to_owned(), alert.severity.label().to_owned(), chat(alert.department())],
        },
        metadata: Metadata {
            thread_id: alert.incident_id.to_string(),
            summary: chat(&alert.title),
            event_type: alert.detector.label(),
            related_resources: [&alert.who.issuer, &alert.who.arn].into_iter().filter(|arn| !arn.is_empty()).map(|arn| chat(arn)).collect(),
            additional_context: [("severity", alert.severity.label().to_owned()), ("status", alert.status.label().to_owned())].into(),
        },
    };
    // Maps with text keys: this cannot fail.
    serde_json::to_string(&notification).unwrap_or_default()
}

/// What to do, in the order in which to do it.
fn next_steps(alert: &Alert) -> Vec<String> {
    use crate::finding::DetectorId as D;
    let steps = match alert.detector {
        D::Sigma => return alert.rule.iter().flat_map(|rule| rule.triage.iter().map(|step| chat(step))).collect(),
        D::AccessDenied => vec![
            "Ask the person whether they made these calls; a stolen session tries what it does not know",
            "If not: revoke the role's sessions (AWSRevokeOlderSessions) and sign the user out in Cognito",
            "If so: is the policy missing a permission, or the request a mistake?",
        ],
        D::CrossDepartment => vec![
            "A call that succeeded: find the statement that IAM allowed it by, and correct it, the policy files here or [departments]",
            "Stale or unknown: give geophone the documents that are attached to the role now (geophone check)",
            "Ask the person what the call was for",
        ],
        D::FirstSeen => vec![
            "Ask the person whether they are travelling, or have a new machine or program",
            "Several new things in one call, and nobody else's: treat the session as stolen until it is explained",
        ],
        D::InvocationSpike => vec![
            "Ask the person whether a program of theirs is running",
            "If not: revoke the role's sessions and sign the user out in Cognito",
            "Look at the models and the source address of these calls",
        ],
        D::Offboarded => vec![
            "Revoke the role's older sessions (AWSRevokeOlderSessions): disabling the user does not end them",
            "Ask the manager whether the person, or a program of theirs, is still at work",
            "Look at what was called since the removal",
        ],
        D::Perimeter => vec![
            "Find out from where the call came: a program outside the network, or a stolen credential",
            "Close the way with aws:SourceVpce, aws:RequestedRegion or aws:SecureTransport conditions in the role's policy",
        ],
        D::SessionTheft => vec![
            "Revoke the role's older sessions (AWSRevokeOlderSessions) at once; the thief's keys last until they expire",
            "Ask the person, or the owner of the instance, which of the two places is theirs",
            "On an instance: require metadata version 2 (IMDSv2) and look for server-side request forgery",
        ],
        D::TokenSpend => vec![
            "Look at which model and how long the prompts are: a change of model, a loop, or somebody else's work",
            "Ask the person whether a program of theirs is running",
            "If not: revoke the role's sessions and sign the user out in Cognito; a budget action can cap what it costs meanwhile",
        ],
        D::Unattributed => vec![
            "Find who holds the credential; deactivate the key if nobody does",
            "Undo changes of model access, logging or guardrails that nobody owns",
        ],
    };
    steps.into_iter().map(str::to_owned).collect()
}

/// Drops what could change how a line looks, and cuts it: control characters (line breaks become blanks),
/// bidirectional marks and invisible joiners.
pub fn clean(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() => None,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => {
            None
        }
        '\u{e0000}'..='\u{e007f}' | '\u{fffe}' | '\u{ffff}' => None,
        c => Some(c),
    };
    let cleaned: String = cut(text, FOREIGN_BYTES_MAX * 4).chars().filter_map(visible).collect();
    if cleaned.len() > FOREIGN_BYTES_MAX * 2 { format!("{}…", cut(&cleaned, FOREIGN_BYTES_MAX * 2)) } else { cleaned }
}

/// The entity of a character that begins markup, in HTML as in chat; empty for any other.
pub fn markup_entity(c: char) -> &'static str {
    match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => "",
    }
}

/// [`clean`], and escaped for chat markdown.
fn chat(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in clean(text).chars() {
        match c {
            '&' | '<' | '>' => out.push_str(markup_entity(c)),
            // Emphasis, code and links of somebody else's making.
            '*' | '`' | '~' => out.push('\''),
            '[' => out.push('('),
            ']' => out.push(')'),
            '@' => out.push_str("@\u{2060}"),
            c => out.push(c),
        }
    }
    out
}
