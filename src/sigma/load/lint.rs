//! What is a mistake though it is YAML and Sigma: no id, fields that no record has, selections that nothing uses.

use std::collections::HashSet;

use rsigma_parser::{ConditionExpr, Detection, SelectorPattern, SigmaRule, detection_name_matches};

use super::{Document, Metadata, RuleMistake, TOP_LEVEL};
use crate::sigma::event::{OWN, RuleFacts};

pub(super) fn check_metadata(
    document: &Document<'_>,
    metadata: &Metadata<'_>,
    seen: &mut HashSet<String>,
    mistakes: &mut Vec<RuleMistake>,
) {
    let Some(id) = metadata.id else {
        return mistakes.push(document.mistake("title", format!("\"{}\" has no id", metadata.title), "give it one with uuidgen"));
    };
    for key in [Some(id), metadata.name.filter(|name| *name != id)].into_iter().flatten() {
        if !seen.insert(key.clone()) {
            mistakes.push(document.mistake(key, format!("\"{key}\" is the id or name of another rule, too"), "give each rule its own"));
        }
    }
}

pub(super) fn check_rule(document: &Document<'_>, rule: &SigmaRule, seen: &mut HashSet<String>, mistakes: &mut Vec<RuleMistake>) {
    check_metadata(document, &Metadata::of_rule(rule), seen, mistakes);
    let (product, service) = (rule.logsource.product.as_deref(), rule.logsource.service.as_deref());
    if product.is_some_and(|product| product != "aws") || service.is_some_and(|service| service != "cloudtrail") {
        let what = format!("\"{}\" is about {} {}", rule.title, product.unwrap_or("?"), service.unwrap_or("?"));
        mistakes.push(document.mistake("logsource", what, "load only rules for product aws, service cloudtrail"));
    }
    for field in fields_of(rule) {
        check_field(document, &field, mistakes);
    }
    for name in rule.detection.named.keys() {
        if !rule.detection.conditions.iter().any(|condition| uses(condition, name)) {
            mistakes.push(document.mistake(name, format!("\"{name}\" is in no condition"), "use it in the condition, or remove it"));
        }
    }
}

pub(super) fn check_field(document: &Document<'_>, field: &str, mistakes: &mut Vec<RuleMistake>) {
    if let Some(own) = field.strip_prefix(OWN) {
        if !RuleFacts::has(own) {
            let cure = "choose geophone.actor, .person, .department, .tags.KEY, .model.family, .denial.kind or .policy.verdict";
            mistakes.push(document.mistake(field, format!("geophone has no field \"{field}\""), cure));
        }
        return;
    }
    let top = field.split(['.', '[']).next().unwrap_or(field);
    if !TOP_LEVEL.contains(&top) {
        let near = TOP_LEVEL.iter().find(|known| known.eq_ignore_ascii_case(top)).copied();
        let cure = near.map_or_else(
            || "write the path as it is in the record, such as requestParameters.modelId".to_owned(),
            |known| format!("write {known}"),
        );
        let mistake = document.mistake(field, format!("CloudTrail has no field \"{field}\""), cure);
        mistakes.push(RuleMistake { is_unknown_field: true, ..mistake });
    }
}

fn uses(condition: &ConditionExpr, name: &str) -> bool {
    match condition {
        ConditionExpr::Identifier(used) => used == name,
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => parts.iter().any(|part| uses(part, name)),
        ConditionExpr::Not(part) => uses(part, name),
        ConditionExpr::Selector { pattern: SelectorPattern::Them, .. } => true,
        ConditionExpr::Selector { pattern: SelectorPattern::Pattern(pattern), .. } => detection_name_matches(pattern, name),
    }
}

/// All fields that a rule asks for.
pub(super) fn fields_of(rule: &SigmaRule) -> Vec<String> {
    fn walk(detection: &Detection, fields: &mut Vec<String>) {
        match detection {
            Detection::AllOf(items) => fields.extend(items.iter().filter_map(|item| item.field.name.clone())),
            Detection::AnyOf(parts) | Detection::And(parts) => parts.iter().for_each(|part| walk(part, fields)),
            // What is below a list is relative to it.
            Detection::ArrayMatch { field, .. } => fields.push(field.clone()),
            Detection::Keywords(_) | Detection::Conditional { .. } => {}
        }
    }
    let mut fields = Vec::new();
    rule.detection.named.values().for_each(|detection| walk(detection, &mut fields));
    fields.sort_unstable();
    fields.dedup();
    fields
}
