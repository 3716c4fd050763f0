//! What is remembered about one actor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::Stamped;
use crate::baseline::memory::Joins;
use crate::baseline::story::Story;
use crate::baseline::{Baseline, CohortId, Fleet, Noted, Score, Sight, Spent};
use crate::identity::ActorKey;
use crate::stats::ring::BUCKET;
use crate::time::{EventTime, HOUR};

/// One actor. Owned by one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActorState {
    /// Whose state it is.
    pub key: ActorKey,
    /// The department as last known: it names the cohort.
    pub department: Option<Arc<str>>,
    /// The cohort's number in the fleet.
    pub cohort: CohortId,
    /// Slot of the first call, for probation.
    pub first_slot: i64,
    /// Time of the latest call.
    pub last: EventTime,
    /// Counted calls since the actor is known.
    pub calls: u64,
    /// Counted calls of before the present story.
    pub before_story: u64,
    /// What is usual.
    pub baseline: Baseline,
    /// What was said of it lately.
    pub story: Story,
    /// What was said of its spending.
    pub spend_story: Story,
}

/// What counting a call came to: what detectors look at. Filled anew for each call.
#[derive(Debug, Default)]
pub struct Counted {
    /// What the call uses for the first time.
    pub noted: Noted,
    /// Moments that the call changes, each judged.
    pub scores: Vec<(i64, Score)>,
    /// The same for what it cost.
    pub spending: Vec<(i64, Score)>,
    /// Hours whose crowd the actor joins.
    pub joins: Vec<(i64, Joins)>,
}

impl Counted {
    /// Forgets what the call before came to.
    pub fn clear(&mut self) {
        self.noted = Noted::default();
        self.scores.clear();
        self.spending.clear();
        self.joins.clear();
    }
}

impl ActorState {
    /// A newcomer of `cohort`, seen at `time`.
    pub fn new(key: ActorKey, cohort: CohortId, time: EventTime) -> Self {
        Self {
            key,
            department: None,
            cohort,
            first_slot: time.slot(BUCKET),
            last: time,
            calls: 0,
            before_story: 0,
            baseline: Baseline::default(),
            story: Story::default(),
            spend_story: Story::default(),
        }
    }

    /// Counts a call in the bucket `slot` and judges every moment that it changes. What is older than any window is a call
    /// and nothing more; what is not `trusted` teaches nothing.
    pub fn count(&mut self, slot: i64, sight: &Sight, fleet: &Fleet, trusted: bool, into: &mut Counted) {
        self.calls += 1;
        let reference = fleet.reference(self.cohort, slot);
        let Ok(noted) = self.baseline.add(slot, 1, sight, &reference, trusted) else { return };
        into.noted = noted;
        if into.noted.changes_nothing {
            return;
        }
        for touched in self.baseline.touched(slot) {
            let reference = if touched == slot { reference } else { fleet.reference(self.cohort, touched) };
            let score = self.baseline.judge(touched, &reference, trusted);
            let joins = self.baseline.join_crowd(touched, &score);
            if joins.unusual || joins.paced {
                into.joins.push((touched.div_euclid(HOUR / BUCKET), joins));
            }
            into.scores.push((touched, score));
        }
    }

    /// Counts what a call of the bucket `slot` cost and judges every moment that it changes.
    pub fn spend(&mut self, slot: i64, spent: Spent, fleet: &Fleet, trusted: bool, into: &mut Counted) {
        if self.baseline.spend(slot, spent, &fleet.reference(self.cohort, slot), trusted).is_err() {
            return;
        }
        for touched in self.baseline.touched(slot) {
            let score = self.baseline.judge_spend(touched, &fleet.reference(self.cohort, touched), trusted);
            into.spending.push((touched, score));
        }
    }
}

impl Stamped for ActorState {
    fn last_used(&self) -> EventTime {
        self.last
    }
}
