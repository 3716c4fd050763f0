//! The engine's side of the rules: what matched is told at once or, where it depends on whose call it was, when that is
//! settled; and it feeds correlations.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::joining::Known;
use super::waiting::HeldCall;
use super::{Engine, Report};
use crate::bedrock::Outcome;
use crate::detect::{Judged, Mode};
use crate::finding::{DetectorId, Finding, Fingerprint, Signal};
use crate::identity::Unknown;
use crate::observation::Call;
use crate::policy::Ruling;
use crate::sigma::correlate::{CorrelatorLimits, Occurrence};
use crate::sigma::{Correlation, CorrelationKind, Correlator, CorrelatorImage, Facts, Fired, Rule, RuleFacts, RuleSet};
use crate::time::{EventTime, spoken};

/// Most stories whose last telling is remembered, for suppression.
const TOLD_MAX: usize = 100_000;

/// What the rules remember.
#[derive(Debug)]
pub struct RuleState {
    set: Arc<RuleSet>,
    correlator: Correlator<Arc<Call>>,
    /// When each suppressed rule's story was last told.
    told: HashMap<Fingerprint, EventTime>,
}

/// What a snapshot keeps of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RulesImage {
    correlator: CorrelatorImage<Arc<Call>>,
    told: Vec<(Fingerprint, EventTime)>,
}

/// At which tap a call is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tap {
    /// Before any waiting.
    Instant,
    /// When it is settled who made it; whether that was open at the instant tap.
    Settled { was_pending: bool },
}

impl RuleState {
    /// Rules without any memory. `slack` is how late an event may come.
    pub fn new(set: Arc<RuleSet>, slack: i64) -> Self {
        let limits = CorrelatorLimits { slack, ..CorrelatorLimits::default() };
        Self { set, correlator: Correlator::new(limits), told: HashMap::new() }
    }

    /// Takes other rules; what is remembered of rules that stay is kept.
    pub fn replace(&mut self, set: Arc<RuleSet>) {
        self.set = set;
    }

    /// The rules.
    pub const fn set(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// Groups, occurrences and waiting events that were forgotten for want of room.
    pub const fn evicted(&self) -> u64 {
        self.correlator.evicted
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> RulesImage {
        let mut told: Vec<_> = self.told.iter().map(|(fingerprint, time)| (*fingerprint, *time)).collect();
        told.sort_unstable();
        RulesImage { correlator: self.correlator.image(), told }
    }

    /// Goes on from what a snapshot kept.
    pub fn restore(&mut self, image: RulesImage) {
        self.correlator.restore(image.correlator);
        self.told = image.told.into_iter().collect();
    }
}

impl Engine {
    /// Takes other rules in.
    pub fn set_rules(&mut self, set: Arc<RuleSet>) {
        self.rules.replace(set);
    }

    /// Shows a call that matches rules to them.
    pub(super) fn tap_rules(&mut self, held: &HeldCall, known: &Known, ruling: &Ruling, tap: Tap, report: &mut Report) {
        if held.call.matched.is_empty() {
            return;
        }
        let set = Arc::clone(self.rules.set());
        let judged = Judged { ruling, trusted: held.trusted, ..Judged::plain(&held.call, &known.who) };
        let assumed = self.settings.assumed_facts.clone();
        let facts = CallFacts { judged: &judged, assumed: assumed.as_ref() };
        let mut fired = Vec::new();
        for found in &held.call.matched {
            let Some((number, single)) = set.single(&found.rule) else { continue };
            let is_due = single.asks_own != (tap == Tap::Instant);
            let holds = !single.asks_own || tap != Tap::Instant && set.holds(found, &facts);
            if is_due && holds && single.action.alerts() {
                self.tell_rule(&judged, &single.rule, None);
            }
            if !is_due && single.action.alerts() && tap == (Tap::Settled { was_pending: true }) {
                self.signals.push(Signal::Enrichment(Box::new(judged.enrichment(fingerprint_of(&single.rule, None, &held.call)))));
            }
            for feed in set.feeds(number) {
                let waits = single.asks_own || set.correlations().get(feed.0 as usize).is_some_and(|correlation| correlation.asks_own);
                if holds && waits != (tap == Tap::Instant) {
                    let occurrence =
                        Occurrence { found, facts: &facts, time: held.call.invocation.time, id: held.call.invocation.event_id.as_ref() };
                    self.rules.correlator.feed(&set, *feed, &occurrence, || held.call.clone(), &mut fired);
                }
            }
        }
        for found in &fired {
            if let Some(correlation) = set.correlations().get(found.correlation as usize) {
                self.tell_rule(&judged, &correlation.rule, Some((correlation, found)));
            }
        }
        self.publish(report);
    }

    /// What was to follow has not followed.
    pub(super) fn tick_rules(&mut self, watermark: EventTime) {
        let set = Arc::clone(self.rules.set());
        if set.correlations().is_empty() {
            return;
        }
        let mut fired = Vec::new();
        self.rules.correlator.handle_time(&set, watermark, &mut fired);
        for found in &fired {
            let Some((correlation, call)) = set.correlations().get(found.correlation as usize).zip(found.payload.as_ref()) else {
                continue;
            };
            let known = self.joining.attribute(call, Unknown::NoGrant);
            self.tell_rule(&Judged::plain(call, &known.who), &correlation.rule, Some((correlation, found)));
        }
    }

    fn tell_rule(&mut self, judged: &Judged<'_>, rule: &Arc<Rule>, fired: Option<(&Correlation, &Fired<Arc<Call>>)>) {
        let settings = &self.settings.detectors;
        if settings.rule_mode(rule) == Mode::Off {
            return;
        }
        let fingerprint = fingerprint_of(rule, fired.map(|(_, fired)| &*fired.group), judged.call);
        if let Some(quiet) = settings.rule_suppression(rule) {
            let time = judged.call.invocation.time;
            if self.rules.told.get(&fingerprint).is_some_and(|told| time.since(*told).abs() < quiet) {
                return;
            }
            if self.rules.told.len() >= TOLD_MAX {
                self.rules.told.clear();
            }
            self.rules.told.insert(fingerprint, time);
        }
        let finding = finding_of(judged, rule, fingerprint, fired);
        self.signals.push(Signal::Finding(Box::new(finding)));
    }
}

/// What is known of a call, for rules that ask for it.
#[derive(Clone, Copy)]
struct CallFacts<'a> {
    judged: &'a Judged<'a>,
    /// What tests of rules say in the place of what was found out.
    assumed: Option<&'a RuleFacts>,
}

impl Facts for CallFacts<'_> {
    fn write(&self, path: &str, out: &mut String) -> bool {
        if self.assumed.is_some_and(|assumed| assumed.write(path, out)) {
            return true;
        }
        let (call, who) = (self.judged.call, self.judged.who);
        let text = match path {
            "userIdentity.accessKeyId" => &call.caller.access_key_id,
            "userIdentity.arn" => &call.caller.arn,
            "awsRegion" => &call.invocation.region,
            "sourceIPAddress" => &call.invocation.source_ip,
            "eventName" => &call.invocation.name,
            "geophone.actor" => return write!(out, "{}", who.actor).is_ok(),
            "geophone.person" => who.person.as_deref().unwrap_or_default(),
            "geophone.department" => who.department.name().map_or("", |name| name),
            "geophone.model.family" => call.invocation.model.as_ref().map_or("", |model| &model.family),
            "geophone.denial.kind" => call.invocation.outcome.denial().map_or("", |denial| denial.kind.label()),
            "geophone.policy.verdict" => self.judged.ruling.verdict.as_ref().map_or("", |verdict| verdict.decision.label()),
            path => {
                let Some(key) = path.strip_prefix("geophone.tags.") else { return false };
                who.session.tags.iter().find(|(tag, _)| **tag == *key).map_or("", |(_, value)| value)
            }
        };
        out.push_str(text);
        !text.is_empty()
    }
}

