//! One event as rules see it.

use std::borrow::Cow;
use std::cell::OnceCell;

use rsigma_eval::event::{Event, EventValue, JsonEvent};
use serde_json::{Map, Value};

use crate::cloudtrail::CloudTrailEvent;
use crate::cloudtrail::lenient::Text;

/// The JSON that an event was read from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw<'a>(pub Option<&'a str>);

/// What geophone knows of a call besides its record. Empty where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleFacts {
    /// Key of the canonical actor.
    pub actor: String,
    /// The person.
    pub person: String,
    /// The department.
    pub department: String,
    /// The model's family.
    pub family: String,
    /// The kind of a refusal.
    pub denial: String,
    /// What the policies say.
    pub verdict: String,
    /// Session tags.
    pub tags: Vec<(String, String)>,
}

impl RuleFacts {
    /// The value of a field without its `geophone.`; `None` where nothing is known.
    pub fn get(&self, field: &str) -> Option<&str> {
        let value = match field {
            "actor" => &self.actor,
            "person" => &self.person,
            "department" => &self.department,
            "model.family" => &self.family,
            "denial.kind" => &self.denial,
            "policy.verdict" => &self.verdict,
            other => {
                let key = other.strip_prefix("tags.")?;
                return self.tags.iter().find(|(tag, _)| tag == key).map(|(_, value)| value.as_str());
            }
        };
        (!value.is_empty()).then_some(value)
    }

    /// Whether rules may ask for this field.
    pub fn has(field: &str) -> bool {
        matches!(field, "actor" | "person" | "department" | "model.family" | "denial.kind" | "policy.verdict")
            || field.strip_prefix("tags.").is_some_and(|key| !key.is_empty())
    }
}

/// What is known of a call when its record is gone: the fields of geophone, and those in [`ON_CALL`].
pub trait Facts {
    /// Appends the value of a field to `out`; `false` where nothing is known.
    fn write(&self, path: &str, out: &mut String) -> bool;
}

/// Fields of the record that a call keeps anyway. [`Facts`] may know them, and no match has to take them along.
pub const ON_CALL: [&str; 5] = ["userIdentity.accessKeyId", "userIdentity.arn", "awsRegion", "sourceIPAddress", "eventName"];

impl Facts for RuleFacts {
    fn write(&self, path: &str, out: &mut String) -> bool {
        path.strip_prefix(OWN).and_then(|own| self.get(own)).is_some_and(|text| {
            out.push_str(text);
            true
        })
    }
}

/// Prefix of the fields of [`RuleFacts`].
pub const OWN: &str = "geophone.";

/// The object that a typed field is in: its absence is certain only where the object was read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Record,
    Identity,
    Session,
    Request,
    Added,
}

