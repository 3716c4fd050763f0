use proptest::prelude::*;

use super::*;

/// A varint by the book.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn seal(message: &[u8]) -> Vec<u8> {
    [&MAGIC[..], message, Md5::digest(message).as_slice()].concat()
}

/// Key, explicit hash key, data.
type Plain = (String, Option<u128>, Vec<u8>);

/// As the format's description says, without a thought for speed. `tables_last` puts the records
/// before what they point into, and `extra` is some field that nobody knows.
fn aggregate(records: &[Plain], tables_last: bool, extra: &[u8]) -> Vec<u8> {
    let (mut keys, mut hashes, mut tables, mut packed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (key, hash, data) in records {
        let at = keys.iter().position(|known| known == key).unwrap_or_else(|| {
            keys.push(key.clone());
            tables.extend(field(1, key.as_bytes()));
            keys.len() - 1
        });
        let mut record = number(1, at as u64);
        if let Some(hash) = hash {
            let at = hashes.iter().position(|known| known == hash).unwrap_or_else(|| {
                hashes.push(*hash);
                tables.extend(field(2, hash.to_string().as_bytes()));
                hashes.len() - 1
            });
            record.extend(number(2, at as u64));
        }
        record.extend(field(3, data));
        record.extend(field(4, &field(1, b"a tag")));
        packed.extend(field(3, &record));
    }
    let message = if tables_last { [&packed[..], extra, &tables[..]] } else { [&tables[..], extra, &packed[..]] };
    seal(&message.concat())
}

fn owned(record: &[u8]) -> Option<Vec<Plain>> {
    let records = take_apart(record)?;
    Some(records.iter().map(|user| (user.partition_key.to_owned(), user.explicit_hash_key, user.data.to_vec())).collect())
}

fn plain() -> impl Strategy<Value = Plain> {
    let hash = prop_oneof![Just(None), any::<u128>().prop_map(Some), (0u128..3).prop_map(Some)];
    ("[a-c]|\\PC{0,40}", hash, proptest::collection::vec(any::<u8>(), 0..200))
}

fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    let skipped = (5u64..1_000, proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(number, bytes)| field(number, &bytes));
    let fixed = (5u64..1_000, any::<u64>()).prop_map(|(number, value)| [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat());
    let short = (5u64..1_000, any::<u32>()).prop_map(|(number, value)| [varint(number << 3 | 5), value.to_le_bytes().to_vec()].concat());
    prop_oneof![Just(Vec::new()), skipped, fixed, short, (5u64..1_000, any::<u64>()).prop_map(|(field, value)| number(field, value))]
}

proptest! {
    #[test]
    fn what_a_plain_encoder_packs_is_taken_apart(
        records in proptest::collection::vec(plain(), 1..40), tables_last: bool, extra in unknown_field(),
    ) {
        prop_assert_eq!(owned(&aggregate(&records, tables_last, &extra)), Some(records));
    }

    #[test]
    fn any_changed_or_missing_byte_makes_it_plain(
        records in proptest::collection::vec(plain(), 1..10), at: proptest::sample::Index, flip in 1u8..,
    ) {
        let good = aggregate(&records, false, &[]);
        let at = at.index(good.len());
        prop_assert_eq!(take_apart(&good[..at]), None);
        let mut bad = good;
        bad[at] ^= flip;
        prop_assert_eq!(take_apart(&bad), None);
    }

    #[test]
    fn any_sealed_bytes_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(records) = take_apart(&seal(&message)) {
            prop_assert!(records.len() <= message.len() / 6);
        }
    }

    /// Sealed messages that are nearly right: what random bytes hardly ever are.
    #[test]
    fn a_sealed_message_with_a_changed_byte_is_read_without_panic(
        records in proptest::collection::vec(plain(), 1..10), at: proptest::sample::Index, byte: u8,
    ) {
        let good = aggregate(&records, false, &[]);
        let mut message = good[MAGIC.len()..good.len() - DIGEST_BYTES].to_vec();
        let at = at.index(message.len());
        message[at] = byte;
        take_apart(&seal(&message));
    }
}

