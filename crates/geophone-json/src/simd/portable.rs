//! Words of eight bytes, for machines without the vectors.

use super::{Block, Masks, emit, scan_blocks};
use crate::index::Scan;

pub(super) fn scan(scan: &mut Scan<'_>, bytes: &[u8]) {
    scan_blocks!(scan, bytes, masks, prefix_xor, emit);
}

pub(crate) fn masks(block: &Block) -> Masks {
    let mut masks = Masks::default();
    for (nth, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
        let (word, shift) = (u64::from_le_bytes(*bytes), 8 * nth);
        let folded = word | every(0x20);
        masks.quote |= zeros(word ^ every(b'"')) << shift;
        masks.backslash |= zeros(word ^ every(b'\\')) << shift;
        masks.bracket |= (zeros(folded ^ every(b'{')) | zeros(folded ^ every(b'}'))) << shift;
        masks.control |= zeros(word & every(0xe0)) << shift;
    }
    masks
}

/// Each bit is the parity of the bits up to and with it.
pub(crate) fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// One bit for each byte that is zero.
fn zeros(word: u64) -> u64 {
    const LOW: u64 = every(0x7f);
    // The sum has a high bit where one of the low seven is set, and no byte carries into the next.
    let high = !(((word & LOW) + LOW) | word | LOW);
    ((high >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}
