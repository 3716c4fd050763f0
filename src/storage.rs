//! The state folder of a single machine.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | positions of all shards and the name of the snapshot that belongs to them, in one atomic write |
//! | `snapshot-N.bin` | the state as of those positions, and the positions once more; the last three are kept |
//! | `snapshot-N.damaged` | one that could not be read, for whoever wants to know why |
//! | `journal-N.ndjson` | alerts that were decided after the state of snapshot N was taken, synced *before* each is published |
//! | `archive-pending.txt` | objects of the archive that are being written for the next snapshot |
//! | `archive-name.txt` | what the objects of this folder's archive are called by |
//! | `dead-letters.ndjson` | records and messages that could not be processed, with the reason |
//!
//! A snapshot is written first and becomes valid with the manifest that names it. After a crash the process goes on from
//! manifest and snapshot, and the journals tell which alerts may have been sent already, under which ids. Where one of the
//! files is damaged or gone it goes on from the newest that is whole ([`recovery`]).

pub mod recovery;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kinesis_lease::{FolderStore, LeaseStore, Manifest, StoreError};
use serde::{Deserialize, Serialize};

use crate::alerting::{Alert, Page, Recalled};
use crate::failpoint;
use crate::finding::{Digest128, Fingerprint};
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::time::EventTime;

pub use recovery::Recovered;

/// What could not be processed.
pub const DEAD_LETTERS: &str = "dead-letters.ndjson";
/// Objects of the archive that are being written.
const PENDING: &str = "archive-pending.txt";
/// Snapshots that are kept, the newest included.
const SNAPSHOTS_KEPT: u64 = 3;
/// The dead-letter file is not written beyond this; further letters are only counted.
const DEAD_LETTER_BYTES_MAX: u64 = 1 << 30;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The positions cannot be read or written.
    #[error(transparent)]
    Leases(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}; check the folder's owner and free space")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The snapshot cannot be used.
    #[error(
        "snapshot {path}: {source}; start the version that wrote it, restore the folder from a backup, or move the whole folder away to start without history (then run geophone warm)"
    )]
    Snapshot {
        /// The snapshot.
        path: PathBuf,
        /// The reason.
        source: SnapshotError,
    },
}

/// The state folder, locked by this process.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    leases: FolderStore,
    generation: u64,
    journal: Option<File>,
    dead_letters: Option<File>,
    dead_letter_bytes: u64,
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct JournalLine {
    fingerprint: Fingerprint,
    alert_id: Digest128,
    incident_id: Digest128,
    onset: EventTime,
}

/// Something that could not be processed, for a person to look at and to replay.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter<'a> {
    /// When it was put aside, by the daemon's clock. Lines of before 0.1 have none.
    pub time: String,
    /// `record` or `message`.
    pub kind: &'static str,
    /// Where it came from or was going: a shard, a topic.
    pub place: &'a str,
    /// Which one: a sequence number, an alert id.
    pub id: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The bytes, base64.
    pub data: String,
    /// Of a message: what it was made of, so that it can be made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<&'a Page>,
}

impl StateFolder {
    /// Opens the folder, making it where it is not there, and reads what a former process left.
    pub async fn open(folder: &Path) -> Result<(Self, Recovered), StorageError> {
        let leases = FolderStore::open(folder).await?;
        let mut state = Self { folder: folder.to_owned(), leases, generation: 0, journal: None, dead_letters: None, dead_letter_bytes: 0 };
        let (generation, mut recovered) = recovery::recover(folder, state.leases.load().await)?;
        state.generation = generation;
        recovered.published = state.read_journals(if recovered.is_blind { 0 } else { generation });
        recovered.archived_in_vain = state.read_pending();
        state.open_files()?;
        Ok((state, recovered))
    }

