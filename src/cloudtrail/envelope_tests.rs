//! Wire forms and broken ones, through the public decoder.

use std::io::Write;

use crate::cloudtrail::{DecodeError, Decoder, Limits, Outcome, Reason};

const EVENT: &str = r#"{"eventVersion":"1.11","eventID":"%","eventName":"InvokeModel","eventTime":"2026-06-02T22:24:15Z"}"#;

fn event(id: &str) -> String {
    EVENT.replace('%', id)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// Ids of the events in `bytes` and the reasons of its errors.
fn decoded(bytes: &[u8]) -> (Vec<String>, Vec<Reason>, Outcome) {
    let (mut ids, mut errors) = (Vec::new(), Vec::new());
    let outcome = Decoder::new(Limits::default()).decode(bytes, &mut |item| match item {
        Ok(decoded) => ids.push(decoded.event.event_id.as_str().to_owned()),
        Err(DecodeError { reason, .. }) => errors.push(reason),
    });
    assert_eq!((outcome.events, outcome.errors), (ids.len() as u64, errors.len() as u64));
    (ids, errors, outcome)
}

fn assert_ids(bytes: &[u8], expected: &[&str]) {
    let (ids, errors, _) = decoded(bytes);
    assert_eq!((ids.as_slice(), errors), (expected.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().as_slice(), vec![]));
}

fn subscription(messages: &[&str]) -> String {
    let entry = |message: &&str| format!(r#"{{"id":"1","timestamp":1780439055000,"message":{}}}"#, serde_json::json!(message));
    let entries: Vec<_> = messages.iter().map(entry).collect();
    format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{}]}}"#, entries.join(","))
}

