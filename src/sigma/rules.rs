//! A set of rules, and what it says about an event.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rsigma_eval::compiler::eval_condition;
use rsigma_eval::event::{EventValue, JsonEvent};
use rsigma_eval::{CompiledRule, Event};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::event::{Facts, Kept, SigmaEvent};
use super::index::RuleIndex;
use super::sieve::Answer;
use crate::hashed::Seeded;
use crate::severity::Severity;

/// What people need to know of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id, a UUID.
    pub id: Arc<str>,
    /// The name by which correlations and configuration call it; the id where it has none.
    pub name: Arc<str>,
    /// A few words.
    pub title: String,
    /// What it means.
    pub description: String,
    /// How much it matters.
    pub severity: Severity,
    /// ATT&CK and ATLAS techniques.
    pub techniques: Vec<String>,
    /// Where to read on.
    pub references: Vec<String>,
    /// What to do at three in the morning.
    pub triage: Vec<String>,
    /// What else may raise it.
    pub false_positives: Vec<String>,
    /// The file that it is in.
    pub file: String,
}

/// What happens where a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is told.
    Alert,
    /// It only feeds correlations.
    Feed,
    /// Both.
    AlertAndFeed,
}

impl Action {
    /// Whether it is told.
    pub const fn alerts(self) -> bool {
        matches!(self, Self::Alert | Self::AlertAndFeed)
    }
}

/// A rule about one event.
#[derive(Debug)]
pub struct Single {
    /// What people need to know.
    pub rule: Arc<Rule>,
    pub(super) compiled: CompiledRule,
    /// What happens where it matches.
    pub action: Action,
    /// Fields of the record that correlations and late questions need.
    pub(super) keeps: Vec<String>,
    /// Whether its detection asks for fields of geophone: then it is answered when it is known whose call it was.
    pub asks_own: bool,
    /// Another step of correlations that asks the same and is asked in its place.
    pub(super) twin: Option<u32>,
}

/// A kind of correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CorrelationKind {
    /// So many events.
    EventCount,
    /// So many different values of a field.
    ValueCount,
    /// All rules, in any order.
    Temporal,
    /// All rules, in their order.
    TemporalOrdered,
    /// The first rule and not the second after it. An extension of ours.
    Absence,
}

/// A correlation of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// What people need to know.
    pub rule: Arc<Rule>,
    /// The kind.
    pub kind: CorrelationKind,
    /// The rules, by their place in the set, in the order in which they are written.
    pub rules: Vec<u32>,
    /// For each of these rules the fields by which events are grouped.
    pub group_by: Vec<Vec<String>>,
    /// The field whose values are counted.
    pub field: Option<String>,
    /// Length of the window in seconds.
    pub timespan: i64,
    /// From how many on.
    pub at_least: u64,
    /// And to how many.
    pub at_most: u64,
    /// Whether events are grouped, or counted, by a field of geophone: then it waits until it is known whose call it was.
    pub asks_own: bool,
}

/// That a rule matches an event, or may match it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleMatch {
    /// The rule's id: numbers change when rules are loaded anew.
    pub rule: Arc<str>,
    /// Fields of the record that are needed later.
    #[serde(with = "as_text")]
    pub fields: Map<String, Value>,
    /// Whether it is not certain yet: the rule asks for fields of geophone.
    pub is_open: bool,
}

/// Fields as the text of their JSON. A snapshot does not say of what type a value is, so a [`Value`] is written to it and
/// cannot be read again.
mod as_text {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::{Map, Value};

    pub fn serialize<S: Serializer>(fields: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
        // Most matches keep nothing.
        let text = if fields.is_empty() { String::new() } else { serde_json::to_string(fields).map_err(S::Error::custom)? };
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if text.is_empty() { Ok(Map::new()) } else { serde_json::from_str(&text).map_err(D::Error::custom) }
    }
}

/// All rules.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(super) singles: Vec<Single>,
    pub(super) correlations: Vec<Correlation>,
    pub(super) index: RuleIndex,
    pub(super) by_id: HashMap<Arc<str>, u32, Seeded>,
    /// For each rule the correlations that it feeds, and its place in them.
    pub(super) feeds: Vec<Vec<(u32, u32)>>,
}

impl RuleSet {
    /// Rules about single events, in the order of the files.
    pub fn singles(&self) -> &[Single] {
        &self.singles
    }

    /// Correlations, in the order of the files.
    pub fn correlations(&self) -> &[Correlation] {
        &self.correlations
    }

    /// Whether there are no rules.
    pub const fn is_empty(&self) -> bool {
        self.singles.is_empty()
    }

