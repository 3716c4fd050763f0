//! What a Bedrock call asks IAM for: one or more pairs of action and resource, all of which must be allowed.
//!
//! | call | action |
//! |---|---|
//! | InvokeModel, Converse, StartAsyncInvoke | `bedrock:InvokeModel` |
//! | InvokeModelWithResponseStream, ConverseStream | `bedrock:InvokeModelWithResponseStream` |
//! | RetrieveAndGenerateStream | `bedrock:RetrieveAndGenerate` |
//! | InvokeAgentWithResponseStream | `bedrock:InvokeAgent` |
//! | any other | its own name |
//!
//! | model as written | resources |
//! |---|---|
//! | bare id, foundation-model ARN | the foundation model in the region of the call |
//! | cross-region inference profile | the profile, and the foundation model in every region that it leads to |
//! | application inference profile | the profile, and the foundation model that the configured map names |
//! | provisioned, custom, imported model, endpoint | its ARN |
//! | prompt, prompt router | cannot be told |
//!
//! A call with a Bedrock API key also asks for `bedrock:CallWithBearerToken` (`bedrock-mantle:CallWithBearerToken`).
//!
//! Sources: "Converse API" ("requires permission for the bedrock:InvokeModel action"), "Prerequisites for inference
//! profiles", "Identity-based policy examples for Amazon Bedrock", "Set up global cross-Region inference" in the Bedrock
//! User Guide; the Service Authorization Reference.

use std::sync::Arc;

use super::profiles::ProfileTable;
use crate::bedrock::{AREAS, Invocation, Model, Plane};
use crate::cloudtrail::Arn;
use crate::cloudtrail::arn::partition;

/// One pair that must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `service:Action`.
    pub action: String,
    /// Another action that AWS's own pages name for the same call; only where both have one verdict there is one.
    pub or_action: Option<&'static str>,
    /// ARN, `*`, or `None` where the record does not say.
    pub resource: Option<String>,
    /// The inference profile through which a foundation model is reached.
    pub profile: Profile,
    /// `aws:RequestedRegion`; `unspecified` for the region-less check of global profiles.
    pub region: Arc<str>,
    /// Whether it is certain that this is asked: regions of a profile that the table only knows by its area are not.
    pub is_certain: bool,
}

/// `bedrock:InferenceProfileArn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The model was called directly.
    None,
    /// Through this profile.
    Arn(String),
    /// The record does not say.
    Unknown,
}

/// What `invocation` by a caller of `account` asks for, or why that cannot be told.
pub fn asked(invocation: &Invocation, account: &str, profiles: &ProfileTable) -> Result<Vec<Asked>, String> {
    let (service, name) = (service(invocation.operation.plane), &*invocation.name);
    let account = if account.is_empty() { &*invocation.account } else { account };
    let ask = |action: String, resource| Asked {
        action,
        or_action: None,
        resource,
        profile: Profile::None,
        region: Arc::clone(&invocation.region),
        is_certain: true,
    };
    let action = format!("{service}:{}", action_name(name));
    let is_about_model = invocation.operation.is_invocation || name == "CountTokens";
    let mut all = match (&invocation.model, invocation.operation.plane) {
        (Some(model), Plane::Runtime) if is_about_model => of_model(&ask(action, None), model, account, profiles)?,
        _ => vec![ask(action, resource(invocation))],
    };
    for asked in &mut all {
        // "Actions defined by Amazon Bedrock" has no word of its own for it, the guide of Nova Sonic has.
        asked.or_action = (name == "InvokeModelWithBidirectionalStream").then_some("bedrock:InvokeModel");
        // A model that was read from the error message may have been reached through a profile.
        if !invocation.is_model_asked && asked.profile == Profile::None {
            asked.profile = Profile::Unknown;
        }
    }
    if invocation.with_bearer_token {
        all.push(ask(format!("{service}:CallWithBearerToken"), Some("*".to_owned())));
    }
    Ok(all)
}

const fn service(plane: Plane) -> &'static str {
    match plane {
        Plane::Mantle => "bedrock-mantle",
        Plane::AgentCore => "bedrock-agentcore",
        Plane::Runtime | Plane::Agents | Plane::KnowledgeBases | Plane::Flows | Plane::Guardrails | Plane::Prompts | Plane::Control => {
            "bedrock"
        }
    }
}

