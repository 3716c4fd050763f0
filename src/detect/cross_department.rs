//! `cross-department`: a call succeeded on a model that is not the department's.
//!
//! Refused tries are `access-denied`'s. A success means that what IAM really allows has drifted from what was meant. A
//! department that the table does not know, or a model that no record names, gives no verdict and no finding.

use crate::bedrock::Outcome;
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::identity::{Department, DepartmentSource};
use crate::state::ActorState;

use super::{Context, Detector, Judged};

/// The detector. Its table is the policy's.
#[derive(Clone, Copy, Debug)]
pub struct CrossDepartment;

impl Detector for CrossDepartment {
    fn judge(&self, judged: &Judged<'_>, _actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>) {
        let invocation = &judged.call.invocation;
        let Department::Known { name, source } = &judged.who.department else { return };
        let (true, Outcome::Success, Some(model)) = (invocation.operation.is_invocation, &invocation.outcome, &invocation.model) else {
            return;
        };
        if context.departments.allows(name, model) != Some(false) {
            return;
        }
        let policy = context.departments.verdict(name, model);
        let fingerprint = Fingerprint::of(DetectorId::CrossDepartment, &[judged.who.actor.kind.label(), &judged.who.actor.name, &model.id]);
        let mut finding = Finding::about(DetectorId::CrossDepartment, judged.call, judged.who, fingerprint);
        let owners = policy.owners().join(", ");
        finding.severity = if owners.is_empty() { Severity::Medium } else { Severity::High };
        finding.confidence = match source {
            DepartmentSource::SessionTag => Confidence::High,
            DepartmentSource::CognitoSubject | DepartmentSource::Directory | DepartmentSource::RoleMap => Confidence::Medium,
        };
        finding.title = format!("Model of another department used: {} on {}", finding.who.spoken(), model.id);
        let whose = if owners.is_empty() { "no department's".to_owned() } else { format!("only {owners}'s") };
        finding.explanation = format!(
            "{} called {} with success on {} in {}, which is {whose}: {} lists no pattern for it, so IAM allows more than was meant.",
            finding.who.spoken(),
            invocation.name,
            model.id,
            invocation.region,
            policy.statement().unwrap_or("the table"),
        );
        finding.policy = Some(policy);
        finding.techniques.push("T1078.004".to_owned());
        out.push(Signal::Finding(Box::new(finding)));
    }
}
