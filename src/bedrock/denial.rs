//! Whether a call was refused, and by what.
//!
//! CloudTrail's code is `AccessDenied` where SDKs raise `AccessDeniedException`, so codes are compared by prefix. The
//! kind is in the message: "User: … is not authorized to perform: … on resource: … because no identity-based policy
//! allows the … action", or "… with an explicit deny in a(n) … policy". Source: "Troubleshoot access denied error
//! messages" in the IAM User Guide, and real records. A throttle and a call of a legacy model are no denials.

use serde::{Deserialize, Serialize};

use crate::cloudtrail::lenient::cut;

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DenialKind {
    /// A statement with `Effect: Deny` matched.
    ExplicitDeny,
    /// No statement allows it.
    MissingPermission,
    /// The account has not enabled the model, or may not (Marketplace).
    ModelNotEnabled,
    /// The policy of a VPC endpoint refused it.
    VpcEndpoint,
    /// Refused, but the message does not say why.
    Unknown,
}

impl DenialKind {
    /// The kind as alerts write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ExplicitDeny => "explicit-deny",
            Self::MissingPermission => "missing-permission",
            Self::ModelNotEnabled => "model-not-enabled",
            Self::VpcEndpoint => "vpc-endpoint",
            Self::Unknown => "unknown",
        }
    }

    /// The kind in a sentence: "… was refused: {spoken}".
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::ExplicitDeny => "an explicit deny",
            Self::MissingPermission => "no policy allows it",
            Self::ModelNotEnabled => "the model is not enabled for the account",
            Self::VpcEndpoint => "the VPC endpoint's policy",
            Self::Unknown => "reason not stated",
        }
    }
}

/// The policy type that refused, where the message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeniedBy {
    /// A policy on the user, group or role.
    IdentityPolicy,
    /// A permissions boundary.
    Boundary,
    /// A service control policy of the organization.
    ServiceControlPolicy,
    /// A resource control policy of the organization.
    ResourceControlPolicy,
    /// A session policy.
    SessionPolicy,
    /// A policy on the resource.
    ResourcePolicy,
}

impl DeniedBy {
    /// The policy type as alerts write it; a resource control policy has no word of its own there.
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::IdentityPolicy => Some("identity-policy"),
            Self::Boundary => Some("boundary"),
            Self::ServiceControlPolicy => Some("scp"),
            Self::SessionPolicy => Some("session-policy"),
            Self::ResourcePolicy => Some("resource-policy"),
            Self::ResourceControlPolicy => None,
        }
    }

    /// The policy type in a sentence, without an article.
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::IdentityPolicy => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::ServiceControlPolicy => "service control policy",
            Self::ResourceControlPolicy => "resource control policy",
            Self::SessionPolicy => "session policy",
            Self::ResourcePolicy => "resource-based policy",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Why.
    pub kind: DenialKind,
    /// By which type of policy.
    pub by: Option<DeniedBy>,
    /// The resource that the message names: the only trace of the model where `requestParameters` is null.
    pub resource_arn: Option<String>,
    /// ARN of the policy that refused, where the message names it.
    pub policy_arn: Option<String>,
}

impl Denial {
    /// Why, in a sentence: `no identity-based policy allows it`, `an explicit deny in a service control policy`.
    pub fn spoken(&self) -> String {
        let by = self.by.map(DeniedBy::spoken);
        match (self.kind, by) {
            (DenialKind::MissingPermission, Some(by)) => format!("no {by} allows it"),
            (DenialKind::ExplicitDeny, Some(by)) => format!("an explicit deny in a {by}").replace("a identity", "an identity"),
            (kind, _) => kind.spoken().to_owned(),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// No error.
    Success,
    /// Refused.
    Denied(Box<Denial>),
    /// Too many calls; says nothing about permission.
    Throttled,
    /// Any other error.
    Failed,
}

impl Outcome {
    /// Reads `errorCode` and `errorMessage`.
    pub fn of(error_code: &str, error_message: &str) -> Self {
        if error_code.is_empty() && error_message.is_empty() {
            return Self::Success;
        }
        if is_throttle(error_code) {
            return Self::Throttled;
        }
        if error_code == "VpceAccessDenied" {
            return Self::Denied(Box::new(Denial { kind: DenialKind::VpcEndpoint, ..read_message(error_message) }));
        }
        let refused = ["AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation", "NotAuthorized"];
        if refused.iter().any(|code| error_code.starts_with(code)) {
            return Self::Denied(Box::new(read_message(error_message)));
        }
        // A legacy model answers ResourceNotFoundException with "Access denied. This Model is marked … Legacy": not a
        // policy's doing, and it falls through to here like every other error.
        Self::Failed
    }

    /// Whether the call was answered or refused: a question of permission. Throttled and failed calls say nothing of it.
    pub const fn is_answered(&self) -> bool {
        matches!(self, Self::Success | Self::Denied(_))
    }

    /// The outcome as a metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied(_) => "denied",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }

    /// The denial, where it is one.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Denied(denial) => Some(denial),
            Self::Success | Self::Throttled | Self::Failed => None,
        }
    }
}

fn is_throttle(code: &str) -> bool {
    ["Throttl", "TooManyRequests", "ServiceQuotaExceeded", "RequestLimitExceeded", "SlowDown"].iter().any(|prefix| code.starts_with(prefix))
}

