//! Data and floors that the benches share.
//!
//! The floor is what no consumer of these fields can avoid: inflating (libdeflate) and a typed parse of the same fields
//! with truly borrowed texts (serde_json), written here with derives and nothing else. It keeps no state and decides
//! nothing.

#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each bench uses a part; benches fail by panicking")]

pub mod pipeline;
pub mod warm;

use std::borrow::Cow;
use std::fmt;

use geophone_company::load::Load;
use geophone_company::wire;
use libdeflater::Decompressor;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Events of one data set, and identities that they are spread over (zipf 1.05).
pub const EVENTS: usize = 40_000;
pub const IDENTITIES: usize = 20_000;
/// Events of one CloudWatch Logs record.
pub const BATCH: usize = 64;

/// Records as they would arrive, with the number of events in them.
pub struct Records {
    pub records: Vec<Vec<u8>>,
    pub events: u64,
}

fn texts() -> Vec<String> {
    Load::new(3, IDENTITIES).take(EVENTS).map(|event| event.json).collect()
}

/// One EventBridge envelope a record.
pub fn eventbridge() -> Records {
    one_by_one(&texts())
}

/// CloudWatch Logs subscription records of 64 events.
pub fn cloudwatch_logs() -> Records {
    batched(&texts())
}

/// These events in an EventBridge envelope each.
pub fn one_by_one(texts: &[String]) -> Records {
    Records { records: texts.iter().map(|json| wire::eventbridge(json)).collect(), events: texts.len() as u64 }
}

/// These events in CloudWatch Logs subscription records of 64.
pub fn batched(texts: &[String]) -> Records {
    let batch = |chunk: &[String]| wire::cloudwatch_logs(&chunk.iter().map(String::as_str).collect::<Vec<_>>());
    Records { records: texts.chunks(BATCH).map(batch).collect(), events: texts.len() as u64 }
}

/// A text that borrows unless it is escaped, and is empty where it is null.
#[derive(Default)]
pub struct T<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for T<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = T<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<T<'de>, E> {
                Ok(T(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<T<'de>, E> {
                Ok(T(Cow::Owned(v.to_owned())))
            }
            fn visit_bool<E>(self, v: bool) -> Result<T<'de>, E> {
                Ok(T(Cow::Borrowed(if v { "true" } else { "false" })))
            }
            fn visit_unit<E>(self) -> Result<T<'de>, E> {
                Ok(T::default())
            }
        }
        deserializer.deserialize_any(V)
    }
}

macro_rules! floor_object {
    ($name:ident { $($key:literal $field:ident: $ty:ty,)* }) => {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub struct $name<'a> {
            $(#[serde(borrow, rename = $key)] pub $field: $ty,)*
            #[serde(skip)]
            _life: std::marker::PhantomData<&'a ()>,
        }
    };
}

#[derive(Default, Deserialize)]
pub struct Resource<'a> {
    #[serde(borrow, rename = "ARN")]
    pub arn: T<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: T<'a>,
}

floor_object!(Issuer { "type" kind: T<'a>, "arn" arn: T<'a>, "userName" user_name: T<'a>, "accountId" account_id: T<'a>, });
floor_object!(Federation { "federatedProvider" provider: T<'a>, "attributes" attributes: Option<std::collections::BTreeMap<T2<'a>, T<'a>>>, });
floor_object!(Began { "creationDate" date: T<'a>, "mfaAuthenticated" mfa: T<'a>, });
floor_object!(Session {
    "sessionIssuer" issuer: Option<Issuer<'a>>, "webIdFederationData" federation: Option<Federation<'a>>, "sourceIdentity" source: T<'a>,
    "ec2RoleDelivery" delivery: T<'a>, "attributes" attributes: Option<Began<'a>>,
});
floor_object!(Identity {
    "type" kind: T<'a>, "principalId" principal: T<'a>, "arn" arn: T<'a>, "accountId" account: T<'a>, "accessKeyId" key: T<'a>,
    "userName" user: T<'a>, "invokedBy" invoked_by: T<'a>, "sessionContext" session: Option<Session<'a>>,
});
floor_object!(Asked { "modelId" model_id: T<'a>, "roleArn" role_arn: T<'a>, "roleSessionName" session: T<'a>, });
floor_object!(Keys { "accessKeyId" key: T<'a>, });
floor_object!(Answered { "credentials" credentials: Option<Keys<'a>>, "subjectFromWebIdentityToken" subject: T<'a>, });
floor_object!(Tls { "tlsVersion" version: T<'a>, "clientProvidedHostHeader" host: T<'a>, });

/// Text as a map key.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct T2<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Added<'a> {
    #[serde(borrow, rename = "inferenceRegion")]
    pub region: T<'a>,
    #[serde(rename = "inputTokens")]
    pub input: Option<u64>,
    #[serde(rename = "outputTokens")]
    pub output: Option<u64>,
}

floor_object!(Floor {
    "eventVersion" version: T<'a>, "userIdentity" identity: Option<Identity<'a>>, "eventTime" time: T<'a>, "eventSource" source: T<'a>,
    "eventName" name: T<'a>, "awsRegion" region: T<'a>, "sourceIPAddress" ip: T<'a>, "userAgent" agent: T<'a>, "errorCode" code: T<'a>,
    "errorMessage" message: T<'a>, "requestParameters" asked: Option<Asked<'a>>, "responseElements" answered: Option<Answered<'a>>,
    "additionalEventData" added: Option<Added<'a>>, "requestID" request: T<'a>, "eventID" id: T<'a>, "resources" resources: Option<Vec<Resource<'a>>>,
    "eventType" kind: T<'a>, "recipientAccountId" account: T<'a>, "sharedEventID" shared: T<'a>, "vpcEndpointId" endpoint: T<'a>, "tlsDetails" tls: Option<Tls<'a>>,
});

#[derive(Deserialize)]
struct Bridge<'a> {
    #[serde(borrow)]
    detail: Floor<'a>,
}

#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow, rename = "logEvents")]
    log_events: Vec<LogEvent<'a>>,
}

#[derive(Deserialize)]
struct LogEvent<'a> {
    #[serde(borrow)]
    message: T<'a>,
}

/// The floor over EventBridge records; returns something that depends on every event.
pub fn floor_eventbridge(records: &Records) -> usize {
    records.records.iter().map(|record| serde_json::from_slice::<Bridge<'_>>(record).unwrap().detail.id.0.len()).sum()
}

/// The floor over CloudWatch Logs records.
pub fn floor_cloudwatch_logs(records: &Records) -> usize {
    let mut inflater = Decompressor::new();
    let mut buffer = Vec::new();
    let mut sum = 0;
    for record in &records.records {
        let size = u32::from_le_bytes(record[record.len() - 4..].try_into().unwrap()) as usize;
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let length = inflater.gzip_decompress(record, &mut buffer[..size]).unwrap();
        let subscription: Subscription<'_> = serde_json::from_slice(&buffer[..length]).unwrap();
        sum += subscription
            .log_events
            .iter()
            .map(|event| serde_json::from_str::<Floor<'_>>(&event.message.0).unwrap().id.0.len())
            .sum::<usize>();
    }
    sum
}
