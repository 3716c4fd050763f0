//! The records that explain an access key: STS and Cognito, where the tags are.

use crate::clock::expiration;
use crate::estate::{Estate, Role};
use crate::journal::Journal;
use crate::json::{Object, object_text, quote};
use crate::random::Random;
use crate::record::{COGNITO_IDENTITY, Record, STS};
use crate::session::{Session, session_arn};

/// Session name of everybody in Cognito's enhanced flow.
pub(crate) const COGNITO_SESSION: &str = "CognitoIdentityCredentials";

/// Keys of the tags that survive a role chain; the region is not among them.
pub(crate) const TRANSITIVE: [&str; 2] = ["dept", "clearance"];

/// Session tags.
pub(crate) type Tags<'a> = [(&'a str, &'a str)];

/// What every way of getting credentials has in common.
pub(crate) struct Grant<'a> {
    pub(crate) role: &'a Role,
    pub(crate) session_name: &'a str,
    pub(crate) access_key: &'a str,
    pub(crate) time: i64,
    pub(crate) lifetime: i64,
    pub(crate) tags: &'a Tags<'a>,
    /// Where the public endpoint sees the caller.
    pub(crate) source_ip: &'a str,
    pub(crate) user_agent: &'a str,
}

impl Grant<'_> {
    /// Cognito's enhanced flow: Cognito calls STS on behalf of the identity, and the
    /// client's own call is a data event without tags.
    pub(crate) fn cognito(&self, journal: &mut Journal<'_>, identity_id: &str) {
        self.web_identity(journal, identity_id);
        self.get_credentials(journal, identity_id);
    }

    /// The STS half of it, which carries the tags.
    pub(crate) fn web_identity(&self, journal: &mut Journal<'_>, identity_id: &str) {
        let estate = journal.estate;
        let pool = &estate.identity_pool;
        let caller = object_text(|identity| {
            identity.text("type", "WebIdentityUser");
            identity.text("principalId", &format!("{COGNITO_IDENTITY}:{pool}:{identity_id}"));
            identity.text("userName", identity_id);
            identity.text("identityProvider", COGNITO_IDENTITY);
        });
        let request = object_text(|request| {
            write_map(request, "principalTags", self.tags);
            self.write_role(request);
        });
        let response = self.response(journal, |response| {
            response.text("subjectFromWebIdentityToken", identity_id);
            response.text("provider", COGNITO_IDENTITY);
            response.text("audience", pool);
            response.number("packedPolicySize", 3);
        });
        let mut record = self.sts(journal, "AssumeRoleWithWebIdentity");
        record.user_identity_json = &caller;
        record.request_json = &request;
        record.response_json = &response;
        (record.source_ip, record.user_agent) = (COGNITO_IDENTITY, COGNITO_IDENTITY);
        record.host = "";
        self.push_sts(journal, record);
    }

    /// The client's own call, a data event without tags.
    pub(crate) fn get_credentials(&self, journal: &mut Journal<'_>, identity_id: &str) {
        let estate = journal.estate;
        let request = object_text(|request| {
            write_logins(request, estate);
            request.text("identityId", identity_id);
        });
        let response = object_text(|response| {
            response.object("credentials", |out| self.write_credentials(out, &mut journal.random));
            response.text("identityId", identity_id);
        });
        self.push_cognito(journal, "GetCredentialsForIdentity", &request, &response);
    }

    /// A data event of the identity pool, which names no caller.
    pub(crate) fn push_cognito(&self, journal: &mut Journal<'_>, name: &str, request: &str, response: &str) {
        let estate = journal.estate;
        let (region, account) = (&estate.region, &estate.account);
        let pool = format!("arn:aws:cognito-identity:{region}:{account}:identitypool/{}", estate.identity_pool);
        let resources = resource(estate, "AWS::Cognito::IdentityPool", &pool);
        let mut record = Record::new(COGNITO_IDENTITY, name, account, &mut journal.random);
        record.version = "1.08";
        record.user_identity_json = "{\"type\":\"Unknown\"}";
        (record.time, record.region) = (self.time, region);
        (record.source_ip, record.user_agent) = (self.source_ip, self.user_agent);
        (record.request_json, record.response_json) = (request, response);
        record.resources_json = &resources;
        (record.read_only, record.data_event) = (false, true);
        record.host = "cognito-identity";
        journal.push(&record, account);
    }

    /// `AssumeRoleWithSAML`, from a company identity provider or Identity Center.
    pub(crate) fn saml(&self, journal: &mut Journal<'_>, provider: &str, transitive: &[&str]) {
        let estate = journal.estate;
        let qualifier = journal.random.unique_id("");
        let caller = object_text(|identity| {
            identity.text("type", "SAMLUser");
            identity.text("principalId", &format!("{qualifier}=:{}", self.session_name));
            identity.text("userName", self.session_name);
            identity.text("identityProvider", &format!("{qualifier}="));
        });
        let assertion = format!("_{}", journal.random.uuid());
        let provider_arn = format!("arn:aws:iam::{}:saml-provider/{provider}", estate.account);
        let request = object_text(|request| {
            request.text("sAMLAssertionID", &assertion);
            write_map(request, "principalTags", self.tags);
            if !transitive.is_empty() {
                request.texts("transitiveTagKeys", transitive);
            }
            self.write_role(request);
            request.text("principalArn", &provider_arn);
        });
        let response = self.response(journal, |response| {
            response.text("subjectType", "persistent");
            response.text("issuer", "https://idp.example.com/saml");
            response.number("packedPolicySize", 4);
            response.text("nameQualifier", &format!("{qualifier}="));
            response.text("subject", self.session_name);
            response.text("audience", "https://signin.aws.amazon.com/saml");
        });
        let mut record = self.sts(journal, "AssumeRoleWithSAML");
        record.user_identity_json = &caller;
        (record.request_json, record.response_json) = (&request, &response);
        self.push_sts(journal, record);
    }

    /// `AssumeRole` by other credentials. A broker passes `tags`; in a chain the tags
    /// of the base session come along as `incomingTransitiveTags`.
    pub(crate) fn assume_role(&self, journal: &mut Journal<'_>, caller: &Session, chained: bool) {
        let source_identity = self.session_name;
        let request = object_text(|request| {
            if chained {
                let kept: Vec<_> = self.tags.iter().copied().filter(|(tag, _)| TRANSITIVE.contains(tag)).collect();
                write_map(request, "incomingTransitiveTags", &kept);
            } else {
                write_list(request, "tags", self.tags);
                request.texts("transitiveTagKeys", &TRANSITIVE);
            }
            self.write_role(request);
            request.text("sourceIdentity", source_identity);
        });
        let response = self.response(journal, |response| {
            response.number("packedPolicySize", 4);
            response.text("sourceIdentity", source_identity);
        });
        let mut record = self.sts(journal, "AssumeRole");
        record.user_identity_json = &caller.user_identity_json;
        if !chained {
            (record.source_ip, record.user_agent) = (&caller.source_ip, &caller.user_agent);
        }
        (record.request_json, record.response_json) = (&request, &response);
        self.push_sts(journal, record);
    }

    /// `AssumeRole` by an AWS service for its instance or function.
    pub(crate) fn service(&self, journal: &mut Journal<'_>, service: &str) {
        let caller = object_text(|identity| {
            identity.text("type", "AWSService");
            identity.text("invokedBy", service);
        });
        let request = object_text(|request| self.write_role(request));
        let response = self.response(journal, |_| ());
        let mut record = self.sts(journal, "AssumeRole");
        record.user_identity_json = &caller;
        (record.source_ip, record.user_agent, record.host) = (service, service, "");
        (record.request_json, record.response_json) = (&request, &response);
        record.shared_event_id = Some(journal.random.uuid());
        self.push_sts(journal, record);
    }

    pub(crate) fn sts<'r, 'e: 'r>(&'r self, journal: &mut Journal<'e>, name: &'r str) -> Record<'r> {
        let estate = journal.estate;
        let mut record = Record::new(STS, name, &estate.account, &mut journal.random);
        record.version = "1.08";
        (record.time, record.region) = (self.time, &estate.region);
        (record.source_ip, record.user_agent) = (self.source_ip, self.user_agent);
        record.host = "sts";
        record
    }

    pub(crate) fn push_sts(&self, journal: &mut Journal<'_>, record: Record<'_>) {
        let resources = resource(journal.estate, "AWS::IAM::Role", &self.role.arn);
        let record = Record { resources_json: &resources, ..record };
        journal.push(&record, &self.role.arn);
    }

    pub(crate) fn write_role(&self, request: &mut Object<'_>) {
        request.text("roleArn", &self.role.arn);
        request.text("roleSessionName", self.session_name);
        request.number("durationSeconds", self.lifetime.unsigned_abs());
    }

    pub(crate) fn response(&self, journal: &mut Journal<'_>, more: impl FnOnce(&mut Object<'_>)) -> String {
        let estate = journal.estate;
        object_text(|response| {
            response.object("credentials", |out| self.write_credentials(out, &mut journal.random));
            response.object("assumedRoleUser", |user| {
                let id = format!("{}:{}", self.role.unique_id, self.session_name);
                user.text("assumedRoleId", &id);
                user.text("arn", &session_arn(estate, self.role, self.session_name));
            });
            more(response);
        })
    }

    fn write_credentials(&self, out: &mut Object<'_>, random: &mut Random) {
        write_credentials(out, self.access_key, self.time + self.lifetime, random);
    }
}

