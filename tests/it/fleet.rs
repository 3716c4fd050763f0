//! Several machines that share a stream: leases in a real DynamoDB server, the state of shards in a folder that all see.
//!
//! The ledger is the enriched log: each call is in it once, whoever read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::kinesis::Entry;
use crate::support::program::Daemon;
use crate::support::records;
use crate::support::sns::Received;
use crate::support::stage::{STREAM, Stage, alert_ids, are_paged};
use crate::support::tools::Server;
use crate::support::wait::eventually;

/// A stage whose stream is shared.
async fn shared(shards: i32, dynamo: &Server) -> Stage {
    let stage = Stage::new(shards).await;
    let config = fs::read_to_string(stage.config()).expect("written");
    let config = config.replace(&format!("name = \"{STREAM}\"\n"), &format!("name = \"{STREAM}\"\nleases = \"trail-leases\"\n"));
    let more = format!(
        "\n[archive]\nurl = \"archive\"\n[fleet]\nsnapshots = \"snapshots\"\nfailover = \"3s\"\ndynamodb_endpoint = \"http://{}\"\n",
        dynamo.address
    );
    fs::write(stage.config(), config + &more).expect("written");
    stage
}

fn keys(name: &str) -> Vec<String> {
    (0..12).map(|number| format!("AKIA{name}{number:04}")).collect()
}

/// Refused calls of users, who wait for no session, partitioned as a stream has them: by whom the calls come from.
fn refusals(keys: &[String], numbers: std::ops::Range<usize>) -> Vec<Entry> {
    let time = records::now() - 60;
    let of = |number| {
        keys.iter().map(move |key| {
            let user = format!("arn:aws:iam::111122223333:user/{key}");
            let mut record: Value = serde_json::from_str(&records::denied(key, number, time)).expect("JSON");
            record["userIdentity"] =
                json!({"type": "IAMUser", "arn": user, "accountId": "111122223333", "accessKeyId": key, "userName": key});
            (user, geophone_company::wire::eventbridge(&record.to_string()))
        })
    };
    numbers.flat_map(of).collect()
}

/// How often each call is in the enriched log.
fn ledger(stage: &Stage) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    let mut folders = vec![stage.config().with_file_name("archive")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut text = String::new();
            // What is being written has a name of its own until then, and what was written in vain goes again.
            let Ok(file) = fs::File::open(entry.path()) else { continue };
            if GzDecoder::new(file).read_to_string(&mut text).is_err() {
                continue;
            }
            for line in text.lines() {
                let line: Value = serde_json::from_str(line).expect("JSON");
                *calls.entry(line["event_id"].as_str().expect("an id").to_owned()).or_default() += 1;
            }
        }
    }
    calls
}

/// Waits until every call is in the ledger, and holds that none is twice and that each session was paged under one id.
async fn all_once(stage: &Stage, keys: &[String], calls: usize) {
    let complete = eventually("every call in the ledger", async || {
        let ledger = ledger(stage);
        (ledger.len() == keys.len() * calls).then_some(ledger)
    })
    .await;
    let twice: Vec<_> = complete.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    eventually("pages", async || are_paged(&stage.sns.received(), keys).then_some(())).await;
    for (key, ids) in alert_ids(&stage.sns.received()) {
        assert_eq!(ids.len(), 1, "{key}: {ids:?}");
    }
}

