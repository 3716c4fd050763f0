//! The second pass: from one place of the index to the next, the rest of the grammar.
//!
//! Strings and what is in them are checked already, so that each is one step. What is left are brackets, commas, colons,
//! numbers, literals and white space.

use crate::error::Error;
use crate::index::DEPTH_MAX;

/// Marks the outermost value: no entry has this number, as there are fewer entries than bytes.
const NONE: u32 = u32::MAX;

/// Checks that `bytes`, whose strings are known to be right, are one JSON document, and replaces the entry of each opening
/// bracket by the number of the entry that closes it.
pub(crate) fn check(bytes: &[u8], entries: &mut [u32]) -> Result<(), Error> {
    Walk { bytes, entries, place: 0, at: 0, parent: NONE, objects: 0, depth: 0 }.document().ok_or(Error::Syntax)?
}

struct Walk<'a> {
    bytes: &'a [u8],
    entries: &'a mut [u32],
    /// The byte that is looked at.
    place: usize,
    /// The first entry that is not behind it.
    at: usize,
    /// The entry of the bracket that it is within. As long as that is open it holds the number of the one outside of it.
    parent: u32,
    /// Whether it is an object that it is within, and what is outside of that, a bit each.
    objects: u128,
    depth: u32,
}

impl Walk<'_> {
    /// `None` where it is no JSON.
    #[inline]
    fn document(&mut self) -> Option<Result<(), Error>> {
        loop {
            // A value is due.
            match self.next()? {
                b'"' => self.string()?,
                bracket @ (b'{' | b'[') => {
                    if self.depth == DEPTH_MAX {
                        return Some(Err(Error::TooDeep));
                    }
                    self.open(bracket == b'{')?;
                    let first = self.next()?;
                    if first == bracket + 2 {
                        self.close()?;
                    } else {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => self.place = crate::number::end_of_scalar(self.bytes, self.place)?,
            }
            // A value is done.
            loop {
                if self.parent == NONE {
                    return self.next().is_none().then_some(Ok(()));
                }
                let is_object = self.objects & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.place += 1;
                        if is_object {
                            self.next()?;
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if is_object => self.close()?,
                    b']' if !is_object => self.close()?,
                    _ => return None,
                }
            }
        }
    }

    /// The next byte that is not white space, which is gone to.
    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.place)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.place += 1;
        }
    }

    /// Goes behind the string that begins here.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        self.place = *self.entries.get(self.at + 1)? as usize + 1;
        self.at += 2;
        Some(())
    }

    /// Goes behind the key and the colon.
    #[inline(always)]
    fn key(&mut self) -> Option<()> {
        if *self.bytes.get(self.place)? != b'"' {
            return None;
        }
        self.string()?;
        if self.next()? != b':' {
            return None;
        }
        self.place += 1;
        Some(())
    }

    #[inline(always)]
    fn open(&mut self, is_object: bool) -> Option<()> {
        *self.entries.get_mut(self.at)? = self.parent;
        // Fewer than bytes, which are within u32.
        self.parent = self.at as u32;
        self.objects = self.objects << 1 | u128::from(is_object);
        self.depth += 1;
        self.at += 1;
        self.place += 1;
        Some(())
    }

    #[inline(always)]
    fn close(&mut self) -> Option<()> {
        let open = self.entries.get_mut(self.parent as usize)?;
        self.parent = std::mem::replace(open, self.at as u32);
        self.objects >>= 1;
        self.depth -= 1;
        self.at += 1;
        self.place += 1;
        Some(())
    }
}