/// The fields of `credentials`.
pub(crate) fn write_credentials(out: &mut Object<'_>, access_key: &str, expires: i64, random: &mut Random) {
    out.text("accessKeyId", access_key);
    // Made up, but of the form that must never reach a log.
    out.text("sessionToken", &format!("IQoJb3JpZ2luX2VjE{}", random.unique_id("")));
    out.text("expiration", &expiration(expires));
}

/// The `resources` array with one entry.
pub(crate) fn resource(estate: &Estate, kind: &str, arn: &str) -> String {
    let entry = object_text(|resource| {
        resource.text("accountId", &estate.account);
        resource.text("type", kind);
        resource.text("ARN", arn);
    });
    format!("[{entry}]")
}

/// The `logins` of a call to the identity pool; CloudTrail hides the token.
pub(crate) fn write_logins(request: &mut Object<'_>, estate: &Estate) {
    request.object("logins", |logins| {
        let pool = format!("cognito-idp.{}.amazonaws.com/{}", estate.region, estate.user_pool);
        logins.text(&pool, "HIDDEN_DUE_TO_SECURITY_REASONS");
    });
}

/// Tags as `AssumeRoleWith…` has them.
pub(crate) fn write_map(out: &mut Object<'_>, key: &str, tags: &Tags<'_>) {
    out.object(key, |map| {
        for (tag, value) in tags {
            map.text(tag, value);
        }
    });
}

/// Tags as `AssumeRole` has them.
pub(crate) fn write_list(out: &mut Object<'_>, key: &str, tags: &Tags<'_>) {
    let list = out.value(key);
    for (index, (tag, value)) in tags.iter().enumerate() {
        list.push_str(if index == 0 { "[{\"key\":" } else { ",{\"key\":" });
        quote(list, tag);
        list.push_str(",\"value\":");
        quote(list, value);
        list.push('}');
    }
    list.push_str(if tags.is_empty() { "[]" } else { "]" });
}
