//! Records, decoded by this version: their events as lines that `geophone replay` reads.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::letters::Letter;
use crate::alerting::message::clean;
use crate::cli::{Exit, Failure};
use crate::cloudtrail::{DecodeError, Decoder, Limits};

/// Letters whose errors are told one by one; all are counted.
const TOLD_MAX: u64 = 20;

/// Where events go, and what came of the letters.
pub(super) struct Records {
    decoder: Decoder,
    out: Out,
    place: String,
    events: u64,
    whole: HashSet<u64>,
    letters: u64,
    /// Letters without a single event.
    empty: u64,
    /// Why writing ended.
    pub failed: Option<Failure>,
    /// Whether it ended because whoever read has read enough.
    pub is_unread: bool,
}

enum Out {
    File(BufWriter<File>),
    Standard(BufWriter<io::Stdout>),
}

impl Out {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::File(file) => file,
            Self::Standard(stdout) => stdout,
        }
    }
}

impl Records {
    /// Writes to a new file, or to standard output.
    ///
    /// # Errors
    /// The file is there already: what a former replay wrote is not overwritten, it may be the only copy. Or it cannot be made.
    pub fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let (out, place) = match path {
            None => (Out::Standard(BufWriter::new(io::stdout())), "standard output".to_owned()),
            Some(path) => {
                // Records hold what STS and Cognito answered: nobody else's to read.
                let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
                let file =
                    file.map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{}: {error}; name a new file", path.display())))?;
                (Out::File(BufWriter::new(file)), path.display().to_string())
            }
        };
        let decoder = Decoder::new(Limits { keep_text: true, ..Limits::default() });
        Ok(Self { decoder, out, place, events: 0, whole: HashSet::new(), letters: 0, empty: 0, failed: None, is_unread: false })
    }

    /// Takes a letter; tells what still cannot be read of it.
    ///
    /// # Errors
    /// The output cannot be written; [`Records::failed`] says why.
    pub fn take(&mut self, line: u64, letter: &Letter) -> io::Result<()> {
        self.letters += 1;
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(&letter.data) else {
            self.empty += 1;
            self.complain(line, letter, "its data is no base64");
            return Ok(());
        };
        let (mut written, mut first): (io::Result<()>, Option<DecodeError>) = (Ok(()), None);
        let writer = self.out.writer();
        let outcome = self.decoder.decode(&bytes, &mut |item| match item {
            Ok(decoded) if written.is_ok() => written = decoded.text.map_or(Ok(()), |text| write_line(writer, text)),
            Ok(_) => {}
            Err(error) => {
                first.get_or_insert(error);
            }
        });
        if let Err(error) = written {
            return Err(self.fail(error));
        }
        self.events += outcome.events;
        self.empty += u64::from(outcome.events == 0 && outcome.errors > 0);
        match first {
            None => {
                self.whole.insert(line);
            }
            Some(first) => {
                let why = format!("{} parts cannot be decoded, the first: {first}; {} events could", outcome.errors, outcome.events);
                self.complain(line, letter, &why);
            }
        }
        Ok(())
    }

    fn complain(&self, line: u64, letter: &Letter, why: &str) {
        match self.letters - self.whole.len() as u64 {
            bad if bad <= TOLD_MAX => eprintln!("line {line}: {} {}: {why}", clean(&letter.place), clean(&letter.id)),
            bad if bad == TOLD_MAX + 1 => eprintln!("… further letters with errors are counted only"),
            _ => {}
        }
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        self.is_unread = error.kind() == io::ErrorKind::BrokenPipe;
        self.failed = Some(self.cannot_write(&error));
        error
    }

    fn cannot_write(&self, error: &io::Error) -> Failure {
        Failure::new(Exit::CannotWrite, format_args!("{}: {error}; nothing was removed", self.place))
    }

    /// Ends the output. Gives the lines of letters that were decoded without an error: their events are on disk now, or with
    /// whoever reads standard output.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(&mut self) -> Result<HashSet<u64>, Failure> {
        let ended = self.out.writer().flush().and_then(|()| match &self.out {
            Out::File(file) => file.get_ref().sync_all(),
            Out::Standard(_) => Ok(()),
        });
        ended.map_err(|error| self.cannot_write(&error))?;
        Ok(self.whole.clone())
    }

    /// Says what came of them.
    pub fn tell(&self) -> Exit {
        if self.letters == 0 {
            return Exit::Ok;
        }
        let bad = self.letters - self.whole.len() as u64;
        eprintln!(
            "{} records: {} events to {}; {bad} records still have parts that cannot be decoded",
            self.letters, self.events, self.place
        );
        if self.empty == self.letters { Exit::NothingDecodable } else { Exit::Ok }
    }
}

/// Writes an event as one line. A line break in JSON stands between its parts only: within a text it is written `\n`.
fn write_line(writer: &mut dyn Write, text: &str) -> io::Result<()> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        writer.write_all(text.as_bytes())?;
    } else {
        writer.write_all(text.replace(['\n', '\r'], " ").as_bytes())?;
    }
    writer.write_all(b"\n")
}
