//! The auditor's question: every call of a department, a person or a model within a time, from CloudTrail's own files,
//! attributed by the daemon's join. No clock, no I/O.
//!
//! Events may come in any order and more than once: what issues access keys is learned first, then every call is
//! attributed with all of it in hand. So an answer does not depend on how files are cut, named or read, and knows what a
//! daemon that could not wait any longer did not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::archive::{Ending, Line};
use crate::cloudtrail::Decoded;
use crate::engine::EngineSettings;
use crate::engine::joining::Joining;
use crate::glob;
use crate::identity::{Attribution, Grant, RemovalNotice, Resolver, Unknown};
use crate::observation::{Body, Call, Observation};
use crate::state::{GrantKeeper, Shared};
use crate::time::{DAY, EventTime};

/// What is asked. Every part that is given must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The earliest time that belongs to it.
    pub since: EventTime,
    /// The earliest time that no longer does.
    pub until: EventTime,
    /// The department, to the letter; an empty text asks for calls of no known department.
    pub department: Option<String>,
    /// A pattern of the model's canonical id, `*` and `?` as in IAM.
    pub model: Option<String>,
    /// A pattern of the person.
    pub person: Option<String>,
}

/// What was read of some files: as much as the question needs.
#[derive(Debug, Default)]
pub struct Harvest {
    grants: Vec<(Arc<str>, Grant)>,
    notices: Vec<RemovalNotice>,
    calls: Vec<Found>,
    spoken: Coverage,
    /// Events of any kind.
    pub events: u64,
}

#[derive(Debug)]
struct Found {
    fingerprint: u64,
    twin: u64,
    call: Arc<Call>,
}

/// One call with who made it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The call.
    pub call: Arc<Call>,
    /// Who made it.
    pub who: Arc<Attribution>,
}

impl Row {
    /// How it ended.
    pub fn ending(&self) -> Ending {
        Ending::of(&self.call.invocation.outcome)
    }

    /// The columns of [`COLUMNS`]; empty where the record does not say.
    pub fn columns(&self) -> [String; COLUMNS.len()] {
        let line = Line::of(&self.call, &self.who, None);
        let said = |text: Option<&str>| text.unwrap_or_default().to_owned();
        [
            line.time.clone(),
            line.event_id.clone().unwrap_or_default(),
            said(line.department),
            said(line.person),
            said(line.model),
            line.operation.to_owned(),
            line.outcome.label().to_owned(),
            said(line.error_code),
            line.region.to_owned(),
            line.account.to_owned(),
            line.source_ip.to_owned(),
            said(line.access_key_id),
        ]
    }
}

/// Names of a row's columns, as `deploy/athena` gives them.
pub const COLUMNS: [&str; 12] = [
    "time",
    "event_id",
    "department",
    "person",
    "model",
    "operation",
    "outcome",
    "error_code",
    "region",
    "account",
    "source_ip",
    "access_key_id",
];

/// The answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Calls by time, and within a second by id.
    pub rows: Vec<Row>,
    /// Calls that were in the files more than once, or twice for two accounts.
    pub duplicates: u64,
    /// Calls that fit but for a department or person that nobody knows, by reason.
    pub unknown: BTreeMap<&'static str, u64>,
    /// Where nothing was read of days that the question asks for.
    pub gaps: Vec<Gap>,
}

/// Days of which an account and region has no event, though it speaks on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The account.
    pub account: Arc<str>,
    /// The region; nothing where the whole account is silent.
    pub region: Option<Arc<str>>,
    /// The first and the last silent day, counted from 1970-01-01.
    pub days: (i64, i64),
}

/// A day with fewer events than this part of the usual (the median day) is silent.
const SILENT: u64 = 100;

/// Which days an account and region spoke on.
#[derive(Debug, Default)]
struct Coverage {
    days: HashMap<(Arc<str>, Arc<str>), BTreeMap<i64, u64>>,
    /// The place that spoke last: files hold events of one.
    last: Option<(Arc<str>, Arc<str>)>,
}

impl Coverage {
    fn note(&mut self, account: &str, region: &str, day: i64) {
        let is_last = self.last.as_ref().is_some_and(|(a, r)| **a == *account && **r == *region);
        if !is_last {
            self.last = Some((account.into(), region.into()));
        }
        let Some(place) = &self.last else { return };
        let days = match self.days.get_mut(place) {
            Some(days) => days,
            None => self.days.entry(place.clone()).or_default(),
        };
        *days.entry(day).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        for (place, days) in other.days {
            let own = self.days.entry(place).or_default();
            days.into_iter().for_each(|(day, events)| *own.entry(day).or_default() += events);
        }
    }

