//! Records that a producer packed into one, as the Kinesis Producer Library (KPL) does. Pure.
//!
//! ```text
//!   F3 89 9A C2 │ protobuf AggregatedRecord │ MD5 of the protobuf, 16 bytes
//!
//!   AggregatedRecord: 1 partition_key_table (strings), 2 explicit_hash_key_table (strings), 3 records
//!   Record:           1 partition_key_index, 2 explicit_hash_key_index (optional), 3 data, 4 tags
//! ```
//! That is `aggregation-format.md` of awslabs/amazon-kinesis-producer and the `messages.proto` of KCL.
//! Whatever does not fit is a plain record with all its bytes, never an error: anybody who may write
//! to the stream chooses these bytes. KCL does the same, but for an index that points outside of its
//! table, where KCL drops the rest of the record.

use md5::{Digest, Md5};

use crate::plan::HashRange;

/// What an aggregated record begins with.
pub const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;

/// User records in one record. The least that one takes is six bytes, so that the largest record
/// which KPL makes (1 MiB) holds 175,000.
pub const USER_RECORDS_MAX: usize = 200_000;
/// Data and partition keys of one record's user records together, in bytes. Each key is in the table
/// once and is copied for every user record, so a few bytes could ask for gigabytes.
pub const USER_BYTES_MAX: usize = 32 << 20;
/// The service's own limit on a partition key, in characters.
const KEY_CHARS_MAX: usize = 256;

/// One of the records that were packed into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRecord<'a> {
    /// The partition key that the producer gave it.
    pub partition_key: &'a str,
    /// The hash key that the producer gave it beside that.
    pub explicit_hash_key: Option<u128>,
    /// The payload.
    pub data: &'a [u8],
}

impl UserRecord<'_> {
    /// Its place in the key space, by which the service would have chosen its shard.
    pub fn hash_key(&self) -> u128 {
        self.explicit_hash_key.unwrap_or_else(|| hash_of(self.partition_key))
    }

    /// Whether it belongs to a shard.
    ///
    /// KPL puts records together that it thinks to be of one shard. After a reshard it may be wrong:
    /// then the service puts all of them into the shard of the first. KPL looks at the answer and
    /// sends those that belong elsewhere again, so the copy in the wrong shard is to be dropped.
    pub fn belongs_to(&self, range: HashRange) -> bool {
        (range.starting..=range.ending).contains(&self.hash_key())
    }
}

/// The service's hash of a partition key: its MD5 as a number, the first byte highest.
pub fn hash_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// Whether a record claims to be aggregated.
pub fn claims_to_be_aggregated(record: &[u8]) -> bool {
    record.starts_with(&MAGIC)
}

/// The user records in order, each at the index that is its sub-sequence number. `None`: a plain
/// record.
pub fn take_apart<'a>(record: &'a [u8]) -> Option<Vec<UserRecord<'a>>> {
    let body = record.strip_prefix(&MAGIC)?;
    let (message, digest) = body.split_at_checked(body.len().checked_sub(DIGEST_BYTES)?)?;
    if message.is_empty() || Md5::digest(message).as_slice() != digest {
        return None;
    }
    // A table may stand behind the records that point into it.
    let (mut keys, mut hash_keys, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(key)) => keys.push(partition_key(key)?),
            (2, Value::Bytes(key)) => hash_keys.push(explicit_hash_key(key)?),
            (3, Value::Bytes(record)) if packed.len() < USER_RECORDS_MAX => packed.push(Packed::read(record)?),
            (3, Value::Bytes(_)) => return None,
            _ => {}
        }
    }
    let mut bytes_left = USER_BYTES_MAX;
    let resolve = |packed: Packed<'a>| {
        let partition_key = *keys.get(packed.key_index)?;
        let explicit_hash_key = match packed.hash_key_index {
            Some(index) => Some(*hash_keys.get(index)?),
            None => None,
        };
        bytes_left = bytes_left.checked_sub(partition_key.len())?.checked_sub(packed.data.len())?;
        Some(UserRecord { partition_key, explicit_hash_key, data: packed.data })
    };
    packed.into_iter().map(resolve).collect()
}

fn partition_key(bytes: &[u8]) -> Option<&str> {
    let key = str::from_utf8(bytes).ok()?;
    (key.chars().count() <= KEY_CHARS_MAX).then_some(key)
}

fn explicit_hash_key(bytes: &[u8]) -> Option<u128> {
    let digits = str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// A `Record` as it is packed.
struct Packed<'a> {
    key_index: usize,
    hash_key_index: Option<usize>,
    data: &'a [u8],
}

impl<'a> Packed<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (mut key_index, mut hash_key_index, mut data) = (None, None, None);
        let mut fields = Fields(message);
        while let Some(field) = fields.next()? {
            // Of a field that comes twice protobuf takes the last.
            match field {
                (1, Value::Number(index)) => key_index = Some(usize::try_from(index).ok()?),
                (2, Value::Number(index)) => hash_key_index = Some(usize::try_from(index).ok()?),
                (3, Value::Bytes(bytes)) => data = Some(bytes),
                _ => {}
            }
        }
        Some(Self { key_index: key_index?, hash_key_index, data: data? })
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed width. No field that is known has one.
    Other,
}

/// The fields of a protobuf message. The outer `Option` is `None` where it is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot tell its end from a malformed message")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            // Groups, which are gone from protobuf, and what never was.
            _ => return None,
        };
        let number = tag >> 3;
        (number != 0).then_some(Some((number, value)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// At most ten bytes, of which the last has one bit left.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "kpl/tests.rs"]
mod tests;
