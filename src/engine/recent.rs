//! The latest call of each person, as long as a record about that person may still come late.
//!
//! A removal may arrive after calls that are newer than it. Held calls are no help there: those were settled long ago. So
//! the latest call of everybody is kept for lateness and waiting together, and judged again when a removal turns up.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hashed::Seeded;

use super::joining::Known;
use crate::identity::ActorKind;
use crate::observation::Call;
use crate::time::{EventTime, MINUTE};

/// Most people that are kept; beyond it nobody new is.
const PEOPLE_MAX: usize = 100_000;

/// Latest calls by person.
#[derive(Debug, Default)]
pub struct Recent {
    by_person: HashMap<Arc<str>, (Arc<Call>, Arc<Known>), Seeded>,
    last_expiry: EventTime,
}

impl Recent {
    /// Notes a call of `known`.
    pub fn note(&mut self, call: Arc<Call>, known: &Arc<Known>) {
        if known.who.actor.kind != ActorKind::Person {
            return;
        }
        let has_room = self.by_person.len() < PEOPLE_MAX;
        match self.by_person.get_mut(&known.who.actor.name) {
            // Two calls of one second: the id decides, not the order of arrival.
            Some((latest, by)) if call.order() > latest.order() => (*latest, *by) = (call, Arc::clone(known)),
            Some(_) => {}
            None if has_room => {
                self.by_person.insert(Arc::clone(&known.who.actor.name), (call, Arc::clone(known)));
            }
            None => {}
        }
    }

    /// Calls that happened after `time` and that `concerns` holds for.
    pub fn later_than(&self, time: EventTime, concerns: impl Fn(&Call, &Known) -> bool) -> Vec<(Arc<Call>, Arc<Known>)> {
        let later = self.by_person.values().filter(|(call, known)| call.invocation.time > time && concerns(call, known));
        let mut later: Vec<(Arc<Call>, Arc<Known>)> = later.map(|(call, known)| (call.clone(), Arc::clone(known))).collect();
        later.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
        later
    }

    /// Forgets calls of before `time`.
    pub fn expire(&mut self, time: EventTime) {
        if time.since(self.last_expiry) > 5 * MINUTE {
            self.last_expiry = time;
            self.by_person.retain(|_, (call, _)| call.invocation.time >= time);
        }
    }

    /// The calls, for a snapshot.
    pub fn image(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self.by_person.values().map(|(call, _)| Call::clone(call)).collect();
        calls.sort_by(|a, b| a.order().cmp(&b.order()));
        calls
    }
}
