//! The fields of a record of CloudTrail that geophone reads, each borrowed: what no reader of them can do without.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// A text that borrows unless it is escaped, and is empty where it is null.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
            fn visit_bool<E>(self, v: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if v { "true" } else { "false" })))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

macro_rules! object {
    ($name:ident { $($key:literal $field:ident: $ty:ty,)* }) => {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct $name<'a> {
            $(#[serde(borrow, rename = $key)] pub $field: $ty,)*
        }
    };
}

object!(Issuer { "type" kind: Text<'a>, "arn" arn: Text<'a>, "userName" user_name: Text<'a>, "accountId" account_id: Text<'a>, });
object!(Federation { "federatedProvider" provider: Text<'a>, "attributes" attributes: Option<BTreeMap<Text<'a>, Text<'a>>>, });
object!(Began { "creationDate" date: Text<'a>, "mfaAuthenticated" mfa: Text<'a>, });
object!(Session {
    "sessionIssuer" issuer: Option<Issuer<'a>>, "webIdFederationData" federation: Option<Federation<'a>>,
    "sourceIdentity" source: Text<'a>, "ec2RoleDelivery" delivery: Text<'a>, "attributes" attributes: Option<Began<'a>>,
});
object!(Identity {
    "type" kind: Text<'a>, "principalId" principal: Text<'a>, "arn" arn: Text<'a>, "accountId" account: Text<'a>,
    "accessKeyId" key: Text<'a>, "userName" user: Text<'a>, "invokedBy" invoked_by: Text<'a>, "sessionContext" session: Option<Session<'a>>,
});
object!(Asked { "modelId" model_id: Text<'a>, "roleArn" role_arn: Text<'a>, "roleSessionName" session: Text<'a>, });
object!(Keys { "accessKeyId" key: Text<'a>, });
object!(Answered { "credentials" credentials: Option<Keys<'a>>, "subjectFromWebIdentityToken" subject: Text<'a>, });
object!(Tls { "tlsVersion" version: Text<'a>, "clientProvidedHostHeader" host: Text<'a>, });
object!(Resource { "ARN" arn: Text<'a>, "type" kind: Text<'a>, });

/// What Bedrock adds.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Added<'a> {
    #[serde(borrow, rename = "inferenceRegion")]
    pub region: Text<'a>,
    #[serde(rename = "inputTokens")]
    pub input: Option<u64>,
    #[serde(rename = "outputTokens")]
    pub output: Option<u64>,
}

object!(Record {
    "eventVersion" version: Text<'a>, "userIdentity" identity: Option<Identity<'a>>, "eventTime" time: Text<'a>,
    "eventSource" source: Text<'a>, "eventName" name: Text<'a>, "awsRegion" region: Text<'a>, "sourceIPAddress" ip: Text<'a>,
    "userAgent" agent: Text<'a>, "errorCode" code: Text<'a>, "errorMessage" message: Text<'a>,
    "requestParameters" asked: Option<Asked<'a>>, "responseElements" answered: Option<Answered<'a>>,
    "additionalEventData" added: Option<Added<'a>>, "requestID" request: Text<'a>, "eventID" id: Text<'a>,
    "resources" resources: Option<Vec<Resource<'a>>>, "eventType" kind: Text<'a>, "recipientAccountId" account: Text<'a>,
    "sharedEventID" shared: Text<'a>, "vpcEndpointId" endpoint: Text<'a>, "tlsDetails" tls: Option<Tls<'a>>,
});

impl Record<'_> {
    /// Something that depends on the record.
    pub fn size(&self) -> usize {
        self.id.0.len() + self.resources.as_ref().map_or(0, Vec::len)
    }
}
