//! How many verdicts cannot be told, by the hour: when most are unknown, the documents are not the ones that apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::joining::Known;
use crate::detect::cross_department;
use crate::finding::Signal;
use crate::identity::Attribution;
use crate::observation::Call;
use crate::policy::{Decision, Ruling};
use crate::time::{EventTime, HOUR};

/// Hours that may be open at once: late calls belong to a few back.
const HOURS_MAX: usize = 48;
/// Fewest verdicts of an hour that say anything about the share.
const CALLS_MIN: u64 = 50;

/// Verdicts of one hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hour {
    known: u64,
    unknown: u64,
    /// The earliest call without a verdict, with its reason.
    sample: Option<(Arc<Call>, Arc<Attribution>, Arc<str>)>,
}

/// Verdicts by hour of event time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VerdictShare {
    hours: BTreeMap<i64, Hour>,
}

impl VerdictShare {
    /// Notes what was said about a call.
    pub(super) fn note(&mut self, call: &Call, known: &Known, ruling: &Ruling) {
        let Some(verdict) = ruling.verdict.as_ref().filter(|_| ruling.is_in_scope) else { return };
        let hour = call.invocation.time.slot(HOUR);
        if self.hours.len() >= HOURS_MAX && !self.hours.contains_key(&hour) {
            return;
        }
        let hour = self.hours.entry(hour).or_insert(Hour { known: 0, unknown: 0, sample: None });
        if verdict.decision != Decision::Unknown {
            hour.known += 1;
            return;
        }
        hour.unknown += 1;
        if hour.sample.as_ref().is_none_or(|(sample, ..)| call.order() < sample.order()) {
            hour.sample = Some((Arc::new(call.clone()), Arc::clone(&known.who), verdict.why.clone().unwrap_or_default()));
        }
    }

    /// Closes hours that ended before `time`: a finding for each in which more than `share_max` was unknown.
    pub(super) fn close(&mut self, time: EventTime, share_max: f64, out: &mut Vec<Signal>) {
        while let Some(entry) = self.hours.first_entry() {
            if (entry.key() + 1) * HOUR > time.unix() {
                break;
            }
            let hour = entry.remove();
            let all = hour.known + hour.unknown;
            let share = hour.unknown as f64 / all.max(1) as f64;
            if let Some((call, who, why)) = hour.sample.filter(|_| all >= CALLS_MIN && share > share_max) {
                out.push(cross_department::unknown_share(&call, &who, &why, hour.unknown, all));
            }
        }
    }
}
