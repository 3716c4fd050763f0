//! State as bytes: a header that says what follows, and the rows, packed in blocks with checksums.
//!
//! `GEOPHONE` (8 bytes) · format version (u16, little-endian) · blocks (`snapshot/blocks.rs`) of the state (postcard). A
//! reader takes the present version and the one before it, and names any other. Whatever is wrong with the bytes, reading
//! gives an error and never a half-read state.

mod blocks;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::alerting::{Page, PagingImage};
use crate::engine::EngineImage;

const MAGIC: &[u8; 8] = b"GEOPHONE";
/// Version of the form. Raise it with every change of a kept type, and keep what reads the one before.
pub const VERSION: u16 = 9;
const HEADER_BYTES: usize = 8 + 2;

/// Everything that a process remembers beyond its positions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The engine's state.
    pub engine: EngineImage,
    /// Silences, and what on-call knows.
    pub paging: PagingImage,
    /// Pages that were decided and are not known to be delivered.
    pub outbox: Vec<Page>,
    /// The positions that this is the state of, as whoever keeps positions writes them; nothing where a former version
    /// wrote it.
    pub positions: Vec<u8>,
}

/// What format 8 kept.
#[derive(Deserialize)]
struct Snapshot8 {
    engine: EngineImage,
    paging: PagingImage,
    outbox: Vec<Page>,
}

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Too short, or something else altogether.
    #[error("it is no snapshot of geophone's")]
    Foreign,
    /// Written by another version.
    #[error("it has format {found} and this version reads formats {} and {VERSION}", VERSION - 1)]
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
    let plain = postcard::to_stdvec(snapshot).map_err(|error| SnapshotError::Unwritable(error.to_string()))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + plain.len() / 2);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    blocks::pack(&plain, &mut bytes)?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote, in this version or the one before.
///
/// # Errors
/// Every kind of [`SnapshotError`] but `Unwritable`.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Foreign)?;
    if &header[..8] != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    match u16::from_le_bytes([header[8], header[9]]) {
        VERSION => read(&blocks::unpack(body)?),
        8 => decode_8(body),
        found => Err(SnapshotError::Version { found }),
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SnapshotError> {
    postcard::from_bytes(bytes).map_err(|error| SnapshotError::Malformed(error.to_string()))
}

/// Format 8: xxh3-64 of the rows (u64) and the rows, not packed.
fn decode_8(body: &[u8]) -> Result<Snapshot, SnapshotError> {
    let (checksum, body) = body.split_at_checked(8).ok_or(SnapshotError::Foreign)?;
    if *checksum != xxh3_64(body).to_le_bytes() {
        return Err(SnapshotError::Damaged);
    }
    let Snapshot8 { engine, paging, outbox } = read(body)?;
    Ok(Snapshot { engine, paging, outbox, positions: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineSettings};

    fn empty() -> Snapshot {
        let settings = EngineSettings { dedup_capacity: 64, ..EngineSettings::default() };
        Snapshot { engine: Engine::new(settings).image(), paging: PagingImage::default(), outbox: Vec::new(), positions: vec![7] }
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
        bytes[8] = 10;
        assert_eq!(decode(&bytes).err(), Some(SnapshotError::Version { found: 10 }));
    }
}
