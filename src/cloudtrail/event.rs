//! One CloudTrail event, borrowed from the bytes it came in, with AWS's own field names.
//!
//! Only the fields that geophone uses are listed; the rest is passed over without a copy. Nothing here is required:
//! an absent, null or oddly typed field is empty ([`super::lenient`]).
//!
//! Source: "CloudTrail record contents" in the AWS CloudTrail User Guide, and real records of versions 1.05–1.11.

use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::lenient::{self, Count, Pairs, Present, Text, TextList, lenient_object, scalars_are_default};
use super::user_identity::UserIdentity;

lenient_object! {
    /// A CloudTrail event. Strings are untrusted: callers choose user agents, session names and tag values.
    pub struct CloudTrailEvent<'a> {
        "eventVersion" => event_version: Text<'a>,
        "userIdentity" => user_identity: UserIdentity<'a>,
        /// Completion time of the call, whole seconds, UTC; see [`crate::time::EventTime::parse`] for its forms.
        "eventTime" => event_time: Text<'a>,
        "eventSource" => event_source: Text<'a>,
        "eventName" => event_name: Text<'a>,
        "awsRegion" => aws_region: Text<'a>,
        "sourceIPAddress" => source_ip_address: Text<'a>,
        "userAgent" => user_agent: Text<'a>,
        "errorCode" => error_code: Text<'a>,
        "errorMessage" => error_message: Text<'a>,
        "requestParameters" => request_parameters: RequestParameters<'a>,
        "responseElements" => response_elements: ResponseElements<'a>,
        "additionalEventData" => additional_event_data: AdditionalEventData<'a>,
        "requestID" => request_id: Text<'a>,
        "eventID" => event_id: Text<'a>,
        "resources" => resources: Resources<'a>,
        /// `AwsApiCall`, `AwsServiceEvent`, `AwsConsoleSignIn`, `AwsVpceEvents`, ….
        "eventType" => event_type: Text<'a>,
        "recipientAccountId" => recipient_account_id: Text<'a>,
        "sharedEventID" => shared_event_id: Text<'a>,
        "vpcEndpointId" => vpc_endpoint_id: Text<'a>,
        "serviceEventDetails" => service_event_details: ServiceEventDetails<'a>,
        "tlsDetails" => tls_details: TlsDetails<'a>,
    }
}

lenient_object! {
    /// What the caller asked for. Null in most denied calls, and dropped by CloudTrail above 100 KB.
    pub struct RequestParameters<'a> {
        "modelId" => model_id: Text<'a>,
        /// The model in a `bedrock-mantle` CreateInference.
        "model" => model: Text<'a>,
        "callWithBearerToken" => call_with_bearer_token: Text<'a>,
        .. => rare: RareParameters,
    }
}

impl<'a> RequestParameters<'a> {
    /// What only few records have: those of STS, of administration, and of calls that are not about models. All empty in
    /// the others, which so stay small.
    pub fn rare(&self) -> &RareParameters<'a> {
        static NONE: LazyLock<RareParameters<'static>> = LazyLock::new(RareParameters::default);
        self.rare.as_deref().unwrap_or(&NONE)
    }
}

