//! Attacks by name.

use std::fmt;
use std::str::FromStr;

pub(crate) mod bedrock_admin;
pub(crate) mod keys;
pub(crate) mod script;
pub(crate) mod sessions;

/// A scripted attack. Each is a story that has been reported from the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// A person tries the models of others in several regions; identity policies and
    /// a service control policy refuse every call.
    DeniedProbe,
    /// A person of marketing succeeds on a model that only legal may call: IAM drift.
    CrossDepartment,
    /// A stolen session makes hundreds of calls in minutes, from the usual place.
    InvocationBurst,
    /// The long-lived key appears in a foreign network, sweeps model availability,
    /// looks at logging and switches it off, enables a model for itself and uses it.
    LlmJacking,
    /// An administrator's session mints a Bedrock API key, which then calls from
    /// outside with a bearer token, through the runtime and through mantle.
    BearerKey,
    /// A person tries models that the account has not enabled.
    ModelNotEnabled,
    /// An administrator's session weakens the guardrail and deletes it.
    GuardrailTampering,
    /// An instance's credentials are used from outside, through metadata version 1.
    SessionTheft,
    /// A person goes on calling after being disabled in the user pool.
    Offboarded,
    /// A person with office hours works through the small hours of the night.
    OddHours,
    /// A machine's session poisons a knowledge base.
    RagPoisoning,
    /// Many people of one department each call some three times as much as usual.
    Campaign,
}

impl Attack {
    /// Every attack.
    pub const ALL: [Self; 12] = [
        Self::DeniedProbe,
        Self::CrossDepartment,
        Self::InvocationBurst,
        Self::LlmJacking,
        Self::BearerKey,
        Self::ModelNotEnabled,
        Self::GuardrailTampering,
        Self::SessionTheft,
        Self::Offboarded,
        Self::OddHours,
        Self::RagPoisoning,
        Self::Campaign,
    ];

    /// The name as command lines and files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeniedProbe => "denied-probe",
            Self::CrossDepartment => "cross-department",
            Self::InvocationBurst => "invocation-burst",
            Self::LlmJacking => "llm-jacking",
            Self::BearerKey => "bearer-key",
            Self::ModelNotEnabled => "model-not-enabled",
            Self::GuardrailTampering => "guardrail-tampering",
            Self::SessionTheft => "session-theft",
            Self::Offboarded => "offboarded",
            Self::OddHours => "odd-hours",
            Self::RagPoisoning => "rag-poisoning",
            Self::Campaign => "campaign",
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No attack has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAttack(
    /// The name that was asked for.
    pub String,
);

impl fmt::Display for UnknownAttack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Attack::ALL.map(Attack::name).join(", ");
        write!(formatter, "no attack is called {:?}; there are {known}", self.0)
    }
}

impl std::error::Error for UnknownAttack {}

impl FromStr for Attack {
    type Err = UnknownAttack;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|attack| attack.name() == name).ok_or_else(|| UnknownAttack(name.to_owned()))
    }
}
