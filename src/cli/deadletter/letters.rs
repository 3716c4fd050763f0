//! The file of dead letters, read a line at a time: it may be a gibibyte, and any line of it may be damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest line that is read. A Kinesis record is at most 10 MiB, a third more in base64.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// A letter as it was written. Lines of an earlier version lack what came later.
#[derive(Debug, Deserialize)]
pub(super) struct Letter {
    #[serde(default)]
    pub time: Option<String>,
    pub kind: String,
    pub place: String,
    pub id: String,
    pub reason: String,
    /// Base64.
    pub data: String,
    /// Read only by who sends it: what another version wrote there must not cost the letter.
    #[serde(default)]
    pub page: Option<Box<RawValue>>,
}

/// Reads every line that is not empty, with its number from 1; `Err` says what is wrong with one.
///
/// # Errors
/// The file cannot be read, or `each` fails.
pub(super) fn read(path: &Path, mut each: impl FnMut(u64, Result<Letter, &'static str>) -> io::Result<()>) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_ended = line.ends_with(b"\n");
        if !is_ended && line.len() as u64 >= LINE_BYTES_MAX {
            pass_line(&mut reader, |_| Ok(()))?;
            each(number, Err("longer than any letter"))?;
        } else if !line.trim_ascii().is_empty() {
            let why = if is_ended { "damaged" } else { "cut off, or being written" };
            each(number, serde_json::from_slice(&line).map_err(|_| why))?;
        }
    }
    Ok(())
}

/// Hands on what is left of a line, its end included, in parts; `false` where there is nothing.
fn pass_line(reader: &mut impl BufRead, mut part: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    let mut is_there = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(is_there);
        }
        let (length, is_end) = memchr::memchr(b'\n', bytes).map_or((bytes.len(), false), |at| (at + 1, true));
        part(&bytes[..length])?;
        reader.consume(length);
        is_there = true;
        if is_end {
            return Ok(true);
        }
    }
}

/// Replaces the file by one without these lines, in one step: a crash leaves the one or the other. Every other line stays as
/// it is, byte for byte, the damaged ones too. The caller holds the folder's lock.
///
/// # Errors
/// The new file cannot be written; the old one is still there then.
pub(super) fn remove(path: &Path, is_removed: impl Fn(u64) -> bool) -> io::Result<()> {
    let fresh = path.with_extension("ndjson.new");
    let mut reader = BufReader::new(File::open(path)?);
    let mut writer = io::BufWriter::new(OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?);
    for number in 1.. {
        let stays = !is_removed(number);
        if !pass_line(&mut reader, |part| if stays { writer.write_all(part) } else { Ok(()) })? {
            break;
        }
    }
    writer.into_inner()?.sync_all()?;
    fs::rename(&fresh, path)?;
    // Without this the rename itself may be lost with the machine.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &Path) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        let each = |number, letter: Result<Letter, &'static str>| {
            told.push((number, letter.map_or_else(str::to_owned, |letter| letter.id)));
            Ok(())
        };
        read(path, each).expect("readable");
        told
    }

    #[test]
    fn every_line_is_a_letter_or_is_named_and_none_hides_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("letters");
        let letter = |id: &str| format!(r#"{{"kind":"record","place":"p","id":"{id}","reason":"r","data":""}}"#);
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).expect("small") + 10);
        let lines = [letter("1"), "{\"kind\":".to_owned(), String::new(), long, letter("5"), "\u{0}".to_owned(), letter("7")];
        fs::write(&path, lines.join("\n") + "\n{\"ki").expect("written");
        let of = |number: u64, what: &str| (number, what.to_owned());
        let wanted = [
            of(1, "1"),
            of(2, "damaged"),
            of(4, "longer than any letter"),
            of(5, "5"),
            of(6, "damaged"),
            of(7, "7"),
            of(8, "cut off, or being written"),
        ];
        assert_eq!(told(&path), wanted);

        remove(&path, |number| [1, 4].contains(&number)).expect("removed");
        let left = fs::read_to_string(&path).expect("there");
        let kept: Vec<&str> = [1, 2, 4, 5, 6].map(|index| lines[index].as_str()).to_vec();
        assert_eq!(left, kept.join("\n") + "\n{\"ki", "all other lines, byte for byte");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing is left beside it");
    }
}
