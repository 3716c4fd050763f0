//! One actor as people ask about it: what it did, what it is doing, and what its baseline expects of it.

use std::sync::Arc;

use super::Engine;
use crate::alerting::acknowledged::{AcknowledgeError, Acknowledgement};
use crate::baseline::Comparison;
use crate::baseline::habits::DIMENSIONS;
use crate::finding::{History, HistoryUnit};
use crate::identity::ActorKey;
use crate::stats::ring::BUCKET;
use crate::time::{DAY, EventTime};

/// An actor as it is known now.
#[derive(Clone, Debug, PartialEq)]
pub struct Portrait {
    /// Whose it is.
    pub actor: ActorKey,
    /// The department as last known.
    pub department: Option<Arc<str>>,
    /// The latest call.
    pub last: EventTime,
    /// Calls since the actor is known.
    pub calls: u64,
    /// Whether it was active in two buckets; newcomers teach nobody.
    pub is_settled: bool,
    /// The busiest hour of each of the last days, in calls.
    pub history: History,
    /// The same in dollars; nothing where it has not spent any.
    pub spending: Option<History>,
    /// The day of the latest call: what was called in each hour (UTC), and what was expected.
    pub hours: [u32; 24],
    /// Calls that the baseline expects in each hour of that day.
    pub expected: [f64; 24],
    /// The moment of the latest call against the baseline.
    pub moment: Comparison,
    /// How many networks, regions, models and clients it is known to use.
    pub known: [usize; DIMENSIONS],
}

impl Engine {
    /// What is known about an actor.
    pub fn portrait(&self, key: &ActorKey) -> Option<Portrait> {
        let (actor, is_settled) = self.workers[self.owner(key.stable_hash())].actor(key)?;
        let (baseline, slot, day) = (&actor.baseline, actor.last.slot(BUCKET), actor.last.slot(DAY));
        let peers = self.baselines.fleet.reference(actor.cohort, slot).peers;
        let history = |unit, busiest_hours| History { unit, last_day: baseline.last_learned(), busiest_hours };
        Some(Portrait {
            actor: actor.key.clone(),
            department: actor.department.clone(),
            last: actor.last,
            calls: actor.calls,
            is_settled,
            history: history(HistoryUnit::Calls, baseline.plot().to_vec()),
            spending: baseline.has_spent().then(|| history(HistoryUnit::Dollars, baseline.spend_plot().to_vec())),
            hours: baseline.hours(day).unwrap_or_default(),
            expected: baseline.expected_hours(day, peers),
            moment: baseline.comparison(slot, peers),
            known: baseline.known_values(),
        })
    }

    /// Notes who has an incident in hand; baselines learn what is said to be usual.
    ///
    /// # Errors
    /// The incident is not open.
    pub fn acknowledge(&mut self, said: Acknowledgement) -> Result<(), AcknowledgeError> {
        for actor in self.alerting.acknowledge(said)? {
            let owner = self.owner(actor.stable_hash());
            self.workers[owner].acknowledge(&actor);
        }
        Ok(())
    }

    /// The incidents that somebody has in hand.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Acknowledgement> {
        self.alerting.acknowledged()
    }

    /// Calls that wait for the record that issued their key.
    pub fn waiting(&self) -> usize {
        self.held.len()
    }
}