fn action_name(event_name: &str) -> &str {
    match event_name {
        "Converse" | "StartAsyncInvoke" => "InvokeModel",
        "ConverseStream" => "InvokeModelWithResponseStream",
        "RetrieveAndGenerateStream" => "RetrieveAndGenerate",
        "InvokeAgentWithResponseStream" => "InvokeAgent",
        other => other,
    }
}

/// Operations without a resource type: IAM asks for `*`.
const WITHOUT_RESOURCE: [&str; 17] = [
    "ListFoundationModels",
    "ListFoundationModelAgreementOffers",
    "ListCustomModels",
    "ListImportedModels",
    "ListModelImportJobs",
    "ListModelCustomizationJobs",
    "ListModelCopyJobs",
    "ListProvisionedModelThroughputs",
    "GetFoundationModelAvailability",
    "GetUseCaseForModelAccess",
    "PutUseCaseForModelAccess",
    "PutFoundationModelEntitlement",
    "CreateFoundationModelAgreement",
    "DeleteFoundationModelAgreement",
    "GetModelInvocationLoggingConfiguration",
    "PutModelInvocationLoggingConfiguration",
    "DeleteModelInvocationLoggingConfiguration",
];

/// The resource of a call that is not about a model. RetrieveAndGenerate is described with and without one, so that only a
/// statement about every resource speaks of it for certain.
fn resource(invocation: &Invocation) -> Option<String> {
    match &*invocation.name {
        "RetrieveAndGenerate" | "RetrieveAndGenerateStream" => None,
        name if WITHOUT_RESOURCE.contains(&name) => Some("*".to_owned()),
        _ => invocation.resource.as_deref().map(str::to_owned),
    }
}

fn of_model(ask: &Asked, model: &Model, account: &str, profiles: &ProfileTable) -> Result<Vec<Asked>, String> {
    let (region, partition) = (&ask.region, partition(&ask.region));
    let one = |resource: String| Asked { resource: Some(resource), ..ask.clone() };
    let foundation = |region: &str, id: &str| format!("arn:{partition}:bedrock:{region}::foundation-model/{id}");
    let written = &*model.as_written;
    let (kind, name) = match Arn::parse(written) {
        Some(arn) => arn.resource.split_once('/').unwrap_or((arn.resource, "")),
        None if area_of(written).is_some() => ("inference-profile", written),
        None if looks_like_a_profile(written) => {
            return Err(format!("{written} looks like a profile of an area that geophone does not know"));
        }
        None => ("foundation-model", written),
    };
    // What a profile leads to: the regions that it may be sent to, or for a plain model the region of the call.
    let behind = |id: &str, profile: &str| -> Result<Vec<Asked>, String> {
        let through = |resource, region: Arc<str>, is_certain| Asked {
            profile: Profile::Arn(profile.to_owned()),
            region,
            is_certain,
            ..one(resource)
        };
        let Some((area, base)) = area_of(id) else { return Ok(vec![through(foundation(region, id), Arc::clone(region), true)]) };
        let route = profiles
            .route(area, base, region)
            .ok_or_else(|| format!("the table of inference profiles does not know {id} from {region}"))?;
        let destination = |destination: &Arc<str>| match &**destination {
            "" => through(foundation("", base), "unspecified".into(), route.is_certain),
            "source" => through(foundation(region, base), Arc::clone(region), route.is_certain),
            other => through(foundation(other, base), Arc::clone(destination), route.is_certain),
        };
        Ok(route.regions.iter().map(destination).collect())
    };
    match kind {
        "foundation-model" if written.starts_with("arn:") => Ok(vec![one(written.to_owned())]),
        "foundation-model" => Ok(vec![one(foundation(region, name))]),
        "inference-profile" => {
            let made = || format!("arn:{partition}:bedrock:{region}:{account}:inference-profile/{name}");
            let profile = if written.starts_with("arn:") { written.to_owned() } else { made() };
            Ok([vec![one(profile.clone())], behind(name, &profile)?].concat())
        }
        "application-inference-profile" => match &model.mapped {
            Some(id) => Ok([vec![one(written.to_owned())], behind(id, written)?].concat()),
            None => Err(format!("[models] does not say which model is behind {written}")),
        },
        "prompt" | "prompt-router" | "default-prompt-router" => Err(format!("which model is behind {written} is in no record")),
        _ => Ok(vec![one(written.to_owned())]),
    }
}

