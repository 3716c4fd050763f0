//! The attack day, and what is true about it.

use std::collections::BTreeSet;

use geophone_company::{Attack, Company, Event};

use crate::time::{HOUR, MINUTE};

/// What is played, and when after the live day's midnight.
const SCRIPT: [(Attack, i64); 8] = [
    (Attack::DeniedProbe, 9 * HOUR + 10 * MINUTE),
    (Attack::CrossDepartment, 10 * HOUR + 20 * MINUTE),
    (Attack::InvocationBurst, 11 * HOUR + 30 * MINUTE),
    (Attack::Offboarded, 12 * HOUR + 20 * MINUTE),
    (Attack::LlmJacking, 13 * HOUR + 15 * MINUTE),
    (Attack::GuardrailTampering, 14 * HOUR + 40 * MINUTE),
    (Attack::SessionTheft, 15 * HOUR),
    (Attack::BearerKey, 15 * HOUR + 30 * MINUTE),
];

/// Who really attacked.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    /// How many attacks were played.
    pub attacks: usize,
    /// Names, keys and ARNs of their actors, as the records have them.
    pub attackers: BTreeSet<String>,
}

impl Truth {
    /// How many of these subjects are attackers, and how many are not.
    pub(super) fn judge(&self, subjects: &BTreeSet<String>) -> (usize, usize) {
        let is_attacker = |subject: &&String| self.attackers.iter().any(|attacker| subject.contains(attacker.as_str()));
        let right = subjects.iter().filter(is_attacker).count();
        (right, subjects.len() - right)
    }
}

/// The events of a day with its attacks, in order of arrival.
pub(super) fn day(company: &mut Company, day: u32, truth: &mut Truth) -> Vec<Event> {
    let midnight = company.settings().first_day + i64::from(day) * crate::time::DAY;
    let mut events = company.day(day);
    for (attack, at) in SCRIPT {
        let played = company.attack(attack, midnight + at);
        for label in played.iter().filter_map(|event| event.label.as_ref()) {
            truth.attackers.insert(label.actor.clone());
        }
        for event in played.iter().filter(|event| event.label.is_some()) {
            truth.attackers.extend(names(&event.json));
        }
        truth.attacks += 1;
        events.extend(played);
    }
    events.sort_by_key(|event| event.arrival);
    events
}

/// Key and ARN of an event's caller.
fn names(json: &str) -> Vec<String> {
    let Ok(event) = serde_json::from_str::<crate::cloudtrail::CloudTrailEvent<'_>>(json) else { return Vec::new() };
    let identity = &event.user_identity;
    [identity.access_key_id.as_str(), identity.arn.as_str()].into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect()
}
