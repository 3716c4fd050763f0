//! The enriched log: every settled call once, whatever crashes, in a folder and in a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use geophone_company::wire;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::records::{denied, granted, key, now};
use crate::support::stage::Stage;
use crate::support::tools::Server;
use crate::support::wait::eventually;

const USER: &str = "arn:aws:iam::111122223333:user/build";

/// The `number`th call of an IAM user, who waits for no session.
fn call(number: usize, is_refused: bool) -> String {
    let make = if is_refused { denied } else { granted };
    let mut record: Value = serde_json::from_str(&make(&key("ARCHIVE", 0), number, now() - 60)).expect("JSON");
    record["userIdentity"] =
        json!({"type": "IAMUser", "arn": USER, "accountId": "111122223333", "accessKeyId": "AKIAARCHIVE", "userName": "build"});
    record.to_string()
}

fn calls(numbers: std::ops::Range<usize>) -> Vec<(String, Vec<u8>)> {
    numbers.map(|number| (USER.to_owned(), wire::eventbridge(&call(number, number % 5 == 0)))).collect()
}

fn unzip(bytes: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("whole gzip");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Lines by folder.
fn lines(folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder_now) = open.pop() {
        for entry in fs::read_dir(&folder_now).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let place = folder_now.strip_prefix(folder).expect("inside").to_str().expect("UTF-8").to_owned();
                all.entry(place).or_insert_with(Vec::new).extend(unzip(&fs::read(entry.path()).expect("read")));
            }
        }
    }
    all
}

fn ids(lines: &BTreeMap<String, Vec<Value>>) -> Vec<String> {
    let mut ids: Vec<String> = lines.values().flatten().map(|line| line["event_id"].as_str().expect("an id").to_owned()).collect();
    ids.sort_by_key(|id| id.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()));
    ids
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{}-{number}", key("ARCHIVE", 0))).collect()
}

async fn with_archive(url: &str) -> Stage {
    let stage = Stage::new(1).await;
    let config = fs::read_to_string(stage.config()).expect("written");
    fs::write(stage.config(), format!("{config}\n[archive]\n{url}\n")).expect("written");
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_lies_in_the_folder_once_through_crashes() {
    let stage = with_archive("url = \"archive\"").await;
    let folder = stage.config().parent().expect("a folder").join("archive");
    let daemon = stage.daemon().await;
    stage.put(&calls(0..40)).await;
    eventually("lines", async || (ids(&lines(&folder)).len() >= 40).then_some(())).await;
    stage.put(&calls(40..60)).await;
    // Killed at any moment of a commit: what was written in vain goes, what comes again is written once.
    daemon.kill();
    for number in 0..4 {
        let daemon = stage.daemon().await;
        stage.put(&calls(60 + 10 * number..70 + 10 * number)).await;
        tokio::time::sleep(std::time::Duration::from_millis(400 + 350 * number as u64)).await;
        daemon.kill();
    }
    let daemon = stage.daemon().await;
    let all = eventually("all lines", async || Some(lines(&folder)).filter(|all| ids(all).len() >= 100)).await;
    daemon.stop().await;
    assert_eq!(ids(&lines(&folder)), expected(100), "each once");

    let day = geophone::time::EventTime::from_unix(now()).to_string()[..10].to_owned();
    assert!(all.keys().all(|place| place.starts_with("dept=unknown/date=")), "{:?}", all.keys());
    let line = &all.values().next().expect("a place")[0];
    assert!(line["time"].as_str().expect("a time") <= format!("{day}T23:59:59Z").as_str());
    let names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut wanted = [
        "access_key_id",
        "account",
        "clearance",
        "department",
        "department_source",
        "error_code",
        "event_id",
        "family",
        "input_tokens",
        "model",
        "operation",
        "outcome",
        "output_tokens",
        "person",
        "region",
        "source_ip",
        "time",
    ];
    wanted.sort_unstable();
    assert_eq!(names, wanted, "the columns of deploy/athena/enriched_table.sql");
    let refused = all.values().flatten().filter(|line| line["outcome"] == "denied" && line["error_code"] == "AccessDenied").count();
    assert_eq!(refused, 20);
}

/// A place that cannot be written: nothing is committed, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_archived_is_not_committed() {
    let stage = with_archive("url = \"archive\"").await;
    let folder = stage.config().parent().expect("a folder").join("archive");
    let daemon = stage.daemon().await;
    // A file where a folder should be; the folder above may not be there yet.
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("dept=unknown"), "in the way").expect("written");
    stage.put(&calls(0..10)).await;
    daemon.until("geophone_archive_failures_total", "", 1.0).await;
    daemon.kill();
    fs::remove_file(folder.join("dept=unknown")).expect("removed");
    let daemon = stage.daemon().await;
    eventually("lines", async || (ids(&lines(&folder)).len() >= 10).then_some(())).await;
    daemon.stop().await;
    assert_eq!(ids(&lines(&folder)), expected(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_a_real_server_gets_the_same() {
    let Some(ministack) = Server::ministack().await else { return };
    let made = http::send(&ministack.address, "PUT", "/audit-logs", &[], "").await.expect("an answer");
    assert_eq!(made.status, 200, "{}", made.body);
    let stage = with_archive(&format!("url = \"s3://audit-logs/bedrock\"\nendpoint = \"http://{}\"", ministack.address)).await;
    let daemon = stage.daemon().await;
    stage.put(&calls(0..10)).await;
    daemon.until("geophone_archived_calls_total", "", 10.0).await;
    daemon.stop().await;
    let listed = http::get(&ministack.address, "/audit-logs?list-type=2&prefix=bedrock/dept%3Dunknown/").await.expect("an answer").body;
    let keys: Vec<&str> = listed.split("<Key>").skip(1).filter_map(|part| part.split("</Key>").next()).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.ends_with(".json.gz") && key.contains("/date=20")), "{listed}");
}
