//! Calls to Bedrock: inference, its refusals and companions, and the control plane.

use crate::estate::Estate;
use crate::grant::resource;
use crate::journal::Journal;
use crate::json::object_text;
use crate::model::{Model, base_model};
use crate::random::{Random, Uuid};
use crate::record::{BEDROCK, Record};
use crate::session::Session;

/// The four inference operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    InvokeModel,
    InvokeModelWithResponseStream,
    Converse,
    ConverseStream,
}

impl Operation {
    /// What a caller with that liking for streams uses on the model.
    pub(crate) fn choose(model: &Model, streaming: f64, random: &mut Random) -> Self {
        match (model.converses(), random.chance(streaming), random.chance(0.25)) {
            (false, _, _) | (true, false, true) => Self::InvokeModel,
            (true, false, false) => Self::Converse,
            (true, true, true) => Self::InvokeModelWithResponseStream,
            (true, true, false) => Self::ConverseStream,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
        }
    }

    const fn streams(self) -> bool {
        matches!(self, Self::InvokeModelWithResponseStream | Self::ConverseStream)
    }

    /// IAM knows no Converse: messages name the action that guards it.
    const fn action(self) -> &'static str {
        if self.streams() { "bedrock:InvokeModelWithResponseStream" } else { "bedrock:InvokeModel" }
    }
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    MissingPermission,
    ExplicitDeny,
    ServiceControlPolicy,
    ModelNotEnabled,
}

/// One inference call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) session: &'a Session,
    pub(crate) time: i64,
    pub(crate) region: &'a str,
    pub(crate) operation: Operation,
    pub(crate) model: &'a Model,
    pub(crate) as_written: &'a str,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) bearer: bool,
}

struct Tokens {
    input: u64,
    output: u64,
}

