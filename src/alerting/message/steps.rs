//! What to do, by detector: the short form of its runbook page.

use super::super::Alert;
use crate::detect::blind_spot::{FORGOTTEN, GAP, GAP_MEASURED, HELD, LETTERS, OLDER_STATE, STATE_LOST, UNREADABLE};
use crate::finding::DetectorId as D;

/// What to do, in the order in which to do it.
pub fn next_steps(alert: &Alert) -> Vec<String> {
    let steps = match alert.detector {
        D::BlindSpot => return unseen(alert),
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

/// After a blind spot somebody else has to look: at what, by what made geophone blind.
fn unseen(alert: &Alert) -> Vec<String> {
    let until = if alert.last_event > alert.onset { alert.last_event.to_string() } else { "NOW".to_owned() };
    let hole = format!("geophone audit --since {} --until {until} over the trail's files in S3", alert.onset);
    let latest = alert.channels.last().map_or("", String::as_str);
    match latest {
        STATE_LOST => vec![
            "Look at the disk before anything else; the log says which file was damaged or gone".to_owned(),
            "Have it judged what it may have missed: geophone replay over the trail's files of the last days".to_owned(),
            "Give it its history back: restore the state folder from a backup, or stop it and run geophone warm".to_owned(),
        ],
        OLDER_STATE => vec![
            "Look at the disk: the log says which file was damaged or gone, and it may not be the last".to_owned(),
            "Check that it catches up (the page shows how far behind it is) and that no alert about lost records follows".to_owned(),
        ],
        GAP | GAP_MEASURED => vec![
            format!("Look into the hole: {hole}; geophone replay over the same files raises the alerts of that time"),
            "Find out why: was it down or behind for longer than the stream keeps records, or was the stream made anew?".to_owned(),
            "Lengthen the retention: aws kinesis increase-stream-retention-period".to_owned(),
        ],
        UNREADABLE => vec![
            "See what they are: geophone deadletter list --kind record --limit 20".to_owned(),
            "Find out what writes them to the stream; damage on purpose hides something".to_owned(),
            format!("Until they can be read, look past geophone: {hole}"),
        ],
        LETTERS => vec![
            "Look at the state folder's disk: full, read-only, or somebody else's?".to_owned(),
            "Make room: geophone deadletter list, then geophone deadletter replay --remove, or move dead-letters.ndjson away".to_owned(),
            "Find out where so many letters come from".to_owned(),
        ],
        FORGOTTEN => vec![
            "Find who makes up names: one role, account or address behind very many sessions that are new".to_owned(),
            "If nobody owns it: revoke that role's sessions and its right to assume roles".to_owned(),
            "If it is real work: raise actors, credentials or grants in [limits]".to_owned(),
        ],
        HELD => vec![
            "Do STS and Cognito records still reach the stream? A trail or filter may have been changed".to_owned(),
            "If they do, and there are simply many calls: raise held in [limits]".to_owned(),
            format!("See who called meanwhile: {hole}"),
        ],
        _ => vec![hole],
    }
}
