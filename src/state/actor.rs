//! What is remembered about one actor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::Stamped;
use crate::baseline::story::Story;
use crate::baseline::{Baseline, CohortId};
use crate::identity::ActorKey;
use crate::stats::ring::BUCKET;
use crate::time::EventTime;

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
        }
    }
}

impl Stamped for ActorState {
    fn last_used(&self) -> EventTime {
        self.last
    }
}
