//! A removal: a record that says that somebody may no longer do what they could.
//!
//! | source | names | meaning |
//! |---|---|---|
//! | `cognito-idp` | AdminDisableUser, AdminDeleteUser, DeleteUser | the person is gone |
//! | `cognito-idp` | AdminRemoveUserFromGroup | a right is gone; a new session is another matter |
//! | `cognito-idp` | AdminUserGlobalSignOut, GlobalSignOut, RevokeToken | all sessions are to end |
//! | `identitystore`, `sso-directory` | DeleteUser, DisableUser; DeleteGroupMembership, RemoveMemberFromGroup | the same |
//! | `sso` | DeleteAccountAssignment of a user | a right is gone |
//! | `iam` | DeleteUser, RemoveUserFromGroup | the same |
//! | `iam` | DeleteAccessKey, UpdateAccessKey to Inactive | sessions that the key began go on; mostly a rotation |
//!
//! Credentials that STS has issued stay valid until they expire, whatever becomes of the person: nothing in AWS ends them
//! but a policy. Sources: "Amazon Cognito user pools API Reference", "Revoking IAM role temporary security credentials"
//! (IAM User Guide). Cognito hides `username` in most records and names the subject in `additionalEventData.sub`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::cloudtrail::lenient::cut;
use crate::cloudtrail::{Arn, CloudTrailEvent};
use crate::time::EventTime;

const NAME_BYTES_MAX: usize = 512;
/// What CloudTrail writes in the place of names that it hides.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// What was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RemovalKind {
    /// The person, user or key was deleted.
    Deleted,
    /// The person, user or key was disabled.
    Disabled,
    /// The directory file no longer lists the person.
    LeftDirectory,
    /// Membership in a group, or an assignment to an account.
    Membership,
    /// All sessions were ended.
    SignedOut,
    /// The access key that a session began with was deleted or switched off.
    KeyEnded,
}

impl RemovalKind {
    /// Whether it is about the sessions of that time only: a later sign-in is as good as any.
    pub const fn ends_sessions_only(self) -> bool {
        matches!(self, Self::Membership | Self::SignedOut | Self::KeyEnded)
    }

    /// What happened to the person, for a sentence.
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::Deleted => "was deleted",
            Self::Disabled => "was disabled",
            Self::LeftDirectory => "left the directory file",
            Self::Membership => "lost a group or an assignment",
            Self::SignedOut => "was signed out",
            Self::KeyEnded => "lost the access key that the session began with",
        }
    }
}

/// A removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// What was taken away.
    pub kind: RemovalKind,
    /// When.
    pub time: EventTime,
    /// The call that did it: `AdminDisableUser`.
    pub by: Arc<str>,
}

/// A record about somebody's standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalNotice {
    /// Ids of whom it is about, as the record writes them.
    pub about: Vec<Arc<str>>,
    /// The removal; `None` where the record takes earlier ones back (AdminEnableUser).
    pub removal: Option<Removal>,
    /// When.
    pub time: EventTime,
}

impl RemovalNotice {
    /// The notice in `event`, where it is a successful call of that kind.
    pub fn of(event: &CloudTrailEvent<'_>, time: EventTime) -> Option<Self> {
        if !event.error_code.is_empty() || event.is_service_event() {
            return None;
        }
        let (name, asked) = (event.event_name.as_str(), event.request_parameters.rare());
        let kind = match (event.event_source.as_str(), name) {
            ("cognito-idp.amazonaws.com", name) => cognito(name)?,
            ("identitystore.amazonaws.com" | "sso-directory.amazonaws.com", name) => identity_center(name)?,
            ("sso.amazonaws.com", "DeleteAccountAssignment") => Some(RemovalKind::Membership),
            ("iam.amazonaws.com", name) => iam(name, asked.status.as_str())?,
            _ => return None,
        };
        let removal = kind.map(|kind| Removal { kind, time, by: cut(name, NAME_BYTES_MAX).into() });
        let about = about(event);
        (!about.is_empty()).then_some(Self { about, removal, time })
    }
}

fn cognito(name: &str) -> Option<Option<RemovalKind>> {
    Some(match name {
        "AdminDisableUser" => Some(RemovalKind::Disabled),
        "AdminDeleteUser" | "DeleteUser" => Some(RemovalKind::Deleted),
        "AdminRemoveUserFromGroup" => Some(RemovalKind::Membership),
        "AdminUserGlobalSignOut" | "GlobalSignOut" | "RevokeToken" => Some(RemovalKind::SignedOut),
        "AdminEnableUser" | "AdminCreateUser" => None,
        _ => return None,
    })
}

fn identity_center(name: &str) -> Option<Option<RemovalKind>> {
    Some(match name {
        "DisableUser" => Some(RemovalKind::Disabled),
        "DeleteUser" => Some(RemovalKind::Deleted),
        "DeleteGroupMembership" | "RemoveMemberFromGroup" => Some(RemovalKind::Membership),
        "EnableUser" | "CreateUser" => None,
        _ => return None,
    })
}

