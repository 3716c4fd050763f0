//! The alert itself, and its stable form as one line of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bedrock::{Denial, EventId, Model};
use crate::finding::{Confidence, DetectorId, Digest128, Finding, Fingerprint, History, Severity, Who};
use crate::identity::Department;
use crate::policy::Verdict;
use crate::sigma::Rule;
use crate::time::{DAY, EventTime};

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Said for the first time.
    Opened,
    /// Said again, because something is new.
    Updated,
    /// Quiet for long enough.
    Resolved,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Opened, Self::Updated, Self::Resolved];

    /// The status as it is written everywhere.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
        }
    }
}

/// One detector's story about one thing, as of one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// Fixed when first published.
    pub alert_id: Digest128,
    /// Joins the alerts of one actor that overlap in time.
    pub incident_id: Digest128,
    /// Incidents that turned out to be about the same person.
    pub linked_incidents: Vec<Digest128>,
    /// What merges with it.
    pub fingerprint: Fingerprint,
    /// Where it is in its life.
    pub status: Status,
    /// Said before a crash, perhaps.
    pub possible_duplicate: bool,
    /// Time of the latest event that is in it.
    pub time: EventTime,
    /// Whose story.
    pub detector: DetectorId,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// A few words.
    pub title: String,
    /// One sentence with the numbers.
    pub explanation: String,
    /// Parts of the detector that spoke, in order of appearance.
    pub channels: Vec<String>,
    /// Whom it is about.
    pub who: Who,
    /// The model of the worst moment.
    pub model: Option<Arc<Model>>,
    /// The refusal of the worst moment.
    pub denial: Option<Denial>,
    /// What the policy says about it.
    pub policy: Option<Verdict>,
    /// The account.
    pub account: Arc<str>,
    /// The region.
    pub region: Arc<str>,
    /// Where the call came from.
    pub source_ip: Arc<str>,
    /// The numbers of the sentence.
    pub numbers: BTreeMap<String, f64>,
    /// The actor's days before, where the detector remembers them.
    pub history: Option<History>,
    /// At most 50 events of it.
    pub event_ids: Vec<EventId>,
    /// How many events it has.
    pub event_count: u64,
    /// When it began.
    pub onset: EventTime,
    /// Its latest event.
    pub last_event: EventTime,
    /// MITRE ATT&CK technique ids.
    pub techniques: Vec<String>,
    /// The rule, where a rule says it.
    pub rule: Option<Arc<Rule>>,
}

impl Alert {
    pub(super) fn open(finding: Finding, alert_id: Digest128, incident_id: Digest128) -> Self {
        Self {
            alert_id,
            incident_id,
            linked_incidents: Vec::new(),
            fingerprint: finding.fingerprint,
            status: Status::Opened,
            possible_duplicate: false,
            time: finding.time,
            detector: finding.detector,
            severity: finding.severity,
            confidence: finding.confidence,
            title: finding.title,
            explanation: finding.explanation,
            channels: vec![finding.channel],
            who: finding.who,
            model: finding.model,
            denial: finding.denial,
            policy: finding.policy,
            account: finding.account,
            region: finding.region,
            source_ip: finding.source_ip,
            numbers: finding.numbers,
            history: finding.history,
            event_ids: finding.earlier.into_iter().chain(finding.event_id).collect(),
            event_count: finding.story_events.unwrap_or(1),
            onset: finding.onset,
            last_event: finding.time,
            techniques: finding.techniques,
            rule: finding.rule,
        }
    }

    pub(super) fn show(
        &mut self,
        severity: Severity,
        confidence: Confidence,
        title: String,
        explanation: String,
        numbers: BTreeMap<String, f64>,
    ) {
        (self.severity, self.confidence) = (severity, confidence);
        (self.title, self.explanation, self.numbers) = (title, explanation, numbers);
    }

    /// Puts a name that was learned later where the sentences had the old one.
    pub(super) fn rename(&mut self, name: &str) {
        let old = self.who.spoken();
        self.title = self.title.replace(&old, name);
        self.explanation = self.explanation.replace(&old, name);
    }