async fn reads_shards(daemon: &Daemon, shards: usize) {
    eventually(&format!("{shards} shards"), async || {
        let reply = crate::support::http::get(&daemon.page, "/api/v1/fleet").await?;
        let fleet: Value = serde_json::from_str(&reply.body).ok()?;
        (fleet["shards"].as_array()?.len() == shards).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_machine_takes_its_share_and_everything_when_the_first_is_killed() {
    let Some(dynamo) = Server::dynalite().await else { return };
    let stage = shared(4, &dynamo).await;
    let keys = keys("FLEET");
    let first = stage.daemon().await;
    reads_shards(&first, 4).await;
    stage.put(&refusals(&keys, 0..3)).await;
    all_once(&stage, &keys, 3).await;

    let second = stage.daemon().await;
    reads_shards(&first, 2).await;
    reads_shards(&second, 2).await;
    stage.put(&refusals(&keys, 3..6)).await;
    all_once(&stage, &keys, 6).await;

    stage.put(&refusals(&keys, 6..9)).await;
    first.kill();
    stage.put(&refusals(&keys, 9..12)).await;
    reads_shards(&second, 4).await;
    all_once(&stage, &keys, 12).await;

    // The one that is left gives its leases back in order, and whoever comes next goes on at once.
    let (status, took, log) = second.stop().await;
    assert!(status.success() && took < Duration::from_secs(25), "{status} after {took:?}\n{log}");
    let third = stage.daemon().await;
    stage.put(&refusals(&keys, 12..14)).await;
    all_once(&stage, &keys, 14).await;
    let counts = counted(&stage, &keys);
    assert!(counts.values().all(|count| *count <= 14), "{counts:?}");
    drop(third);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paged_before_the_first_checkpoint_of_all_says_that_it_comes_again() {
    let Some(dynamo) = Server::dynalite().await else { return };
    let stage = shared(1, &dynamo).await;
    let config = fs::read_to_string(stage.config()).expect("written");
    fs::write(stage.config(), config.replace("snapshot_every = \"1s\"", "snapshot_every = \"60s\"")).expect("written");
    let keys = keys("EARLY");
    let first = stage.daemon().await;
    reads_shards(&first, 1).await;
    stage.put(&refusals(&keys, 0..3)).await;
    eventually("pages", async || are_paged(&stage.sns.received(), &keys).then_some(())).await;
    let before = stage.sns.received().len();
    first.kill();

    let _second = stage.daemon().await;
    eventually("pages again", async || are_paged(&stage.sns.received()[before..], &keys).then_some(())).await;
    let unsaid = stage.sns.received()[before..].iter().filter(|received| received.alert()["possible_duplicate"] != true).count();
    assert_eq!(unsaid, 0);
    for (key, ids) in alert_ids(&stage.sns.received()) {
        assert_eq!(ids.len(), 1, "{key}: {ids:?}");
    }
}

/// The largest number of events that any message of a session's alert names.
fn counted(stage: &Stage, keys: &[String]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for alert in stage.sns.received().iter().map(Received::alert) {
        let key = alert["actor"]["access_key_id"].as_str().expect("a key").to_owned();
        let count = counts.entry(key).or_insert(0);
        *count = (*count).max(alert["event_count"].as_u64().expect("a count"));
    }
    counts.retain(|key, _| keys.contains(key));
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_follows_the_records_through_a_split_and_a_merge() {
    let Some(dynamo) = Server::dynalite().await else { return };
    let stage = shared(1, &dynamo).await;
    let keys = keys("SHAPE");
    let daemon = stage.daemon().await;
    reads_shards(&daemon, 1).await;
    stage.put(&refusals(&keys, 0..4)).await;
    all_once(&stage, &keys, 4).await;

    stage.kinesis.split(STREAM).await;
    stage.put(&refusals(&keys, 4..8)).await;
    reads_shards(&daemon, 2).await;
    all_once(&stage, &keys, 8).await;

    stage.kinesis.merge(STREAM).await;
    stage.put(&refusals(&keys, 8..12)).await;
    reads_shards(&daemon, 1).await;
    all_once(&stage, &keys, 12).await;

    // What was known before is known after: a call that was seen two shards ago is a duplicate.
    let before = daemon.metric("geophone_duplicates_total", "").await;
    stage.put(&refusals(&keys, 0..2)).await;
    daemon.until("geophone_duplicates_total", "", before + 24.0).await;
}

fn newest_snapshot(folder: &Path) -> Option<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "snapshot"));
    files.sort();
    files.pop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_costs_what_came_after_the_one_before() {
    let Some(dynamo) = Server::dynalite().await else { return };
    let stage = shared(1, &dynamo).await;
    let keys = keys("HARM");
    let daemon = stage.daemon().await;
    stage.put(&refusals(&keys, 0..3)).await;
    all_once(&stage, &keys, 3).await;
    stage.put(&refusals(&keys, 3..6)).await;
    all_once(&stage, &keys, 6).await;
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
    let folder = stage.config().with_file_name("snapshots").join(STREAM).join("shardId-000000000000");
    let newest = newest_snapshot(&folder).expect("a snapshot");
    let mut bytes = fs::read(&newest).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).expect("written");

    let daemon = stage.daemon().await;
    stage.put(&refusals(&keys, 6..9)).await;
    eventually("pages of what was read again and anew", async || {
        let ledger = ledger(&stage);
        (ledger.len() == keys.len() * 9).then_some(())
    })
    .await;
    assert!(daemon.log().contains("state was lost"), "{}", daemon.log());
    // The lease was moved back and taken again in between; it is told all the same, once.
    let about_itself =
        |all: &[Received]| all.iter().map(Received::alert).filter(|alert| alert["detector"] == "blind-spot").collect::<Vec<_>>();
    let told = about_itself(&stage.sns.until("a page about the state", |all| !about_itself(all).is_empty()).await);
    assert!(told[0]["title"].as_str().is_some_and(|title| title.contains("older state of") && title.contains(STREAM)), "{told:?}");
    eventually("the note's end", async || (!folder.join("lost.txt").exists()).then_some(())).await;
    assert_eq!(about_itself(&stage.sns.received()).len(), 1);
    for (key, ids) in alert_ids(&stage.sns.received()) {
        assert_eq!(ids.len(), 1, "{key}: {ids:?}");
    }
}