impl Invocation<'_> {
    /// The call and, if it streams, the service event with its tokens.
    pub(crate) fn record(&self, journal: &mut Journal<'_>) {
        let tokens = self.tokens(&mut journal.random);
        let destination = self.destination(journal);
        let request_id = self.push_call(journal, &tokens, destination);
        if self.operation.streams() && self.refusal.is_none() {
            self.push_companion(journal, &tokens, destination, request_id);
        }
    }

    /// The call without a companion.
    pub(crate) fn record_alone(&self, journal: &mut Journal<'_>) {
        let tokens = self.tokens(&mut journal.random);
        let destination = self.destination(journal);
        self.push_call(journal, &tokens, destination);
    }

    fn tokens(&self, random: &mut Random) -> Tokens {
        let mut draw = |median: u32| random.lognormal(f64::from(median), 0.5, 4.0) as u64;
        Tokens { input: draw(self.model.input_tokens), output: draw(self.model.output_tokens) }
    }

    /// The region that a profile sent the call to, if it was another one.
    fn destination(&self, journal: &mut Journal<'_>) -> Option<&'static str> {
        let id = self.as_written.rsplit('/').next().unwrap_or_default();
        let by_profile = base_model(id) != id;
        let destination = *journal.random.pick(journal.estate.destinations());
        (by_profile && destination != self.region).then_some(destination)
    }

    fn push_call(&self, journal: &mut Journal<'_>, tokens: &Tokens, destination: Option<&str>) -> Option<Uuid> {
        let estate = journal.estate;
        let error = self.refusal.map(|refusal| ("AccessDenied", self.message(refusal, estate)));
        // IAM refuses before the request is read, so most such records have no parameters.
        let unread = self.refusal.is_some_and(|refusal| refusal != Refusal::ModelNotEnabled) && journal.random.chance(0.875);
        let request = if unread { "null".to_owned() } else { self.request(&mut journal.random) };
        let additional = self.additional(tokens, destination);
        let mut record = Record::new(BEDROCK, self.operation.name(), &estate.account, &mut journal.random);
        record.user_identity_json = &self.session.user_identity_json;
        (record.time, record.region) = (self.time, self.region);
        (record.source_ip, record.user_agent) = (&self.session.source_ip, &self.session.user_agent);
        record.error = error.as_ref().map(|(code, message)| (*code, message.as_str()));
        record.request_json = &request;
        record.additional_json = &additional;
        if self.session.inside {
            record.vpc_endpoint = &estate.vpc_endpoint;
            record.shared_event_id = Some(journal.random.uuid());
        }
        record.host = "bedrock-runtime";
        record.from_console = self.session.from_console;
        journal.push(&record, &self.session.partition_key);
        record.request_id
    }

    fn request(&self, random: &mut Random) -> String {
        object_text(|request| {
            request.text("modelId", self.as_written);
            if matches!(self.operation, Operation::Converse | Operation::ConverseStream) {
                request.object("inferenceConfig", |config| {
                    config.number("maxTokens", *random.pick(&[1_024, 2_048, 4_096]));
                });
            }
        })
    }

    fn additional(&self, tokens: &Tokens, destination: Option<&str>) -> String {
        let in_call = self.refusal.is_none() && !self.operation.streams();
        let counted = in_call && tokens.input > 0;
        let rerouted = destination.filter(|_| self.refusal.is_none());
        if !counted && rerouted.is_none() && !self.bearer {
            return String::new();
        }
        object_text(|data| {
            if let Some(region) = rerouted {
                data.text("inferenceRegion", region);
            }
            if counted {
                data.number("inputTokens", tokens.input);
                data.number("outputTokens", tokens.output);
            }
            if self.bearer {
                data.flag("callWithBearerToken", true);
            }
        })
    }

    fn message(&self, refusal: Refusal, estate: &Estate) -> String {
        let (arn, action) = (&self.session.arn, self.operation.action());
        let resource = self.resource_arn(estate);
        let head = format!("User: {arn} is not authorized to perform: {action} on resource: {resource}");
        match refusal {
            Refusal::MissingPermission => {
                format!("{head} because no identity-based policy allows the {action} action")
            }
            Refusal::ExplicitDeny => {
                format!("{head} with an explicit deny in an identity-based policy")
            }
            Refusal::ServiceControlPolicy => {
                format!("{head} with an explicit deny in a service control policy")
            }
            Refusal::ModelNotEnabled => "You don't have access to the model with the specified model ID.".to_owned(),
        }
    }

    /// The resource that IAM names: for a global profile, a model in no region.
    fn resource_arn(&self, estate: &Estate) -> String {
        let (region, id) = (self.region, self.model.id);
        if self.as_written.starts_with("arn:") {
            self.as_written.to_owned()
        } else if self.as_written.starts_with("global.") {
            format!("arn:aws:bedrock:::foundation-model/{id}")
        } else if self.as_written == id {
            format!("arn:aws:bedrock:{region}::foundation-model/{id}")
        } else {
            let (account, profile) = (&estate.account, self.as_written);
            format!("arn:aws:bedrock:{region}:{account}:inference-profile/{profile}")
        }
    }

    fn push_companion(&self, journal: &mut Journal<'_>, tokens: &Tokens, destination: Option<&str>, parent: Option<Uuid>) {
        let estate = journal.estate;
        let region = destination.unwrap_or(self.region);
        let caller = object_text(|identity| {
            identity.text("accountId", &estate.account);
            identity.text("invokedBy", BEDROCK);
        });
        let model = format!("arn:aws:bedrock:{region}::foundation-model/{}", self.model.id);
        let resources = resource(estate, "AWS::Bedrock::Model", &model);
        let details = object_text(|details| {
            let parent = parent.map(|id| id.to_string()).unwrap_or_default();
            details.text("parentRequestId", &parent);
            details.object("AdditionalEventData", |data| {
                data.object("additionalEntries", |entries| {
                    entries.text("inferenceRegion", region);
                    entries.number("inputTokens", tokens.input);
                    entries.number("outputTokens", tokens.output);
                });
            });
        });
        let mut record = Record::new(BEDROCK, self.operation.name(), &estate.account, &mut journal.random);
        record.user_identity_json = &caller;
        // The answer has to be streamed to its end first.
        record.time = self.time + journal.random.between(1, 12);
        record.region = self.region;
        (record.source_ip, record.user_agent) = (BEDROCK, BEDROCK);
        record.resources_json = &resources;
        record.service_details_json = &details;
        record.request_id = None;
        journal.push(&record, &estate.account);
    }
}

/// A call of a management API: Bedrock's control plane, IAM, Cognito's user pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control<'a> {
    pub(crate) session: &'a Session,
    pub(crate) time: i64,
    pub(crate) region: &'a str,
    pub(crate) source: &'a str,
    pub(crate) name: &'a str,
    pub(crate) request_json: &'a str,
    pub(crate) response_json: &'a str,
    pub(crate) additional_json: &'a str,
}

impl<'a> Control<'a> {
    /// A Bedrock control call that carries nothing.
    pub(crate) const fn bedrock(session: &'a Session, region: &'a str, time: i64, name: &'a str) -> Self {
        Self { session, time, region, source: BEDROCK, name, request_json: "null", response_json: "null", additional_json: "" }
    }

    pub(crate) fn record(&self, journal: &mut Journal<'_>) {
        let account = &journal.estate.account;
        let mut record = Record::new(self.source, self.name, account, &mut journal.random);
        record.version = "1.09";
        record.user_identity_json = &self.session.user_identity_json;
        (record.time, record.region) = (self.time, self.region);
        (record.source_ip, record.user_agent) = (&self.session.source_ip, &self.session.user_agent);
        (record.request_json, record.response_json) = (self.request_json, self.response_json);
        record.additional_json = self.additional_json;
        record.read_only = ["Get", "List", "Describe"].iter().any(|verb| self.name.starts_with(verb));
        record.host = self.source.split('.').next().unwrap_or_default();
        record.from_console = self.session.from_console;
        journal.push(&record, &self.session.partition_key);
    }
}

/// `{"modelId": …}`, the parameter of most control calls about a model.
pub(crate) fn model_json(model: &str) -> String {
    object_text(|request| request.text("modelId", model))
}
