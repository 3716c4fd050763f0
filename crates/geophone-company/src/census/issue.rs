//! The records that issue credentials, with everything that the ways of signing in vary.

use crate::estate::Estate;
use crate::grant::{Grant, Tags, write_credentials, write_list, write_logins, write_map};
use crate::journal::Journal;
use crate::json::{Object, object_text};
use crate::random::Random;
use crate::record::{COGNITO_IDENTITY, Record, STS};
use crate::session::Session;

/// Credentials of a role.
pub(super) struct Issue<'a> {
    pub(super) grant: Grant<'a>,
    /// Keys of the grant's tags that a chain passes on.
    pub(super) transitive: &'a [&'a str],
    /// Tags that the calling session passes on.
    pub(super) incoming: &'a Tags<'a>,
    pub(super) source_identity: Option<&'a str>,
    /// The request names it; otherwise the session has it from the one before.
    pub(super) asks_for_source_identity: bool,
}

/// A token and who vouches for it.
pub(super) struct Token<'a> {
    pub(super) provider: &'a str,
    pub(super) audience: &'a str,
    pub(super) subject: &'a str,
    /// Cognito presents the token itself.
    pub(super) by_cognito: bool,
}

/// An assertion and who vouches for it.
pub(super) struct Assertion<'a> {
    pub(super) provider: &'a str,
    pub(super) subject: &'a str,
    /// Identity Center presents the assertion itself.
    pub(super) by_sso: bool,
}

/// ARN of the user pool as an OIDC provider.
pub(super) fn user_pool_provider(estate: &Estate) -> String {
    format!("arn:aws:iam::{}:oidc-provider/cognito-idp.{}.amazonaws.com/{}", estate.account, estate.region, estate.user_pool)
}

impl Issue<'_> {
    pub(super) fn web_identity(&self, journal: &mut Journal<'_>, token: &Token<'_>) {
        let &Token { provider, audience, subject, .. } = token;
        let caller = object_text(|identity| {
            identity.text("type", "WebIdentityUser");
            identity.text("principalId", &format!("{provider}:{audience}:{subject}"));
            identity.text("userName", subject);
            identity.text("identityProvider", provider);
        });
        let request = object_text(|request| {
            self.write_principal_tags(request);
            self.grant.write_role(request);
        });
        let response = self.grant.response(journal, |response| {
            response.text("subjectFromWebIdentityToken", subject);
            response.text("provider", provider);
            response.text("audience", audience);
            self.write_outcome(response);
        });
        let mut record = self.grant.sts(journal, "AssumeRoleWithWebIdentity");
        record.user_identity_json = &caller;
        (record.request_json, record.response_json) = (&request, &response);
        if token.by_cognito {
            (record.source_ip, record.user_agent, record.host) = (COGNITO_IDENTITY, COGNITO_IDENTITY, "");
        }
        self.grant.push_sts(journal, record);
    }

    pub(super) fn saml(&self, journal: &mut Journal<'_>, assertion: &Assertion<'_>) {
        const SSO: &str = "sso.amazonaws.com";
        let qualifier = journal.random.unique_id("");
        let caller = object_text(|identity| {
            identity.text("type", "SAMLUser");
            identity.text("principalId", &format!("{qualifier}=:{}", assertion.subject));
            identity.text("userName", assertion.subject);
            identity.text("identityProvider", &format!("{qualifier}="));
        });
        let id = format!("_{}", journal.random.uuid());
        let provider = format!("arn:aws:iam::{}:saml-provider/{}", journal.estate.account, assertion.provider);
        let request = object_text(|request| {
            request.text("sAMLAssertionID", &id);
            self.write_principal_tags(request);
            self.grant.write_role(request);
            request.text("principalArn", &provider);
        });
        let response = self.grant.response(journal, |response| {
            response.text("subjectType", "persistent");
            response.text("issuer", "https://idp.example.com/saml");
            response.text("nameQualifier", &format!("{qualifier}="));
            response.text("subject", assertion.subject);
            response.text("audience", "https://signin.aws.amazon.com/saml");
            self.write_outcome(response);
        });
        let mut record = self.grant.sts(journal, "AssumeRoleWithSAML");
        record.user_identity_json = &caller;
        (record.request_json, record.response_json) = (&request, &response);
        if assertion.by_sso {
            (record.source_ip, record.user_agent, record.host) = (SSO, SSO, "");
        }
        self.grant.push_sts(journal, record);
    }

    /// `AssumeRole` with the credentials of `caller`.
    pub(super) fn assume_role(&self, journal: &mut Journal<'_>, caller: &Session) {
        let request = object_text(|request| {
            if !self.incoming.is_empty() {
                write_map(request, "incomingTransitiveTags", self.incoming);
            }
            if !self.grant.tags.is_empty() {
                write_list(request, "tags", self.grant.tags);
            }
            self.grant.write_role(request);
            self.write_transitive(request);
        });
        let response = self.grant.response(journal, |response| self.write_outcome(response));
        let mut record = self.grant.sts(journal, "AssumeRole");
        record.user_identity_json = &caller.user_identity_json;
        (record.request_json, record.response_json) = (&request, &response);
        self.grant.push_sts(journal, record);
    }

    fn write_principal_tags(&self, request: &mut Object<'_>) {
        if !self.grant.tags.is_empty() {
            write_map(request, "principalTags", self.grant.tags);
        }
        self.write_transitive(request);
    }

    fn write_transitive(&self, request: &mut Object<'_>) {
        if !self.transitive.is_empty() {
            request.texts("transitiveTagKeys", self.transitive);
        }
        if let Some(name) = self.source_identity.filter(|_| self.asks_for_source_identity) {
            request.text("sourceIdentity", name);
        }
    }

    fn write_outcome(&self, response: &mut Object<'_>) {
        if !self.grant.tags.is_empty() || !self.incoming.is_empty() {
            response.number("packedPolicySize", 4);
        }
        if let Some(name) = self.source_identity {
            response.text("sourceIdentity", name);
        }
    }
}

