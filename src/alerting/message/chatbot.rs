//! Amazon Q Developer's custom notification, version 1.0.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::super::paging::Digest;
use super::super::{Alert, Status};
use super::steps::next_steps;
use super::text::{digest_lines, rows};
use super::{Links, clean, markup_entity};
use crate::finding::Digest128;

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
    additional_context: BTreeMap<&'static str, String>,
}

pub(super) fn alert(alert: &Alert, links: &Links) -> String {
    let mut description = format!("{}\n", chat(&alert.explanation));
    for (name, value) in rows(alert) {
        let _ = write!(description, "\n*{name}*: {}", chat(&value));
    }
    let status = if alert.status == Status::Opened { String::new() } else { format!("{} ", alert.status.label()) };
    let content = Content {
        text_type: "client-markdown",
        title: format!("{} [{}] {}", status.trim_end(), alert.severity.label(), chat(&alert.title)).trim_start().to_owned(),
        description,
        next_steps: next_steps(alert).iter().map(|step| chat(step)).chain(further(alert, links)).collect(),
        keywords: vec![alert.detector.label().to_owned(), alert.severity.label().to_owned(), chat(alert.department())],
    };
    let metadata = Metadata {
        thread_id: alert.incident_id.to_string(),
        summary: chat(&alert.title),
        event_type: alert.detector.label(),
        related_resources: [&alert.who.issuer, &alert.who.arn].into_iter().filter(|arn| !arn.is_empty()).map(|arn| chat(arn)).collect(),
        additional_context: [("severity", alert.severity.label().to_owned()), ("status", alert.status.label().to_owned())].into(),
    };
    notification(alert.alert_id, content, metadata)
}

fn notification(id: Digest128, content: Content, metadata: Metadata<'_>) -> String {
    let notification = Notification { version: "1.0", source: "custom", id: id.to_string(), content, metadata };
    // Maps with text keys: this cannot fail.
    serde_json::to_string(&notification).unwrap_or_default()
}

/// Links, which chat shows as they are.
fn further(alert: &Alert, links: &Links) -> Vec<String> {
    let page = links.incident(alert).map(|url| format!("The incident: {url}"));
    page.into_iter().chain(links.runbook(alert).map(|url| format!("The runbook: {url}"))).collect()
}

/// What an hour's budget left over.
pub(super) fn digest(digest: &Digest, links: &Links) -> String {
    let mut description = String::new();
    for line in digest_lines(digest) {
        let _ = writeln!(description, "{}", chat(&line));
    }
    let content = Content {
        text_type: "client-markdown",
        title: format!("[{}] {}", digest.severity.label(), digest.title()),
        description,
        next_steps: links.page.iter().map(|page| format!("All open alerts: {page}/")).collect(),
        keywords: vec!["digest".to_owned(), digest.severity.label().to_owned()],
    };
    let metadata = Metadata {
        thread_id: digest.id.to_string(),
        summary: digest.title(),
        event_type: "digest",
        related_resources: Vec::new(),
        additional_context: [("severity", digest.severity.label().to_owned())].into(),
    };
    notification(digest.id, content, metadata)
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