#[test]
fn every_wire_form_gives_its_events() {
    let (a, b) = (event("a"), event("b"));
    assert_ids(a.as_bytes(), &["a"]);
    assert_ids(format!("\u{feff} \n{a}\n").as_bytes(), &["a"]);
    assert_ids(format!("[{a},{b}]").as_bytes(), &["a", "b"]);
    assert_ids(format!("{a}\n{b}\r\n").as_bytes(), &["a", "b"]);
    assert_ids(format!("{a}{b} {a}").as_bytes(), &["a", "b", "a"]);
    assert_ids(format!(r#"{{"Records":[{a},{b}]}}"#).as_bytes(), &["a", "b"]);
    assert_ids(&gzip(format!(r#"{{"Records":[{a},{b}]}}"#).as_bytes()), &["a", "b"]);
    assert_ids(&[gzip(a.as_bytes()), gzip(b"\n"), gzip(b.as_bytes())].concat(), &["a", "b"]);
    assert_ids(&gzip(&gzip(a.as_bytes())), &["a"]);
    assert_ids(&gzip(subscription(&[&a, &b]).as_bytes()), &["a", "b"]);
    assert_ids(serde_json::json!({"Events": [{"EventId": "x", "CloudTrailEvent": a}]}).to_string().as_bytes(), &["a"]);
    assert_ids(
        format!(r#"{{"version":"0","detail-type":"AWS API Call via CloudTrail","detail":{a},"resources":["r"]}}"#).as_bytes(),
        &["a"],
    );
    assert_ids(format!(r#"{{"Records":[]}}{a}"#).as_bytes(), &["a"]);
    let pretty =
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&format!("[{a},{b}]")).expect("json")).expect("json");
    assert_ids(pretty.as_bytes(), &["a", "b"]);
}

#[test]
fn an_envelope_gives_the_time_that_an_event_lacks() {
    let bare = r#"{"eventName":"InvokeModel"}"#;
    for envelope in [subscription(&[bare]), format!(r#"{{"detail":{bare},"time":"2026-06-02T22:24:15Z"}}"#)] {
        let mut times = Vec::new();
        Decoder::new(Limits::default()).decode(envelope.as_bytes(), &mut |item| times.push(item.expect("an event").envelope_time));
        assert_eq!(times[0].map(|time| time.unix()), Some(1_780_439_055), "{envelope}");
    }
}

#[test]
fn health_probes_are_dropped_and_counted() {
    let probe = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logEvents":[{"id":"","timestamp":1498519943285,
        "message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}"#;
    assert_eq!(decoded(&gzip(probe.as_bytes())).2, Outcome { events: 0, errors: 0, control_messages: 1 });
}

#[test]
fn a_broken_element_costs_only_itself() {
    let (a, c) = (event("a"), event("c"));
    for broken in [
        r#"{"eventVersion":"1.11","eventName":}"#,
        r#"{"eventVersion":"1.11","eventName":"x"#,
        r#"{"eventVersion":"1.11",,}"#,
        "{\"eventVersion\":\"\u{1}\"}",
    ] {
        for list in [format!("[{a},{broken},{c}]"), format!(r#"{{"Records":[{a},{broken},{c}]}}"#)] {
            let (ids, errors, _) = decoded(list.as_bytes());
            assert_eq!((ids, errors), (vec!["a".to_owned(), "c".to_owned()], vec![Reason::InvalidJson]), "{list}");
        }
        let (ids, errors, _) = decoded(format!("{a}\n{broken}\n{c}").as_bytes());
        assert_eq!((ids, errors), (vec!["a".to_owned(), "c".to_owned()], vec![Reason::InvalidJson]), "{broken}");
        let (ids, errors, _) = decoded(subscription(&[&a, broken, &c]).as_bytes());
        assert_eq!((ids, errors), (vec!["a".to_owned(), "c".to_owned()], vec![Reason::InvalidJson]), "{broken}");
    }
}

#[test]
fn truncation_keeps_what_is_whole() {
    let whole = format!(r#"{{"Records":[{},{},{}]}}"#, event("a"), event("b"), event("c"));
    let (ids, errors, _) = decoded(&whole.as_bytes()[..whole.len() - 30]);
    assert_eq!((ids.len(), errors), (2, vec![Reason::InvalidJson]));
    let many: Vec<_> = (0..500).map(|n| event(&n.to_string())).collect();
    let zipped = gzip(format!(r#"{{"Records":[{}]}}"#, many.join(",")).as_bytes());
    let (ids, errors, _) = decoded(&zipped[..zipped.len() - 200]);
    assert_eq!(errors, vec![Reason::DamagedGzip]);
    assert!(ids.len() > 100, "{} saved", ids.len());
}

#[test]
fn hostile_records_get_a_reason_and_no_more() {
    let deep_list = "[".repeat(100_000);
    let deep_object = r#"{"a":"#.repeat(100_000);
    let deep_field = format!(
        r#"{{"eventName":"InvokeModel","eventID":"a","requestParameters":{{"x":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (bytes, reason) in [
        (&b""[..], Reason::Empty),
        (b" \n\t", Reason::Empty),
        (b"\x00\x01\x02", Reason::InvalidJson),
        (b"hello", Reason::InvalidJson),
        (b"\x1f\x8b\x08 nonsense that is no gzip", Reason::DamagedGzip),
        (b"{}", Reason::NotCloudTrail),
        (b"{\"a\":", Reason::InvalidJson),
        (br#"{"version":"0","source":"aws.s3","detail":{"bucket":"b"}}"#, Reason::NotCloudTrail),
        (deep_list.as_bytes(), Reason::NestedTooDeep),
        (deep_object.as_bytes(), Reason::InvalidJson),
    ] {
        let (ids, errors, _) = decoded(bytes);
        assert!(
            ids.is_empty() && errors.first() == Some(&reason),
            "{:?}: {errors:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
        );
        assert!(errors.len() <= 2);
    }
    // A deep field cannot hide the event that it is in.
    assert_ids(deep_field.as_bytes(), &["a"]);
}

#[test]
fn a_ten_megabyte_string_is_refused_and_its_neighbours_kept() {
    let huge = format!(r#"{{"eventVersion":"1.11","userAgent":"{}"}}"#, "x".repeat(10_000_000));
    assert_eq!(decoded(huge.as_bytes()).1, vec![Reason::EventTooLarge]);
    let (ids, errors, _) = decoded(format!(r#"{{"Records":[{},{huge},{}]}}"#, event("a"), event("b")).as_bytes());
    assert_eq!((ids.len(), errors), (2, vec![Reason::EventTooLarge]));
}

#[test]
fn odd_bytes_are_replaced_not_refused() {
    let mut bytes = event("a").into_bytes();
    let at = bytes.len() - 3;
    bytes.splice(at..at, [0xff, 0xfe]);
    assert_ids(&bytes, &["a"]);
}

#[test]
fn a_bomb_is_refused() {
    let bomb = gzip(&vec![b' '; 40 << 20]);
    assert_eq!(decoded(&bomb).1, vec![Reason::InflatesTooLarge]);
}

#[test]
fn an_aggregate_gives_every_user_record() {
    use md5::{Digest, Md5};
    let mut message = Vec::new();
    for data in [event("a").into_bytes(), gzip(subscription(&[&event("b")]).as_bytes())] {
        let mut record = vec![0x1a];
        let mut length = data.len();
        while length > 0x7f {
            record.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        record.push(length as u8);
        record.extend(data);
        message.push(0x1a);
        let mut length = record.len();
        while length > 0x7f {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(record);
    }
    let aggregate = [&super::super::kpl::MAGIC[..], &message, Md5::digest(&message).as_slice()].concat();
    assert_ids(&aggregate, &["a", "b"]);
    // With a wrong checksum it is a damaged record, of which what is whole is saved.
    let mut wrong = aggregate;
    let end = wrong.len() - 1;
    wrong[end] ^= 1;
    let (ids, errors, _) = decoded(&wrong);
    assert!(ids.iter().all(|id| id == "a" || id == "b") && errors.contains(&Reason::InvalidJson), "{ids:?} {errors:?}");
}

#[test]
fn damage_on_purpose_costs_linear_time() {
    // Each of these was quadratic once: tens of seconds for a record of a few hundred kilobytes.
    for hostile in [
        format!("[{}", r#"{"a":["#.repeat(200_000)),
        format!("{{{}", "\n".repeat(2_000_000)),
        format!("[{}", r#"{"eventVersion":["#.repeat(100_000)),
        r#"{"eventVersion":["#.repeat(100_000),
        format!("[{}]", r#"{"eventVersion":"x"#.repeat(50_000)),
        "{\n".repeat(300_000),
    ] {
        let (ids, errors, _) = decoded(hostile.as_bytes());
        assert!(ids.len() <= 1 && !errors.is_empty(), "{} {}", ids.len(), errors.len());
    }
}

#[test]
fn nothing_is_lost_in_silence() {
    let (a, b, c) = (event("a"), event("b"), event("c"));
    let other_order = r#"{"awsRegion":"us-east-1","eventID":"z","eventName":"x"}"#;
    for (text, ids_expected) in [
        (format!("[{a},oops,{other_order}]"), vec!["a"]),
        (format!("[{{}},{a},{{broken}},{b},{c}]"), vec!["a", "b", "c"]),
        (format!(r#"[{{"Records":[4]}},{{broken}},{{"Records":[{b}]}},{{"Records":[{c}]}}]"#), vec!["b", "c"]),
        (format!("{a}{{\"eventVersion\":oops}}{c}"), vec!["a", "c"]),
        ("[1,2,true]".to_owned(), vec![]),
        (r#"{"Records":"none"}"#.to_owned(), vec![]),
        (r#"{"Records":{"a":1}}"#.to_owned(), vec![]),
    ] {
        let (ids, errors, _) = decoded(text.as_bytes());
        assert_eq!(ids, ids_expected, "{text}");
        assert!(!errors.is_empty(), "{text}");
    }
    assert_ids(format!("[\n{a},\n{b}\n]").as_bytes(), &["a", "b"]);
    assert_ids(format!("{{\"Records\":[\n{a},\n{b}]}}").as_bytes(), &["a", "b"]);
    assert_ids(serde_json::json!([a, b]).to_string().as_bytes(), &["a", "b"]);
}

/// A damaged envelope does not take the events in it along, whichever of its bytes is damaged.
#[test]
fn a_damaged_beginning_costs_no_event() {
    let events: Vec<String> = (0..5).map(|n| event(&n.to_string())).collect();
    let list = events.join(",");
    for text in [events.join("\n"), format!("[{list}]"), format!(r#"{{"Records":[{list}]}}"#)] {
        let begins = text.find("eventVersion").expect("an event") - 2;
        for position in 0..begins.max(1) {
            for byte in [0, b'x', b'"', b' ', b'{', b'}', b',', 0xff] {
                let mut bytes = text.clone().into_bytes();
                bytes[position] = byte;
                let (ids, ..) = decoded(&bytes);
                assert!(ids.len() >= 4, "{} of 5 left after changing byte {position} of {:?} to {byte:#x}", ids.len(), &text[..20]);
            }
        }
    }
}

#[test]
fn what_follows_an_event_in_its_message_is_told() {
    let (a, b) = (event("a"), event("b"));
    let (ids, errors, _) = decoded(subscription(&[&format!("{a}{b}"), &format!("{b} \n")]).as_bytes());
    assert_eq!((ids, errors), (vec!["a".to_owned(), "b".to_owned()], vec![Reason::InvalidJson]));
}

/// Rules read the text of an event: it is its own, and nothing of what follows on the same line.
#[test]
fn the_text_of_an_event_is_its_own() {
    let (a, b) = (event("a"), event("b"));
    for bytes in [format!("{a}{b}"), format!("{a} {b}\n{a}"), format!("[{a},{b}]"), format!("{a}x"), format!("{a}[{b}]")] {
        let mut texts = Vec::new();
        Decoder::new(Limits { keep_text: true, ..Limits::default() }).decode(bytes.as_bytes(), &mut |item| {
            if let Ok(decoded) = item {
                texts.push(decoded.text.unwrap_or_default().trim().to_owned());
            }
        });
        assert!(texts.len() <= 3 && texts.iter().all(|text| *text == a || *text == b), "{bytes}: {texts:?}");
    }
}
