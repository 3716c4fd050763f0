//! The vectors of x86-64.
//!
//! What one level does is made of functions for one block; `scan_blocks` and `resolve_blocks` have the loops. Every function
//! enables the features of its level, so that they are all compiled into one.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{BLOCK, Block, Escapes, Masks, beginnings, emit, scan_blocks};
use crate::error::Error;
use crate::index::Scan;
use crate::unescape::escape;

/// Room for what is left of a block, filled or not.
type Spare = [MaybeUninit<u8>; BLOCK];

/// Declares the functions of one level.
macro_rules! level {
    ($features:literal, $scan:ident, $resolve:ident: $masks:ident, $prefix_xor:path, $emit:ident, $escapes:ident, $pack:ident) => {
        #[target_feature(enable = $features)]
        pub(super) fn $scan(scan: &mut Scan<'_>, bytes: &[u8]) {
            scan_blocks!(scan, bytes, $masks, $prefix_xor, $emit);
        }

        #[target_feature(enable = $features)]
        pub(super) fn $resolve(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
            resolve_blocks!(raw, out, $escapes, $pack)
        }
    };
}

/// The body of every `resolve_*`.
macro_rules! resolve_blocks {
    ($raw:ident, $out:ident, $escapes:ident, $pack:ident) => {{
        // What is written is never more than what was read, but for the end of the last block.
        $out.reserve($raw.len() + BLOCK);
        let mut at = 0;
        while at < $raw.len() {
            let rest = &$raw[at..];
            let last;
            let (block, length) = match rest.first_chunk::<BLOCK>() {
                Some(block) => (block, BLOCK),
                None => {
                    last = super::padded(rest);
                    (&last, rest.len())
                }
            };
            let Escapes { backslash, plain } = $escapes(block);
            let begin = beginnings(backslash);
            // Every block begins outside of an escape. The blanks behind the text are no plain characters either.
            let rare = (begin << 1) & !plain;
            let taken = if rare != 0 { rare.trailing_zeros() as usize - 1 } else { length - (begin >> 63) as usize };
            let keep = !begin & low_bits(taken);
            if $out.spare_capacity_mut().len() < BLOCK {
                $out.reserve(BLOCK);
            }
            let filled = $out.len() + keep.count_ones() as usize;
            if let Some(spare) = $out.spare_capacity_mut().first_chunk_mut::<BLOCK>() {
                $pack(block, keep, spare);
                // SAFETY: as many bytes as `keep` has bits, at most 64, were written behind the vector's end.
                unsafe { $out.set_len(filled) };
            }
            at += taken;
            if rare != 0 {
                at = escape($raw, at, $out)?;
                // Where there is one there are often more.
                while $raw.get(at) == Some(&b'\\') {
                    at = escape($raw, at, $out)?;
                }
            }
        }
        Ok(())
    }};
}

level!("ssse3", scan_ssse3, resolve_ssse3: masks_ssse3, super::portable::prefix_xor, emit, escapes_ssse3, pack_ssse3);
level!("avx2,pclmulqdq,bmi1,bmi2,popcnt", scan_avx2, resolve_avx2: masks_avx2, prefix_xor_clmul, emit, escapes_avx2, pack_avx2);
/// As many low bits as said, up to all.
#[inline(always)]
fn low_bits(count: usize) -> u64 {
    u64::MAX.checked_shr(BLOCK as u32 - count as u32).unwrap_or(0)
}

/// A vector for each 16 bytes.
///
/// Here and below nothing goes through a closure or a method that takes one: those have no features, so that what they call
/// would not be compiled into them.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_ssse3(block: &Block) -> [__m128i; 4] {
    let (parts, _) = block.as_chunks::<16>();
    // SAFETY: a part has 16 bytes, and the load asks for no alignment.
    let a = unsafe { _mm_loadu_si128(parts[0].as_ptr().cast()) };
    // SAFETY: as above.
    let b = unsafe { _mm_loadu_si128(parts[1].as_ptr().cast()) };
    // SAFETY: as above.
    let c = unsafe { _mm_loadu_si128(parts[2].as_ptr().cast()) };
    // SAFETY: as above.
    let d = unsafe { _mm_loadu_si128(parts[3].as_ptr().cast()) };
    [a, b, c, d]
}

#[inline]
#[target_feature(enable = "ssse3")]
fn mask_ssse3(a: __m128i, b: __m128i, c: __m128i, d: __m128i) -> u64 {
    let low = u64::from(_mm_movemask_epi8(a) as u32) | u64::from(_mm_movemask_epi8(b) as u32) << 16;
    low | u64::from(_mm_movemask_epi8(c) as u32) << 32 | u64::from(_mm_movemask_epi8(d) as u32) << 48
}

#[inline]
#[target_feature(enable = "ssse3")]
fn is_ssse3([a, b, c, d]: [__m128i; 4], byte: u8) -> u64 {
    let byte = _mm_set1_epi8(byte as i8);
    mask_ssse3(_mm_cmpeq_epi8(a, byte), _mm_cmpeq_epi8(b, byte), _mm_cmpeq_epi8(c, byte), _mm_cmpeq_epi8(d, byte))
}

