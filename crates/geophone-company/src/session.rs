//! Credentials in use: what `userIdentity` says about a caller.

use crate::clock::iso;
use crate::estate::{Estate, Role};
use crate::json::{Object, object_text};
use crate::record::COGNITO_IDENTITY;

/// One set of credentials and the place it is used from.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// `ASIA…` or `AKIA…`; empty behind a bearer key.
    pub(crate) access_key: String,
    pub(crate) user_identity_json: String,
    pub(crate) arn: String,
    /// Kinesis partition key: the issuer's ARN, or the user's own.
    pub(crate) partition_key: String,
    pub(crate) source_ip: String,
    pub(crate) user_agent: String,
    /// Calls go through the company's VPC endpoint.
    pub(crate) inside: bool,
    pub(crate) from_console: bool,
    pub(crate) started: i64,
    pub(crate) expires: i64,
}

/// What tells one kind of assumed-role session from another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits<'a> {
    /// Cognito identity id and user-pool subject.
    pub(crate) cognito: Option<(&'a str, &'a str)>,
    /// ARN of the OIDC provider whose token the session was made from.
    pub(crate) oidc_provider: Option<&'a str>,
    pub(crate) source_identity: Option<&'a str>,
    /// Identity Center user id.
    pub(crate) on_behalf_of: Option<&'a str>,
    /// Version of the instance metadata service that gave the credentials.
    pub(crate) ec2_role_delivery: Option<&'a str>,
    /// ARN of the function that the credentials were issued to.
    pub(crate) function: Option<&'a str>,
    pub(crate) mfa: bool,
}

/// A session of a role.
pub(crate) struct AssumedRole<'a> {
    pub(crate) role: &'a Role,
    pub(crate) session_name: &'a str,
    pub(crate) access_key: &'a str,
    pub(crate) created: i64,
    pub(crate) traits: Traits<'a>,
}

impl AssumedRole<'_> {
    /// ARN of the session: without the role's path, as STS has it.
    pub(crate) fn arn(&self, estate: &Estate) -> String {
        session_arn(estate, self.role, self.session_name)
    }

    pub(crate) fn user_identity_json(&self, estate: &Estate) -> String {
        let principal = format!("{}:{}", self.role.unique_id, self.session_name);
        object_text(|identity| {
            identity.text("type", "AssumedRole");
            identity.text("principalId", &principal);
            identity.text("arn", &self.arn(estate));
            identity.text("accountId", &estate.account);
            identity.text("accessKeyId", self.access_key);
            identity.object("sessionContext", |context| self.write_context(context, estate));
            if let Some(user_id) = self.traits.on_behalf_of {
                let store = format!("arn:aws:identitystore::{}:identitystore/{}", estate.account, estate.identity_store);
                identity.object("onBehalfOf", |on_behalf_of| {
                    on_behalf_of.text("userId", user_id);
                    on_behalf_of.text("identityStoreArn", &store);
                });
            }
            if let Some(function) = self.traits.function {
                identity.object("inScopeOf", |scope| {
                    scope.text("issuerType", "AWS::Lambda::Function");
                    scope.text("credentialsIssuedTo", function);
                });
            }
        })
    }

    fn write_context(&self, context: &mut Object<'_>, estate: &Estate) {
        context.object("sessionIssuer", |issuer| {
            issuer.text("type", "Role");
            issuer.text("principalId", &self.role.unique_id);
            issuer.text("arn", &self.role.arn);
            issuer.text("accountId", &estate.account);
            issuer.text("userName", &self.role.name);
        });
        if let Some((identity_id, subject)) = self.traits.cognito {
            let pool = format!("cognito-idp.{}.amazonaws.com/{}", estate.region, estate.user_pool);
            let methods = format!("[\"authenticated\",\"{pool}\",\"{pool}:CognitoSignIn:{subject}\"]");
            context.object("webIdFederationData", |federation| {
                federation.text("federatedProvider", COGNITO_IDENTITY);
                federation.object("attributes", |attributes| {
                    attributes.text("cognito-identity.amazonaws.com:amr", &methods);
                    attributes.text("cognito-identity.amazonaws.com:aud", &estate.identity_pool);
                    attributes.text("cognito-identity.amazonaws.com:sub", identity_id);
                });
            });
        }
        if let Some(provider) = self.traits.oidc_provider {
            // Of other providers than Cognito's identity pools CloudTrail shows no claims.
            context.object("webIdFederationData", |federation| {
                federation.text("federatedProvider", provider);
                federation.object("attributes", |_| ());
            });
        }
        context.object("attributes", |attributes| {
            attributes.text("creationDate", &iso(self.created));
            // A string, not a boolean: so CloudTrail writes it.
            attributes.text("mfaAuthenticated", if self.traits.mfa { "true" } else { "false" });
        });
        if let Some(source_identity) = self.traits.source_identity {
            context.text("sourceIdentity", source_identity);
        }
        if let Some(version) = self.traits.ec2_role_delivery {
            context.text("ec2RoleDelivery", version);
        }
    }
}

/// `userIdentity` of an IAM user; bearer keys carry no access key.
pub(crate) fn iam_user_json(estate: &Estate, user: &str, unique_id: &str, key: &str) -> String {
    object_text(|identity| {
        identity.text("type", "IAMUser");
        identity.text("principalId", unique_id);
        identity.text("arn", &user_arn(estate, user));
        identity.text("accountId", &estate.account);
        if !key.is_empty() {
            identity.text("accessKeyId", key);
        }
        identity.text("userName", user);
    })
}

pub(crate) fn user_arn(estate: &Estate, user: &str) -> String {
    format!("arn:aws:iam::{}:user/{user}", estate.account)
}

pub(crate) fn session_arn(estate: &Estate, role: &Role, session_name: &str) -> String {
    format!("arn:aws:sts::{}:assumed-role/{}/{session_name}", estate.account, role.name)
}