    /// The detector's name; of a rule with its id: `sigma:…`.
    pub fn detector_name(&self) -> Cow<'static, str> {
        match &self.rule {
            Some(rule) => format!("{}:{}", self.detector.label(), rule.id).into(),
            None => self.detector.label().into(),
        }
    }

    /// Whose story it is, for people: the detector, or the rule by its name.
    pub fn speaker(&self) -> &str {
        self.rule.as_ref().map_or(self.detector.label(), |rule| &rule.name)
    }

    /// The department's name, or `unknown`.
    pub fn department(&self) -> &str {
        self.who.department.name().map_or("unknown", |name| name)
    }

    /// The alert as one line of JSON, without the line break. The form is a stable contract: fields are added, never
    /// renamed; those that do not apply are null.
    pub fn to_ndjson(&self) -> String {
        // Maps with text keys and no foreign serializers: this cannot fail.
        serde_json::to_string(&Line::of(self)).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    alert_id: String,
    incident_id: String,
    linked_incidents: Vec<String>,
    status: Status,
    possible_duplicate: bool,
    time: String,
    detector: Cow<'static, str>,
    rule: Option<&'a str>,
    severity: Severity,
    confidence: Confidence,
    title: &'a str,
    explanation: &'a str,
    actor: ActorLine<'a>,
    department: DepartmentLine<'a>,
    model: Option<ModelLine<'a>>,
    denial: Option<DenialLine>,
    policy: Option<PolicyLine<'a>>,
    account: Option<&'a str>,
    region: Option<&'a str>,
    source_ip: Option<&'a str>,
    numbers: &'a BTreeMap<String, f64>,
    history: Option<HistoryLine<'a>>,
    event_ids: Vec<String>,
    event_count: u64,
    onset: String,
    last_event: String,
    techniques: &'a [String],
}

#[derive(Serialize)]
struct ActorLine<'a> {
    kind: &'static str,
    key: &'a str,
    person: Option<&'a str>,
    arn: Option<&'a str>,
    issuer: Option<&'a str>,
    access_key_id: Option<&'a str>,
}

#[derive(Serialize)]
struct DepartmentLine<'a> {
    value: Option<&'a str>,
    source: &'static str,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct ModelLine<'a> {
    id: &'a str,
    as_written: &'a str,
    family: &'a str,
}

#[derive(Serialize)]
struct DenialLine {
    kind: &'static str,
    by: Option<&'static str>,
}

#[derive(Serialize)]
struct HistoryLine<'a> {
    unit: &'static str,
    last_day: String,
    busiest_hours: &'a [f32],
}

#[derive(Serialize)]
struct PolicyLine<'a> {
    verdict: &'static str,
    statement: Option<&'a str>,
    why: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(alert: &'a Alert) -> Self {
        let ids = |list: &[Digest128]| list.iter().map(ToString::to_string).collect();
        Self {
            alert_id: alert.alert_id.to_string(),
            incident_id: alert.incident_id.to_string(),
            linked_incidents: ids(&alert.linked_incidents),
            status: alert.status,
            possible_duplicate: alert.possible_duplicate,
            time: alert.time.to_string(),
            detector: alert.detector_name(),
            rule: alert.rule.as_ref().map(|rule| &*rule.name),
            severity: alert.severity,
            confidence: alert.confidence,
            title: &alert.title,
            explanation: &alert.explanation,
            actor: ActorLine {
                kind: alert.who.actor.kind.label(),
                key: &alert.who.actor.name,
                person: alert.who.person.as_deref(),
                arn: some(&alert.who.arn),
                issuer: some(&alert.who.issuer),
                access_key_id: some(&alert.who.access_key_id),
            },
            department: match &alert.who.department {
                Department::Known { name, source } => DepartmentLine { value: Some(name), source: source.label(), reason: None },
                Department::Unknown(why) => DepartmentLine { value: None, source: "none", reason: Some(why.label()) },
            },
            model: alert.model.as_ref().map(|model| ModelLine { id: &model.id, as_written: &model.as_written, family: &model.family }),
            denial: alert
                .denial
                .as_ref()
                .map(|denial| DenialLine { kind: denial.kind.label(), by: denial.by.and_then(crate::bedrock::DeniedBy::label) }),
            policy: alert.policy.as_ref().map(|policy| PolicyLine {
                verdict: policy.decision.label(),
                statement: policy.statement.as_deref(),
                why: policy.why.as_deref(),
            }),
            account: some(&alert.account),
            region: some(&alert.region),
            source_ip: some(&alert.source_ip),
            numbers: &alert.numbers,
            history: alert.history.as_ref().map(|history| HistoryLine {
                unit: history.unit.label(),
                last_day: day(history.last_day),
                busiest_hours: &history.busiest_hours,
            }),
            event_ids: alert.event_ids.iter().map(ToString::to_string).collect(),
            event_count: alert.event_count,
            onset: alert.onset.to_string(),
            last_event: alert.last_event.to_string(),
            techniques: &alert.techniques,
        }
    }
}

/// `2026-06-01`.
fn day(day: i64) -> String {
    EventTime::from_unix(day * DAY).to_string()[..10].to_owned()
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
