//! Which rules can concern an event: by the literal `eventName` and `eventSource` that they cannot match without.

use std::collections::HashMap;

use rsigma_parser::{ConditionExpr, Detection, Quantifier, SelectorPattern, SigmaRule, SigmaValue, detection_name_matches};
use xxhash_rust::xxh3::Xxh3Builder;

/// Rules by what they need.
#[derive(Debug, Default)]
pub struct RuleIndex {
    by_name: HashMap<Box<str>, Vec<u32>, Xxh3Builder>,
    by_source: HashMap<Box<str>, Vec<u32>, Xxh3Builder>,
    /// Rules that need neither.
    any: Vec<u32>,
    /// Sources that a rule of `by_name` needs besides, lowercase; empty for any.
    sources: Vec<Box<[Box<str>]>>,
}

impl RuleIndex {
    /// Adds the next rule.
    pub fn add(&mut self, rule: &SigmaRule) {
        let number = self.sources.len() as u32;
        let (names, sources) = (needed(rule, "eventName"), needed(rule, "eventSource"));
        match (&names, &sources) {
            (Some(names), _) => names.iter().for_each(|name| self.by_name.entry(name.as_str().into()).or_default().push(number)),
            (None, Some(sources)) => {
                sources.iter().for_each(|source| self.by_source.entry(source.as_str().into()).or_default().push(number));
            }
            (None, None) => self.any.push(number),
        }
        self.sources.push(sources.unwrap_or_default().into_iter().map(String::into_boxed_str).collect());
    }

    /// Calls `each` with every rule that may match an event of this source and name. Sigma compares without case.
    pub fn candidates(&self, source: &str, name: &str, mut each: impl FnMut(u32)) {
        let fits = |number: u32| {
            let sources = &self.sources[number as usize];
            sources.is_empty() || sources.iter().any(|wanted| wanted.eq_ignore_ascii_case(source))
        };
        let lower = |text: &str| text.to_ascii_lowercase();
        let named = self.by_name.get(lower(name).as_str()).into_iter().flatten();
        let sourced = self.by_source.get(lower(source).as_str()).into_iter().flatten();
        named.chain(sourced).copied().filter(|number| fits(*number)).for_each(&mut each);
        self.any.iter().copied().for_each(each);
    }
}

/// The values, lowercase, one of which `field` must have in every event that the rule matches; `None` where there is no
/// such list.
pub fn needed(rule: &SigmaRule, field: &str) -> Option<Vec<String>> {
    // Several conditions are alternatives.
    union(rule.detection.conditions.iter().map(|condition| needed_by(condition, &rule.detection.named, field)))
}

fn needed_by(condition: &ConditionExpr, named: &HashMap<String, Detection>, field: &str) -> Option<Vec<String>> {
    match condition {
        ConditionExpr::Identifier(name) => named.get(name).and_then(|detection| needed_in(detection, field)),
        ConditionExpr::And(parts) => fewest(parts.iter().map(|part| needed_by(part, named, field))),
        ConditionExpr::Or(parts) => union(parts.iter().map(|part| needed_by(part, named, field))),
        ConditionExpr::Not(_) => None,
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen = named.iter().filter(|(name, _)| selects(pattern, name)).map(|(_, detection)| needed_in(detection, field));
            match quantifier {
                Quantifier::All => fewest(chosen),
                Quantifier::Any | Quantifier::Count(_) => union(chosen),
            }
        }
    }
}

fn selects(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        // Names with an underscore in front are left out of `them`.
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => detection_name_matches(pattern, name),
    }
}

fn needed_in(detection: &Detection, field: &str) -> Option<Vec<String>> {
    match detection {
        Detection::AllOf(items) => fewest(items.iter().map(|item| {
            if item.field.name.as_deref() != Some(field) || !item.field.modifiers.is_empty() {
                return None;
            }
            item.values
                .iter()
                .map(|value| {
                    let SigmaValue::String(text) = value else { return None };
                    text.as_plain().map(|text| text.to_lowercase())
                })
                .collect()
        })),
        Detection::And(parts) => fewest(parts.iter().map(|part| needed_in(part, field))),
        Detection::AnyOf(parts) => union(parts.iter().map(|part| needed_in(part, field))),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => None,
    }
}

/// All must hold: the shortest list is as good as any.
fn fewest(lists: impl Iterator<Item = Option<Vec<String>>>) -> Option<Vec<String>> {
    lists.flatten().min_by_key(Vec::len)
}

/// One must hold: all lists together, where each has one.
fn union(lists: impl Iterator<Item = Option<Vec<String>>>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut has_any = false;
    for list in lists {
        has_any = true;
        all.extend(list?);
    }
    all.sort_unstable();
    all.dedup();
    has_any.then_some(all)
}
