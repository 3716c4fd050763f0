//! The two files of a backtest.

use std::io::{self, Write};

use super::{BUCKETS_PER_DAY, Caller, Fleet, MINUTES_PER_BUCKET, Row};
use crate::clock::{DAY, MINUTE, iso, write_iso};

/// The first line of the counts.
const COUNTS: &str = "bucket_start,identity,group,class,count,source,region,model\n";
/// The first line of the labels.
const LABELS: &str = "identity,start,end,kind,event\n";
/// Rows are handed on in pieces of about this size.
const CHUNK_BYTES: usize = 1 << 16;

impl Fleet {
    /// Writes the counts as CSV, in the order of time.
    pub fn write_counts(&self, out: &mut impl Write) -> io::Result<()> {
        let mut text = String::with_capacity(CHUNK_BYTES + 128);
        let mut start = String::new();
        let mut bucket = None;
        text.push_str(COUNTS);
        for row in &self.rows {
            if bucket != Some(row.bucket) {
                bucket = Some(row.bucket);
                start.clear();
                let (day, in_day) = (row.bucket / BUCKETS_PER_DAY, row.bucket % BUCKETS_PER_DAY);
                let time = i64::from(day) * DAY + i64::from(in_day) * MINUTES_PER_BUCKET * MINUTE;
                write_iso(&mut start, self.settings.first_day + time);
            }
            text.push_str(&start);
            self.callers[row.identity as usize].write(row, &mut text);
            if text.len() >= CHUNK_BYTES {
                out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        out.write_all(text.as_bytes())
    }

    /// Writes the labels as CSV, in the order of their events.
    pub fn write_labels(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(LABELS.as_bytes())?;
        for span in &self.spans {
            writeln!(out, "id{:05},{},{},{},{}", span.identity, iso(span.start), iso(span.end), span.kind, span.event)?;
        }
        Ok(())
    }
}

impl Caller {
    /// Everything after the time.
    fn write(self, row: &Row, text: &mut String) {
        let fields = [(",id", row.identity, 5), (",dept", self.group as u32, 2)];
        for (before, value, width) in fields {
            text.push_str(before);
            digits(text, value, width);
        }
        text.push_str(if self.is_machine { ",machine" } else { ",human" });
        let place = row.place;
        for (before, value) in [(",", row.count), (",s", place.source), (",r", u32::from(place.region)), (",m", u32::from(place.model))] {
            text.push_str(before);
            digits(text, value, 1);
        }
        text.push('\n');
    }
}

/// Appends a number with at least so many digits. The formatting machinery would take most of the time of a fleet.
fn digits(text: &mut String, value: u32, width: usize) {
    let mut reversed = [b'0'; 10];
    let (mut rest, mut length) = (value, 0);
    while rest > 0 || length < width.max(1) {
        reversed[length] = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
    }
    text.extend(reversed[..length].iter().rev().map(|&digit| char::from(digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_padded_and_never_cut() {
        let write = |value, width| {
            let mut text = String::new();
            digits(&mut text, value, width);
            text
        };
        assert_eq!(write(0, 1), "0");
        assert_eq!(write(42, 5), "00042");
        assert_eq!(write(u32::MAX, 2), u32::MAX.to_string());
    }
}
