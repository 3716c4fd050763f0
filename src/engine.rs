//! The engine: observations in, alerts out. No clock, no threads, no I/O.
//!
//! ```text
//! observation → time → dedup → pair → instant tap (refused calls, by credential)
//!                                   → join (held until the grant comes, or its deadline)
//!                                        → attributed tap (by actor) → alerting
//! ```
//!
//! **Invariant:** the same observations with the same `now`s give the same alerts in the same order. For any order of
//! arrival within lateness the set of incidents is the same: windows are in event time, days are closed by the
//! watermark, and which day's lessons judge an event depends on the event alone.

mod image;
pub mod inputs;
pub mod report;
mod settings;
pub mod waiting;
pub mod worker;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::Xxh3Builder;

use crate::alerting::{Alerting, Recalled};
use crate::bedrock::{Outcome, TimeSource, Tokens, model_id};
use crate::detect::{CohortKey, CohortViews, Context, Detectors, Judged, access_denied};
use crate::finding::{Fingerprint, Signal};
use crate::identity::{Attribution, Caller, Resolver, Unknown};
use crate::observation::{Body, Call, Observation};
use crate::state::{GrantKeeper, Shared};
use crate::stats::{Cohort, Dedup};
use crate::time::{DAY, EventTime, HOUR, MINUTE, Now};

pub use image::EngineImage;
pub use inputs::{InputId, Inputs};
pub use report::{Counts, Report};
pub use settings::EngineSettings;
use waiting::{Half, Held, HeldCall, Pairs};
pub use worker::Occupancy;
use worker::Worker;

/// Event time between two looks at deadlines, in seconds.
const TICK: i64 = 10;
/// A day is closed when the watermark is this far into the next: held calls are in by then.
const CLOSE_AFTER: i64 = 2 * HOUR;
/// An event this far ahead of `now` has a wrong clock: it moves no watermark and teaches nothing.
const FUTURE_MAX: i64 = 10 * MINUTE;
/// Most cohorts: departments are few unless somebody invents them; beyond it only "everybody of a kind" learns.
const COHORTS_MAX: usize = 2_000;
/// Most attributions that are remembered between calls of one session.
const ATTRIBUTIONS_MAX: usize = 200_000;

/// Everything that detection knows, and the rules by which it changes.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    detectors: Detectors,
    resolver: Resolver,
    inputs: Inputs,
    dedup: Dedup,
    pairs: Pairs,
    held: Held,
    shared: Arc<Shared>,
    grants: GrantKeeper,
    /// Attributions by access key, for calls of a session whose grant is settled.
    attributions: HashMap<Arc<str>, (Arc<Caller>, Arc<Attribution>), Xxh3Builder>,
    /// Keys whose calls waited for their grant in vain.
    given_up: BTreeSet<Arc<str>>,
    /// Keys of parent grants that were missing when a chain was followed.
    missing_parents: HashSet<Arc<str>>,
    workers: Vec<Worker>,
    cohorts: HashMap<CohortKey, Cohort>,
    views: CohortViews,
    alerting: Alerting,
    last_tick: EventTime,
    /// Watermark and events remembered when the rate of events was last looked at afresh.
    rate_since: Option<(EventTime, u64)>,
    signals: Vec<Signal>,
}

