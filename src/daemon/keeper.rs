//! Who keeps a pipeline's state: the folder of a single machine, or the lease of one shard with objects beside it.

use kinesis_lease::Manifest;

use super::fleet::store::{ShardKeeper, ShardWriting};
use crate::alerting::Alert;
use crate::snapshot::Snapshot;
use crate::storage::{DeadLetter, StateFolder, StorageError, Writing};

/// Keeps state.
#[derive(Debug)]
pub(super) enum Keeper {
    /// In a folder.
    Folder(StateFolder),
    /// Of one shard, with its lease.
    Shard(Box<ShardKeeper>),
}

/// A snapshot that is being written.
#[derive(Debug)]
pub(super) enum KeeperWriting {
    /// Into a folder.
    Folder(Writing),
    /// Of one shard.
    Shard(Box<ShardWriting>),
}

/// A state was not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) why: String,
    /// Nothing of it will ever count: another worker goes on from the state before, and archives the same calls.
    pub(super) is_in_vain: bool,
}

impl Keeper {
    /// Begins the next snapshot.
    pub(super) fn begin(&mut self) -> Result<KeeperWriting, StorageError> {
        match self {
            Self::Folder(folder) => folder.begin().map(KeeperWriting::Folder),
            Self::Shard(shard) => Ok(KeeperWriting::Shard(Box::new(shard.begin()))),
        }
    }

    /// The snapshot that was begun is written.
    pub(super) fn committed(&mut self, writing: &KeeperWriting) {
        match (self, writing) {
            (Self::Folder(folder), KeeperWriting::Folder(writing)) => folder.committed(writing),
            (Self::Shard(shard), KeeperWriting::Shard(writing)) => shard.committed(writing),
            // Each begins its own.
            (Self::Folder(_), KeeperWriting::Shard(_)) | (Self::Shard(_), KeeperWriting::Folder(_)) => {}
        }
    }

    /// The snapshot of this number could not be written, with what was to be archived for it.
    pub(super) fn failed(&mut self, number: u64, objects: Vec<String>) {
        match self {
            // The next one has the same number and writes the same objects again.
            Self::Folder(_) => {}
            Self::Shard(shard) => shard.failed(number, objects),
        }
    }

    /// Notes that alerts are about to be published. A shard needs no note: what is read again decides the same, and says
    /// that it may have been sent.
    pub(super) fn journal<'a>(&mut self, alerts: impl Iterator<Item = &'a Alert>) -> Result<(), StorageError> {
        match self {
            Self::Folder(folder) => folder.journal(alerts),
            Self::Shard(_) => Ok(()),
        }
    }

    /// Keeps something that could not be processed. `false` where there is no room.
    pub(super) fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<bool, StorageError> {
        match self {
            Self::Folder(folder) => folder.dead_letter(letter),
            Self::Shard(shard) => Ok(shard.dead_letter(letter)),
        }
    }
}

impl KeeperWriting {
    /// What the objects of an archive are numbered by.
    pub(super) const fn number(&self) -> u64 {
        match self {
            Self::Folder(writing) => writing.number(),
            Self::Shard(writing) => writing.number(),
        }
    }

    /// Notes the objects that are about to be written for this snapshot, durably.
    pub(super) async fn intend(&mut self, objects: &[String]) -> Result<(), String> {
        match self {
            Self::Folder(writing) => writing.intend(objects).map_err(|error| error.to_string()),
            Self::Shard(writing) => writing.intend(objects).await,
        }
    }

    /// Objects of the archive that are in the way now that this snapshot is written.
    pub(super) fn in_vain(&self) -> &[String] {
        match self {
            Self::Folder(_) => &[],
            Self::Shard(writing) => writing.in_vain(),
        }
    }

    /// They are gone.
    pub(super) async fn forget(&mut self) {
        match self {
            Self::Folder(_) => {}
            Self::Shard(writing) => writing.forget().await,
        }
    }

    /// Writes the state and then the positions that belong to it.
    pub(super) async fn write(self, snapshot: Snapshot, manifest: Manifest) -> Result<Self, Unwritten> {
        match self {
            Self::Folder(writing) => {
                let written = writing.write(snapshot, manifest).await.map(Self::Folder);
                written.map_err(|error| Unwritten { why: error.to_string(), is_in_vain: false })
            }
            Self::Shard(writing) => writing.write(snapshot, manifest).await.map(|written| Self::Shard(Box::new(written))),
        }
    }
}
