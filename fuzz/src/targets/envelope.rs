//! Records of Kinesis, whatever their bytes.

use std::io::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use geophone::cloudtrail::{Decoder, Limits, Outcome, gzip, kpl};
use md5::{Digest as _, Md5};
use serde_json::value::RawValue;

/// Small, so that small inputs reach them.
const LIMITS: Limits = Limits { inflated_bytes_max: 64 << 10, event_bytes_max: 4 << 10, keep_text: true };

/// A record, plain, gzipped and within an aggregate: the same events each time, no more than the limits allow, and the same
/// again from a decoder that has read something before.
pub fn envelope(bytes: &[u8]) {
    let mut decoder = Decoder::new(LIMITS);
    let plain = read(&mut decoder, bytes);
    assert_eq!(read(&mut decoder, bytes), plain, "what was decoded before changes nothing");
    let _ = read(&mut Decoder::new(Limits::default()), bytes);

    if !bytes.starts_with(&gzip::MAGIC) && bytes.len() <= LIMITS.inflated_bytes_max {
        let zipped = gzip_of(bytes);
        assert_eq!(read(&mut decoder, &zipped), plain, "gzip around it changes nothing");
        // A record that is cut in its way holds the same events as far as it goes, and no others.
        let _ = read(&mut decoder, &zipped[..zipped.len() / 2]);
    }
    if !bytes.starts_with(&kpl::MAGIC) {
        assert_eq!(read(&mut decoder, &aggregate(&field(3, &field(3, bytes)))), plain, "an aggregate around it changes nothing");
    }
    // As the protobuf of an aggregate, whose checksum no fuzzer finds.
    let _ = read(&mut decoder, &aggregate(bytes));
}

/// What a decoder told about a record.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<String>,
    errors: Vec<String>,
    outcome: Outcome,
}

fn read(decoder: &mut Decoder, bytes: &[u8]) -> Told {
    let (mut events, mut errors, mut text_bytes) = (Vec::new(), Vec::new(), 0);
    let outcome = decoder.decode(bytes, &mut |item| match item {
        Ok(decoded) => {
            let text = decoded.text.unwrap_or("");
            assert!(text.len() <= Limits::default().event_bytes_max);
            let is_json = || serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next().is_some_and(|first| first.is_ok());
            assert!(decoded.text.is_none() || is_json(), "begins with no event: {text}");
            text_bytes += text.len();
            events.push(format!("{:?} {:?} {text}", decoded.event, decoded.envelope_time));
        }
        Err(error) => errors.push(error.to_string()),
    });
    assert_eq!((outcome.events, outcome.errors), (events.len() as u64, errors.len() as u64), "what is counted is what was told");
    // A byte that is no UTF-8 becomes three; an event is at least `{}`; nothing is told twice.
    let bytes_max = bytes.len().max(LIMITS.inflated_bytes_max) * 3;
    assert!(text_bytes <= bytes_max && events.len() * 2 <= bytes_max, "{} events, {text_bytes} bytes", events.len());
    assert!(errors.iter().all(|error| error.len() < 256 && !error.is_empty()));
    Told { events, errors, outcome }
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut length) = (vec![number << 3 | 2], bytes.len());
    while length > 0x7f {
        out.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [&out, bytes].concat()
}

fn aggregate(message: &[u8]) -> Vec<u8> {
    [&kpl::MAGIC[..], message, Md5::digest(message).as_slice()].concat()
}

/// What is repeated to the size of a record, `head NUL unit NUL tail`: one large record takes about as long as many small ones
/// of the same size together.
pub fn linear(bytes: &[u8]) {
    const SMALL: usize = 1 << 14;
    const LARGE: usize = 1 << 19;
    /// Below this nobody cares, and the clock tells little.
    const QUICK: Duration = Duration::from_millis(150);
    const RATIO_MAX: u32 = 2;
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let (head, unit, tail) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if unit.is_empty() {
        return;
    }
    let took = |size: usize| {
        let record = [head, &unit.repeat(size / unit.len()), tail].concat();
        let started = spent();
        Decoder::new(Limits { keep_text: true, ..Limits::default() }).decode(&record, &mut |_| {});
        spent().saturating_sub(started)
    };
    // Other programs share caches and cores: a ratio counts that is there three times.
    let is_steep = || {
        let large = took(LARGE);
        large > QUICK && large > (0..LARGE / SMALL).map(|_| took(SMALL)).sum::<Duration>() * RATIO_MAX
    };
    assert!(!(is_steep() && is_steep() && is_steep()), "{} bytes of {:?} take {:?}", LARGE, String::from_utf8_lossy(bytes), took(LARGE));
}

/// The time that this thread has had a processor, where Linux tells; else the time of the clock on the wall.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}
