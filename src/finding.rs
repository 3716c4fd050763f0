//! A finding: what one detector says about one moment, with the numbers that made it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::baseline::CohortId;
use crate::baseline::habits::FirstUse;
use crate::baseline::memory::Joins;
use crate::bedrock::{Denial, EventId, Model};
use crate::cloudtrail::Arn;
use crate::identity::{ActorKey, ActorKind, Attribution, Caller, Department, Unknown};
use crate::observation::Call;
use crate::policy::Verdict;
use crate::sigma::Rule;
use crate::stats::sparkline;
use crate::time::EventTime;

pub use crate::severity::Severity;

/// A detector's name: the `detector` of an alert and the label of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DetectorId {
    /// A Bedrock call was refused.
    AccessDenied,
    /// A call succeeded on a model that is not the department's.
    CrossDepartment,
    /// A model, region, network or client that an actor has not used before.
    FirstSeen,
    /// Far more calls than the actor's own history explains.
    InvocationSpike,
    /// A call after its person was removed.
    Offboarded,
    /// A call that did not come the expected way.
    Perimeter,
    /// One credential in two places at once.
    SessionTheft,
    /// A Sigma rule.
    Sigma,
    /// Far more money than the actor's own history explains.
    TokenSpend,
    /// Calls that no person answers for.
    Unattributed,
    /// What geophone itself could not see.
    BlindSpot,
}

impl DetectorId {
    /// Every detector.
    pub const ALL: [Self; 11] = [
        Self::AccessDenied,
        Self::CrossDepartment,
        Self::FirstSeen,
        Self::InvocationSpike,
        Self::Offboarded,
        Self::Perimeter,
        Self::SessionTheft,
        Self::Sigma,
        Self::TokenSpend,
        Self::Unattributed,
        Self::BlindSpot,
    ];

    /// The name as it is written everywhere.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AccessDenied => "access-denied",
            Self::CrossDepartment => "cross-department",
            Self::FirstSeen => "first-seen",
            Self::InvocationSpike => "invocation-spike",
            Self::Offboarded => "offboarded",
            Self::Perimeter => "perimeter",
            Self::SessionTheft => "session-theft",
            Self::Sigma => "sigma",
            Self::TokenSpend => "token-spend",
            Self::Unattributed => "unattributed",
            Self::BlindSpot => "blind-spot",
        }
    }
}

/// How sure the finding is that what it says is so; not how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A guess from little.
    Low,
    /// Likely.
    Medium,
    /// A fact of the record.
    High,
}

/// 128 bits of SHA-256 over parts, written as 32 hex digits: names of alerts and incidents. A cryptographic hash,
/// because callers choose some of the parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest128([u8; 16]);

impl Digest128 {
    /// The digest of `parts`. Each part's length goes in too, so that no two lists of parts look alike.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self(digest)
    }

    /// A digest from its 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest's bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Digest128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When two findings are one alert: the same detector about the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub Digest128);

impl Fingerprint {
    /// The fingerprint of `detector` about what `parts` name.
    pub fn of(detector: DetectorId, parts: &[&str]) -> Self {
        let mut bytes = vec![detector.label().as_bytes()];
        bytes.extend(parts.iter().map(|part| part.as_bytes()));
        Self(Digest128::of(&bytes))
    }
}

/// Whom a finding is about, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// The actor; for a call that still waits for its grant, the actor it would be without one.
    pub actor: ActorKey,
    /// The person's name.
    pub person: Option<Arc<str>>,
    /// The caller's ARN.
    pub arn: Arc<str>,
    /// The role behind the session.
    pub issuer: Arc<str>,
    /// The access key.
    pub access_key_id: Arc<str>,
    /// The department.
    pub department: Department,
    /// Whom on-call can ask, by the directory.
    pub manager: Option<Arc<str>>,
}

impl Who {
    /// The caller with what is known about it.
    pub fn new(caller: &Caller, attribution: &Attribution) -> Self {
        Self {
            actor: attribution.actor.clone(),
            person: attribution.person.clone(),
            arn: Arc::clone(&caller.arn),
            issuer: Arc::clone(&caller.issuer),
            access_key_id: Arc::clone(&caller.access_key_id),
            department: attribution.department.clone(),
            manager: attribution.member.as_ref().and_then(|member| member.manager.clone()),
        }
    }

    /// A name that can be read aloud: a person's own, else what the ARN or the key says.
    pub fn name(&self) -> String {
        if let Some(person) = &self.person {
            return person.to_string();
        }
        let name = &*self.actor.name;
        let resource = Arn::parse(name).map_or("", |arn| arn.resource);
        let last = resource.rsplit('/').next().unwrap_or(name);
        match self.actor.kind {
            ActorKind::User if !resource.is_empty() => format!("IAM user {last}"),
            ActorKind::Role if !resource.is_empty() => format!("role {last}"),
            ActorKind::Session if resource.starts_with("assumed-role/") => {
                let role = resource.split('/').nth(1).unwrap_or("");
                format!("session {last} of role {role}")
            }
            ActorKind::Session | ActorKind::User => format!("key {name}"),
            ActorKind::Root => format!("root of account {name}"),
            ActorKind::Person | ActorKind::Role | ActorKind::Service | ActorKind::Unknown => name.to_owned(),
        }
    }