    /// Every rule that can raise an alert.
    pub fn alerting(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let singles = self.singles.iter().filter(|single| single.action.alerts()).map(|single| &single.rule);
        singles.chain(self.correlations.iter().map(|correlation| &correlation.rule))
    }

    /// How many files they came from.
    pub fn files(&self) -> usize {
        let singles = self.singles.iter().map(|single| &single.rule);
        let all = singles.chain(self.correlations.iter().map(|correlation| &correlation.rule));
        all.map(|rule| &rule.file).collect::<HashSet<_>>().len()
    }

    /// The rule of this id about single events, and its number.
    pub fn single(&self, id: &str) -> Option<(u32, &Single)> {
        let number = *self.by_id.get(id)?;
        self.singles.get(number as usize).map(|single| (number, single))
    }

    /// The correlations that a rule feeds, and its place in them.
    pub fn feeds(&self, number: u32) -> &[(u32, u32)] {
        self.feeds.get(number as usize).map_or(&[], Vec::as_slice)
    }

    /// Rules that match an event, or may match it once it is known whose it is.
    pub fn matches(&self, event: &SigmaEvent<'_>) -> Vec<RuleMatch> {
        let mut found = Vec::new();
        if self.is_empty() {
            return found;
        }
        self.index.candidates(event.typed(), |number, answer| {
            let single = &self.singles[number as usize];
            if single.asks_own || answer == Answer::Yes || is_match(&single.compiled, event) {
                found.push(RuleMatch { rule: Arc::clone(&single.rule.id), fields: kept(event, &single.keeps), is_open: single.asks_own });
            }
        });
        found
    }

    /// The same by a plain scan of all rules over the plain JSON: what index, sieve and typed fields are held to in tests.
    pub fn matches_by_full_scan(&self, event: &Value) -> Vec<Arc<str>> {
        let event = JsonEvent::borrow(event);
        let matching = self.singles.iter().filter(|single| is_match(&single.compiled, &event));
        let mut ids: Vec<Arc<str>> = matching
            .map(|single| single.twin.and_then(|twin| self.singles.get(twin as usize)).unwrap_or(single))
            .map(|single| Arc::clone(&single.rule.id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether a match that was open holds, now that it is known whose call it was.
    pub fn holds(&self, found: &RuleMatch, facts: &impl Facts) -> bool {
        let Some((_, single)) = self.single(&found.rule) else { return false };
        !found.is_open || is_match(&single.compiled, &Kept { fields: &found.fields, facts })
    }
}

/// Whether any of a rule's conditions holds. (`evaluate_rule` says so, too, and copies the rule's title and tags each time.)
fn is_match(rule: &CompiledRule, event: &impl Event) -> bool {
    let mut selections = Vec::new();
    rule.conditions.iter().any(|condition| eval_condition(condition, &rule.detections, event, &mut selections))
}

/// The fields that are needed later, as they are in the record.
fn kept(event: &SigmaEvent<'_>, paths: &[String]) -> Map<String, Value> {
    let mut fields = Map::new();
    for path in paths {
        match event.get_field(path) {
            // What is long is no key of a group, and must not fill a snapshot.
            Some(EventValue::Str(text)) => {
                fields.insert(path.clone(), Value::String(crate::cloudtrail::lenient::cut(&text, FIELD_BYTES_MAX).to_owned()));
            }
            Some(EventValue::Map(_)) | None => {}
            Some(other) => {
                fields.insert(path.clone(), other.to_json());
            }
        }
    }
    fields
}

/// Longest text that is kept of a field.
const FIELD_BYTES_MAX: usize = 2_048;

/// Appends the text of a kept field, or of one that is known besides; `false` where it is absent, null or empty.
pub(super) fn write_text(fields: &Map<String, Value>, facts: &impl Facts, path: &str, out: &mut String) -> bool {
    let Some(value) = fields.get(path) else { return facts.write(path, out) };
    let before = out.len();
    let first = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    for value in first {
        match value {
            Value::String(text) => out.push_str(text),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
        if out.len() > before {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_match_is_kept_in_snapshots_with_its_fields() {
        for fields in [json!({}), json!({"a.b": "x", "c": 1, "d": [true, null, 0.5, {"e": -1}], "é": "\u{0}"})] {
            let Value::Object(fields) = fields else { continue };
            let found = RuleMatch { rule: "r".into(), fields, is_open: true };
            let bytes = postcard::to_allocvec(&found).expect("written");
            assert_eq!(postcard::from_bytes::<RuleMatch>(&bytes), Ok(found));
        }
    }
}