/// Declares the fields that are taken out of every record.
macro_rules! typed_fields {
    ($($path:literal => $name:ident in $within:ident: $($part:ident).+,)+) => {
        /// A field that is taken out of every record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "they are called as in the record")]
        pub enum Typed { $($name,)+ }

        impl Typed {
            /// The field of this path.
            pub fn of(path: &str) -> Option<Self> {
                match path {
                    $($path => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its text; empty where it has none.
            fn text<'e, 'a>(self, event: &'e CloudTrailEvent<'a>) -> &'e Text<'a> {
                match self {
                    $(Self::$name => &event.$($part).+,)+
                }
            }

            const fn within(self) -> Within {
                match self {
                    $(Self::$name => Within::$within,)+
                }
            }
        }
    };
}

typed_fields! {
    "eventSource" => EventSource in Record: event_source,
    "eventName" => EventName in Record: event_name,
    "eventType" => EventType in Record: event_type,
    "errorCode" => ErrorCode in Record: error_code,
    "errorMessage" => ErrorMessage in Record: error_message,
    "awsRegion" => AwsRegion in Record: aws_region,
    "sourceIPAddress" => SourceIpAddress in Record: source_ip_address,
    "userAgent" => UserAgent in Record: user_agent,
    "recipientAccountId" => RecipientAccountId in Record: recipient_account_id,
    "vpcEndpointId" => VpcEndpointId in Record: vpc_endpoint_id,
    "userIdentity.arn" => Arn in Identity: user_identity.arn,
    "userIdentity.accessKeyId" => AccessKeyId in Identity: user_identity.access_key_id,
    "userIdentity.accountId" => AccountId in Identity: user_identity.account_id,
    "userIdentity.invokedBy" => InvokedBy in Identity: user_identity.invoked_by,
    "userIdentity.type" => IdentityType in Identity: user_identity.kind,
    "userIdentity.userName" => UserName in Identity: user_identity.user_name,
    "userIdentity.principalId" => PrincipalId in Identity: user_identity.principal_id,
    "userIdentity.sessionContext.ec2RoleDelivery" => Ec2RoleDelivery in Session: user_identity.session_context.ec2_role_delivery,
    "userIdentity.sessionContext.sessionIssuer.arn" => IssuerArn in Session: user_identity.session_context.session_issuer.arn,
    "userIdentity.sessionContext.sessionIssuer.userName" => IssuerName in Session: user_identity.session_context.session_issuer.user_name,
    "userIdentity.sessionContext.sessionIssuer.type" => IssuerType in Session: user_identity.session_context.session_issuer.kind,
    "requestParameters.modelId" => ModelId in Request: request_parameters.model_id,
    "requestParameters.callWithBearerToken" => AskedWithBearerToken in Request: request_parameters.call_with_bearer_token,
    "additionalEventData.callWithBearerToken" => WithBearerToken in Added: additional_event_data.call_with_bearer_token,
}

impl Typed {
    /// Whether the record certainly has no such field.
    pub fn is_surely_absent(self, event: &CloudTrailEvent<'_>) -> bool {
        let identity = &event.user_identity;
        let is_object = match self.within() {
            Within::Record => true,
            Within::Identity => !identity.kind.is_empty(),
            Within::Session => !identity.session_context.session_issuer.arn.is_empty(),
            Within::Request => !event.request_parameters.model_id.is_empty(),
            Within::Added => event.additional_event_data.input_tokens.0.is_some(),
        };
        is_object && self.text(event).is_absent()
    }

    /// Its value, where the record has it as a text: a boolean's text is not what the record has.
    pub fn value<'e>(self, event: &'e CloudTrailEvent<'_>) -> Option<&'e str> {
        if matches!(self, Self::AskedWithBearerToken | Self::WithBearerToken) { None } else { self.text(event).non_empty() }
    }
}

/// An event before the rules. The JSON is parsed when the first rule asks for what was not taken out already.
#[derive(Debug)]
pub struct SigmaEvent<'a> {
    event: &'a CloudTrailEvent<'a>,
    raw: Raw<'a>,
    whole: OnceCell<Value>,
    /// Whether a key may be written with escapes, which none of AWS's is. Only `\u` can stand for a letter.
    has_escapes: OnceCell<bool>,
}

impl<'a> SigmaEvent<'a> {
    /// An event with the JSON that it was read from.
    pub const fn new(event: &'a CloudTrailEvent<'a>, raw: Raw<'a>) -> Self {
        Self { event, raw, whole: OnceCell::new(), has_escapes: OnceCell::new() }
    }

    /// What was taken out of the record.
    pub(super) const fn typed(&self) -> &'a CloudTrailEvent<'a> {
        self.event
    }

    /// The whole event. An envelope around it (EventBridge) is taken off, and so is what follows it by mistake.
    pub fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let first = |text| serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
            let mut parsed = self.raw.0.and_then(first).and_then(Result::ok).unwrap_or_default();
            let is_enveloped = parsed.get("eventName").is_none() && parsed.get("detail").is_some();
            if is_enveloped { parsed["detail"].take() } else { parsed }
        })
    }

    /// Whether the record certainly has no key of this name: then nothing need be parsed to know it.
    fn lacks(&self, key: &str) -> bool {
        let Some(raw) = self.raw.0 else { return true };
        let has_escapes = || memchr::memmem::find(raw.as_bytes(), b"\\u").is_some();
        !*self.has_escapes.get_or_init(has_escapes) && memchr::memmem::find(raw.as_bytes(), key.as_bytes()).is_none()
    }

    fn in_whole(&self, path: &str) -> Option<EventValue<'_>> {
        let value = self.whole();
        // Most paths cross no list: they are walked without allocating.
        let mut at = value;
        for part in path.split('.') {
            if at.is_array() {
                return JsonEvent::borrow(value).get_field(path).map(owned);
            }
            at = at.as_object()?.get(part)?;
        }
        Some(EventValue::from(at))
    }
}

/// A value that borrows from nobody.
fn owned(value: EventValue<'_>) -> EventValue<'static> {
    match value {
        EventValue::Str(text) => EventValue::Str(Cow::Owned(text.into_owned())),
        EventValue::Int(number) => EventValue::Int(number),
        EventValue::Float(number) => EventValue::Float(number),
        EventValue::Bool(truth) => EventValue::Bool(truth),
        EventValue::Null => EventValue::Null,
        EventValue::Array(values) => EventValue::Array(values.into_iter().map(owned).collect()),
        EventValue::Map(entries) => {
            EventValue::Map(entries.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), owned(value))).collect())
        }
    }
}

impl Event for SigmaEvent<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        if path.starts_with(OWN) {
            // It is not known yet whose call it was: such rules are asked again when it is.
            return None;
        }
        if let Some(typed) = Typed::of(path) {
            if let Some(text) = typed.value(self.event) {
                return Some(EventValue::Str(Cow::Borrowed(text)));
            }
            if typed.is_surely_absent(self.event) {
                return None;
            }
        }
        let last = path.rsplit('.').next().unwrap_or(path);
        if self.whole.get().is_none() && self.lacks(last) {
            return None;
        }
        self.in_whole(path)
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        JsonEvent::borrow(self.whole()).any_string_value(pred)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        JsonEvent::borrow(self.whole()).all_string_values().into_iter().map(|text| Cow::Owned(text.into_owned())).collect()
    }

    fn to_json(&self) -> Value {
        self.whole().clone()
    }
}

/// The fields that a rule asks for, with the values that they had, for the time when it is known whose call it was.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, F> {
    /// The record's fields, by path.
    pub fields: &'a Map<String, Value>,
    /// What is known besides.
    pub facts: &'a F,
}

impl<F: Facts> Event for Kept<'_, F> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        if let Some(value) = self.fields.get(path) {
            return Some(EventValue::from(value));
        }
        let mut text = String::new();
        self.facts.write(path, &mut text).then_some(EventValue::Str(Cow::Owned(text)))
    }

    fn any_string_value(&self, _: &dyn Fn(&str) -> bool) -> bool {
        false
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn to_json(&self) -> Value {
        Value::Object(self.fields.clone())
    }
}