    /// Begins the next snapshot: what is journalled from now on comes after it. Write it with [`Writing::write`], and say
    /// [`StateFolder::committed`] when that is done.
    pub fn begin(&mut self) -> Result<Writing, StorageError> {
        let generation = self.generation + 1;
        self.journal = Some(self.open_append(&self.journal_path(generation))?);
        let letters = self.dead_letters.as_ref().map(File::try_clone).transpose();
        let letters = letters.map_err(|source| StorageError::Io { action: "open", path: self.folder.join(DEAD_LETTERS), source })?;
        Ok(Writing { folder: self.folder.clone(), leases: self.leases.clone(), generation, letters })
    }

    /// The snapshot that was begun is written.
    pub fn committed(&mut self, writing: &Writing) {
        self.generation = writing.generation;
        failpoint::reached("before-removing-old");
        self.remove_old();
    }

    /// Writes `snapshot` and then `manifest` with its name: one atomic step forward.
    pub async fn commit(&mut self, snapshot: Snapshot, manifest: Manifest) -> Result<(), StorageError> {
        let writing = self.begin()?;
        let writing = writing.write(snapshot, manifest).await?;
        self.committed(&writing);
        Ok(())
    }

    /// The number of the snapshot that is written next.
    pub const fn next(&self) -> u64 {
        self.generation + 1
    }

    /// What this folder's archive is called by; made once.
    pub fn archive_name(&self, fresh: u64) -> Result<String, StorageError> {
        let path = self.folder.join("archive-name.txt");
        match fs::read_to_string(&path) {
            Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
            _ => {
                let name = format!("{fresh:016x}");
                write_durably(&path, name.as_bytes())?;
                Ok(name)
            }
        }
    }

    /// Objects that were noted for a snapshot that is not there.
    fn read_pending(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(PENDING)).unwrap_or_default();
        let mut lines = text.lines();
        let is_committed = lines.next().and_then(|number| number.parse::<u64>().ok()).is_none_or(|number| number <= self.generation);
        if is_committed { Vec::new() } else { lines.filter(|line| !line.is_empty()).map(str::to_owned).collect() }
    }

    /// Notes that alerts are about to be published. They are on disk when this returns.
    pub fn journal<'a>(&mut self, alerts: impl Iterator<Item = &'a Alert>) -> Result<(), StorageError> {
        let folder = &self.folder;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut lines = Vec::new();
        for alert in alerts {
            let line = JournalLine {
                fingerprint: alert.fingerprint,
                alert_id: alert.alert_id,
                incident_id: alert.incident_id,
                onset: alert.onset,
            };
            // Plain numbers and texts: this cannot fail.
            serde_json::to_writer(&mut lines, &line).unwrap_or_default();
            lines.push(b'\n');
        }
        if lines.is_empty() || failpoint::reached("no-journal") {
            return Ok(());
        }
        let written = journal.write_all(&lines).and_then(|()| journal.sync_data());
        written.map_err(|source| StorageError::Io { action: "write", path: folder.join("journal"), source })
    }

    /// Keeps something that could not be processed. `false` where the file is full.
    pub fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<bool, StorageError> {
        let Some(file) = self.dead_letters.as_mut().filter(|_| self.dead_letter_bytes < DEAD_LETTER_BYTES_MAX) else { return Ok(false) };
        let mut line = serde_json::to_vec(letter).unwrap_or_default();
        line.push(b'\n');
        self.dead_letter_bytes += line.len() as u64;
        let written = file.write_all(&line);
        written.map(|()| true).map_err(|source| StorageError::Io { action: "write", path: self.folder.join(DEAD_LETTERS), source })
    }

    fn journal_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("journal-{generation}.ndjson"))
    }

    /// Entries of the journals since the snapshot of this number; a last line that was cut off by a crash was never
    /// published. A journal may be newer than the snapshot: the one that was begun with it never came.
    fn read_journals(&self, since: u64) -> Vec<(Fingerprint, Recalled)> {
        let parse = |line: io::Result<String>| serde_json::from_str::<JournalLine>(&line.ok()?).ok();
        let mut newer: Vec<u64> = recovery::generations(&self.folder, "journal-").filter(|number| *number >= since).collect();
        newer.sort_unstable();
        let files = newer.into_iter().filter_map(|generation| File::open(self.journal_path(generation)).ok());
        let entries = files.flat_map(|file| BufReader::new(file).lines().filter_map(parse));
        entries
            .map(|line| (line.fingerprint, Recalled { alert_id: line.alert_id, incident_id: line.incident_id, onset: line.onset }))
            .collect()
    }

    fn open_files(&mut self) -> Result<(), StorageError> {
        self.journal = Some(self.open_append(&self.journal_path(self.generation))?);
        let letters = self.open_append(&self.folder.join(DEAD_LETTERS))?;
        self.dead_letter_bytes = letters.metadata().map_or(0, |meta| meta.len());
        self.dead_letters = Some(letters);
        self.remove_old();
        Ok(())
    }

    fn open_append(&self, path: &Path) -> Result<File, StorageError> {
        // Records hold what STS and Cognito answered: nobody else's to read.
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path);
        file.and_then(end_last_line).map_err(|source| StorageError::Io { action: "write", path: path.to_owned(), source })
    }

    /// Removes snapshots and journals that no restart would look at. Failing to is no harm. Journals that are newer than
    /// the snapshot stay: they say what was published.
    fn remove_old(&self) {
        for (prefix, ending) in [("snapshot-", "bin"), ("journal-", "ndjson")] {
            for number in recovery::generations(&self.folder, prefix) {
                let is_orphan = prefix == "snapshot-" && number > self.generation;
                if number + SNAPSHOTS_KEPT <= self.generation || is_orphan {
                    let _ = fs::remove_file(self.folder.join(format!("{prefix}{number}.{ending}")));
                }
            }
        }
    }
}