fn read_message(message: &str) -> Denial {
    let by = denied_by(message);
    let kind = if message.contains("explicit deny") {
        if message.contains("VPC endpoint policy") { DenialKind::VpcEndpoint } else { DenialKind::ExplicitDeny }
    } else if message.contains("because no VPC endpoint policy") {
        DenialKind::VpcEndpoint
    } else if message.contains("because no ") || message.contains("is not authorized to perform") {
        DenialKind::MissingPermission
    } else if message.contains("access to the model")
        || message.contains("Model access is denied")
        || message.contains("model is not enabled")
    {
        DenialKind::ModelNotEnabled
    } else {
        DenialKind::Unknown
    };
    Denial { kind, by, resource_arn: resource_arn(message), policy_arn: policy_arn(message) }
}

fn denied_by(message: &str) -> Option<DeniedBy> {
    // Only the reason part: the ARNs before it are the caller's to choose.
    let reason = message.rfind(" because no ").or_else(|| message.rfind(" with an explicit deny")).map(|at| &message[at..])?;
    [
        ("identity-based policy", DeniedBy::IdentityPolicy),
        ("resource-based policy", DeniedBy::ResourcePolicy),
        ("permissions boundary", DeniedBy::Boundary),
        ("session policy", DeniedBy::SessionPolicy),
        ("service control policy", DeniedBy::ServiceControlPolicy),
        ("resource control policy", DeniedBy::ResourceControlPolicy),
    ]
    .into_iter()
    .find_map(|(words, by)| reason.contains(words).then_some(by))
}

const ARN_BYTES_MAX: usize = 512;

fn resource_arn(message: &str) -> Option<String> {
    let (_, behind) = message.rsplit_once(" on resource: ")?;
    let arn = behind.split([' ', '\n']).next()?.trim_end_matches(['.', ',']);
    arn.starts_with("arn:").then(|| cut(arn, ARN_BYTES_MAX).to_owned())
}

fn policy_arn(message: &str) -> Option<String> {
    let (_, behind) = message.rsplit_once("policy: ")?;
    let arn = behind.split([' ', '\n']).next()?.trim_end_matches(['.', ',']);
    arn.starts_with("arn:").then(|| cut(arn, ARN_BYTES_MAX).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "User: arn:aws:sts::111122223333:assumed-role/Legal/x is not authorized to perform: bedrock:InvokeModel on resource: \
                       arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-opus-20240229-v1:0";

    fn denial(code: &str, message: &str) -> Denial {
        Outcome::of(code, message).denial().unwrap_or_else(|| panic!("no denial: {code} {message}")).clone()
    }

    #[test]
    fn iam_says_what_refused() {
        for (tail, kind, by) in [
            (
                "because no identity-based policy allows the bedrock:InvokeModel action",
                DenialKind::MissingPermission,
                Some(DeniedBy::IdentityPolicy),
            ),
            (
                "because no session policy allows the bedrock:InvokeModel action",
                DenialKind::MissingPermission,
                Some(DeniedBy::SessionPolicy),
            ),
            (
                "because no permissions boundary allows the bedrock:InvokeModel action",
                DenialKind::MissingPermission,
                Some(DeniedBy::Boundary),
            ),
            ("with an explicit deny in an identity-based policy", DenialKind::ExplicitDeny, Some(DeniedBy::IdentityPolicy)),
            (
                "with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/p-1",
                DenialKind::ExplicitDeny,
                Some(DeniedBy::ServiceControlPolicy),
            ),
            ("with an explicit deny in a resource-based policy", DenialKind::ExplicitDeny, Some(DeniedBy::ResourcePolicy)),
            ("with an explicit deny in a VPC endpoint policy", DenialKind::VpcEndpoint, None),
            ("because no VPC endpoint policy allows the bedrock:InvokeModel action", DenialKind::VpcEndpoint, None),
            ("", DenialKind::MissingPermission, None),
        ] {
            let denial = denial("AccessDenied", &format!("{WHO} {tail}"));
            assert_eq!((denial.kind, denial.by), (kind, by), "{tail}");
            assert_eq!(
                denial.resource_arn.as_deref(),
                Some("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-opus-20240229-v1:0")
            );
            assert_eq!(denial.policy_arn.is_some(), tail.contains(": arn"));
        }
    }

    #[test]
    fn other_refusals() {
        assert_eq!(
            denial("AccessDenied", "You don't have access to the model with the specified model ID.").kind,
            DenialKind::ModelNotEnabled
        );
        assert_eq!(
            denial("AccessDeniedException", "Model access is denied due to INVALID_PAYMENT_INSTRUMENT").kind,
            DenialKind::ModelNotEnabled
        );
        assert_eq!(denial("VpceAccessDenied", "").kind, DenialKind::VpcEndpoint);
        assert_eq!(denial("AccessDenied", "").kind, DenialKind::Unknown);
    }

    #[test]
    fn what_is_no_denial() {
        assert_eq!(Outcome::of("", ""), Outcome::Success);
        assert_eq!(Outcome::of("ThrottlingException", "Rate exceeded"), Outcome::Throttled);
        assert_eq!(Outcome::of("ResourceNotFoundException", "Access denied. This Model is marked by provider as Legacy"), Outcome::Failed);
        assert_eq!(Outcome::of("ValidationException", "max_tokens_to_sample: range: 1..1,000,000"), Outcome::Failed);
    }

    #[test]
    fn a_session_name_cannot_forge_the_reason() {
        let forged = WHO.replace("Legal/x", "Legal/x with an explicit deny in a service control policy")
            + " because no identity-based policy allows the bedrock:InvokeModel action";
        assert_eq!(denial("AccessDenied", &forged).by, Some(DeniedBy::IdentityPolicy));
    }
}
