//! `geophone deadletter`: what the daemon put aside is listed, read again, sent again and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64_simd::STANDARD;
use geophone::time::EventTime;
use geophone_company::wire;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::kinesis::Kinesis;
use crate::support::program::{Done, run};
use crate::support::records::{self, denied, granted};
use crate::support::sns::{Act, Sns, TOPIC};
use crate::support::stage::{STREAM, Stage, refusals};

const NOON: i64 = 1_780_315_200;

fn record(id: &str, bytes: &[u8]) -> String {
    let data = STANDARD.encode_to_string(bytes);
    json!({"time": "2026-06-01T12:00:00Z", "kind": "record", "place": "trail:shard-0", "id": id, "reason": "invalid-json: x", "data": data})
        .to_string()
}

/// A state folder with these lines.
fn state(lines: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(letters(folder.path()), lines.join("\n") + "\n").expect("written");
    folder
}

fn letters(folder: &Path) -> PathBuf {
    folder.join("dead-letters.ndjson")
}

fn deadletter(verb: &str, folder: &Path, more: &[&str]) -> Done {
    let folder = folder.to_str().expect("UTF-8");
    run(&[&["deadletter", verb, "--folder", folder], more].concat())
}

#[test]
fn a_list_names_every_letter_and_every_line_that_is_none() {
    let old =
        r#"{"kind":"message","place":"arn:aws:sns:us-east-1:1:on-call","id":"aa","reason":"InvalidParameter: \u001b[31mno","data":""}"#;
    let folder = state(&[&record("1", b"x"), "{\"kind\":\"rec", &record("3", b"yy"), old]);
    let done = deadletter("list", folder.path(), &[]).expect(0).says(&[
        "3 letters in",
        "1 of the lines are no letters",
        "line 2 is damaged",
        "2 record: invalid-json",
        "1 message: InvalidParameter",
    ]);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", done.stdout);
    assert!(lines[1].starts_with("2026-06-01T12:00:00Z  record") && lines[1].contains("trail:shard-0"), "{}", done.stdout);
    assert!(lines[3].starts_with("- ") && lines[3].contains("[31mno"), "a line of before has no time: {}", done.stdout);
    assert!(!done.stdout.contains('\u{1b}'), "foreign text is cleaned");

    let done = deadletter("list", folder.path(), &["--format", "ndjson", "--kind", "record", "--limit", "1"]).expect(0);
    let row: Value = serde_json::from_str(done.stdout.trim_end()).expect("one row");
    assert_eq!((&row["line"], &row["id"], &row["bytes"]), (&json!(3), &json!("3"), &json!(2)));
    assert!(row.get("data").is_none(), "no content in a list");
    assert_eq!(deadletter("list", folder.path(), &["--place", "on-call", "--format", "ndjson"]).expect(0).stdout.lines().count(), 1);
}

#[test]
fn no_file_is_no_letter_and_no_folder_is_66() {
    let folder = tempfile::tempdir().expect("a folder");
    deadletter("list", folder.path(), &[]).expect(0).says(&["0 letters"]);
    deadletter("replay", folder.path(), &[]).expect(0);
    deadletter("list", &folder.path().join("none"), &[]).expect(66).says(&["no such state folder"]);
    run(&["deadletter", "list", "--config", "no/such.toml"]).expect(66).says(&["no/such.toml"]);
}