    /// The subject of a sentence: `alice@example.com (legal)`.
    pub fn spoken(&self) -> String {
        let name = self.name();
        match &self.department {
            Department::Known { name: department, .. } => format!("{name} ({department})"),
            Department::Unknown(Unknown::Pending) => format!("{name} (department pending)"),
            Department::Unknown(_) => format!("{name} (department unknown)"),
        }
    }

    /// Whether it is settled who it is: the grant is known or will not come.
    pub fn is_settled(&self) -> bool {
        self.department.unknown() != Some(Unknown::Pending)
    }
}

/// What was usual before: the highest hour of each of the last days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What is counted: `calls` or `dollars`.
    pub unit: HistoryUnit,
    /// The last of the days, counted from 1970-01-01.
    pub last_day: i64,
    /// The busiest hours, the oldest day first.
    pub busiest_hours: Vec<f32>,
}

impl History {
    /// The busiest hours as a line of blocks, and the highest of them.
    pub fn plot(&self) -> (String, f64) {
        let hours: Vec<f64> = self.busiest_hours.iter().map(|hour| f64::from(*hour)).collect();
        (sparkline(&hours), hours.iter().copied().fold(0.0, f64::max))
    }
}

/// What a history counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryUnit {
    /// Bedrock calls.
    Calls,
    /// US dollars at list prices.
    Dollars,
}

impl HistoryUnit {
    /// The unit as it is written everywhere.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Dollars => "dollars",
        }
    }
}

/// What a detector says about one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Which detector.
    pub detector: DetectorId,
    /// What merges with it.
    pub fingerprint: Fingerprint,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// A few words.
    pub title: String,
    /// One sentence with the numbers.
    pub explanation: String,
    /// Which part of the detector spoke: an alert that gains a channel has news. Empty where there is only one.
    pub channel: String,
    /// Whom it is about.
    pub who: Who,
    /// The model, where there is one.
    pub model: Option<Arc<Model>>,
    /// The refusal, where there is one.
    pub denial: Option<Denial>,
    /// What the policy says, where it was asked.
    pub policy: Option<Verdict>,
    /// The call's account.
    pub account: Arc<str>,
    /// The call's region.
    pub region: Arc<str>,
    /// Where the call came from.
    pub source_ip: Arc<str>,
    /// The numbers of the sentence, by name.
    pub numbers: BTreeMap<String, f64>,
    /// The actor's last days, where the detector remembers them.
    pub history: Option<History>,
    /// The event that decided.
    pub event_id: Option<EventId>,
    /// Events before it that it was made of, as far as they are remembered, the oldest first.
    pub earlier: Vec<EventId>,
    /// How many events the story has in all, where the detector knows; else findings are counted.
    pub story_events: Option<u64>,
    /// When the story began.
    pub onset: EventTime,
    /// When the deciding event happened.
    pub time: EventTime,
    /// MITRE ATT&CK technique ids.
    pub techniques: Vec<String>,
    /// The rule, where a rule says it.
    pub rule: Option<Arc<Rule>>,
}

impl Finding {
    /// A finding about `call`; the detector fills in what it says.
    pub fn about(detector: DetectorId, call: &Call, attribution: &Attribution, fingerprint: Fingerprint) -> Self {
        let invocation = &call.invocation;
        Self {
            detector,
            fingerprint,
            severity: Severity::Low,
            confidence: Confidence::High,
            title: String::new(),
            explanation: String::new(),
            channel: String::new(),
            who: Who::new(&call.caller, attribution),
            model: invocation.model.clone(),
            denial: invocation.outcome.denial().cloned(),
            policy: None,
            account: Arc::clone(&invocation.account),
            region: Arc::clone(&invocation.region),
            source_ip: Arc::clone(&invocation.source_ip),
            numbers: BTreeMap::new(),
            history: None,
            event_id: invocation.event_id.clone(),
            earlier: Vec::new(),
            story_events: None,
            onset: invocation.time,
            time: invocation.time,
            techniques: Vec::new(),
            rule: None,
        }
    }

    /// Adds a number under `name`.
    pub fn with_number(mut self, name: &str, value: f64) -> Self {
        self.numbers.insert(name.to_owned(), value);
        self
    }
}

/// What a late join adds to an alert that was opened before it: the person, the department, and a higher severity where
/// the model belongs to somebody else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Enrichment {
    /// The alert it belongs to.
    pub fingerprint: Fingerprint,
    /// Who it turned out to be.
    pub who: Who,
    /// What the policy says about it now.
    pub policy: Option<Verdict>,
    /// At least this severity.
    pub severity: Severity,
    /// What is new, as a sentence to add.
    pub remark: Option<String>,
    /// When the event that it is about happened.
    pub time: EventTime,
}

/// What a tap says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Signal {
    /// Something happened.
    Finding(Box<Finding>),
    /// Something more is known about what happened.
    Enrichment(Box<Enrichment>),
    /// Nothing for people: what an actor's baseline tells the fleet.
    Baseline(Box<BaselineNote>),
}

/// What an actor's baseline tells the fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaselineNote {
    /// The actor's cohort.
    pub cohort: CohortId,
    /// What it uses for the first time.
    pub first_uses: Vec<FirstUse>,
    /// Hours whose crowd it joins.
    pub joins: Vec<(i64, Joins)>,
}

impl BaselineNote {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.first_uses.is_empty() && self.joins.is_empty()
    }
}
