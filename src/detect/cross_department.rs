//! `cross-department`: what IAM did and what the policies say do not agree.
//!
//! | story | severity |
//! |---|---|
//! | a call succeeded that the documents (or the `[departments]` table) do not allow: IAM has drifted | high where others own the model or a Deny should have stopped it, else medium |
//! | a department's first call of a model that others own, where the verdict cannot be told | medium |
//! | the same, where only use shows whose the model is: one other department, on seven days or more | low |
//! | a refused call that the documents would allow: the documents here are stale | low |
//! | most verdicts of an hour cannot be told | low |
//!
//! Refused tries at others' models are `access-denied`'s. Departments that share a model are no story. A call whose
//! department is not known gives a finding only where documents judge it and the session's tags are known.

use std::sync::Arc;

use crate::bedrock::{DenialKind, DeniedBy, Outcome};
use crate::cloudtrail::Arn;
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::identity::{Attribution, Department, DepartmentSource};
use crate::observation::Call;
use crate::policy::{Decision, Verdict};
use crate::state::{ActorState, DepartmentUses};

use super::{Context, Detector, Judged};

/// Days of use that make a model a department's, and days of history before its own firsts mean anything.
const OWN_DAYS: u32 = 7;

/// The detector. What it knows is the policy's.
#[derive(Clone, Copy, Debug)]
pub struct CrossDepartment;

impl Detector for CrossDepartment {
    fn judge(&self, judged: &Judged<'_>, _actor: &mut ActorState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        let Some(verdict) = &judged.ruling.verdict else { return };
        // Without a department there is still a verdict where the session's tags are known not to name one.
        let confidence = match &judged.who.department {
            Department::Known { source, .. } => confidence(*source),
            Department::Unknown(_) if judged.who.session.is_known => Confidence::Medium,
            Department::Unknown(_) => return,
        };
        let finding = match (&judged.call.invocation.outcome, verdict.decision) {
            (Outcome::Success, Decision::ExplicitDeny | Decision::ImplicitDeny) => drift(judged, verdict, confidence),
            (Outcome::Denied(denial), Decision::Allow) if is_by_documents(denial.kind, denial.by) && !verdict.is_by_table() => {
                stale(judged, verdict)
            }
            _ => return,
        };
        out.push(Signal::Finding(Box::new(finding)));
    }
}

/// The same for a title: an ARN without what comes before the resource.
fn short(target: &str) -> &str {
    Arn::parse(target).map_or(target, |arn| arn.resource)
}

/// What was called: the model, else the resource, else the operation.
fn target(call: &Call) -> &str {
    let invocation = &call.invocation;
    let resource = invocation.resource.as_deref().unwrap_or(&invocation.name);
    invocation.model.as_ref().map_or(resource, |model| &model.id)
}

fn confidence(source: DepartmentSource) -> Confidence {
    match source {
        DepartmentSource::SessionTag => Confidence::High,
        DepartmentSource::CognitoSubject | DepartmentSource::Directory | DepartmentSource::RoleMap => Confidence::Medium,
    }
}

fn drift(judged: &Judged<'_>, verdict: &Verdict, confidence: Confidence) -> Finding {
    let (invocation, owners) = (&judged.call.invocation, judged.ruling.owners.join(", "));
    let target = target(judged.call);
    let key = &judged.who.actor;
    let fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &[key.kind.label(), &key.name, target]);
    let mut finding = judged.finding(DetectorId::CrossDepartment, fingerprint);
    let is_worse = !owners.is_empty() || verdict.decision == Decision::ExplicitDeny;
    finding.severity = if is_worse { Severity::High } else { Severity::Medium };
    finding.confidence = confidence;
    finding.title = format!("Not this department's: {} on {}", finding.who.spoken(), short(target));
    let whose = if owners.is_empty() { String::new() } else { format!(" It is {owners}'s.") };
    let says = match (verdict.decision, &verdict.statement) {
        (Decision::ExplicitDeny, Some(statement)) => format!("{statement} denies it"),
        (_, Some(statement)) => format!("{statement} does not list it"),
        (_, None) => verdict.why.as_deref().unwrap_or("no policy allows it").to_owned(),
    };
    finding.explanation = format!(
        "{} called {} with success on {target} in {}, though {says}: IAM allows more than was meant.{whose}",
        finding.who.spoken(),
        invocation.name,
        invocation.region,
    );
    finding.techniques.push("T1078.004".to_owned());
    finding
}

