//! YAML into rules. Every mistake of every file at once, each with file, line and cure.

mod correlation;
mod lint;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use rsigma_eval::compile_rule;
use rsigma_parser::{CorrelationRule, Level, SigmaRule, parse_sigma_yaml};

use super::event::{ON_CALL, OWN};
use super::index::{RuleIndex, needed};
use super::rules::{Action, Rule, RuleSet, Single};
use crate::severity::Severity;
use correlation::correlation_of;
use lint::{check_metadata, check_rule, fields_of};

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, as mistakes and alerts show it.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A mistake in a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMistake {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
    /// Whether it is a field that no record has.
    pub is_unknown_field: bool,
}

impl RuleMistake {
    fn new(file: &str, line: usize, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), cure: cure.into(), is_unknown_field: false }
    }
}

impl fmt::Display for RuleMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.cure)
    }
}

/// Largest file, most documents of all files, deepest nesting, longest list of values.
const FILE_BYTES_MAX: usize = 1 << 20;
const RULES_MAX: usize = 20_000;
/// Longest window: a week and its history must fit in memory.
const TIMESPAN_MAX: u64 = 30 * 86_400;
/// Most rules, and fields to group by, of one correlation.
const PARTS_MAX: usize = 32;
/// Names of an event's own keys, of every record version.
const TOP_LEVEL: [&str; 33] = [
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "eventType",
    "apiVersion",
    "managementEvent",
    "readOnly",
    "resources",
    "recipientAccountId",
    "serviceEventDetails",
    "sharedEventID",
    "vpcEndpointId",
    "vpcEndpointAccountId",
    "eventCategory",
    "addendum",
    "sessionCredentialFromConsole",
    "edgeDeviceDetails",
    "tlsDetails",
    "insightDetails",
    "eventContext",
    "geophone",
];

/// A document with its place.
struct Document<'a> {
    source: &'a Source,
    line: usize,
    text: &'a str,
}

impl Document<'_> {
    /// The line of the first place where `word` stands, else the document's first.
    fn line_of(&self, word: &str) -> usize {
        let place = if word.is_empty() { None } else { self.text.find(word) };
        self.line + place.map_or(0, |place| self.text[..place].matches('\n').count())
    }

    fn mistake(&self, word: &str, what: impl Into<String>, cure: impl Into<String>) -> RuleMistake {
        RuleMistake::new(&self.source.file, self.line_of(word), what, cure)
    }
}

/// What is read of all files before references are resolved.
#[derive(Default)]
struct Read<'a> {
    rules: Vec<(Document<'a>, SigmaRule)>,
    correlations: Vec<(Document<'a>, CorrelationRule, bool)>,
}

/// What becomes of fields that no CloudTrail record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are mistakes: a rule that asks for one can never match.
    #[default]
    Refuse,
    /// They are never there, as for any other Sigma engine. For sets of somebody else's.
    Accept,
}

/// Reads all files.
///
/// # Errors
/// Every mistake; no set then.
pub fn load(sources: &[Source], unknown: UnknownFields) -> Result<RuleSet, Vec<RuleMistake>> {
    let (mut read, mut mistakes) = (Read::default(), Vec::new());
    for source in sources {
        read_file(source, &mut read, &mut mistakes);
    }
    if read.rules.len() + read.correlations.len() > RULES_MAX {
        let file = sources.last().map_or("", |source| &source.file);
        return Err(vec![RuleMistake::new(file, 1, format!("more than {RULES_MAX} rules"), "name fewer files")]);
    }
    let set = build(read, &mut mistakes);
    if unknown == UnknownFields::Accept {
        mistakes.retain(|mistake| !mistake.is_unknown_field);
    }
    if mistakes.is_empty() { Ok(set) } else { Err(mistakes) }
}

/// Documents of a file, parted by lines of `---`.
fn documents(source: &Source) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line, mut first) = (0, 1, 1);
    for (place, text) in source.text.split_inclusive('\n').scan(0, |at, text| {
        let place = *at;
        *at += text.len();
        Some((place, text))
    }) {
        if text.trim_end() == "---" {
            documents.push(Document { source, line: first, text: &source.text[start..place] });
            (start, first) = (place + text.len(), line + 1);
        }
        line += 1;
    }
    documents.push(Document { source, line: first, text: &source.text[start..] });
    documents.retain(|document| document.text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')));
    documents
}

