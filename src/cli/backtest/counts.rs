//! Counts as CSV: `bucket_start,identity,group,class,count,source,region,model[,arrived_at]`, plain or gzipped.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;

use crate::backtest::Row;
use crate::baseline::Sight;
use crate::cli::{Exit, Failure};
use crate::stats::ring::BUCKET;
use crate::time::EventTime;

/// Columns that must be there, in any order.
const COLUMNS: [&str; 8] = ["bucket_start", "identity", "group", "class", "count", "source", "region", "model"];
/// Bad rows that are told with their line.
const TOLD_MAX: usize = 5;
/// Longest text of a field; what is longer is cut.
const FIELD_BYTES_MAX: usize = 512;
/// Most different texts that are kept to be given out again.
const TEXTS_MAX: usize = 5_000_000;

/// A reader of counts.
pub struct CountsReader {
    csv: csv::Reader<Box<dyn Read>>,
    record: ByteRecord,
    columns: [usize; 8],
    arrived: Option<usize>,
    texts: HashMap<Box<[u8]>, Arc<str>>,
    last_time: (Vec<u8>, i64),
    read: Arc<AtomicU64>,
    /// Rows that are none, and the first of them.
    pub bad: u64,
    /// The first bad rows, with line and reason.
    pub told: Vec<String>,
}

/// Counts bytes of the file while they are read, for the progress bar.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl CountsReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// No such file (66), or columns are missing (65).
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let no_input =
            |error| Failure::new(Exit::NoInput, format_args!("{}: {error}; name a CSV file of counts with --data", path.display()));
        let read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::with_capacity(1 << 18, Counted(File::open(path).map_err(no_input)?, Arc::clone(&read)));
        let is_gzip = std::io::BufRead::fill_buf(&mut file).map_err(no_input)?.starts_with(&[0x1f, 0x8b]);
        let bytes: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut csv = csv::ReaderBuilder::new().flexible(true).buffer_capacity(1 << 18).from_reader(bytes);
        let header =
            csv.byte_headers().map_err(|error| Failure::new(Exit::NothingDecodable, format_args!("{}: {error}", path.display())))?;
        let place = |name: &str| header.iter().position(|field| field.trim_ascii() == name.as_bytes());
        let missing: Vec<&str> = COLUMNS.into_iter().filter(|name| place(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(Failure::new(
                Exit::NothingDecodable,
                format_args!("{}:1: column {} is missing; the header is {}", path.display(), missing.join(", "), COLUMNS.join(",")),
            ));
        }
        let columns = COLUMNS.map(|name| place(name).unwrap_or_default());
        let arrived = place("arrived_at");
        Ok(Self {
            csv,
            record: ByteRecord::new(),
            columns,
            arrived,
            texts: HashMap::new(),
            last_time: (Vec::new(), 0),
            read,
            bad: 0,
            told: Vec::new(),
        })
    }

    /// Bytes of the file that were read.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The next row that is one; bad ones are counted and passed over.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        loop {
            match self.csv.read_byte_record(&mut self.record) {
                Ok(false) => return Ok(None),
                Ok(true) => {}
                Err(error) if error.is_io_error() => {
                    return Err(Failure::new(Exit::NoInput, format_args!("counts cannot be read on: {error}")));
                }
                Err(error) => {
                    self.refuse(&error.to_string());
                    continue;
                }
            }
            match self.row() {
                Ok(row) => return Ok(Some(row)),
                Err(why) => self.refuse(why),
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        self.bad += 1;
        if self.told.len() < TOLD_MAX {
            let line = self.record.position().map_or(0, csv::Position::line);
            self.told.push(format!("line {line}: {why}"));
        }
    }

    fn row(&mut self) -> Result<Row, &'static str> {
        let record = std::mem::take(&mut self.record);
        let row = self.row_of(&record);
        self.record = record;
        row
    }

    fn row_of(&mut self, record: &ByteRecord) -> Result<Row, &'static str> {
        let field = |column: usize| {
            let text = record.get(self.columns[column]).unwrap_or_default().trim_ascii();
            &text[..text.len().min(FIELD_BYTES_MAX)]
        };
        let (start, identity, group, class) = (field(0), field(1), field(2), field(3));
        let calls = std::str::from_utf8(field(4)).ok().and_then(|text| text.parse::<i64>().ok()).ok_or("count is no whole number")?;
        if calls <= 0 {
            return Err(if calls < 0 { "count is negative" } else { "count is zero" });
        }
        if identity.is_empty() {
            return Err("identity is empty");
        }
        let is_machine = match class {
            b"human" => false,
            b"machine" => true,
            _ => return Err("class is neither human nor machine"),
        };
        let context = [field(5), field(6), field(7), b""].map(|bytes| std::str::from_utf8(bytes).unwrap_or("?"));
        let sight = Sight::of(context);
        let arrived = self.arrived.and_then(|column| record.get(column)).map(<[u8]>::trim_ascii).filter(|text| !text.is_empty());
        let slot = self.slot(start).ok_or("bucket_start is no time like 2026-02-16T00:00:00Z")?;
        let arrived = match arrived {
            None => slot,
            Some(text) => slot_of(text).ok_or("arrived_at is no time like 2026-02-16T00:00:00Z")?,
        };
        let (identity, group) = (self.text(identity), self.text(group));
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        Ok(Row { slot, arrived, identity, group, is_machine, calls, sight })
    }

    /// Rows of one bucket follow each other: its time is read once.
    fn slot(&mut self, text: &[u8]) -> Option<i64> {
        if self.last_time.0 != text {
            self.last_time = (text.to_vec(), slot_of(text)?);
        }
        Some(self.last_time.1)
    }

    fn text(&mut self, bytes: &[u8]) -> Arc<str> {
        if let Some(text) = self.texts.get(bytes) {
            return Arc::clone(text);
        }
        let text: Arc<str> = String::from_utf8_lossy(bytes).into();
        if self.texts.len() < TEXTS_MAX {
            self.texts.insert(bytes.into(), Arc::clone(&text));
        }
        text
    }
}

fn slot_of(text: &[u8]) -> Option<i64> {
    let time = EventTime::parse(std::str::from_utf8(text).ok()?)?;
    Some(time.slot(BUCKET))
}
