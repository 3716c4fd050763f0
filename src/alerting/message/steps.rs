//! What to do, by detector: the short form of its runbook page.

use super::super::Alert;
use crate::finding::DetectorId as D;

/// What to do, in the order in which to do it.
pub fn next_steps(alert: &Alert) -> Vec<String> {
    let steps = match alert.detector {
        D::Sigma => return alert.rule.iter().flat_map(|rule| rule.triage.clone()).collect(),
        D::AccessDenied => vec![
            "Ask the person whether they made these calls; a stolen session tries what it does not know",
            "If not: revoke the role's sessions (AWSRevokeOlderSessions) and sign the user out in Cognito",
            "If so: is the policy missing a permission, or the request a mistake?",
        ],
        D::CrossDepartment => vec![
            "A call that succeeded: find the statement that IAM allowed it by, and correct it, the policy files here or [departments]",
            "Stale or unknown: give geophone the documents that are attached to the role now (geophone check)",
            "Ask the person what the call was for",
        ],
        D::FirstSeen => vec![
            "Ask the person whether they are travelling, or have a new machine or program",
            "Several new things in one call, and nobody else's: treat the session as stolen until it is explained",
        ],
        D::InvocationSpike => vec![
            "Ask the person whether a program of theirs is running",
            "If not: revoke the role's sessions and sign the user out in Cognito",
            "Look at the models and the source address of these calls",
        ],
        D::Offboarded => vec![
            "Revoke the role's older sessions (AWSRevokeOlderSessions): disabling the user does not end them",
            "Ask the manager whether the person, or a program of theirs, is still at work",
            "Look at what was called since the removal",
        ],
        D::Perimeter => vec![
            "Find out from where the call came: a program outside the network, or a stolen credential",
            "Close the way with aws:SourceVpce, aws:RequestedRegion or aws:SecureTransport conditions in the role's policy",
        ],
        D::SessionTheft => vec![
            "Revoke the role's older sessions (AWSRevokeOlderSessions) at once; the thief's keys last until they expire",
            "Ask the person, or the owner of the instance, which of the two places is theirs",
            "On an instance: require metadata version 2 (IMDSv2) and look for server-side request forgery",
        ],
        D::TokenSpend => vec![
            "Look at which model and how long the prompts are: a change of model, a loop, or somebody else's work",
            "Ask the person whether a program of theirs is running",
            "If not: revoke the role's sessions and sign the user out in Cognito; a budget action can cap what it costs meanwhile",
        ],
        D::Unattributed => vec![
            "Find who holds the credential; deactivate the key if nobody does",
            "Undo changes of model access, logging or guardrails that nobody owns",
        ],
    };
    steps.into_iter().map(str::to_owned).collect()
}
