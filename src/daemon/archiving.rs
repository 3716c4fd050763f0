//! Writes the enriched log: a folder, or a bucket of S3.
//!
//! A batch is written *before* the positions of its calls are committed, under names that are noted before that: what a
//! crash left behind of a batch that was never committed is removed at the next start, and its calls, which come again, are
//! written then. So each call lies there once, as far as it is known for a duplicate.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use aws_config::SdkConfig;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::objects;
use crate::archive::{Batch, Part};
use crate::config::ArchiveSettings;

/// Objects that are written at once.
const AT_ONCE: usize = 8;

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
        let (store, prefix) = objects::open(&settings.place, folder, settings.endpoint.as_deref(), config)?;
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
