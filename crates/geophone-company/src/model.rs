//! The models of the region, the ways in which callers write them, and globs over them.

use crate::estate::Estate;
use crate::random::Random;

/// A foundation model that the company has enabled, or that an attacker asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Bare model id, such as `amazon.nova-lite-v1:0`.
    pub id: &'static str,
    /// Whether an inference profile (`us.…`, `global.…`) may stand for it.
    pub(crate) profile: Profile,
    /// Typical prompt size in tokens; 0 if the model does not count tokens.
    pub(crate) input_tokens: u32,
    /// Typical answer in tokens; 0 for models that return no text.
    pub(crate) output_tokens: u32,
}

/// Which inference profiles AWS offers for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// On demand under its own id only.
    None,
    /// The geography's profile beside the bare id.
    Geographic,
    /// Reachable through a profile only, geographic or `global.`.
    Required,
}

const fn model(id: &'static str, profile: Profile, input: u32, output: u32) -> Model {
    Model { id, profile, input_tokens: input, output_tokens: output }
}

/// Every model that occurs in the traffic.
pub const MODELS: &[Model] = &[
    model("anthropic.claude-opus-4-1-20250805-v1:0", Profile::Required, 2_600, 900),
    model("anthropic.claude-sonnet-4-5-20250929-v1:0", Profile::Required, 1_900, 650),
    model("anthropic.claude-haiku-4-5-20251001-v1:0", Profile::Required, 1_100, 320),
    model("anthropic.claude-3-haiku-20240307-v1:0", Profile::Geographic, 900, 260),
    model("amazon.nova-pro-v1:0", Profile::Geographic, 1_400, 420),
    model("amazon.nova-lite-v1:0", Profile::Geographic, 800, 240),
    model("amazon.nova-micro-v1:0", Profile::Geographic, 500, 120),
    model("amazon.nova-canvas-v1:0", Profile::None, 0, 0),
    model("amazon.titan-embed-text-v2:0", Profile::None, 480, 0),
    model("meta.llama3-3-70b-instruct-v1:0", Profile::Geographic, 1_300, 480),
    model("mistral.mistral-large-2402-v1:0", Profile::None, 1_000, 380),
    model("deepseek.r1-v1:0", Profile::Required, 1_500, 1_400),
    model("openai.gpt-oss-120b-1:0", Profile::None, 1_200, 700),
    model("cohere.embed-multilingual-v3", Profile::None, 450, 0),
    model("stability.stable-image-core-v1:1", Profile::None, 0, 0),
];

impl Model {
    /// The models whose bare id matches one of `globs`.
    pub(crate) fn matching(globs: &[String]) -> Vec<&'static Self> {
        let wanted = |model: &&Self| globs.iter().any(|glob| glob_matches(glob, model.id));
        MODELS.iter().filter(wanted).collect()
    }

    /// Embeddings and images: `InvokeModel` is the only way to call them.
    pub(crate) const fn converses(&self) -> bool {
        self.output_tokens > 0
    }

    /// The id as one caller's code has it.
    pub(crate) fn written(&self, form: Form, estate: &Estate) -> String {
        let (account, region, id) = (&estate.account, &estate.region, self.id);
        let geography = estate.geography();
        match (self.profile, form) {
            (Profile::None, Form::ModelArn | Form::ProfileArn) => {
                format!("arn:aws:bedrock:{region}::foundation-model/{id}")
            }
            (Profile::None, _) | (Profile::Geographic, Form::Bare) => id.to_owned(),
            (Profile::Geographic, Form::ModelArn) => {
                format!("arn:aws:bedrock:{region}::foundation-model/{id}")
            }
            (Profile::Required, Form::Global) => format!("global.{id}"),
            (_, Form::ProfileArn) => {
                format!("arn:aws:bedrock:{region}:{account}:inference-profile/{geography}.{id}")
            }
            (Profile::Geographic | Profile::Required, _) => format!("{geography}.{id}"),
        }
    }
}

/// How a caller's code writes model ids; a habit, like its user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Bare,
    Geographic,
    Global,
    ModelArn,
    ProfileArn,
}

impl Form {
    /// Bare ids and geographic profiles are what tutorials show, so most have them.
    pub(crate) fn habit(random: &mut Random) -> Self {
        const COMMON: [Form; 10] = [
            Form::Bare,
            Form::Bare,
            Form::Bare,
            Form::Geographic,
            Form::Geographic,
            Form::Geographic,
            Form::Geographic,
            Form::Global,
            Form::ModelArn,
            Form::ProfileArn,
        ];
        *random.pick(&COMMON)
    }
}

/// The bare model id behind an id, a profile id or an ARN as a caller wrote it.
///
/// ```
/// # use geophone_company::base_model;
/// assert_eq!(base_model("us.amazon.nova-pro-v1:0"), "amazon.nova-pro-v1:0");
/// let arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0";
/// assert_eq!(base_model(arn), "amazon.nova-pro-v1:0");
/// ```
pub fn base_model(as_written: &str) -> &str {
    let id = match as_written.rsplit_once('/') {
        Some((_, last)) if as_written.starts_with("arn:") => last,
        _ => as_written,
    };
    match id.split_once('.') {
        Some(("us" | "eu" | "apac" | "jp" | "us-gov" | "global", rest)) => rest,
        _ => id,
    }
}

/// Whether `text` matches `glob`, in which `*` stands for anything.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    match glob.split_once('*') {
        None => glob == text,
        Some((before, after)) => text
            .strip_prefix(before)
            .is_some_and(|rest| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| glob_matches(after, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("anthropic.claude-*", "anthropic.claude-3-haiku", true),
            ("anthropic.claude-*", "amazon.nova", false),
            ("*", "", true),
            ("*-v1:0", "amazon.nova-pro-v1:0", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b", "abc", false),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn every_form_leads_back_to_the_model() {
        let estate = Estate::new(1, "111122223333", "eu-west-1");
        for model in MODELS {
            for form in [Form::Bare, Form::Geographic, Form::Global, Form::ModelArn, Form::ProfileArn] {
                assert_eq!(base_model(&model.written(form, &estate)), model.id);
            }
        }
    }
}
