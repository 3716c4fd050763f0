//! An event, owned and reduced to what the engine needs: the form in which it crosses threads, waits for its grant and
//! is kept in snapshots.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Builder, xxh3_64};

use crate::bedrock::{EventId, Invocation, Model, ModelMap, Operation, Outcome, Plane, TimeSource, Tokens, UserAgent};
use crate::cloudtrail::arn::partition;
use crate::cloudtrail::lenient::cut;
use crate::cloudtrail::{CloudTrailEvent, Decoded, UserIdentity};
use crate::hashed::{ByHash, Seeded};
use crate::identity::{Caller, CallerKind, Grant, RemovalNotice};
use crate::sigma::{Raw, RuleMatch, RuleSet, SigmaEvent};
use crate::time::EventTime;

/// A call with who made it, as far as the record tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The call.
    pub invocation: Invocation,
    /// The caller.
    pub caller: Arc<Caller>,
    /// Rules that match its record, or may match it.
    pub matched: Vec<RuleMatch>,
    /// Whether it is no call of Bedrock: then only rules look at it.
    pub is_foreign: bool,
}

impl Call {
    /// The order of calls, whatever the order of arrival: by time, and within a second by id.
    pub fn order(&self) -> (EventTime, Option<&EventId>) {
        (self.invocation.time, self.invocation.event_id.as_ref())
    }
}

/// What an event is to the engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// A Bedrock call.
    Call(Arc<Call>),
    /// The companion record of a streaming call: tokens for the call with this request hash.
    Companion {
        /// Hash of the call's `requestID`.
        request: u64,
        /// The tokens.
        tokens: Tokens,
    },
    /// The issue of an access key.
    Grant {
        /// The access key.
        access_key_id: Arc<str>,
        /// What is known of its holder.
        grant: Box<Grant>,
    },
    /// Somebody was removed, or has returned.
    Notice(Box<RemovalNotice>),
    /// Anything else in the trail. It moves time on and is counted.
    Other,
}

impl Body {
    /// Says that it happened at `time`, where its own time cannot be believed.
    pub fn move_to(&mut self, time: EventTime) {
        match self {
            Self::Call(call) => Arc::make_mut(call).invocation.time = time,
            Self::Grant { grant, .. } => grant.issued = time,
            Self::Notice(notice) => {
                notice.time = time;
                notice.removal.iter_mut().for_each(|removal| removal.time = time);
            }
            Self::Companion { .. } | Self::Other => {}
        }
    }
}

/// One event on its way into the engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// When it happened.
    pub time: EventTime,
    /// Where that time comes from.
    pub time_source: TimeSource,
    /// What deduplication knows the event by: a hash of its `eventID`; 0 where there is nothing to know it by.
    pub fingerprint: u64,
    /// For the view of a cross-account call that the called account has, without the caller's name: what the caller's
    /// own view of the same call is known by. 0 for everything else.
    pub twin: u64,
    /// What it is.
    pub body: Body,
    /// What is no call of Bedrock and matches a rule, as a call for the rules.
    pub matched: Option<Arc<Call>>,
}

/// Turns decoded events into observations, sharing equal strings.
#[derive(Debug)]
pub struct Observer {
    models: Arc<ModelMap>,
    rules: Arc<RuleSet>,
    strings: Pool,
    known_models: Memo<Model>,
    user_agents: Memo<UserAgent>,
    callers: ByHash<u64, Arc<Caller>>,
}

/// Longest texts that are kept, in bytes.
const NAME_BYTES_MAX: usize = 128;
const USER_AGENT_BYTES_MAX: usize = 256;
/// Most strings, callers and models that are shared; beyond them a pool starts afresh (nothing is lost, only shared
/// less).
const POOL_ENTRIES_MAX: usize = 200_000;

impl Observer {
    /// An observer that resolves opaque model ARNs through `models`.
    pub fn new(models: Arc<ModelMap>) -> Self {
        Self::with_rules(models, Arc::default())
    }

    /// The same, which says which rules match.
    pub fn with_rules(models: Arc<ModelMap>, rules: Arc<RuleSet>) -> Self {
        Self {
            models,
            rules,
            strings: Pool::default(),
            known_models: Memo::default(),
            user_agents: Memo::default(),
            callers: HashMap::default(),
        }
    }

