//! What a JSON string with escapes stands for.

use crate::error::Error;
use crate::level::Level;
use crate::simd;

/// Appends to `out` what `raw` stands for: the inside of a JSON string, without its quotes.
///
/// Only escapes are looked at. Control characters and bare quotes, which no JSON string has, are taken as they are.
///
/// # Errors
///
/// [`Error::Escape`] where a backslash is followed by what JSON does not know, or by half of a surrogate pair. Then `out` is
/// as it was.
pub fn unescape(raw: &str, out: &mut String) -> Result<(), Error> {
    unescape_at(Level::best(), raw, out)
}

/// [`unescape`] with these instructions: for comparisons.
///
/// # Errors
///
/// As [`unescape`].
pub fn unescape_at(level: Level, raw: &str, out: &mut String) -> Result<(), Error> {
    simd::resolve_text(level, raw, out)
}

/// Without vectors: from one backslash to the next.
pub(crate) fn portable(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.reserve(raw.len());
    let mut at = 0;
    loop {
        let rest = raw.get(at..).unwrap_or_default();
        let Some(plain) = rest.iter().position(|byte| *byte == b'\\') else {
            out.extend_from_slice(rest);
            return Ok(());
        };
        out.extend_from_slice(&rest[..plain]);
        at = escape(raw, at + plain, out)?;
    }
}

/// Appends what the escape stands for whose backslash is at `at`, and returns where it ends.
pub(crate) fn escape(raw: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
    let byte = match raw.get(at + 1).ok_or(Error::Escape)? {
        same @ (b'"' | b'\\' | b'/') => *same,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode(raw, at, out),
        _ => return Err(Error::Escape),
    };
    out.push(byte);
    Ok(at + 2)
}

/// The escape at `at`, which begins with `\u`, and the one behind it where both are a surrogate pair.
fn unicode(raw: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
    let mut end = at + 6;
    let mut code = u32::from(unit(raw, at).ok_or(Error::Escape)?);
    if let 0xd800..=0xdbff = code {
        let low = unit(raw, end).filter(|low| (0xdc00..=0xdfff).contains(low)).ok_or(Error::Escape)?;
        code = 0x1_0000 + ((code & 0x3ff) << 10 | u32::from(low) & 0x3ff);
        end += 6;
    }
    let character = char::from_u32(code).ok_or(Error::Escape)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(end)
}

/// The 16 bits of the escape `\uXXXX` at `at`.
fn unit(raw: &[u8], at: usize) -> Option<u16> {
    let digits = raw.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}
