//! `invocation-spike`: a moment that is rare for this actor, its peers and the fleet.
//!
//! [`crate::baseline`] has the method: six channels (calls in ten minutes and in an hour, a pace that is kept up, activity
//! without a pause, odd hours, new contexts), read as a rarity that is compared with a budget of false alerts. Here a
//! rarity becomes a finding: once when a story begins, again when it is ten times rarer or unusual in
//! another way.
//!
//! Says nothing until two weeks of days were counted: before that a rarity means nothing. Cannot see: twice or three times
//! the calls of a service that is busy around the clock; what grows slower than weeks; an actor that was seen for the first
//! time and does what its peers do.

mod sentence;

use sentence::calls;
pub use sentence::{claim, sentence};

use super::{Context, Detector, Judged};
use crate::baseline::profile::EFFECT_FLOOR;
use crate::baseline::story::Step;
use crate::baseline::{Campaign, Channel, Measure, Score};
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, History, HistoryUnit, Severity, Signal};
use crate::identity::{ActorKey, ActorKind};
use crate::state::ActorState;
use crate::stats::ring::BUCKET;
use crate::time::{EventTime, HOUR};

/// Active days from which an actor is judged by itself rather than by its peers.
pub(super) const OWN_DAYS: u16 = 7;
/// Rarity above the threshold from which it is worth waking somebody.
pub(super) const HIGH: f64 = 1.0;
/// So is an hour with this many times the calls of the busiest hour of 28 days and of the peers': a small company has too
/// few identity-days to call anything ten times rarer than its budget.
const LOUD: u32 = 10;

/// The detector.
#[derive(Clone, Copy, Debug)]
pub struct InvocationSpike;

impl Detector for InvocationSpike {
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>) {
        for (slot, score) in &context.counted.scores {
            if context.fleet.alerts(Measure::Calls, score)
                && let Some(step) = actor.story.hear(*slot, score)
            {
                out.push(Signal::Finding(Box::new(finding(judged, actor, context, *slot, score, step))));
            }
        }
    }
}

fn finding(judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, slot: i64, score: &Score, step: Step) -> Finding {
    let reference = context.fleet.reference(actor.cohort, slot);
    let numbers = actor.baseline.comparison(slot, reference.peers);
    let sample = reference.curves.together(actor.baseline.class(reference.is_machine)).days();
    if step == Step::Start {
        actor.before_story = actor.calls.saturating_sub(u64::from(numbers.calls[2]).max(1));
    }
    let (channel, key) = (score.leading(), &actor.key);
    let fingerprint = Fingerprint::of(DetectorId::InvocationSpike, &[key.kind.label(), &key.name]);
    let mut finding = judged.finding(DetectorId::InvocationSpike, fingerprint);
    let alerts_from = context.fleet.settings().alerts_from(Measure::Calls);
    let usual = numbers.busiest_hour.max(reference.peers.busiest_hour).max(EFFECT_FLOOR as u32);
    let is_loud = numbers.calls[2] >= usual.saturating_mul(LOUD);
    finding.severity = if is_loud || score.rarity >= alerts_from + HIGH { Severity::High } else { Severity::Medium };
    finding.confidence = if numbers.days >= OWN_DAYS { Confidence::High } else { Confidence::Medium };
    let who = finding.who.spoken();
    finding.title = format!("Invocation spike: {who}, {}", in_short(channel, &numbers));
    let news = new_things(channel, &actor.baseline.new_dimensions(slot));
    finding.explanation = format!("{who}: {}{news}.", sentence(channel, &numbers, reference.peers.busiest_hour, score.rarity, sample));
    finding.channel = format!("{}{}", channel.label(), rarer(step, score));
    finding.onset = EventTime::from_unix(actor.story.onset() * BUCKET);
    finding.story_events = Some(actor.calls.saturating_sub(actor.before_story));
    finding.techniques.push("T1496.004".to_owned());
    let (busiest_hours, last_day) = (actor.baseline.plot().to_vec(), actor.baseline.last_learned());
    finding.history = (numbers.days > 0).then_some(History { unit: HistoryUnit::Calls, last_day, busiest_hours });
    finding
        .with_number("calls_5m", f64::from(numbers.calls[0]))
        .with_number("calls_10m", f64::from(numbers.calls[1]))
        .with_number("calls_1h", f64::from(numbers.calls[2]))
        .with_number("expected_10m", tenths(numbers.expected[0]))
        .with_number("expected_1h", tenths(numbers.expected[1]))
        .with_number("unbroken_minutes", f64::from(numbers.unbroken_minutes))
        .with_number("busiest_hour_28d", f64::from(numbers.busiest_hour))
        .with_number("group_median_busiest_hour", f64::from(reference.peers.busiest_hour))
        .with_number("history_days", f64::from(numbers.days))
        .with_number("rarity", claimed(score.rarity, sample))
}

