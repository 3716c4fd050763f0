//! Who has an incident in hand, and whether what happened is how things are from now on.

use serde::{Deserialize, Serialize};

use super::Alerting;
use super::silence::TEXT_BYTES_MAX;
use crate::finding::{DetectorId, Digest128};
use crate::identity::ActorKey;
use crate::time::EventTime;

/// Somebody has an incident in hand. It holds nothing back: that is what silences are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The incident.
    pub incident: Digest128,
    /// Who has it.
    pub author: String,
    /// What they say about it; may be empty.
    pub remark: String,
    /// Since when.
    pub at: EventTime,
    /// Whether its actors do what they will do from now on: a launch, a new job. Their baselines then learn the day in full,
    /// where a wild day otherwise teaches little.
    pub is_usual: bool,
}

/// Why an acknowledgement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcknowledgeError {
    /// Nobody answers for it.
    #[error("it has no author; write who has the incident in hand")]
    NoAuthor,
    /// A text is too long.
    #[error("a text is longer than 300 bytes; shorten it")]
    LongText,
    /// Resolved, or never there.
    #[error("no incident of this id is open; it may be resolved")]
    NotOpen,
}

impl Acknowledgement {
    /// An acknowledgement, checked.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn new(incident: Digest128, author: &str, remark: &str, at: EventTime, is_usual: bool) -> Result<Self, AcknowledgeError> {
        let (author, remark) = (author.trim(), remark.trim());
        if author.is_empty() {
            return Err(AcknowledgeError::NoAuthor);
        }
        if author.len() > TEXT_BYTES_MAX || remark.len() > TEXT_BYTES_MAX {
            return Err(AcknowledgeError::LongText);
        }
        Ok(Self { incident, author: author.to_owned(), remark: remark.to_owned(), at, is_usual })
    }
}

impl Alerting {
    /// Notes who has an incident in hand; the last word counts. Returns the actors whose baselines are to learn what
    /// happened: none, unless it is said to be usual.
    ///
    /// # Errors
    /// The incident is not open.
    pub fn acknowledge(&mut self, said: Acknowledgement) -> Result<Vec<ActorKey>, AcknowledgeError> {
        let is_learned = |detector| matches!(detector, DetectorId::InvocationSpike | DetectorId::TokenSpend);
        let concerned = self.open.values().map(|open| &open.alert).filter(|alert| alert.incident_id == said.incident);
        let (mut is_open, mut actors) = (false, Vec::new());
        for alert in concerned {
            is_open = true;
            if said.is_usual && is_learned(alert.detector) {
                actors.push(alert.who.actor.clone());
            }
        }
        if !is_open {
            return Err(AcknowledgeError::NotOpen);
        }
        actors.sort_unstable();
        actors.dedup();
        self.revision += 1;
        // An incident leaves when its last alert is resolved, so there are never more than open alerts.
        self.acknowledged.insert(said.incident, said);
        Ok(actors)
    }

    /// The incidents that somebody has in hand.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Acknowledgement> {
        self.acknowledged.values()
    }
}
