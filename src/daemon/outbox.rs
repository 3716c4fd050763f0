//! Pages that are decided and not settled: each is settled when every topic that it goes to has accepted or finally
//! refused it.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::alerting::message::{Form, Links, Message, render_page};
use crate::alerting::privacy::Pseudonyms;
use crate::alerting::{Alert, Page};
use crate::config::Topic;
use crate::detect::{DetectorSettings, Mode};
use crate::sns::Outgoing;

/// With this many pages undelivered no further input is taken in.
const OUTBOX_MAX: usize = 10_000;

/// Undelivered pages by sequence, and the topics.
#[derive(Debug)]
pub(super) struct Outbox {
    detectors: DetectorSettings,
    links: Links,
    pseudonyms: Option<Pseudonyms>,
    topics: Vec<(Topic, mpsc::UnboundedSender<Outgoing>)>,
    pending: BTreeMap<u64, Pending>,
    next: u64,
}

/// A page on its way.
#[derive(Clone, Debug)]
struct Pending {
    page: Page,
    /// Topics that have not answered.
    waiting: usize,
    /// When what decided it arrived.
    since: Instant,
}

impl Outbox {
    pub(super) fn new(detectors: DetectorSettings, links: Links, pseudonyms: Option<Pseudonyms>) -> Self {
        Self { detectors, links, pseudonyms, topics: Vec::new(), pending: BTreeMap::new(), next: 0 }
    }

    pub(super) fn add_topic(&mut self, topic: Topic, sender: mpsc::UnboundedSender<Outgoing>) {
        self.topics.push((topic, sender));
    }

    /// Whether an alert is to be sent at all. Staged detectors page nobody.
    pub(super) fn is_sent(&self, alert: &Alert) -> bool {
        alert.rule.as_ref().map_or_else(|| self.detectors.mode(alert.detector), |rule| self.detectors.rule_mode(rule)) == Mode::Page
    }

    /// Whether any topic of people, or of programs, takes an alert.
    pub(super) fn has_takers(&self, alert: &Alert, wakes_people: bool) -> bool {
        self.topics.iter().any(|(topic, _)| topic.form.wakes_people() == wakes_people && topic.takes_alert(alert))
    }

    /// Hands a page to its topics. `since` is when what decided it arrived.
    pub(super) fn send(&mut self, page: Page, since: Instant) {
        let sequence = self.next;
        self.next += 1;
        let mut waiting = 0;
        let mut rendered: Vec<((Form, bool), Message)> = Vec::new();
        for (topic, sender) in self.topics.iter().filter(|(topic, _)| topic.takes(&page)) {
            let wanted = (topic.form, topic.pseudonyms);
            let known = rendered.iter().find(|(made, _)| *made == wanted).map(|(_, message)| message.clone());
            let message = known.unwrap_or_else(|| {
                let hidden = self.pseudonyms.as_ref().filter(|_| topic.pseudonyms).map(|pseudonyms| pseudonyms.hide_page(&page));
                let message = render_page(hidden.as_ref().unwrap_or(&page), topic.form, &self.links);
                rendered.push((wanted, message.clone()));
                message
            });
            // The publishing task lives as long as the sender.
            waiting += usize::from(sender.send(Outgoing { sequence, incident: page.incident(), key: page.key(), message }).is_ok());
        }
        if waiting > 0 {
            self.pending.insert(sequence, Pending { page, waiting, since });
        }
    }

    /// One topic is done with a page. Returns the page and when what decided it arrived.
    pub(super) fn settle(&mut self, sequence: u64) -> Option<(Page, Instant)> {
        let pending = self.pending.get_mut(&sequence)?;
        pending.waiting -= 1;
        if pending.waiting > 0 {
            return Some((pending.page.clone(), pending.since));
        }
        self.pending.remove(&sequence).map(|pending| (pending.page, pending.since))
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < OUTBOX_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// What a snapshot keeps, in order.
    pub(super) fn undelivered(&self) -> Vec<Page> {
        self.pending.values().map(|pending| pending.page.clone()).collect()
    }
}