/// `GetId`: the client learns its identity id.
pub(super) fn cognito_id(grant: &Grant<'_>, journal: &mut Journal<'_>, identity_id: &str) {
    let estate = journal.estate;
    let request = object_text(|request| {
        request.text("identityPoolId", &estate.identity_pool);
        write_logins(request, estate);
    });
    let response = object_text(|response| response.text("identityId", identity_id));
    grant.push_cognito(journal, "GetId", &request, &response);
}

/// `GetOpenIdToken`: the client gets a token for STS.
pub(super) fn cognito_token(grant: &Grant<'_>, journal: &mut Journal<'_>, identity_id: &str) {
    let estate = journal.estate;
    let request = object_text(|request| {
        request.text("identityId", identity_id);
        write_logins(request, estate);
    });
    let response = object_text(|response| {
        response.text("token", "HIDDEN_DUE_TO_SECURITY_REASONS");
        response.text("identityId", identity_id);
    });
    grant.push_cognito(journal, "GetOpenIdToken", &request, &response);
}

/// Credentials that an IAM user gets from STS without a role.
pub(super) struct UserIssue<'a> {
    pub(super) user: &'a Session,
    pub(super) access_key: &'a str,
    pub(super) time: i64,
    pub(super) lifetime: i64,
}

impl UserIssue<'_> {
    /// `GetSessionToken`: the user's own session.
    pub(super) fn session_token(&self, journal: &mut Journal<'_>) {
        let request = object_text(|request| request.number("durationSeconds", self.lifetime.unsigned_abs()));
        let response = object_text(|response| self.write_credentials(response, &mut journal.random));
        self.push(journal, "GetSessionToken", &request, &response);
    }

    /// `GetFederationToken`: a session under a name of the user's choice.
    pub(super) fn federation_token(&self, journal: &mut Journal<'_>, name: &str, tags: &Tags<'_>) {
        let account = &journal.estate.account;
        let request = object_text(|request| {
            request.text("name", name);
            if !tags.is_empty() {
                write_list(request, "tags", tags);
            }
            request.number("durationSeconds", self.lifetime.unsigned_abs());
        });
        let response = object_text(|response| {
            self.write_credentials(response, &mut journal.random);
            response.object("federatedUser", |user| {
                user.text("federatedUserId", &format!("{account}:{name}"));
                user.text("arn", &federated_arn(account, name));
            });
            response.number("packedPolicySize", 4);
        });
        self.push(journal, "GetFederationToken", &request, &response);
    }

    fn write_credentials(&self, response: &mut Object<'_>, random: &mut Random) {
        response.object("credentials", |out| write_credentials(out, self.access_key, self.time + self.lifetime, random));
    }

    fn push(&self, journal: &mut Journal<'_>, name: &str, request: &str, response: &str) {
        let estate = journal.estate;
        let mut record = Record::new(STS, name, &estate.account, &mut journal.random);
        record.version = "1.08";
        record.user_identity_json = &self.user.user_identity_json;
        (record.time, record.region) = (self.time, &estate.region);
        (record.source_ip, record.user_agent) = (&self.user.source_ip, &self.user.user_agent);
        (record.request_json, record.response_json) = (request, response);
        record.host = "sts";
        journal.push(&record, &self.user.partition_key);
    }
}

/// ARN of a federated user.
pub(super) fn federated_arn(account: &str, name: &str) -> String {
    format!("arn:aws:sts::{account}:federated-user/{name}")
}
