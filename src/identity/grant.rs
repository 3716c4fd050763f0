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

use crate::cloudtrail::arn::session_name;
use crate::cloudtrail::lenient::{Text, cut};
use crate::cloudtrail::{Arn, CloudTrailEvent};
use crate::time::{EventTime, HOUR};

/// Longest tag key and value ("Passing session tags in AWS STS": 128 and 256 characters).
const TAG_BYTES_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 512;
/// Most tags of a session: 50, and as many along the chain.
const TAGS_MAX: usize = 100;

/// What is known about the holder of an access key. Two records may describe one key (Cognito's enhanced flow writes an
/// STS and a Cognito record); [`Grant::merge`] joins them in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Session tags, own before transitive, keys as written.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// The subject of the identity provider's token or assertion.
    pub subject: Option<Arc<str>>,
    /// The session's name, where the identity provider asserts it (SAML), so that the caller cannot choose it.
    pub asserted_name: Option<Arc<str>>,
    /// ARN of the IAM user that asked.
    pub parent_user: Option<Arc<str>>,
    /// Who vouched for the subject.
    pub provider: Option<Arc<str>>,
    /// `sourceIdentity` of the session.
    pub source_identity: Option<Arc<str>>,
    /// The Cognito identity id behind the session.
    pub cognito_identity: Option<Arc<str>>,
    /// The user-pool subject behind that identity, where the record shows it.
    pub user_pool_sub: Option<Arc<str>>,
    /// Whether an identity provider vouches for the tags; those of AssumeRole are the caller's own words.
    pub vouches_for_tags: bool,
    /// Keys of the tags that go on along a chain of roles.
    pub transitive: Vec<Arc<str>>,
    /// Whether the record lists the tags that came along the chain: then nothing is to be added to them.
    pub lists_incoming: bool,
    /// Whether a session policy narrows what the session may do.
    pub has_session_policy: bool,
    /// How long the session lasts at most, in seconds.
    pub duration: i64,
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
        let (asked, answered, who) = (event.request_parameters.rare(), &event.response_elements, &event.user_identity);
        let mut grant = Self {
            tags: tags_of(event),
            source_identity: some(&asked.source_identity).or_else(|| some(&who.session_context.source_identity)),
            user_pool_sub: who.user_pool_sub().map(keep),
            transitive: asked
                .transitive_tag_keys
                .0
                .iter()
                .filter(|key| !key.is_empty())
                .take(TAGS_MAX)
                .map(|key| keep(key.as_str()))
                .collect(),
            lists_incoming: !asked.incoming_transitive_tags.0.is_empty(),
            has_session_policy: asked.policy.0 || asked.policy_arns.0,
            duration: duration(event),
            role_arn: keep(asked.role_arn.as_str()),
            parent_key: some(&who.access_key_id),
            parent_user: some(&who.arn).filter(|_| who.kind.as_str() == "IAMUser"),
            for_service: who.kind.as_str() == "AWSService",
            issued: time,
            from_sts: true,
            ..Self::default()
        };
        match (event.event_source.as_str(), event.event_name.as_str()) {
            ("sts.amazonaws.com", "AssumeRole") => {
                // Who the session before this one is shows on this record, too.
                grant.cognito_identity = who.cognito_identity_id().map(keep);
                grant.asserted_name = identity_center_name(who.arn.as_str()).map(keep);
            }
            ("sts.amazonaws.com", "AssumeRoleWithWebIdentity") => {
                grant.vouches_for_tags = true;
                grant.subject = some(&answered.subject_from_web_identity_token).or_else(|| some(&who.user_name));
                grant.provider = some(&who.identity_provider);
                if grant.provider.as_deref() == Some("cognito-identity.amazonaws.com") {
                    grant.cognito_identity.clone_from(&grant.subject);
                }
            }
            ("sts.amazonaws.com", "AssumeRoleWithSAML") => {
                grant.vouches_for_tags = true;
                let is_transient = answered.subject_type.as_str() == "transient";
                grant.asserted_name = session_name(answered.assumed_role_user.arn.as_str()).filter(|name| !name.is_empty()).map(keep);
                grant.subject = some(&answered.subject).or_else(|| some(&who.user_name)).filter(|_| !is_transient);
                if is_transient {
                    grant.subject.clone_from(&grant.asserted_name);
                }
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
        prefer(&mut self.asserted_name, other.asserted_name);
        prefer(&mut self.parent_user, other.parent_user);
        prefer(&mut self.source_identity, other.source_identity);
        prefer(&mut self.cognito_identity, other.cognito_identity);
        prefer(&mut self.parent_key, other.parent_key);
        prefer(&mut self.user_pool_sub, other.user_pool_sub);
        for key in other.transitive {
            if !self.transitive.contains(&key) {
                self.transitive.push(key);
            }
        }
        self.lists_incoming |= other.lists_incoming;
        self.vouches_for_tags |= other.vouches_for_tags;
        self.has_session_policy |= other.has_session_policy;
        self.duration = self.duration.max(other.duration);
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

/// Identity Center names a session after its user, and its roles after itself.
fn identity_center_name(arn: &str) -> Option<&str> {
    session_name(arn).filter(|name| !name.is_empty() && arn.contains(":assumed-role/AWSReservedSSO_"))
}

/// How long the session may last. Where the call does not say: 12 hours, the longest that a role allows, and 36 for
/// GetFederationToken and GetSessionToken of an IAM user ("Temporary security credentials in IAM").
fn duration(event: &CloudTrailEvent<'_>) -> i64 {
    let longest = if event.event_name.as_str().starts_with("Get") && event.event_source.as_str() == "sts.amazonaws.com" {
        36 * HOUR
    } else {
        12 * HOUR
    };
    event
        .request_parameters
        .rare()
        .duration_seconds
        .0
        .and_then(|asked| i64::try_from(asked).ok())
        .map_or(longest, |asked| asked.clamp(0, longest))
}

/// Whether the tags of a session are known: its record was seen, and either it lists those that came along the chain, or
/// so do the records of all sessions before it.
pub fn are_tags_known(chain: &[Arc<Grant>]) -> bool {
    for grant in chain {
        if !grant.from_sts {
            return false;
        }
        let has_session_before = grant.parent_key.as_ref().is_some_and(|key| key.starts_with("ASIA"));
        if grant.lists_incoming || !has_session_before {
            return true;
        }
    }
    false
}

/// The tags of a session, given its grant and those that led to it, nearest first: its own, those that came along the
/// chain, and, where its record does not list them, those that the session before it passes on.
pub fn session_tags(chain: &[Arc<Grant>]) -> Vec<(Arc<str>, Arc<str>)> {
    let mut tags: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut passed_on: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for grant in chain.iter().rev() {
        tags = grant.tags.clone();
        if !grant.lists_incoming {
            for (key, value) in passed_on.drain(..) {
                if !tags.iter().any(|(mine, _)| mine.eq_ignore_ascii_case(&key)) {
                    tags.push((key, value));
                }
            }
        }
        // What was passed on to this session goes on from it, and so do the tags that it marks.
        let goes_on = |key: &str| {
            let marks = |grant: &Arc<Grant>| grant.transitive.iter().any(|marked| marked.eq_ignore_ascii_case(key));
            chain.iter().skip_while(|other| !Arc::ptr_eq(other, grant)).any(marks)
        };
        passed_on = tags.iter().filter(|(key, _)| goes_on(key)).cloned().collect();
    }
    tags
}

/// The tags of the new session. Own tags come first: a tag that is passed again overrides a transitive one only where
/// AWS allows it (it does not), so the order never decides.
fn tags_of(event: &CloudTrailEvent<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let asked = event.request_parameters.rare();
    let mut tags: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for (key, value) in asked.principal_tags.0.iter().chain(&asked.tags.0).chain(&asked.incoming_transitive_tags.0) {
        let known = tags.iter().any(|(name, _)| name.eq_ignore_ascii_case(key.as_str()));
        if !known && !key.is_empty() && tags.len() < TAGS_MAX {
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
    fn only_transitive_tags_go_down_a_chain_whose_records_do_not_list_them() {
        let session = |tags: &[(&str, &str)], transitive: &[&str], lists_incoming| {
            Arc::new(Grant {
                tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
                transitive: transitive.iter().map(|key| (*key).into()).collect(),
                lists_incoming,
                ..Grant::default()
            })
        };
        let spoken =
            |chain: &[Arc<Grant>]| session_tags(chain).iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
        let a = session(&[("dept", "legal"), ("cost", "7")], &["Dept"], false);
        let b = session(&[("clearance", "2")], &[], false);
        let c = session(&[], &[], false);
        assert_eq!(spoken(&[c, Arc::clone(&b), Arc::clone(&a)]), "dept=legal");
        assert_eq!(spoken(&[b, Arc::clone(&a)]), "clearance=2 dept=legal");
        let listed = session(&[("dept", "hr")], &[], true);
        assert_eq!(spoken(&[listed, a]), "dept=hr");
        assert_eq!(spoken(&[]), "");
    }

    #[test]
    fn a_refused_call_and_other_services_grant_nothing() {
        assert!(grant(&STS.replacen('{', r#"{"errorCode":"AccessDenied","#, 1)).is_none());
        assert!(grant(&STS.replace("sts.amazonaws.com", "iam.amazonaws.com")).is_none());
    }
}
