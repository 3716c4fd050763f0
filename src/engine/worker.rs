//! A worker: owns its actors and credentials and shows calls to the detectors. Nobody else touches what it owns.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::frozen::WorkersImage;
use crate::baseline::Fleet;
use crate::baseline::Spent;
use crate::bedrock::Tokens;
use crate::detect::{Context, Detectors, Judged};
use crate::finding::BaselineNote;
use crate::finding::{Digest128, Signal};
use crate::identity::ActorKey;
use crate::state::sight::sight;
use crate::state::{ActorState, Counted, CredentialState, KeyState, Probation, Table};
use crate::stats::ring::BUCKET;

/// One of an engine's workers.
#[derive(Debug)]
pub struct Worker {
    actors: Probation<ActorKey, ActorState>,
    credentials: Table<Digest128, CredentialState>,
    keys: Table<Arc<str>, KeyState>,
    /// What the present call comes to; here so that its memory is used again.
    counted: Counted,
}

/// How many actors and credentials there are and were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Actors that are tracked, newcomers included.
    pub actors: usize,
    /// Credentials with refusals.
    pub credentials: usize,
    /// Actors with history that were forgotten for want of room.
    pub actors_evicted: u64,
    /// Newcomers that were forgotten for want of room.
    pub newcomers_evicted: u64,
    /// Credentials that were forgotten for want of room, with or without refusals.
    pub credentials_evicted: u64,
}

impl Worker {
    /// A worker for at most so many actors and credentials.
    pub fn new(actors_max: usize, credentials_max: usize) -> Self {
        Self {
            actors: Probation::with_capacity(actors_max),
            credentials: Table::with_capacity(credentials_max),
            keys: Table::with_capacity(credentials_max),
            counted: Counted::default(),
        }
    }

    /// The instant tap: a refused call, by its credential.
    pub fn refuse(
        &mut self,
        credential: Digest128,
        judged: &Judged<'_>,
        detectors: &Detectors,
        context: &Context<'_>,
        out: &mut Vec<Signal>,
    ) {
        let state = self.credentials.get_or_insert_with(&credential, CredentialState::default);
        for detector in &detectors.instant {
            detector.judge_instantly(judged, state, context, out);
        }
    }

    /// The instant tap: any call, by its credential.
    pub fn use_key(&mut self, judged: &Judged<'_>, detectors: &Detectors, context: &Context<'_>, out: &mut Vec<Signal>) {
        let state = self.keys.get_or_insert_with(judged.call.caller.credential(), KeyState::default);
        for detector in &detectors.keys {
            detector.judge_key(judged, state, context, out);
        }
    }

    /// A call that was pending at the instant tap is settled: what was said about its credential learns whose it is.
    pub fn enrich_key(&mut self, judged: &Judged<'_>, detectors: &Detectors, out: &mut Vec<Signal>) {
        if let Some(state) = self.keys.get_mut(judged.call.caller.credential()) {
            for detector in &detectors.keys {
                detector.enrich(judged, state, out);
            }
        }
    }

    /// The attributed tap: any call, by its actor.
    pub fn attribute(&mut self, judged: &Judged<'_>, detectors: &Detectors, context: &Context<'_>, out: &mut Vec<Signal>) {
        let key = &judged.who.actor;
        let time = judged.call.invocation.time;
        let slot = time.slot(BUCKET);
        let actor =
            self.actors.get_or_insert_with(key, |known| known.first_slot != slot, || ActorState::new(key.clone(), context.cohort, time));
        actor.last = actor.last.max(time);
        if let Some(name) = judged.who.department.name()
            && actor.department.as_ref() != Some(name)
        {
            actor.department = Some(Arc::clone(name));
            actor.cohort = context.cohort;
        }
        self.counted.clear();
        if judged.call.invocation.counts() {
            actor.count(slot, &sight(judged.call), context.fleet, judged.trusted, &mut self.counted);
            if let Some(tokens) = judged.tokens {
                actor.spend(slot, spent(judged, &tokens, context), context.fleet, judged.trusted, &mut self.counted);
            }
        }
        let context = Context { counted: &self.counted, ..*context };
        for detector in detectors.attributed.iter().chain(&detectors.spending) {
            detector.judge(judged, actor, &context, out);
        }
        let first_uses = std::mem::take(&mut self.counted.noted.first_uses);
        let note = BaselineNote { cohort: actor.cohort, first_uses, joins: std::mem::take(&mut self.counted.joins) };
        if !note.is_empty() {
            out.push(Signal::Baseline(Box::new(note)));
        }
    }

