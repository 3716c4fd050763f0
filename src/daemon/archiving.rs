//! Writes the enriched log: a folder, or a bucket of S3.
//!
//! A batch is written *before* the positions of its calls are committed, under names that are noted before that: what a
//! crash left behind of a batch that was never committed is removed at the next start, and its calls, which come again, are
//! written then. So each call lies there once, as far as it is known for a duplicate.

use std::fmt;
use std::future::Future;
use std::path::Path as FilePath;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sns::config::{ProvideCredentials, SharedCredentialsProvider};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, CredentialProvider, ObjectStore, ObjectStoreExt, RetryConfig};

use crate::archive::{Batch, Part};
use crate::config::{ArchivePlace, ArchiveSettings};

/// Objects that are written at once.
const AT_ONCE: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(20);

/// The place of the archive.
#[derive(Clone)]
pub(super) struct Archiver {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// What this state folder's objects are called by: two daemons may write to one place.
    instance: String,
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archiver({}, {})", self.store, self.prefix)
    }
}

impl Archiver {
    /// Opens the place; a folder is made where it is not there.
    pub(super) fn open(settings: &ArchiveSettings, folder: &FilePath, config: &SdkConfig, instance: String) -> Result<Self, String> {
        let (store, prefix): (Arc<dyn ObjectStore>, String) = match &settings.place {
            ArchivePlace::Folder(_) => {
                std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
                (Arc::new(LocalFileSystem::new_with_prefix(folder).map_err(|error| error.to_string())?), String::new())
            }
            ArchivePlace::Bucket { bucket, prefix } => (Arc::new(s3(settings, bucket, config)?), prefix.clone()),
        };
        Ok(Self { store, prefix, instance })
    }

    /// The name of the object of a folder in a batch.
    fn name(&self, folder: &str, batch: u64) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}{folder}/{}-{batch:010}.json.gz", self.prefix, self.instance)
    }

    /// The names of all objects of a batch.
    pub(super) fn names(&self, batch: &Batch, number: u64) -> Vec<String> {
        batch.folders().map(|folder| self.name(folder, number)).collect()
    }

    /// Writes a batch.
    pub(super) async fn write(&self, parts: Vec<Part>, number: u64) -> Result<(), String> {
        let put = |part: Part| async move {
            let name = self.name(&part.folder, number);
            let path = Path::parse(&name).map_err(|error| format!("{name}: {error}"))?;
            self.store.put(&path, part.bytes.into()).await.map(drop).map_err(|error| format!("{name}: {error}"))
        };
        stream::iter(parts).map(put).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Removes objects of a batch that was never committed.
    pub(super) async fn remove(&self, names: &[String]) -> Result<(), String> {
        for name in names {
            let path = Path::parse(name).map_err(|error| format!("{name}: {error}"))?;
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(format!("{name}: {error}")),
            }
        }
        Ok(())
    }
}

fn s3(settings: &ArchiveSettings, bucket: &str, config: &SdkConfig) -> Result<object_store::aws::AmazonS3, String> {
    let region = config.region().map(ToString::to_string).unwrap_or_else(|| "us-east-1".to_owned());
    let retry = RetryConfig { max_retries: 4, retry_timeout: TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_region(region).with_retry(retry);
    builder = builder.with_client_options(ClientOptions::new().with_timeout(TIMEOUT).with_allow_http(settings.endpoint.is_some()));
    if let Some(credentials) = config.credentials_provider() {
        builder = builder.with_credentials(Arc::new(Bridge(credentials)));
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The AWS SDK's credentials, so that the archive is reached as streams and topics are: profile, SSO, container, instance.
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
