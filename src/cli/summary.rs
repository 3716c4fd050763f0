//! The summary of a run: one JSON object for `--summary FILE`, a few lines for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Exit, Failure};
use crate::alerting::Status;
use crate::engine::Counts;

/// What `--summary` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Kinesis records, or files in a replay.
    pub records: u64,
    /// Events that were decoded.
    pub events: u64,
    /// Bedrock calls that spend a model's time.
    pub invocations: u64,
    /// Events that were seen before.
    pub duplicates: u64,
    /// Parts of records that could not be decoded.
    pub undecodable: u64,
    /// Events later than lateness allows.
    pub late: u64,
    /// Events older than one before them.
    pub out_of_order: u64,
    /// How far calls were attributed.
    pub attributed: Attributed,
    /// Findings by detector.
    pub findings_by_detector: BTreeMap<&'static str, u64>,
    /// Alerts opened, by detector.
    pub alerts_by_detector: BTreeMap<&'static str, u64>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Events a second.
    pub events_per_second: f64,
}

/// How far calls were attributed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attributed {
    /// To a person.
    pub person: u64,
    /// To a department.
    pub department: u64,
    /// To no department, by reason.
    pub unknown_by_reason: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// A summary of an engine's counts.
    pub fn new(counts: &Counts, records: u64, undecodable: u64, seconds: f64) -> Self {
        let mut findings = BTreeMap::new();
        for ((detector, _), count) in &counts.findings {
            *findings.entry(detector.label()).or_default() += count;
        }
        let opened = counts.alerts.iter().filter(|((_, status), _)| *status == Status::Opened);
        Self {
            records,
            events: counts.events,
            invocations: counts.invocations,
            duplicates: counts.duplicates,
            undecodable,
            late: counts.late,
            out_of_order: counts.out_of_order,
            attributed: Attributed {
                person: counts.person,
                department: counts.department,
                unknown_by_reason: counts.unknown.iter().map(|(why, count)| (why.label(), *count)).collect(),
            },
            findings_by_detector: findings,
            alerts_by_detector: opened.map(|((detector, _), count)| (detector.label(), *count)).collect(),
            seconds,
            events_per_second: if seconds > 0.0 { (counts.events as f64 / seconds).round() } else { 0.0 },
        }
    }

    /// Writes the summary to a file.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write(path, text + "\n").map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{}: {error}", path.display())))
    }

    /// The summary for people.
    pub fn spoken(&self) -> String {
        let mut text = format!("{} events, {} Bedrock calls", self.events, self.invocations);
        let known = self.attributed.department;
        let unknown: u64 = self.attributed.unknown_by_reason.values().sum();
        if known + unknown > 0 {
            let _ = write!(text, "; department known for {known} of {} attributed calls", known + unknown);
        }
        for (name, count) in [("duplicates", self.duplicates), ("late", self.late), ("undecodable", self.undecodable)] {
            if count > 0 {
                let _ = write!(text, "; {count} {name}");
            }
        }
        let alerts: Vec<String> = self.alerts_by_detector.iter().map(|(detector, count)| format!("{count} {detector}")).collect();
        let alerts = if alerts.is_empty() { "none".to_owned() } else { alerts.join(", ") };
        let _ = write!(text, "\nalerts: {alerts}\n{:.1} s, {:.0} events/s", self.seconds, self.events_per_second);
        text
    }
}
