//! What is done to 64 bytes at a time, once for each [`Level`](crate::Level).
//!
//! All unsafe code of the crate is here and in [`x86`]: calls of functions for which a `Level` is the proof that the machine
//! has what they need, loads and stores of vectors from and to arrays of 64 bytes, and the lengths of vectors that
//! they have filled.

#![allow(unsafe_code, reason = "the one place for it; see above")]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::error::Error;
use crate::index::Scan;
use crate::level::{Kind, Level};
use crate::unescape;

/// Bytes that are looked at together; one bit of a mask each.
pub(crate) const BLOCK: usize = 64;
/// Those bytes.
pub(crate) type Block = [u8; BLOCK];

/// Where in a block something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    pub quote: u64,
    pub backslash: u64,
    /// `{`, `}`, `[` and `]`.
    pub bracket: u64,
    /// Below 0x20.
    pub control: u64,
}

/// What matters to escapes in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Escapes {
    pub backslash: u64,
    /// Characters that stand for themselves behind a backslash: `"`, `\` and `/`.
    pub plain: u64,
}

/// The backslashes that begin an escape, where none reaches into the block from before: every other one of a run.
#[inline(always)]
pub(crate) fn beginnings(backslash: u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // Adding a run's first bit clears the run and sets the bit behind it.
    let at_even = backslash & !(backslash << 1) & EVEN;
    let from_even = backslash & !backslash.wrapping_add(at_even);
    (from_even & EVEN) | (backslash & !from_even & !EVEN)
}

/// Runs a [`Scan`] over `bytes`.
pub(crate) fn scan(level: Level, scan: &mut Scan<'_>, bytes: &[u8]) {
    match level.0 {
        Kind::Portable => portable::scan(scan, bytes),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is the proof of the features.
        Kind::Ssse3 => unsafe { x86::scan_ssse3(scan, bytes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is the proof of the features.
        Kind::Avx2 => unsafe { x86::scan_avx2(scan, bytes) },
    }
}

/// Appends to `out` what `raw`, the inside of a JSON string, stands for. What is in `out` after an error is of no use.
pub(crate) fn resolve(level: Level, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    match level.0 {
        Kind::Portable => unescape::portable(raw, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is the proof of the features.
        Kind::Ssse3 => unsafe { x86::resolve_ssse3(raw, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is the proof of the features.
        Kind::Avx2 => unsafe { x86::resolve_avx2(raw, out) },
    }
}

/// [`resolve`] into a text.
pub(crate) fn resolve_text(level: Level, raw: &str, out: &mut String) -> Result<(), Error> {
    let mut bytes = std::mem::take(out).into_bytes();
    let length = bytes.len();
    let resolved = resolve(level, raw.as_bytes(), &mut bytes);
    if resolved.is_err() {
        bytes.truncate(length);
    }
    // SAFETY: up to `length` it was a text. What `resolve` appends is `raw`, a text, in which whole escapes, all ASCII, are
    // replaced by the characters that they stand for.
    *out = unsafe { String::from_utf8_unchecked(bytes) };
    resolved
}

/// The last block, filled up with blanks, which mean nothing in JSON outside of strings and never end one.
#[inline(always)]
pub(crate) fn padded(rest: &[u8]) -> Block {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// The body of every `scan_*`: written once, compiled with the features of the function that it stands in.
macro_rules! scan_blocks {
    ($scan:ident, $bytes:ident, $masks:path, $prefix_xor:path, $emit:path) => {{
        let mut base = 0;
        while base < $bytes.len() {
            let rest = &$bytes[base..];
            let last;
            let block = match rest.first_chunk() {
                Some(block) => block,
                None => {
                    last = $crate::simd::padded(rest);
                    &last
                }
            };
            let masks = $masks(block);
            let quotes = $scan.quotes(&masks, $bytes, base);
            let places = $scan.places(&masks, quotes, $prefix_xor(quotes));
            // Within u32: longer texts are refused.
            $emit(&mut *$scan.entries, base as u32, places);
            base += $crate::simd::BLOCK;
        }
    }};
}
use scan_blocks;

/// Writes the places of a block down: `base` and the number of each bit.
#[inline(always)]
fn emit(entries: &mut Vec<u32>, base: u32, mut bits: u64) {
    let count = bits.count_ones() as usize;
    entries.reserve(BLOCK);
    let length = entries.len();
    let Some(spare) = entries.spare_capacity_mut().first_chunk_mut::<BLOCK>() else { return };
    let mut next = || {
        // Beyond the last bit it writes places that are not taken over.
        let place = base.wrapping_add(bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        place
    };
    // Eight at a time without a look at how many there are: most blocks have fewer, and a wrong guess costs more.
    for chunk in spare.as_chunks_mut::<8>().0.iter_mut().take(count.div_ceil(8).max(1)) {
        for slot in chunk {
            slot.write(next());
        }
    }
    // SAFETY: `count` entries, of at most 64 bits, were written behind the first `length`.
    unsafe { entries.set_len(length + count) };
}

#[cfg(test)]
mod tests;
