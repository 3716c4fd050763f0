//! `token-spend`: what an actor's calls cost is rare for it, its peers and the fleet.
//!
//! The method of `invocation-spike` over money instead of calls: tokens in, out, read from and written to the cache, at the
//! prices of a dated table. It sees what a count of calls cannot: a few calls with very long prompts, a change to a model
//! that costs ten times as much. Tokens come with the call, or minutes later in the companion record of a streaming call;
//! both count at the time of the call.
//!
//! A few cents more than nothing are rare, too, and nobody's trouble: at least `floor` dollars must be spent beyond what was
//! expected. Says nothing until two weeks of days with tokens were counted. Cannot see: calls whose records have no tokens (before
//! record version 1.11, and failed calls); what discounts and commitments make of a list price.

use std::sync::Arc;

use super::{Context, Detector, Judged};
use crate::baseline::story::Step;
use crate::baseline::{Channel, Measure, Score, SpendComparison};
use crate::bedrock::{PriceTable, Tokens};
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, History, HistoryUnit, Severity, Signal};
use crate::state::ActorState;
use crate::stats::grouped;
use crate::stats::ring::BUCKET;
use crate::time::EventTime;

use super::invocation_spike::{HIGH, OWN_DAYS, claim, claimed, rarer};

/// The detector.
#[derive(Clone, Debug)]
pub struct TokenSpend {
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
}

impl Detector for TokenSpend {
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>) {
        for (slot, score) in &context.counted.spending {
            if context.fleet.alerts(Measure::Spending, score)
                && excess(actor, context, *slot) >= context.fleet.settings().spend_floor
                && let Some(step) = actor.spend_story.hear(*slot, score)
            {
                out.push(Signal::Finding(Box::new(self.finding(judged, actor, context, *slot, score, step))));
            }
        }
    }
}

impl TokenSpend {
    fn finding(&self, judged: &Judged<'_>, actor: &ActorState, context: &Context<'_>, slot: i64, score: &Score, step: Step) -> Finding {
        let reference = context.fleet.reference(actor.cohort, slot);
        let numbers = actor.baseline.spend_comparison(slot, reference.peers);
        let sample = reference.spend_curves.together(actor.baseline.class(reference.is_machine)).days();
        let (channel, key) = (score.leading(), &actor.key);
        let fingerprint = Fingerprint::of(DetectorId::TokenSpend, &[key.kind.label(), &key.name]);
        let mut finding = judged.finding(DetectorId::TokenSpend, fingerprint);
        let alerts_from = context.fleet.settings().alerts_from(Measure::Spending);
        finding.severity = if score.rarity >= alerts_from + HIGH { Severity::High } else { Severity::Medium };
        finding.confidence = if numbers.days >= OWN_DAYS { Confidence::High } else { Confidence::Medium };
        let who = finding.who.spoken();
        let window = usize::from(channel == Channel::Hour);
        finding.title = format!("Token spend: {who}, {} in {}", dollars(numbers.dollars[window]), WINDOWS[window]);
        let group = f64::from(reference.peers.spend.busiest_hour) / 100.0;
        let said = sentence(channel, &numbers, group, score.rarity, sample, self.prices.date());
        finding.explanation = format!("{who}: {said}{}.", self.unlisted(judged));
        finding.channel = format!("spend-{}{}", if window == 0 { "10m" } else { "1h" }, rarer(step, score));
        finding.onset = EventTime::from_unix(actor.spend_story.onset() * BUCKET);
        finding.story_events = Some(u64::from(actor.baseline.comparison(slot, reference.peers).calls[2]).max(1));
        finding.techniques.push("T1496.004".to_owned());
        let (busiest_hours, last_day) = (actor.baseline.spend_plot().to_vec(), actor.baseline.last_learned());
        finding.history = (numbers.days > 0).then_some(History { unit: HistoryUnit::Dollars, last_day, busiest_hours });
        let Tokens { input, output, cache_read, cache_write } = judged.tokens.unwrap_or_default();
        finding
            .with_number("dollars_10m", cents(numbers.dollars[0]))
            .with_number("dollars_1h", cents(numbers.dollars[1]))
            .with_number("expected_dollars_10m", cents(numbers.expected[0]))
            .with_number("expected_dollars_1h", cents(numbers.expected[1]))
            .with_number("tokens_10m", numbers.tokens[0])
            .with_number("tokens_1h", numbers.tokens[1])
            .with_number("busiest_hour_dollars_28d", cents(numbers.busiest_hour))
            .with_number("group_median_busiest_hour_dollars", group)
            .with_number("last_call_input_tokens", input as f64)
            .with_number("last_call_output_tokens", output as f64)
            .with_number("last_call_cached_tokens", cache_read.saturating_add(cache_write) as f64)
            .with_number("history_days", f64::from(numbers.days))
            .with_number("rarity", claimed(score.rarity, sample))
    }

