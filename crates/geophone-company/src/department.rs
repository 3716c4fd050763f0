//! The departments: who they are, how they sign in, which models they may call.

use crate::estate::{Estate, Role};
use crate::model::glob_matches;

/// One department and its row of the model table.
#[derive(Clone, Debug)]
pub struct Department {
    /// Value of the `dept` session tag.
    pub name: String,
    /// Globs over bare model ids; a call outside them is a violation.
    pub models: Vec<String>,
    /// Roles whose sessions call models for this department. The Cognito
    /// departments share one, so that the role alone does not tell them apart.
    pub role_arns: Vec<String>,
    /// How many people work there.
    pub people: usize,
    /// How its people get their credentials.
    pub login: Login,
    pub(crate) role: Role,
}

/// The way from a person to an access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Login {
    /// Cognito's enhanced flow: one role and one session name for everybody; the
    /// STS record carries `principalTags`.
    Cognito,
    /// `AssumeRoleWithSAML`; the session name is the e-mail address.
    Saml,
    /// A broker calls `AssumeRole` with a `tags` array, for one half of the
    /// department; the other half chains from a base role, and its tags arrive as
    /// `incomingTransitiveTags`.
    TaggedRole,
    /// Identity Center: an `AWSReservedSSO_` role and `onBehalfOf.userId`.
    IdentityCenter,
}

/// Name, share of the staff in percent, login, model globs.
type Row = (&'static str, usize, Login, &'static [&'static str]);

const TABLE: [Row; 7] = [
    ("legal", 10, Login::Cognito, &["anthropic.claude-opus-*", "anthropic.claude-sonnet-*"]),
    ("compliance", 10, Login::Cognito, &["anthropic.claude-sonnet-*", "anthropic.claude-haiku-*"]),
    ("marketing", 20, Login::Cognito, &["amazon.nova-*", "stability.*"]),
    ("finance", 15, Login::Saml, &["amazon.nova-pro-*", "amazon.nova-lite-*", "anthropic.claude-haiku-*"]),
    (
        "engineering",
        27,
        Login::TaggedRole,
        &[
            "anthropic.claude-sonnet-*",
            "anthropic.claude-haiku-*",
            "anthropic.claude-3-haiku-*",
            "amazon.nova-micro-*",
            "amazon.titan-embed-*",
            "mistral.*",
        ],
    ),
    ("research", 15, Login::IdentityCenter, &["meta.llama*", "deepseek.*", "openai.gpt-oss-*", "anthropic.claude-sonnet-*", "cohere.*"]),
    // Administers Bedrock from the console; it may try the small model and seldom does.
    ("platform", 3, Login::IdentityCenter, &["anthropic.claude-haiku-*"]),
];

impl Department {
    /// Whether this department's table lets it call the model, given by bare id.
    pub fn may_call(&self, model_id: &str) -> bool {
        self.models.iter().any(|glob| glob_matches(glob, model_id))
    }

    /// All departments of a company with that many people.
    pub(crate) fn all(people: usize, estate: &Estate) -> Vec<Self> {
        let mut left = people;
        let mut departments: Vec<Self> = TABLE
            .iter()
            .map(|&(name, share, login, models)| {
                let count = (people * share / 100).max(1).min(left);
                left -= count;
                let role = role(name, login, estate);
                Self {
                    name: name.to_owned(),
                    models: models.iter().map(|&glob| glob.to_owned()).collect(),
                    role_arns: vec![role.arn.clone()],
                    people: count,
                    login,
                    role,
                }
            })
            .collect();
        // What rounding leaves over works in engineering.
        if let Some(engineering) = departments.iter_mut().find(|d| d.name == "engineering") {
            engineering.people += left;
        }
        departments
    }
}

fn role(name: &str, login: Login, estate: &Estate) -> Role {
    match (login, name) {
        (Login::Cognito, _) => estate.role("app/", "assistant-user"),
        (Login::IdentityCenter, "platform") => estate.permission_set("BedrockAdmin"),
        (Login::IdentityCenter, _) => estate.permission_set("BedrockResearch"),
        (Login::Saml | Login::TaggedRole, _) => estate.role("departments/", &format!("bedrock-{name}")),
    }
}
