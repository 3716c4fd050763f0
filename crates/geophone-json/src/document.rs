//! A text whose grammar is checked, and a place in it.

use crate::error::Error;
use crate::level::Level;
use crate::number;
use crate::simd::{self, BLOCK};

/// A JSON document that [`crate::Index::read`] has checked. `&mut Document` is a [`serde::Deserializer`] of it, once:
/// it reads on from where it stands, and what stands behind the document's value is nothing.
///
/// A visitor that does not take turns with keys and values, or leaves entries behind, gets an error, as from serde_json.
#[derive(Debug)]
pub struct Document<'i, 'de> {
    level: Level,
    text: &'de str,
    /// See `Index`.
    entries: &'i [u32],
    backslashes: &'i [u64],
    scratch: &'i mut String,
    /// The byte that is looked at.
    place: usize,
    /// The first entry that is not behind it.
    at: usize,
}

/// A string of the document, between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'de> {
    pub raw: &'de str,
    pub has_escapes: bool,
}

impl<'i, 'de> Document<'i, 'de> {
    pub(crate) fn new(level: Level, text: &'de str, entries: &'i [u32], backslashes: &'i [u64], scratch: &'i mut String) -> Self {
        Self { level, text, entries, backslashes, scratch, place: 0, at: 0 }
    }

    /// The text that was read, with the white space around it.
    pub fn text(&self) -> &'de str {
        self.text
    }

    /// The next byte that is not white space, which is gone to.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<u8, Error> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.place).ok_or(Error::Syntax)?;
            // The grammar is checked: outside of strings nothing else is as low.
            if byte > b' ' {
                return Ok(byte);
            }
            self.place += 1;
        }
    }

    /// Goes behind the comma, colon or the like.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.place += 1;
    }

    /// Goes behind a bracket.
    #[inline(always)]
    pub(crate) fn step_bracket(&mut self) {
        self.place += 1;
        self.at += 1;
    }

    /// Goes behind the string that begins here.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Quoted<'de>, Error> {
        let from = self.place + 1;
        let to = *self.entries.get(self.at + 1).ok_or(Error::Syntax)? as usize;
        let raw = self.text.get(from..to).ok_or(Error::Syntax)?;
        self.place = to + 1;
        self.at += 2;
        Ok(Quoted { raw, has_escapes: !self.backslashes.is_empty() && self.has_backslash(from, to) })
    }

    /// Whether there is a backslash in `from..to`. Beyond the first block of these one whole word is looked at at a time.
    fn has_backslash(&self, from: usize, to: usize) -> bool {
        if from == to {
            return false;
        }
        let (first, last) = (from / BLOCK, (to - 1) / BLOCK);
        let words = self.backslashes.get(first..self.backslashes.len().min(last + 1)).unwrap_or_default();
        words.iter().enumerate().any(|(nth, word)| {
            let mut word = *word;
            if nth == 0 {
                word &= u64::MAX << (from % BLOCK);
            }
            if first + nth == last {
                word &= u64::MAX >> (BLOCK - 1 - (to - 1) % BLOCK);
            }
            word != 0
        })
    }

    /// What a string with escapes stands for.
    pub(crate) fn resolved(&mut self, raw: &str) -> Result<&str, Error> {
        self.scratch.clear();
        simd::resolve_text(self.level, raw, self.scratch)?;
        Ok(self.scratch)
    }

    /// Goes behind the number or literal that begins here and returns it.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Result<&'de [u8], Error> {
        let bytes = self.text.as_bytes();
        let from = self.place;
        self.place = number::end_of_scalar(bytes, from).ok_or(Error::Syntax)?;
        bytes.get(from..self.place).ok_or(Error::Syntax)
    }

    /// Goes behind the value that comes next, in one step unless it is a number, and returns its text.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<&'de str, Error> {
        let byte = self.next()?;
        let from = self.place;
        match byte {
            b'"' => {
                self.place = *self.entries.get(self.at + 1).ok_or(Error::Syntax)? as usize + 1;
                self.at += 2;
            }
            b'{' | b'[' => {
                let close = *self.entries.get(self.at).ok_or(Error::Syntax)? as usize;
                self.place = *self.entries.get(close).ok_or(Error::Syntax)? as usize + 1;
                self.at = close + 1;
            }
            _ => {
                self.scalar()?;
            }
        }
        self.text.get(from..self.place).ok_or(Error::Syntax)
    }
}