fn read_file<'a>(source: &'a Source, read: &mut Read<'a>, mistakes: &mut Vec<RuleMistake>) {
    if source.text.len() > FILE_BYTES_MAX {
        let what = format!("{} bytes are more than {FILE_BYTES_MAX}", source.text.len());
        return mistakes.push(RuleMistake::new(&source.file, 1, what, "part the file"));
    }
    for document in documents(source) {
        // A list that repeats itself is how a small file becomes a large one; Sigma has no use for either.
        if let Some(line) = document.text.lines().find(|line| has_anchor(line)) {
            mistakes.push(document.mistake(line.trim(), "an anchor or alias of YAML", "write the value out"));
            continue;
        }
        let (text, is_absence) = without_absence(document.text);
        let parsed = match parse_sigma_yaml(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                mistakes.push(document.mistake("", one_line(&error.to_string()), "correct the YAML"));
                continue;
            }
        };
        for error in &parsed.errors {
            mistakes.push(document.mistake("", one_line(error), "correct the rule as the Sigma specification has it"));
        }
        if !parsed.filters.is_empty() {
            mistakes.push(document.mistake(
                "filter",
                "a Sigma filter, which is not supported",
                "put the exclusion into the rule's condition",
            ));
        }
        // One document is one rule or one correlation.
        if let Some(rule) = parsed.rules.into_iter().next() {
            read.rules.push((document, rule));
        } else if let Some(correlation) = parsed.correlations.into_iter().next() {
            read.correlations.push((document, correlation, is_absence));
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line of YAML defines an anchor or uses an alias: `key: &name`, `- *name`, `<<: *name`.
fn has_anchor(line: &str) -> bool {
    let mut rest = line.trim();
    while let Some(inner) = rest.strip_prefix("- ") {
        rest = inner.trim_start();
    }
    let is_marked = |text: &str| text.starts_with(['&', '*']) && text.len() > 1;
    // A value that begins so without quotes can be nothing else.
    is_marked(rest) || !rest.starts_with(['\'', '"']) && rest.split_once(": ").is_some_and(|(_, value)| is_marked(value.trim()))
}

/// The text with the extension `type: absence` as the standard's nearest kind, and whether it was there.
fn without_absence(text: &str) -> (String, bool) {
    let mut is_absence = false;
    let mut in_correlation = false;
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            in_correlation = if line.starts_with([' ', '\t']) { in_correlation } else { line.starts_with("correlation:") };
            if in_correlation && line.trim() == "type: absence" {
                is_absence = true;
                return line.replace("absence", "temporal_ordered");
            }
            line.to_owned()
        })
        .collect();
    (lines.join("\n"), is_absence)
}

fn build(read: Read<'_>, mistakes: &mut Vec<RuleMistake>) -> RuleSet {
    let mut set = RuleSet::default();
    // Ids, names and titles by which correlations may call a rule.
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut seen = HashSet::new();
    for (document, rule) in &read.rules {
        check_rule(document, rule, &mut seen, mistakes);
        let compiled = match compile_rule(rule) {
            Ok(compiled) => compiled,
            Err(error) => {
                mistakes.push(document.mistake("detection", one_line(&error.to_string()), "correct the detection"));
                continue;
            }
        };
        let number = set.singles.len() as u32;
        let info = info_of(document, Metadata::of_rule(rule));
        for name in [rule.id.as_ref(), rule.name.as_ref(), Some(&rule.title)].into_iter().flatten() {
            known.insert(name.clone(), number);
        }
        set.by_id.insert(Arc::clone(&info.id), number);
        let fields = fields_of(rule);
        let asks_own = fields.iter().any(|field| field.starts_with(OWN));
        let keeps = if asks_own { fields.into_iter().filter(|field| is_kept(field)).collect() } else { Vec::new() };
        set.singles.push(Single { rule: Arc::new(info), compiled, action: Action::Alert, keeps, asks_own, twin: None });
    }
    set.feeds = vec![Vec::new(); set.singles.len()];
    for (document, rule, is_absence) in &read.correlations {
        check_metadata(document, &Metadata::of_correlation(rule), &mut seen, mistakes);
        if let Some(correlation) = correlation_of(document, rule, *is_absence, &known, mistakes) {
            let number = set.correlations.len() as u32;
            for (place, (fed, group_by)) in correlation.rules.iter().zip(&correlation.group_by).enumerate() {
                set.feeds[*fed as usize].push((number, place as u32));
                let single = &mut set.singles[*fed as usize];
                let wanted = group_by.iter().chain(&correlation.field).filter(|field| is_kept(field));
                for field in wanted {
                    if !single.keeps.contains(field) {
                        single.keeps.push(field.clone());
                    }
                }
                // A rule that feeds a correlation is not told by itself, unless the correlation says so.
                single.action = if rule.generate { Action::AlertAndFeed } else { Action::Feed };
            }
            set.correlations.push(correlation);
        }
    }
    share_steps(&read.rules, &mut set);
    set
}

