//! A grant: what the record that issued an access key says about who holds it.
//!
//! | call | person | tags |
//! |---|---|---|
//! | AssumeRole | `sourceIdentity`, Identity Center's session name | `tags` (list), `incomingTransitiveTags` (map) |
//! | AssumeRoleWithSAML | the assertion's subject | `principalTags` (map) |
//! | AssumeRoleWithWebIdentity | the token's subject | `principalTags` (map) |
//! | GetFederationToken, GetSessionToken | – | `tags` |
//! | Cognito GetCredentialsForIdentity | the identity id | – (its STS twin has them) |
//!
//! Sources: "Logging IAM and AWS STS API calls with AWS CloudTrail" (IAM User Guide), "Amazon Cognito logging in AWS
//! CloudTrail". The session token beside the access key is never read. `expiration` is not parsed: its form varies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cloudtrail::lenient::{Text, cut};
use crate::cloudtrail::{Arn, CloudTrailEvent};
use crate::time::EventTime;

/// Longest tag key and value ("Passing session tags in AWS STS": 128 and 256 characters).
const TAG_BYTES_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 512;

/// What is known about the holder of an access key. Two records may describe one key (Cognito's enhanced flow writes an
/// STS and a Cognito record); [`Grant::merge`] joins them in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Session tags, own before transitive, keys as written.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// The subject of the identity provider's token or assertion.
    pub subject: Option<Arc<str>>,
    /// Who vouched for the subject.
    pub provider: Option<Arc<str>>,
    /// `sourceIdentity` of the session.
    pub source_identity: Option<Arc<str>>,
    /// The Cognito identity id behind the session.
    pub cognito_identity: Option<Arc<str>>,
    /// The role that was assumed.
    pub role_arn: Arc<str>,
    /// The access key that asked, where a session or a user did: the parent in a role chain.
    pub parent_key: Option<Arc<str>>,
    /// Issued at the request of an AWS service for a machine (EC2, Lambda, ECS).
    pub for_service: bool,
    /// When the key was issued.
    pub issued: EventTime,
    /// Whether STS's record is in it. Cognito's alone knows no tags.
    pub from_sts: bool,
}

impl Grant {
    /// The access key and its grant, where `event` is a successful call that issued one.
    pub fn of(event: &CloudTrailEvent<'_>, time: EventTime) -> Option<(Arc<str>, Self)> {
        let key = event.response_elements.credentials.access_key_id.non_empty()?;
        if !event.error_code.is_empty() || key.len() > 128 {
            return None;
        }
        let keep = |text: &str| -> Arc<str> { cut(text, NAME_BYTES_MAX).into() };
        let some = |text: &Text<'_>| text.non_empty().map(keep);
        let (asked, answered, who) = (&event.request_parameters, &event.response_elements, &event.user_identity);
        let mut grant = Self {
            tags: tags_of(event),
            source_identity: some(&asked.source_identity).or_else(|| some(&who.session_context.source_identity)),
            role_arn: keep(asked.role_arn.as_str()),
            parent_key: some(&who.access_key_id),
            for_service: who.kind.as_str() == "AWSService",
            issued: time,
            from_sts: true,
            ..Self::default()
        };
        match (event.event_source.as_str(), event.event_name.as_str()) {
            ("sts.amazonaws.com", "AssumeRole") => {}
            ("sts.amazonaws.com", "AssumeRoleWithWebIdentity") => {
                grant.subject = some(&answered.subject_from_web_identity_token).or_else(|| some(&who.user_name));
                grant.provider = some(&who.identity_provider);
                if grant.provider.as_deref() == Some("cognito-identity.amazonaws.com") {
                    grant.cognito_identity.clone_from(&grant.subject);
                }
            }
            ("sts.amazonaws.com", "AssumeRoleWithSAML") => {
                grant.subject = some(&answered.subject).or_else(|| some(&who.user_name));
                grant.provider = some(&who.identity_provider);
            }
            // The federated name is the caller's own text, and a session token changes nothing about whose it is: neither
            // names a person.
            ("sts.amazonaws.com", "GetFederationToken" | "GetSessionToken") => {}
            ("cognito-identity.amazonaws.com", "GetCredentialsForIdentity") => {
                grant.cognito_identity = some(&answered.identity_id).or_else(|| some(&asked.identity_id));
                grant.parent_key = None;
                grant.from_sts = false;
            }
            _ => return None,
        }
        Some((keep(key), grant))
    }

