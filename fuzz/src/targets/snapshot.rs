//! State from a disk that lies.

use std::io::{Read, Write};
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use geophone::alerting::{Page, Paging, PagingSettings};
use geophone::engine::{Engine, Report};
use geophone::snapshot::{self, Snapshot, SnapshotError, VERSION};
use geophone::time::Now;
use xxhash_rust::xxh3::xxh3_64;

use super::watch::{observe, settings};

const HEADER_BYTES: usize = 10;
/// Plain bytes of a packed block, and the bytes before it.
const BLOCK: usize = 1 << 20;
const BLOCK_HEAD: usize = 16;

/// A call, a refused one of another session, and the record that issued the first one's key.
const RECORD: &str = r#"
{"eventVersion":"1.08","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","eventID":"1","eventTime":"2026-06-01T09:00:00Z","awsRegion":"us-east-1","recipientAccountId":"111122223333","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ben","userName":"ben","accountId":"111122223333"},"requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/marketing-x","roleSessionName":"ben","principalTags":{"dept":"marketing"}},"responseElements":{"credentials":{"accessKeyId":"ASIAEXAMPLE00000001"},"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/marketing-x/ben","assumedRoleId":"AROAEXAMPLE:ben"}}}
{"eventVersion":"1.10","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","eventID":"2","requestID":"r2","eventTime":"2026-06-01T09:01:00Z","awsRegion":"us-east-1","recipientAccountId":"111122223333","sourceIPAddress":"10.0.0.7","userAgent":"curl/8","requestParameters":{"modelId":"anthropic.claude-v2"},"additionalEventData":{"inputTokens":10,"outputTokens":20},"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/marketing-x/ben","principalId":"AROAEXAMPLE:ben","accessKeyId":"ASIAEXAMPLE00000001","accountId":"111122223333"}}
{"eventVersion":"1.10","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModelWithResponseStream","eventID":"3","requestID":"r3","eventTime":"2026-06-01T09:02:00Z","awsRegion":"ap-south-1","recipientAccountId":"111122223333","sourceIPAddress":"203.0.113.9","userAgent":"python","errorCode":"AccessDenied","errorMessage":"User: x is not authorized to perform: bedrock:InvokeModel with an explicit deny in a service control policy","requestParameters":{"modelId":"amazon.nova-pro-v1:0"},"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/other/eve","principalId":"AROAOTHER:eve","accessKeyId":"ASIAEXAMPLE00000002","accountId":"111122223333"}}
{"eventVersion":"1.10","eventSource":"bedrock.amazonaws.com","eventName":"Converse","eventID":"4","eventTime":"2026-06-02T11:02:00Z","awsRegion":"us-east-1","recipientAccountId":"111122223333","sourceIPAddress":"10.0.0.9","requestParameters":{"modelId":"anthropic.claude-v2"},"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ben","userName":"ben","accessKeyId":"AKIAEXAMPLE","accountId":"111122223333"}}
"#;

/// The body of a snapshot with something in each of its parts.
fn body() -> &'static [u8] {
    static BODY: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut engine = Engine::new(settings());
        let (input, mut report) = (engine.input("fuzz"), Report::default());
        let mut now = geophone::time::EventTime::MIN;
        for observation in observe(RECORD.as_bytes()) {
            now = now.max(observation.time);
            engine.handle(input, observation, Now(now), &mut report);
        }
        let (mut paging, mut outbox): (_, Vec<Page>) = (Paging::new(PagingSettings::default()), Vec::new());
        paging.take_all(report.alerts, now, &mut outbox);
        assert!(!outbox.is_empty(), "the story has alerts");
        let snapshot = Snapshot { engine: engine.image(), paging: paging.image(), outbox, positions: Vec::new() };
        unpacked(&snapshot::encode(&snapshot).expect("encodes")[HEADER_BYTES..])
    });
    &BODY
}

/// Bytes as a snapshot, as the body of one, and as changes of a good one: an error, or a state that is written and read again
/// as it is.
pub fn snapshot(bytes: &[u8]) {
    // A checksum that nobody sealed never fits.
    if let Ok(snapshot) = snapshot::decode(bytes) {
        same_again(&snapshot);
    }
    read_sealed(bytes);
    read_sealed(&changed(body(), bytes));

    let mut damaged = sealed(body());
    for change in bytes.chunks_exact(4).take(1) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % damaged.len();
        damaged[at] ^= change[2].max(1);
        assert!(snapshot::decode(&damaged).is_err(), "byte {at}");
    }
}

/// `body` with a change for every four bytes: place (16 bits), kind, byte.
fn changed(body: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % body.len().max(1);
        match change[2] % 4 {
            _ if body.is_empty() => return body,
            0 => body[at] = change[3],
            1 => body.insert(at, change[3]),
            2 => drop(body.remove(at)),
            _ => body.truncate(at),
        }
    }
    body
}

/// In the present format: packed blocks, and an empty one at the end.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = [b"GEOPHONE", &VERSION.to_le_bytes()[..]].concat();
    for block in body.chunks(BLOCK) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(block).expect("into memory");
        let packed = encoder.finish().expect("into memory");
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend((block.len() as u32).to_le_bytes());
        bytes.extend(xxh3_64(&packed).to_le_bytes());
        bytes.extend(packed);
    }
    bytes.extend([0; BLOCK_HEAD]);
    bytes
}

/// In the format before.
fn sealed_before(body: &[u8]) -> Vec<u8> {
    [b"GEOPHONE", &(VERSION - 1).to_le_bytes()[..], &xxh3_64(body).to_le_bytes(), body].concat()
}

/// The plain bytes of packed blocks.
fn unpacked(mut blocks: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while let Some((head, rest)) = blocks.split_at_checked(BLOCK_HEAD) {
        let (packed, rest) = rest.split_at(u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize);
        if !packed.is_empty() {
            DeflateDecoder::new(packed).read_to_end(&mut plain).expect("whole");
        }
        blocks = rest;
    }
    plain
}

fn read_sealed(body: &[u8]) {
    for sealed in [sealed(body), sealed_before(body)] {
        match snapshot::decode(&sealed) {
            Ok(snapshot) => same_again(&snapshot),
            Err(error) => assert!(matches!(error, SnapshotError::Malformed(_)), "{error:?}"),
        }
    }
}

fn same_again(snapshot: &Snapshot) {
    let written = snapshot::encode(snapshot).expect("encodes");
    let again = snapshot::decode(&written).expect("what was written is read");
    assert_eq!(snapshot::encode(&again).expect("encodes"), written);
}