/// Whether the documents that geophone was given could have been what refused: not an SCP or session policy that it may
/// not know, not a model that is not enabled.
fn is_by_documents(kind: DenialKind, by: Option<DeniedBy>) -> bool {
    matches!(kind, DenialKind::ExplicitDeny | DenialKind::MissingPermission)
        && matches!(by, None | Some(DeniedBy::IdentityPolicy | DeniedBy::Boundary))
}

fn stale(judged: &Judged<'_>, verdict: &Verdict) -> Finding {
    let invocation = &judged.call.invocation;
    let target = target(judged.call);
    // One story for a role and what it asks for, whoever meets it.
    let fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &["stale", &judged.call.caller.issuer, target]);
    let mut finding = judged.finding(DetectorId::CrossDepartment, fingerprint);
    finding.severity = Severity::Low;
    finding.channel = "stale documents".to_owned();
    finding.title = format!("Policy documents are stale: {}", short(target));
    finding.explanation = format!(
        "{} was refused {} on {target} in {}, which {} allows: the documents that geophone was given are not those that are attached.",
        finding.who.spoken(),
        invocation.name,
        invocation.region,
        verdict.statement.as_deref().unwrap_or("a document here"),
    );
    finding
}

/// A department's first call of a model that is not its own, where no verdict says so already.
pub fn judge_first(judged: &Judged<'_>, uses: &mut DepartmentUses, out: &mut Vec<Signal>) {
    let invocation = &judged.call.invocation;
    let (Department::Known { name, source }, Some(model)) = (&judged.who.department, &invocation.model) else { return };
    if invocation.outcome != Outcome::Success || !invocation.operation.is_invocation || !judged.trusted {
        return;
    }
    let is_first = uses.note(name, &model.id, invocation.time);
    let is_told = judged.ruling.verdict.as_ref().is_some_and(|verdict| verdict.decision != Decision::Unknown);
    if !is_first || is_told {
        return;
    }
    let (owners, severity, how) = if judged.ruling.owners.is_empty() {
        let users = uses.users(&model.id, OWN_DAYS);
        // A model that several use is shared; a department without history has only firsts.
        if users.len() != 1 || users.contains(name) || uses.active_days(name) < OWN_DAYS {
            return;
        }
        (users, Severity::Low, "so far only")
    } else {
        (judged.ruling.owners.clone(), Severity::Medium, "by policy")
    };
    let fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &["first", name, &model.id]);
    let mut finding = judged.finding(DetectorId::CrossDepartment, fingerprint);
    finding.severity = severity;
    finding.confidence = confidence(*source).min(Confidence::Medium);
    finding.channel = "first use".to_owned();
    finding.title = format!("First use of another department's model: {name} on {}", model.id);
    finding.explanation = format!(
        "{} made {name}'s first call of {} in {}, which is {how} {}'s; whether IAM means to allow it cannot be told from what geophone knows.",
        finding.who.spoken(),
        model.id,
        invocation.region,
        owners.join(", "),
    );
    finding.techniques.push("T1078.004".to_owned());
    out.push(Signal::Finding(Box::new(finding)));
}

/// More verdicts of an hour than agreed cannot be told.
pub fn unknown_share(call: &Call, who: &Arc<Attribution>, why: &str, unknown: u64, all: u64) -> Signal {
    let fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &["unknown-share"]);
    let mut finding = Finding::about(DetectorId::CrossDepartment, call, who, fingerprint);
    finding.severity = Severity::Low;
    finding.channel = "unknown verdicts".to_owned();
    finding.title = "Policy verdicts cannot be told".to_owned();
    let percent = unknown as f64 * 100.0 / all.max(1) as f64;
    finding.explanation =
        format!("For {unknown} of {all} calls of an hour ({percent:.0} %) the policy documents give no verdict; for one: {why}.");
    finding.policy = Some(Verdict::unknown(why));
    finding.story_events = Some(unknown);
    Signal::Finding(Box::new(finding.with_number("unknown", unknown as f64).with_number("calls", all as f64)))
}
