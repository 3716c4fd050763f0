//! Which rules can concern an event: by the literal `eventName` and `eventSource` that they cannot match without.

use std::collections::{BTreeSet, HashMap};

use rsigma_parser::{ConditionExpr, Detection, Quantifier, SigmaRule, SigmaValue};
use xxhash_rust::xxh3::xxh3_64;

use super::event::Typed;
use super::sieve::{Answer, Atom, Sieve, Tree, selects, tree_of};
use crate::cloudtrail::CloudTrailEvent;
use crate::cloudtrail::lenient::Text;
use crate::hashed::ByHash;

/// Rules by what they need.
#[derive(Debug, Default)]
pub struct RuleIndex {
    /// By name and source together, for all that any rule names: one look, and neither is tested again.
    by_both: Sieves,
    by_name: Sieves,
    by_source: Sieves,
    /// Rules that need neither.
    any: Sieve,
    /// All rules.
    numbers: Vec<u32>,
}

/// Longest name, or source, that is looked up; an event with a longer one is shown to every rule.
const NAME_BYTES_MAX: usize = 128;
/// Most rules in all sieves by name and source together.
const ROWS_MAX: usize = 200_000;

/// A rule on its way into the index.
struct Entry {
    number: u32,
    tree: Tree<Atom>,
    names: Option<Vec<String>>,
    sources: Option<Vec<String>>,
}

impl RuleIndex {
    /// An index of rules by their numbers.
    pub fn of<'r>(rules: impl Iterator<Item = (u32, &'r SigmaRule)>) -> Self {
        let entries: Vec<Entry> = rules
            .map(|(number, rule)| Entry {
                number,
                tree: tree_of(rule),
                names: needed(rule, "eventName"),
                sources: needed(rule, "eventSource"),
            })
            .collect();
        let mut index = Self::default();
        for entry in &entries {
            index.numbers.push(entry.number);
            index.add(entry);
        }
        index.join(&entries);
        index
    }

    fn add(&mut self, entry: &Entry) {
        let (sieves, field, texts) = match (&entry.names, &entry.sources) {
            (Some(names), _) => (&mut self.by_name, Typed::EventName, names),
            (None, Some(sources)) => (&mut self.by_source, Typed::EventSource, sources),
            (None, None) => return self.any.add(entry.number, &entry.tree, &[]),
        };
        for text in texts {
            match sieves.of(text.as_bytes()) {
                Some(sieve) => sieve.add(entry.number, &entry.tree, &[(field, text)]),
                None => self.any.add(entry.number, &entry.tree, &[]),
            }
        }
    }

    /// Makes the sieves by name and source.
    fn join(&mut self, entries: &[Entry]) {
        let mut pairs = BTreeSet::new();
        for entry in entries {
            for name in entry.names.iter().flatten() {
                pairs.extend(entry.sources.iter().flatten().map(|source| (name.as_str(), source.as_str())));
            }
        }
        let mut rows = 0;
        for (name, source) in pairs {
            let may = |texts: &Option<Vec<String>>, text: &str| texts.as_ref().is_none_or(|texts| texts.iter().any(|own| own == text));
            let Some(sieve) = self.by_both.of(&both(name.as_bytes(), source.as_bytes())) else { continue };
            for entry in entries.iter().filter(|entry| may(&entry.names, name) && may(&entry.sources, source)) {
                sieve.add(entry.number, &entry.tree, &[(Typed::EventName, name), (Typed::EventSource, source)]);
                rows += 1;
            }
            if rows > ROWS_MAX {
                // So many rules that need neither: the other sieves do without these.
                self.by_both = Sieves::default();
                return;
            }
        }
    }

    /// Calls `each` with every rule that matches an event or must be asked about it. Sigma compares without case.
    pub fn candidates(&self, event: &CloudTrailEvent<'_>, mut each: impl FnMut(u32, Answer)) {
        let mut space = [0; 2 * NAME_BYTES_MAX + 1];
        let Some((key, at)) = key_of(event, &mut space) else {
            return self.numbers.iter().for_each(|number| each(*number, Answer::Ask));
        };
        if let Some(sieve) = self.by_both.get(key) {
            return sieve.pass(event, each);
        }
        for sieve in self.by_name.get(&key[..at]).into_iter().chain(self.by_source.get(&key[at + 1..])).chain([&self.any]) {
            sieve.pass(event, &mut each);
        }
    }
}

/// Name and source of an event in lowercase, as [`both`] has them, in `space`, and where the name ends; `None` where one
/// is too long, not of ASCII, or there and no text.
fn key_of<'s>(event: &CloudTrailEvent<'_>, space: &'s mut [u8]) -> Option<(&'s [u8], usize)> {
    let fits =
        |text: &Text<'_>| text.as_str().len() <= NAME_BYTES_MAX && text.as_str().is_ascii() && (!text.is_empty() || text.is_absent());
    if !fits(&event.event_name) || !fits(&event.event_source) {
        return None;
    }
    let (name, source) = (event.event_name.as_str().as_bytes(), event.event_source.as_str().as_bytes());
    let key = space.get_mut(..name.len() + 1 + source.len())?;
    key[..name.len()].copy_from_slice(name);
    key[name.len() + 1..].copy_from_slice(source);
    key.make_ascii_lowercase();
    Some((key, name.len()))
}

/// A name and a source in one.
fn both(name: &[u8], source: &[u8]) -> Vec<u8> {
    [name, &[0], source].concat()
}

/// Sieves by a lowercase text, which every event of them has.
#[derive(Debug, Default)]
struct Sieves(ByHash<u64, (Box<[u8]>, Sieve)>);

impl Sieves {
    /// The sieve of a text; `None` where another text of the same hash has taken its place.
    fn of(&mut self, text: &[u8]) -> Option<&mut Sieve> {
        let (known, sieve) = self.0.entry(xxh3_64(text)).or_insert_with(|| (text.into(), Sieve::default()));
        (**known == *text).then_some(sieve)
    }

    fn get(&self, text: &[u8]) -> Option<&Sieve> {
        self.0.get(&xxh3_64(text)).filter(|(known, _)| **known == *text).map(|(_, sieve)| sieve)
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
