//! A Bedrock call, owned: what an event says about the call itself, without who made it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::denial::Outcome;
use super::model_id::Model;
use super::operation::Operation;
use super::user_agent::UserAgent;
use crate::cloudtrail::lenient::{Count, Pairs, cut};
use crate::time::EventTime;

/// CloudTrail's `eventID`. A UUID in every real record; anything else is kept as text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventId {
    /// A UUID's 128 bits.
    Uuid(u128),
    /// Any other text, cut to 64 bytes.
    Text(Arc<str>),
}

const EVENT_ID_BYTES_MAX: usize = 64;

impl EventId {
    /// The id that `text` writes; `None` where there is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        Some(parse_uuid(text).map_or_else(|| Self::Text(cut(text, EVENT_ID_BYTES_MAX).into()), Self::Uuid))
    }
}

/// Only the exact lower-case form is taken, so that writing the id gives the text that was read.
fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (position, byte) in bytes.iter().enumerate() {
        match (position, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => value = value << 4 | u128::from(byte - b'0'),
            (_, b'a'..=b'f') => value = value << 4 | u128::from(byte - b'a' + 10),
            _ => return None,
        }
    }
    Some(value)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(v) => {
                write!(
                    f,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    v >> 96,
                    v >> 80 & 0xffff,
                    v >> 64 & 0xffff,
                    v >> 48 & 0xffff,
                    v & 0xffff_ffff_ffff
                )
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where an event's time comes from. Only an event's own time is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeSource {
    /// `eventTime`.
    Event,
    /// The envelope around it.
    Envelope,
    /// When the record arrived.
    Arrival,
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Prompt tokens that were read from the cache.
    pub cache_read: u64,
    /// Prompt tokens that were written to it.
    pub cache_write: u64,
}

impl Tokens {
    /// All tokens.
    pub fn total(&self) -> u64 {
        [self.output, self.cache_read, self.cache_write].into_iter().fold(self.input, u64::saturating_add)
    }

    /// Tokens as the call's own record has them; `None` where it has none.
    pub fn of_counts(input: Count, output: Count, cache_read: Count, cache_write: Count) -> Option<Self> {
        if input.0.is_none() && output.0.is_none() {
            return None;
        }
        let [input, output, cache_read, cache_write] = [input, output, cache_read, cache_write].map(|count| count.0.unwrap_or(0));
        Some(Self { input, output, cache_read, cache_write })
    }

    /// Tokens as a companion record lists them.
    pub fn of_entries(entries: &Pairs<'_>) -> Option<Self> {
        let count = |name: &str| entries.0.iter().find(|(key, _)| key.as_str() == name).and_then(|(_, value)| value.as_str().parse().ok());
        let (input, output) = (count("inputTokens"), count("outputTokens"));
        if input.is_none() && output.is_none() {
            return None;
        }
        Some(Self {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cache_read: count("cacheReadInputTokens").unwrap_or(0),
            cache_write: count("cacheWriteInputTokens").unwrap_or(0),
        })
    }
}

/// One Bedrock call. Strings that callers choose are cut; nothing else is changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invocation {
    /// CloudTrail's id of the event, where it has one.
    pub event_id: Option<EventId>,
    /// Hash of `requestID`, which a companion record refers to; 0 where there is none.
    pub request: u64,
    /// Completion time of the call.
    pub time: EventTime,
    /// Where `time` comes from.
    pub time_source: TimeSource,
    /// `eventName`.
    pub name: Arc<str>,
    /// What the name means.
    pub operation: Operation,
    /// The model, where the record names one.
    pub model: Option<Arc<Model>>,
    /// Whether the model is what the caller asked for; else it was read from `resources` or from the error message.
    pub is_model_asked: bool,
    /// The resource that is not a model: knowledge base, agent alias, flow, guardrail, prompt, project.
    pub resource: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
    /// `errorCode`; empty where there is none.
    pub error_code: Arc<str>,
    /// Tokens, where the record itself has them.
    pub tokens: Option<Tokens>,
    /// The account whose trail received the event.
    pub account: Arc<str>,
    /// `awsRegion`: where the call was made, not where the inference ran.
    pub region: Arc<str>,
    /// `sourceIPAddress`: an address, a service's name or `AWS Internal`.
    pub source_ip: Arc<str>,
    /// `userAgent`.
    pub user_agent: Arc<UserAgent>,
    /// The VPC endpoint that the call came through.
    pub vpc_endpoint: Option<Arc<str>>,
    /// TLS version, as `TLSv1.3`.
    pub tls: Option<Arc<str>>,
    /// Whether a Bedrock API key (bearer token) made the call.
    pub with_bearer_token: bool,
}

impl Invocation {
    /// Whether the call counts towards rates: an invocation that was not refused.
    pub fn counts(&self) -> bool {
        self.operation.is_invocation && self.outcome.denial().is_none()
    }

    /// Name and model for a sentence: `Converse on anthropic.claude-…`, or the name alone.
    pub fn spoken(&self) -> String {
        self.model.as_ref().map_or_else(|| self.name.to_string(), |model| format!("{} on {}", self.name, model.id))
    }

    /// The model's canonical id, or what stands in its place in a sentence.
    pub fn model_name(&self) -> &str {
        self.model.as_ref().map_or("no model named", |model| &model.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_they_were_read() {
        for text in
            ["51d580ea-04f5-421c-b733-b5e4ec485a6e", "51D580EA-04f5-421c-b733-b5e4ec485a6e", "ev-1", "00000000-0000-0000-0000-000000000001"]
        {
            assert_eq!(EventId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        }
        assert!(matches!(EventId::parse("51d580ea-04f5-421c-b733-b5e4ec485a6e"), Some(EventId::Uuid(_))));
        assert_eq!(EventId::parse(""), None);
    }

    #[test]
    fn companions_list_tokens_in_two_forms() {
        for json in
            [r#"{"inputTokens":123,"outputTokens":45}"#, r#"[{"key":"inputTokens","value":"123"},{"key":"outputTokens","value":45}]"#]
        {
            let entries = serde_json::from_str(json).expect("json");
            assert_eq!(Tokens::of_entries(&entries), Some(Tokens { input: 123, output: 45, ..Tokens::default() }));
        }
        assert_eq!(Tokens::of_entries(&Pairs::default()), None);
    }
}
