//! Messages, made again from what they were made of, and published to the topics that refused them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::letters::Letter;
use crate::alerting::message::{Links, Message, clean, render_page};
use crate::alerting::privacy::{KEY_BYTES_MIN, Pseudonyms};
use crate::alerting::{Alert, Digest, Page};
use crate::cli::run::access;
use crate::cli::{Failure, Loaded};
use crate::config::Topic;
use crate::daemon::{read_secret, topic_clients};
use crate::sns::{Outgoing, Published, publish};

/// Most messages that are taken at once; the rest waits for the next call.
const MESSAGES_MAX: usize = 10_000;
/// How long no message may be settled before the rest is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages that were refused.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pages: Vec<(u64, String, Page)>,
    /// Letters that cannot be made again, and those beyond the limit.
    left: usize,
}

impl Messages {
    /// Takes a letter.
    pub fn take(&mut self, line: u64, letter: &Letter) {
        let page = letter.page.as_ref().and_then(|page| serde_json::from_str::<Page>(page.get()).ok());
        match page {
            _ if self.pages.len() >= MESSAGES_MAX => self.left += 1,
            Some(page) => self.pages.push((line, letter.place.clone(), again(page))),
            None => {
                self.left += 1;
                let (place, id) = (clean(&letter.place), clean(&letter.id));
                eprintln!("line {line}: {place} {id}: another version kept it, without what it was made of; tell on-call by hand");
            }
        }
    }

    /// How many there are, those that cannot be sent included.
    pub fn len(&self) -> usize {
        self.pages.len() + self.left
    }

    /// Says what would be sent.
    pub fn show(&self) {
        for (line, topic, page) in &self.pages {
            let subject = render_page(page, Default::default(), &Links::default()).subject;
            eprintln!("line {line}: would send {} to {}: {}", page.id(), clean(topic), clean(&subject));
        }
        if !self.pages.is_empty() {
            eprintln!("{} messages would be sent; --send sends them", self.pages.len());
        }
    }

    /// Publishes them, in their order. Gives the lines of those that SNS accepted.
    ///
    /// # Errors
    /// The key of pseudonyms cannot be read.
    pub async fn send(&self, loaded: &Loaded) -> Result<HashSet<u64>, Failure> {
        let (results_sender, mut results) = mpsc::unbounded_channel();
        let mut waiting = self.hand_over(loaded, results_sender).await?;
        let (mut sent, mut told) = (HashSet::new(), HashSet::new());
        let mut deadline = Instant::now() + PATIENCE;
        while !waiting.is_empty() {
            let Ok(Some((topic, result))) = timeout_at(deadline, results.recv()).await else { break };
            match result {
                Published::Sent { sequence, .. } => {
                    waiting.remove(&sequence);
                    sent.insert(sequence);
                    deadline = Instant::now() + PATIENCE;
                }
                Published::Refused { sequence, why } => {
                    waiting.remove(&sequence);
                    eprintln!("line {sequence}: {topic} refuses it again: {}", clean(&why));
                }
                Published::Retrying { class, why, .. } => {
                    if told.insert((topic.clone(), class)) {
                        eprintln!("{topic}: {}, trying again: {}", class.label(), clean(&why));
                    }
                }
            }
        }
        waiting.iter().for_each(|line| eprintln!("line {line}: not sent"));
        eprintln!("{} of {} messages were sent", sent.len(), self.len());
        Ok(sent)
    }

    /// Gives every message to the task of its topic. Gives the lines that will be heard of.
    async fn hand_over(&self, loaded: &Loaded, results: mpsc::UnboundedSender<(String, Published)>) -> Result<HashSet<u64>, Failure> {
        let settings = &loaded.settings;
        let key = read_secret("[privacy] key_file", settings.privacy_key_file.as_deref(), Some(&loaded.sources), KEY_BYTES_MIN)?;
        let pseudonyms = key.and_then(|key| Pseudonyms::new(key.as_bytes()));
        let mut senders: BTreeMap<String, (Topic, mpsc::UnboundedSender<Outgoing>)> = BTreeMap::new();
        for (client, topic) in topic_clients(&access(), &settings.topics).await {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(publish(client, topic.arn.clone(), receiver, results.clone()));
            senders.insert(topic.arn.clone(), (topic, sender));
        }
        let mut waiting = HashSet::new();
        for (line, arn, page) in &self.pages {
            let Some((topic, sender)) = senders.get(arn) else {
                eprintln!("line {line}: {} is no topic of the configuration any more; not sent", clean(arn));
                continue;
            };
            let message = render(page, topic, pseudonyms.as_ref(), &settings.links);
            let outgoing = Outgoing { sequence: *line, incident: page.incident(), key: page.key(), message };
            if sender.send(outgoing).is_ok() {
                waiting.insert(*line);
            }
        }
        Ok(waiting)
    }
}

fn render(page: &Page, topic: &Topic, pseudonyms: Option<&Pseudonyms>, links: &Links) -> Message {
    let hidden = pseudonyms.filter(|_| topic.pseudonyms).map(|pseudonyms| pseudonyms.hide_page(page));
    render_page(hidden.as_ref().unwrap_or(page), topic.form, links)
}

/// The same page, as one that may have been sent before.
fn again(page: Page) -> Page {
    match page {
        Page::Alert(alert) => Page::Alert(Box::new(Alert { possible_duplicate: true, ..*alert })),
        Page::Record(alert) => Page::Record(Box::new(Alert { possible_duplicate: true, ..*alert })),
        Page::Digest(digest) => Page::Digest(Box::new(Digest { possible_duplicate: true, ..*digest })),
    }
}
