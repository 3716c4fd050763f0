//! What an engine did: counts and alerts, returned and never acted on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use crate::alerting::{Alert, Status};
use crate::archive::Batch;
use crate::baseline::Sight;
use crate::bedrock::EventId;
use crate::finding::{DetectorId, Finding, Severity};
use crate::identity::{ActorKey, Attribution, Department, DepartmentSource, Unknown};
use crate::observation::Call;
use crate::policy::{Decision, Ruling};
use crate::state::sight::sight;
use crate::time::EventTime;

/// Counts since the report was made. Names are those of `--summary` and of the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that came in.
    pub events: u64,
    /// Bedrock calls that spend a model's time, refused ones included.
    pub invocations: u64,
    /// Events that were seen before.
    pub duplicates: u64,
    /// Events older than the watermark.
    pub late: u64,
    /// Events older than one before them on the same input.
    pub out_of_order: u64,
    /// Events that say they come from the future.
    pub future: u64,
    /// Records that issued credentials.
    pub grants: u64,
    /// Records that removed somebody.
    pub removals: u64,
    /// What policy said about calls, by decision; nothing where there is no policy.
    pub verdicts: BTreeMap<Decision, u64>,
    /// Calls of callers that no policy document is for.
    pub unjudged: u64,
    /// Calls whose department is known, by where it comes from.
    pub sources: BTreeMap<DepartmentSource, u64>,
    /// Companion records of streaming calls.
    pub companions: u64,
    /// Companions or streaming calls whose other half never came.
    pub unpaired: u64,
    /// Calls attributed to a person.
    pub person: u64,
    /// Calls attributed to a department.
    pub department: u64,
    /// Calls whose department is unknown, by reason.
    pub unknown: BTreeMap<Unknown, u64>,
    /// Calls that went on without their grant because too many were waiting.
    pub held_overflow: u64,
    /// Findings by detector and severity.
    pub findings: BTreeMap<(DetectorId, Severity), u64>,
    /// Alert messages by detector and status.
    pub alerts: BTreeMap<(DetectorId, Status), u64>,
}

impl Counts {
    /// Counts how far a call was attributed, and what policy said.
    pub(super) fn attribute(&mut self, who: &Attribution, ruling: &Ruling) {
        self.person += u64::from(who.person.is_some());
        match &who.department {
            Department::Known { source, .. } => {
                self.department += 1;
                *self.sources.entry(*source).or_default() += 1;
            }
            Department::Unknown(why) => *self.unknown.entry(*why).or_default() += 1,
        }
        match &ruling.verdict {
            Some(verdict) if ruling.is_in_scope => *self.verdicts.entry(verdict.decision).or_default() += 1,
            Some(_) => self.unjudged += 1,
            None => {}
        }
    }

    /// Adds `other` to these counts.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.invocations += other.invocations;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.out_of_order += other.out_of_order;
        self.future += other.future;
        self.grants += other.grants;
        self.removals += other.removals;
        self.unjudged += other.unjudged;
        add_map(&mut self.verdicts, &other.verdicts);
        add_map(&mut self.sources, &other.sources);
        self.companions += other.companions;
        self.unpaired += other.unpaired;
        self.person += other.person;
        self.department += other.department;
        self.held_overflow += other.held_overflow;
        add_map(&mut self.unknown, &other.unknown);
        add_map(&mut self.findings, &other.findings);
        add_map(&mut self.alerts, &other.alerts);
    }
}

fn add_map<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(*key).or_default() += count;
    }
}

impl Engine {
    /// Open alerts, the most severe and latest first.
    pub fn open_alerts(&self, most: usize) -> Vec<Alert> {
        self.alerting.open_alerts(most)
    }

    /// Another number whenever an open alert may be another.
    pub const fn alerts_revision(&self) -> u64 {
        self.alerting.revision()
    }
}

/// What an engine did since the last report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Counts.
    pub counts: Counts,
    /// Alerts to publish, in order.
    pub alerts: Vec<Alert>,
    /// Events that findings were made of, in order; at most a thousand, for whoever keeps evidence as it goes.
    pub cited: Vec<EventId>,
    /// Settled model calls, where the engine was asked to keep them for the archive.
    pub archive: Batch,
    /// Findings, where the engine was asked to keep them.
    pub findings: Vec<Finding>,
    /// Every call with who made it, where the engine was asked to keep them.
    pub calls: Vec<AttributedCall>,
}

impl Report {
    /// Notes the event of a finding.
    pub(super) fn cite(&mut self, finding: &Finding) {
        const CITED_MAX: usize = 1_000;
        if self.cited.len() < CITED_MAX {
            self.cited.extend(finding.earlier.iter().chain(&finding.event_id).cloned());
        }
    }
}

/// A call and who made it, for whoever asks about every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributedCall {
    /// CloudTrail's id of it.
    pub event_id: Option<EventId>,
    /// When it was made.
    pub time: EventTime,
    /// Whose call it is counted as.
    pub actor: ActorKey,
    /// Whether it counts towards rates.
    pub counts: bool,
    /// What it shows of its context.
    pub sight: Sight,
    /// The person.
    pub person: Option<Arc<str>>,
    /// The department.
    pub department: Department,
    /// Whether the record that issued its key was found, and those of the sessions before it.
    pub is_joined: bool,
    /// What policy says about it.
    pub decision: Option<Decision>,
}

impl AttributedCall {
    pub(super) fn new(call: &Call, who: &Attribution, ruling: &Ruling) -> Self {
        Self {
            event_id: call.invocation.event_id.clone(),
            time: call.invocation.time,
            actor: who.actor.clone(),
            counts: call.invocation.counts(),
            sight: sight(call),
            person: who.person.clone(),
            department: who.department.clone(),
            is_joined: who.session.is_known,
            decision: ruling.verdict.as_ref().map(|verdict| verdict.decision),
        }
    }
}
