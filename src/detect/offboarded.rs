//! `offboarded`: a Bedrock call after its person was removed.
//!
//! Credentials that STS has issued outlive what they were issued for: nothing ends them when the user is disabled, deleted
//! or signed out. Disabled, deleted and gone from the directory file: any call after it. A group or an assignment lost,
//! signed out everywhere: only calls of a session that began before; a new sign-in is as good as any.
//! What counts as a removal: [`crate::identity::removal`].

use crate::finding::{Confidence, DetectorId, Fingerprint, Severity, Signal};
use crate::identity::{Removal, RemovalKind};
use crate::state::ActorState;
use crate::time::spoken;

use super::{Context, Detector, Judged};

/// The detector. It has no settings of its own.
#[derive(Clone, Copy, Debug)]
pub struct Offboarded;

impl Detector for Offboarded {
    fn judge(&self, judged: &Judged<'_>, _actor: &mut ActorState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        judge(judged, out);
    }
}

/// Judges a call whose session has outlived a removal.
pub fn judge(judged: &Judged<'_>, out: &mut Vec<Signal>) {
    let Some(removal) = judged.removal else { return };
    let invocation = &judged.call.invocation;
    let key = &judged.who.actor;
    let fingerprint = Fingerprint::of(DetectorId::Offboarded, &[key.kind.label(), &key.name]);
    let mut finding = judged.finding(DetectorId::Offboarded, fingerprint);
    finding.severity = severity(removal, invocation.outcome.denial().is_some());
    finding.confidence = Confidence::High;
    finding.title = format!("Still calling after removal: {}", finding.who.spoken());
    let after = invocation.time.since(removal.time);
    let session = match judged.who.session.issued {
        Some(issued) if issued < removal.time => format!("with a session of {issued}"),
        Some(issued) => format!("with a session that was issued afterwards, at {issued}"),
        None => format!("with key {}", judged.call.caller.access_key_id),
    };
    finding.explanation = format!(
        "{} {} at {} ({}) and called {} in {} {} later, {session}.",
        finding.who.spoken(),
        removal.kind.spoken(),
        removal.time,
        removal.by,
        invocation.spoken(),
        invocation.region,
        spoken(after),
    );
    finding.channel = removal.kind.spoken().to_owned();
    finding.techniques.push("T1078.004".to_owned());
    let finding = finding.with_number("seconds_since_removal", after as f64);
    out.push(Signal::Finding(Box::new(finding)));
}

fn severity(removal: &Removal, is_refused: bool) -> Severity {
    match removal.kind {
        // Somebody who signs out everywhere may leave a program running.
        RemovalKind::SignedOut if !removal.by.starts_with("Admin") => Severity::Low,
        RemovalKind::KeyEnded => Severity::Low,
        RemovalKind::Membership => Severity::Medium,
        RemovalKind::Deleted | RemovalKind::Disabled | RemovalKind::LeftDirectory | RemovalKind::SignedOut if is_refused => {
            Severity::Medium
        }
        RemovalKind::Deleted | RemovalKind::Disabled | RemovalKind::LeftDirectory | RemovalKind::SignedOut => Severity::High,
    }
}