    /// The attributed tap once more: the tokens of a call have come after it.
    pub fn add_tokens(&mut self, judged: &Judged<'_>, detectors: &Detectors, context: &Context<'_>, out: &mut Vec<Signal>) {
        let Some(tokens) = judged.tokens else { return };
        // Whom nobody remembers has no window to put it in.
        let Some(actor) = self.actors.get_mut(&judged.who.actor) else { return };
        let slot = judged.call.invocation.time.slot(BUCKET);
        self.counted.clear();
        actor.spend(slot, spent(judged, &tokens, context), context.fleet, judged.trusted, &mut self.counted);
        let context = Context { counted: &self.counted, ..*context };
        for detector in &detectors.spending {
            detector.judge(judged, actor, &context, out);
        }
    }

    /// Counts the settled actor at a place for the day that is passing; `false` where the places end. Newcomers learn but
    /// teach nobody: a flood of invented names is nobody's peer group.
    pub fn count_day_at(&mut self, place: usize, fleet: &mut Fleet) -> bool {
        let Some(actor) = self.actors.settled_at_mut(place) else { return false };
        fleet.absorb(actor.cohort, &mut actor.baseline, actor.key.stable_hash());
        true
    }

    /// Forgets what was said of actors: nobody has heard it.
    pub fn forget_stories(&mut self) {
        self.actors.values_mut().for_each(|actor| {
            (actor.story, actor.spend_story) = Default::default();
        });
    }

    /// An actor, and whether it is settled.
    pub fn actor(&self, key: &ActorKey) -> Option<(&ActorState, bool)> {
        self.actors.get(key)
    }

    /// Forgets an actor.
    pub fn forget(&mut self, key: &ActorKey) {
        self.actors.remove(key);
    }

    /// What an actor does today is how things are from now on.
    pub fn acknowledge(&mut self, key: &ActorKey) {
        if let Some(actor) = self.actors.get_mut(key) {
            actor.baseline.acknowledge();
        }
    }

    /// Actors that are settled.
    pub fn settled(&self) -> usize {
        self.actors.settled()
    }

    /// For how many actors, newcomers and credentials there is room.
    pub fn room(&self) -> [usize; 3] {
        let [settled, newcomers] = self.actors.room();
        [settled, newcomers, self.credentials.room()]
    }

    /// How full the tables are.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            actors: self.actors.len(),
            credentials: self.credentials.len(),
            actors_evicted: self.actors.evicted(),
            newcomers_evicted: self.actors.newcomers_evicted(),
            credentials_evicted: self.credentials.evicted() + self.keys.evicted(),
        }
    }
}

/// What a call has cost.
fn spent(judged: &Judged<'_>, tokens: &Tokens, context: &Context<'_>) -> Spent {
    let model = judged.call.invocation.model.as_deref();
    Spent { micros: context.prices.cost(model, tokens).micros, tokens: tokens.total() }
}

/// What a snapshot keeps.
pub fn image(workers: &[Worker]) -> WorkersImage {
    WorkersImage {
        actors: workers.iter().flat_map(|worker| worker.actors.freeze()).collect(),
        credentials: workers.iter().map(|worker| worker.credentials.freeze()).collect(),
        keys: workers.iter().map(|worker| worker.keys.freeze()).collect(),
    }
}

/// Gives every actor and credential to the worker that owns it.
pub fn restore(workers: &mut [Worker], image: WorkersImage) {
    let count = workers.len() as u64;
    let WorkersImage { actors, credentials, keys } = image;
    // Least recently used first, so that what does not fit any more is the oldest.
    let mut keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.sort_by_key(|(_, state)| state.last);
    for (key, state) in keys {
        workers[(key_hash(&key) % count) as usize].keys.get_or_insert_with(&key, || state);
    }
    let mut actors: Vec<_> = actors.into_iter().flat_map(|(settled, rows)| rows.into_iter().map(move |row| (settled, row))).collect();
    actors.sort_by_key(|(_, (_, state))| state.last);
    for (settled, (key, state)) in actors {
        workers[(key.stable_hash() % count) as usize].actors.restore(&key, state, settled);
    }
    let mut credentials: Vec<_> = credentials.into_iter().flatten().collect();
    credentials.sort_by_key(|(_, state)| state.last);
    for (key, state) in credentials {
        workers[(credential_hash(key) % count) as usize].credentials.get_or_insert_with(&key, || state);
    }
}

/// The hash that decides which worker owns what is known about a key's use; the same on every machine.
pub fn key_hash(credential: &str) -> u64 {
    xxh3_64(credential.as_bytes())
}

/// The hash that decides which worker owns a credential.
pub fn credential_hash(credential: Digest128) -> u64 {
    let bytes = credential.to_bytes();
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}