    /// Adds what `other`, another record about the same key, knows. The result is the same in either order: STS and
    /// Cognito never contradict each other on a field, and where they would, the smaller text stays.
    pub fn merge(&mut self, other: Self) {
        fn prefer(mine: &mut Option<Arc<str>>, theirs: Option<Arc<str>>) {
            if let Some(theirs) = theirs
                && mine.as_ref().is_none_or(|mine| theirs < *mine)
            {
                *mine = Some(theirs);
            }
        }
        for (key, value) in other.tags {
            if !self.tags.iter().any(|(mine, _)| mine.eq_ignore_ascii_case(&key)) {
                self.tags.push((key, value));
            }
        }
        prefer(&mut self.subject, other.subject);
        prefer(&mut self.provider, other.provider);
        prefer(&mut self.source_identity, other.source_identity);
        prefer(&mut self.cognito_identity, other.cognito_identity);
        prefer(&mut self.parent_key, other.parent_key);
        if self.role_arn.is_empty() {
            self.role_arn = other.role_arn;
        }
        self.for_service |= other.for_service;
        self.from_sts |= other.from_sts;
        self.issued = self.issued.max(other.issued);
    }

    /// The value of a session tag. Tag keys are compared without case, as IAM does.
    pub fn tag(&self, key: &str) -> Option<&Arc<str>> {
        self.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// Name of the role that was assumed.
    pub fn role_name(&self) -> &str {
        Arn::parse(&self.role_arn).and_then(|arn| arn.role_name()).unwrap_or("")
    }
}

/// The tags of the new session. Own tags come first: a tag that is passed again overrides a transitive one only where
/// AWS allows it (it does not), so the order never decides.
fn tags_of(event: &CloudTrailEvent<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let asked = &event.request_parameters;
    let mut tags: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for (key, value) in asked.principal_tags.0.iter().chain(&asked.tags.0).chain(&asked.incoming_transitive_tags.0) {
        let known = tags.iter().any(|(name, _)| name.eq_ignore_ascii_case(key.as_str()));
        if !known && !key.is_empty() {
            tags.push((cut(key.as_str(), TAG_BYTES_MAX).into(), cut(value.as_str(), TAG_BYTES_MAX).into()));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: &str) -> Option<(Arc<str>, Grant)> {
        Grant::of(&serde_json::from_str(json).expect("json"), EventTime::from_unix(7))
    }

    const STS: &str = r#"{"eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithWebIdentity","userIdentity":{"type":"WebIdentityUser",
        "userName":"us-east-1:id-7","identityProvider":"cognito-identity.amazonaws.com"},"requestParameters":{"roleArn":"arn:aws:iam::1:role/p/Legal",
        "principalTags":{"dept":"legal","clearance":"2"}},"responseElements":{"credentials":{"accessKeyId":"ASIA1","sessionToken":"SECRET"}}}"#;
    const COGNITO: &str = r#"{"eventSource":"cognito-identity.amazonaws.com","eventName":"GetCredentialsForIdentity","userIdentity":{"type":"Unknown"},
        "responseElements":{"credentials":{"accessKeyId":"ASIA1","sessionToken":"SECRET"},"identityId":"us-east-1:id-7"}}"#;

    #[test]
    fn the_two_records_of_the_enhanced_flow_merge_in_any_order() {
        let (Some((key, sts)), Some((_, cognito))) = (grant(STS), grant(COGNITO)) else { panic!("no grants") };
        assert_eq!((&*key, sts.role_name(), sts.tag("Dept").map(|v| &**v)), ("ASIA1", "Legal", Some("legal")));
        let (mut one, mut other) = (sts.clone(), cognito.clone());
        one.merge(cognito);
        other.merge(sts);
        assert_eq!(one, other);
        assert_eq!(one.cognito_identity.as_deref(), Some("us-east-1:id-7"));
        assert!(!format!("{one:?}").contains("SECRET"));
    }

    #[test]
    fn a_chain_keeps_its_transitive_tags() {
        let (_, grant) = grant(
            r#"{"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","userIdentity":{"accessKeyId":"ASIA0","sessionContext":{"sourceIdentity":"jo"}},
               "requestParameters":{"incomingTransitiveTags":{"Dept":"legal"},"tags":[{"key":"cost","value":"1"}]},
               "responseElements":{"credentials":{"accessKeyId":"ASIA2"}}}"#,
        )
        .expect("a grant");
        assert_eq!(grant.tag("dept").map(|v| &**v), Some("legal"));
        assert_eq!((grant.parent_key.as_deref(), grant.source_identity.as_deref()), (Some("ASIA0"), Some("jo")));
    }

    #[test]
    fn a_refused_call_and_other_services_grant_nothing() {
        assert!(grant(&STS.replacen('{', r#"{"errorCode":"AccessDenied","#, 1)).is_none());
        assert!(grant(&STS.replace("sts.amazonaws.com", "iam.amazonaws.com")).is_none());
    }
}
