//! Alerts that are decided and not settled: each is settled when every topic that it goes to has accepted or finally
//! refused it.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::alerting::Alert;
use crate::alerting::message::{Form, Message, render};
use crate::config::Topic;
use crate::detect::{DetectorSettings, Mode};
use crate::sns::Outgoing;

/// With this many alerts undelivered no further page is taken in.
const OUTBOX_MAX: usize = 10_000;

/// Undelivered alerts by sequence, and the topics.
#[derive(Debug)]
pub(super) struct Outbox {
    detectors: DetectorSettings,
    topics: Vec<(Topic, mpsc::UnboundedSender<Outgoing>)>,
    pending: BTreeMap<u64, (Alert, usize)>,
    next: u64,
}

impl Outbox {
    pub(super) fn new(detectors: DetectorSettings) -> Self {
        Self { detectors, topics: Vec::new(), pending: BTreeMap::new(), next: 0 }
    }

    pub(super) fn add_topic(&mut self, topic: Topic, sender: mpsc::UnboundedSender<Outgoing>) {
        self.topics.push((topic, sender));
    }

    /// Whether an alert is to be sent to anybody. Staged detectors page nobody.
    pub(super) fn is_sent(&self, alert: &Alert) -> bool {
        let mode = alert.rule.as_ref().map_or_else(|| self.detectors.mode(alert.detector), |rule| self.detectors.rule_mode(rule));
        mode == Mode::Page && self.topics.iter().any(|(topic, _)| alert.severity >= topic.severity_min)
    }

    /// Hands an alert to its topics.
    pub(super) fn send(&mut self, alert: Alert) {
        let sequence = self.next;
        self.next += 1;
        let mut waiting = 0;
        let mut rendered: Vec<(Form, Message)> = Vec::new();
        for (topic, sender) in self.topics.iter().filter(|(topic, _)| alert.severity >= topic.severity_min) {
            let known = rendered.iter().find(|(form, _)| *form == topic.form).map(|(_, message)| message.clone());
            let message = known.unwrap_or_else(|| {
                let message = render(&alert, topic.form);
                rendered.push((topic.form, message.clone()));
                message
            });
            // The publishing task lives as long as the sender.
            waiting += usize::from(sender.send(Outgoing { sequence, incident: alert.incident_id, message }).is_ok());
        }
        if waiting > 0 {
            self.pending.insert(sequence, (alert, waiting));
        }
    }

    /// One topic is done with an alert. Returns the alert.
    pub(super) fn settle(&mut self, sequence: u64) -> Option<Alert> {
        let (alert, waiting) = self.pending.get_mut(&sequence)?;
        *waiting -= 1;
        if *waiting > 0 {
            return Some(alert.clone());
        }
        self.pending.remove(&sequence).map(|(alert, _)| alert)
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < OUTBOX_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// What a snapshot keeps, in order.
    pub(super) fn undelivered(&self) -> Vec<Alert> {
        self.pending.values().map(|(alert, _)| alert.clone()).collect()
    }
}
