//! What the record itself says about who called.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cloudtrail::lenient::cut;
use crate::cloudtrail::{Arn, UserIdentity};
use crate::time::EventTime;

/// Longest identity string that is kept, in bytes. ARNs may have 2,048, real ones stay under 200.
const NAME_BYTES_MAX: usize = 512;

/// The `type` of a `userIdentity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallerKind {
    /// Temporary credentials of a role.
    AssumedRole,
    /// An IAM user with its own credentials.
    IamUser,
    /// The root user.
    Root,
    /// GetFederationToken.
    FederatedUser,
    /// An AWS service.
    AwsService,
    /// Another account.
    AwsAccount,
    /// Identity Center.
    IdentityCenterUser,
    /// Web identity, SAML, unknown or missing.
    Other,
}

impl CallerKind {
    fn of(identity: &UserIdentity<'_>) -> Self {
        match identity.kind.as_str() {
            "AssumedRole" => Self::AssumedRole,
            "IAMUser" => Self::IamUser,
            "Root" => Self::Root,
            "FederatedUser" => Self::FederatedUser,
            "AWSService" => Self::AwsService,
            "AWSAccount" => Self::AwsAccount,
            "IdentityCenterUser" => Self::IdentityCenterUser,
            "" if identity.invoked_by.as_str().ends_with(".amazonaws.com") && identity.arn.is_empty() => Self::AwsService,
            _ => Self::Other,
        }
    }
}

fn is_machine(kind: CallerKind, identity: &UserIdentity<'_>) -> bool {
    kind == CallerKind::AssumedRole && (identity.in_scope_of.0 || !identity.session_context.ec2_role_delivery.is_empty())
}

/// What the name of a session tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionName {
    /// A machine's: an instance id, a task id.
    Machine,
    /// A default of an SDK or of Cognito that many people share.
    Generic,
    /// A name that somebody chose, or an Identity Center user's.
    Named,
}

impl SessionName {
    /// Classifies a session's name. EC2 names sessions `i-` with 8 or 17 hex digits, ECS with 32 hex digits; SDKs make
    /// names of their own with a number; `CognitoIdentityCredentials` is the enhanced flow's name for everybody.
    pub fn of(name: &str) -> Self {
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_instance = name.strip_prefix("i-").is_some_and(|id| (8..=17).contains(&id.len()) && is_hex(id));
        if is_instance || (name.len() == 32 && is_hex(name)) || name.starts_with("eks-") {
            return Self::Machine;
        }
        const GENERIC: [&str; 8] =
            ["CognitoIdentityCredentials", "session", "default", "cli", "AWSCLI-Session", "web-identity", "test", "MySession"];
        const GENERIC_PREFIXES: [&str; 6] = ["botocore-session-", "aws-sdk-", "aws-go-sdk-", "AWSJavaSDK", "web-identity-token-", "boto3-"];
        let has_letters = name.bytes().any(|b| b.is_ascii_alphabetic() || b >= 0x80);
        if !has_letters || GENERIC.contains(&name) || GENERIC_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return Self::Generic;
        }
        Self::Named
    }
}

/// A caller, as one kind of record after another repeats it. Shared between all calls of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The identity's type.
    pub kind: CallerKind,
    /// The caller's ARN; empty where the record has none.
    pub arn: Arc<str>,
    /// `AKIA…` long-lived, `ASIA…` temporary; empty for services and bearer keys.
    pub access_key_id: Arc<str>,
    /// ARN of the role behind the session, with its path.
    pub issuer: Arc<str>,
    /// The session's name.
    pub session_name: Arc<str>,
    /// What that name tells.
    pub session: SessionName,
    /// An IAM user's name.
    pub user_name: Arc<str>,
    /// The caller's account.
    pub account: Arc<str>,
    /// Cognito identity id that the session carries on every call.
    pub cognito_identity: Option<Arc<str>>,
    /// The user-pool subject behind that identity, where the record shows it.
    pub user_pool_sub: Option<Arc<str>>,
    /// `sourceIdentity`, which survives role chaining.
    pub source_identity: Option<Arc<str>>,
    /// Identity Center user that the call was made for.
    pub identity_center_user: Option<Arc<str>>,
    /// The service that made the call, where one did.
    pub invoked_by: Option<Arc<str>>,
    /// Credentials that an instance or a function got from its environment, by AWS's own word. A session's name alone
    /// is no proof: whoever assumes a role chooses it.
    pub is_machine: bool,
    /// Version of the instance metadata service that handed the credentials out; 0 where none did.
    pub metadata_version: u8,
    /// When the session began, by the record's own account.
    pub issued: Option<EventTime>,
    /// Whether it began with a second factor, where the record says so.
    pub with_mfa: Option<bool>,
}

fn metadata_version(identity: &UserIdentity<'_>) -> u8 {
    match identity.session_context.ec2_role_delivery.as_str() {
        "1.0" => 1,
        "2.0" => 2,
        _ => 0,
    }
}