    /// Whether it asks rules, and so wants the JSON of each event.
    pub fn wants_text(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Takes other rules.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        self.rules = rules;
    }

    /// What `decoded` is. `arrival` stands in where neither the event nor its envelope has a time.
    pub fn observe(&mut self, decoded: &Decoded<'_>, arrival: EventTime) -> Observation {
        let event = &decoded.event;
        let (time, time_source) = match (EventTime::parse(event.event_time.as_str()), decoded.envelope_time) {
            (Some(time), _) => (time, TimeSource::Event),
            (None, Some(time)) => (time, TimeSource::Envelope),
            (None, None) => (arrival, TimeSource::Arrival),
        };
        let mut body = self.body(event, time, time_source);
        let matched = self.matched(decoded, &mut body, time, time_source);
        let (fingerprint, twin) = match &body {
            Body::Call(call) => call_fingerprint(event, call),
            Body::Companion { .. } | Body::Grant { .. } | Body::Notice(_) | Body::Other => (fingerprint(event), 0),
        };
        Observation { time, time_source, fingerprint, twin, body, matched }
    }

    /// Asks the rules. A call of Bedrock takes what they say along; of anything else a call is made for them.
    fn matched(&mut self, decoded: &Decoded<'_>, body: &mut Body, time: EventTime, time_source: TimeSource) -> Option<Arc<Call>> {
        if self.rules.is_empty() {
            return None;
        }
        let event = &decoded.event;
        let matched = self.rules.matches(&SigmaEvent::new(event, Raw(decoded.text)));
        if let Body::Call(call) = body {
            if !matched.is_empty() {
                Arc::make_mut(call).matched = matched;
            }
            return None;
        }
        if matched.is_empty() {
            return None;
        }
        let operation = Operation { plane: Plane::Control, is_invocation: false, is_streaming: false, sensitive: None };
        let caller = self.caller(&event.user_identity);
        let invocation = self.invocation(event, operation, time, time_source);
        Some(Arc::new(Call { invocation, caller, matched, is_foreign: true }))
    }

    fn body(&mut self, event: &CloudTrailEvent<'_>, time: EventTime, time_source: TimeSource) -> Body {
        if let Some(operation) = Operation::of(event.event_source.as_str(), event.event_name.as_str()) {
            if event.is_service_event() {
                return companion(event).unwrap_or(Body::Other);
            }
            // A network activity event repeats the call as the VPC endpoint saw it; only its refusals have no other record.
            if event.event_type.as_str() == "AwsVpceEvents" && event.error_code.is_empty() {
                return Body::Other;
            }
            let caller = self.caller(&event.user_identity);
            let invocation = self.invocation(event, operation, time, time_source);
            return Body::Call(Arc::new(Call { invocation, caller, matched: Vec::new(), is_foreign: false }));
        }
        if let Some((access_key_id, grant)) = Grant::of(event, time) {
            return Body::Grant { access_key_id, grant: Box::new(grant) };
        }
        RemovalNotice::of(event, time).map_or(Body::Other, |notice| Body::Notice(Box::new(notice)))
    }

    fn invocation(&mut self, event: &CloudTrailEvent<'_>, operation: Operation, time: EventTime, time_source: TimeSource) -> Invocation {
        let outcome = Outcome::of(event.error_code.as_str(), event.error_message.as_str());
        let (asked, added) = (&event.request_parameters, &event.additional_event_data);
        let from_message = outcome.denial().and_then(|denial| denial.resource_arn.as_deref()).filter(|arn| arn.contains(":bedrock"));
        let written = asked.model_id.non_empty().or(asked.model.non_empty()).or(event.resources.model_arn.non_empty()).or(from_message);
        Invocation {
            event_id: EventId::parse(event.event_id.as_str()),
            request: event.request_id.non_empty().map_or(0, hash_text),
            time,
            time_source,
            name: self.share(event.event_name.as_str(), NAME_BYTES_MAX),
            operation,
            model: written.map(|written| self.known_models.of(written, |written| Model::parse(written, &self.models))),
            is_model_asked: !asked.model_id.is_empty() || !asked.model.is_empty(),
            error_code: self.share(event.error_code.as_str(), NAME_BYTES_MAX),
            tokens: Tokens::of_counts(
                added.input_tokens,
                added.output_tokens,
                added.cache_read_input_tokens,
                added.cache_write_input_tokens,
            ),
            account: self.share(event.account(), NAME_BYTES_MAX),
            region: self.share(event.aws_region.as_str(), NAME_BYTES_MAX),
            source_ip: self.share(event.source_ip_address.as_str(), NAME_BYTES_MAX),
            user_agent: self.user_agents.of(cut(event.user_agent.as_str(), USER_AGENT_BYTES_MAX), UserAgent::parse),
            vpc_endpoint: event.vpc_endpoint_id.non_empty().map(|id| self.share(id, NAME_BYTES_MAX)),
            with_bearer_token: asked.call_with_bearer_token.is_true() || added.call_with_bearer_token.is_true(),
            tls: event.tls_details.tls_version.non_empty().map(|version| self.share(version, NAME_BYTES_MAX)),
            resource: self.resource(event, operation, &outcome),
            outcome,
        }
    }

