//! The vectors against a byte-wise reading, block by block.

use super::*;

/// Blocks with every kind of byte in every place, and random ones of few kinds.
fn blocks() -> Vec<Block> {
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let alphabet = b"\"\\\\\\/{}[]n \x00\x1f\x20\x7f\x80\xff[{]};<";
    let random = (0..if cfg!(miri) { 20 } else { 2_000 }).map(|_| std::array::from_fn(|_| alphabet[next() % alphabet.len()]));
    (0..=255).map(|byte| [byte; BLOCK]).chain((0..64).map(|from| std::array::from_fn(|at| (4 * at + from) as u8))).chain(random).collect()
}

fn plain(block: &Block) -> Masks {
    let of = |is: fn(u8) -> bool| block.iter().enumerate().fold(0, |mask, (at, byte)| mask | u64::from(is(*byte)) << at);
    Masks {
        quote: of(|byte| byte == b'"'),
        backslash: of(|byte| byte == b'\\'),
        bracket: of(|byte| b"{}[]".contains(&byte)),
        control: of(|byte| byte < 0x20),
    }
}

#[test]
fn words_find_what_bytes_find() {
    for block in blocks() {
        assert_eq!(portable::masks(&block), plain(&block));
    }
}

#[test]
fn every_other_backslash_of_a_run_begins_an_escape() {
    for block in blocks() {
        let (mut expected, mut is_escaped) = (0, false);
        for (at, byte) in block.iter().enumerate() {
            let begins = *byte == b'\\' && !is_escaped;
            expected |= u64::from(begins) << at;
            is_escaped = begins;
        }
        assert_eq!(beginnings(plain(&block).backslash), expected, "{}", block.escape_ascii());
    }
}

/// A scan of all blocks of the test as one text, at each level: the same entries and the same verdict.
#[test]
fn every_level_writes_the_same_index() {
    let bytes: Vec<u8> = blocks().concat();
    for length in (0..200).chain([bytes.len() - 1, bytes.len()]) {
        let run = |level| {
            let (mut entries, mut backslashes) = (Vec::new(), Vec::new());
            let mut state = Scan::new(&mut entries, &mut backslashes);
            scan(level, &mut state, &bytes[..length]);
            let wrong = state.is_wrong();
            (wrong, entries, backslashes)
        };
        let expected = run(Level::PORTABLE);
        for level in Level::all() {
            assert!(run(level) == expected, "{level}, {length} bytes");
        }
    }
}
