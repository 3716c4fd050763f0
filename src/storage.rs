//! The state folder of a single machine.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | positions of all shards and the name of the snapshot that belongs to them, in one atomic write |
//! | `snapshot-N.bin` | the state as of those positions; the last three are kept |
//! | `journal-N.ndjson` | alerts that were decided after snapshot N, synced *before* each is published |
//! | `archive-pending.txt` | objects of the archive that are being written for the next snapshot |
//! | `archive-name.txt` | what the objects of this folder's archive are called by |
//! | `dead-letters.ndjson` | records and messages that could not be processed, with the reason |
//!
//! A snapshot is written first and becomes valid with the manifest that names it; one that no manifest names is an
//! orphan and is removed. After a crash the process goes on from manifest and snapshot, and the journal tells which
//! alerts may have been sent already, under which ids.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kinesis_lease::{FolderStore, LeaseStore, Manifest, StoreError};
use serde::{Deserialize, Serialize};

use crate::alerting::{Alert, Page, Recalled};
use crate::finding::{Digest128, Fingerprint};
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::time::EventTime;

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
    /// Snapshots are there, and nothing that says which of them belongs to which positions.
    #[error(
        "{folder}: manifest.json is gone and snapshots are there; restore it from a backup, or move the whole folder away to start without history (then run geophone warm)"
    )]
    NoManifest {
        /// The state folder.
        folder: PathBuf,
    },
}

