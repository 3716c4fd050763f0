//! `unattributed`: calls that no person answers for.
//!
//! Long-lived keys, the root user and Bedrock API keys (bearer tokens) hold no session and so no tags. A change of model
//! access, invocation logging or guardrails by any of them, or by a session that neither a person nor a department is
//! known for, is what the first minutes of LLMjacking look like (PutUseCaseForModelAccess,
//! CreateFoundationModelAgreement, PutFoundationModelEntitlement, then InvokeModel).

use crate::bedrock::{Outcome, Sensitive};
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::identity::{ActorKind, CallerKind};
use crate::state::ActorState;

use super::{Context, Detector, Judged};

/// Active days after which the use of a credential by itself is known.
const KNOWN_DAYS: u32 = 7;

/// The detector. It has no settings of its own.
#[derive(Clone, Copy, Debug)]
pub struct Unattributed;

/// Why nobody answers for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Root,
    BearerKey,
    LongLivedKey,
    UnknownSession,
}

impl Why {
    fn of(judged: &Judged<'_>) -> Option<Self> {
        let (call, who) = (judged.call, judged.who);
        if call.caller.kind == CallerKind::Root {
            Some(Self::Root)
        } else if who.person.is_some() {
            None
        } else if call.invocation.with_bearer_token {
            Some(Self::BearerKey)
        } else if call.caller.has_long_lived_key() {
            Some(Self::LongLivedKey)
        } else if who.department.name().is_none() && who.actor.kind != ActorKind::Service {
            Some(Self::UnknownSession)
        } else {
            None
        }
    }

    const fn spoken(self) -> &'static str {
        match self {
            Self::Root => "the root user",
            Self::BearerKey => "a Bedrock API key (bearer token)",
            Self::LongLivedKey => "a long-lived access key",
            Self::UnknownSession => "a session that no person and no department is known for",
        }
    }
}

impl Detector for Unattributed {
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        let invocation = &judged.call.invocation;
        let Some(why) = Why::of(judged) else { return };
        // A key that has been in use for a week is inventory, not news: page and metrics list it.
        let is_news = u32::from(actor.baseline.days()) < KNOWN_DAYS;
        // A refused call is access-denied's.
        let is_use = invocation.operation.is_invocation && invocation.outcome.denial().is_none();
        let is_root = why == Why::Root;
        let severity = match (invocation.operation.sensitive, why) {
            (Some(_), _) => Severity::High,
            (None, Why::Root) => Severity::High,
            (None, Why::LongLivedKey | Why::BearerKey) if is_use && is_news => Severity::Low,
            _ => return,
        };
        let key = &judged.who.actor;
        // A change is a story of its own: it must not drown among the calls of a key that is known to be in use.
        let story = if invocation.operation.sensitive.is_some() { "change" } else { "use" };
        let fingerprint = Fingerprint::of(DetectorId::Unattributed, &[key.kind.label(), &key.name, story]);
        let mut finding = Finding::about(DetectorId::Unattributed, judged.call, judged.who, fingerprint);
        finding.severity = severity;
        finding.confidence = if why == Why::UnknownSession { Confidence::Medium } else { Confidence::High };
        let who = finding.who.name();
        let changed = if invocation.outcome == Outcome::Success { "changed" } else { "tried to change" };
        (finding.title, finding.explanation) = match invocation.operation.sensitive {
            Some(what) => (
                format!("Nobody answers for a change of {}: {who}", what.spoken()),
                format!("{who} called {} in {}: {} {changed} {}.", invocation.name, invocation.region, why.spoken(), what.spoken()),
            ),
            None => (
                format!("Nobody answers for Bedrock calls: {who}"),
                format!("{who} called {} on {} in {} with {}.", invocation.name, invocation.model_name(), invocation.region, why.spoken()),
            ),
        };
        finding.channel = invocation.operation.sensitive.map_or_else(String::new, |what| what.spoken().to_owned());
        finding.techniques = techniques(invocation.operation.sensitive, is_root);
        out.push(Signal::Finding(Box::new(finding)));
    }
}

fn techniques(sensitive: Option<Sensitive>, is_root: bool) -> Vec<String> {
    let mut ids = vec!["T1078.004"];
    match sensitive {
        Some(Sensitive::ModelAccess) => ids.push("T1496.004"),
        Some(Sensitive::InvocationLogging) => ids.push("T1562.008"),
        Some(Sensitive::Guardrail) => ids.push("T1562.001"),
        None if is_root => {}
        None => ids.push("T1552"),
    }
    ids.into_iter().map(str::to_owned).collect()
}
