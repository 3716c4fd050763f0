//! The state of one shard: snapshots as objects, and the one that counts is named by the lease, in the same conditional
//! write that moves its checkpoint.
//!
//! | object | holds |
//! |---|---|
//! | `PREFIX/STREAM/SHARD/TIME-NONCE.snapshot` | the state as of one checkpoint, and that checkpoint; the last three are kept |
//! | `PREFIX/STREAM/SHARD/archive-pending/NONCE` | objects of the archive that are being written for the snapshot that it names; gone when that one counts |
//! | `PREFIX/STREAM/SHARD/lost.txt` | that a state could not be read, until whoever goes on without it has said so |
//! | `PREFIX/STREAM/SHARD/dead-letters/TIME-NONCE.ndjson` | records and messages that could not be processed |
//!
//! A snapshot that no lease names is an orphan of a crash, or of a worker whose lease went to another while it wrote: it is
//! removed when it is old.

use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::TryStreamExt;
use kinesis_lease::leasing::{DynamoTable, LeaseToken};
use kinesis_lease::{Checkpoint, Manifest, ShardKey};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::daemon::blindness::StateLoss;
use crate::daemon::keeper::Unwritten;
use crate::failpoint;
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::storage::DeadLetter;
use crate::time::EventTime;

/// Snapshots of a shard that are kept, the newest included.
const SNAPSHOTS_KEPT: usize = 3;
/// Letters that wait for the next snapshot; further ones are only counted.
const LETTER_BYTES_MAX: usize = 32 << 20;
const ENDING: &str = ".snapshot";
const PENDING: &str = "archive-pending";
const LOST: &str = "lost.txt";
const OVER: &str = "the lease is over";

/// The token of a shard's lease.
pub(in crate::daemon) type Token = LeaseToken<DynamoTable>;

/// Where the shards of a fleet keep their state.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Shelf {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

/// What a former worker wrote in vain.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Pending {
    /// Objects of the archive.
    pub(in crate::daemon) objects: Vec<String>,
    notes: Vec<String>,
}

/// What a shard goes on from.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Taken {
    /// States: its own, or those of the shards that it was split or merged from.
    pub(in crate::daemon) snapshots: Vec<Snapshot>,
    /// The state that its lease names cannot be read: the lease goes back to this one first.
    pub(in crate::daemon) fallback: Option<(Checkpoint, Option<Arc<str>>)>,
    /// What was damaged or gone.
    pub(in crate::daemon) losses: Vec<String>,
    /// What a worker before this one found damaged or gone, and when.
    pub(in crate::daemon) noted: Option<(StateLoss, EventTime)>,
}

impl Shelf {
    pub(in crate::daemon) fn new(store: Arc<dyn ObjectStore>, prefix: String) -> Self {
        Self { store, prefix }
    }

