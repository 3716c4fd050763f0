//! Who is woken, and by what: between alerts as they are decided and messages as they are sent.
//!
//! ```text
//!                    ┌────────────── a silence fits ──────────────┐
//!                    ▼                                            │
//!   an alert ──► Unsaid ── no silence, within the budget or high ─┴─► Paged ── resolved ──► (forgotten)
//!                  │  ▲                                                ▲
//!     over budget  │  └──────── resolved unsaid: (forgotten)           │ more severe
//!                  ▼                                                   │
//!               Digested ── told in the hour's digest ─────────────────┘
//! ```
//!
//! A silence that ends, or is lifted, gives back what it held and is still open. The budget is a number of new pages in
//! any hour; what is beyond it is told in one message at the hour's end. High and critical alerts are never held by it.
//!
//! **Invariants:** no page inside a silence; no silence without an end; nothing is lost: what is open and not silenced is
//! paged at once, or told within an hour; an alert is said to be updated or resolved only to whom it was said before. Time
//! is that of the people who are woken, and an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::silence::{Silence, SilenceError};
use super::{Alert, Status};
use crate::finding::{Digest128, Severity};
use crate::time::{EventTime, HOUR};

/// Most silences.
const SILENCES_MAX: usize = 1_000;
/// Alerts that a digest names.
pub const DIGEST_SHOWN: usize = 20;
/// Most stories that are remembered; alerting has no more alerts open by far.
const STORIES_MAX: usize = 1_000_000;

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Page {
    /// An alert.
    Alert(Box<Alert>),
    /// What an hour's budget left over.
    Digest(Box<Digest>),
    /// An alert for programs, which nothing holds back.
    Record(Box<Alert>),
}

impl Page {
    /// What keeps its messages in order.
    pub fn incident(&self) -> Digest128 {
        match self {
            Self::Alert(alert) | Self::Record(alert) => alert.incident_id,
            Self::Digest(digest) => digest.id,
        }
    }

    /// One line of JSON.
    pub fn to_ndjson(&self) -> String {
        match self {
            Self::Alert(alert) | Self::Record(alert) => alert.to_ndjson(),
            Self::Digest(digest) => digest.to_ndjson(),
        }
    }

    /// Its id.
    pub fn id(&self) -> Digest128 {
        match self {
            Self::Alert(alert) | Self::Record(alert) => alert.alert_id,
            Self::Digest(digest) => digest.id,
        }
    }

    /// The same for what says the same, before and after a crash.
    pub fn key(&self) -> Digest128 {
        match self {
            Self::Alert(alert) | Self::Record(alert) => {
                let parts = [&alert.alert_id.to_bytes()[..], alert.status.label().as_bytes(), alert.severity.label().as_bytes()];
                Digest128::of(&[b"message", &parts.concat(), &alert.event_count.to_le_bytes()])
            }
            Self::Digest(digest) => digest.id,
        }
    }
}

/// Alerts of an hour that were more than anybody should be woken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Made of its first alert and its hour.
    pub id: Digest128,
    /// When the first of them came.
    pub from: EventTime,
    /// When it was made.
    pub until: EventTime,
    /// How many there are.
    pub alerts: u64,
    /// The worst severity among them.
    pub severity: Severity,
    /// How many by detector.
    pub by_detector: BTreeMap<String, u64>,
    /// The first of them: id, severity and title.
    pub shown: Vec<(Digest128, Severity, String)>,
    /// Said before a crash, perhaps.
    pub possible_duplicate: bool,
}

impl Digest {
    /// A few words.
    pub fn title(&self) -> String {
        format!("{} more alerts in an hour", self.alerts)
    }

    /// The digest as one line of JSON.
    pub fn to_ndjson(&self) -> String {
        let shown: Vec<_> = self
            .shown
            .iter()
            .map(|(id, severity, title)| serde_json::json!({"alert_id": id.to_string(), "severity": severity, "title": title}))
            .collect();
        serde_json::json!({
            "digest_id": self.id.to_string(), "from": self.from.to_string(), "until": self.until.to_string(), "alerts": self.alerts,
            "severity": self.severity, "by_detector": self.by_detector, "shown": shown, "possible_duplicate": self.possible_duplicate,
        })
        .to_string()
    }
}

/// Settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagingSettings {
    /// Most new pages below high in any hour; what is more waits for the digest.
    pub hourly: usize,
}

impl Default for PagingSettings {
    fn default() -> Self {
        Self { hourly: 30 }
    }
}

/// What on-call knows of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Said {
    /// Nothing yet.
    Unsaid,
    /// It is in a digest, or will be.
    Digested,
    /// It was paged.
    Paged,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Story {
    said: Said,
    /// What a silence holds back: the alert as it was said last.
    held: Option<Box<Alert>>,
}

/// How much was held back since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Messages by silences.
    pub silenced: u64,
    /// Alerts that went into a digest.
    pub digested: u64,
}

/// The desk between alerts and messages.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    settings: PagingSettings,
    silences: BTreeMap<Digest128, Silence>,
    stories: BTreeMap<Digest128, Story>,
    /// When the last pages below high were sent.
    paged: VecDeque<EventTime>,
    digest: Option<Digest>,
    held: Held,
}

/// What a snapshot keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PagingImage {
    silences: Vec<Silence>,
    stories: Vec<(Digest128, Story)>,
    paged: Vec<EventTime>,
    digest: Option<Digest>,
    held: Held,
}

impl Paging {
    /// Nothing said, nothing silenced.
    pub fn new(settings: PagingSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes what is said at one moment. Of an alert that is said several times people are sent the last: whoever is
    /// refused fifty times within a second is one message, not three.
    pub fn take_all(&mut self, alerts: impl IntoIterator<Item = Alert>, now: EventTime, out: &mut Vec<Page>) {
        let mut merged: Vec<Alert> = Vec::new();
        let mut places: HashMap<Digest128, usize> = HashMap::new();
        for alert in alerts {
            let last = places.get(&alert.alert_id).and_then(|place| merged.get_mut(*place));
            match last {
                Some(last) if last.status != Status::Resolved && alert.status != Status::Resolved => {
                    let (status, possible_duplicate) = (last.status.min(alert.status), last.possible_duplicate | alert.possible_duplicate);
                    *last = Alert { status, possible_duplicate, ..alert };
                }
                _ => {
                    places.insert(alert.alert_id, merged.len());
                    merged.push(alert);
                }
            }
        }
        merged.into_iter().for_each(|alert| self.take(alert, now, out));
    }

    /// Takes an alert as it is said, and gives what is to be sent of it.
    pub fn take(&mut self, mut alert: Alert, now: EventTime, out: &mut Vec<Page>) {
        let id = alert.alert_id;
        let said = self.stories.get(&id).map_or(Said::Unsaid, |story| story.said);
        if self.silences.values().any(|silence| silence.holds(&alert, now)) {
            self.held.silenced += 1;
            if alert.status == Status::Resolved && said == Said::Unsaid {
                self.stories.remove(&id);
            } else {
                self.stories.insert(id, Story { said, held: Some(Box::new(alert)) });
            }
            return;
        }
        match (said, alert.status) {
            (Said::Unsaid | Said::Digested, Status::Resolved) => {
                // Who was told nothing, or only in a digest, need not be told that it is over.
                self.stories.remove(&id);
                return;
            }
            (Said::Digested, _) if alert.severity < Severity::High => return,
            (Said::Unsaid, _) if !self.has_budget(alert.severity, now) => return self.digest(&alert, now),
            (Said::Unsaid | Said::Digested, _) => alert.status = Status::Opened,
            (Said::Paged, _) => {}
        }
        if alert.status == Status::Resolved {
            self.stories.remove(&id);
        } else {
            self.remember(id, Said::Paged);
        }
        if alert.status == Status::Opened && alert.severity < Severity::High {
            self.paged.push_back(now);
        }
        out.push(Page::Alert(Box::new(alert)));
    }

    /// Moves time on: silences end, and the digest of the hour is told.
    pub fn handle_time(&mut self, now: EventTime, out: &mut Vec<Page>) {
        let before = self.silences.len();
        self.silences.retain(|_, silence| now < silence.until);
        if self.silences.len() < before {
            self.release(now, out);
        }
        if let Some(mut digest) = self.digest.take_if(|digest| now.since(digest.from) >= HOUR) {
            digest.until = now;
            out.push(Page::Digest(Box::new(digest)));
        }
    }

    /// Silences from now on. The same silence twice is one.
    ///
    /// # Errors
    /// There are too many, or it is over already.
    pub fn silence(&mut self, silence: Silence, now: EventTime) -> Result<(), SilenceError> {
        if silence.until <= now {
            return Err(SilenceError::Over);
        }
        if self.silences.len() >= SILENCES_MAX && !self.silences.contains_key(&silence.id) {
            return Err(SilenceError::TooMany);
        }
        self.silences.insert(silence.id, silence);
        Ok(())
    }

    /// Ends a silence before its time; what it held is sent. `false` where there is none of this id.
    pub fn lift(&mut self, id: Digest128, now: EventTime, out: &mut Vec<Page>) -> bool {
        let was_there = self.silences.remove(&id).is_some();
        if was_there {
            self.release(now, out);
        }
        was_there
    }

    /// Silences that have not ended, the next to end first.
    pub fn silences(&self) -> Vec<Silence> {
        let mut silences: Vec<Silence> = self.silences.values().cloned().collect();
        silences.sort_by_key(|silence| (silence.until, silence.id));
        silences
    }

    /// How much was held back.
    pub const fn held(&self) -> Held {
        self.held
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> PagingImage {
        PagingImage {
            silences: self.silences.values().cloned().collect(),
            stories: self.stories.iter().map(|(id, story)| (*id, story.clone())).collect(),
            paged: self.paged.iter().copied().collect(),
            digest: self.digest.clone(),
            held: self.held,
        }
    }

    /// Goes on from what a snapshot kept.
    pub fn restore(&mut self, image: PagingImage) {
        // Those of the configuration are given anew.
        let made = image.silences.into_iter().filter(|silence| !silence.is_configured);
        self.silences.extend(made.map(|silence| (silence.id, silence)));
        self.stories = image.stories.into_iter().collect();
        self.paged = image.paged.into();
        self.digest = image.digest;
        self.held = image.held;
    }

    /// Sends what no silence holds any more.
    fn release(&mut self, now: EventTime, out: &mut Vec<Page>) {
        let free =
            |story: &&mut Story| story.held.as_ref().is_some_and(|alert| !self.silences.values().any(|silence| silence.holds(alert, now)));
        let mut freed: Vec<Box<Alert>> = self.stories.values_mut().filter(free).filter_map(|story| story.held.take()).collect();
        freed.sort_unstable_by_key(|alert| (alert.onset, alert.alert_id));
        for alert in freed {
            self.take(*alert, now, out);
        }
    }

    fn has_budget(&mut self, severity: Severity, now: EventTime) -> bool {
        while self.paged.front().is_some_and(|sent| now.since(*sent) >= HOUR) {
            self.paged.pop_front();
        }
        severity >= Severity::High || self.paged.len() < self.settings.hourly
    }

    fn digest(&mut self, alert: &Alert, now: EventTime) {
        self.held.digested += 1;
        self.remember(alert.alert_id, Said::Digested);
        let digest = self.digest.get_or_insert_with(|| Digest {
            id: Digest128::of(&[b"digest", &alert.alert_id.to_bytes(), &now.unix().to_le_bytes()]),
            from: now,
            until: now,
            alerts: 0,
            severity: alert.severity,
            by_detector: BTreeMap::new(),
            shown: Vec::new(),
            possible_duplicate: false,
        });
        digest.alerts += 1;
        digest.severity = digest.severity.max(alert.severity);
        *digest.by_detector.entry(alert.speaker().to_owned()).or_default() += 1;
        if digest.shown.len() < DIGEST_SHOWN {
            digest.shown.push((alert.alert_id, alert.severity, alert.title.clone()));
        }
    }

    fn remember(&mut self, id: Digest128, said: Said) {
        if self.stories.len() < STORIES_MAX || self.stories.contains_key(&id) {
            self.stories.insert(id, Story { said, held: None });
        }
    }
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
