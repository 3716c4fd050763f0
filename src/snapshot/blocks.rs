//! Bytes as packed blocks, each with its own checksum: a damaged place is noticed before anything is made of it, and no
//! number in the bytes decides alone how much memory is asked for.
//!
//! A block: packed length (u32) · plain length (u32) · xxh3-64 of the packed bytes (u64) · packed bytes (DEFLATE). An empty
//! block (both lengths 0) is the end, and nothing comes after it.

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use xxhash_rust::xxh3::xxh3_64;

use super::SnapshotError;

/// Plain bytes of a block.
const BLOCK: usize = 1 << 20;
/// Fast, and already four times smaller.
const LEVEL: i32 = 1;
const HEAD: usize = 16;

/// Packs `plain` behind what is in `out`.
///
/// # Errors
/// Never, unless the packing library breaks its word about its longest output.
pub(super) fn pack(plain: &[u8], out: &mut Vec<u8>) -> Result<(), SnapshotError> {
    let level = CompressionLvl::new(LEVEL).map_err(|_| SnapshotError::Unwritable("no such compression level".to_owned()))?;
    let mut compressor = Compressor::new(level);
    let mut packed = vec![0; compressor.deflate_compress_bound(BLOCK)];
    for block in plain.chunks(BLOCK) {
        let length = compressor.deflate_compress(block, &mut packed).map_err(|error| SnapshotError::Unwritable(format!("{error:?}")))?;
        let bytes = packed.get(..length).unwrap_or_default();
        head(out, length, block.len(), xxh3_64(bytes));
        out.extend_from_slice(bytes);
    }
    head(out, 0, 0, 0);
    Ok(())
}

fn head(out: &mut Vec<u8>, packed: usize, plain: usize, checksum: u64) {
    // Both are at most a block's length and a little more.
    out.extend_from_slice(&(packed as u32).to_le_bytes());
    out.extend_from_slice(&(plain as u32).to_le_bytes());
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Unpacks what [`pack`] wrote.
///
/// # Errors
/// [`SnapshotError::Damaged`] at the first byte that does not fit.
pub(super) fn unpack(mut bytes: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let mut decompressor = Decompressor::new();
    let (mut plain, mut block) = (Vec::new(), vec![0; BLOCK]);
    loop {
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or(SnapshotError::Damaged)?;
        let number = |at: usize| head[at..at + 4].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let (packed, length) = (number(0), number(4));
        if (packed, length) == (0, 0) {
            let is_end = rest.is_empty() && head[8..] == [0; 8];
            return if is_end { Ok(plain) } else { Err(SnapshotError::Damaged) };
        }
        let (packed, rest) = rest.split_at_checked(packed).ok_or(SnapshotError::Damaged)?;
        let into = block.get_mut(..length).ok_or(SnapshotError::Damaged)?;
        if head[8..] != xxh3_64(packed).to_le_bytes() || decompressor.deflate_decompress(packed, into) != Ok(length) {
            return Err(SnapshotError::Damaged);
        }
        plain.extend_from_slice(into);
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_whatever_its_length() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77] {
            let plain: Vec<u8> = (0..length).map(|place| (place * place / 7) as u8).collect();
            let mut packed = b"before".to_vec();
            pack(&plain, &mut packed).expect("packs");
            assert!(unpack(&packed[6..]).is_ok_and(|back| back == plain), "{length}");
            assert_eq!(unpack(&packed[6..packed.len() - 1]), Err(SnapshotError::Damaged));
            packed.push(0);
            assert_eq!(unpack(&packed[6..]), Err(SnapshotError::Damaged), "nothing comes after the end");
        }
    }

    #[test]
    fn a_length_asks_for_no_memory() {
        let mut bytes = Vec::new();
        head(&mut bytes, u32::MAX as usize, u32::MAX as usize, 0);
        assert_eq!(unpack(&bytes), Err(SnapshotError::Damaged));
        let mut bytes = Vec::new();
        head(&mut bytes, 1, BLOCK + 1, xxh3_64(&[0]));
        bytes.push(0);
        assert_eq!(unpack(&bytes), Err(SnapshotError::Damaged));
    }
}
