//! Clients for streams and topics, and the look at both before anything starts.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::config::timeout::TimeoutConfig;
use kinesis_lease::client_config_defaults;

use crate::cli::{Exit, Failure};
use crate::config::{Stream, Topic};
use crate::sns::describe;

/// How AWS is reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// Credentials and region from the environment, a profile, the container or the instance.
    Environment,
    /// Fixed credentials that mean nothing, for emulators on loopback.
    Emulator,
}

const EMULATOR_REGION: &str = "us-east-1";

impl Access {
    /// What clients are made from.
    pub(super) async fn config(&self, region: Option<&str>) -> SdkConfig {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        let loader = match self {
            Self::Environment => loader,
            Self::Emulator => {
                let nobody = aws_sdk_kinesis::config::Credentials::new("AKIAIOSFODNN7EXAMPLE", "not-a-secret", None, None, "emulator");
                loader.credentials_provider(nobody).region(Region::new(EMULATOR_REGION))
            }
        };
        let loader = match region {
            Some(region) => loader.region(Region::new(region.to_owned())),
            None => loader,
        };
        loader.load().await
    }
}

/// A client for every stream.
pub(super) async fn streams(access: &Access, streams: &[Stream]) -> Vec<(aws_sdk_kinesis::Client, Stream)> {
    let mut configs: HashMap<Option<String>, SdkConfig> = HashMap::new();
    let mut clients = Vec::new();
    for stream in streams {
        let region = stream.region.clone().or_else(|| stream.arn.as_deref().and_then(region_of));
        if !configs.contains_key(&region) {
            configs.insert(region.clone(), access.config(region.as_deref()).await);
        }
        let mut builder = aws_sdk_kinesis::config::Builder::from(&configs[&region]);
        builder.set_endpoint_url(stream.endpoint.clone().or_else(|| configs[&region].endpoint_url().map(str::to_owned)));
        clients.push((aws_sdk_kinesis::Client::from_conf(client_config_defaults(builder).build()), stream.clone()));
    }
    clients
}

/// A client for every topic.
pub(crate) async fn topics(access: &Access, topics: &[Topic]) -> Vec<(aws_sdk_sns::Client, Topic)> {
    let mut clients = Vec::new();
    for topic in topics {
        let region = topic.region.clone().or_else(|| region_of(&topic.arn));
        let config = access.config(region.as_deref()).await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(10))
            .operation_timeout(Duration::from_secs(20))
            .build();
        let mut builder = aws_sdk_sns::config::Builder::from(&config).timeout_config(timeouts);
        builder.set_endpoint_url(topic.endpoint.clone().or_else(|| config.endpoint_url().map(str::to_owned)));
        clients.push((aws_sdk_sns::Client::from_conf(builder.build()), topic.clone()));
    }
    clients
}

/// The region of an ARN.
pub(super) fn region_of(arn: &str) -> Option<String> {
    crate::cloudtrail::Arn::parse(arn).map(|arn| arn.region.to_owned()).filter(|region| !region.is_empty())
}

/// Asks for every stream once. A stream that is not there yet, or that may be read but not described, is no reason not
/// to start; a service that does not answer is.
pub(super) async fn check_streams(streams: &[(aws_sdk_kinesis::Client, Stream)]) -> Result<(), Failure> {
    for (client, stream) in streams {
        let place = format!("stream \"{}\"{}", stream.name, place(stream.endpoint.as_deref(), client.config().region().map(AsRef::as_ref)));
        let answer = client.describe_stream_summary().stream_name(&stream.name).set_stream_arn(stream.arn.clone()).send().await;
        if let Err(error) = answer {
            judge(&place, &error, "make the stream, or correct [[streams]] name and region", false)?;
        }
    }
    Ok(())
}

/// Asks for every topic once. A topic that does not exist is a mistake that would only show when it matters.
pub(super) async fn check_topics(topics: &[(aws_sdk_sns::Client, Topic)]) -> Result<(), Failure> {
    for (client, topic) in topics {
        let place = format!("topic {}{}", topic.arn, place(topic.endpoint.as_deref(), client.config().region().map(AsRef::as_ref)));
        let answer = client.get_topic_attributes().topic_arn(&topic.arn).send().await;
        if let Err(error) = answer {
            judge(&place, &error, "make the topic, or correct [[topics]] arn", true)?;
        }
    }
    Ok(())
}

fn place(endpoint: Option<&str>, region: Option<&str>) -> String {
    match (endpoint, region) {
        (Some(endpoint), _) => format!(" at {endpoint}"),
        (None, Some(region)) => format!(" in {region}"),
        (None, None) => " (no region: set [[streams]] region or AWS_REGION)".to_owned(),
    }
}

/// Ends the start, or lets it go on with a warning.
fn judge<E>(place: &str, error: &SdkError<E>, cure: &str, must_exist: bool) -> Result<(), Failure>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("");
    let is_missing = code.contains("NotFound");
    if is_missing && must_exist {
        return Err(Failure::new(Exit::Unavailable, format_args!("{place} does not exist; {cure}")));
    }
    if is_missing {
        tracing::warn!("{place} does not exist yet; waiting for it ({cure})");
        return Ok(());
    }
    if code.starts_with("AccessDenied") || code.starts_with("AuthorizationError") {
        tracing::warn!(
            "{place} may not be described with these credentials; going on, since reading and publishing need other permissions"
        );
        return Ok(());
    }
    let why = describe(error);
    Err(Failure::new(Exit::Unavailable, format_args!("{place} cannot be used: {why}; check network, endpoint, region and credentials")))
}
