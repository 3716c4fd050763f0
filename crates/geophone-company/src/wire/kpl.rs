//! The Kinesis Producer Library's aggregated record.

use md5::{Digest as _, Md5};

/// First bytes of every aggregated record.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// Protobuf's wire type of length-delimited fields.
const BYTES: u64 = 2;

/// Several user records, each with its partition key, in one Kinesis record: magic,
/// protobuf `AggregatedRecord`, MD5 of the protobuf.
pub fn kpl(user_records: &[(&str, &[u8])]) -> Vec<u8> {
    // Each key is stored once, in the order of first use.
    let mut keys: Vec<&str> = Vec::new();
    let mut body = Vec::new();
    for &(key, data) in user_records {
        let index = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        let mut record = vec![1 << 3];
        put_varint(&mut record, index as u64);
        put_bytes(&mut record, 3, data);
        put_bytes(&mut body, 3, &record);
    }
    let mut message = Vec::with_capacity(body.len() + 64);
    for key in keys {
        put_bytes(&mut message, 1, key.as_bytes());
    }
    message.append(&mut body);
    let digest = Md5::digest(&message);
    [&MAGIC[..], &message, digest.as_slice()].concat()
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_producer_librarys() {
        let record = kpl(&[("a", b"one"), ("b", b"two"), ("a", b"three")]);
        let (head, tail) = record.split_at(record.len() - 16);
        assert_eq!(head[..4], MAGIC);
        assert_eq!(tail, Md5::digest(&head[4..]).as_slice());
        let mut expected: Vec<u8> = vec![10, 1, b'a', 10, 1, b'b'];
        for (index, data) in [(0, &b"one"[..]), (1, b"two"), (0, b"three")] {
            let length = data.len() as u8;
            expected.extend([26, length + 4, 8, index, 26, length]);
            expected.extend(data);
        }
        assert_eq!(head[4..], expected);
    }

    #[test]
    fn long_data_has_a_long_length() {
        let mut out = Vec::new();
        put_varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
    }
}
