//! State as bytes: a header that says what follows, a checksum, and the rows.
//!
//! `GEOPHONE` (8 bytes) · format version (u16) · xxh3-64 of the body (u64) · body (postcard), all little-endian. A reader
//! takes the present version and names any other. Whatever is wrong with the bytes, reading gives an error and never a
//! half-read state.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::alerting::{Page, PagingImage};
use crate::engine::EngineImage;

const MAGIC: &[u8; 8] = b"GEOPHONE";
/// Version of the body's form. Raise it with every change of a kept type.
pub const VERSION: u16 = 8;
const HEADER_BYTES: usize = 8 + 2 + 8;

/// Everything that a process remembers beyond its positions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The engine's state.
    pub engine: EngineImage,
    /// Silences, and what on-call knows.
    pub paging: PagingImage,
    /// Pages that were decided and are not known to be delivered.
    pub outbox: Vec<Page>,
}

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Too short, or something else altogether.
    #[error("it is no snapshot of geophone's")]
    Foreign,
    /// Written by another version.
    #[error("it has format {found} and this version reads format {VERSION}")]
    Version {
        /// The format that was found.
        found: u16,
    },
    /// The manifest names it and it is not there.
    #[error("the manifest names it and it is not there")]
    Missing,
    /// The checksum does not fit.
    #[error("it is damaged: its checksum does not fit")]
    Damaged,
    /// The rows cannot be read although the checksum fits.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// The state cannot be written.
    #[error("state cannot be written as a snapshot: {0}")]
    Unwritable(String),
}

/// `snapshot` as bytes. The same state gives the same bytes.
///
/// # Errors
/// [`SnapshotError::Unwritable`] where a value has no form as bytes, which no kept type has.
pub fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, SnapshotError> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes = postcard::to_extend(snapshot, bytes).map_err(|error| SnapshotError::Unwritable(error.to_string()))?;
    let checksum = xxh3_64(&bytes[HEADER_BYTES..]);
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Every kind of [`SnapshotError`] but `Unwritable`.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Foreign)?;
    if &header[..8] != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    let found = u16::from_le_bytes([header[8], header[9]]);
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    if header[10..] != xxh3_64(body).to_le_bytes() {
        return Err(SnapshotError::Damaged);
    }
    postcard::from_bytes(body).map_err(|error| SnapshotError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineSettings};

    fn empty() -> Snapshot {
        let settings = EngineSettings { dedup_capacity: 64, ..EngineSettings::default() };
        Snapshot { engine: Engine::new(settings).image(), paging: PagingImage::default(), outbox: Vec::new() }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = encode(&empty()).expect("encodes");
        assert!(decode(&bytes).is_ok());
        for position in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[position] ^= 0x10;
            assert!(decode(&bad).is_err(), "byte {position}");
        }
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = encode(&empty()).expect("encodes");
        bytes[8] = 9;
        assert_eq!(decode(&bytes).err(), Some(SnapshotError::Version { found: 9 }));
    }
}
