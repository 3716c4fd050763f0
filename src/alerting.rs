//! From findings to alerts: what is paged, when it is said again, and when it is over.
//!
//! ```text
//!                 finding                    quiet for `resolve_after`
//!   (nothing) ──────────────► Opened ───────────────────────────────► Resolved
//!                               │  ▲                                     │
//!         tenfold, more severe, │  │ finding: counted, not said          │ finding: a new
//!         newly known who       ▼  │                                     ▼ alert, a new id
//!                             Updated                                 (Opened)
//! ```
//!
//! One alert is one detector's story about one thing (its fingerprint); one incident joins the alerts of one actor that
//! overlap in time, and those of three and more actors of a department that are unusual at once ([`groups`]). Ids come from
//! the detector, the fingerprint and the time of onset: nothing in them is from a clock or a shard. Updates come at most
//! every five minutes of event time unless the severity rises. Whom that wakes is for [`paging`] to say.
//!
//! **Invariants:** never two open alerts of one fingerprint; no finding is lost (each is counted in exactly one alert);
//! this module never reads a CloudTrail field and never sends anything.

pub mod acknowledged;
mod image;
mod groups;
pub mod privacy;
pub mod message;
pub mod paging;
pub mod record;
pub mod silence;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::finding::{Digest128, Enrichment, Finding, Fingerprint, Severity, Signal};
use crate::identity::{ActorKey, ActorKind, Department};
use crate::stats::ring::BUCKET;
use crate::time::{EventTime, HOUR, MINUTE};

use acknowledged::Acknowledgement;

pub use image::AlertingImage;
pub use paging::{Digest, Page, Paging, PagingImage, PagingSettings};
pub use record::{Alert, Status};
pub use silence::{Scope, Silence, SilenceError};

/// Event ids that an alert lists; `event_count` is the truth.
const EVENT_IDS_MAX: usize = 50;
/// Remarks that an alert collects from joins.
const REMARKS_MAX: usize = 4;
/// Channels that an alert tells apart.
const CHANNELS_MAX: usize = 8;
/// Updates that are not urgent come at most this often, in event time.
const UPDATE_EVERY: i64 = 5 * MINUTE;
/// How long a resolved or recalled story is remembered at least.
const STORY_KEPT: i64 = 24 * HOUR;
/// Growth of the event count that is worth an update.
const GROWTH: u64 = 10;

/// Settings of the alert life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// Quiet time after which an alert is resolved, in seconds of event time.
    pub resolve_after: i64,
    /// Most alerts that are open at once; beyond it the one that is quiet for longest is resolved early, and counted.
    pub open_max: usize,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { resolve_after: 6 * HOUR, open_max: 20_000 }
    }
}

/// An alert id and an incident id that were published before a crash, to be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The alert's id.
    pub alert_id: Digest128,
    /// Its incident's.
    pub incident_id: Digest128,
    /// When its story began: only a finding of about that time is the same story.
    pub onset: EventTime,
}

/// All open alerts and incidents.
#[derive(Clone, Debug)]
pub struct Alerting {
    settings: AlertSettings,
    open: HashMap<Fingerprint, OpenAlert>,
    /// The same by their last event: a flood must not cost a look at all of them for each that goes.
    by_last_event: BTreeSet<(EventTime, Fingerprint)>,
    /// Open incidents by subject, with the number of their open alerts.
    incidents: BTreeMap<Subject, (Digest128, u32)>,
    recalled: BTreeMap<Fingerprint, Recalled>,
    /// Alerts that were resolved not long ago: their last event, and how many events of their story they had.
    resolved: BTreeMap<Fingerprint, (EventTime, u64)>,
    /// Incidents that somebody has in hand.
    acknowledged: BTreeMap<Digest128, Acknowledgement>,
    last_sweep: EventTime,
    resolved_early: u64,
    revision: u64,
}

