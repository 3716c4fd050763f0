//! Which of Bedrock's operations an event is, and on which plane.
//!
//! InvokeModel, Converse and their streaming forms are **management** events and read-only; agents, knowledge bases,
//! flows, guardrails, prompts and `bedrock-mantle` are data events. So neither `eventCategory` nor `readOnly` is looked
//! at: the source and the name decide. Source: "Monitor Amazon Bedrock API calls using CloudTrail" and "Monitor
//! bedrock-mantle API calls" in the Bedrock User Guide.

use serde::{Deserialize, Serialize};

/// The part of Bedrock that an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Plane {
    /// Inference on `bedrock-runtime`.
    Runtime,
    /// Agents and inline agents.
    Agents,
    /// Retrieval from knowledge bases.
    KnowledgeBases,
    /// Flows.
    Flows,
    /// Guardrails applied to text.
    Guardrails,
    /// Prompt rendering.
    Prompts,
    /// The OpenAI-compatible endpoint, `bedrock-mantle.amazonaws.com`.
    Mantle,
    /// AgentCore.
    AgentCore,
    /// Everything that builds, lists or configures.
    Control,
}

impl Plane {
    /// The plane's name in alerts and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Agents => "agents",
            Self::KnowledgeBases => "knowledge-bases",
            Self::Flows => "flows",
            Self::Guardrails => "guardrails",
            Self::Prompts => "prompts",
            Self::Mantle => "mantle",
            Self::AgentCore => "agentcore",
            Self::Control => "control-plane",
        }
    }
}

/// What a control-plane change touches that attackers touch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sensitive {
    /// Which models the account may use at all: use case, agreement, entitlement.
    ModelAccess,
    /// Whether prompts and answers are logged.
    InvocationLogging,
    /// What guardrails let through.
    Guardrail,
}

impl Sensitive {
    /// What was changed, for a sentence: "changed …".
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::ModelAccess => "model access",
            Self::InvocationLogging => "invocation logging",
            Self::Guardrail => "a guardrail",
        }
    }
}

/// An operation as far as detection needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Where it belongs.
    pub plane: Plane,
    /// Whether it spends a model's time (InvokeModel, Converse, InvokeAgent, …). Only these count towards rates.
    pub is_invocation: bool,
    /// Whether its tokens may come in a companion record.
    pub is_streaming: bool,
    /// Set for changes of access, logging or guardrails.
    pub sensitive: Option<Sensitive>,
}

impl Operation {
    /// The operation of an event, or `None` where the event is not Bedrock's.
    pub fn of(event_source: &str, event_name: &str) -> Option<Self> {
        match event_source {
            // The host `bedrock-runtime` shows only in tlsDetails of real records; the other names cost nothing to take.
            "bedrock.amazonaws.com"
            | "bedrock-runtime.amazonaws.com"
            | "bedrock-agent.amazonaws.com"
            | "bedrock-agent-runtime.amazonaws.com" => Some(Self::bedrock(event_name)),
            "bedrock-mantle.amazonaws.com" => Some(Self {
                plane: Plane::Mantle,
                is_invocation: event_name == "CreateInference",
                is_streaming: event_name == "CreateInference",
                sensitive: None,
            }),
            "bedrock-agentcore.amazonaws.com" => Some(Self {
                plane: Plane::AgentCore,
                is_invocation: event_name.starts_with("Invoke"),
                is_streaming: false,
                sensitive: None,
            }),
            _ => None,
        }
    }

    fn bedrock(name: &str) -> Self {
        let (plane, is_invocation) = match name {
            "InvokeModel"
            | "InvokeModelWithResponseStream"
            | "InvokeModelWithBidirectionalStream"
            | "Converse"
            | "ConverseStream"
            | "StartAsyncInvoke" => (Plane::Runtime, true),
            "GetAsyncInvoke" | "ListAsyncInvokes" | "CountTokens" => (Plane::Runtime, false),
            "InvokeAgent" | "InvokeInlineAgent" => (Plane::Agents, true),
            "Retrieve" | "RetrieveAndGenerate" | "RetrieveAndGenerateStream" => (Plane::KnowledgeBases, name != "Retrieve"),
            "InvokeFlow" | "StartFlowExecution" => (Plane::Flows, true),
            "ApplyGuardrail" => (Plane::Guardrails, false),
            "RenderPrompt" => (Plane::Prompts, false),
            _ => (Plane::Control, false),
        };
        let is_streaming = name.ends_with("Stream");
        Self { plane, is_invocation, is_streaming, sensitive: sensitive(name) }
    }
}

fn sensitive(name: &str) -> Option<Sensitive> {
    match name {
        "PutUseCaseForModelAccess"
        | "CreateFoundationModelAgreement"
        | "DeleteFoundationModelAgreement"
        | "PutFoundationModelEntitlement"
        | "DeleteFoundationModelEntitlement" => Some(Sensitive::ModelAccess),
        "PutModelInvocationLoggingConfiguration" | "DeleteModelInvocationLoggingConfiguration" => Some(Sensitive::InvocationLogging),
        "UpdateGuardrail" | "DeleteGuardrail" | "PutEnforcedGuardrailConfiguration" | "DeleteEnforcedGuardrailConfiguration" => {
            Some(Sensitive::Guardrail)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_kinds() {
        let of = |name| Operation::of("bedrock.amazonaws.com", name).expect("Bedrock");
        for name in ["InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"] {
            assert!(of(name).is_invocation && of(name).plane == Plane::Runtime, "{name}");
        }
        assert!(of("ConverseStream").is_streaming && !of("Converse").is_streaming);
        assert_eq!(of("InvokeAgent").plane, Plane::Agents);
        assert_eq!(of("PutUseCaseForModelAccess").sensitive, Some(Sensitive::ModelAccess));
        assert_eq!(of("SomethingOfNextYear").plane, Plane::Control);
        assert!(Operation::of("bedrock-mantle.amazonaws.com", "CreateInference").is_some_and(|o| o.is_invocation));
        assert_eq!(Operation::of("s3.amazonaws.com", "GetObject"), None);
    }
}
