//! Leases in a folder, for a single machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::memory::{MemoryTable, apply};
use super::{LeaseTable, Scan, TableError};
use crate::leasing::lease::{Change, LeaseRow, Write};
use crate::plan::HashRange;
use crate::store::{LockedFolder, StoreError, blocking, format, words};

const LEASES_FILE: &str = "leases.json";

type Rows = BTreeMap<Arc<str>, LeaseRow>;

/// Keeps leases as `leases.json` in a folder of its own, which is replaced as a whole by every
/// write but a renewal and synced before the write is answered; see
/// [`FolderStore`](crate::FolderStore), whose lock and format it shares. Clones share the folder.
/// It is made for some hundred shards: each checkpoint writes the file (about 300 bytes a lease).
///
/// One process at a time has the folder. Give its worker the same name each time: it then goes on
/// with its leases at once, where another name would have to wait for them to expire.
#[derive(Debug, Clone)]
pub struct FolderTable {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: LockedFolder,
    /// What the file holds, with newer counters.
    leases: MemoryTable,
    /// Taken in the blocking thread for a whole change: file and copy move together, and a change
    /// whose future is dropped still runs to its end.
    writing: Mutex<()>,
}

impl FolderTable {
    /// Opens the folder, making it if it is not there, takes its lock and reads it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open, [`StoreError::Damaged`] if its file is
    /// not whole, [`StoreError::Io`] if it cannot be made, read or written.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        blocking(move || {
            let folder = LockedFolder::open(folder)?;
            let rows = match folder.read(LEASES_FILE)? {
                Some(bytes) => decode(&bytes, &folder)?,
                None => Vec::new(),
            };
            Ok(Self { inner: Arc::new(Inner { folder, leases: MemoryTable::with(rows), writing: Mutex::default() }) })
        })
        .await
    }

    async fn change<V: Send + 'static>(&self, change: impl FnOnce(&mut Rows) -> V + Send + 'static) -> Result<V, TableError> {
        let inner = self.inner.clone();
        Ok(blocking(move || inner.change(change)).await?)
    }
}

impl Inner {
    fn renew(&self, write: &Write) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        apply::write(&mut self.leases.locked(), write)
    }

    /// Makes a change to a copy, puts that into the file, and only then shows it.
    fn change<V>(&self, change: impl FnOnce(&mut Rows) -> V) -> Result<V, StoreError> {
        // The lock guards no data that a panic could have left half-changed.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.leases.locked().clone();
        let mut rows = before.clone();
        let answer = change(&mut rows);
        if rows != before {
            self.folder.replace(LEASES_FILE, &format::seal(&rows.values().map(file_row).collect::<Vec<_>>()))?;
            *self.leases.locked() = rows;
        }
        Ok(answer)
    }
}

impl LeaseTable for FolderTable {
    async fn prepare(&self) -> Result<(), TableError> {
        Ok(())
    }

    async fn scan(&self) -> Result<Scan, TableError> {
        self.inner.leases.scan().await
    }

    async fn read(&self, key: &str) -> Result<Option<LeaseRow>, TableError> {
        self.inner.leases.read(key).await
    }

    async fn create(&self, row: &LeaseRow) -> Result<bool, TableError> {
        let row = row.clone();
        self.change(move |rows| apply::create(rows, &row)).await
    }

    async fn write(&self, write: &Write) -> Result<bool, TableError> {
        // A sign of life is for this process's life: nobody else has the folder, and after it the
        // counter that the file holds is as good. Everything else is synced.
        if write.change == Change::Renew {
            let (inner, write) = (self.inner.clone(), write.clone());
            return Ok(blocking(move || Ok(inner.renew(&write))).await?);
        }
        let write = write.clone();
        self.change(move |rows| apply::write(rows, &write)).await
    }

    async fn adopt(&self, key: &str, children: &[Arc<str>]) -> Result<(), TableError> {
        let (key, children) = (Arc::<str>::from(key), children.to_vec());
        self.change(move |rows| apply::adopt(rows, &key, &children)).await
    }

    async fn delete(&self, row: &LeaseRow) -> Result<(), TableError> {
        let row = row.clone();
        self.change(move |rows| apply::delete(rows, &row)).await
    }
}

/// A lease in the file, under the table's names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FileLease {
    lease_key: Arc<str>,
    lease_owner: Option<Arc<str>>,
    lease_counter: u64,
    checkpoint: String,
    sub_sequence: Option<u64>,
    timestamp_ms: Option<i64>,
    snapshot_ref: Option<Arc<str>>,
    owner_switches_since_checkpoint: u64,
    parent_shard_id: Vec<Arc<str>>,
    child_shard_ids: Vec<Arc<str>>,
    /// Two numbers of up to 39 digits, which JSON's readers would round.
    hash_keys: Option<[String; 2]>,
    checkpoint_owner: Option<Arc<str>>,
}

fn file_row(row: &LeaseRow) -> FileLease {
    let (checkpoint, sub_sequence, timestamp_ms) = words::of(&row.checkpoint);
    FileLease {
        lease_key: row.key.clone(),
        lease_owner: row.owner.clone(),
        lease_counter: row.counter,
        checkpoint,
        sub_sequence,
        timestamp_ms,
        snapshot_ref: row.snapshot_ref.clone(),
        owner_switches_since_checkpoint: row.owner_switches,
        parent_shard_id: row.parents.clone(),
        child_shard_ids: row.children.clone(),
        hash_keys: row.hash_range.map(|range| [range.starting, range.ending].map(|end| end.to_string())),
        checkpoint_owner: row.checkpoint_owner.clone(),
    }
}

fn decode(bytes: &[u8], folder: &LockedFolder) -> Result<Vec<LeaseRow>, StoreError> {
    let file = folder.path(LEASES_FILE);
    let rows: Vec<FileLease> = format::unseal(bytes, &file)?;
    rows.into_iter().map(|row| lease(row).map_err(|why| StoreError::Damaged { file: file.clone(), why })).collect()
}

fn lease(row: FileLease) -> Result<LeaseRow, String> {
    let hash_range = match row.hash_keys {
        Some([starting, ending]) => Some(HashRange::parse(&starting, &ending).ok_or("a hash key is no number")?),
        None => None,
    };
    Ok(LeaseRow {
        key: row.lease_key,
        owner: row.lease_owner,
        counter: row.lease_counter,
        checkpoint: words::checkpoint(&row.checkpoint, row.sub_sequence, row.timestamp_ms)?,
        snapshot_ref: row.snapshot_ref,
        owner_switches: row.owner_switches_since_checkpoint,
        parents: row.parent_shard_id,
        children: row.child_shard_ids,
        hash_range,
        checkpoint_owner: row.checkpoint_owner,
    })
}