/// Area and model id of a profile id: `us.anthropic.claude-…`.
fn area_of(id: &str) -> Option<(&str, &str)> {
    id.split_once('.').filter(|(area, rest)| AREAS.contains(area) && rest.contains('.'))
}

/// `xx.anthropic.claude-…`: a provider in the second place, and something unheard of in the first.
fn looks_like_a_profile(id: &str) -> bool {
    const PROVIDERS: [&str; 14] = [
        "anthropic",
        "amazon",
        "meta",
        "mistral",
        "cohere",
        "ai21",
        "deepseek",
        "openai",
        "stability",
        "writer",
        "luma",
        "qwen",
        "twelvelabs",
        "nvidia",
    ];
    let mut parts = id.split('.');
    let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    !PROVIDERS.contains(&first) && PROVIDERS.contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::ModelMap;

    fn resources(written: &str, region: &str) -> Result<Vec<String>, String> {
        let map = ModelMap::new([
            ("abc".to_owned(), "anthropic.claude-sonnet-4-6".to_owned()),
            ("def".to_owned(), "us.anthropic.claude-sonnet-4-6".to_owned()),
        ]);
        let profiles = ProfileTable::parse("us,*,*,us-east-1|us-west-2\nglobal,*,*,source|none\n").expect("a table");
        let model = Model::parse(written, &map);
        let ask = Asked {
            action: "bedrock:InvokeModel".to_owned(),
            or_action: None,
            resource: None,
            profile: Profile::None,
            region: region.into(),
            is_certain: true,
        };
        let all = of_model(&ask, &model, "111122223333", &profiles)?;
        Ok(all.into_iter().map(|asked| format!("{} {}", asked.region, asked.resource.unwrap_or_default())).collect())
    }

    #[test]
    fn every_form_of_a_model() {
        const APPLICATION: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc";
        for (written, region, expected) in [
            (
                "anthropic.claude-x",
                "us-gov-west-1",
                vec!["us-gov-west-1 arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-x"],
            ),
            (
                "us.anthropic.claude-x",
                "us-east-1",
                vec![
                    "us-east-1 arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-x",
                    "us-east-1 arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x",
                    "us-west-2 arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-x",
                ],
            ),
            (
                "global.anthropic.claude-x",
                "eu-west-1",
                vec![
                    "eu-west-1 arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-x",
                    "eu-west-1 arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-x",
                    "unspecified arn:aws:bedrock:::foundation-model/anthropic.claude-x",
                ],
            ),
            (
                APPLICATION,
                "us-east-1",
                vec![
                    "us-east-1 arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc",
                    "us-east-1 arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6",
                ],
            ),
            (
                "arn:aws:bedrock:us-east-1:1:provisioned-model/p",
                "us-east-1",
                vec!["us-east-1 arn:aws:bedrock:us-east-1:1:provisioned-model/p"],
            ),
        ] {
            assert_eq!(
                resources(written, region).as_deref(),
                Ok(&expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..]),
                "{written}"
            );
        }
        assert!(resources(&APPLICATION.replace("abc", "zzz"), "us-east-1").is_err_and(|why| why.contains("[models]")));
        // An application profile over a cross-region one leads where that one leads.
        assert_eq!(resources(&APPLICATION.replace("abc", "def"), "us-east-1").map(|all| all.len()), Ok(3));
        assert!(resources("xx.anthropic.claude-x", "eu-west-1").is_err_and(|why| why.contains("does not know")));
        assert!(resources("arn:aws:bedrock:us-east-1:1:prompt/P", "us-east-1").is_err());
        assert!(resources("eu.anthropic.claude-x", "eu-west-1").is_err_and(|why| why.contains("table")));
    }
}
