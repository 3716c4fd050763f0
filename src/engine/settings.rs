//! Settings of an engine, with their defaults.

use std::sync::Arc;

use crate::alerting::AlertSettings;
use crate::detect::DetectorSettings;
use crate::identity::{Directory, IdentitySettings};
use crate::policy::PolicyBook;
use crate::sigma::{RuleFacts, RuleSet};
use crate::state::Counters;
use crate::time::{HOUR, MINUTE};

/// Settings of an engine. Times in seconds of event time.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How late an event may come and still count as if in order.
    pub lateness: i64,
    /// How long a call waits for the record that issued its key.
    pub join_wait: i64,
    /// How long a grant is kept. Sessions last up to 36 h (GetFederationToken), most at most 12 h.
    pub grant_lifetime: i64,
    /// Events that deduplication remembers.
    pub dedup_capacity: usize,
    /// Calls that may wait at once.
    pub held_max: usize,
    /// Grants that are kept at most.
    pub grants_max: usize,
    /// Halves of streaming calls that are kept at most.
    pub pairs_max: usize,
    /// Actors that are tracked at most.
    pub actors_max: usize,
    /// Credentials with refusals that are tracked at most.
    pub credentials_max: usize,
    /// Workers that own them.
    pub workers: usize,
    /// Whether findings are kept in the report.
    pub keep_findings: bool,
    /// How identities are read.
    pub identity: IdentitySettings,
    /// Known people.
    pub directory: Arc<Directory>,
    /// What may be called: documents and table.
    pub policy: Arc<PolicyBook>,
    /// Share of verdicts in an hour that may be unknown before it is an alert.
    pub unknown_share_max: f64,
    /// Whether every call is kept in the report with who made it.
    pub keep_calls: bool,
    /// Whether every settled model call is put into the report's archive.
    pub archives: bool,
    /// What the engines of one process count together; each has its own where there is nothing.
    pub counters: Option<Arc<Counters>>,
    /// Settings of the detectors.
    pub detectors: DetectorSettings,
    /// Life cycle of alerts.
    pub alerts: AlertSettings,
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// For tests of rules: what geophone would have found out.
    pub assumed_facts: Option<RuleFacts>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lateness: 15 * MINUTE,
            join_wait: 15 * MINUTE,
            grant_lifetime: 36 * HOUR + 15 * MINUTE,
            dedup_capacity: 4_000_000,
            held_max: 200_000,
            grants_max: 1_000_000,
            pairs_max: 500_000,
            actors_max: 1_000_000,
            credentials_max: 200_000,
            workers: 4,
            keep_findings: false,
            identity: IdentitySettings::default(),
            directory: Arc::default(),
            policy: Arc::default(),
            unknown_share_max: 0.2,
            keep_calls: false,
            archives: false,
            counters: None,
            detectors: DetectorSettings::default(),
            alerts: AlertSettings::default(),
            rules: Arc::default(),
            assumed_facts: None,
        }
    }
}
