//! A manifest as JSON.
//!
//! ```json
//! {"version":1,"checksum":"<16 hex digits>","manifest":{"attachment":null,"leases":[
//!   {"stream":"orders","shard":"shardId-000000000000","checkpoint":"4953…",
//!    "sub_sequence":null,"parents":[],"children":[],"listed":true}]}}
//! ```
//! `checkpoint` is in KCL's words: `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP` (with `timestamp_ms`),
//! `SHARD_END` or a sequence number. The checksum covers the bytes of `manifest`: one changed digit
//! in a sequence number would still be JSON, and would skip or repeat records.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{StoreError, words};
use crate::checkpoint::{Lease, Manifest, ShardKey};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRow<'a> {
    version: u32,
    checksum: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

/// Read before all else, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
struct VersionRow {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestRow {
    attachment: Option<String>,
    leases: Vec<LeaseRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseRow {
    stream: String,
    shard: String,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_sequence: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<i64>,
    parents: Vec<String>,
    children: Vec<String>,
    listed: bool,
}

impl Manifest {
    /// The manifest as JSON with version and checksum, as a [`FolderStore`](crate::FolderStore) keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::TooNew`], about `place`.
    pub fn from_bytes(bytes: &[u8], place: &Path) -> Result<Self, StoreError> {
        decode(bytes, place)
    }
}

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let leases = manifest.checkpoints.iter().map(|(key, lease)| lease_row(key, lease)).collect();
    seal(&ManifestRow { attachment: manifest.attachment.clone(), leases })
}

pub(super) fn decode(bytes: &[u8], file: &Path) -> Result<Manifest, StoreError> {
    let damaged = |why: String| StoreError::Damaged { file: file.to_owned(), why };
    let row: ManifestRow = unseal(bytes, file)?;
    let checkpoints = row.leases.into_iter().map(|row| lease(row).map_err(&damaged)).collect::<Result<_, _>>()?;
    Ok(Manifest { checkpoints, attachment: row.attachment })
}

/// Plain data as a file with version and checksum.
pub(crate) fn seal(body: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists of them: there is nothing that JSON could refuse.
    let body = serde_json::value::to_raw_value(body).expect("plain data is JSON");
    let file = FileRow { version: VERSION, checksum: checksum(body.get()), manifest: &body };
    let mut bytes = serde_json::to_vec(&file).expect("plain data is JSON");
    bytes.push(b'\n');
    bytes
}

/// What was sealed. `file` is for the error's words.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8], file: &Path) -> Result<T, StoreError> {
    let damaged = |why: String| StoreError::Damaged { file: file.to_owned(), why };
    let VersionRow { version } = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if version > VERSION {
        return Err(StoreError::TooNew { file: file.to_owned(), found: version, known: VERSION });
    }
    if version != VERSION {
        return Err(damaged(format!("there is no format version {version}")));
    }
    let row: FileRow<'_> = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if checksum(row.manifest.get()) != row.checksum {
        return Err(damaged("the checksum does not match".to_owned()));
    }
    serde_json::from_str(row.manifest.get()).map_err(|error| damaged(error.to_string()))
}

fn lease_row(key: &ShardKey, lease: &Lease) -> LeaseRow {
    let (checkpoint, sub_sequence, timestamp_ms) = words::of(&lease.checkpoint);
    let owned = |shards: &[Arc<str>]| shards.iter().map(|shard| shard.to_string()).collect();
    LeaseRow {
        stream: key.stream.to_string(),
        shard: key.shard.to_string(),
        checkpoint,
        sub_sequence,
        timestamp_ms,
        parents: owned(&lease.parents),
        children: owned(&lease.children),
        listed: lease.listed,
    }
}

fn lease(row: LeaseRow) -> Result<(ShardKey, Lease), String> {
    let checkpoint = words::checkpoint(&row.checkpoint, row.sub_sequence, row.timestamp_ms)?;
    let shared = |shards: Vec<String>| shards.into_iter().map(Arc::from).collect();
    let lease = Lease { checkpoint, parents: shared(row.parents), children: shared(row.children), listed: row.listed };
    Ok((ShardKey::new(row.stream, row.shard), lease))
}

/// FNV-1a over 64 bits. It is against accidents, not against people: each step is a bijection of
/// the state, so no single changed byte can go unnoticed.
fn checksum(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