/// One alert is one rule about one credential, or one group of a correlation.
fn fingerprint_of(rule: &Rule, group: Option<&str>, call: &Call) -> Fingerprint {
    let whom = match group {
        Some(group) => group,
        None if !call.caller.access_key_id.is_empty() => &call.caller.access_key_id,
        None => &call.caller.arn,
    };
    Fingerprint::of(DetectorId::Sigma, &[&rule.id, whom])
}

fn finding_of(
    judged: &Judged<'_>,
    rule: &Arc<Rule>,
    fingerprint: Fingerprint,
    fired: Option<(&Correlation, &Fired<Arc<Call>>)>,
) -> Finding {
    let mut finding = judged.finding(DetectorId::Sigma, fingerprint);
    finding.severity = rule.severity;
    let (who, invocation) = (finding.who.spoken(), &judged.call.invocation);
    finding.title = format!("{}: {who}", rule.title);
    let failed = if invocation.outcome == Outcome::Success { "" } else { ", which failed" };
    let said = match fired {
        None => format!("{who} called {} in {}{failed}", invocation.spoken(), invocation.region),
        Some((correlation, fired)) => {
            let (count, within) = (fired.count, spoken(correlation.timespan));
            match (correlation.kind, &correlation.field) {
                (CorrelationKind::EventCount, _) => {
                    format!("{count} events within {within}; the last by {who}: {} in {}", invocation.spoken(), invocation.region)
                }
                (CorrelationKind::ValueCount, field) => {
                    let field = field.as_deref().unwrap_or("value");
                    format!(
                        "{count} different values of {field} within {within}; the last by {who}: {} in {}",
                        invocation.spoken(),
                        invocation.region
                    )
                }
                (CorrelationKind::Temporal | CorrelationKind::TemporalOrdered, _) => {
                    format!("{count} steps within {within}; the last by {who}: {} in {}", invocation.spoken(), invocation.region)
                }
                (CorrelationKind::Absence, _) => {
                    format!("{who} called {} in {}, and what should follow within {within} did not", invocation.spoken(), invocation.region)
                }
            }
        }
    };
    let why = rule.description.split_inclusive(". ").take(2).collect::<String>();
    finding.explanation = if why.is_empty() { format!("{said}.") } else { format!("{said}. {}", why.trim_end()) };
    finding.techniques.clone_from(&rule.techniques);
    finding.rule = Some(Arc::clone(rule));
    if let Some((correlation, fired)) = fired {
        finding.onset = fired.onset.min(finding.time);
        finding.story_events = Some(fired.count);
        finding.earlier = fired.ids.iter().filter(|id| finding.event_id.as_ref() != Some(id)).cloned().collect();
        finding = finding.with_number("count", fired.count as f64).with_number("window_seconds", correlation.timespan as f64);
    }
    finding
}