lenient_object! {
    /// Parameters of calls other than inference.
    pub struct RareParameters<'a> {
        "roleArn" => role_arn: Text<'a>,
        "roleSessionName" => role_session_name: Text<'a>,
        "sourceIdentity" => source_identity: Text<'a>,
        /// Session tags of AssumeRole: a list of `{key, value}`.
        "tags" => tags: Pairs<'a>,
        /// Session tags of AssumeRoleWithSAML and AssumeRoleWithWebIdentity: a map.
        "principalTags" => principal_tags: Pairs<'a>,
        /// Transitive tags that came with the caller's own session, in a role chain.
        "incomingTransitiveTags" => incoming_transitive_tags: Pairs<'a>,
        "transitiveTagKeys" => transitive_tag_keys: TextList<'a>,
        /// The Cognito identity of GetCredentialsForIdentity.
        "identityId" => identity_id: Text<'a>,
        "durationSeconds" => duration_seconds: Count,
        /// An inline session policy, and managed ones: they narrow what the session may do.
        "policy" => policy: Present,
        "policyArns" => policy_arns: Present,
        /// Whom an administrative call of Cognito, Identity Center or IAM is about.
        "username" => username: Text<'a>,
        "userName" => user_name: Text<'a>,
        "userId" => user_id: Text<'a>,
        "memberId" => member_id: MemberId<'a>,
        "principalId" => principal_id: Text<'a>,
        "groupName" => group_name: Text<'a>,
        "accessKeyId" => access_key_id: Text<'a>,
        "status" => status: Text<'a>,
        /// What a call on agents, knowledge bases, flows, guardrails and prompts names, where `resources` is empty.
        "knowledgeBaseId" => knowledge_base_id: Text<'a>,
        "agentId" => agent_id: Text<'a>,
        "agentAliasId" => agent_alias_id: Text<'a>,
        "guardrailIdentifier" => guardrail_identifier: Text<'a>,
        "flowIdentifier" => flow_identifier: Text<'a>,
        "flowAliasIdentifier" => flow_alias_identifier: Text<'a>,
        "promptIdentifier" => prompt_identifier: Text<'a>,
    }
}

lenient_object! {
    /// A member of an Identity Center group.
    pub struct MemberId<'a> {
        "userId" => user_id: Text<'a>,
    }
}

lenient_object! {
    /// What the service answered, as far as CloudTrail writes it down. The session token beside the access key is never
    /// read.
    pub struct ResponseElements<'a> {
        "credentials" => credentials: Credentials<'a>,
        "assumedRoleUser" => assumed_role_user: AssumedRoleUser<'a>,
        "subjectFromWebIdentityToken" => subject_from_web_identity_token: Text<'a>,
        /// NameID of a SAML assertion.
        "subject" => subject: Text<'a>,
        /// `persistent`, `transient`, …: a transient NameID names nobody the next time.
        "subjectType" => subject_type: Text<'a>,
        "identityId" => identity_id: Text<'a>,
    }
}

lenient_object! {
    /// Credentials that STS or Cognito issued.
    pub struct Credentials<'a> {
        "accessKeyId" => access_key_id: Text<'a>,
    }
}

lenient_object! {
    /// The session that an AssumeRole call made.
    pub struct AssumedRoleUser<'a> {
        "arn" => arn: Text<'a>,
    }
}

lenient_object! {
    /// Bedrock's own numbers. Absent before mid 2026 and above 28 KB.
    pub struct AdditionalEventData<'a> {
        "inferenceRegion" => inference_region: Text<'a>,
        "inputTokens" => input_tokens: Count,
        "outputTokens" => output_tokens: Count,
        "cacheReadInputTokens" => cache_read_input_tokens: Count,
        "cacheWriteInputTokens" => cache_write_input_tokens: Count,
        "callWithBearerToken" => call_with_bearer_token: Text<'a>,
        /// The user-pool subject that an administrative call of Cognito is about.
        "sub" => sub: Text<'a>,
    }
}

lenient_object! {
    /// What a service event says; for Bedrock the companion record of a streaming call.
    pub struct ServiceEventDetails<'a> {
        "parentRequestId" => parent_request_id: Text<'a>,
        "AdditionalEventData" => additional_event_data: CompanionData<'a>,
        "additionalEventData" => additional_event_data_lower: CompanionData<'a>,
    }
}

lenient_object! {
    /// The wrapper around a companion's entries.
    pub struct CompanionData<'a> {
        "additionalEntries" => additional_entries: Pairs<'a>,
    }
}

lenient_object! {
    /// TLS as the service saw it.
    pub struct TlsDetails<'a> {
        "tlsVersion" => tls_version: Text<'a>,
        "clientProvidedHostHeader" => client_provided_host_header: Text<'a>,
    }
}

lenient_object! {
    /// One entry of `resources`.
    struct Resource<'a> {
        "ARN" => arn: Text<'a>,
        "type" => kind: Text<'a>,
    }
}

