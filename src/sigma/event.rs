//! One event as rules see it.

use std::borrow::Cow;
use std::cell::OnceCell;

use rsigma_eval::event::{Event, EventValue, JsonEvent};
use serde_json::{Map, Value};

use crate::cloudtrail::CloudTrailEvent;

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

    /// The same with what `assumed` says in the place of what was found out.
    pub fn assuming(mut self, assumed: &Self) -> Self {
        let pairs = [
            (&mut self.actor, &assumed.actor),
            (&mut self.person, &assumed.person),
            (&mut self.department, &assumed.department),
            (&mut self.family, &assumed.family),
            (&mut self.denial, &assumed.denial),
            (&mut self.verdict, &assumed.verdict),
        ];
        for (own, assumed) in pairs {
            if !assumed.is_empty() {
                own.clone_from(assumed);
            }
        }
        if !assumed.tags.is_empty() {
            self.tags.clone_from(&assumed.tags);
        }
        self
    }

    /// Whether rules may ask for this field.
    pub fn has(field: &str) -> bool {
        matches!(field, "actor" | "person" | "department" | "model.family" | "denial.kind" | "policy.verdict")
            || field.strip_prefix("tags.").is_some_and(|key| !key.is_empty())
    }
}

/// Prefix of the fields of [`RuleFacts`].
pub const OWN: &str = "geophone.";

/// An event before the rules. The JSON is parsed when the first rule asks for what was not taken out already.
#[derive(Debug)]
pub struct SigmaEvent<'a> {
    event: &'a CloudTrailEvent<'a>,
    raw: Raw<'a>,
    whole: OnceCell<Value>,
    /// Whether a key may be written with escapes, which none of AWS's is.
    has_escapes: OnceCell<bool>,
    /// Whether there is no error, which most rules ask.
    lacks_error: OnceCell<bool>,
}

impl<'a> SigmaEvent<'a> {
    /// An event with the JSON that it was read from.
    pub const fn new(event: &'a CloudTrailEvent<'a>, raw: Raw<'a>) -> Self {
        Self { event, raw, whole: OnceCell::new(), has_escapes: OnceCell::new(), lacks_error: OnceCell::new() }
    }

    /// The whole event. An envelope around it (EventBridge) is taken off.
    pub fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let mut parsed: Value = self.raw.0.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let is_enveloped = parsed.get("eventName").is_none() && parsed.get("detail").is_some();
            if is_enveloped { parsed["detail"].take() } else { parsed }
        })
    }

    /// What was taken out of the record already; `None` where the JSON must be asked.
    fn typed(&self, path: &str) -> Option<&str> {
        let (event, identity) = (self.event, &self.event.user_identity);
        let issuer = &identity.session_context.session_issuer;
        let text = match path {
            "eventSource" => &event.event_source,
            "eventName" => &event.event_name,
            "eventType" => &event.event_type,
            "errorCode" => &event.error_code,
            "errorMessage" => &event.error_message,
            "awsRegion" => &event.aws_region,
            "sourceIPAddress" => &event.source_ip_address,
            "userAgent" => &event.user_agent,
            "userIdentity.arn" => &identity.arn,
            "userIdentity.accessKeyId" => &identity.access_key_id,
            "userIdentity.accountId" => &identity.account_id,
            "userIdentity.invokedBy" => &identity.invoked_by,
            "userIdentity.type" => &identity.kind,
            "userIdentity.userName" => &identity.user_name,
            "userIdentity.sessionContext.ec2RoleDelivery" => &identity.session_context.ec2_role_delivery,
            "userIdentity.sessionContext.sessionIssuer.arn" => &issuer.arn,
            "userIdentity.sessionContext.sessionIssuer.userName" => &issuer.user_name,
            "recipientAccountId" => &event.recipient_account_id,
            "requestParameters.modelId" => &event.request_parameters.model_id,
            "vpcEndpointId" => &event.vpc_endpoint_id,
            _ => return None,
        };
        text.non_empty()
    }

    /// Whether the record certainly has no key of this name: then nothing need be parsed to know it.
    fn lacks(&self, key: &str) -> bool {
        let Some(raw) = self.raw.0 else { return true };
        let has_escapes = || memchr::memchr(b'\\', raw.as_bytes()).is_some();
        if *self.has_escapes.get_or_init(has_escapes) {
            return false;
        }
        let lacks = || memchr::memmem::find(raw.as_bytes(), key.as_bytes()).is_none();
        if key == "errorCode" { *self.lacks_error.get_or_init(lacks) } else { lacks() }
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
        if let Some(text) = self.typed(path) {
            return Some(EventValue::Str(Cow::Borrowed(text)));
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
#[derive(Debug)]
pub struct Kept<'a> {
    /// The record's fields, by path.
    pub fields: &'a Map<String, Value>,
    /// What geophone knows.
    pub facts: &'a RuleFacts,
}

impl Event for Kept<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        match path.strip_prefix(OWN) {
            Some(own) => self.facts.get(own).map(|text| EventValue::Str(Cow::Borrowed(text))),
            None => self.fields.get(path).map(EventValue::from),
        }
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
