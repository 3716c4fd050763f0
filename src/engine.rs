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

mod access;
pub mod baselines;
mod blindness;
mod frozen;
mod gauges;
mod image;
pub mod inherit;
pub mod portrait;
pub mod inputs;
pub mod joining;
pub mod recent;
pub mod report;
pub mod rules;
mod settings;
pub mod verdicts;
pub mod waiting;
pub mod worker;

use std::sync::Arc;

use crate::alerting::{Alerting, Recalled};
use crate::bedrock::TimeSource;
use crate::detect::{Context, Detectors, Judged, access_denied};
use crate::finding::{Fingerprint, Signal};
use crate::identity::{CallerKind, Directory, RemovalNotice, Resolver, Unknown};
use crate::observation::{Body, Call, Observation};
use crate::policy::{PolicyBook, Ruling};
use crate::state::removals::MassLeave;
use crate::state::{Counted, DepartmentUses, GrantKeeper, Shared};
use crate::stats::Dedup;
use crate::time::{DAY, EventTime, HOUR, MINUTE, Now};

use baselines::Baselines;
pub use gauges::Gauges;
pub use image::EngineImage;
pub use inputs::{InputId, Inputs};
use joining::{Joining, Known};
use recent::Recent;
pub use report::{Counts, Report};
use rules::{RuleState, Tap};
pub use settings::EngineSettings;
use verdicts::VerdictShare;
use waiting::{Held, HeldCall, Pairs};
pub use worker::Occupancy;
use worker::Worker;

