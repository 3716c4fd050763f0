//! What leaves through SNS: an alert as text for people, or in the schema of Amazon Q Developer in chat applications.
//!
//! Session names, user agents, model ids and error messages are an attacker's to choose. Everything that is not ours is
//! cleaned: control and bidirectional characters are dropped, lengths are cut, and in chat `& < >` are escaped and code
//! spans cannot be closed.

mod chatbot;
mod explain;
mod ocsf;
mod steps;
mod text;

use super::paging::{Digest, Page};
use super::record::{Alert, Status};
use crate::cloudtrail::lenient::cut;

pub use explain::told;
pub use steps::next_steps;
pub use text::rows as facts;

/// SNS's limit for a message with its attributes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// SNS's limit for a subject: fewer than 100 characters.
pub const SUBJECT_BYTES_MAX: usize = 99;
/// Left free for attributes.
const ATTRIBUTE_BYTES: usize = 4 * 1024;
/// Longest text of somebody else's that is shown, in bytes.
const FOREIGN_BYTES_MAX: usize = 600;

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
    /// A Detection Finding of OCSF 1.6.0, for SIEMs.
    Ocsf,
}

impl Form {
    /// The form that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "chatbot" => Some(Self::Chatbot),
            "ndjson" => Some(Self::Ndjson),
            "ocsf" => Some(Self::Ocsf),
            _ => None,
        }
    }

    /// Whether people read it: then silences and the hourly budget hold.
    pub const fn wakes_people(self) -> bool {
        matches!(self, Self::Text | Self::Chatbot)
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

/// Where people read on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The on-call page, without a slash at its end.
    pub page: Option<String>,
    /// The folder of the runbooks, without a slash at its end.
    pub runbooks: Option<String>,
}

impl Links {
    /// An incident on the page.
    pub fn incident(&self, alert: &Alert) -> Option<String> {
        self.page.as_ref().map(|page| format!("{page}/incidents/{}", alert.incident_id))
    }

    /// A detector's runbook.
    pub fn runbook(&self, alert: &Alert) -> Option<String> {
        self.runbooks.as_ref().map(|folder| format!("{folder}/{}.md", alert.detector.label()))
    }
}

/// `page` in `form`.
pub fn render_page(page: &Page, form: Form, links: &Links) -> Message {
    match page {
        Page::Alert(alert) | Page::Record(alert) => render(alert, form, links),
        Page::Digest(digest) => render_digest(digest, form, links),
    }
}

/// `alert` in `form`.
pub fn render(alert: &Alert, form: Form, links: &Links) -> Message {
    let body = match form {
        Form::Text => text::alert(alert, links),
        Form::Chatbot => chatbot::alert(alert, links),
        Form::Ndjson => alert.to_ndjson(),
        Form::Ocsf => ocsf::alert(alert, links),
    };
    let status = match alert.status {
        Status::Opened => "",
        Status::Updated => "update: ",
        Status::Resolved => "resolved: ",
    };
    let subject = subject(&format!("[{}] {status}{}", alert.severity.label().to_ascii_uppercase(), clean(&alert.title)));
    Message { subject, body: within_limit(body, form), attributes: attributes(alert) }
}

/// `digest` in `form`.
pub fn render_digest(digest: &Digest, form: Form, links: &Links) -> Message {
    let body = match form {
        Form::Text => text::digest(digest, links),
        Form::Chatbot => chatbot::digest(digest, links),
        // Programs are sent the alerts themselves.
        Form::Ndjson | Form::Ocsf => digest.to_ndjson(),
    };
    let subject = subject(&format!("[{}] {}", digest.severity.label().to_ascii_uppercase(), digest.title()));
    let attributes = vec![
        ("severity", digest.severity.label().to_owned()),
        ("detector", "digest".to_owned()),
        ("department", "unknown".to_owned()),
        ("account", "unknown".to_owned()),
        ("region", "unknown".to_owned()),
        ("status", Status::Opened.label().to_owned()),
    ];
    Message { subject, body: within_limit(body, form), attributes }
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

/// A line as SNS takes it: ASCII, and short.
fn subject(line: &str) -> String {
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