/// What a former process left.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Positions.
    pub manifest: Manifest,
    /// State as of these positions.
    pub snapshot: Option<Snapshot>,
    /// Alerts that may have been published after it.
    pub published: Vec<(Fingerprint, Recalled)>,
    /// Objects of the archive that may have been written for a snapshot that never came.
    pub archived_in_vain: Vec<String>,
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
        let manifest = leases.load().await?;
        let mut state = Self { folder: folder.to_owned(), leases, generation: 0, journal: None, dead_letters: None, dead_letter_bytes: 0 };
        let mut recovered = Recovered::default();
        if let Some(generation) = manifest.attachment.as_deref().and_then(generation_of) {
            recovered.snapshot = Some(state.read_snapshot(generation)?);
            state.generation = generation;
        } else if state.has_history() {
            return Err(StorageError::NoManifest { folder: folder.to_owned() });
        }
        recovered.manifest = manifest;
        recovered.published = state.read_journal();
        recovered.archived_in_vain = state.read_pending();
        state.open_files()?;
        Ok((state, recovered))
    }

    /// Writes `snapshot` and then `manifest` with its name: one atomic step forward.
    pub async fn commit(&mut self, snapshot: &Snapshot, mut manifest: Manifest) -> Result<(), StorageError> {
        let generation = self.generation + 1;
        let path = self.snapshot_path(generation);
        let bytes = snapshot::encode(snapshot).map_err(|source| StorageError::Snapshot { path: path.clone(), source })?;
        if let Some(letters) = &self.dead_letters {
            letters.sync_data().map_err(|source| StorageError::Io { action: "sync", path: self.folder.join(DEAD_LETTERS), source })?;
        }
        write_durably(&path, &bytes)?;
        manifest.attachment = Some(format!("snapshot-{generation}.bin"));
        manifest.tidy();
        self.leases.commit(&manifest).await?;
        self.generation = generation;
        self.journal = Some(self.open_append(&self.journal_path(generation))?);
        self.remove_old();
        Ok(())
    }

    /// The number of the snapshot that is written next.
    pub const fn next(&self) -> u64 {
        self.generation + 1
    }

    /// Notes the objects that are about to be written for the next snapshot. They are on disk when this returns.
    pub fn intend(&self, objects: &[String]) -> Result<(), StorageError> {
        let text = format!("{}\n{}\n", self.next(), objects.join("\n"));
        write_durably(&self.folder.join(PENDING), text.as_bytes())
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
        let path = self.journal_path(self.generation);
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
        if lines.is_empty() {
            return Ok(());
        }
        let written = journal.write_all(&lines).and_then(|()| journal.sync_data());
        written.map_err(|source| StorageError::Io { action: "write", path, source })
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

    /// Whether there are snapshots after the first: a first one alone may be an orphan of a crash before its manifest.
    fn has_history(&self) -> bool {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| generation_of(entry.file_name().to_str()?)).any(|generation| generation > 1)
    }

    fn snapshot_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("snapshot-{generation}.bin"))
    }

    fn journal_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("journal-{generation}.ndjson"))
    }

    fn read_snapshot(&self, generation: u64) -> Result<Snapshot, StorageError> {
        let path = self.snapshot_path(generation);
        let cannot_read = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                return StorageError::Snapshot { path: path.clone(), source: SnapshotError::Missing };
            }
            StorageError::Io { action: "read", path: path.clone(), source }
        };
        let bytes = fs::read(&path).map_err(cannot_read)?;
        snapshot::decode(&bytes).map_err(|source| StorageError::Snapshot { path, source })
    }

    /// Entries of the journal; a last line that was cut off by a crash was never published.
    fn read_journal(&self) -> Vec<(Fingerprint, Recalled)> {
        let Ok(file) = File::open(self.journal_path(self.generation)) else { return Vec::new() };
        let parse = |line: io::Result<String>| serde_json::from_str::<JournalLine>(&line.ok()?).ok();
        let entries = BufReader::new(file).lines().filter_map(parse);
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

    /// Removes snapshots and journals that no restart would look at. Failing to is no harm.
    fn remove_old(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(generation) = name.to_str().and_then(generation_of) else { continue };
            let is_old = generation + SNAPSHOTS_KEPT <= self.generation;
            if is_old || generation > self.generation {
                let _ = fs::remove_file(entry.path());
            }
        }
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

/// N of `snapshot-N.bin` and `journal-N.ndjson`.
fn generation_of(name: &str) -> Option<u64> {
    let snapshot = name.strip_prefix("snapshot-").and_then(|rest| rest.strip_suffix(".bin"));
    snapshot.or_else(|| name.strip_prefix("journal-").and_then(|rest| rest.strip_suffix(".ndjson")))?.parse().ok()
}

/// Writes a file so that after a crash it is there in full or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let io_error = |source| StorageError::Io { action: "write", path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary).map_err(io_error)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error)?;
    fs::rename(&temporary, path).map_err(io_error)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineSettings};

    fn snapshot() -> Snapshot {
        Snapshot {
            engine: Engine::new(EngineSettings { dedup_capacity: 64, ..EngineSettings::default() }).image(),
            paging: Default::default(),
            outbox: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_commit_is_found_again_and_only_three_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
        assert!(recovered.snapshot.is_none());
        for _ in 0..5 {
            state.commit(&snapshot(), Manifest::default()).await.expect("commits");
        }
        drop(state);
        let (_state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
        assert!(recovered.snapshot.is_some());
        let snapshots = fs::read_dir(folder.path())
            .expect("listed")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot"));
        assert_eq!(snapshots.count(), 3);
    }

    #[tokio::test]
    async fn a_lost_manifest_or_snapshot_is_an_error_and_loses_nothing_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
        for _ in 0..3 {
            state.commit(&snapshot(), Manifest::default()).await.expect("commits");
        }
        drop(state);
        let manifest = folder.path().join("manifest.json");
        let kept = fs::read(&manifest).expect("read");
        fs::remove_file(&manifest).expect("removed");
        let error = StateFolder::open(folder.path()).await.expect_err("no manifest").to_string();
        assert!(error.contains("manifest.json is gone"), "{error}");
        assert!(folder.path().join("snapshot-3.bin").is_file(), "nothing was removed");
        fs::write(&manifest, kept).expect("written");
        fs::remove_file(folder.path().join("snapshot-3.bin")).expect("removed");
        let error = StateFolder::open(folder.path()).await.expect_err("no snapshot").to_string();
        assert!(error.contains("snapshot-3.bin: the manifest names it and it is not there"), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_snapshot_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
        state.commit(&snapshot(), Manifest::default()).await.expect("commits");
        drop(state);
        let path = folder.path().join("snapshot-1.bin");
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
        let error = StateFolder::open(folder.path()).await.expect_err("damaged").to_string();
        assert!(error.contains("snapshot-1.bin") && error.contains("move the whole folder away"), "{error}");
    }

    #[tokio::test]
    async fn what_the_state_folder_holds_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
        state.commit(&snapshot(), Manifest::default()).await.expect("commits");
        state.intend(&["an object".to_owned()]).expect("written");
        state.archive_name(7).expect("written");
        let mut seen = 0;
        for entry in fs::read_dir(folder.path()).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            // Positions, and a file without content: nothing to hide.
            let is_open = name == "manifest.json" || name == "lock";
            assert!(is_open || mode == 0o600, "{name} has {mode:o}");
            seen += 1;
        }
        assert!(seen >= 6, "{seen} files");
    }

    #[tokio::test]
    async fn a_full_file_of_dead_letters_takes_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DEAD_LETTERS);
        let letter = DeadLetter { time: String::new(), kind: "record", place: "p", id: "1", reason: "r", data: String::new(), page: None };
        let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
        assert!(state.dead_letter(&letter).expect("written"));
        drop(state);
        // Holes cost no disk.
        OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(DEAD_LETTER_BYTES_MAX)).expect("grown");
        let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
        let before = fs::metadata(&path).expect("there").len();
        assert!(!state.dead_letter(&letter).expect("only counted"));
        assert_eq!(fs::metadata(&path).expect("there").len(), before);
    }
}