/// What an older version could not read and this one can, beside what nobody can: the events of both come, in the form that
/// `replay` reads, and only the first letter goes.
#[test]
fn records_become_lines_that_replay_reads_and_only_whole_ones_are_removed() {
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&denied("ASIAONE", 0, NOON)).expect("JSON")).expect("JSON");
    let (two, three) = (granted("ASIATWO", 0, NOON + 1), denied("ASIATHREE", 0, NOON + 2));
    let whole = wire::cloudwatch_logs(&[&pretty, &two]);
    let half = format!("{three}\n{{broken");
    let folder = state(&[&record("whole", &whole), &record("half", half.as_bytes()), &record("none", b"\x00\xff"), "damaged"]);
    let out = folder.path().join("again.ndjson");
    let out = out.to_str().expect("UTF-8");
    deadletter("replay", folder.path(), &["--out", out, "--remove"]).expect(0).says(&[
        "line 2: trail:shard-0 half: 1 parts cannot be decoded, the first: invalid-json",
        "line 3: trail:shard-0 none",
        "3 records: 3 events",
        "2 records still have parts that cannot be decoded",
        "line 4 is damaged",
        "1 letters were removed",
    ]);
    let text = fs::read_to_string(out).expect("written");
    assert_eq!(text.lines().count(), 3, "an event a line: {text}");
    let left = fs::read_to_string(letters(folder.path())).expect("there");
    assert_eq!(left, format!("{}\n{}\ndamaged\n", record("half", half.as_bytes()), record("none", b"\x00\xff")));
    let done = run(&["replay", "--format", "ndjson", out]).expect(0).says(&["3 events"]);
    let who = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["actor"]["access_key_id"].as_str().map(str::to_owned);
    let mut alerted: Vec<String> = done.stdout.lines().filter_map(who).collect();
    alerted.sort();
    alerted.dedup();
    assert_eq!(alerted, ["ASIAONE", "ASIATHREE"]);

    deadletter("replay", folder.path(), &["--out", out]).expect(73).says(&[out, "name a new file"]);
    let only = state(&[&record("none", b"\x00\xff")]);
    deadletter("replay", only.path(), &[]).expect(65).says(&["1 records still have parts"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_sent_again_when_the_topic_takes_it() {
    let is_cured = Arc::new(AtomicBool::new(false));
    let cured = Arc::clone(&is_cured);
    let sns = Sns::scripted(move |call| match cured.load(Ordering::Relaxed) || call.messages.is_empty() {
        true => Act::Accept,
        false => Act::Refuse(400, "InvalidParameter"),
    });
    let stage = Stage::with(Kinesis::with_stream(STREAM, 1).await, sns);
    let daemon = stage.daemon().await;
    let keys = [records::key("DEAD", 0)];
    let before = records::now();
    stage.put(&refusals(&keys, 0..1)).await;
    daemon.until("geophone_dead_letters_total", "kind=\"message\"", 1.0).await;
    let config = stage.config();
    let ask = |more: &[&str]| {
        let args: Vec<String> = ["deadletter", "replay", "--config", config.to_str().expect("UTF-8"), "--kind", "message"]
            .iter()
            .chain(more)
            .map(|word| (*word).to_owned())
            .collect();
        tokio::task::block_in_place(|| run(&args))
    };
    let state = stage.state();
    let list = tokio::task::block_in_place(|| deadletter("list", &state, &["--format", "ndjson"])).expect(0);
    let row: Value = serde_json::from_str(list.stdout.trim_end()).expect("one row");
    let time = EventTime::parse(row["time"].as_str().expect("a time")).expect("a time").unix();
    assert!((before..=records::now()).contains(&time), "{row}");

    ask(&[]).expect(0).says(&["would send", TOPIC, "--send"]);
    ask(&["--send"]).expect(69).says(&["refuses it again", "0 of 1 messages were sent"]);
    ask(&["--send", "--remove"]).expect(73).says(&["stop the daemon"]);
    is_cured.store(true, Ordering::Relaxed);
    daemon.stop().await;
    ask(&["--send", "--remove"]).expect(0).says(&["1 of 1 messages were sent", "1 letters were removed"]);
    let received = stage.sns.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let alert = received[0].alert();
    assert_eq!((&alert["alert_id"], &alert["possible_duplicate"]), (&row["id"], &json!(true)));
    assert_eq!(alert["actor"]["access_key_id"], keys[0].as_str());
    assert_eq!(fs::read_to_string(letters(&state)).expect("there"), "");
    ask(&["--send"]).expect(0);
    assert_eq!(stage.sns.received().len(), 1, "not twice");
}
