//! `invocation-spike`: far more calls than the actor's own history explains.
//!
//! For two windows (10 minutes, 1 hour) the largest count of a day is learned as `ln(1 + peak)`: a decayed mean and
//! spread of the actor's own active days, blended with its peers' (department × human or machine), which weigh as much as
//! a few days. A window fires when its count
//!
//! 1. reaches the effect floor: rare is not enough, it must matter;
//! 2. exceeds `exp(mean + k·spread)`, the limit;
//! 3. exceeds 1.5 times the highest peak of the last 28 active days.
//!
//! Without history of the actor or of peers it stays silent and says so in the counters: no false calm, no false alarm.
//! Windows are in event time, late events are counted into their own bucket and every window that holds it is looked at
//! again, so the order of arrival within lateness changes nothing.

mod sentence;

pub use sentence::{claim, sentence};

use crate::baseline::FleetSettings;
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::state::ActorState;
use crate::state::actor::WINDOWS;
use crate::stats::ring::BUCKET;
use crate::stats::{CohortView, DailyPeaks};
use crate::time::{DAY, EventTime};

use super::{Context, Detector, Judged};

/// Window lengths in buckets of five minutes, and how they are called.
const WINDOW_BUCKETS: [(usize, &str); WINDOWS] = [(2, "10 minutes"), (12, "1 hour")];
const BUCKETS_A_DAY: i64 = DAY / BUCKET;
/// After this many buckets (6 h) without a report the next one begins a new story.
const STORY_BUCKETS: i64 = 72;
/// A count must exceed the highest known peak by this factor.
const ABOVE_HIGHEST: f64 = 1.5;
/// Further findings of one window come with this growth, or in a new bucket.
const REPORT_GROWTH: f64 = 1.25;

/// Settings of `invocation-spike`.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeSettings {
    /// Fewest calls in 10 minutes that may fire; an hour needs three times as many.
    pub floor: u32,
    /// `k`: spreads above the usual peak. 4 keeps a log-normal actor's false alarms under one in 30,000 days a window.
    pub spreads: f64,
    /// Active days of history from which an actor is judged without peers.
    pub days_min: u32,
    /// How many days of history the peers' numbers weigh.
    pub peer_days: f64,
    /// Budget and what goes with it.
    pub fleet: FleetSettings,
}

impl Default for SpikeSettings {
    fn default() -> Self {
        Self { floor: 40, spreads: 4.0, days_min: 7, peer_days: 4.0, fleet: FleetSettings::default() }
    }
}

/// The detector.
#[derive(Clone, Debug)]
pub struct InvocationSpike {
    settings: SpikeSettings,
}

impl InvocationSpike {
    /// A detector with these settings.
    pub const fn new(settings: SpikeSettings) -> Self {
        Self { settings }
    }
}

/// What a window was compared with.
struct Judgement {
    observed: u32,
    end_slot: i64,
    window: usize,
    limit: f64,
    usual: f64,
    highest: u32,
}

impl Detector for InvocationSpike {
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>) {
        let invocation = &judged.call.invocation;
        if !invocation.counts() {
            return;
        }
        let time = invocation.time;
        actor.calls += 1;
        // Older than the ring: counted as a call, too late for any window.
        let Ok(slot) = actor.spike.ring.add(time) else { return };
        let largest = WINDOW_BUCKETS.map(|(buckets, _)| actor.spike.ring.largest_around(slot, buckets));
        if judged.trusted {
            note(actor, slot);
        }
        if largest[0].0 < self.settings.floor && largest[1].0 < self.floor(1) {
            return;
        }
        let peers = context.cohorts.peers(actor.department.as_ref(), actor.key.kind.is_machine(), time);
        let worst = (0..WINDOWS)
            .filter_map(|window| self.judge_window(window, largest[window], actor, peers, time))
            .reduce(|a, b| if f64::from(b.observed) / b.limit > f64::from(a.observed) / a.limit { b } else { a });
        if let Some(judgement) = worst {
            self.report(judged, actor, &judgement, peers, out);
        }
    }
}

/// Notes the largest windows that hold `slot` for the day that they end in, and where midnight is within reach for both
/// days, so that the order of arrival does not decide which day learns them.
fn note(actor: &mut ActorState, slot: i64) {
    let day = slot.div_euclid(BUCKETS_A_DAY);
    let midnight = (day + 1) * BUCKETS_A_DAY;
    let ring = &actor.spike.ring;
    let today = WINDOW_BUCKETS.map(|(buckets, _)| ring.largest_ending(slot, (slot + buckets as i64 - 1).min(midnight - 1), buckets).0);
    let tomorrow = WINDOW_BUCKETS.map(|(buckets, _)| ring.largest_ending(midnight, slot + buckets as i64 - 1, buckets).0);
    actor.spike.note(day, today);
    if tomorrow.iter().any(|sum| *sum > 0) {
        actor.spike.note(day + 1, tomorrow);
    }
}