#[derive(serde::Deserialize)]
struct Golden {
    name: String,
    base64: String,
    records: Vec<(String, Option<String>, String)>,
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is no digit"),
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        bits = bits << 6 | u32::from(value(digit));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Made by two other implementations: PyPI's aws_kinesis_agg 1.2.3 (over Google's protobuf) and npm's
/// aws-kinesis-agg 4.2.8.
#[test]
fn what_other_implementations_pack_is_taken_apart() {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(cases.len(), 7);
    for Golden { name, base64, records } in cases {
        let expected: Vec<Plain> =
            records.into_iter().map(|(key, hash, data)| (key, hash.map(|hash| hash.parse().unwrap()), from_base64(&data))).collect();
        assert_eq!(owned(&from_base64(&base64)), Some(expected), "{name}");
    }
}

#[test]
fn a_sealed_message_that_does_not_fit_is_plain() {
    let (key, record) = (field(1, b"k"), |body: &[u8]| field(3, body));
    let good = [number(1, 0), field(3, b"data")].concat();
    let with = |rest: &[u8]| seal(&[&key[..], rest].concat());
    assert!(take_apart(&with(&record(&good))).is_some());
    for (name, bad) in [
        ("nothing", seal(&[])),
        ("no table", seal(&record(&good))),
        ("a key beyond the table", with(&record(&[number(1, 1), field(3, b"data")].concat()))),
        ("an enormous index", with(&record(&[number(1, u64::MAX), field(3, b"data")].concat()))),
        ("a hash key beyond the table", with(&record(&[&good[..], &number(2, 0)].concat()))),
        ("no key", with(&record(&field(3, b"data")))),
        ("no data", with(&record(&number(1, 0)))),
        ("a length beyond the end", with(&[0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("a length that wraps around", with(&[&[0x1a][..], &varint(u64::MAX)].concat())),
        ("a varint without end", with(&[0xff; 12])),
        ("a varint of 65 bits", with(&[&[0x28][..], &[0xff; 9], &[0x02]].concat())),
        ("a group", with(&[0x2b])),
        ("field 0", with(&number(0, 1))),
        ("a key that is no text", seal(&[field(1, &[0xff]), record(&good)].concat())),
        ("a key that is too long", seal(&[field(1, &[b'k'; 257]), record(&good)].concat())),
        ("a hash key that is no number", with(&[field(2, b"undefined"), record(&good)].concat())),
        ("a hash key with a sign", with(&[field(2, b"+1"), record(&good)].concat())),
        ("a hash key of 129 bits", with(&[field(2, b"340282366920938463463374607431768211456"), record(&good)].concat())),
    ] {
        assert_eq!(take_apart(&bad), None, "{name}");
    }
    assert_eq!(take_apart(&MAGIC), None);
    assert_eq!(take_apart(b"plain"), None);
    assert_eq!(take_apart(&with(&[])), Some(vec![]), "nothing was packed");
}

#[test]
fn a_few_bytes_cannot_ask_for_much_memory() {
    let record = field(3, &[number(1, 0), field(3, b"")].concat());
    let many = |count: usize, key: &[u8]| seal(&[&field(1, key)[..], &record.repeat(count)].concat());
    assert_eq!(take_apart(&many(USER_RECORDS_MAX, b"k")).map(|records| records.len()), Some(USER_RECORDS_MAX));
    assert_eq!(take_apart(&many(USER_RECORDS_MAX + 1, b"k")), None);
    let key = [b'k'; 256];
    assert!(take_apart(&many(USER_BYTES_MAX / 256, &key)).is_some());
    assert_eq!(take_apart(&many(USER_BYTES_MAX / 256 + 1, &key)), None);
}

#[test]
fn a_user_record_belongs_where_the_service_would_have_put_it() {
    // MD5("k") = 8ce4b16b22b58894aa86c421e8759df3
    let hash = 0x8ce4_b16b_22b5_8894_aa86_c421_e875_9df3;
    assert_eq!(hash_of("k"), hash);
    let user = UserRecord { partition_key: "k", explicit_hash_key: None, data: b"" };
    let range = |starting, ending| HashRange { starting, ending };
    assert!(user.belongs_to(range(hash, hash)) && user.belongs_to(range(0, u128::MAX)));
    assert!(!user.belongs_to(range(0, hash - 1)) && !user.belongs_to(range(hash + 1, u128::MAX)));
    assert!(UserRecord { explicit_hash_key: Some(0), ..user }.belongs_to(range(0, 0)));
}
