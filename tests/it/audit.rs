//! `geophone audit`: every call of the question, once, and never silently fewer.

use std::fs;
use std::path::{Path, PathBuf};

use geophone::time::EventTime;
use geophone_company::wire;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{Done, run};
use crate::support::records::{denied, granted};

/// 2026-10-31T23:59:30Z.
const LAST: i64 = 1_793_491_170;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A file where a trail would put it.
fn put(folder: &TempDir, region: &str, time: i64, name: &str, events: &[String]) -> PathBuf {
    let day = EventTime::from_unix(time).to_string()[..10].replace('-', "/");
    let path = folder.path().join(format!("AWSLogs/111122223333/CloudTrail/{region}/{day}/{name}.json.gz"));
    fs::create_dir_all(path.parent().expect("inside")).expect("made");
    let texts: Vec<&str> = events.iter().map(String::as_str).collect();
    fs::write(&path, wire::records_gz(&texts)).expect("written");
    path
}

fn in_region(event: &str, region: &str) -> String {
    event.replace("us-east-1", region)
}

/// The record that issued a session's key, with its department.
fn grant(key: &str, person: &str, department: &str, time: i64) -> String {
    json!({
        "eventVersion": "1.10", "eventType": "AwsApiCall", "eventID": format!("grant-{key}"), "eventTime": EventTime::from_unix(time).to_string(),
        "eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity", "awsRegion": "us-east-1",
        "sourceIPAddress": "10.0.0.7", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "WebIdentityUser", "userName": person},
        "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/analyst", "roleSessionName": key, "principalTags": {"dept": department}},
        "responseElements": {"credentials": {"accessKeyId": key, "sessionToken": "secret"}, "subjectFromWebIdentityToken": person,
            "assumedRoleUser": {"arn": format!("arn:aws:sts::111122223333:assumed-role/analyst/{key}")}},
    })
    .to_string()
}

fn audit(folder: &Path, args: &[&str]) -> Done {
    run(&[&["audit", folder.to_str().expect("UTF-8")], args].concat())
}

