//! A person's day: sessions one after the other, each with a new key, and the calls made with it.

use super::door::Plan;
use super::issue::{Issue, UserIssue};
use super::machine::iam_user;
use super::staff::{Staff, Unit, Worker};
use super::tape::{Loss, Tape};
use super::truth::{
    BORROWED_NAME, DIRECTORY_DIFFERS, Door, MACHINE_NAME, MOVED, NO_DEPARTMENT_TAG, NOT_IN_DIRECTORY, Proof, SHARED_ROLE,
    TAG_IN_OTHER_CASE, UNICODE_TAG, Way,
};
use crate::call::{Invocation, Operation};
use crate::clock::{HOUR, iso};
use crate::grant::Grant;
use crate::journal::Journal;
use crate::json::object_text;
use crate::model::{Form, Model};
use crate::random::{Purpose, Random};
use crate::session::{AssumedRole, Session, Traits};

pub(super) const USER_AGENT: &str = "aws-sdk-js/3.821.0 ua/2.1 os/linux lang/js md/nodejs#22.14.0 api/bedrock-runtime#3.821.0 m/E,N,e";

/// Longest name of a federated user.
const FEDERATED_NAME_MAX: usize = 32;

/// A person at work.
pub(super) struct Desk<'a> {
    pub(super) staff: &'a Staff,
    pub(super) worker: &'a Worker,
    pub(super) tape: Tape<'a>,
}

/// When a session is, how long its key lasts, and for which department it is.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    pub(super) midnight: i64,
    pub(super) start: i64,
    pub(super) length: i64,
    pub(super) unit: &'a Unit,
}

/// Session tags.
#[derive(Clone, Debug, Default)]
pub(super) struct Tagging<'a> {
    pub(super) pairs: Vec<(&'a str, &'a str)>,
    /// The key that means the department, as it is written here.
    pub(super) key: Option<&'a str>,
}

impl<'a> Tagging<'a> {
    pub(super) fn department(&self) -> Option<&'a str> {
        let key = self.key?;
        self.pairs.iter().find(|(tag, _)| *tag == key).map(|(_, value)| *value)
    }
}

/// A session, what the stream proves about it, and what misleads there.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) proof: Proof,
    pub(super) traps: Vec<&'static str>,
}

impl<'a> Desk<'a> {
    /// Two to four sessions.
    pub(super) fn day(&mut self, midnight: i64) {
        let (worker, units) = (self.worker, &self.staff.units);
        let random = self.random();
        let sessions = match random.below(100) {
            0..=79 => 2,
            80..=94 => 3,
            _ => 4,
        };
        let mut start = midnight + random.between(6 * HOUR, 8 * HOUR - 60);
        for turn in 0..sessions {
            let length = self.random().between(HOUR, 4 * HOUR);
            let unit = &units[if turn == 0 { worker.unit } else { worker.later_unit }];
            let way = if turn % 2 == 0 { worker.way } else { worker.second_way };
            self.work(way, &Slot { midnight, start, length: length.min(way.longest()), unit });
            start += length;
        }
    }

    fn work(&mut self, way: Way, slot: &Slot<'a>) {
        let loss = self.tape.session();
        let opened = match way {
            Way::Direct(door) => self.direct(door, slot, loss),
            Way::Chained => self.chained(slot, loss),
            Way::AssumeRoleTags => self.assume_role_tags(slot, loss),
            Way::SessionToken => self.session_token(slot, loss),
            Way::FederationToken => self.federation_token(slot, loss),
        };
        let traps = self.traps(way, slot, opened.traps);
        let truth = opened.proof.truth(self.staff, self.worker, way, traps);
        let random = self.random();
        let calls = 3 + random.below(6).min(random.below(6)).min(random.below(6));
        for _ in 0..calls {
            let random = self.random();
            let time = slot.start + random.between(3, slot.length - 30);
            let model = *random.pick::<&'static Model>(&slot.unit.models);
            call(&mut self.tape.journal, &opened.session, model, self.worker.form, self.worker.streaming, time);
            self.tape.deliver(Some(&truth), true);
        }
    }