/// How full an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Actors and credentials.
    pub tables: Occupancy,
    /// Calls that wait for their grant.
    pub held: usize,
    /// Grants that are known.
    pub grants: usize,
    /// Grants that were forgotten for want of room.
    pub grants_evicted: u64,
    /// Alerts that are open.
    pub open_alerts: usize,
    /// Alerts that were resolved early for want of room.
    pub resolved_early: u64,
    /// The watermark.
    pub watermark: EventTime,
    /// How far back duplicates are known at the rate of the last day, in seconds of event time; 0 while the rate is not
    /// known. An estimate, not a promise.
    pub dedup_horizon: i64,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: EngineSettings) -> Self {
        let shared = Arc::new(Shared::default());
        let workers = settings.workers.max(1);
        let new_worker = |_| Worker::new(settings.actors_max.div_ceil(workers), settings.credentials_max.div_ceil(workers));
        Self {
            detectors: Detectors::new(&settings.detectors),
            resolver: Resolver::new(settings.identity.clone(), Arc::clone(&settings.directory)),
            inputs: Inputs::new(settings.lateness),
            dedup: Dedup::with_capacity(settings.dedup_capacity),
            pairs: Pairs::with_capacity(settings.pairs_max),
            held: Held::default(),
            grants: GrantKeeper::new(Arc::clone(&shared), settings.grants_max, settings.grant_lifetime),
            shared,
            attributions: HashMap::default(),
            missing_parents: HashSet::new(),
            given_up: BTreeSet::new(),
            workers: (0..workers).map(new_worker).collect(),
            cohorts: HashMap::new(),
            views: CohortViews { closed_day: i64::MIN / 4, ..CohortViews::default() },
            alerting: Alerting::new(settings.alerts),
            last_tick: EventTime::MIN,
            rate_since: None,
            signals: Vec::new(),
            settings,
        }
    }

    /// The input of this name; opened where it is new.
    pub fn input(&mut self, name: &str) -> InputId {
        self.inputs.open(name)
    }

    /// Takes one event in.
    pub fn handle(&mut self, input: InputId, observation: Observation, now: Now, report: &mut Report) {
        let counts = &mut report.counts;
        counts.events += 1;
        let Observation { mut time, time_source, fingerprint, mut body } = observation;
        let is_future = time.since(now.0) > FUTURE_MAX;
        if is_future {
            // A wrong clock must not hold a call until then, nor push real events out of their windows.
            time = now.0;
            body.move_to(time);
        }
        let is_late = time < self.inputs.watermark();
        counts.future += u64::from(is_future);
        counts.late += u64::from(is_late);
        if !is_future {
            counts.out_of_order += u64::from(self.inputs.see(input, time));
        }
        if self.inputs.watermark().since(self.last_tick) >= TICK {
            self.tick(report);
        }
        if !self.dedup.insert(fingerprint) {
            report.counts.duplicates += 1;
            return;
        }
        let trusted = !is_future && !is_late && time_source == TimeSource::Event;
        match body {
            Body::Call(call) => self.call(HeldCall { call, trusted }, report),
            Body::Companion { request, tokens } => self.companion(request, tokens, time, report),
            Body::Grant { access_key_id, grant } => {
                report.counts.grants += 1;
                self.grant(access_key_id, *grant, report);
            }
            Body::Other => {}
        }
    }

    /// Notes that an input is read to its end and quiet.
    pub fn handle_idle(&mut self, input: InputId, now: Now, report: &mut Report) {
        self.inputs.idle(input, now.0);
        self.tick(report);
    }

    /// Notes that nothing more comes from an input.
    pub fn handle_closed(&mut self, input: InputId, report: &mut Report) {
        self.inputs.close(input);
        self.tick(report);
    }

    /// The end of all input, in a replay: everything that waits goes on.
    pub fn finish(&mut self, report: &mut Report) {
        self.inputs.finish();
        self.tick(report);
        while let Some(held) = self.held.take_oldest() {
            self.settle(held, Unknown::NoGrant, true, report);
        }
        let before = report.alerts.len();
        self.alerting.finish(&mut report.alerts);
        count_alerts(before, report);
    }

    /// Ids that were published after the snapshot that this engine was restored from.
    pub fn recall(&mut self, published: impl IntoIterator<Item = (Fingerprint, Recalled)>) {
        self.alerting.recall(published);
    }

    /// Forgets all alerts and incidents, after history was read that nobody is to be paged for. The watermark goes back to
    /// nothing, too: the live inputs decide what is late.
    pub fn forget_alerts(&mut self) {
        self.alerting = Alerting::new(self.settings.alerts);
        self.inputs = Inputs::new(self.settings.lateness);
        self.last_tick = EventTime::MIN;
    }

    /// What pages and metrics may read while the engine runs.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Open alerts, the most severe and latest first.
    pub fn open_alerts(&self, most: usize) -> Vec<crate::alerting::Alert> {
        self.alerting.open_alerts(most)
    }

    /// How full the engine is.
    pub fn gauges(&self) -> Gauges {
        let mut tables = Occupancy::default();
        for worker in self.workers.iter().map(Worker::occupancy) {
            tables.actors += worker.actors;
            tables.credentials += worker.credentials;
            tables.actors_evicted += worker.actors_evicted;
            tables.newcomers_evicted += worker.newcomers_evicted;
            tables.credentials_evicted += worker.credentials_evicted;
        }
        Gauges {
            tables,
            held: self.held.len(),
            grants: self.shared.grants(),
            grants_evicted: self.grants.evicted(),
            open_alerts: self.alerting.open_count(),
            resolved_early: self.alerting.resolved_early(),
            watermark: self.inputs.watermark(),
            dedup_horizon: self.dedup_horizon(),
        }
    }

    fn dedup_horizon(&self) -> i64 {
        let Some((since, seen)) = self.rate_since else { return 0 };
        let (seconds, events) = (self.inputs.watermark().since(since), self.dedup.seen().saturating_sub(seen));
        if seconds <= 0 || events == 0 { 0 } else { (self.dedup.capacity() as f64 * seconds as f64 / events as f64) as i64 }
    }

    fn call(&mut self, held: HeldCall, report: &mut Report) {
        let caller = Arc::clone(&held.call.caller);
        report.counts.invocations += u64::from(held.call.invocation.operation.is_invocation);
        let is_refused = held.call.invocation.outcome.denial().is_some();
        if let Some(who) = self.known_attribution(&caller).filter(|_| !held.call.invocation.with_bearer_token).cloned() {
            if is_refused {
                self.refuse(&held, &who, report);
            }
            return self.settle_as(&held, &who, false, report);
        }
        let missing = self.missing_grant(&caller).filter(|_| !self.given_up.contains(&caller.access_key_id));
        let waits = missing.is_some();
        if is_refused {
            let who = self.attribution(&held.call, if waits { Unknown::Pending } else { Unknown::NoGrant });
            self.refuse(&held, &who, report);
        }
        let Some(missing) = missing else {
            return self.settle(held, Unknown::NoGrant, false, report);
        };
        if self.held.len() >= self.settings.held_max
            && let Some(oldest) = self.held.take_oldest()
        {
            report.counts.held_overflow += 1;
            self.settle(oldest, Unknown::NoGrant, true, report);
        }
        self.held.push(missing, held);
    }

    /// The access key whose grant a call of `caller` still waits for: its own, or one further back in a chain of roles
    /// while nobody nearer names the person.
    fn missing_grant(&self, caller: &Arc<Caller>) -> Option<Arc<str>> {
        if !self.resolver.needs_grant(caller) || self.known_attribution(caller).is_some() {
            return None;
        }
        if !self.shared.has_grant(&caller.access_key_id) {
            return Some(Arc::clone(&caller.access_key_id));
        }
        let chain = self.shared.chain(&caller.access_key_id);
        let parent = chain.last()?.parent_key.as_ref().filter(|key| key.starts_with("ASIA"))?;
        let is_open = !self.shared.has_grant(parent) && !self.resolver.names_person(caller, &chain);
        is_open.then(|| Arc::clone(parent))
    }

    /// The instant tap.
    fn refuse(&mut self, held: &HeldCall, who: &Attribution, report: &mut Report) {
        let credential = access_denied::fingerprint(&held.call.caller).0;
        let owner = (worker::credential_hash(credential) % self.workers.len() as u64) as usize;
        let judged = Judged { call: &held.call, who, trusted: held.trusted, was_pending: false };
        let context = Context { departments: &self.settings.departments, cohorts: &self.views };
        self.workers[owner].refuse(credential, &judged, &self.detectors, &context, &mut self.signals);
        self.publish(report);
    }

    fn grant(&mut self, access_key_id: Arc<str>, grant: crate::identity::Grant, report: &mut Report) {
        if self.missing_parents.remove(&access_key_id) {
            // Sessions that were chained from this one know more now; which ones is not worth remembering.
            self.attributions.clear();
        } else {
            self.attributions.remove(&access_key_id);
        }
        self.grants.insert(Arc::clone(&access_key_id), grant);
        self.given_up.remove(&access_key_id);
        for held in self.held.take(&access_key_id) {
            match self.missing_grant(&held.call.caller) {
                Some(missing) => self.held.push(missing, held),
                None => self.settle(held, Unknown::NoGrant, true, report),
            }
        }
    }

    /// A call waited for its grant in vain: further calls of its key are not held up.
    fn give_up(&mut self, held: HeldCall, report: &mut Report) {
        if self.given_up.len() >= ATTRIBUTIONS_MAX {
            self.given_up.clear();
        }
        self.given_up.insert(Arc::clone(&held.call.caller.access_key_id));
        self.settle(held, Unknown::NoGrant, true, report);
    }

    /// It is settled who made the call: tokens are paired, it is counted, and the attributed tap sees it.
    fn settle(&mut self, held: HeldCall, missing: Unknown, was_pending: bool, report: &mut Report) {
        let who = self.attribution(&held.call, missing);
        self.settle_as(&held, &who, was_pending, report);
    }

    fn settle_as(&mut self, held: &HeldCall, who: &Attribution, was_pending: bool, report: &mut Report) {
        let counts = &mut report.counts;
        counts.person += u64::from(who.person.is_some());
        counts.department += u64::from(who.department.name().is_some());
        if let Some(why) = who.department.unknown() {
            *counts.unknown.entry(why).or_default() += 1;
        }
        self.count_access(&held.call, who);
        let owner = (who.actor.stable_hash() % self.workers.len() as u64) as usize;
        let judged = Judged { call: &held.call, who, trusted: held.trusted, was_pending };
        let context = Context { departments: &self.settings.departments, cohorts: &self.views };
        self.workers[owner].attribute(&judged, &self.detectors, &context, &mut self.signals);
        self.publish(report);
    }

    /// What is remembered about a caller whose grant is settled.
    fn known_attribution(&self, caller: &Arc<Caller>) -> Option<&Arc<Attribution>> {
        let (known, who) = self.attributions.get(&caller.access_key_id)?;
        // Callers are shared by the observer, so the addresses tell almost always.
        (Arc::ptr_eq(known, caller) || known == caller).then_some(who)
    }

    fn attribution(&mut self, call: &Call, missing: Unknown) -> Arc<Attribution> {
        let caller = &call.caller;
        let with_bearer_token = call.invocation.with_bearer_token;
        if let Some(who) = self.known_attribution(caller).filter(|_| !with_bearer_token) {
            return Arc::clone(who);
        }
        let chain = self.shared.chain(&caller.access_key_id);
        let who = Arc::new(self.resolver.resolve(caller, with_bearer_token, &chain, missing));
        // What is known only because something is missing is not remembered: it may still come.
        let is_settled = self.missing_grant(caller).is_none();
        if is_settled && !with_bearer_token && !caller.access_key_id.is_empty() {
            if let Some(parent) = chain.last().and_then(|grant| grant.parent_key.as_ref()).filter(|key| key.starts_with("ASIA")) {
                if self.missing_parents.len() >= ATTRIBUTIONS_MAX {
                    self.missing_parents.clear();
                    self.attributions.clear();
                }
                self.missing_parents.insert(Arc::clone(parent));
            }
            if self.attributions.len() >= ATTRIBUTIONS_MAX {
                self.attributions.clear();
            }
            self.attributions.insert(Arc::clone(&caller.access_key_id), (Arc::clone(caller), Arc::clone(&who)));
        }
        who
    }

    fn count_access(&mut self, call: &Call, who: &Attribution) {
        let invocation = &call.invocation;
        if !invocation.operation.is_invocation {
            return;
        }
        let (department, family) = access_key(call, who);
        let mut tokens = invocation.tokens;
        if tokens.is_none() && invocation.operation.is_streaming && invocation.request != 0 && invocation.outcome == Outcome::Success {
            match self.pairs.take(invocation.request) {
                Some(Half::Tokens(parked)) => tokens = Some(parked),
                _ => {
                    let half = Half::Call { department: Arc::clone(&department), family: Arc::clone(&family) };
                    self.pairs.park(invocation.request, half, invocation.time);
                }
            }
        }
        let Some(counts) = self.shared.access(&department, &family) else { return };
        let counter = match invocation.outcome {
            Outcome::Success => &counts.success,
            Outcome::Denied(_) => &counts.denied,
            Outcome::Throttled => &counts.throttled,
            Outcome::Failed => &counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        counts.tokens.fetch_add(tokens.map_or(0, total), Ordering::Relaxed);
    }

    fn companion(&mut self, request: u64, tokens: Tokens, time: EventTime, report: &mut Report) {
        report.counts.companions += 1;
        match self.pairs.take(request) {
            Some(Half::Call { department, family }) => {
                if let Some(counts) = self.shared.access(&department, &family) {
                    counts.tokens.fetch_add(total(tokens), Ordering::Relaxed);
                }
            }
            _ => self.pairs.park(request, Half::Tokens(tokens), time),
        }
    }

    /// Looks at everything that waits for time to pass.
    fn tick(&mut self, report: &mut Report) {
        let watermark = self.inputs.watermark();
        if watermark.since(self.last_tick) < TICK {
            return;
        }
        self.last_tick = watermark;
        if self.rate_since.is_none_or(|(since, _)| watermark.since(since) > DAY) {
            self.rate_since = Some((watermark, self.dedup.seen()));
        }
        while let Some(held) = self.held.take_older_than(watermark.plus(-self.settings.join_wait)) {
            self.give_up(held, report);
        }
        report.counts.unpaired += self.pairs.expire(watermark.plus(-self.settings.lateness - self.settings.join_wait));
        self.grants.expire(watermark);
        let last_over = watermark.plus(-CLOSE_AFTER).slot(DAY) - 1;
        if last_over > self.views.closed_day {
            self.close_day(last_over);
        }
        let before = report.alerts.len();
        self.alerting.handle_time(watermark, &mut report.alerts);
        count_alerts(before, report);
    }

    fn close_day(&mut self, day: i64) {
        let cohorts = &mut self.cohorts;
        for worker in &mut self.workers {
            worker.close_day(day, &mut |key, peak| {
                // Everybody of a kind is a cohort too, for departments with too few.
                if key.0.is_some() {
                    cohorts.entry((None, key.1)).or_default().record(peak);
                }
                if key.0.is_none() || cohorts.len() < COHORTS_MAX || cohorts.contains_key(&key) {
                    cohorts.entry(key).or_default().record(peak);
                }
            });
        }
        let current = self.cohorts.iter().filter_map(|(key, cohort)| cohort.view().map(|view| (key.clone(), view))).collect();
        self.views = CohortViews { closed_day: day, previous: std::mem::take(&mut self.views.current), current };
    }

    fn publish(&mut self, report: &mut Report) {
        if self.signals.is_empty() {
            return;
        }
        let before = report.alerts.len();
        for signal in self.signals.drain(..) {
            if let Signal::Finding(finding) = &signal {
                *report.counts.findings.entry((finding.detector, finding.severity)).or_default() += 1;
                if self.settings.keep_findings {
                    report.findings.push(Box::as_ref(finding).clone());
                }
            }
            self.alerting.handle(signal, &mut report.alerts);
        }
        count_alerts(before, report);
    }
}

fn count_alerts(before: usize, report: &mut Report) {
    for alert in &report.alerts[before..] {
        *report.counts.alerts.entry((alert.detector, alert.status)).or_default() += 1;
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.input.saturating_add(tokens.output)
}

/// Department (or the reason in brackets) and model family: the row of the access table.
fn access_key(call: &Call, who: &Attribution) -> (Arc<str>, Arc<str>) {
    let department =
        who.department.name().map_or_else(|| format!("({})", who.department.unknown().map_or("", Unknown::label)).into(), Arc::clone);
    let family = call.invocation.model.as_ref().map_or_else(|| Arc::from(model_id::OTHER_FAMILY), |model| Arc::clone(&model.family));
    (department, family)
}