fn with_mfa(identity: &UserIdentity<'_>) -> Option<bool> {
    match identity.session_context.attributes.mfa_authenticated.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

impl Caller {
    /// What `identity` says.
    pub fn of(identity: &UserIdentity<'_>) -> Self {
        let keep = |text: &str| -> Arc<str> { cut(text, NAME_BYTES_MAX).into() };
        let keep_some = |text: &str| (!text.is_empty()).then(|| keep(text));
        let kind = CallerKind::of(identity);
        let context = &identity.session_context;
        let session_name = identity.session_name();
        let session = SessionName::of(session_name);
        Self {
            kind,
            arn: keep(identity.arn.as_str()),
            access_key_id: keep(identity.access_key_id.as_str()),
            issuer: keep(context.session_issuer.arn.as_str()),
            session_name: keep(session_name),
            session,
            user_name: keep(identity.user_name.as_str()),
            account: keep(identity.account_id.as_str()),
            cognito_identity: identity.cognito_identity_id().map(keep),
            user_pool_sub: identity.user_pool_sub().map(keep),
            source_identity: keep_some(context.source_identity.as_str()),
            identity_center_user: keep_some(identity.on_behalf_of.user_id.as_str()),
            invoked_by: keep_some(identity.invoked_by.as_str()),
            is_machine: is_machine(kind, identity),
            metadata_version: metadata_version(identity),
            issued: EventTime::parse(context.attributes.creation_date.as_str()),
            with_mfa: with_mfa(identity),
        }
    }

    /// Whether [`Caller::of`] would give this caller again. Most records repeat one that is known, and to compare costs a
    /// tenth of making it anew.
    pub fn is_of(&self, identity: &UserIdentity<'_>) -> bool {
        let same = |mine: &str, theirs: &str| mine == cut(theirs, NAME_BYTES_MAX);
        let same_some = |mine: &Option<Arc<str>>, theirs: &str| same(mine.as_deref().unwrap_or(""), theirs);
        let context = &identity.session_context;
        self.kind == CallerKind::of(identity)
            && same(&self.arn, identity.arn.as_str())
            && same(&self.access_key_id, identity.access_key_id.as_str())
            && same(&self.issuer, context.session_issuer.arn.as_str())
            && same(&self.session_name, identity.session_name())
            && same(&self.user_name, identity.user_name.as_str())
            && same(&self.account, identity.account_id.as_str())
            && same_some(&self.cognito_identity, identity.cognito_identity_id().unwrap_or(""))
            && same_some(&self.source_identity, context.source_identity.as_str())
            && same_some(&self.identity_center_user, identity.on_behalf_of.user_id.as_str())
            && same_some(&self.invoked_by, identity.invoked_by.as_str())
            && self.is_machine == is_machine(self.kind, identity)
            // One key is one session, which begins once; to read its time again would cost more than all the rest.
            && (!self.access_key_id.is_empty() || self.issued == EventTime::parse(context.attributes.creation_date.as_str()))
            && self.with_mfa == with_mfa(identity)
            && self.metadata_version == metadata_version(identity)
            && (self.cognito_identity.is_none() || same_some(&self.user_pool_sub, identity.user_pool_sub().unwrap_or("")))
    }

    /// Whether the credentials are temporary, so that some record issued them.
    pub fn has_temporary_key(&self) -> bool {
        self.access_key_id.starts_with("ASIA")
    }

    /// Whether the credentials are an IAM user's or root's own, which nothing ends.
    pub fn has_long_lived_key(&self) -> bool {
        self.access_key_id.starts_with("AKIA")
    }

    /// Name of the role behind the session.
    pub fn role_name(&self) -> &str {
        [&self.issuer, &self.arn].into_iter().find_map(|arn| Arn::parse(arn).and_then(|arn| arn.role_name())).unwrap_or("")
    }

    /// What the caller acts with, as the instant tap knows it: the access key, else the ARN, else who stands for it.
    pub fn credential(&self) -> &Arc<str> {
        [&self.access_key_id, &self.arn, &self.user_name].into_iter().find(|text| !text.is_empty()).unwrap_or(&self.account)
    }

    /// Identity Center names a session after its user, and its roles after itself.
    pub fn identity_center_session(&self) -> Option<&Arc<str>> {
        (self.role_name().starts_with("AWSReservedSSO_") && !self.session_name.is_empty()).then_some(&self.session_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names() {
        for (name, class) in [
            ("i-0123456789abcdef0", SessionName::Machine),
            ("0123456789abcdef0123456789abcdef", SessionName::Machine),
            ("CognitoIdentityCredentials", SessionName::Generic),
            ("botocore-session-1718000000", SessionName::Generic),
            ("aws-go-sdk-1688990082523310002", SessionName::Generic),
            ("1718000000", SessionName::Generic),
            ("", SessionName::Generic),
            ("alice@example.com", SessionName::Named),
            ("i-am-a-person", SessionName::Named),
            ("dr.evil", SessionName::Named),
        ] {
            assert_eq!(SessionName::of(name), class, "{name}");
        }
    }

    #[test]
    fn a_caller_is_of_its_own_record_and_of_no_other() {
        let json = r#"{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/R/x","accessKeyId":"ASIA1","accountId":"1","userName":"u","invokedBy":"s",
            "sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/R"},"sourceIdentity":"me"},"onBehalfOf":{"userId":"7"}}"#;
        let caller = Caller::of(&serde_json::from_str(json).expect("json"));
        let is_of = |json: &str| caller.is_of(&serde_json::from_str(json).expect("json"));
        assert!(is_of(json));
        for (field, other) in [
            ("AssumedRole", "IAMUser"),
            ("R/x", "R/y"),
            ("ASIA1", "ASIA2"),
            ("role/R", "role/S"),
            (":\"u\"", ":\"v\""),
            (":\"s\"", ":\"t\""),
            ("\"me\"", "\"you\""),
            ("\"7\"", "\"8\""),
            ("\"accountId\":\"1\"", "\"inScopeOf\":{},\"accountId\":\"1\""),
        ] {
            assert!(json.contains(field) && !is_of(&json.replace(field, other)), "{field}");
        }
    }

    #[test]
    fn a_record_without_a_type_is_a_service() {
        let identity = serde_json::from_str(r#"{"accountId":"1","invokedBy":"ec2.amazonaws.com"}"#).expect("json");
        assert_eq!(Caller::of(&identity).kind, CallerKind::AwsService);
    }
}