    /// Silent days (none, or nearly none of the usual) of accounts, and of their regions that speak on more than half of the days: a region in which little
    /// happens is silent by right.
    fn gaps(&self, since: EventTime, until: EventTime) -> Vec<Gap> {
        let (first, last) = (since.slot(DAY), until.plus(-1).slot(DAY));
        let mut accounts: BTreeMap<Arc<str>, BTreeMap<i64, u64>> = BTreeMap::new();
        for ((account, _), days) in &self.days {
            let all = accounts.entry(Arc::clone(account)).or_default();
            days.iter().for_each(|(day, events)| *all.entry(*day).or_default() += events);
        }
        let mut gaps = Vec::new();
        if accounts.is_empty() {
            gaps.push(Gap { account: "".into(), region: None, days: (first, last) });
        }
        // A late file may hold a few events of a day that is missing otherwise.
        let silent = |days: &BTreeMap<i64, u64>| -> Vec<i64> {
            let mut usual: Vec<u64> = days.values().copied().collect();
            usual.sort_unstable();
            let least = usual.get(usual.len() / 2).map_or(0, |median| median / SILENT).max(1);
            (first..=last).filter(|day| days.get(day).is_none_or(|events| *events < least)).collect()
        };
        for (account, days) in &accounts {
            gaps.extend(runs(&silent(days)).map(|days| Gap { account: Arc::clone(account), region: None, days }));
        }
        let mut places: Vec<_> = self.days.iter().collect();
        places.sort_by_key(|(place, _)| *place);
        for ((account, region), days) in places {
            let is_regular = 2 * days.range(first..=last).count() as i64 > last - first + 1;
            // Days on which the whole account is silent are told already.
            let told = silent(&accounts[account]);
            let silent = silent(days).into_iter().filter(|day| !told.contains(day)).collect::<Vec<_>>();
            if is_regular {
                gaps.extend(runs(&silent).map(|days| Gap { account: Arc::clone(account), region: Some(Arc::clone(region)), days }));
            }
        }
        gaps
    }
}

/// Days that follow each other, by first and last.
fn runs(days: &[i64]) -> impl Iterator<Item = (i64, i64)> {
    days.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some((*run.first()?, *run.last()?)))
}

impl Question {
    /// Whether the time, the kind and the model of a call fit.
    fn fits(&self, call: &Call) -> bool {
        let invocation = &call.invocation;
        let model = invocation.model.as_ref().map_or("", |model| &model.id);
        !call.is_foreign
            && invocation.operation.is_invocation
            && (self.since..self.until).contains(&invocation.time)
            && self.model.as_ref().is_none_or(|pattern| glob::matches(pattern, model))
    }

    fn fits_who(&self, who: &Attribution) -> bool {
        let department = who.department.name().map_or("", |name| name);
        self.department.as_ref().is_none_or(|wanted| wanted == department)
            && self.person.as_ref().is_none_or(|pattern| glob::matches(pattern, who.person.as_deref().unwrap_or("")))
    }
}

impl Harvest {
    /// Takes one event in.
    pub fn take(&mut self, decoded: &Decoded<'_>, observation: Observation, question: &Question) {
        let event = &decoded.event;
        self.events += 1;
        let account = event.recipient_account_id.non_empty().unwrap_or(event.user_identity.account_id.as_str());
        self.spoken.note(account, event.aws_region.as_str(), observation.time.slot(DAY));
        let Observation { fingerprint, twin, body, .. } = observation;
        match body {
            Body::Call(call) if question.fits(&call) => self.calls.push(Found { fingerprint, twin, call }),
            Body::Grant { access_key_id, grant } => self.grants.push((access_key_id, *grant)),
            Body::Notice(notice) => self.notices.push(*notice),
            Body::Call(_) | Body::Companion { .. } | Body::Other => {}
        }
    }

    /// Adds what was read elsewhere.
    pub fn add(&mut self, other: Self) {
        self.grants.extend(other.grants);
        self.notices.extend(other.notices);
        self.calls.extend(other.calls);
        self.spoken.add(other.spoken);
        self.events += other.events;
    }

    /// Attributes the calls and answers.
    pub fn answer(self, question: &Question, settings: &EngineSettings) -> Answer {
        let Self { grants, mut notices, calls, spoken, .. } = self;
        let shared = Arc::new(Shared::default());
        let resolver = Resolver::new(settings.identity.clone(), Arc::clone(&settings.directory));
        // All of them are needed at once, and they are in memory already.
        let keeper = GrantKeeper::new(Arc::clone(&shared), grants.len().max(settings.grants_max), i64::MAX / 4);
        let mut joining = Joining::new(resolver, shared, keeper, Arc::clone(&settings.policy));
        let mut grants = grants;
        grants.sort_by(|(a, one), (b, other)| (one.issued, a).cmp(&(other.issued, b)));
        notices.sort_by_key(|notice| notice.time);
        grants.into_iter().for_each(|(key, grant)| joining.learn_grant(&key, grant));
        notices.iter().for_each(|notice| joining.learn_notice(notice));

        let mut answer = Answer { gaps: spoken.gaps(question.since, question.until), ..Answer::default() };
        let known: HashSet<u64> = calls.iter().filter(|found| found.twin == 0).map(|found| found.fingerprint).collect();
        let mut calls = calls;
        calls.sort_by(|a, b| a.call.order().cmp(&b.call.order()).then(a.call.invocation.account.cmp(&b.call.invocation.account)));
        let mut seen = HashSet::with_capacity(calls.len());
        // What is linked to a Cognito identity may be said by a later call: all are heard before any is answered.
        calls.iter().for_each(|found| drop(joining.attribute(&found.call, Unknown::NoGrant)));
        for Found { fingerprint, twin, call } in calls {
            let is_known = fingerprint != 0 && !seen.insert(fingerprint);
            // The called account's view of a call counts only where the caller's own is not there.
            if is_known || twin != 0 && known.contains(&twin) {
                answer.duplicates += 1;
                continue;
            }
            let who = Arc::clone(&joining.attribute(&call, Unknown::NoGrant).who);
            if let Some(why) = who.department.unknown() {
                *answer.unknown.entry(why.label()).or_default() += 1;
            }
            if question.fits_who(&who) {
                answer.rows.push(Row { call, who });
            }
        }
        answer
    }
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