/// A department in which many were unusual in the same hour. `sample` is one of its calls.
pub fn campaign(campaign: &Campaign, sample: &Judged<'_>) -> Signal {
    let department = campaign.cohort.0.as_deref().unwrap_or("");
    let kind = if campaign.cohort.1 { "machines" } else { "people" };
    let day = EventTime::from_unix(campaign.hour * HOUR).to_string();
    let fingerprint = Fingerprint::of(DetectorId::InvocationSpike, &["group", department, kind, &day[..10]]);
    let mut finding = Finding::about(DetectorId::InvocationSpike, sample.call, sample.who, fingerprint);
    // About the department: nobody of it is remarkable.
    finding.who.actor = ActorKey::new(ActorKind::Unknown, format!("{kind} of {department}"));
    (finding.who.person, finding.who.manager) = (None, None);
    (finding.who.arn, finding.who.access_key_id) = ("".into(), "".into());
    let score = &campaign.score;
    finding.severity = Severity::Medium;
    finding.confidence = Confidence::Medium;
    finding.title = format!("Group campaign: {} {kind} of {department} keep an unusual pace at once", score.actors);
    finding.explanation = format!(
        "{} {kind} of {department} kept an unusual pace in the hour from {}:00 UTC (expected at this hour {:.1}); {:.0} times the usual spread of the department's busiest hours, over {} days.",
        score.actors,
        &day[11..13],
        score.expected,
        score.deviations,
        score.days
    );
    finding.channel = format!("group-campaign {}", &day[11..13]);
    finding.onset = EventTime::from_unix(campaign.hour * HOUR);
    finding.time = EventTime::from_unix((campaign.hour + 1) * HOUR - 1);
    finding.story_events = Some(u64::from(score.actors));
    finding.techniques.push("T1496.004".to_owned());
    let finding = finding
        .with_number("actors", f64::from(score.actors))
        .with_number("expected_actors", tenths(score.expected))
        .with_number("deviations", tenths(score.deviations))
        .with_number("history_days", score.days as f64);
    Signal::Finding(Box::new(finding))
}

/// Ten times rarer is news in the same channel.
pub(super) fn rarer(step: Step, score: &Score) -> String {
    if step == Step::Rarer { format!(", 10^-{:.0}", score.rarity.floor()) } else { String::new() }
}

/// A rarity as an alert's number: never more than the sample can say.
pub(super) fn claimed(rarity: f64, sample: f64) -> f64 {
    tenths(rarity.min(sample.max(1.0).log10()))
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn in_short(channel: Channel, numbers: &crate::baseline::Comparison) -> String {
    match channel {
        Channel::TenMinutes => format!("{} in 10 minutes", calls(numbers.calls[1])),
        Channel::Hour | Channel::Steady => format!("{} in 1 hour", calls(numbers.calls[2])),
        Channel::Unbroken => format!("no pause for {} minutes", numbers.unbroken_minutes),
        Channel::OddHours => format!("{} at an odd hour", calls(numbers.calls[2])),
        Channel::Context => format!("{} from a new context", calls(numbers.calls[1])),
    }
}

/// What is new, where that is what is unusual.
fn new_things(channel: Channel, dimensions: &[usize]) -> String {
    const NAMES: [&str; 4] = ["network", "region", "model", "client"];
    if channel != Channel::Context || dimensions.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = dimensions.iter().map(|dimension| NAMES[*dimension]).collect();
    format!("; new to this actor: {}", names.join(", "))
}
