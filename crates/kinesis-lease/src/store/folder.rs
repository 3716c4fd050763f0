//! A manifest in a folder, for a single machine.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{LeaseStore, StoreError};
use crate::checkpoint::Manifest;
use crate::store::format;

const MANIFEST_FILE: &str = "manifest.json";
const LOCK_FILE: &str = "lock";

/// Keeps the manifest as `manifest.json` in a folder of its own.
///
/// A commit writes `manifest.json.new`, syncs it, renames it over the old one and syncs the folder,
/// so there is always one whole manifest. A second process on the same folder is refused by an
/// advisory lock on the file `lock`, which the system releases however the process ends. (The lock
/// holds on local file systems; on NFS it depends on the server.)
#[derive(Debug, Clone)]
pub struct FolderStore {
    inner: Arc<LockedFolder>,
}

/// A folder of this process alone, whose files are replaced as a whole.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    folder: PathBuf,
    /// Held for as long as the store lives; never read.
    _lock: File,
    /// Taken in the blocking thread by each commit: two at once would write the same temporary
    /// file. Not an async lock, because a commit whose future is dropped still runs to its end.
    writing: Mutex<()>,
}

impl FolderStore {
    /// Opens the folder, making it if it is not there, and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process (or another store of this one) has it open,
    /// [`StoreError::Io`] if it cannot be made or written.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        blocking(move || Ok(Self { inner: Arc::new(LockedFolder::open(folder)?) })).await
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }
}

impl LeaseStore for FolderStore {
    async fn load(&self) -> Result<Manifest, StoreError> {
        let inner = self.inner.clone();
        blocking(move || match inner.read(MANIFEST_FILE)? {
            Some(bytes) => format::decode(&bytes, &inner.path(MANIFEST_FILE)),
            None => Ok(Manifest::default()),
        })
        .await
    }

    async fn commit(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let bytes = format::encode(manifest);
        let inner = self.inner.clone();
        blocking(move || inner.replace(MANIFEST_FILE, &bytes)).await
    }
}

impl LockedFolder {
    /// Makes the folder if it is not there and takes its lock. Blocks, as do the others.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let lock = lock(&folder)?;
        Ok(Self { folder, _lock: lock, writing: Mutex::new(()) })
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The file's bytes, if it is there.
    pub(crate) fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(file);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Writes `FILE.new`, syncs it, renames it over the file and syncs the folder.
    pub(crate) fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        // The lock guards no data that a panic could have left half-changed.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = self.path(&format!("{file}.new"));
        let mut new = File::create(&temporary).map_err(failed("create", &temporary))?;
        new.write_all(bytes).map_err(failed("write", &temporary))?;
        new.sync_all().map_err(failed("sync", &temporary))?;
        let target = self.path(file);
        std::fs::rename(&temporary, &target).map_err(failed("replace", &target))?;
        // Without this the rename itself may be lost with the machine.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", &self.folder))
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let path = folder.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

/// File calls block; they run on tokio's threads for that.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and never began the work.
            Err(cancelled) => {
                Err(StoreError::Io { action: "reach", path: PathBuf::from(MANIFEST_FILE), source: io::Error::other(cancelled) })
            }
        },
    }
}
