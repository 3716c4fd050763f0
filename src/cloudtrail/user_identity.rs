//! `userIdentity`: who called, in every shape that CloudTrail writes.
//!
//! Source: "CloudTrail userIdentity element" in the AWS CloudTrail User Guide. 42 of 2,900 real records have no `type`
//! at all; all of those are service events.

use super::arn::session_name;
use super::lenient::{Pairs, Present, Text, lenient_object};

lenient_object! {
    /// The caller. A record of Bedrock's never carries session tags: those are on the STS record that issued
    /// `access_key_id`.
    pub struct UserIdentity<'a> {
        /// `AssumedRole`, `IAMUser`, `Root`, `FederatedUser`, `WebIdentityUser`, `SAMLUser`, `AWSService`, `AWSAccount`,
        /// `IdentityCenterUser`, `Unknown`, or nothing.
        "type" => kind: Text<'a>,
        /// `AROA…:session` of a role session; `provider:pool:subject` of a web identity.
        "principalId" => principal_id: Text<'a>,
        /// `…:assumed-role/ROLE/session`, without the role's path.
        "arn" => arn: Text<'a>,
        "accountId" => account_id: Text<'a>,
        "accessKeyId" => access_key_id: Text<'a>,
        "userName" => user_name: Text<'a>,
        "identityProvider" => identity_provider: Text<'a>,
        "invokedBy" => invoked_by: Text<'a>,
        "sessionContext" => session_context: SessionContext<'a>,
        /// Set where a Lambda function or an EC2 instance called for itself.
        "inScopeOf" => in_scope_of: Present,
        "onBehalfOf" => on_behalf_of: OnBehalfOf<'a>,
    }
}

lenient_object! {
    /// The session behind temporary credentials.
    pub struct SessionContext<'a> {
        "sessionIssuer" => session_issuer: SessionIssuer<'a>,
        "webIdFederationData" => web_id_federation_data: WebIdFederationData<'a>,
        "sourceIdentity" => source_identity: Text<'a>,
        "attributes" => attributes: SessionAttributes<'a>,
        /// `"1.0"` or `"2.0"`: credentials that the instance metadata service handed out.
        "ec2RoleDelivery" => ec2_role_delivery: Text<'a>,
    }
}

lenient_object! {
    /// When and how a session began.
    pub struct SessionAttributes<'a> {
        "creationDate" => creation_date: Text<'a>,
        /// `"true"` or `"false"`: a string.
        "mfaAuthenticated" => mfa_authenticated: Text<'a>,
    }
}

lenient_object! {
    /// The role (or user) that the session belongs to. It names a role, never a person.
    pub struct SessionIssuer<'a> {
        "type" => kind: Text<'a>,
        /// The role's ARN with its path.
        "arn" => arn: Text<'a>,
        "userName" => user_name: Text<'a>,
        "accountId" => account_id: Text<'a>,
    }
}

lenient_object! {
    /// Claims of a web identity that stay on every later call of the session.
    pub struct WebIdFederationData<'a> {
        "federatedProvider" => federated_provider: Text<'a>,
        /// Among them `cognito-identity.amazonaws.com:sub`, the Cognito identity id of the human.
        "attributes" => attributes: Pairs<'a>,
    }
}

lenient_object! {
    /// The Identity Center user that a call was made for.
    pub struct OnBehalfOf<'a> {
        "userId" => user_id: Text<'a>,
        "identityStoreArn" => identity_store_arn: Text<'a>,
    }
}

impl UserIdentity<'_> {
    /// Whether the record names a caller in any way.
    pub fn is_present(&self) -> bool {
        [&self.kind, &self.arn, &self.principal_id, &self.access_key_id, &self.user_name, &self.invoked_by]
            .iter()
            .any(|text| !text.is_empty())
    }

    /// The session's name: what stands behind the last `/` of an assumed-role ARN, else behind the `:` of the principal id.
    pub fn session_name(&self) -> &str {
        if let Some(name) = session_name(self.arn.as_str()) {
            return name;
        }
        if self.kind.as_str() == "AssumedRole" {
            return self.principal_id.as_str().split_once(':').map_or("", |(_, name)| name);
        }
        ""
    }

    /// The user-pool subject behind a Cognito identity, where the token's `amr` claim is on the record: it lists
    /// `cognito-idp.REGION.amazonaws.com/POOL:CognitoSignIn:SUB`.
    pub fn user_pool_sub(&self) -> Option<&str> {
        let attributes = &self.session_context.web_id_federation_data.attributes.0;
        let (_, amr) = attributes.iter().find(|(key, _)| key.as_str() == "cognito-identity.amazonaws.com:amr")?;
        let (_, behind) = amr.as_str().split_once(":CognitoSignIn:")?;
        behind.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().filter(|sub| !sub.is_empty())
    }

    /// The Cognito identity id (`region:uuid`) that a federated session carries on every call.
    pub fn cognito_identity_id(&self) -> Option<&str> {
        let attributes = &self.session_context.web_id_federation_data.attributes.0;
        attributes.iter().find(|(key, _)| key.as_str() == "cognito-identity.amazonaws.com:sub").and_then(|(_, value)| value.non_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_name_comes_from_the_arn_or_the_principal() {
        let named = |json: &str| serde_json::from_str::<UserIdentity<'_>>(json).expect("json").session_name().to_owned();
        assert_eq!(named(r#"{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/R/a/b"}"#), "a/b");
        assert_eq!(named(r#"{"type":"AssumedRole","principalId":"AROA:me@example.com"}"#), "me@example.com");
        assert_eq!(named(r#"{"type":"IAMUser","arn":"arn:aws:iam::1:user/u","principalId":"AIDA:x"}"#), "");
    }

    #[test]
    fn a_cognito_session_names_its_identity() {
        let identity: UserIdentity<'_> = serde_json::from_str(
            r#"{"sessionContext":{"webIdFederationData":{"federatedProvider":"cognito-identity.amazonaws.com",
                "attributes":{"cognito-identity.amazonaws.com:aud":"pool","cognito-identity.amazonaws.com:sub":"eu-west-1:7"}}}}"#,
        )
        .expect("json");
        assert_eq!(identity.cognito_identity_id(), Some("eu-west-1:7"));
    }
}
