//! Records that the Kinesis Producer Library packed into one.
//!
//! Format (awslabs/amazon-kinesis-producer, aggregation-format.md): `F3 89 9A C2`, a protobuf `AggregatedRecord`
//! {1 partition key table, 2 explicit hash key table, 3 Record {1 key index, 2 hash key index, 3 data, 4 tags}}, and
//! the MD5 of the protobuf. KCL treats every mismatch as a plain record, and so do we.

use md5::{Digest, Md5};

/// The bytes that an aggregated record begins with.
pub const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const CHECKSUM_BYTES: usize = 16;

/// The data of each packed record, in order, or `None` where `bytes` is no aggregate (and is then a plain record).
pub fn unpack(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let body = bytes.strip_prefix(&MAGIC)?;
    let (message, checksum) = body.split_at_checked(body.len().checked_sub(CHECKSUM_BYTES)?)?;
    if Md5::digest(message).as_slice() != checksum {
        return None;
    }
    let mut records = Vec::new();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        if let (3, Value::Bytes(record)) = field {
            records.push(record_data(record)?);
        }
    }
    Some(records)
}

fn record_data(record: &[u8]) -> Option<&[u8]> {
    let mut data = None;
    let mut fields = Fields(record);
    while let Some(field) = fields.next()? {
        if let (3, Value::Bytes(bytes)) = field {
            data = Some(bytes);
        }
    }
    data
}

enum Value<'a> {
    Bytes(&'a [u8]),
    Number,
}

/// The fields of a protobuf message. The outer `Option` is `None` where the message is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot tell its end from a malformed message")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => {
                self.varint()?;
                Value::Number
            }
            1 => {
                self.take(8)?;
                Value::Number
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Number
            }
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two records, `one` and `two!`, under the partition key `k`.
    fn aggregate() -> Vec<u8> {
        let mut message = vec![0x0a, 1, b'k'];
        for data in [b"one".as_slice(), b"two!"] {
            let record = [&[0x08, 0, 0x1a, data.len() as u8][..], data].concat();
            message.extend([0x1a, record.len() as u8]);
            message.extend(record);
        }
        seal(&message)
    }

    fn seal(message: &[u8]) -> Vec<u8> {
        [&MAGIC[..], message, Md5::digest(message).as_slice()].concat()
    }

    #[test]
    fn unpacks_in_order() {
        assert_eq!(unpack(&aggregate()), Some(vec![b"one".as_slice(), b"two!"]));
    }

    #[test]
    fn any_mismatch_makes_it_a_plain_record() {
        let good = aggregate();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert_eq!(unpack(&bad), None, "byte {position}");
        }
        for end in 0..good.len() {
            assert_eq!(unpack(&good[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_sealed_but_malformed_message_is_refused() {
        for message in [&[0x1a, 0xff, 0xff, 0xff][..], &[0x1b], &[0xff; 12], &[0x1a, 2, 0x1a, 9]] {
            assert_eq!(unpack(&seal(message)), None, "{message:02x?}");
        }
    }
}
