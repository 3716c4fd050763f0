//! Counts calls and tokens by department and model family, for page and metrics; pairs streaming calls with their
//! companion records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::waiting::{Half, HeldCall, Pairs};
use super::{Engine, Report};
use crate::bedrock::{Outcome, Tokens, model_id};
use crate::detect::{Context, Judged};
use crate::identity::{Attribution, Unknown};
use crate::observation::Call;
use crate::state::{Counted, Shared};
use crate::time::EventTime;

/// Counts a call. Gives its tokens, where they are known by now.
pub(super) fn count(held: &HeldCall, who: &Attribution, shared: &Shared, pairs: &mut Pairs) -> Option<Tokens> {
    let invocation = &held.call.invocation;
    if !invocation.operation.is_invocation {
        return None;
    }
    let mut tokens = invocation.tokens;
    if tokens.is_none() && invocation.operation.is_streaming && invocation.request != 0 && invocation.outcome == Outcome::Success {
        match pairs.take(invocation.request) {
            Some(Half::Tokens(parked)) => tokens = Some(parked),
            _ => pairs.park(invocation.request, Half::Call(held.clone()), invocation.time),
        }
    }
    let (department, family) = row(&held.call, who);
    let Some(counts) = shared.access(&department, &family) else { return tokens };
    let counter = match invocation.outcome {
        Outcome::Success => &counts.success,
        Outcome::Denied(_) => &counts.denied,
        Outcome::Throttled => &counts.throttled,
        Outcome::Failed => &counts.failed,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    counts.tokens.fetch_add(tokens.map_or(0, |tokens| tokens.total()), Ordering::Relaxed);
    tokens
}

impl Engine {
    /// The companion record of a streaming call: its tokens count at the time of the call, whichever comes first.
    pub(super) fn companion(&mut self, request: u64, tokens: Tokens, time: EventTime, report: &mut Report) {
        report.counts.companions += 1;
        let Some(Half::Call(held)) = self.pairs.take(request) else {
            return self.pairs.park(request, Half::Tokens(tokens), time);
        };
        let known = self.joining.attribute(&held.call, Unknown::NoGrant);
        let who = &known.who;
        let (department, family) = row(&held.call, who);
        if let Some(counts) = self.shared.access(&department, &family) {
            counts.tokens.fetch_add(tokens.total(), Ordering::Relaxed);
        }
        let judged = Judged { tokens: Some(tokens), trusted: held.trusted, ..Judged::plain(&held.call, who) };
        let cohort = self.baselines.fleet.cohort(who.department.name(), who.actor.kind.is_machine());
        let counted = Counted::default();
        let (fleet, prices) = (&self.baselines.fleet, &*self.settings.detectors.prices);
        let context = Context { fleet, cohort, prices, counted: &counted };
        let owner = self.owner(who.actor.stable_hash());
        self.workers[owner].add_tokens(&judged, &self.detectors, &context, &mut self.signals);
        self.publish(report);
    }
}

/// Department (or the reason in brackets) and model family: the row of the access table.
fn row(call: &Call, who: &Attribution) -> (Arc<str>, Arc<str>) {
    let department =
        who.department.name().map_or_else(|| format!("({})", who.department.unknown().map_or("", Unknown::label)).into(), Arc::clone);
    let family = call.invocation.model.as_ref().map_or_else(|| Arc::from(model_id::OTHER_FAMILY), |model| Arc::clone(&model.family));
    (department, family)
}
