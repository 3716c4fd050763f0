//! The first pass: where strings, objects and lists begin and end.

use crate::document::Document;
use crate::error::Error;
use crate::level::Level;
use crate::simd::{self, Masks, beginnings};
use crate::walk;

/// Most bytes of a text: places are 32 bits wide.
pub const TEXT_BYTES_MAX: usize = u32::MAX as usize;
/// Most levels of objects and lists: what serde_json allows.
pub const DEPTH_MAX: u32 = 127;

/// The buffers of a reader, kept from one text to the next. They grow to four bytes for each quote and bracket of the largest
/// text, one for eight of its bytes, and its longest string with escapes.
#[derive(Debug, Default)]
pub struct Index {
    level: Level,
    /// Places of all quotes that begin or end a string, and of all brackets outside of strings, in the order of the text.
    /// The walk replaces the place of an opening bracket by the number of the entry that closes it.
    entries: Vec<u32>,
    /// Places of backslashes, a bit each. Words behind the last backslash are left out.
    backslashes: Vec<u64>,
    /// The text of the string with escapes that is being read.
    scratch: String,
}

impl Index {
    /// A reader with the best instructions of this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader with these instructions: for comparisons.
    pub fn at(level: Level) -> Self {
        Self { level, ..Self::default() }
    }

    /// The instructions that it uses.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Indexes `text`, which must be one JSON document and white space, and checks all of the grammar.
    ///
    /// What the grammar does not say is told when it is read: half a surrogate pair ([`Error::Escape`]) and numbers beyond
    /// the range of floats ([`Error::Number`]).
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] where it is no JSON, [`Error::TooDeep`] and [`Error::TooLong`] beyond the limits.
    pub fn read<'i, 'de>(&'i mut self, text: &'de str) -> Result<Document<'i, 'de>, Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.entries.clear();
        self.backslashes.clear();
        let mut scan = Scan::new(&mut self.entries, &mut self.backslashes);
        simd::scan(self.level, &mut scan, text.as_bytes());
        if scan.is_wrong() {
            return Err(Error::Syntax);
        }
        let Self { level, entries, backslashes, scratch } = self;
        walk::check(text.as_bytes(), entries)?;
        Ok(Document::new(*level, text, entries, backslashes, scratch))
    }
}

/// What is carried from one block of the text to the next.
pub(crate) struct Scan<'i> {
    pub(crate) entries: &'i mut Vec<u32>,
    backslashes: &'i mut Vec<u64>,
    /// 1 where the last block ended with a backslash that escapes what comes next.
    is_escaped: u64,
    /// All bits where the last block ended within a string, else none.
    within: u64,
    /// Not 0 where something was found that is no JSON.
    wrong: u64,
}

impl<'i> Scan<'i> {
    pub(crate) fn new(entries: &'i mut Vec<u32>, backslashes: &'i mut Vec<u64>) -> Self {
        Self { entries, backslashes, is_escaped: 0, within: 0, wrong: 0 }
    }

    /// Whether something was found that is no JSON, or the text ended within a string.
    pub(crate) fn is_wrong(&self) -> bool {
        self.wrong | self.within != 0
    }

    /// The quotes of the block at `base` that begin or end a string.
    #[inline(always)]
    pub(crate) fn quotes(&mut self, masks: &Masks, bytes: &[u8], base: usize) -> u64 {
        if masks.backslash | self.is_escaped == 0 {
            return masks.quote;
        }
        masks.quote & !self.escaped(masks, bytes, base)
    }

    /// The characters of the block that a backslash stands before, if that one is not escaped itself.
    #[inline(always)]
    fn escaped(&mut self, masks: &Masks, bytes: &[u8], base: usize) -> u64 {
        let begin = beginnings(masks.backslash & !self.is_escaped);
        let escaped = (begin << 1) | self.is_escaped;
        self.is_escaped = begin >> 63;
        if masks.backslash != 0 {
            self.backslashes.resize(base / simd::BLOCK, 0);
            self.backslashes.push(masks.backslash);
        }
        let mut others = escaped & !(masks.quote | masks.backslash);
        while others != 0 {
            let place = base + others.trailing_zeros() as usize;
            self.wrong |= u64::from(!is_escape(bytes.get(place..).unwrap_or_default()));
            others &= others - 1;
        }
        escaped
    }

    /// The places of the block that belong into the index: `quotes`, and brackets outside of strings. `parity` has a bit
    /// set where the number of `quotes` up to and with it is odd.
    #[inline(always)]
    pub(crate) fn places(&mut self, masks: &Masks, quotes: u64, parity: u64) -> u64 {
        let within = parity ^ self.within;
        self.within = ((within as i64) >> 63) as u64;
        self.wrong |= (masks.control & within) | (masks.backslash & !within);
        quotes | (masks.bracket & !within)
    }
}

/// Whether `rest` begins with what may follow a backslash, quotes and backslashes aside.
fn is_escape(rest: &[u8]) -> bool {
    match rest {
        [b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => true,
        [b'u', a, b, c, d, ..] => [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}