    /// The resource of a call that is not about a model: as the record lists it, as its refusal names it, or made from
    /// the ids that were asked for.
    fn resource(&mut self, event: &CloudTrailEvent<'_>, operation: Operation, outcome: &Outcome) -> Option<Arc<str>> {
        if operation.plane == Plane::Runtime && operation.is_invocation {
            return None;
        }
        let named = event.resources.bedrock_arn.non_empty();
        if let Some(arn) = named.or_else(|| outcome.denial().and_then(|denial| denial.resource_arn.as_deref())) {
            return Some(self.share(arn, USER_AGENT_BYTES_MAX));
        }
        let asked = event.request_parameters.rare();
        let made = |kind: &str, id: &str| match id {
            "" => None,
            arn if arn.starts_with("arn:") => Some(arn.to_owned()),
            id => Some(format!(
                "arn:{}:bedrock:{}:{}:{kind}/{id}",
                partition(event.aws_region.as_str()),
                event.aws_region.as_str(),
                event.account()
            )),
        };
        let with_alias = |id: &str, alias: &str| if id.is_empty() || alias.is_empty() { String::new() } else { format!("{id}/{alias}") };
        let flow_alias = asked.flow_alias_identifier.non_empty().map_or_else(String::new, |alias| format!("alias/{alias}"));
        let made = made("knowledge-base", asked.knowledge_base_id.as_str())
            .or_else(|| made("agent-alias", &with_alias(asked.agent_id.as_str(), asked.agent_alias_id.as_str())))
            .or_else(|| made("guardrail", asked.guardrail_identifier.as_str()))
            .or_else(|| made("flow", &with_alias(asked.flow_identifier.as_str(), &flow_alias)))
            .or_else(|| made("prompt", asked.prompt_identifier.as_str()))?;
        Some(self.share(&made, USER_AGENT_BYTES_MAX))
    }

    fn caller(&mut self, identity: &UserIdentity<'_>) -> Arc<Caller> {
        // The hash only finds a candidate; whether it is the same caller is compared field by field.
        let hash = xxh3_64(identity.access_key_id.as_str().as_bytes()) ^ xxh3_64(identity.arn.as_str().as_bytes()).rotate_left(21);
        if let Some(known) = self.callers.get(&hash).filter(|known| known.is_of(identity)) {
            return Arc::clone(known);
        }
        let caller = Arc::new(Caller::of(identity));
        if self.callers.len() >= POOL_ENTRIES_MAX {
            self.callers.clear();
        }
        self.callers.insert(hash, Arc::clone(&caller));
        caller
    }

    fn share(&mut self, text: &str, bytes_max: usize) -> Arc<str> {
        self.strings.share(cut(text, bytes_max))
    }
}

fn companion(event: &CloudTrailEvent<'_>) -> Option<Body> {
    let details = &event.service_event_details;
    let request = details.parent_request_id.non_empty()?;
    let tokens = [&details.additional_event_data, &details.additional_event_data_lower]
        .into_iter()
        .find_map(|data| Tokens::of_entries(&data.additional_entries))
        .unwrap_or_default();
    Some(Body::Companion { request: hash_text(request), tokens })
}

