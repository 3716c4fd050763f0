//! Role chains: a door, then a hub, then the department's role, whose session makes the calls.

use super::door::Plan;
use super::issue::Issue;
use super::tape::Loss;
use super::truth::{Door, Proof, TAG_NOT_TRANSITIVE};
use super::visit::{Desk, Opened, Slot, Tagging};
use crate::estate::Role;
use crate::grant::Tags;
use crate::session::{AssumedRole, Session, Traits};

/// Where a chain begins; most do at the company's identity provider.
const DOORS: [Door; 10] = [
    Door::Saml,
    Door::Saml,
    Door::Saml,
    Door::Saml,
    Door::UserPoolOidc,
    Door::UserPoolOidc,
    Door::UserPoolOidc,
    Door::BasicFlow,
    Door::EnhancedFlow,
    Door::IdentityCenter,
];

/// Tags of the first two sessions and which of them go on.
struct Passing<'a> {
    base: Tagging<'a>,
    base_transitive: Vec<&'a str>,
    hub: Tagging<'a>,
    hub_transitive: Vec<&'a str>,
}

/// One `AssumeRole` of a chain.
struct Step<'s> {
    caller: &'s Session,
    role: &'s Role,
    session_name: &'s str,
    tags: &'s Tags<'s>,
    transitive: &'s [&'s str],
    incoming: &'s Tags<'s>,
    source_identity: Option<&'s str>,
    asks_for_source_identity: bool,
    time: i64,
    lifetime: i64,
    kept: bool,
}

impl<'a> Desk<'a> {
    /// A → B → C. Any one of the three records may be lost.
    pub(super) fn chained(&mut self, slot: &Slot<'a>, loss: Loss) -> Opened {
        let (staff, worker) = (self.staff, self.worker);
        let mut traps = Vec::new();
        let door = *self.random().pick(&DOORS);
        let passing = self.passing(slot, &mut traps);
        let subject_is_email = matches!(door, Door::Saml | Door::IdentityCenter);
        // Somebody unlisted is to have one name only.
        let has_source = self.random().chance(0.5) && (worker.listed || subject_is_email);
        let source_identity = has_source.then_some(&*worker.email);
        // Those providers set it; elsewhere the first AssumeRole does.
        let by_provider = matches!(door, Door::Saml | Door::UserPoolOidc);
        let lost = loss.link(3);
        let name = self.door_name(door, slot, &mut Vec::new());
        let base = self.enter(&Plan {
            door,
            role: if door == Door::IdentityCenter { &staff.permission_set } else { &staff.base_role },
            session_name: &name,
            tags: &passing.base,
            transitive: &passing.base_transitive,
            source_identity: source_identity.filter(|_| by_provider),
            time: slot.start - 20,
            lifetime: slot.length + 20,
            loss: if lost == Some(0) { loss } else { Loss::NONE },
        });
        let (hub_name, last_name) = (self.chosen_name(slot.start, &mut Vec::new()), self.chosen_name(slot.start, &mut traps));
        let to_hub = passed(&passing.base.pairs, &passing.base_transitive);
        let to_last = [to_hub.clone(), passed(&passing.hub.pairs, &passing.hub_transitive)].concat();
        let hub = self.step(&Step {
            caller: &base.session,
            role: &staff.hub_role,
            session_name: &hub_name,
            tags: &passing.hub.pairs,
            transitive: &passing.hub_transitive,
            incoming: &to_hub,
            source_identity,
            asks_for_source_identity: !by_provider,
            time: slot.start - 10,
            lifetime: slot.length,
            kept: lost != Some(1),
        });
        let session = self.step(&Step {
            caller: &hub,
            role: &slot.unit.desk_role,
            session_name: &last_name,
            tags: &[],
            transitive: &[],
            incoming: &to_last,
            source_identity,
            asks_for_source_identity: false,
            time: slot.start,
            lifetime: slot.length,
            kept: lost != Some(2),
        });
        let tag = to_last.iter().find(|(key, _)| key.eq_ignore_ascii_case("dept")).map(|(_, value)| (*value).to_owned());
        let proof = Proof {
            // The calls carry a source identity; a subject takes an unbroken chain back to it.
            subject: source_identity.map(str::to_owned).or_else(|| base.subject.filter(|_| !matches!(lost, Some(1 | 2)))),
            tag: tag.filter(|_| lost != Some(2)),
            complete: !loss.lost,
        };
        Opened { session, proof, traps }
    }

    fn passing(&mut self, slot: &Slot<'a>, traps: &mut Vec<&'static str>) -> Passing<'a> {
        let own = slot.unit.name;
        let (base, hub, goes_on) = match self.random().below(10) {
            0..=6 => (Some(own), None, true),
            7 => (Some(self.foreign_department()), None, false),
            8 => (None, Some(self.foreign_department()), false),
            _ => (None, Some(own), true),
        };
        let mut spelled = Vec::new();
        let base = self.tags_of(base, &mut spelled);
        let hub = match hub {
            // Its other tags come along from the base already, and a key cannot be passed twice.
            Some(department) => {
                let mut hub = self.tags_of(Some(department), &mut spelled);
                hub.pairs.retain(|(key, _)| Some(*key) == hub.key);
                hub
            }
            None => Tagging::default(),
        };
        if goes_on {
            traps.append(&mut spelled);
        } else {
            traps.push(TAG_NOT_TRANSITIVE);
        }
        let key_of = |tags: &Tagging<'a>| tags.key.filter(|_| goes_on);
        let base_transitive = key_of(&base).into_iter().chain(["clearance"]).collect();
        let hub_transitive = key_of(&hub).into_iter().collect();
        Passing { base, base_transitive, hub, hub_transitive }
    }

    /// A department that neither the person's tags nor the directory ever name.
    fn foreign_department(&mut self) -> &'a str {
        let (worker, units) = (self.worker, &self.staff.units);
        let known = [worker.unit, worker.later_unit, worker.listed_unit];
        let foreign: Vec<usize> = (0..units.len()).filter(|unit| !known.contains(unit)).collect();
        units[*self.random().pick(&foreign)].name
    }

    fn step(&mut self, step: &Step<'_>) -> Session {
        let access_key = self.random().unique_id("ASIA");
        let assumed = AssumedRole {
            role: step.role,
            session_name: step.session_name,
            access_key: &access_key,
            created: step.time,
            traits: Traits { source_identity: step.source_identity, ..Traits::default() },
        };
        let issue = Issue {
            grant: self.grant(&assumed, step.lifetime, step.tags),
            transitive: step.transitive,
            incoming: step.incoming,
            source_identity: step.source_identity,
            asks_for_source_identity: step.asks_for_source_identity,
        };
        issue.assume_role(&mut self.tape.journal, step.caller);
        self.tape.deliver(None, step.kept);
        self.session(&assumed, step.lifetime)
    }
}

/// The tags that go on to the next session.
fn passed<'a>(tags: &Tags<'a>, transitive: &[&str]) -> Vec<(&'a str, &'a str)> {
    tags.iter().copied().filter(|(key, _)| transitive.contains(key)).collect()
}
