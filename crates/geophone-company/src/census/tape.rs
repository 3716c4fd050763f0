//! What a person's day leaves behind, and how it is delivered: late, twice, or not at all.

use super::truth::Truth;
use super::{CensusSettings, stream};
use crate::estate::Estate;
use crate::journal::Journal;
use crate::random::{Purpose, Random};

/// One delivery of a CloudTrail event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CensusEvent {
    /// The record's `eventID`; the same in every delivery of it.
    pub event_id: String,
    /// The record's `eventTime` in epoch seconds.
    pub time: i64,
    /// When it is delivered, in epoch seconds.
    pub arrival: i64,
    /// The CloudTrail record.
    pub json: String,
    /// What is true about the caller; present for Bedrock calls only.
    pub truth: Option<Truth>,
}

/// Which records of a session are lost, if any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) lost: bool,
    /// 0 to 5: the link of a chain, or what else goes.
    which: usize,
}

impl Loss {
    /// Nothing is lost.
    pub(super) const NONE: Self = Self { lost: false, which: 0 };

    /// Which of `links` records is lost.
    pub(super) const fn link(self, links: usize) -> Option<usize> {
        if self.lost { Some(self.which % links) } else { None }
    }

    /// The Cognito record goes with its STS twin.
    pub(super) const fn takes_cognito_too(self) -> bool {
        self.lost && self.which >= 3
    }
}

/// Collects deliveries. Chance of delivery has a stream of its own, so that traffic does not depend on it.
pub(super) struct Tape<'a> {
    pub(super) journal: Journal<'a>,
    pub(super) events: Vec<CensusEvent>,
    pub(super) sessions: usize,
    pub(super) sessions_with_loss: usize,
    delivery: Random,
    settings: &'a CensusSettings,
}

impl<'a> Tape<'a> {
    pub(super) fn new(settings: &'a CensusSettings, estate: &'a Estate, who: u64) -> Self {
        Self {
            journal: Journal::new(estate, stream(settings, Purpose::CensusDay, who)),
            events: Vec::new(),
            sessions: 0,
            sessions_with_loss: 0,
            delivery: stream(settings, Purpose::CensusDelivery, who),
            settings,
        }
    }

    /// Begins a session: whether it loses a record.
    pub(super) fn session(&mut self) -> Loss {
        let loss = Loss { lost: self.delivery.unit() < self.settings.lost_sts, which: self.delivery.below(6) };
        self.sessions += 1;
        self.sessions_with_loss += usize::from(loss.lost);
        loss
    }

    /// Delivers what the journal holds, or loses it.
    pub(super) fn deliver(&mut self, truth: Option<&Truth>, kept: bool) {
        for event in self.journal.events.drain(..) {
            let mut arrival = || event.time + self.delivery.between(0, self.settings.shuffle_seconds);
            let (first, second) = (arrival(), arrival());
            let again = self.delivery.unit() < self.settings.duplicates;
            if !kept {
                continue;
            }
            let mut json = event.json;
            // Written into a generous buffer, and there are hundreds of thousands of them.
            json.shrink_to_fit();
            let event = CensusEvent { event_id: event_id(&json), time: event.time, arrival: first, json, truth: truth.cloned() };
            if again {
                self.events.push(CensusEvent { arrival: second, ..event.clone() });
            }
            self.events.push(event);
        }
    }
}

fn event_id(json: &str) -> String {
    const KEY: &str = "\"eventID\":\"";
    // Quotes inside texts are escaped, so that no text can hold the key.
    let from = json.find(KEY).expect("every record has an eventID") + KEY.len();
    json[from..from + 36].to_owned()
}
