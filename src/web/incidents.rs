//! Open alerts as people think of them: one incident, told step by step.

use std::collections::BTreeMap;

use super::View;
use super::pages::thousands;
use crate::alerting::acknowledged::Acknowledgement;
use crate::alerting::message::{Links, clean, facts, next_steps, told};
use crate::alerting::{Alert, Silence};
use crate::finding::Digest128;
use crate::identity::ActorKind;

/// An incident in a list.
#[derive(Clone, Debug)]
pub(super) struct IncidentRow {
    pub id: String,
    pub short: String,
    pub severity: &'static str,
    pub title: String,
    pub explanation: String,
    pub plot: String,
    pub plot_label: String,
    pub who: String,
    pub department: String,
    pub detectors: String,
    pub count: String,
    pub onset: String,
    pub last_event: String,
    pub is_silenced: bool,
    /// Who has it in hand.
    pub taken: Option<String>,
}

/// One alert of an incident.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub alert_id: String,
    pub severity: &'static str,
    pub onset: String,
    pub title: String,
    pub explanation: String,
    pub plot: String,
    pub plot_label: String,
    pub facts: Vec<(&'static str, String)>,
    pub event_ids: Vec<String>,
    pub more_events: u64,
    pub as_text: String,
}

/// The first `most` incidents, the most severe and latest first, and how many there are.
pub(super) fn incidents(view: &View, most: usize) -> (Vec<IncidentRow>, usize) {
    let mut by_id: BTreeMap<Digest128, Vec<&Alert>> = BTreeMap::new();
    for alert in view.alerts.iter() {
        by_id.entry(alert.incident_id).or_default().push(alert);
    }
    let rank = |alerts: &Vec<&Alert>| {
        let severity = alerts.iter().map(|alert| alert.severity).max();
        std::cmp::Reverse((severity, alerts.iter().map(|alert| alert.last_event).max()))
    };
    let mut all: Vec<(Digest128, Vec<&Alert>)> = by_id.into_iter().collect();
    all.sort_by_key(|(id, alerts)| (rank(alerts), *id));
    // Only what is shown is put into words.
    let rows = all.iter().take(most).filter_map(|(_, alerts)| row(alerts, view)).collect();
    (rows, all.len())
}

/// The open incidents with an alert that is `concerned`, at most fifty.
pub(super) fn rows_of(view: &View, concerned: impl Fn(&Alert) -> bool) -> Vec<IncidentRow> {
    const MOST: usize = 50;
    let mut ids: Vec<Digest128> = view.alerts.iter().filter(|alert| concerned(alert)).map(|alert| alert.incident_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().take(MOST).filter_map(|id| row(&alerts_of(view, id), view)).collect()
}

fn taken(said: &Acknowledgement) -> String {
    let remark = if said.remark.is_empty() { String::new() } else { format!(": {}", said.remark) };
    let usual = if said.is_usual { ", as usual from now on" } else { "" };
    clean(&format!("in hand of {} since {}{usual}{remark}", said.author, said.at))
}

/// The actors of an incident: keys as their page is asked for, and names.
pub(super) fn actors(alerts: &[&Alert]) -> Vec<(String, String)> {
    let is_one = |alert: &&&Alert| alert.who.actor.kind != ActorKind::Unknown;
    let mut all: Vec<(String, String)> =
        alerts.iter().filter(is_one).map(|alert| (alert.who.actor.to_string(), clean(&alert.who.actor.name))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The alerts of an incident in the order in which they began; those of other incidents that it is linked to as well.
pub(super) fn alerts_of(view: &View, id: Digest128) -> Vec<&Alert> {
    let mut alerts: Vec<&Alert> =
        view.alerts.iter().filter(|alert| alert.incident_id == id || alert.linked_incidents.contains(&id)).collect();
    alerts.sort_by_key(|alert| (alert.onset, alert.alert_id));
    alerts
}

pub(super) fn row(alerts: &[&Alert], view: &View) -> Option<IncidentRow> {
    let worst = worst(alerts)?;
    let mut detectors: Vec<&str> = alerts.iter().map(|alert| alert.speaker()).collect();
    detectors.sort_unstable();
    detectors.dedup();
    let (events, onset) = (alerts.iter().map(|alert| alert.event_count).sum::<u64>(), alerts.iter().map(|alert| alert.onset).min()?);
    let said = |count: u64, what: &str| format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" });
    let (plot, plot_label) = plot_of(worst);
    let id = worst.incident_id.to_string();
    Some(IncidentRow {
        short: id[..12].to_owned(),
        id,
        severity: worst.severity.label(),
        title: clean(&worst.title),
        explanation: clean(&worst.explanation),
        plot,
        plot_label,
        who: clean(&worst.who.spoken()),
        department: clean(worst.department()),
        detectors: clean(&detectors.join(", ")),
        count: format!("{}, {}", said(alerts.len() as u64, "alert"), said(events, "event")),
        onset: onset.to_string(),
        last_event: alerts.iter().map(|alert| alert.last_event).max()?.to_string(),
        taken: view.acknowledged.iter().find(|said| said.incident == worst.incident_id).map(taken),
        is_silenced: alerts.iter().all(|alert| is_silenced(alert, view)),
    })
}

/// The alert that on-call reads first: of the most severe the one that began first.
pub(super) fn worst<'a>(alerts: &[&'a Alert]) -> Option<&'a Alert> {
    alerts.iter().copied().max_by_key(|alert| (alert.severity, std::cmp::Reverse(alert.onset), alert.alert_id))
}

