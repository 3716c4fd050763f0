//! `first-seen`: an actor with history uses a model, a region, a network or a client for the first time.
//!
//! A first use alone is no alarm: people travel and models are launched. So it is weighed by how often *this* actor's days
//! have something new of the kind (a traveller's often, a batch job's never), and what other people use already weighs
//! less: from its third user on, a new model or region is a launch. It is told where such a day is rarer than the
//! configured share of the actor's days; low by itself, medium where several things are new in one call, which is what a
//! stolen key looks like. A rarity of the whole moment, with a budget of false alerts, is `invocation-spike`'s.
//!
//! Says nothing about actors with less than a week of active days. Cannot see: a thief in the victim's network, region and
//! client; networks behind one proxy.

use super::{Context, Detector, Judged};
use crate::baseline::habits::{DIMENSIONS, Noted};
use crate::bedrock::user_agent::tool_and_system;
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::observation::Call;
use crate::state::ActorState;
use crate::state::sight::spoken_network;

/// Settings of the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstSeenSettings {
    /// Told where at most one in so many of the actor's active days has something new like this.
    pub days: f64,
    /// Active days that an actor must have.
    pub history: u16,
}

impl Default for FirstSeenSettings {
    fn default() -> Self {
        Self { days: 30.0, history: 7 }
    }
}

/// The detector.
#[derive(Clone, Copy, Debug)]
pub struct FirstSeen {
    /// Settings.
    pub settings: FirstSeenSettings,
}

/// Names of the dimensions, as numbers and sentences have them.
const NAMES: [&str; DIMENSIONS] = ["network", "region", "model", "client"];
/// What is new in so many respects at once is worth a look today.
const SEVERAL: usize = 2;

impl Detector for FirstSeen {
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>) {
        let noted = &context.counted.noted;
        let days = actor.baseline.days();
        if noted.first_uses.is_empty() || days < self.settings.history || noted.surprise < self.settings.days.log10() {
            return;
        }
        out.push(Signal::Finding(Box::new(finding(judged, actor, noted, days))));
    }
}

fn finding(judged: &Judged<'_>, actor: &ActorState, noted: &Noted, days: u16) -> Finding {
    let key = &actor.key;
    let fingerprint = Fingerprint::of(DetectorId::FirstSeen, &[key.kind.label(), &key.name]);
    let mut finding = judged.finding(DetectorId::FirstSeen, fingerprint);
    let mut dimensions: Vec<usize> = noted.first_uses.iter().map(|first| usize::from(first.dimension)).collect();
    dimensions.sort_unstable();
    dimensions.dedup();
    let of_others = |dimension: usize| noted.shared >> dimension & 1 == 1;
    let is_alone = dimensions.iter().filter(|dimension| !of_others(**dimension)).count();
    finding.severity = if is_alone >= SEVERAL { Severity::Medium } else { Severity::Low };
    finding.confidence = Confidence::High;
    let who = finding.who.spoken();
    let names: Vec<&str> = dimensions.iter().map(|dimension| NAMES[*dimension]).collect();
    finding.title = format!("First seen: {who}, new {}", names.join(" and "));
    let things: Vec<String> = dimensions
        .iter()
        .map(|dimension| {
            let others = if of_others(*dimension) { " (others use it)" } else { " (nobody else's)" };
            format!("{} {}{others}", NAMES[*dimension], value(judged.call, *dimension))
        })
        .collect();
    let known: Vec<String> = actor
        .baseline
        .known_values()
        .iter()
        .zip(NAMES)
        .filter(|(count, _)| **count > 0)
        .map(|(count, name)| format!("{count} {name}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let rarity = 10f64.powf(noted.surprise.min(4.0));
    finding.explanation = format!(
        "{who}: first use of {} after {days} active days ({} known); such a day is rarer than 1 in {:.0} of its days.",
        things.join(" and "),
        known.join(", "),
        rarity.floor()
    );
    finding.channel = names.join("+");
    finding.techniques.push("T1078.004".to_owned());
    let mut finding = finding.with_number("history_days", f64::from(days)).with_number("one_in_days", rarity.floor());
    for dimension in dimensions {
        finding = finding.with_number(&format!("new_{}", NAMES[dimension]), 1.0);
    }
    finding
}

/// What the call uses, in words.
fn value(call: &Call, dimension: usize) -> String {
    let invocation = &call.invocation;
    match dimension {
        0 => spoken_network(&invocation.source_ip),
        1 => invocation.region.to_string(),
        2 => invocation.model.as_ref().map_or_else(String::new, |model| model.id.to_string()),
        _ => tool_and_system(&invocation.user_agent.text).0,
    }
}