fn iam(name: &str, status: &str) -> Option<Option<RemovalKind>> {
    Some(match name {
        "DeleteUser" => Some(RemovalKind::Deleted),
        "DeleteAccessKey" => Some(RemovalKind::KeyEnded),
        "UpdateAccessKey" if status == "Inactive" => Some(RemovalKind::KeyEnded),
        "UpdateAccessKey" if status == "Active" => None,
        "CreateUser" => None,
        "RemoveUserFromGroup" => Some(RemovalKind::Membership),
        _ => return None,
    })
}

/// The hash of an id: a directory of millions fits.
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// What an IAM user is known by on both sides: IAM's records have no path, ARNs have one.
fn iam_user(account: &str, name: &str) -> Arc<str> {
    format!("iam-user:{account}:{name}").into()
}

/// The same from the ARN of a user.
pub fn iam_user_of(arn: &str) -> Option<Arc<str>> {
    let arn = Arn::parse(arn)?;
    let path = arn.resource.strip_prefix("user/")?;
    Some(iam_user(arn.account, path.rsplit('/').next()?))
}

/// Everything that names whom a record is about. A user's own call (GlobalSignOut) names them only by the subject.
fn about(event: &CloudTrailEvent<'_>) -> Vec<Arc<str>> {
    let asked = event.request_parameters.rare();
    let mut ids: Vec<Arc<str>> = Vec::new();
    if event.event_source.as_str() == "iam.amazonaws.com" {
        // A key alone where the call is about a key: the user may have another one.
        if let Some(key) = asked.access_key_id.non_empty() {
            ids.push(cut(key, NAME_BYTES_MAX).into());
        } else if let Some(user) = asked.user_name.non_empty() {
            ids.push(iam_user(event.account(), cut(user, NAME_BYTES_MAX)));
        }
        return ids;
    }
    // A user name is only one within its pool; the subject is one everywhere.
    if let Some(sub) = event.additional_event_data.sub.non_empty() {
        return vec![cut(sub, NAME_BYTES_MAX).into()];
    }
    let texts = [&asked.username, &asked.user_name, &asked.user_id, &asked.member_id.user_id, &asked.principal_id];
    for text in texts.into_iter().filter_map(|text| text.non_empty()).filter(|text| *text != HIDDEN) {
        ids.push(cut(text, NAME_BYTES_MAX).into());
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(json: &str) -> Option<RemovalNotice> {
        RemovalNotice::of(&serde_json::from_str(json).expect("json"), EventTime::from_unix(7))
    }

    #[test]
    fn removals_of_every_source() {
        for (json, about, kind) in [
            (
                r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"AdminDisableUser","requestParameters":{"username":"HIDDEN_DUE_TO_SECURITY_REASONS"},"additionalEventData":{"sub":"s-1"}}"#,
                "s-1",
                Some(RemovalKind::Disabled),
            ),
            (
                r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"AdminEnableUser","requestParameters":{"username":"al"}}"#,
                "al",
                None,
            ),
            (
                r#"{"eventSource":"identitystore.amazonaws.com","eventName":"DeleteUser","requestParameters":{"userId":"u-1"}}"#,
                "u-1",
                Some(RemovalKind::Deleted),
            ),
            (
                r#"{"eventSource":"sso-directory.amazonaws.com","eventName":"RemoveMemberFromGroup","requestParameters":{"memberId":{"userId":"u-2"}}}"#,
                "u-2",
                Some(RemovalKind::Membership),
            ),
            (
                r#"{"eventSource":"iam.amazonaws.com","eventName":"UpdateAccessKey","requestParameters":{"userName":"x","accessKeyId":"AKIA1","status":"Inactive"}}"#,
                "AKIA1",
                Some(RemovalKind::KeyEnded),
            ),
            (
                r#"{"eventSource":"iam.amazonaws.com","eventName":"DeleteUser","recipientAccountId":"1","requestParameters":{"userName":"x"}}"#,
                "iam-user:1:x",
                Some(RemovalKind::Deleted),
            ),
        ] {
            let notice = notice(json).unwrap_or_else(|| panic!("no notice: {json}"));
            assert_eq!((notice.about.as_slice(), notice.removal.map(|removal| removal.kind)), (&[Arc::from(about)][..], kind), "{json}");
        }
    }

    #[test]
    fn what_is_no_removal() {
        for json in [
            r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"AdminDisableUser","errorCode":"AccessDenied","additionalEventData":{"sub":"s"}}"#,
            r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"AdminDisableUser","requestParameters":{"username":"HIDDEN_DUE_TO_SECURITY_REASONS"}}"#,
            r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"ListUsers","requestParameters":{"username":"x"}}"#,
            r#"{"eventSource":"s3.amazonaws.com","eventName":"DeleteUser","requestParameters":{"userName":"x"}}"#,
        ] {
            assert_eq!(notice(json), None, "{json}");
        }
    }
}
