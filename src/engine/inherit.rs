//! State across a split or a merge of shards: what the new shard's engine goes on from.
//!
//! A split shard leaves what it knew to both of its children; what is still to be done (calls that wait, alerts that are
//! open) goes to the one that the caller's records go to from now on, so that nothing is said twice. Merged shards leave
//! what both knew; where only one can count (calibration of the fleet, open windows of correlations, shares of the present
//! hour) it is that of the engine with more actors.

use std::sync::Arc;

use super::{Engine, EngineImage, EngineSettings};
use crate::alerting::Alert;
use crate::observation::Call;
use crate::state::chunked::Chunked;

/// What the records of a caller are partitioned by: the role behind its session, else its ARN.
pub fn partition_key<'a>(issuer: &'a str, arn: &'a str) -> &'a str {
    if issuer.is_empty() { arn } else { issuer }
}

impl EngineImage {
    /// Leaves out what is to be done about callers whose partition key `is_mine` does not hold for.
    pub fn narrow(&mut self, is_mine: impl Fn(&str) -> bool) {
        let is_my_call = |call: &Call| is_mine(partition_key(&call.caller.issuer, &call.caller.arn));
        self.held.narrow(is_my_call);
        self.recent.retain(is_my_call);
        self.alerting.narrow(|alert: &Alert| is_mine(partition_key(&alert.who.issuer, &alert.who.arn)));
    }

    fn actors(&self) -> usize {
        self.workers.actors.iter().map(|(_, rows)| rows.len()).sum()
    }
}

impl Engine {
    /// An engine that goes on from all of `images`; a new one where there are none.
    pub fn inherit(settings: EngineSettings, mut images: Vec<EngineImage>) -> Self {
        images.sort_by_key(EngineImage::actors);
        let Some(largest) = images.pop() else { return Self::new(settings) };
        let mut engine = Self::restore(settings, largest);
        images.into_iter().for_each(|image| engine.absorb(image));
        engine
    }

    fn absorb(&mut self, image: EngineImage) {
        self.dedup.absorb(&image.dedup);
        self.pairs.restore(image.pairs);
        self.held.absorb(image.held);
        self.joining.absorb(image.joining);
        self.departments.absorb(image.departments);
        self.alerting.absorb(image.alerting);
        let mut workers = image.workers;
        for (_, rows) in &mut workers.actors {
            let theirs = std::mem::take(rows);
            *rows = theirs.into_iter().filter_map(|(key, actor)| self.take_in(key, actor)).collect::<Chunked<_>>();
        }
        super::worker::restore(&mut self.workers, workers);
        self.closed_day = self.closed_day.max(image.closed_day);
        for call in image.recent {
            let known = self.joining.attribute(&call, crate::identity::Unknown::NoGrant);
            self.recent.note(Arc::new(call), &known);
        }
    }

    /// An actor of another fleet as one of this, unless it is known better here.
    fn take_in(
        &mut self,
        key: crate::identity::ActorKey,
        mut actor: crate::state::ActorState,
    ) -> Option<(crate::identity::ActorKey, crate::state::ActorState)> {
        let owner = self.owner(key.stable_hash());
        if self.workers[owner].actor(&key).is_some_and(|(ours, _)| ours.calls >= actor.calls) {
            return None;
        }
        actor.cohort = self.baselines.fleet.cohort(actor.department.as_ref(), key.kind.is_machine());
        self.workers[owner].forget(&key);
        Some((key, actor))
    }
}