/// Whom an incident is about: an actor, or a credential whose holder is not settled yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Subject {
    Actor(ActorKey),
    Credential(String),
    /// Several actors of a department.
    Group(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenAlert {
    alert: Alert,
    subject: Subject,
    /// The person's incident that it was linked to, and keeps open.
    linked: Option<Subject>,
    /// Events of its story that an earlier alert had.
    told_before: u64,
    /// What was said last.
    said_count: u64,
    said_at: EventTime,
    /// Something worth saying waits for `UPDATE_EVERY`.
    is_due: bool,
    remarks: Vec<String>,
}

impl Alerting {
    /// Nothing open.
    pub fn new(settings: AlertSettings) -> Self {
        Self {
            settings,
            open: HashMap::new(),
            by_last_event: BTreeSet::new(),
            incidents: BTreeMap::new(),
            recalled: BTreeMap::new(),
            resolved: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            last_sweep: EventTime::MIN,
            resolved_early: 0,
            revision: 0,
        }
    }

    /// Ids that were published before a crash and after the snapshot that this state comes from: an alert that opens
    /// again keeps them, and what is said again says that it may be a duplicate.
    pub fn recall(&mut self, published: impl IntoIterator<Item = (Fingerprint, Recalled)>) {
        for (fingerprint, known) in published {
            match self.open.get_mut(&fingerprint) {
                // What the snapshot has open keeps its id by itself.
                Some(open) => open.alert.possible_duplicate |= open.alert.alert_id == known.alert_id,
                None => {
                    self.recalled.insert(fingerprint, known);
                }
            }
        }
    }

    /// Takes a signal in and says what is to be published because of it.
    pub fn handle(&mut self, signal: Signal, out: &mut Vec<Alert>) {
        self.revision += 1;
        match signal {
            Signal::Finding(finding) => match self.open.get_mut(&finding.fingerprint) {
                Some(open) => {
                    let (fingerprint, before) = (finding.fingerprint, open.alert.last_event);
                    if open.absorb(*finding) {
                        out.push(open.say(Status::Updated));
                    }
                    if open.alert.last_event != before {
                        self.by_last_event.remove(&(before, fingerprint));
                        self.by_last_event.insert((open.alert.last_event, fingerprint));
                    }
                }
                None => self.open_alert(*finding, out),
            },
            Signal::Enrichment(enrichment) => self.enrich(*enrichment, out),
            // Heard by the engine.
            Signal::Baseline(_) => {}
        }
    }

    /// Moves time on: says updates that waited, and resolves what has been quiet. Cheap unless a minute has begun.
    pub fn handle_time(&mut self, watermark: EventTime, out: &mut Vec<Alert>) {
        if watermark.slot(MINUTE) <= self.last_sweep.slot(MINUTE) {
            return;
        }
        self.last_sweep = watermark;
        self.revision += 1;
        let keep = self.settings.resolve_after.max(STORY_KEPT);
        self.recalled.retain(|_, known| watermark.since(known.onset) < keep);
        self.resolved.retain(|_, (last, _)| watermark.since(*last) < keep);
        let mut order: Vec<Fingerprint> = self.open.keys().copied().collect();
        order.sort_unstable();
        for fingerprint in order {
            let Some(open) = self.open.get_mut(&fingerprint) else { continue };
            if watermark.since(open.alert.last_event) >= self.settings.resolve_after {
                self.resolve(fingerprint, out);
            } else if open.is_due && watermark.since(open.said_at) >= UPDATE_EVERY {
                out.push(open.say(Status::Updated));
            }
        }
    }

    /// The end of all input: says once more what has changed since it was said, in the order in which it happened.
    pub fn finish(&mut self, out: &mut Vec<Alert>) {
        let has_changed = |open: &&mut OpenAlert| open.is_due || open.alert.event_count > open.said_count;
        let mut changed: Vec<&mut OpenAlert> = self.open.values_mut().filter(has_changed).collect();
        changed.sort_unstable_by_key(|open| (open.alert.last_event, open.alert.alert_id));
        out.extend(changed.into_iter().map(|open| open.say(Status::Updated)));
    }

    /// Another number whenever an open alert may be another.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How many alerts are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Alerts that were resolved early for want of room.
    pub fn resolved_early(&self) -> u64 {
        self.resolved_early
    }

    /// Open alerts as they are now, latest first, at most `most`.
    pub fn open_alerts(&self, most: usize) -> Vec<Alert> {
        let mut alerts: Vec<&OpenAlert> = self.open.values().collect();
        alerts.sort_unstable_by_key(|open| (std::cmp::Reverse((open.alert.severity, open.alert.last_event)), open.alert.alert_id));
        alerts.into_iter().take(most).map(|open| open.alert.clone()).collect()
    }

    fn open_alert(&mut self, mut finding: Finding, out: &mut Vec<Alert>) {
        if self.open.len() >= self.settings.open_max {
            self.make_room(out);
        }
        // A story that goes on after its alert was resolved is a new alert, with a new onset and without the old events.
        let told_before = match self.resolved.remove(&finding.fingerprint) {
            Some((last_event, told)) if finding.onset <= last_event => {
                finding.onset = finding.time;
                told
            }
            _ => 0,
        };
        let (own, group) = (subject_of(&finding), self.group_of(&finding));
        let own_incident = self.incidents.get(&own).map(|(id, _)| *id);
        let subject = group.as_ref().map_or_else(|| own.clone(), |group| group.subject.clone());
        let bucket = finding.onset.slot(BUCKET).to_le_bytes();
        let is_same_story = |known: &Recalled| finding.onset.since(known.onset).abs() < self.settings.resolve_after;
        let recalled = self.recalled.remove(&finding.fingerprint).filter(is_same_story);
        let alert_id =
            recalled.map_or_else(|| Digest128::of(&[b"alert", &finding.fingerprint.0.to_bytes(), &bucket]), |known| known.alert_id);
        let fresh = recalled.map(|known| known.incident_id).unwrap_or_else(|| match &group {
            Some(_) => Self::group_incident(&finding, &subject),
            None => Digest128::of(&[b"incident", subject.text().as_bytes(), &bucket]),
        });
        let incident = self.incidents.entry(subject.clone()).or_insert((fresh, 0));
        incident.1 += 1;
        let incident = incident.0;
        if let Some(group) = &group {
            finding.explanation.push_str(&group.remark());
            self.link_group(group, incident);
        }
        let fingerprint = finding.fingerprint;
        let mut open = OpenAlert {
            alert: Alert::open(finding, alert_id, incident),
            subject,
            linked: None,
            told_before,
            said_count: 0,
            said_at: EventTime::MIN,
            is_due: false,
            remarks: Vec::new(),
        };
        open.alert.linked_incidents.extend(own_incident.filter(|own| *own != incident));
        open.alert.possible_duplicate = recalled.is_some();
        open.alert.event_count = open.alert.event_count.saturating_sub(told_before).max(1);
        out.push(open.say(Status::Opened));
        self.by_last_event.insert((open.alert.last_event, fingerprint));
        self.open.insert(fingerprint, open);
    }

    fn enrich(&mut self, enrichment: Enrichment, out: &mut Vec<Alert>) {
        // The alert may be resolved by now: then there is nobody left to tell.
        let Some(open) = self.open.get_mut(&enrichment.fingerprint) else { return };
        let actor = Subject::Actor(enrichment.who.actor.clone());
        let is_known = enrichment.who.person.is_some() || enrichment.who.department.name().is_some();
        if is_known && open.subject != actor && open.linked.is_none() {
            // The person's incident begins here where there is none yet, and later alerts of the person join it.
            let bucket = open.alert.onset.slot(BUCKET).to_le_bytes();
            let fresh = Digest128::of(&[b"incident", actor.text().as_bytes(), &bucket]);
            let incident = self.incidents.entry(actor.clone()).or_insert((fresh, 0));
            incident.1 += 1;
            open.alert.linked_incidents.push(incident.0);
            open.linked = Some(actor);
        }
        if open.enrich(enrichment) {
            out.push(open.say(Status::Updated));
        }
    }

    fn resolve(&mut self, fingerprint: Fingerprint, out: &mut Vec<Alert>) {
        let Some(mut open) = self.open.remove(&fingerprint) else { return };
        self.by_last_event.remove(&(open.alert.last_event, fingerprint));
        out.push(open.say(Status::Resolved));
        if self.resolved.len() < self.settings.open_max {
            self.resolved.insert(fingerprint, (open.alert.last_event, open.told_before + open.alert.event_count));
        }
        for subject in std::iter::once(open.subject).chain(open.linked) {
            if let Some((id, alerts)) = self.incidents.get_mut(&subject) {
                *alerts = alerts.saturating_sub(1);
                if *alerts == 0 {
                    self.acknowledged.remove(id);
                    self.incidents.remove(&subject);
                }
            }
        }
    }

    fn make_room(&mut self, out: &mut Vec<Alert>) {
        if let Some((_, fingerprint)) = self.by_last_event.first().copied() {
            self.resolved_early += 1;
            self.resolve(fingerprint, out);
        }
    }
}

fn subject_of(finding: &Finding) -> Subject {
    let who = &finding.who;
    // Nobody but the key is known: it is the same incident as before that was settled.
    let is_key_alone = who.actor.kind == ActorKind::Session && !who.access_key_id.is_empty() && *who.actor.name == *who.access_key_id;
    if who.is_settled() && !is_key_alone {
        return Subject::Actor(who.actor.clone());
    }
    Subject::Credential([&who.access_key_id, &who.arn].into_iter().find(|text| !text.is_empty()).unwrap_or(&who.actor.name).to_string())
}

impl Subject {
    fn text(&self) -> String {
        match self {
            Self::Actor(key) => key.to_string(),
            Self::Credential(text) => format!("credential:{text}"),
            Self::Group(department) => format!("group:{department}"),
        }
    }
}

impl OpenAlert {
    /// Takes a further finding in; `true` where it is to be said now.
    fn absorb(&mut self, finding: Finding) -> bool {
        let alert = &mut self.alert;
        let rises = finding.severity > alert.severity;
        let story_events = finding.story_events.unwrap_or(0).saturating_sub(self.told_before);
        alert.event_count = (alert.event_count + 1).max(story_events);
        // A later call of the same key may still be pending when an earlier one has told who it is.
        let (title, explanation) = if alert.who.is_settled() && !finding.who.is_settled() {
            let (finding_name, alert_name) = (finding.who.spoken(), alert.who.spoken());
            (finding.title.replace(&finding_name, &alert_name), finding.explanation.replace(&finding_name, &alert_name))
        } else {
            (finding.title, finding.explanation)
        };
        for id in finding.earlier.into_iter().chain(finding.event_id) {
            if alert.event_ids.len() < EVENT_IDS_MAX && !alert.event_ids.contains(&id) {
                alert.event_ids.push(id);
            }
        }
        alert.onset = alert.onset.min(finding.onset);
        alert.last_event = alert.last_event.max(finding.time);
        let has_channel = alert.channels.contains(&finding.channel) || alert.channels.len() >= CHANNELS_MAX;
        if !has_channel {
            alert.channels.push(finding.channel);
        }
        let learns_who = finding.who.is_settled() && alert.who.department.name().is_none() && finding.who.department.name().is_some();
        // The worst moment is what the alert shows; among equals the latest, with the newest numbers.
        if finding.severity >= alert.severity {
            alert.show(finding.severity, finding.confidence, title, explanation, finding.numbers);
            (alert.model, alert.denial, alert.policy) = (finding.model, finding.denial, finding.policy);
            (alert.region, alert.source_ip) = (finding.region, finding.source_ip);
            alert.history = finding.history.or_else(|| alert.history.take());
            for technique in finding.techniques {
                if !alert.techniques.contains(&technique) {
                    alert.techniques.push(technique);
                }
            }
        }
        if learns_who || finding.who.is_settled() && !alert.who.is_settled() {
            alert.who = finding.who;
        }
        let grew = alert.event_count >= self.said_count.saturating_mul(GROWTH);
        self.decide(rises, grew || learns_who || !has_channel, finding.time)
    }

    /// Takes in who it turned out to be; `true` where it is to be said now.
    fn enrich(&mut self, enrichment: Enrichment) -> bool {
        let alert = &mut self.alert;
        let learns = alert.who.actor != enrichment.who.actor || alert.who.department != enrichment.who.department;
        let known = matches!(enrichment.who.department, Department::Known { .. }) || enrichment.who.person.is_some();
        let rises = enrichment.severity > alert.severity;
        if rises {
            alert.severity = enrichment.severity;
        }
        if learns && (known || !alert.who.is_settled()) {
            alert.rename(&enrichment.who.spoken());
            alert.who = enrichment.who;
        }
        if enrichment.policy.is_some() && alert.policy.is_none() || rises {
            alert.policy = enrichment.policy;
        }
        if let Some(remark) = enrichment.remark
            && self.remarks.len() < REMARKS_MAX
            && !self.remarks.contains(&remark)
            && !alert.explanation.contains(&remark)
        {
            alert.explanation.push_str(&format!(" {remark}."));
            self.remarks.push(remark);
        }
        self.decide(rises, learns && known, enrichment.time)
    }

    fn decide(&mut self, is_urgent: bool, is_news: bool, time: EventTime) -> bool {
        self.is_due |= is_news || is_urgent;
        is_urgent || self.is_due && time.since(self.said_at) >= UPDATE_EVERY
    }

    fn say(&mut self, status: Status) -> Alert {
        self.alert.status = status;
        self.said_count = self.alert.event_count;
        // Pauses are counted from the latest event, so that a replay says the same.
        self.said_at = self.alert.last_event;
        self.is_due = false;
        self.alert.time = self.alert.last_event;
        let said = self.alert.clone();
        self.alert.possible_duplicate = false;
        said
    }
}

/// The highest severity among `alerts`.
pub fn worst(alerts: &[Alert]) -> Option<Severity> {
    alerts.iter().map(|alert| alert.severity).max()
}

#[cfg(test)]
#[path = "alerting/tests.rs"]
mod tests;
