//! Where manifests are kept between runs.

mod folder;
pub(crate) mod format;
pub(crate) mod words;

use std::io;
use std::path::PathBuf;

pub use folder::FolderStore;
pub(crate) use folder::{LockedFolder, blocking};

use crate::checkpoint::Manifest;

/// Keeps one manifest. Positions and attachment are committed together or not at all.
///
/// [`FolderStore`] is the implementation for a single machine. Leases that several processes share
/// are kept one by one: see [`LeaseTable`](crate::leasing::LeaseTable).
pub trait LeaseStore: Send + Sync + 'static {
    /// The manifest as last committed, or an empty one if there never was a commit.
    ///
    /// # Errors
    /// What is there cannot be read, or is not a whole manifest. It is never taken for an empty one.
    fn load(&self) -> impl Future<Output = Result<Manifest, StoreError>> + Send;

    /// Replaces the manifest. After `Ok` it survives a crash of process and machine; after an error
    /// the one before it, or this one, is there in full.
    ///
    /// # Errors
    /// It could not be written.
    fn commit(&self, manifest: &Manifest) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a manifest could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the folder's lock.
    #[error(
        "{} is in use by another process: stop it, or give this one a folder of its own", folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not a whole manifest.
    #[error(
        "{} is damaged ({why}): restore it from a backup, or move it away to begin at the \
         configured start position", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The file is of a version that this build does not know.
    #[error(
        "{} has format version {found}, this build reads up to {known}: run the newer build that wrote it",
        file.display()
    )]
    TooNew {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}