    /// Adds the traps that come with the person and the department.
    fn traps(&self, way: Way, slot: &Slot<'_>, mut traps: Vec<&'static str>) -> Vec<&'static str> {
        let worker = self.worker;
        let has_own_role = match way {
            Way::Direct(Door::IdentityCenter) | Way::SessionToken | Way::FederationToken => false,
            Way::Direct(_) | Way::Chained | Way::AssumeRoleTags => true,
        };
        let standing = [
            (SHARED_ROLE, has_own_role && slot.unit.shares_role()),
            (NOT_IN_DIRECTORY, !worker.listed),
            (DIRECTORY_DIFFERS, worker.differs()),
            (MOVED, worker.unit != worker.later_unit),
        ];
        traps.extend(standing.into_iter().filter(|(_, stands)| *stands).map(|(trap, _)| trap));
        traps
    }

    fn direct(&mut self, door: Door, slot: &Slot<'a>, loss: Loss) -> Opened {
        let mut traps = Vec::new();
        // Identity Center passes tags only where an administrator mapped some.
        let bare = door == Door::IdentityCenter && self.random().chance(0.5);
        let tags = if bare { Tagging::default() } else { self.tags(slot.unit.name, &mut traps) };
        let role = match door {
            Door::EnhancedFlow | Door::BasicFlow | Door::UserPoolOidc => &slot.unit.app_role,
            Door::Saml => &slot.unit.desk_role,
            Door::IdentityCenter => &self.staff.permission_set,
        };
        let session_name = self.door_name(door, slot, &mut traps);
        let (time, lifetime) = (slot.start, slot.length);
        let plan =
            Plan { door, role, session_name: &session_name, tags: &tags, transitive: &[], source_identity: None, time, lifetime, loss };
        let entrance = self.enter(&plan);
        let tag = tags.department().filter(|_| !loss.lost).map(str::to_owned);
        let proof = Proof { subject: entrance.subject, tag, complete: !loss.lost };
        Opened { session: entrance.session, proof, traps }
    }

    /// A broker asks for the person's session and names the person as its source.
    fn assume_role_tags(&mut self, slot: &Slot<'a>, loss: Loss) -> Opened {
        let (staff, worker) = (self.staff, self.worker);
        let mut traps = Vec::new();
        let tags = self.tags(slot.unit.name, &mut traps);
        let session_name = self.chosen_name(slot.start, &mut traps);
        let by_function = self.random().chance(0.5);
        let function = by_function.then(|| staff.broker.function(&staff.estate, slot.midnight, slot.start));
        let caller = function.as_ref().unwrap_or(&staff.broker.user);
        let access_key = self.random().unique_id("ASIA");
        let traits = Traits { source_identity: Some(&worker.email), ..Traits::default() };
        let role = &slot.unit.desk_role;
        let assumed = AssumedRole { role, session_name: &session_name, access_key: &access_key, created: slot.start, traits };
        let grant = Grant { source_ip: &caller.source_ip, ..self.grant(&assumed, slot.length, &tags.pairs) };
        let key = tags.key.unwrap_or_default();
        let transitive = if key.is_empty() { &[][..] } else { &[key][..] };
        let issue = Issue { grant, transitive, incoming: &[], source_identity: Some(&worker.email), asks_for_source_identity: true };
        issue.assume_role(&mut self.tape.journal, caller);
        self.tape.deliver(None, !loss.lost);
        let tag = tags.department().filter(|_| !loss.lost).map(str::to_owned);
        // The calls carry the source identity themselves.
        let proof = Proof { subject: Some(worker.email.clone()), tag, complete: !loss.lost };
        Opened { session: self.session(&assumed, slot.length), proof, traps }
    }

    /// An IAM user's own session: a key of the user, no tag, and nobody vouches for a person.
    fn session_token(&mut self, slot: &Slot<'a>, loss: Loss) -> Opened {
        let (estate, worker) = (&self.staff.estate, self.worker);
        let mut own = Random::stream(estate.seed, Purpose::CensusPerson, &[worker.index as u64, 1]);
        let (id, long_lived) = (own.unique_id("AIDA"), own.unique_id("AKIA"));
        let user = iam_user(estate, &worker.user_name, &id, &long_lived, &worker.egress_ip);
        let access_key = self.random().unique_id("ASIA");
        UserIssue { user: &user, access_key: &access_key, time: slot.start, lifetime: slot.length }.session_token(&mut self.tape.journal);
        self.tape.deliver(None, !loss.lost);
        let identity = object_text(|identity| {
            identity.text("type", "IAMUser");
            identity.text("principalId", &id);
            identity.text("arn", &user.arn);
            identity.text("accountId", &estate.account);
            identity.text("accessKeyId", &access_key);
            identity.text("userName", &worker.user_name);
            identity.object("sessionContext", |context| {
                context.object("attributes", |attributes| {
                    attributes.text("creationDate", &iso(slot.start));
                    attributes.text("mfaAuthenticated", "true");
                });
            });
        });
        let session = Session { access_key, user_identity_json: identity, ..user };
        Opened { session, proof: Proof { complete: !loss.lost, ..Proof::default() }, traps: Vec::new() }
    }

    /// A session under a name that the caller makes up; only its tags are vouched for.
    fn federation_token(&mut self, slot: &Slot<'a>, loss: Loss) -> Opened {
        let staff = self.staff;
        let mut traps = Vec::new();
        let tags = self.tags(slot.unit.name, &mut traps);
        let mut name = self.chosen_name(slot.start, &mut traps);
        if name.len() > FEDERATED_NAME_MAX {
            traps.retain(|trap| *trap != BORROWED_NAME);
            name = "notebook".to_owned();
        }
        let access_key = self.random().unique_id("ASIA");
        UserIssue { user: &staff.broker.user, access_key: &access_key, time: slot.start, lifetime: slot.length }.federation_token(
            &mut self.tape.journal,
            &name,
            &tags.pairs,
        );
        self.tape.deliver(None, !loss.lost);
        let tag = tags.department().filter(|_| !loss.lost).map(str::to_owned);
        let session = staff.broker.federated(&staff.estate, &name, &access_key, slot.start);
        Opened { session, proof: Proof { subject: None, tag, complete: !loss.lost }, traps }
    }

    /// Tags of the person's session for that department.
    pub(super) fn tags(&mut self, department: &'a str, traps: &mut Vec<&'static str>) -> Tagging<'a> {
        if self.random().chance(0.03) {
            traps.push(NO_DEPARTMENT_TAG);
            return self.tags_of(None, traps);
        }
        self.tags_of(Some(department), traps)
    }

    /// Tags with that department, or with none.
    pub(super) fn tags_of(&mut self, department: Option<&'a str>, traps: &mut Vec<&'static str>) -> Tagging<'a> {
        let mut pairs = vec![("clearance", self.worker.clearance), ("region", &*self.staff.estate.region)];
        let key = match self.random().below(100) {
            0..=1 => "Dept",
            2 => "DEPT",
            3 => "dEpT",
            _ => "dept",
        };
        if let Some(department) = department {
            let at = self.random().below(3);
            pairs.insert(at, (key, department));
            traps.extend((key != "dept").then_some(TAG_IN_OTHER_CASE));
            traps.extend((!department.is_ascii()).then_some(UNICODE_TAG));
        }
        Tagging { pairs, key: department.map(|_| key) }
    }

    /// The name of a session whose name the caller chooses.
    pub(super) fn chosen_name(&mut self, time: i64, traps: &mut Vec<&'static str>) -> String {
        let (staff, worker) = (self.staff, self.worker);
        let random = self.random();
        match random.below(100) {
            0..=39 => format!("botocore-session-{time}"),
            40..=54 => "web-identity".to_owned(),
            55..=64 => format!("aws-sdk-js-session-{time}{:03}", random.below(1_000)),
            65..=74 => "assistant-app".to_owned(),
            75..=87 => worker.email.clone(),
            88..=89 => {
                traps.push(MACHINE_NAME);
                format!("i-0{}", random.hex(16))
            }
            _ => match staff.colleague(worker, random) {
                Some(colleague) => {
                    traps.push(BORROWED_NAME);
                    colleague.email.clone()
                }
                None => "assistant-app".to_owned(),
            },
        }
    }

    /// What the person does with a grant, seen from outside the company.
    pub(super) fn grant<'g>(&self, assumed: &AssumedRole<'g>, lifetime: i64, tags: &'g [(&'g str, &'g str)]) -> Grant<'g>
    where
        'a: 'g,
    {
        Grant {
            role: assumed.role,
            session_name: assumed.session_name,
            access_key: assumed.access_key,
            time: assumed.created,
            lifetime,
            tags,
            source_ip: &self.worker.egress_ip,
            user_agent: USER_AGENT,
        }
    }

    /// The credentials in the person's hands.
    pub(super) fn session(&self, assumed: &AssumedRole<'_>, lifetime: i64) -> Session {
        let estate = &self.staff.estate;
        Session {
            access_key: assumed.access_key.to_owned(),
            user_identity_json: assumed.user_identity_json(estate),
            arn: assumed.arn(estate),
            partition_key: assumed.role.arn.clone(),
            source_ip: self.worker.inside_ip.clone(),
            user_agent: USER_AGENT.to_owned(),
            inside: true,
            from_console: false,
            started: assumed.created,
            expires: assumed.created + lifetime,
        }
    }

    pub(super) const fn random(&mut self) -> &mut Random {
        &mut self.tape.journal.random
    }
}

/// One call of a model, without the companion of a stream.
pub(super) fn call(journal: &mut Journal<'_>, session: &Session, model: &'static Model, form: Form, streaming: f64, time: i64) {
    let estate = journal.estate;
    Invocation {
        session,
        time,
        region: &estate.region,
        operation: Operation::choose(model, streaming, &mut journal.random),
        model,
        as_written: &model.written(form, estate),
        refusal: None,
        bearer: false,
    }
    .record_alone(journal);
}