#[inline]
#[target_feature(enable = "ssse3")]
fn masks_ssse3(block: &Block) -> Masks {
    let all @ [a, b, c, d] = load_ssse3(block);
    let (bit, top) = (_mm_set1_epi8(0x20), _mm_set1_epi8(0x1f));
    let folded = [_mm_or_si128(a, bit), _mm_or_si128(b, bit), _mm_or_si128(c, bit), _mm_or_si128(d, bit)];
    let (low_a, low_b) = (_mm_cmpeq_epi8(_mm_min_epu8(a, top), a), _mm_cmpeq_epi8(_mm_min_epu8(b, top), b));
    let (low_c, low_d) = (_mm_cmpeq_epi8(_mm_min_epu8(c, top), c), _mm_cmpeq_epi8(_mm_min_epu8(d, top), d));
    Masks {
        quote: is_ssse3(all, b'"'),
        backslash: is_ssse3(all, b'\\'),
        bracket: is_ssse3(folded, b'{') | is_ssse3(folded, b'}'),
        control: mask_ssse3(low_a, low_b, low_c, low_d),
    }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn escapes_ssse3(block: &Block) -> Escapes {
    let all = load_ssse3(block);
    let backslash = is_ssse3(all, b'\\');
    Escapes { backslash, plain: backslash | is_ssse3(all, b'"') | is_ssse3(all, b'/') }
}

/// Writes the bytes of the block whose bit of `keep` is set to the beginning of `spare`.
#[inline]
#[target_feature(enable = "ssse3")]
fn pack_ssse3(block: &Block, keep: u64, spare: &mut Spare) {
    let mut filled = 0;
    for (bytes, kept) in block.as_chunks::<8>().0.iter().zip(keep.to_le_bytes()) {
        let word = _mm_cvtsi64_si128(i64::from_le_bytes(*bytes));
        let order = _mm_cvtsi64_si128(i64::from_le_bytes(PACK[usize::from(kept)]));
        let packed = _mm_cvtsi128_si64(_mm_shuffle_epi8(word, order)).to_le_bytes();
        // At most 8 bytes of each earlier word are before it.
        if let Some(room) = spare[filled..].first_chunk_mut::<8>() {
            room.write_copy_of_slice(&packed);
        }
        filled += kept.count_ones() as usize;
    }
}

/// For each set of bytes of a word that are kept: where in the word they are. What is behind them is zeros.
static PACK: [[u8; 8]; 256] = {
    let mut table = [[0x80; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut from, mut to) = (0, 0);
        while from < 8 {
            if set >> from & 1 == 1 {
                table[set][to] = from as u8;
                to += 1;
            }
            from += 1;
        }
        set += 1;
    }
    table
};

#[inline]
#[target_feature(enable = "avx2")]
fn load_avx2(block: &Block) -> [__m256i; 2] {
    let (parts, _) = block.as_chunks::<32>();
    // SAFETY: a part has 32 bytes, and the load asks for no alignment.
    let a = unsafe { _mm256_loadu_si256(parts[0].as_ptr().cast()) };
    // SAFETY: as above.
    let b = unsafe { _mm256_loadu_si256(parts[1].as_ptr().cast()) };
    [a, b]
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask_avx2(a: __m256i, b: __m256i) -> u64 {
    u64::from(_mm256_movemask_epi8(a) as u32) | u64::from(_mm256_movemask_epi8(b) as u32) << 32
}

#[inline]
#[target_feature(enable = "avx2")]
fn is_avx2([a, b]: [__m256i; 2], byte: u8) -> u64 {
    let byte = _mm256_set1_epi8(byte as i8);
    mask_avx2(_mm256_cmpeq_epi8(a, byte), _mm256_cmpeq_epi8(b, byte))
}

#[inline]
#[target_feature(enable = "avx2")]
fn masks_avx2(block: &Block) -> Masks {
    let all @ [a, b] = load_avx2(block);
    let (bit, top) = (_mm256_set1_epi8(0x20), _mm256_set1_epi8(0x1f));
    let (open, close) = (_mm256_set1_epi8(b'{' as i8), _mm256_set1_epi8(b'}' as i8));
    let (folded_a, folded_b) = (_mm256_or_si256(a, bit), _mm256_or_si256(b, bit));
    let bracket_a = _mm256_or_si256(_mm256_cmpeq_epi8(folded_a, open), _mm256_cmpeq_epi8(folded_a, close));
    let bracket_b = _mm256_or_si256(_mm256_cmpeq_epi8(folded_b, open), _mm256_cmpeq_epi8(folded_b, close));
    Masks {
        quote: is_avx2(all, b'"'),
        backslash: is_avx2(all, b'\\'),
        bracket: mask_avx2(bracket_a, bracket_b),
        control: mask_avx2(_mm256_cmpeq_epi8(_mm256_min_epu8(a, top), a), _mm256_cmpeq_epi8(_mm256_min_epu8(b, top), b)),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn escapes_avx2(block: &Block) -> Escapes {
    let all = load_avx2(block);
    let backslash = is_avx2(all, b'\\');
    Escapes { backslash, plain: backslash | is_avx2(all, b'"') | is_avx2(all, b'/') }
}

/// As [`pack_ssse3`]; whole blocks are copied.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn pack_avx2(block: &Block, keep: u64, spare: &mut Spare) {
    if keep == u64::MAX {
        spare.write_copy_of_slice(block);
    } else {
        pack_ssse3(block, keep, spare);
    }
}

/// As [`super::portable::prefix_xor`]: a product without carries with all ones.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor_clmul(bits: u64) -> u64 {
    _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1))) as u64
}
