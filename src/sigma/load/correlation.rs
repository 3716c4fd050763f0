//! Correlations as they are written, checked and with their references resolved.

use std::collections::HashMap;
use std::sync::Arc;

use rsigma_parser::{ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode};

use super::lint::check_field;
use super::{Document, Metadata, PARTS_MAX, RuleMistake, TIMESPAN_MAX, info_of};
use crate::sigma::event::OWN;
use crate::sigma::rules::{Correlation, CorrelationKind};

pub(super) fn correlation_of(
    document: &Document<'_>,
    rule: &CorrelationRule,
    is_absence: bool,
    known: &HashMap<String, u32>,
    mistakes: &mut Vec<RuleMistake>,
) -> Option<Correlation> {
    let before = count_fatal(mistakes);
    let kind = match rule.correlation_type {
        CorrelationType::EventCount => CorrelationKind::EventCount,
        CorrelationType::ValueCount => CorrelationKind::ValueCount,
        CorrelationType::Temporal => CorrelationKind::Temporal,
        CorrelationType::TemporalOrdered if is_absence => CorrelationKind::Absence,
        CorrelationType::TemporalOrdered => CorrelationKind::TemporalOrdered,
        CorrelationType::ValueSum | CorrelationType::ValueAvg | CorrelationType::ValuePercentile | CorrelationType::ValueMedian => {
            let cure = "use event_count, value_count, temporal or temporal_ordered; sums of money and rates are token-spend's and invocation-spike's";
            mistakes.push(document.mistake("type:", "a kind of correlation that is not supported", cure));
            return None;
        }
    };
    let mut rules = Vec::new();
    for name in &rule.rules {
        match known.get(name) {
            Some(number) => rules.push(*number),
            None => mistakes.push(document.mistake(
                name,
                format!("there is no rule \"{name}\""),
                "name a rule about single events by its name or id; correlations of correlations are not supported",
            )),
        }
    }
    let group_by = groups_of(document, rule, mistakes);
    if rule.window != WindowMode::Sliding {
        mistakes.push(document.mistake("window", "only sliding windows are supported", "remove window"));
    }
    if rule.timespan.seconds == 0 || rule.timespan.seconds > TIMESPAN_MAX {
        mistakes.push(document.mistake("timespan", format!("timespan {} is out of range", rule.timespan.original), "choose 1s to 30d"));
    }
    if rules.len() > PARTS_MAX || rule.group_by.len() > PARTS_MAX {
        mistakes.push(document.mistake("rules", format!("more than {PARTS_MAX} rules or fields"), "part the correlation"));
    }
    let (least_rules, what) = match kind {
        CorrelationKind::EventCount | CorrelationKind::ValueCount => (1, "a rule"),
        CorrelationKind::Temporal | CorrelationKind::TemporalOrdered | CorrelationKind::Absence => (2, "two rules"),
    };
    if rule.rules.len() < least_rules || kind == CorrelationKind::Absence && rule.rules.len() != 2 {
        mistakes.push(document.mistake("rules", format!("needs {what}"), "list them under rules"));
    }
    let (field, at_least, at_most) = bounds(document, rule, kind, mistakes);
    field.iter().for_each(|field| check_field(document, field, mistakes));
    let info = Arc::new(info_of(document, Metadata::of_correlation(rule)));
    let timespan = i64::try_from(rule.timespan.seconds).unwrap_or(i64::MAX);
    let asks_own = group_by.iter().flatten().chain(&field).any(|field| field.starts_with(OWN));
    (count_fatal(mistakes) == before).then_some(Correlation {
        rule: info,
        kind,
        rules,
        group_by,
        field,
        timespan,
        at_least,
        at_most,
        asks_own,
    })
}

/// For each rule the fields by which its events are grouped: an alias may call them differently.
fn groups_of(document: &Document<'_>, rule: &CorrelationRule, mistakes: &mut Vec<RuleMistake>) -> Vec<Vec<String>> {
    let group_by: Vec<Vec<String>> = rule
        .rules
        .iter()
        .map(|name| {
            let field_of = |field: &String| {
                let alias = rule.aliases.iter().find(|alias| alias.alias == *field);
                alias.map_or_else(|| Some(field.clone()), |alias| alias.mapping.get(name).cloned())
            };
            rule.group_by.iter().filter_map(field_of).collect()
        })
        .collect();
    if group_by.iter().any(|fields: &Vec<String>| fields.len() != rule.group_by.len()) {
        mistakes.push(document.mistake(
            "aliases",
            "an alias does not say which field it is in each of the rules",
            "add a line for each rule",
        ));
    }
    group_by.iter().flatten().for_each(|field| check_field(document, field, mistakes));
    group_by
}

fn count_fatal(mistakes: &[RuleMistake]) -> usize {
    mistakes.iter().filter(|mistake| !mistake.is_unknown_field).count()
}

/// The field that is counted, and from how many to how many.
fn bounds(
    document: &Document<'_>,
    rule: &CorrelationRule,
    kind: CorrelationKind,
    mistakes: &mut Vec<RuleMistake>,
) -> (Option<String>, u64, u64) {
    let counts = matches!(kind, CorrelationKind::EventCount | CorrelationKind::ValueCount);
    let CorrelationCondition::Threshold { predicates, field, .. } = &rule.condition else {
        mistakes.push(document.mistake("condition", "a condition in words", "leave it out: all rules must match"));
        return (None, 1, u64::MAX);
    };
    if !counts {
        // The parser fills in a condition where there is none: all rules must match.
        return (None, 1, u64::MAX);
    }
    let (mut at_least, mut at_most) = (1, u64::MAX);
    for (operator, number) in predicates {
        match operator {
            ConditionOperator::Gte => at_least = at_least.max(*number),
            ConditionOperator::Gt => at_least = at_least.max(number.saturating_add(1)),
            ConditionOperator::Eq => (at_least, at_most) = (*number, *number),
            ConditionOperator::Lte if predicates.len() > 1 => at_most = at_most.min(*number),
            ConditionOperator::Lt if predicates.len() > 1 => at_most = at_most.min(number.saturating_sub(1)),
            ConditionOperator::Lte | ConditionOperator::Lt | ConditionOperator::Neq => {
                mistakes.push(document.mistake(
                    "condition",
                    "is true of every group in which nothing happens",
                    "use gte, gt or eq; for what does not follow use type: absence",
                ));
            }
        }
    }
    if at_least == 0 || at_least > at_most {
        mistakes.push(document.mistake("condition", "no number fits it", "write for example gte: 5"));
    }
    let field = field.as_ref().and_then(|fields| fields.first().cloned());
    if kind == CorrelationKind::ValueCount && field.is_none() {
        mistakes.push(document.mistake("condition", "value_count does not say of which field", "add field: under condition"));
    }
    (field, at_least, at_most)
}