pub(super) fn steps(alerts: &[&Alert]) -> Vec<Step> {
    let step = |alert: &&Alert| {
        let (plot, plot_label) = plot_of(alert);
        Step {
            alert_id: alert.alert_id.to_string(),
            severity: alert.severity.label(),
            onset: alert.onset.to_string(),
            title: clean(&alert.title),
            explanation: clean(&alert.explanation),
            plot,
            plot_label,
            facts: facts(alert).into_iter().filter(|(name, _)| !matches!(*name, "History" | "Events")).collect(),
            event_ids: alert.event_ids.iter().map(|id| clean(&id.to_string())).collect(),
            more_events: alert.event_count.saturating_sub(alert.event_ids.len() as u64),
            as_text: serde_json::from_str(&alert.to_ndjson()).map(|line| told(&[line])).unwrap_or_default(),
        }
    };
    alerts.iter().map(step).collect()
}

/// What to do about all of them, the most severe first, nothing twice.
pub(super) fn to_do(alerts: &[&Alert]) -> Vec<String> {
    const STEPS_MAX: usize = 8;
    let mut ordered: Vec<&&Alert> = alerts.iter().collect();
    ordered.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.onset));
    let mut all: Vec<String> = Vec::new();
    for step in ordered.into_iter().flat_map(|alert| next_steps(alert)).map(|step| clean(&step)) {
        if !all.contains(&step) && all.len() < STEPS_MAX {
            all.push(step);
        }
    }
    all
}

/// Names and addresses of the runbooks.
pub(super) fn runbooks(alerts: &[&Alert], links: &Links) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        alerts.iter().filter_map(|alert| links.runbook(alert).map(|url| (alert.detector.label().to_owned(), url))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What a silence of this incident can name, with what is chosen to begin with.
pub(super) fn choices(alerts: &[&Alert]) -> Vec<(&'static str, String, bool)> {
    let Some(worst) = worst(alerts) else { return Vec::new() };
    let mut choices = vec![("detector", worst.speaker().to_owned(), true), ("actor", worst.who.actor.name.to_string(), true)];
    if let Some(department) = worst.who.department.name() {
        choices.push(("department", department.to_string(), false));
    }
    choices.extend(worst.model.as_ref().map(|model| ("model", model.id.to_string(), false)));
    choices
}

fn is_silenced(alert: &Alert, view: &View) -> bool {
    view.silences.iter().any(|silence: &Silence| silence.holds(alert, view.now))
}

fn plot_of(alert: &Alert) -> (String, String) {
    alert.history.as_ref().map_or_else(Default::default, |history| {
        let (plot, highest) = history.plot();
        let label = format!("busiest hours of {} days in {}, highest {highest:.0}", history.busiest_hours.len(), history.unit.label());
        (plot, label)
    })
}