    /// Says so where the model has no price of its own.
    fn unlisted(&self, judged: &Judged<'_>) -> String {
        match &judged.call.invocation.model {
            Some(model) if !self.prices.price(&model.id).1 => {
                format!("; {} has no price in the table and was taken at that of an unlisted model", model.id)
            }
            _ => String::new(),
        }
    }
}

/// Dollars beyond what was expected, of ten minutes or an hour, whichever are more.
fn excess(actor: &ActorState, context: &Context<'_>, slot: i64) -> f64 {
    let numbers = actor.baseline.spend_comparison(slot, context.fleet.reference(actor.cohort, slot).peers);
    (numbers.dollars[0] - numbers.expected[0]).max(numbers.dollars[1] - numbers.expected[1])
}

const WINDOWS: [&str; 2] = ["10 min", "1 h"];

/// What is said of spending, without the name of whom it is about. `group` is the group's median busiest hour in dollars.
fn sentence(channel: Channel, numbers: &SpendComparison, group: f64, rarity: f64, sample: f64, date: &str) -> String {
    let window = usize::from(channel == Channel::Hour);
    let mut compared = vec![format!("expected {}", dollars(numbers.expected[window]))];
    if numbers.days > 0 {
        compared.push(format!("highest hour in 28 days {}", dollars(numbers.busiest_hour)));
    } else {
        compared.push("no day of its own to compare with".to_owned());
    }
    if group > 0.0 {
        compared.push(format!("group median busiest hour {}", dollars(group)));
    }
    let list = if date.is_empty() { String::new() } else { format!(" of {date}") };
    format!(
        "{} tokens in {}, {} at list prices{list} ({}); {}",
        tokens(numbers.tokens[window]),
        WINDOWS[window],
        dollars(numbers.dollars[window]),
        compared.join("; "),
        claim(rarity, sample)
    )
}

fn tokens(count: f64) -> String {
    match count {
        count if count >= 10_000_000.0 => format!("{:.0} million", count / 1e6),
        count if count >= 1_000_000.0 => format!("{:.1} million", count / 1e6),
        count => grouped(count as u64, ','),
    }
}

fn dollars(amount: f64) -> String {
    match amount {
        amount if amount >= 100.0 => format!("${}", grouped(amount.round() as u64, ',')),
        amount if amount > 0.0 && amount < 0.01 => "under $0.01".to_owned(),
        amount => format!("${amount:.2}"),
    }
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: SpendComparison = SpendComparison {
        dollars: [36.0, 41.234],
        tokens: [1_210_000.0, 14_000_000.0],
        expected: [0.004, 0.4],
        busiest_hour: 3.1,
        days: 30,
    };

    #[test]
    fn says_tokens_and_money() {
        assert_eq!(
            sentence(Channel::TenMinutes, &NUMBERS, 2.0, 4.41, 60_000.0, "2026-10-01"),
            "1.2 million tokens in 10 min, $36.00 at list prices of 2026-10-01 (expected under $0.01; highest hour in 28 days $3.10; \
             group median busiest hour $2.00); as rare as 1 in 25,000 identity-days"
        );
        let lone = SpendComparison { days: 0, tokens: [900.0, 9_999.0], ..NUMBERS };
        assert_eq!(
            sentence(Channel::Hour, &lone, 0.0, 3.0, 900.0, ""),
            "9,999 tokens in 1 h, $41.23 at list prices (expected $0.40; no day of its own to compare with); rarer than 1 in 900 identity-days"
        );
        assert_eq!(dollars(12_345.6), "$12,346");
    }
}