/// The resources of an event, as far as they are used: the first one, and the first that is a Bedrock model.
#[derive(Clone, Debug, Default)]
pub struct Resources<'a> {
    /// ARN of the first resource.
    pub first_arn: Text<'a>,
    /// ARN of the first resource of type `AWS::Bedrock::Model`.
    pub model_arn: Text<'a>,
    /// ARN of the first resource that is Bedrock's and no model: knowledge base, agent alias, guardrail, project, ….
    pub bedrock_arn: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Resources<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ResourcesVisitor<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for ResourcesVisitor<'a> {
            type Value = Resources<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Resources<'a>, A::Error> {
                let mut found = Resources::default();
                while let Some(resource) = seq.next_element::<Resource<'de>>()? {
                    if resource.kind.as_str() == "AWS::Bedrock::Model" && found.model_arn.is_empty() {
                        found.model_arn = resource.arn.clone();
                    }
                    let is_bedrocks = resource.kind.as_str().starts_with("AWS::Bedrock") || resource.arn.as_str().contains(":bedrock");
                    if is_bedrocks && resource.kind.as_str() != "AWS::Bedrock::Model" && found.bedrock_arn.is_empty() {
                        found.bedrock_arn = resource.arn.clone();
                    }
                    if found.first_arn.is_empty() {
                        found.first_arn = resource.arn;
                    }
                }
                Ok(found)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Resources<'a>, A::Error> {
                lenient::drain_map(map).map(|()| Resources::default())
            }
            scalars_are_default!();
        }
        deserializer.deserialize_any(ResourcesVisitor(PhantomData))
    }
}

impl CloudTrailEvent<'_> {
    /// Whether anything was read at all that makes this a CloudTrail event: JSON that has neither a source nor a name
    /// nor an identity is something else.
    pub fn is_recognisable(&self) -> bool {
        !self.event_source.is_empty() || !self.event_name.is_empty() || self.user_identity.is_present() || !self.event_version.is_empty()
    }

    /// Whether this is a record that a service wrote by itself, not a call that somebody made.
    pub fn is_service_event(&self) -> bool {
        self.event_type.as_str() == "AwsServiceEvent"
    }

    /// The account that the event belongs to: the one whose trail received it, else the caller's.
    pub fn account(&self) -> &str {
        self.recipient_account_id.non_empty().unwrap_or(self.user_identity.account_id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chained_role_shows_all_three_tag_shapes() {
        let event: CloudTrailEvent<'_> = serde_json::from_str(
            r#"{"requestParameters":{"incomingTransitiveTags":{"dept":"legal"},"tags":[{"value":"12","key":"cost"}],
                "principalTags":{"clearance":"2"},"transitiveTagKeys":["dept","cost"]}}"#,
        )
        .expect("json");
        let asked = event.request_parameters.rare();
        assert_eq!(asked.incoming_transitive_tags.0[0].1.as_str(), "legal");
        assert_eq!(asked.tags.0[0].0.as_str(), "cost");
        assert_eq!(asked.principal_tags.0[0].1.as_str(), "2");
        assert_eq!(asked.transitive_tag_keys.0.len(), 2);
    }

    #[test]
    fn odd_sections_leave_the_rest_alone() {
        let event: CloudTrailEvent<'_> = serde_json::from_str(
            r#"{"userIdentity":"nobody","requestParameters":[1,2],"responseElements":7,"resources":{"ARN":"x"},"additionalEventData":null,
                "serviceEventDetails":true,"tlsDetails":"TLSv1.3","awsRegion":null,"recipientAccountId":111122223333,"eventName":"InvokeModel"}"#,
        )
        .expect("json");
        assert_eq!(event.event_name.as_str(), "InvokeModel");
        assert_eq!(event.account(), "111122223333");
        assert!(event.is_recognisable() && !event.is_service_event());
    }

    #[test]
    fn the_model_is_found_among_resources() {
        let event: CloudTrailEvent<'_> =
            serde_json::from_str(r#"{"resources":[{"ARN":"arn:a"},{"ARN":"arn:m","type":"AWS::Bedrock::Model"}]}"#).expect("json");
        assert_eq!((event.resources.first_arn.as_str(), event.resources.model_arn.as_str()), ("arn:a", "arn:m"));
    }
}