impl InvocationSpike {
    fn floor(&self, window: usize) -> u32 {
        if window == 0 { self.settings.floor } else { self.settings.floor * 3 }
    }

    fn judge_window(
        &self,
        window: usize,
        (observed, end_slot): (u32, i64),
        actor: &ActorState,
        peers: Option<CohortView>,
        time: EventTime,
    ) -> Option<Judgement> {
        let history: &DailyPeaks = &actor.spike.history(time)[window];
        // Peers are kept for the short window; an hour holds at most six times, and usually about three times as much.
        let hour_factor = if window == 0 { 0.0 } else { 3f64.ln() };
        let peers = peers.map(|view| (view.mean + hour_factor, view.spread));
        if history.days() < self.settings.days_min && peers.is_none() {
            return None;
        }
        let (mean, spread) = history.blended(peers, self.settings.peer_days);
        let limit = (mean + self.settings.spreads * spread).exp().max(ABOVE_HIGHEST * f64::from(history.highest()));
        let fires = observed >= self.floor(window) && f64::from(observed) > limit;
        fires.then_some(Judgement { observed, end_slot, window, limit, usual: history.usual(), highest: history.highest() })
    }

    fn report(&self, judged: &Judged<'_>, actor: &mut ActorState, judgement: &Judgement, peers: Option<CohortView>, out: &mut Vec<Signal>) {
        let window = judgement.window;
        let (reported, slot) = actor.spike.reported[window];
        let is_new = judgement.end_slot != slot || f64::from(judgement.observed) >= f64::from(reported) * REPORT_GROWTH;
        if !is_new {
            return;
        }
        let last_reported = actor.spike.reported.iter().map(|(_, slot)| *slot).max().unwrap_or(0);
        if judgement.end_slot - last_reported > STORY_BUCKETS {
            actor.spike.before_story = actor.calls.saturating_sub(u64::from(judgement.observed));
        }
        actor.spike.reported[window] = (judgement.observed, judgement.end_slot);
        let (buckets, window_name) = WINDOW_BUCKETS[window];
        let key = actor.key.clone();
        let fingerprint = Fingerprint::of(DetectorId::InvocationSpike, &[key.kind.label(), &key.name]);
        let mut finding = Finding::about(DetectorId::InvocationSpike, judged.call, judged.who, fingerprint);
        let excess = f64::from(judgement.observed) / judgement.limit;
        finding.severity = if excess >= 3.0 { Severity::High } else { Severity::Medium };
        let days = actor.spike.history(judged.call.invocation.time)[window].days();
        finding.confidence = if days >= self.settings.days_min { Confidence::High } else { Confidence::Medium };
        finding.title = format!("Invocation spike: {}, {} calls in {window_name}", finding.who.spoken(), judgement.observed);
        finding.explanation = explanation(&finding.who.spoken(), judgement, window_name, days, peers);
        finding.channel = window_name.to_owned();
        finding.onset = EventTime::from_unix((judgement.end_slot - buckets as i64 + 1) * BUCKET);
        finding.story_events = Some(actor.calls.saturating_sub(actor.spike.before_story));
        finding.techniques.push("T1496.004".to_owned());
        let finding = finding
            .with_number("observed", f64::from(judgement.observed))
            .with_number("window_seconds", (buckets as i64 * BUCKET) as f64)
            .with_number("usual_peak", judgement.usual.max(0.0).round())
            .with_number("limit", judgement.limit.round())
            .with_number("highest_28d", f64::from(judgement.highest))
            .with_number("history_days", f64::from(days))
            .with_number("peer_median", peers.map_or(0.0, |view| f64::from(view.median)));
        out.push(Signal::Finding(Box::new(finding)));
    }
}

fn explanation(who: &str, judgement: &Judgement, window: &str, days: u32, peers: Option<CohortView>) -> String {
    let own = if days == 0 {
        "no day of its own to compare with".to_owned()
    } else {
        format!("busiest {window} of a usual day: {:.0}; highest lately: {}", judgement.usual.max(0.0), judgement.highest)
    };
    let peers = peers.map_or_else(String::new, |view| format!("; median busiest 10 minutes of its peers: {}", view.median));
    format!("{who} made {} calls in {window} ({own}{peers}; alert limit {:.0}).", judgement.observed, judgement.limit)
}