/// Event time between two looks at deadlines, in seconds. They are looked at when the watermark enters another interval of this
/// length: so a restart moves no look.
const TICK: i64 = 10;
/// A day is closed when the watermark is this far into the next: held calls are in by then.
const CLOSE_AFTER: i64 = 2 * HOUR;
/// An event this far ahead of `now` has a wrong clock: it moves no watermark and teaches nothing.
const FUTURE_MAX: i64 = 10 * MINUTE;
/// Everything that detection knows, and the rules by which it changes.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    detectors: Detectors,
    joining: Joining,
    inputs: Inputs,
    dedup: Dedup,
    pairs: Pairs,
    held: Held,
    shared: Arc<Shared>,
    recent: Recent,
    workers: Vec<Worker>,
    departments: DepartmentUses,
    verdicts: VerdictShare,
    baselines: Baselines,
    rules: RuleState,
    closed_day: i64,
    alerting: Alerting,
    watch: blindness::Watch,
    last_tick: EventTime,
    /// Watermark and events remembered when the rate of events was last looked at afresh.
    rate_since: Option<(EventTime, u64)>,
    signals: Vec<Signal>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: EngineSettings) -> Self {
        let shared = Arc::new(settings.counters.clone().map_or_else(Shared::default, Shared::with));
        let workers = settings.workers.max(1);
        let new_worker = |_| Worker::new(settings.actors_max.div_ceil(workers), settings.credentials_max.div_ceil(workers));
        let resolver = Resolver::new(settings.identity.clone(), Arc::clone(&settings.directory));
        let grants = GrantKeeper::new(Arc::clone(&shared), settings.grants_max, settings.grant_lifetime);
        Self {
            detectors: Detectors::new(&settings.detectors),
            joining: Joining::new(resolver, Arc::clone(&shared), grants, Arc::clone(&settings.policy)),
            recent: Recent::default(),
            departments: DepartmentUses::default(),
            verdicts: VerdictShare::default(),
            inputs: Inputs::new(settings.lateness),
            dedup: Dedup::with_capacity(settings.dedup_capacity),
            pairs: Pairs::with_capacity(settings.pairs_max),
            held: Held::default(),
            shared,
            workers: (0..workers).map(new_worker).collect(),
            baselines: Baselines::new(settings.detectors.spike.clone()),
            rules: RuleState::new(Arc::clone(&settings.rules), settings.lateness + settings.join_wait),
            closed_day: i64::MIN / 4,
            alerting: Alerting::new(settings.alerts),
            watch: Default::default(),
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
        let Observation { mut time, time_source, fingerprint, twin, mut body, matched } = observation;
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
        if self.inputs.watermark().slot(TICK) > self.last_tick.slot(TICK) {
            self.tick(report);
        }
        // The caller's own view of a cross-account call counts; the called account's waits for it and goes.
        if self.dedup.contains(twin) || !self.dedup.insert(fingerprint) {
            report.counts.duplicates += 1;
            return;
        }
        if self.held.has_twins() {
            report.counts.duplicates += self.held.drop_twin(fingerprint);
        }
        let trusted = !is_future && !is_late && time_source == TimeSource::Event;
        match body {
            Body::Call(call) if twin != 0 => {
                self.make_room(report);
                self.held.push_twin(twin, HeldCall { call, trusted });
            }
            Body::Call(call) => self.call(HeldCall { call, trusted }, report),
            Body::Companion { request, tokens } => {
                self.companion(request, tokens, time, report);
            }
            Body::Grant { access_key_id, grant } => {
                report.counts.grants += 1;
                self.grant(access_key_id, *grant, report);
            }
            Body::Notice(notice) => self.notice(&notice, report),
            Body::Other => {}
        }
        if let Some(mut call) = matched {
            Arc::make_mut(&mut call).invocation.time = time;
            self.call(HeldCall { call, trusted }, report);
        }
    }

    /// Learns the grants, removals and links of a record of the past, which moves no time and counts nothing.
    pub fn learn(&mut self, observation: Observation) {
        match observation.body {
            Body::Grant { access_key_id, grant } => self.joining.learn_grant(&access_key_id, *grant),
            Body::Notice(notice) => self.joining.learn_notice(&notice),
            Body::Call(_) | Body::Companion { .. } | Body::Other => {}
        }
    }

    /// Takes a record in that every engine of a fleet is told: what issues keys, who was removed. It counts nothing and
    /// moves no time.
    pub fn tell(&mut self, observation: Observation, report: &mut Report) {
        if !self.dedup.insert(observation.fingerprint) {
            return;
        }
        match observation.body {
            Body::Grant { access_key_id, grant } => self.grant(access_key_id, *grant, report),
            Body::Notice(notice) => self.notice(&notice, report),
            Body::Call(_) | Body::Companion { .. } | Body::Other => {}
        }
    }

    /// Takes another directory in. Who is missing in it has left, at `now`.
    ///
    /// # Errors
    /// Too many are missing at once; the directory before it stays.
    pub fn set_directory(&mut self, directory: Arc<Directory>, now: Now) -> Result<(), MassLeave> {
        self.joining.set_directory(directory, now.0)?;
        self.shared.forget_unlinked();
        Ok(())
    }

    /// Takes other policies in. What the old ones said is forgotten.
    pub fn set_policy(&mut self, book: Arc<PolicyBook>) {
        self.joining.set_book(book);
    }

    /// The policies that calls are judged by.
    pub fn policy(&self) -> &Arc<PolicyBook> {
        self.joining.book()
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
            self.release(held, report);
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
        self.workers.iter_mut().for_each(Worker::forget_stories);
        self.inputs = Inputs::new(self.settings.lateness);
        self.last_tick = EventTime::MIN;
    }

    /// What pages and metrics may read while the engine runs.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn call(&mut self, held: HeldCall, report: &mut Report) {
        let caller = &held.call.caller;
        report.counts.invocations += u64::from(held.call.invocation.operation.is_invocation);
        let known = self.joining.known(caller).filter(|_| !held.call.invocation.with_bearer_token).cloned();
        let missing = if known.is_some() { None } else { self.joining.worth_waiting_for(caller) };
        let why = if missing.is_some() { Unknown::Pending } else { Unknown::NoGrant };
        let known = known.unwrap_or_else(|| self.joining.attribute(&held.call, why));
        let ruling = self.joining.rule(&known, &held.call);
        self.tap_instantly(&held, &known, &ruling, report);
        let Some(missing) = missing else {
            return self.settle_as(held, &known, &ruling, false, report);
        };
        self.make_room(report);
        self.held.push(missing, held);
    }

    /// The instant tap: every call by its credential, before it is settled who made it.
    fn tap_instantly(&mut self, held: &HeldCall, known: &Known, ruling: &Ruling, report: &mut Report) {
        self.tap_rules(held, known, ruling, Tap::Instant, report);
        let is_refused = held.call.invocation.outcome.denial().is_some();
        if held.call.is_foreign || !is_refused && self.detectors.keys.is_empty() {
            return;
        }
        let judged = Judged { ruling, trusted: held.trusted, ..Judged::plain(&held.call, &known.who) };
        let counted = Counted::default();
        let (fleet, prices) = (&self.baselines.fleet, &*self.settings.detectors.prices);
        let context = Context { fleet, cohort: 0, prices, counted: &counted };
        if !self.detectors.keys.is_empty() {
            let owner = self.owner(worker::key_hash(held.call.caller.credential()));
            self.workers[owner].use_key(&judged, &self.detectors, &context, &mut self.signals);
        }
        if is_refused {
            let credential = access_denied::fingerprint(&held.call.caller).0;
            let owner = self.owner(worker::credential_hash(credential));
            self.workers[owner].refuse(credential, &judged, &self.detectors, &context, &mut self.signals);
        }
        self.publish(report);
    }

    /// The worker that owns what has this hash.
    fn owner(&self, hash: u64) -> usize {
        (hash % self.workers.len() as u64) as usize
    }

    fn grant(&mut self, access_key_id: Arc<str>, grant: crate::identity::Grant, report: &mut Report) {
        self.joining.learn_grant(&access_key_id, grant);
        for held in self.held.take(&access_key_id) {
            match self.joining.missing_grant(&held.call.caller) {
                Some(missing) => self.held.push(missing, held),
                None => self.settle(held, Unknown::NoGrant, true, report),
            }
        }
    }

    /// Somebody was removed, or has returned. Calls that are newer than the removal and came before its record are judged
    /// now.
    fn notice(&mut self, notice: &RemovalNotice, report: &mut Report) {
        report.counts.removals += u64::from(notice.removal.is_some());
        self.joining.learn_notice(notice);
        if notice.removal.is_none() {
            return;
        }
        let joining = &self.joining;
        let is_concerned =
            |call: &Call, known: &Known| joining.outlived(known, call.invocation.time).is_some_and(|removal| removal.time == notice.time);
        for (call, known) in self.recent.later_than(notice.time, is_concerned) {
            let removal = joining.outlived(&known, call.invocation.time);
            let judged = Judged { removal, ..Judged::plain(&call, &known.who) };
            self.detectors.judge_removal(&judged, &mut self.signals);
        }
        self.publish(report);
    }

    /// A call that waited goes on without what it waited for.
    fn release(&mut self, held: HeldCall, report: &mut Report) {
        if held.call.caller.kind == CallerKind::AwsAccount {
            // No other account's trail is read here: this view of the call is all there is, and no tap has seen it.
            return self.call(held, report);
        }
        self.settle(held, Unknown::NoGrant, true, report);
    }

    /// Makes room for one more call that waits.
    fn make_room(&mut self, report: &mut Report) {
        if self.held.len() >= self.settings.held_max
            && let Some(oldest) = self.held.take_oldest()
        {
            report.counts.held_overflow += 1;
            self.watch.held_overflow += 1;
            self.release(oldest, report);
        }
    }

    /// It is settled who made the call: tokens are paired, it is counted, and the attributed tap sees it.
    fn settle(&mut self, held: HeldCall, missing: Unknown, was_pending: bool, report: &mut Report) {
        let known = self.joining.attribute(&held.call, missing);
        let ruling = self.joining.rule(&known, &held.call);
        self.settle_as(held, &known, &ruling, was_pending, report);
    }

    fn settle_as(&mut self, held: HeldCall, known: &Arc<Known>, ruling: &Ruling, was_pending: bool, report: &mut Report) {
        self.tap_rules(&held, known, ruling, Tap::Settled { was_pending }, report);
        if held.call.is_foreign {
            return;
        }
        let (who, time) = (&known.who, held.call.invocation.time);
        report.counts.attribute(who, ruling);
        if self.joining.is_unlinked(who)
            && let Some(person) = &who.person
        {
            self.shared.count_unlinked(person);
        }
        if self.settings.keep_calls {
            report.calls.push(report::AttributedCall::new(&held.call, who, ruling));
        }
        let tokens = access::count(&held, who, &self.shared, &mut self.pairs);
        if self.settings.archives && held.call.invocation.operation.is_invocation {
            report.archive.push(&held.call, who, tokens.as_ref());
        }
        let owner = self.owner(who.actor.stable_hash());
        let removal = self.joining.outlived(known, time);
        let judged = Judged { call: &held.call, who, ruling, removal, tokens, trusted: held.trusted, was_pending };
        let cohort = self.baselines.fleet.cohort(who.department.name(), who.actor.kind.is_machine());
        let (prices, counted) = (&*self.settings.detectors.prices, Counted::default());
        let context = Context { fleet: &self.baselines.fleet, cohort, prices, counted: &counted };
        self.workers[owner].attribute(&judged, &self.detectors, &context, &mut self.signals);
        self.baselines.hear(&mut self.signals, &held.call, who);
        self.detectors.judge_department(&judged, &mut self.departments, &mut self.signals);
        if was_pending && !self.detectors.keys.is_empty() {
            let owner = self.owner(worker::key_hash(held.call.caller.credential()));
            self.workers[owner].enrich_key(&judged, &self.detectors, &mut self.signals);
        }
        self.verdicts.note(&held.call, known, ruling);
        self.publish(report);
        self.recent.note(held.call, known);
    }

    /// Looks at everything that waits for time to pass.
    fn tick(&mut self, report: &mut Report) {
        let watermark = self.inputs.watermark();
        if watermark.slot(TICK) <= self.last_tick.slot(TICK) {
            return;
        }
        self.last_tick = watermark;
        if self.rate_since.is_none_or(|(since, _)| watermark.since(since) > DAY) {
            self.rate_since = Some((watermark, self.dedup.seen()));
        }
        while let Some(held) = self.held.take_older_than(watermark.plus(-self.settings.join_wait)) {
            if held.call.caller.kind != CallerKind::AwsAccount {
                self.joining.give_up(&held.call.caller.access_key_id);
            }
            self.release(held, report);
        }
        // Nothing that happened before this may still come and count.
        let settled = watermark.plus(-self.settings.lateness - self.settings.join_wait);
        report.counts.unpaired += self.pairs.expire(settled);
        self.joining.expire(watermark);
        self.recent.expire(settled);
        let share_max = if self.detectors.watches_departments() { self.settings.unknown_share_max } else { f64::INFINITY };
        self.verdicts.close(settled, share_max, &mut self.signals);
        self.baselines.settle(settled, &mut self.signals);
        self.tick_rules(watermark);
        self.look_for_blindness(watermark);
        self.publish(report);
        let last_over = watermark.plus(-CLOSE_AFTER).slot(DAY) - 1;
        if last_over > self.closed_day {
            self.closed_day = last_over;
            self.departments.close(last_over);
        }
        self.baselines.pass(watermark, &mut self.workers);
        let before = report.alerts.len();
        self.alerting.handle_time(watermark, &mut report.alerts);
        count_alerts(before, report);
    }

    fn publish(&mut self, report: &mut Report) {
        if self.signals.is_empty() {
            return;
        }
        let before = report.alerts.len();
        for signal in self.signals.drain(..) {
            if let Signal::Finding(finding) = &signal {
                report.cite(finding);
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