    fn folder(&self, shard: &ShardKey) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}{}/{}", self.prefix, shard.stream, shard.shard)
    }

    /// Reads what a lease that was just taken goes on from.
    ///
    /// # Errors
    /// The place does not answer, or holds a snapshot of a newer version.
    pub(in crate::daemon) async fn read(&self, shard: &ShardKey, token: &Token) -> Result<Taken, String> {
        let own = token.taken().snapshot_ref.clone();
        let named: Vec<Arc<str>> = match own {
            Some(own) => vec![own],
            None if token.opening().has_progressed() => Vec::new(),
            None => token.parents().iter().filter_map(|parent| parent.snapshot_ref.clone()).collect(),
        };
        let mut taken = Taken::default();
        for name in named {
            match self.get(&name).await {
                Ok(snapshot) => taken.snapshots.push(snapshot),
                Err(Unread::Place(why)) => return Err(why),
                Err(Unread::Snapshot(error @ SnapshotError::Version { .. })) => return Err(format!("{name}: {error}")),
                Err(Unread::Snapshot(error)) => {
                    taken.losses.push(format!("{name}: {error}"));
                    if token.taken().snapshot_ref.is_some() {
                        taken.fallback = Some(self.fall_back(shard, &name, &mut taken.losses).await?);
                    }
                }
            }
        }
        taken.noted = self.noted(shard).await?;
        Ok(taken)
    }

    /// Notes that a state could not be read: the lease is moved back, and whoever takes it then has to say so.
    pub(in crate::daemon) async fn note_loss(&self, shard: &ShardKey, loss: &StateLoss, at: EventTime) -> Result<(), String> {
        let text = format!("{at}\n{}\n{}\n", if loss.is_total { "total" } else { "older" }, loss.why.replace('\n', " "));
        self.put(&format!("{}/{LOST}", self.folder(shard)), text.into_bytes(), PutMode::Overwrite).await
    }

    async fn noted(&self, shard: &ShardKey) -> Result<Option<(StateLoss, EventTime)>, String> {
        let bytes = match self.store.get(&path(&format!("{}/{LOST}", self.folder(shard)))?).await {
            Ok(found) => found.bytes().await.map_err(|error| error.to_string())?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let (at, kind, why) = (lines.next().and_then(EventTime::parse), lines.next(), lines.next().unwrap_or_default());
        Ok(at.map(|at| (StateLoss { is_total: kind == Some("total"), why: why.to_owned() }, at)))
    }

    /// The newest whole snapshot of a shard but `damaged`, with its checkpoint; else its oldest record.
    async fn fall_back(&self, shard: &ShardKey, damaged: &str, losses: &mut Vec<String>) -> Result<(Checkpoint, Option<Arc<str>>), String> {
        let mut names = self.list(shard).await?;
        names.retain(|name| name != damaged);
        for name in names.into_iter().rev() {
            let Ok(snapshot) = self.get(&name).await else { continue };
            let own = Manifest::from_bytes(&snapshot.positions, FilePath::new(&name));
            let checkpoint = own.ok().and_then(|own| own.checkpoints.get(shard).map(|lease| lease.checkpoint.clone()));
            if let Some(checkpoint) = checkpoint {
                losses.push(format!("{shard}: going on from {name}: what came after it is read again"));
                return Ok((checkpoint, Some(name.into())));
            }
        }
        losses.push(format!("{shard}: no state is left: everything that it still has is read again, and baselines are learned anew"));
        Ok((Checkpoint::TrimHorizon, None))
    }

    /// Objects of the archive that were written for snapshots that never came. Notes of those that came are removed; the
    /// others go with [`Shelf::forget`] when their objects are gone.
    pub(in crate::daemon) async fn pending(&self, shard: &ShardKey, token: &Token) -> Result<Pending, String> {
        let folder = path(&format!("{}/{PENDING}", self.folder(shard)))?;
        let listed: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(|error| error.to_string())?;
        let mut pending = Pending::default();
        for object in listed {
            let bytes = match self.store.get(&object.location).await {
                Ok(found) => found.bytes().await.map_err(|error| error.to_string())?,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.to_string()),
            };
            let text = String::from_utf8_lossy(&bytes);
            let mut lines = text.lines();
            if lines.next() == token.taken().snapshot_ref.as_deref() {
                self.delete(object.location.as_ref()).await?;
            } else {
                pending.objects.extend(lines.map(str::to_owned));
                pending.notes.push(object.location.to_string());
            }
        }
        Ok(pending)
    }

    /// Forgets notes whose objects are gone.
    pub(in crate::daemon) async fn forget(&self, pending: &Pending) -> Result<(), String> {
        for note in &pending.notes {
            self.delete(note).await?;
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        match self.store.delete(&path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    async fn get(&self, name: &str) -> Result<Snapshot, Unread> {
        let place = |error: object_store::Error| Unread::Place(format!("{name}: {error}"));
        let found = match self.store.get(&path(name).map_err(Unread::Place)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(Unread::Snapshot(SnapshotError::Missing)),
            Err(error) => return Err(place(error)),
        };
        let bytes = found.bytes().await.map_err(place)?;
        let decoded = tokio::task::spawn_blocking(move || snapshot::decode(&bytes)).await;
        decoded.map_err(|error| Unread::Place(error.to_string()))?.map_err(Unread::Snapshot)
    }

    /// Names of a shard's snapshots, oldest first.
    async fn list(&self, shard: &ShardKey) -> Result<Vec<String>, String> {
        let folder = path(&self.folder(shard))?;
        let listed: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(|error| error.to_string())?;
        let mut names: Vec<String> =
            listed.into_iter().map(|object| object.location.to_string()).filter(|name| name.ends_with(ENDING)).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn put(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), String> {
        let written = self.store.put_opts(&path(name)?, bytes.into(), mode.into()).await;
        written.map(drop).map_err(|error| format!("{name}: {error}"))
    }
}

enum Unread {
    Place(String),
    Snapshot(SnapshotError),
}

fn note(folder: &str, number: u64) -> String {
    format!("{folder}/{PENDING}/{number:016x}")
}

fn path(name: &str) -> Result<Path, String> {
    Path::parse(name).map_err(|error| format!("{name}: {error}"))
}

/// Keeps the state of a shard as long as its lease is held.
#[derive(Debug)]
pub(in crate::daemon) struct ShardKeeper {
    shelf: Shelf,
    shard: ShardKey,
    token: Token,
    letters: Vec<u8>,
    /// The note of a snapshot that counts, which could not be removed: it must be before the next one counts.
    leftover: Option<String>,
    /// What was archived for snapshots that could not be written: it is in the next one's batch, too.
    failed: Pending,
    /// A loss is noted that is said, and in the next state.
    has_loss: bool,
    now_ms: fn() -> i64,
}

/// A snapshot of a shard that is being written.
#[derive(Debug)]
pub(in crate::daemon) struct ShardWriting {
    shelf: Shelf,
    shard: ShardKey,
    token: Token,
    name: String,
    nonce: u64,
    letters: Vec<u8>,
    leftover: Option<String>,
    /// The note that was written for this one.
    note: Option<String>,
    failed: Pending,
    has_loss: bool,
}

impl ShardKeeper {
    /// `now_ms` gives the time that names are in order by; `has_loss`: a note of a loss goes with the first state.
    pub(in crate::daemon) fn new(shelf: Shelf, shard: ShardKey, token: Token, has_loss: bool, now_ms: fn() -> i64) -> Self {
        Self { shelf, shard, token, letters: Vec::new(), leftover: None, failed: Pending::default(), has_loss, now_ms }
    }

    pub(in crate::daemon) fn begin(&mut self) -> ShardWriting {
        let nonce = fastrand::u64(..);
        // Two workers may write at once, one of them in vain: the names differ.
        let name = format!("{}/{:015}-{nonce:016x}{ENDING}", self.shelf.folder(&self.shard), (self.now_ms)());
        let (shelf, shard, token) = (self.shelf.clone(), self.shard.clone(), self.token.clone());
        let (letters, leftover) = (self.letters.clone(), self.leftover.clone());
        ShardWriting {
            shelf,
            shard,
            token,
            name,
            nonce,
            letters,
            leftover,
            note: None,
            failed: self.failed.clone(),
            has_loss: self.has_loss,
        }
    }

    pub(in crate::daemon) fn committed(&mut self, writing: &ShardWriting) {
        self.letters.drain(..writing.letters.len());
        self.leftover.clone_from(&writing.leftover);
        self.failed = writing.failed.clone();
        self.has_loss = writing.has_loss;
    }

    /// A snapshot could not be written, or nobody knows whether it was: what it archived goes when a later one counts.
    pub(in crate::daemon) fn failed(&mut self, number: u64, objects: Vec<String>) {
        if !objects.is_empty() {
            self.failed.objects.extend(objects);
            self.failed.notes.push(note(&self.shelf.folder(&self.shard), number));
        }
    }

    pub(in crate::daemon) fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> bool {
        let mut line = serde_json::to_vec(letter).unwrap_or_default();
        line.push(b'\n');
        let has_room = self.letters.len() + line.len() <= LETTER_BYTES_MAX;
        if has_room {
            self.letters.extend(line);
        }
        has_room
    }
}

impl ShardWriting {
    pub(in crate::daemon) const fn number(&self) -> u64 {
        self.nonce
    }

    pub(in crate::daemon) async fn intend(&mut self, objects: &[String]) -> Result<(), String> {
        if !self.token.is_valid() {
            return Err(OVER.to_owned());
        }
        let note = note(&self.shelf.folder(&self.shard), self.nonce);
        let text = format!("{}\n{}", self.name, objects.join("\n"));
        self.shelf.put(&note, text.into_bytes(), PutMode::Overwrite).await?;
        self.note = Some(note);
        Ok(())
    }

    /// What is to be removed from the archive now that this snapshot counts.
    pub(in crate::daemon) fn in_vain(&self) -> &[String] {
        &self.failed.objects
    }

    /// It is removed.
    pub(in crate::daemon) async fn forget(&mut self) {
        if self.shelf.forget(&self.failed).await.is_ok() {
            self.failed = Pending::default();
        }
    }

    /// Letters, then the state, then checkpoint and name in one conditional write.
    pub(in crate::daemon) async fn write(mut self, snapshot: Snapshot, manifest: Manifest) -> Result<Self, Unwritten> {
        let unwritten = |why: String| Unwritten { why, is_in_vain: false };
        let to = self.put_state(snapshot, manifest).await.map_err(unwritten)?;
        failpoint::reached("after-snapshot");
        // A process that was stopped for long finds that out here at the latest. What was sent may count, whatever the answer.
        if !self.token.is_valid() {
            return Err(Unwritten { why: OVER.to_owned(), is_in_vain: true });
        }
        self.token.checkpoint(to, Some(self.name.as_str().into())).await.map_err(|error| unwritten(error.to_string()))?;
        failpoint::reached("after-checkpoint");
        self.leftover = match &self.note {
            Some(note) if self.shelf.delete(note).await.is_err() => Some(note.clone()),
            Some(_) | None => None,
        };
        if self.has_loss {
            // The alert about it is in this state. While the note cannot be removed, the next commit tries again.
            self.has_loss = self.shelf.delete(&format!("{}/{LOST}", self.shelf.folder(&self.shard))).await.is_err();
        }
        failpoint::reached("before-removing-old");
        self.remove_old().await;
        Ok(self)
    }

    /// Writes letters and state; returns the checkpoint that belongs to them.
    async fn put_state(&mut self, mut snapshot: Snapshot, manifest: Manifest) -> Result<Checkpoint, String> {
        let Some(lease) = manifest.checkpoints.get(&self.shard) else { return Err(format!("{} has no lease", self.shard)) };
        let to = lease.checkpoint.clone();
        snapshot.positions = manifest.to_bytes();
        let encoded = tokio::task::spawn_blocking(move || snapshot::encode(&snapshot)).await;
        let bytes = encoded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if !self.letters.is_empty() {
            let name = format!("{}/dead-letters/{:016x}.ndjson", self.shelf.folder(&self.shard), self.nonce);
            self.shelf.put(&name, self.letters.clone(), PutMode::Overwrite).await?;
        }
        if let Some(leftover) = &self.leftover {
            self.shelf.delete(leftover).await?;
        }
        // A lost reply may have written it: the name is this snapshot's alone.
        self.shelf.put(&self.name, bytes, PutMode::Overwrite).await?;
        Ok(to)
    }

    /// Removes what nothing would look at any more. Failing to is no harm: the next one tries again.
    async fn remove_old(&self) {
        let Ok(mut names) = self.shelf.list(&self.shard).await else { return };
        names.truncate(names.len().saturating_sub(SNAPSHOTS_KEPT));
        for name in names.iter().filter(|name| **name != self.name) {
            if let Ok(path) = path(name)
                && let Err(error) = self.shelf.store.delete(&path).await
            {
                tracing::debug!(name, %error, "an old snapshot stays for now");
            }
        }
    }
}