fn rows(done: &Done) -> Vec<Value> {
    done.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

const OCTOBER: [&str; 4] = ["--month", "2026-10", "--format", "ndjson"];
const LAST_DAY: [&str; 6] = ["--since", "2026-10-31", "--until", "2026-11-01", "--format", "ndjson"];

/// A session of legal's in two regions, its record of STS in a file that is read after the calls.
fn company() -> TempDir {
    let folder = folder();
    let calls: Vec<String> = (0..4).map(|n| granted("ASIAAUDIT0001", n, LAST + 20 * n as i64)).collect();
    put(&folder, "eu-west-1", LAST, "1", &calls.iter().map(|call| in_region(call, "eu-west-1")).collect::<Vec<_>>());
    put(&folder, "us-east-1", LAST, "2", &[denied("ASIAAUDIT0001", 9, LAST), granted("ASIAAUDIT0002", 0, LAST)]);
    put(&folder, "us-east-1", LAST, "3", &[grant("ASIAAUDIT0001", "alice@example.com", "legal", LAST - 3_600)]);
    folder
}

#[test]
fn whoever_called_is_known_however_the_files_lie() {
    let folder = company();
    let done = audit(folder.path(), &[&LAST_DAY[..], &["--department", "legal", "--model", "anthropic.claude*"]].concat());
    let rows = rows(&done.expect(0));
    let of = |name: &str| rows.iter().map(|row| row[name].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>();
    // Two of the four calls in Europe are November's.
    assert_eq!(of("event_id"), ["ASIAAUDIT0001-0", "ASIAAUDIT0001-9", "ASIAAUDIT0001-1"]);
    assert_eq!(of("outcome"), ["allowed", "denied", "allowed"]);
    assert_eq!((&rows[1]["error_code"], &rows[0]["error_code"]), (&json!("AccessDenied"), &Value::Null));
    assert!(rows.iter().all(|row| row["person"] == "alice@example.com" && row["department"] == "legal"));
    assert_eq!(of("region"), ["eu-west-1", "us-east-1", "eu-west-1"]);

    let unknown = audit(folder.path(), &[&LAST_DAY[..], &["--department", ""]].concat());
    assert_eq!(self::rows(&unknown.expect(0))[0]["access_key_id"], "ASIAAUDIT0002");
    let text = audit(folder.path(), &["--since", "2026-10-31", "--until", "2026-11-01", "--person", "alice*"]).expect(0).stdout;
    for part in ["3 calls: 2 allowed, 1 denied, 0 failed.", "alice@example.com", "2026-10-31"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// A month ends at midnight of the zone that is asked for.
#[test]
fn a_month_in_another_zone_is_another_month() {
    let folder = company();
    let zone = ["--since", "2026-10-31T01:00:00+01:00", "--until", "2026-11-01T01:00:00+01:00", "--format", "ndjson"];
    assert_eq!(rows(&audit(folder.path(), &zone).expect(0)).len(), 4, "the same instants, written otherwise");
    let later = ["--incomplete", "--since", "2026-10-31T00:00:00-01:00", "--until", "2026-11-01T00:00:00-01:00", "--format", "ndjson"];
    assert_eq!(rows(&audit(folder.path(), &later).expect(0)).len(), 6, "midnight comes an hour later");
}

#[test]
fn copies_of_the_same_events_count_once() {
    let folder = company();
    let copies: Vec<String> = (0..4).map(|n| in_region(&granted("ASIAAUDIT0001", n, LAST + 20 * n as i64), "eu-west-1")).collect();
    put(&folder, "eu-west-1", LAST, "copy", &copies);
    let done = audit(folder.path(), &LAST_DAY).expect(0);
    assert_eq!(rows(&done).len(), 4);
    assert!(done.stderr.contains("2 duplicates left out"), "{}", done.stderr);
}

#[test]
fn days_without_events_refuse_the_answer_and_are_named() {
    let folder = company();
    let done = audit(folder.path(), &OCTOBER).expect(66);
    assert!(done.stdout.is_empty(), "no answer: {}", done.stdout);
    assert!(done.stderr.contains("gap: no event of account 111122223333 on 2026-10-01 to 2026-10-30"), "{}", done.stderr);
    assert!(done.stderr.contains("--incomplete answers all the same"), "{}", done.stderr);
    let done = audit(folder.path(), &[&OCTOBER[..], &["--incomplete"]].concat()).expect(0);
    assert!(rows(&done).len() == 4 && done.stderr.contains("gap:"), "answered, and still named: {}", done.stderr);
}

#[test]
fn damaged_and_unreadable_files_refuse_the_answer_and_are_named() {
    let folder = company();
    let whole = put(&folder, "us-east-1", LAST, "4", &(0..50).map(|n| granted("ASIAAUDIT0003", n, LAST)).collect::<Vec<_>>());
    let bytes = fs::read(&whole).expect("read");
    fs::write(&whole, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let done = audit(folder.path(), &LAST_DAY).expect(66);
    assert!(done.stderr.contains("4.json.gz") && done.stderr.contains("damaged-gzip"), "{}", done.stderr);
    let saved = rows(&audit(folder.path(), &[&LAST_DAY[..], &["--incomplete"]].concat()).expect(0)).len();
    assert!((14..54).contains(&saved), "what is whole of it is saved: {saved}");
    fs::remove_file(&whole).expect("removed");

    // A folder with a file's name is as unreadable as one without permission, for root too.
    fs::create_dir(folder.path().join("link")).expect("made");
    std::os::unix::fs::symlink(folder.path().join("gone"), folder.path().join("AWSLogs/broken.json.gz")).expect("linked");
    let done = audit(folder.path(), &LAST_DAY).expect(66);
    assert!(done.stderr.contains("broken.json.gz") && done.stderr.contains("1 unreadable"), "{}", done.stderr);
}

#[test]
fn digests_are_passed_over_and_an_empty_prefix_is_no_answer() {
    let folder = company();
    let digest = folder.path().join("AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/10/31/digest.json.gz");
    fs::create_dir_all(digest.parent().expect("inside")).expect("made");
    fs::write(&digest, wire::gzip(br#"{"awsAccountId":"111122223333","digestStartTime":"2026-10-31T00:00:00Z"}"#)).expect("written");
    assert!(audit(folder.path(), &LAST_DAY).expect(0).stderr.contains("passed over 1"));
    let empty = self::folder();
    assert!(audit(empty.path(), &LAST_DAY).expect(66).stderr.contains("no CloudTrail files there"));
    fs::write(empty.path().join("noise.json"), "nothing").expect("written");
    audit(empty.path(), &LAST_DAY).expect(65);
}

#[test]
fn ten_thousand_small_files_are_one_answer() {
    let folder = company();
    let place = folder.path().join("AWSLogs/many");
    fs::create_dir(&place).expect("made");
    for n in 0..10_000 {
        fs::write(place.join(format!("{n}.json")), granted("ASIAAUDIT0004", n, LAST - 60)).expect("written");
    }
    let done = audit(folder.path(), &["--since", "2026-10-31", "--until", "2026-11-01"]).expect(0);
    assert!(done.stdout.contains("10,004 calls") && done.stdout.contains("in 10,003 files"), "{}", done.stdout);
}

#[test]
fn questions_that_mean_nothing_are_refused() {
    let folder = company();
    for args in [
        &["--since", "2026-10-31", "--until", "2026-10-31"][..],
        &["--since", "2026-10-31"][..],
        &["--month", "2026-10", "--since", "2026-10-01"][..],
        &["--month", "October"][..],
        &[][..],
    ] {
        audit(folder.path(), args).expect(64);
    }
}
