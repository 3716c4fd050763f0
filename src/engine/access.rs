//! Counts calls and tokens by department and model family, for page and metrics; pairs streaming calls with their
//! companion records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::waiting::{Half, Pairs};
use crate::bedrock::{Outcome, Tokens, model_id};
use crate::identity::{Attribution, Unknown};
use crate::observation::Call;
use crate::state::Shared;
use crate::time::EventTime;

/// Counts a call.
pub(super) fn count(call: &Call, who: &Attribution, shared: &Shared, pairs: &mut Pairs) {
    let invocation = &call.invocation;
    if !invocation.operation.is_invocation {
        return;
    }
    let (department, family) = row(call, who);
    let mut tokens = invocation.tokens;
    if tokens.is_none() && invocation.operation.is_streaming && invocation.request != 0 && invocation.outcome == Outcome::Success {
        match pairs.take(invocation.request) {
            Some(Half::Tokens(parked)) => tokens = Some(parked),
            _ => {
                let half = Half::Call { department: Arc::clone(&department), family: Arc::clone(&family) };
                pairs.park(invocation.request, half, invocation.time);
            }
        }
    }
    let Some(counts) = shared.access(&department, &family) else { return };
    let counter = match invocation.outcome {
        Outcome::Success => &counts.success,
        Outcome::Denied(_) => &counts.denied,
        Outcome::Throttled => &counts.throttled,
        Outcome::Failed => &counts.failed,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    counts.tokens.fetch_add(tokens.map_or(0, total), Ordering::Relaxed);
}

/// Adds the tokens of a companion record to its call.
pub(super) fn companion(request: u64, tokens: Tokens, time: EventTime, shared: &Shared, pairs: &mut Pairs) {
    match pairs.take(request) {
        Some(Half::Call { department, family }) => {
            if let Some(counts) = shared.access(&department, &family) {
                counts.tokens.fetch_add(total(tokens), Ordering::Relaxed);
            }
        }
        _ => pairs.park(request, Half::Tokens(tokens), time),
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.input.saturating_add(tokens.output)
}

/// Department (or the reason in brackets) and model family: the row of the access table.
fn row(call: &Call, who: &Attribution) -> (Arc<str>, Arc<str>) {
    let department =
        who.department.name().map_or_else(|| format!("({})", who.department.unknown().map_or("", Unknown::label)).into(), Arc::clone);
    let family = call.invocation.model.as_ref().map_or_else(|| Arc::from(model_id::OTHER_FAMILY), |model| Arc::clone(&model.family));
    (department, family)
}