/// Steps of correlations that ask the same are asked once: all that they feed is fed by the first.
fn share_steps(rules: &[(Document<'_>, SigmaRule)], set: &mut RuleSet) {
    // Where a rule did not compile, numbers are not places, and the set is of no use.
    if rules.len() != set.singles.len() {
        return;
    }
    let mut by_names: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
    for (number, (_, rule)) in rules.iter().enumerate() {
        let twins = by_names.entry(needed(rule, "eventName").unwrap_or_default()).or_default();
        let is_step = set.singles[number].action == Action::Feed;
        match twins.iter().find(|twin| is_step && rules[**twin].1.detection == rule.detection) {
            Some(first) => {
                let feeds = std::mem::take(&mut set.feeds[number]);
                set.feeds[*first].extend(feeds);
                set.singles[number].twin = Some(*first as u32);
                for field in set.singles[number].keeps.clone() {
                    if !set.singles[*first].keeps.contains(&field) {
                        set.singles[*first].keeps.push(field);
                    }
                }
            }
            None if is_step => twins.push(number),
            None => {}
        }
    }
    let asked = (0..).zip(rules).map(|(number, (_, rule))| (number, rule));
    set.index = RuleIndex::of(asked.filter(|(number, _)| set.singles[*number as usize].twin.is_none()));
}

/// Whether a match must take a field along for later.
fn is_kept(field: &str) -> bool {
    !field.starts_with(OWN) && !ON_CALL.contains(&field)
}

/// What rules and correlations have in common.
struct Metadata<'a> {
    id: Option<&'a String>,
    name: Option<&'a String>,
    title: &'a str,
    description: Option<&'a String>,
    level: Option<Level>,
    tags: &'a [String],
    references: &'a [String],
    false_positives: &'a [String],
    triage: Vec<String>,
}

/// Rules and correlations call these the same and share no type.
macro_rules! metadata_of {
    ($rule:expr) => {
        Metadata {
            id: $rule.id.as_ref(),
            name: $rule.name.as_ref(),
            title: &$rule.title,
            description: $rule.description.as_ref(),
            level: $rule.level,
            tags: &$rule.tags,
            references: &$rule.references,
            false_positives: &$rule.falsepositives,
            triage: texts($rule.custom_attributes.get("triage").and_then(|value| serde_json::to_value(value).ok())),
        }
    };
}

impl<'a> Metadata<'a> {
    fn of_rule(rule: &'a SigmaRule) -> Self {
        metadata_of!(rule)
    }

    fn of_correlation(rule: &'a CorrelationRule) -> Self {
        metadata_of!(rule)
    }
}

fn texts(value: Option<serde_json::Value>) -> Vec<String> {
    match value {
        Some(serde_json::Value::Array(values)) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        Some(serde_json::Value::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

fn info_of(document: &Document<'_>, metadata: Metadata<'_>) -> Rule {
    let id: Arc<str> = metadata.id.map_or_else(|| metadata.title.into(), |id| id.as_str().into());
    let technique = |tag: &String| {
        let (space, rest) = tag.split_once('.')?;
        let is_technique = match space {
            "attack" => rest.starts_with('t') && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit),
            "atlas" => rest.starts_with("aml.t"),
            _ => false,
        };
        is_technique.then(|| rest.to_uppercase())
    };
    Rule {
        name: metadata.name.map_or_else(|| Arc::clone(&id), |name| name.as_str().into()),
        id,
        title: metadata.title.to_owned(),
        description: one_line(metadata.description.map_or("", String::as_str)),
        severity: match metadata.level {
            Some(Level::Critical) => Severity::Critical,
            Some(Level::High) => Severity::High,
            Some(Level::Low) => Severity::Low,
            Some(Level::Informational) => Severity::Informational,
            Some(Level::Medium) | None => Severity::Medium,
        },
        techniques: metadata.tags.iter().filter_map(technique).collect(),
        references: metadata.references.to_vec(),
        triage: metadata.triage,
        false_positives: metadata.false_positives.to_vec(),
        file: document.source.file.clone(),
    }
}