/// A record without an eventID is known by its request, name and time, so that a re-delivery still counts once.
fn fingerprint(event: &CloudTrailEvent<'_>) -> u64 {
    if let Some(id) = event.event_id.non_empty() {
        return hash_text(id);
    }
    match event.request_id.non_empty() {
        Some(request) => {
            hash_text(request) ^ hash_text(event.event_name.as_str()).rotate_left(7) ^ hash_text(event.event_time.as_str()).rotate_left(13)
        }
        None => 0,
    }
}

/// A call that two accounts see has two records with different ids and one `sharedEventID`. The one of the called account
/// says `AWSAccount` in the place of who called; it is known by itself and names its twin.
fn call_fingerprint(event: &CloudTrailEvent<'_>, call: &Call) -> (u64, u64) {
    let Some(shared) = event.shared_event_id.non_empty() else { return (fingerprint(event), 0) };
    // A network activity event shares the id, too, and is another record.
    let shared = (hash_text(shared) ^ hash_text(event.event_type.as_str()).rotate_left(5)).max(1);
    if call.caller.kind == CallerKind::AwsAccount { (fingerprint(event), shared) } else { (shared, 0) }
}

/// A hash that is never 0, the same on every machine and in every version.
fn hash_text(text: &str) -> u64 {
    xxh3_64(text.as_bytes()).max(1)
}

/// What was made of a text, shared between all records that carry it. Bounded like [`Pool`].
#[derive(Debug)]
struct Memo<T>(HashMap<Box<str>, Arc<T>, Seeded>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Memo<T> {
    fn of(&mut self, text: &str, make: impl FnOnce(&str) -> T) -> Arc<T> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let made = Arc::new(make(text));
        if self.0.len() >= POOL_ENTRIES_MAX {
            self.0.clear();
        }
        self.0.insert(cut(text, USER_AGENT_BYTES_MAX).into(), Arc::clone(&made));
        made
    }
}

/// Equal strings, shared. Bounded: a full pool starts afresh.
#[derive(Debug, Default)]
struct Pool(HashSet<Arc<str>, Seeded>);

impl Pool {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(text) {
            return Arc::clone(shared);
        }
        if self.0.len() >= POOL_ENTRIES_MAX {
            self.0.clear();
        }
        let shared: Arc<str> = text.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }
}

/// Hash of anything for the tables of this process; not stable, not for ids.
pub fn table_hash(value: impl Hash) -> u64 {
    Xxh3Builder::new().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(json: &str) -> Observation {
        let event = serde_json::from_str(json).expect("json");
        Observer::new(Arc::default()).observe(&Decoded { event, envelope_time: None, text: None }, EventTime::from_unix(99))
    }

    #[test]
    fn a_denied_call_without_parameters_has_its_model_from_the_message() {
        let observation = observe(
            r#"{"eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","errorCode":"AccessDenied","requestParameters":null,
            "errorMessage":"User: arn:aws:iam::1:user/u is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x because no identity-based policy allows the bedrock:InvokeModel action"}"#,
        );
        let Body::Call(call) = observation.body else { panic!("no call") };
        assert_eq!(call.invocation.model_name(), "anthropic.claude-x");
        assert_eq!((observation.time, observation.time_source), (EventTime::from_unix(99), TimeSource::Arrival));
    }

    #[test]
    fn companions_are_no_calls() {
        let observation = observe(
            r#"{"eventType":"AwsServiceEvent","eventSource":"bedrock.amazonaws.com","eventName":"ConverseStream",
            "serviceEventDetails":{"parentRequestId":"req-A","AdditionalEventData":{"additionalEntries":{"inputTokens":123,"outputTokens":45}}}}"#,
        );
        let Body::Companion { request, tokens } = observation.body else { panic!("no companion") };
        assert_eq!((request, tokens.input), (hash_text("req-A"), 123));
    }

    #[test]
    fn the_same_event_has_the_same_fingerprint_and_others_another() {
        let one = observe(r#"{"eventID":"a","eventName":"x"}"#).fingerprint;
        assert_eq!(one, observe(r#"{"eventID":"a","eventName":"y"}"#).fingerprint);
        assert_ne!(one, observe(r#"{"eventID":"b"}"#).fingerprint);
        assert_eq!(observe(r#"{"eventName":"x"}"#).fingerprint, 0);
    }
}
