//! Where objects lie: a folder, or a bucket of S3 that is reached as streams and topics are.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sns::config::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, CredentialProvider, ObjectStore, RetryConfig};

use crate::config::ArchivePlace;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Opens a place; a folder is made where it is not there. Returns what its names begin with, without a slash at the end.
pub(super) fn open(
    place: &ArchivePlace,
    folder: &Path,
    endpoint: Option<&str>,
    config: &SdkConfig,
) -> Result<(Arc<dyn ObjectStore>, String), String> {
    match place {
        ArchivePlace::Folder(_) => {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            Ok((Arc::new(LocalFileSystem::new_with_prefix(folder).map_err(|error| error.to_string())?), String::new()))
        }
        ArchivePlace::Bucket { bucket, prefix } => Ok((Arc::new(s3(endpoint, bucket, config)?), prefix.clone())),
    }
}

fn s3(endpoint: Option<&str>, bucket: &str, config: &SdkConfig) -> Result<object_store::aws::AmazonS3, String> {
    let region = config.region().map(ToString::to_string).unwrap_or_else(|| "us-east-1".to_owned());
    let retry = RetryConfig { max_retries: 4, retry_timeout: TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_region(region).with_retry(retry);
    builder = builder.with_client_options(ClientOptions::new().with_timeout(TIMEOUT).with_allow_http(endpoint.is_some()));
    if let Some(credentials) = config.credentials_provider() {
        builder = builder.with_credentials(Arc::new(Bridge(credentials)));
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The AWS SDK's credentials, so that objects are reached as streams and topics are: profile, SSO, container, instance.
#[derive(Debug)]
struct Bridge(SharedCredentialsProvider);

type Answer<'a> = Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'a>>;

impl CredentialProvider for Bridge {
    type Credential = AwsCredential;

    fn get_credential<'life0, 'async_trait>(&'life0 self) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let given = self.0.provide_credentials().await;
            let given = given.map_err(|error| object_store::Error::Generic { store: "credentials", source: Box::new(error) })?;
            Ok(Arc::new(AwsCredential {
                key_id: given.access_key_id().to_owned(),
                secret_key: given.secret_access_key().to_owned(),
                token: given.session_token().map(str::to_owned),
            }))
        })
    }
}
