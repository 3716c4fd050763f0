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
//! | provisioned, custom, imported model, prompt, endpoint | its ARN |
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

/// One pair that must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `service:Action`.
    pub action: String,
    /// ARN, `*`, or `None` where the record does not say.
    pub resource: Option<String>,
    /// The inference profile through which a foundation model is reached.
    pub profile: Option<String>,
    /// `aws:RequestedRegion`; `unspecified` for the region-less check of global profiles.
    pub region: Arc<str>,
}

/// What `invocation` by a caller of `account` asks for, or why that cannot be told.
pub fn asked(invocation: &Invocation, account: &str, profiles: &ProfileTable) -> Result<Vec<Asked>, String> {
    let (service, name) = (service(invocation.operation.plane), &*invocation.name);
    let account = if account.is_empty() { &*invocation.account } else { account };
    let action = format!("{service}:{}", action_name(name));
    let mut all = match (&invocation.model, invocation.operation.plane) {
        (Some(model), Plane::Runtime) => of_model(&action, model, &invocation.region, account, profiles)?,
        _ => vec![Asked { resource: resource(invocation), action, profile: None, region: Arc::clone(&invocation.region) }],
    };
    if invocation.with_bearer_token {
        let action = format!("{service}:CallWithBearerToken");
        all.push(Asked { action, resource: Some("*".to_owned()), profile: None, region: Arc::clone(&invocation.region) });
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

/// The resource of a call that is not about a model. Actions without a resource type are asked for with `*`.
fn resource(invocation: &Invocation) -> Option<String> {
    const WITHOUT_RESOURCE: [&str; 4] =
        ["RetrieveAndGenerate", "RetrieveAndGenerateStream", "PutUseCaseForModelAccess", "InvokeInlineAgent"];
    let is_list = invocation.name.starts_with("List") || WITHOUT_RESOURCE.contains(&&*invocation.name);
    invocation.resource.as_deref().map(str::to_owned).or_else(|| is_list.then(|| "*".to_owned()))
}

fn of_model(action: &str, model: &Model, region: &Arc<str>, account: &str, profiles: &ProfileTable) -> Result<Vec<Asked>, String> {
    let ask = |resource: String, profile: Option<&str>, region: &Arc<str>| Asked {
        action: action.to_owned(),
        resource: Some(resource),
        profile: profile.map(str::to_owned),
        region: Arc::clone(region),
    };
    let partition = partition(region);
    let written = &*model.as_written;
    let (kind, name) = match Arn::parse(written) {
        Some(arn) => arn.resource.split_once('/').unwrap_or((arn.resource, "")),
        None => match area_of(written) {
            Some(_) => ("inference-profile", written),
            None => ("foundation-model", written),
        },
    };
    let foundation = |region: &str, id: &str| format!("arn:{partition}:bedrock:{region}::foundation-model/{id}");
    match kind {
        "foundation-model" if written.starts_with("arn:") => Ok(vec![ask(written.to_owned(), None, region)]),
        "foundation-model" => Ok(vec![ask(foundation(region, name), None, region)]),
        "inference-profile" => {
            let profile = if written.starts_with("arn:") {
                written.to_owned()
            } else {
                format!("arn:{partition}:bedrock:{region}:{account}:inference-profile/{name}")
            };
            let (area, id) = area_of(name).ok_or_else(|| format!("{name} is no profile id"))?;
            let route = profiles
                .route(area, id, region)
                .ok_or_else(|| format!("the table of inference profiles does not know {name} from {region}"))?;
            let mut all = vec![ask(profile.clone(), None, region)];
            for destination in &route.regions {
                let (at, requested): (&str, Arc<str>) = match &**destination {
                    "" => ("", "unspecified".into()),
                    "source" => (region, Arc::clone(region)),
                    other => (other, Arc::clone(destination)),
                };
                all.push(ask(foundation(at, id), Some(&profile), &requested));
            }
            Ok(all)
        }
        // The map has put the base model's id in the place of the ARN's own name.
        "application-inference-profile" if model.id.contains('.') && !model.id.contains('/') => {
            Ok(vec![ask(written.to_owned(), None, region), ask(foundation(region, &model.id), Some(written), region)])
        }
        "application-inference-profile" => Err(format!("[models] does not say which model is behind {written}")),
        _ => Ok(vec![ask(written.to_owned(), None, region)]),
    }
}

/// Area and model id of a profile id: `us.anthropic.claude-…`.
fn area_of(id: &str) -> Option<(&str, &str)> {
    id.split_once('.').filter(|(area, rest)| AREAS.contains(area) && rest.contains('.'))
}

fn partition(region: &str) -> &'static str {
    if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else if region.starts_with("cn-") {
        "aws-cn"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::ModelMap;

    fn resources(written: &str, region: &str) -> Result<Vec<String>, String> {
        let map = ModelMap::new([("abc".to_owned(), "anthropic.claude-sonnet-4-6".to_owned())]);
        let profiles = ProfileTable::parse("us,*,*,us-east-1|us-west-2\nglobal,*,*,source|none\n").expect("a table");
        let model = Model::parse(written, &map);
        let all = of_model("bedrock:InvokeModel", &model, &region.into(), "111122223333", &profiles)?;
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
        assert!(resources("eu.anthropic.claude-x", "eu-west-1").is_err_and(|why| why.contains("table")));
    }
}
