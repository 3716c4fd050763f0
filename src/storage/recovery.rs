//! What a process goes on from after the one before it ended somehow.
//!
//! ```text
//! manifest whole, its snapshot whole ──▶ both
//! snapshot damaged or gone ──▶ the newest older one, with the positions that are in it: what came since is read again
//! manifest damaged or gone ──▶ the newest snapshot, likewise
//! nothing whole ──▶ no state, and all positions at the oldest record that the stream has
//! ```
//! A snapshot or manifest of a newer version is whole, and means that this program is the wrong one: that is an error.

use std::fs;
use std::io;
use std::path::Path;

use kinesis_lease::{Checkpoint, Manifest, StoreError};

use super::StorageError;
use crate::alerting::Recalled;
use crate::finding::Fingerprint;
use crate::snapshot::{self, Snapshot, SnapshotError};

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
    /// What was damaged or gone, each with what it means.
    pub losses: Vec<String>,
    /// Whether there was state and none of it can be read: streams are read from their oldest record, wherever the
    /// configuration would begin.
    pub is_blind: bool,
}

/// Finds the newest state that is whole. Returns the number of its snapshot with it.
pub(super) fn recover(folder: &Path, manifest: Result<Manifest, StoreError>) -> Result<(u64, Recovered), StorageError> {
    let mut losses = Vec::new();
    let manifest = match manifest {
        Ok(manifest) => Some(manifest),
        Err(StoreError::Damaged { file, why }) => {
            losses.push(format!("{} is damaged ({why})", file.display()));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let named = manifest.as_ref().and_then(|manifest| number_of(manifest.attachment.as_deref()?, "snapshot-"));
    let mut numbers: Vec<u64> = generations(folder, "snapshot-").collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    if let Some(named) = named {
        // What is newer was never committed.
        numbers.retain(|number| *number < named);
        numbers.insert(0, named);
    } else if numbers.is_empty() && losses.is_empty() {
        return Ok((0, Recovered { manifest: manifest.unwrap_or_default(), ..Recovered::default() }));
    } else if losses.is_empty() && numbers[0] > 1 {
        losses.push(format!("{} is gone", folder.join("manifest.json").display()));
    }
    for number in &numbers {
        match read(folder, *number) {
            Ok(snapshot) => {
                let own = Manifest::from_bytes(&snapshot.positions, folder);
                let manifest = if Some(*number) == named { manifest.clone().or(own.ok()) } else { own.ok() };
                // A former version's has no positions of its own.
                let Some(manifest) = manifest else { continue };
                if !losses.is_empty() {
                    losses.push(format!("going on from snapshot-{number}.bin: what came after it is read again"));
                }
                return Ok((*number, Recovered { manifest, snapshot: Some(snapshot), losses, ..Recovered::default() }));
            }
            Err(StorageError::Snapshot { source: source @ SnapshotError::Version { .. }, path }) => {
                return Err(StorageError::Snapshot { path, source });
            }
            Err(StorageError::Snapshot { path, source }) => {
                // Kept aside, so that it is looked at once.
                let _ = fs::rename(&path, path.with_extension("damaged"));
                losses.push(format!("{}: {source}", path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    losses.push("no state is left: everything that the stream still has is read again, and baselines are learned anew".to_owned());
    let manifest = from_the_oldest(manifest.unwrap_or_default());
    let newest = numbers.first().copied().unwrap_or(0);
    Ok((newest, Recovered { manifest, losses, is_blind: true, ..Recovered::default() }))
}

/// The same shards, to be read from their oldest records on.
fn from_the_oldest(mut manifest: Manifest) -> Manifest {
    manifest.attachment = None;
    manifest.checkpoints.retain(|_, lease| lease.listed);
    manifest.checkpoints.values_mut().for_each(|lease| lease.checkpoint = Checkpoint::TrimHorizon);
    manifest
}

fn read(folder: &Path, number: u64) -> Result<Snapshot, StorageError> {
    let path = folder.join(format!("snapshot-{number}.bin"));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StorageError::Snapshot { path, source: SnapshotError::Missing });
        }
        Err(source) => return Err(StorageError::Io { action: "read", path, source }),
    };
    snapshot::decode(&bytes).map_err(|source| StorageError::Snapshot { path, source })
}

/// Numbers of the files whose names begin with `prefix`.
pub(super) fn generations(folder: &Path, prefix: &'static str) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| number_of(entry.file_name().to_str()?, prefix))
}

/// N of `snapshot-N.bin` and `journal-N.ndjson`.
fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let rest = name.strip_prefix(prefix)?;
    rest.strip_suffix(".bin").or_else(|| rest.strip_suffix(".ndjson"))?.parse().ok()
}