/// A snapshot that is being written, apart from the folder: detection and journal go on meanwhile.
#[derive(Debug)]
pub struct Writing {
    folder: PathBuf,
    leases: FolderStore,
    generation: u64,
    letters: Option<File>,
}

impl Writing {
    /// The snapshot's number.
    pub const fn number(&self) -> u64 {
        self.generation
    }

    /// Notes the objects that are about to be written for this snapshot. They are on disk when this returns.
    pub fn intend(&self, objects: &[String]) -> Result<(), StorageError> {
        let text = format!("{}\n{}\n", self.generation, objects.join("\n"));
        write_durably(&self.folder.join(PENDING), text.as_bytes())
    }

    /// Writes the state and then the positions that belong to it. Takes as long as a disk does.
    pub async fn write(self, mut snapshot: Snapshot, mut manifest: Manifest) -> Result<Self, StorageError> {
        manifest.attachment = Some(format!("snapshot-{}.bin", self.generation));
        manifest.tidy();
        snapshot.positions = manifest.to_bytes();
        let writing = tokio::task::spawn_blocking(move || self.write_state(&snapshot).map(|()| self)).await;
        let writing = writing.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        failpoint::reached("after-snapshot");
        writing.leases.commit(&manifest).await?;
        failpoint::reached("after-manifest");
        Ok(writing)
    }

    fn write_state(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let path = self.folder.join(format!("snapshot-{}.bin", self.generation));
        if failpoint::reached("old-snapshot")
            && fs::copy(path.with_file_name(format!("snapshot-{}.bin", self.generation - 1)), &path).is_ok()
        {
            return Ok(());
        }
        let bytes = snapshot::encode(snapshot).map_err(|source| StorageError::Snapshot { path: path.clone(), source })?;
        if let Some(letters) = &self.letters {
            letters.sync_data().map_err(|source| StorageError::Io { action: "sync", path: self.folder.join(DEAD_LETTERS), source })?;
        }
        write_durably(&path, &bytes)
    }
}

/// Ends a line that a crash cut off, so that the next one is not glued to it.
fn end_last_line(mut file: File) -> io::Result<File> {
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Writes a file so that after a crash it is there in full or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let io_error = |source| StorageError::Io { action: "write", path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary).map_err(io_error)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error)?;
    failpoint::reached("before-rename");
    fs::rename(&temporary, path).map_err(io_error)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
}

#[cfg(test)]
#[path = "storage/tests.rs"]
mod tests;
