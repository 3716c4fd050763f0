//! The enriched log: every settled model call as a line of JSON, by department and day. No files, no network: what is to be
//! written is returned.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

use crate::bedrock::{Outcome, Tokens};
use crate::identity::{Attribution, Department};
use crate::observation::Call;

/// Bytes of lines that a batch holds before it wants to be written.
const BYTES_MAX: usize = 64 << 20;
/// The same for departments × days: each is an object.
const PARTS_MAX: usize = 1_000;

/// How a call ended, as auditors ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It was let through.
    Allowed,
    /// It was refused.
    Denied,
    /// Any other error: throttled, invalid, of a model that is gone.
    Error,
}

impl Ending {
    /// How a call ended.
    pub const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Allowed,
            Outcome::Denied(_) => Self::Denied,
            Outcome::Throttled | Outcome::Failed => Self::Error,
        }
    }

    /// The ending as lines write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// A call as a line: the columns of `deploy/athena/enriched_table.sql`. What the record does not say is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line<'a> {
    /// When it was made.
    pub time: String,
    /// CloudTrail's id.
    pub event_id: Option<String>,
    /// The department.
    pub department: Option<&'a str>,
    /// Where that is known from.
    pub department_source: Option<&'static str>,
    /// The clearance.
    pub clearance: Option<&'a str>,
    /// The person.
    pub person: Option<&'a str>,
    /// The model's canonical id.
    pub model: Option<&'a str>,
    /// The model's family.
    pub family: Option<&'a str>,
    /// `eventName`.
    pub operation: &'a str,
    /// How it ended.
    pub outcome: Ending,
    /// `errorCode`.
    pub error_code: Option<&'a str>,
    /// `awsRegion`.
    pub region: &'a str,
    /// The account.
    pub account: &'a str,
    /// `sourceIPAddress`.
    pub source_ip: &'a str,
    /// The access key.
    pub access_key_id: Option<&'a str>,
    /// Tokens in, where they are known by the time the call is settled.
    pub input_tokens: Option<u64>,
    /// Tokens out; the same holds.
    pub output_tokens: Option<u64>,
}

impl<'a> Line<'a> {
    /// A call's line.
    pub fn of(call: &'a Call, who: &'a Attribution, tokens: Option<&Tokens>) -> Self {
        let (invocation, caller) = (&call.invocation, &call.caller);
        let said = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let (department, department_source) = match &who.department {
            Department::Known { name, source } => (said(name), Some(source.label())),
            Department::Unknown(_) => (None, None),
        };
        Self {
            time: invocation.time.to_string(),
            event_id: invocation.event_id.as_ref().map(ToString::to_string),
            department,
            department_source,
            clearance: who.session.tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case("clearance")).map(|(_, value)| &**value),
            person: who.person.as_deref(),
            model: invocation.model.as_ref().map(|model| &*model.id),
            family: invocation.model.as_ref().map(|model| &*model.family),
            operation: &invocation.name,
            outcome: Ending::of(&invocation.outcome),
            error_code: said(&invocation.error_code),
            region: &invocation.region,
            account: &invocation.account,
            source_ip: &invocation.source_ip,
            access_key_id: said(&caller.access_key_id),
            input_tokens: tokens.map(|tokens| tokens.input),
            output_tokens: tokens.map(|tokens| tokens.output),
        }
    }
}

/// Lines that are not written yet, by folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    parts: BTreeMap<String, String>,
    /// How many lines there are.
    pub lines: u64,
    bytes: usize,
}

/// What is to be written as one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `dept=legal/date=2026-06-02`
    pub folder: String,
    /// Lines of JSON, gzip.
    pub bytes: Vec<u8>,
}

impl Batch {
    /// Adds a call.
    pub fn push(&mut self, call: &Call, who: &Attribution, tokens: Option<&Tokens>) {
        let line = Line::of(call, who, tokens);
        let folder = format!("dept={}/date={}", department_folder(line.department), &line.time[..10]);
        // Texts and numbers: nothing that JSON cannot say.
        let text = serde_json::to_string(&line).unwrap_or_default();
        self.bytes += text.len() + 1;
        self.lines += 1;
        let part = self.parts.entry(folder).or_default();
        part.push_str(&text);
        part.push('\n');
    }

    /// Adds what is in another batch.
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        for (folder, text) in other.parts {
            self.parts.entry(folder).or_default().push_str(&text);
        }
    }

    /// Whether it should be written before more is added.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.parts.len() >= PARTS_MAX
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The folders that have lines, in order.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// The lines by folder, compressed. The same lines give the same bytes.
    pub fn parts(&self) -> Vec<Part> {
        let compressed = |text: &String| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(text.len() / 8), flate2::Compression::new(6));
            // Memory takes everything.
            let _ = encoder.write_all(text.as_bytes());
            encoder.finish().unwrap_or_default()
        };
        self.parts.iter().map(|(folder, text)| Part { folder: folder.clone(), bytes: compressed(text) }).collect()
    }
}

/// A department as a folder's name: whatever a tag says, it stays one folder. Calls of no known department lie under
/// `unknown`, which no department can be called.
fn department_folder(department: Option<&str>) -> String {
    let Some(name) = department else { return "unknown".to_owned() };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b' ' | b'@' | b'+');
    let mut folder = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let is_taken = place == 0 && (byte == b'.' || name == "unknown");
        if is_plain(byte) && !is_taken {
            folder.push(char::from(byte));
        } else {
            let _ = write!(folder, "%{byte:02X}");
        }
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_department_is_one_folder_whatever_it_is_called() {
        for (name, folder) in [
            (None, "unknown"),
            (Some("legal"), "legal"),
            (Some("unknown"), "%75nknown"),
            (Some("../../etc"), "%2E.%2F..%2Fetc"),
            (Some("a/b=c"), "a%2Fb%3Dc"),
            (Some("Recht & Ordnung"), "Recht %26 Ordnung"),
            (Some("é"), "%C3%A9"),
        ] {
            assert_eq!(department_folder(name), folder);
        }
    }
}
