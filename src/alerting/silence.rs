//! Silences: whom not to page about, for how long, and why.

use serde::{Deserialize, Serialize};

use super::Alert;
use crate::finding::Digest128;
use crate::glob;
use crate::time::{DAY, EventTime};

/// Longest silence: what is longer belongs into the configuration, as a mode of the detector.
pub const SILENCE_MAX: i64 = 30 * DAY;
/// Longest text of a silence, in bytes.
pub const TEXT_BYTES_MAX: usize = 300;

/// What a silence is about. Every part that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// A detector, or the id or name of a rule.
    pub detector: Option<String>,
    /// A pattern of the actor: the person, the ARN or the name; `*` and `?` as in IAM.
    pub actor: Option<String>,
    /// A department.
    pub department: Option<String>,
    /// A pattern of the model's id.
    pub model: Option<String>,
}

/// A silence. It always ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Made of everything else: the same silence has the same id.
    pub id: Digest128,
    /// What it is about.
    pub scope: Scope,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub from: EventTime,
    /// When it ends.
    pub until: EventTime,
    /// Whether it is in the configuration: then it is only there to be lifted.
    pub is_configured: bool,
}

/// Why a silence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// It would be about everything.
    #[error("it names nothing; give a detector, an actor, a department or a model")]
    Everything,
    /// Nobody answers for it.
    #[error("it has no author; write who asks for it")]
    NoAuthor,
    /// Nobody will know why.
    #[error("it has no reason; write why")]
    NoReason,
    /// It is over, or ends before it begins.
    #[error("it ends before it begins; write a time to come")]
    Over,
    /// It does not end soon enough.
    #[error("it is longer than 30 days; set the detector's mode to \"report\" instead")]
    TooLong,
    /// A text is too long.
    #[error("a text is longer than 300 bytes; shorten it")]
    LongText,
    /// There are too many.
    #[error("there are a thousand silences; lift one first")]
    TooMany,
}

impl Scope {
    /// Whether an alert is meant.
    pub fn fits(&self, alert: &Alert) -> bool {
        let rule = alert.rule.as_ref();
        let is_detector =
            |wanted: &String| *wanted == alert.detector.label() || rule.is_some_and(|rule| *wanted == *rule.id || *wanted == *rule.name);
        let is_actor = |pattern: &String| {
            let names = [Some(&alert.who.actor.name), alert.who.person.as_ref(), Some(&alert.who.arn)];
            names.into_iter().flatten().any(|name| !name.is_empty() && glob::matches(pattern, name))
        };
        let is_model = |pattern: &String| alert.model.as_ref().is_some_and(|model| glob::matches(pattern, &model.id));
        self.detector.as_ref().is_none_or(is_detector)
            && self.actor.as_ref().is_none_or(is_actor)
            && self.department.as_ref().is_none_or(|department| *department == alert.department())
            && self.model.as_ref().is_none_or(is_model)
    }

    /// The scope in words: `access-denied of arn:…, department legal`.
    pub fn spoken(&self) -> String {
        let names = ["detector", "actor", "department", "model"];
        let parts = names.into_iter().zip(self.texts()).filter_map(|(name, text)| text.as_ref().map(|text| format!("{name} {text}")));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn texts(&self) -> [&Option<String>; 4] {
        [&self.detector, &self.actor, &self.department, &self.model]
    }
}

impl Silence {
    /// A silence, checked.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn new(scope: Scope, author: &str, reason: &str, from: EventTime, until: EventTime) -> Result<Self, SilenceError> {
        let (author, reason) = (author.trim(), reason.trim());
        let texts: Vec<&str> = scope.texts().into_iter().flatten().map(String::as_str).chain([author, reason]).collect();
        let is_everything = scope.texts().into_iter().flatten().all(|text| text.chars().all(|c| c == '*'));
        match () {
            () if is_everything => return Err(SilenceError::Everything),
            () if author.is_empty() => return Err(SilenceError::NoAuthor),
            () if reason.is_empty() => return Err(SilenceError::NoReason),
            () if until <= from => return Err(SilenceError::Over),
            () if until.since(from) > SILENCE_MAX => return Err(SilenceError::TooLong),
            () if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) => return Err(SilenceError::LongText),
            () => {}
        }
        let parts: Vec<&str> = scope.texts().into_iter().map(|text| text.as_deref().unwrap_or_default()).collect();
        let times = [from.unix().to_le_bytes(), until.unix().to_le_bytes()].concat();
        let mut all: Vec<&[u8]> = vec![b"silence", &times, author.as_bytes(), reason.as_bytes()];
        all.extend(parts.iter().map(|part| part.as_bytes()));
        let id = Digest128::of(&all);
        Ok(Self { id, author: author.to_owned(), reason: reason.to_owned(), from, until, scope, is_configured: false })
    }

    /// Whether it keeps an alert from being paged at `now`.
    pub fn holds(&self, alert: &Alert, now: EventTime) -> bool {
        (self.from..self.until).contains(&now) && self.scope.fits(alert)
    }
}
