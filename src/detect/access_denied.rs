//! `access-denied`: a Bedrock call was refused.
//!
//! One finding a refused call, at once, before it is known who is behind the credential. A lone refusal is low: it
//! reaches the topic, and subscribers choose what wakes them. A burst (many in ten minutes), a sweep (many models or
//! regions), a long-lived key, and a model that belongs to another department raise it. Throttles and legacy models are
//! no refusals ([`crate::bedrock::denial`]).

use std::fmt::Write as _;

use crate::bedrock::{Denial, DenialKind};
use crate::finding::{Confidence, DetectorId, Enrichment, Fingerprint, Severity, Signal, Who};
use crate::identity::Caller;
use crate::observation::{Call, table_hash};
use crate::state::{ActorState, CredentialState};
use crate::stats::ring::BUCKET;

use super::{Context, Detector, InstantDetector, Judged};

/// Refusals in ten minutes that are a burst, and a heavy one. A person's retries stay below ten.
const BURST: u32 = 10;
const HEAVY_BURST: u32 = 50;
/// Models or regions that are a sweep, and a wide one.
const SWEEP: usize = 3;
const WIDE_SWEEP: usize = 6;

/// The detector. It has no settings of its own.
#[derive(Clone, Copy, Debug)]
pub struct AccessDenied;

/// The alert of a credential's refusals. A machine's sessions are one credential: its role.
pub fn fingerprint(caller: &Caller) -> Fingerprint {
    let credential = if caller.is_machine && !caller.issuer.is_empty() { &caller.issuer } else { caller.credential() };
    Fingerprint::of(DetectorId::AccessDenied, &[credential])
}

impl InstantDetector for AccessDenied {
    fn judge_instantly(&self, judged: &Judged<'_>, credential: &mut CredentialState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        let invocation = &judged.call.invocation;
        let Some(denial) = invocation.outcome.denial() else { return };
        let model = invocation.model.as_ref().map(|model| table_hash(&model.id));
        credential.refuse(invocation.time, model, table_hash(&invocation.region));
        if let Some(remark) = ownership(judged) {
            credential.ownership = Some(remark);
        }
        let pace = credential.denies.largest_around(invocation.time.slot(BUCKET), 2).0;

        let mut finding = judged.finding(DetectorId::AccessDenied, fingerprint(&judged.call.caller));
        finding.severity = severity(judged.call, denial, credential, pace).max(owner_severity(judged));
        credential.worst = credential.worst.max(Some(finding.severity));
        finding.severity = credential.worst.unwrap_or(finding.severity);
        finding.confidence = if denial.kind == DenialKind::Unknown { Confidence::Medium } else { Confidence::High };
        finding.title = format!("{}: {}", channel(credential, pace), finding.who.spoken());
        finding.channel = channel(credential, pace).to_owned();
        finding.explanation = explanation(judged.call, denial, credential, pace, &finding.who);
        finding.onset = credential.onset;
        finding.story_events = Some(credential.total);
        finding.techniques.push("T1078.004".to_owned());
        if credential.models.len() >= SWEEP || credential.regions.len() >= SWEEP {
            finding.techniques.push("T1526".to_owned());
        }
        let finding = finding
            .with_number("refusals", credential.total as f64)
            .with_number("refusals_10min", f64::from(pace))
            .with_number("models", credential.models.len() as f64)
            .with_number("regions", credential.regions.len() as f64);
        out.push(Signal::Finding(Box::new(finding)));
    }
}

impl Detector for AccessDenied {
    /// Never counts a refusal again: it only adds who it was.
    fn judge(&self, judged: &Judged<'_>, _actor: &mut ActorState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        if !judged.was_pending || judged.call.invocation.outcome.denial().is_none() {
            return;
        }
        let enrichment = judged.enrichment(fingerprint(&judged.call.caller));
        out.push(Signal::Enrichment(Box::new(Enrichment { severity: owner_severity(judged), remark: ownership(judged), ..enrichment })));
    }
}

fn severity(call: &Call, denial: &Denial, credential: &CredentialState, pace: u32) -> Severity {
    let widest = credential.models.len().max(credential.regions.len());
    if pace >= HEAVY_BURST || widest >= WIDE_SWEEP {
        Severity::High
    } else if pace >= BURST || widest >= SWEEP || call.caller.has_long_lived_key() || call.invocation.operation.sensitive.is_some() {
        Severity::Medium
    } else if denial.kind == DenialKind::ModelNotEnabled {
        Severity::Informational
    } else {
        Severity::Low
    }
}

/// A try at somebody else's model is high.
fn owner_severity(judged: &Judged<'_>) -> Severity {
    if is_somebody_elses(judged) { Severity::High } else { Severity::Informational }
}

/// The policy refuses it to this department for certain, and gives it to another.
fn is_somebody_elses(judged: &Judged<'_>) -> bool {
    let is_denied = judged.ruling.verdict.as_ref().is_some_and(|verdict| verdict.decision.is_deny());
    is_denied && judged.who.department.name().is_some() && !judged.ruling.owners.is_empty()
}

fn ownership(judged: &Judged<'_>) -> Option<String> {
    is_somebody_elses(judged).then(|| format!("{} belongs to {}", judged.call.invocation.model_name(), judged.ruling.owners.join(", ")))
}

/// What kind of story it is by now.
fn channel(credential: &CredentialState, pace: u32) -> &'static str {
    if credential.models.len() >= SWEEP {
        "Sweep over models refused"
    } else if credential.regions.len() >= SWEEP {
        "Sweep over regions refused"
    } else if pace >= BURST {
        "Burst of refused Bedrock calls"
    } else {
        "Bedrock call refused"
    }
}

fn explanation(call: &Call, denial: &Denial, credential: &CredentialState, pace: u32, who: &Who) -> String {
    let invocation = &call.invocation;
    let (name, model, region) = (&invocation.name, invocation.model_name(), &invocation.region);
    let mut text = format!("{} was refused {name} on {model} in {region}: {}", who.spoken(), denial.spoken());
    if let Some(remark) = &credential.ownership {
        let _ = write!(text, "; {remark}");
    }
    if credential.total > 1 {
        let (models, regions) = (credential.models.len(), credential.regions.len());
        let _ = write!(text, "; {} refusals since {}, {pace} within 10 minutes", credential.total, credential.onset);
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let _ = write!(text, ", over {models} model{} and {regions} region{}", plural(models), plural(regions));
    }
    text.push('.');
    text
}
