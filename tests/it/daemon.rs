//! `geophone run` as a process of its own, against Kinesis and SNS in this one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use geophone_company::{Attack, Company, CompanySettings, wire};
use serde_json::Value;

use crate::support::http;
use crate::support::kinesis::{Entry, Kinesis};
use crate::support::program::{Daemon, run, signal, spawn, spawn_unheard};
use crate::support::records::{self, granted, key};
use crate::support::sns::{Act, Sns, TOPIC};
use crate::support::stage::{STREAM, Stage, alert_ids, are_paged, refusals};
use crate::support::wait::eventually;

fn keys(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| key(name, number)).collect()
}

/// Some of a company's working day, in both wire forms, and a probe: all of it is over when the test begins.
fn company_day() -> (Vec<Entry>, u64, BTreeSet<String>) {
    let today = records::now() - records::now().rem_euclid(86_400);
    let mut company = Company::new(CompanySettings { people: 10, first_day: today - 2 * 86_400, ..CompanySettings::default() });
    let mut events = company.day(0);
    events.truncate(600);
    let probe = company.attack(Attack::DeniedProbe, today - 86_400 - 12 * 3_600);
    // Before it is known who holds a key, a page names the key.
    let refused = probe.iter().map(|event| serde_json::from_str::<Value>(&event.json).expect("JSON"));
    let refused = refused.filter(|event| !event["errorCode"].is_null());
    let attackers = refused.map(|event| event["userIdentity"]["accessKeyId"].as_str().expect("a key").to_owned()).collect();
    events.extend(probe);
    events.sort_by_key(|event| event.arrival);
    let count = events.len() as u64;
    let mut entries: Vec<Entry> = vec![("control".to_owned(), wire::control_message())];
    for (index, batch) in events.chunks(20).enumerate() {
        let texts: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
        if index % 2 == 0 {
            entries.push((format!("logs-{index}"), wire::cloudwatch_logs(&texts)));
        } else {
            entries.extend(batch.iter().map(|event| (event.partition_key.clone(), wire::eventbridge(&event.json))));
        }
    }
    (entries, count, attackers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_counted_and_alerts_arrive() {
    let stage = Stage::new(2).await;
    let daemon = stage.daemon().await;
    let (entries, events, attackers) = company_day();
    stage.put(&entries).await;
    daemon.until("geophone_events_total", "", events as f64).await;
    let of_attacker = |alert: &Value| attackers.iter().any(|key| alert["actor"]["access_key_id"] == **key);
    let received = stage.sns.until("a page about the prober", |all| all.iter().any(|m| of_attacker(&m.alert()))).await;
    let page = received.iter().find(|message| of_attacker(&message.alert())).expect("just seen");
    assert_eq!((page.attributes["detector"].as_str(), page.attributes["region"].as_str()), ("access-denied", "us-east-1"));
    assert_eq!(page.attributes["severity"], page.alert()["severity"].as_str().expect("a severity"));

    for (metric, expected) in [
        ("geophone_events_total", events as f64),
        ("geophone_records_total", entries.len() as f64),
        ("geophone_control_messages_total", 1.0),
        ("geophone_undecodable_total", 0.0),
        ("geophone_duplicates_total", 0.0),
        ("geophone_dead_letters_total", 0.0),
        ("geophone_future_events_total", 0.0),
    ] {
        assert_eq!(daemon.metric(metric, "").await, expected, "{metric}");
    }
    let (status, took, log) = daemon.stop().await;
    assert!(status.success() && took < Duration::from_secs(25), "{status} after {took:?}\n{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "a log line is no JSON:\n{log}");
}

/// Kills come at once after a page, after a snapshot, and as soon as something was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_again_and_again_every_event_is_counted_once_and_every_incident_paged_under_one_id() {
    const ROUNDS: usize = 6;
    const CALLS: usize = 7;
    let stage = Stage::new(2).await;
    let mut expected = BTreeMap::new();
    for round in 0..ROUNDS {
        let fresh = keys(&format!("R{round}"), 12);
        let daemon = stage.daemon().await;
        // Every session of a former round goes on too, so that open alerts cross the crash.
        let former: Vec<String> = expected.keys().cloned().collect();
        stage.put(&refusals(&former, CALLS + round..CALLS + round + 1)).await;
        stage.put(&refusals(&fresh, 0..CALLS)).await;
        expected.values_mut().for_each(|count| *count += 1);
        expected.extend(fresh.iter().map(|key| (key.clone(), CALLS as u64)));
        match round % 3 {
            0 => drop(
                stage.sns.until("the first page of a round", |all| fresh.iter().any(|key| are_paged(all, std::slice::from_ref(key)))).await,
            ),
            1 => daemon.until("geophone_snapshot_seconds_count", "", 1.0).await,
            _ => daemon.until("geophone_events_total", "", 1.0).await,
        }
        daemon.kill();
    }
    // Each shard's last records: once they are paged, everything before them was read.
    let last = keys("LAST", 16);
    stage.put(&refusals(&last, 0..1)).await;
    expected.extend(last.iter().map(|key| (key.clone(), 1)));
    let daemon = stage.daemon().await;
    stage.sns.until("the last pages", |all| are_paged(all, &last)).await;
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{status}\n{log}");

    let received = stage.sns.received();
    let ids = alert_ids(&received);
    for key in expected.keys() {
        let ids = ids.get(key).unwrap_or_else(|| panic!("{key} was never paged"));
        assert_eq!(ids.len(), 1, "{key} was paged under several ids");
    }
    assert_eq!(ids.len(), expected.len());
    let mut opened: BTreeSet<String> = BTreeSet::new();
    for alert in received.iter().map(|message| message.alert()).filter(|alert| alert["status"] == "opened") {
        let is_new = opened.insert(alert["alert_id"].to_string());
        assert!(is_new || alert["possible_duplicate"] == true, "opened twice without a word: {alert}");
    }
    // Exactly once in the state: positions and state are committed together, and nothing of either is lost.
    assert_eq!(stage.counted().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_with_sns_down_ends_in_time_and_the_alert_arrives_after_the_restart() {
    let is_down = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_down);
    // It is there at the start, as the start asks for, and takes no message.
    let sns = Sns::scripted(move |call| match call.operation {
        "PublishBatch" if switch.load(Ordering::Relaxed) => Act::Hang,
        _ => Act::Accept,
    });
    let stage = Stage::with(Kinesis::with_stream(STREAM, 1).await, sns);
    let daemon = stage.daemon().await;
    let keys = keys("DOWN", 3);
    stage.put(&refusals(&keys, 0..1)).await;
    daemon.until("geophone_outbox", "", 3.0).await;
    let (status, took, log) = daemon.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(stage.sns.received().is_empty());

    is_down.store(false, Ordering::Relaxed);
    let daemon = stage.daemon().await;
    let received = stage.sns.until("the undelivered alerts", |all| are_paged(all, &keys)).await;
    assert_eq!(received.len(), 3, "each once: {received:?}");
    let ids_in_log = |id: &str| log.lines().any(|line| line.contains("\"message\":\"alert\"") && line.contains(id));
    for alert in received.iter().map(|message| message.alert()) {
        assert_eq!((&alert["possible_duplicate"], &alert["status"]), (&true.into(), &"opened".into()), "{alert}");
        let id = alert["alert_id"].as_str().expect("an id");
        assert!(ids_in_log(id), "{id} is not the id that the first process gave:\n{log}");
    }
    daemon.until("geophone_sns_publish_seconds_count", "", 3.0).await;
    eventually("an empty outbox", async || (daemon.metric("geophone_outbox", "").await == 0.0).then_some(())).await;
}

/// A start that waits for a service can be stopped like anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_during_the_start_ends_it_in_peace() {
    let sns = Sns::scripted(|_| Act::Hang);
    let stage = Stage::with(Kinesis::with_stream(STREAM, 1).await, sns);
    let mut starting = spawn(&["run", "--config", stage.config().to_str().expect("UTF-8")]);
    eventually("the question for the topic", async || (stage.sns.calls("GetTopicAttributes") > 0).then_some(())).await;
    signal(&starting, "-TERM");
    let status = eventually("its end", async || starting.try_wait().expect("our own child")).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Standard error goes into a file as often as not, and disks run full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_stops_no_page() {
    let stage = Stage::new(1).await;
    let mut unheard = spawn_unheard(&["run", "--config", stage.config().to_str().expect("UTF-8")]);
    let keys = keys("FULL", 3);
    stage.put(&refusals(&keys, 0..2)).await;
    stage.sns.until("pages in spite of it", |all| are_paged(all, &keys)).await;
    signal(&unheard, "-TERM");
    let status = eventually("its end", async || unheard.try_wait().expect("our own child")).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_records_are_kept_as_dead_letters_and_their_neighbours_counted() {
    let stage = Stage::new(1).await;
    let daemon = stage.daemon().await;
    let good = keys("GOOD", 4);
    let cut = wire::cloudwatch_logs(&[&granted("ASIACUT", 0, records::now())]);
    let poisons = [
        ("garbage", b"\x00\xff not a record".to_vec(), "invalid-json"),
        ("bomb", wire::gzip(&vec![b' '; 40 << 20]), "inflates-too-large"),
        ("cut", cut[..cut.len() / 2].to_vec(), "damaged-gzip"),
        ("deep", "[".repeat(100_000).into_bytes(), "nested-too-deep"),
    ];
    for ((name, bytes, _), key) in poisons.iter().zip(&good) {
        stage.put(&refusals(std::slice::from_ref(key), 0..2)).await;
        stage.put(&[((*name).to_owned(), bytes.clone())]).await;
        stage.put(&refusals(std::slice::from_ref(key), 2..4)).await;
    }
    stage.sns.until("pages about the neighbours", |all| are_paged(all, &good)).await;
    daemon.until("geophone_events_total", "", 16.0).await;
    daemon.until("geophone_dead_letters_total", "kind=\"record\"", 4.0).await;
    for (name, _, reason) in &poisons {
        assert!(daemon.metric("geophone_undecodable_total", reason).await >= 1.0, "{name} is not counted as {reason}");
    }
    assert_eq!(daemon.metric("geophone_events_total", "").await, 16.0);

    let letters = fs::read_to_string(stage.state().join("dead-letters.ndjson")).expect("a file");
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(letters.len(), 4);
    for (letter, (name, bytes, reason)) in letters.iter().zip(&poisons) {
        let data = base64_simd::STANDARD.decode_to_vec(letter["data"].as_str().expect("base64")).expect("base64");
        assert!(&data == bytes, "{name} is not kept as it came");
        assert_eq!(letter["kind"], "record", "{name}");
        assert!(letter["reason"].as_str().is_some_and(|text| text.contains(reason)), "{letter}");
        assert!(letter["place"].as_str().is_some_and(|place| place.contains(STREAM)), "{letter}");
        assert!(letter["id"].as_str().is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit())), "{letter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_state_is_refused_and_the_first_goes_on() {
    let stage = Stage::new(1).await;
    let daemon = stage.daemon().await;
    let second = run(&["run", "--config", stage.config().to_str().expect("UTF-8")]).expect(73);
    second.says(&["in use by another process", stage.state().to_str().expect("UTF-8")]);
    let keys = keys("FIRST", 1);
    stage.put(&refusals(&keys, 0..1)).await;
    stage.sns.until("a page of the first process", |all| are_paged(all, &keys)).await;
    assert!(daemon.stop().await.0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_created_after_the_start_is_read() {
    let stage = Stage::with(Kinesis::start().await, Sns::start());
    let daemon = stage.daemon().await;
    assert!(daemon.log().contains("does not exist yet"), "{}", daemon.log());
    let ready = async |daemon: &Daemon| http::get(&daemon.page, "/readyz").await.expect("an answer").status;
    assert_eq!(ready(&daemon).await, 503);
    stage.kinesis.create(STREAM, 2).await;
    let keys = keys("LATER", 5);
    stage.put(&refusals(&keys, 0..1)).await;
    stage.sns.until("pages from the new stream", |all| are_paged(all, &keys)).await;
    eventually("a ready daemon", async || (ready(&daemon).await == 200).then_some(())).await;
    assert_eq!(daemon.metric("geophone_events_total", "").await, 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_while_running_loses_and_repeats_nothing() {
    const CALLS: usize = 10;
    let stage = Stage::new(1).await;
    let daemon = stage.daemon().await;
    let keys = keys("SPLIT", 20);
    stage.put(&refusals(&keys, 0..CALLS / 2)).await;
    daemon.until("geophone_events_total", "", 1.0).await;
    stage.put(&refusals(&keys, CALLS / 2..CALLS - 1)).await;
    stage.kinesis.split(STREAM).await;
    stage.put(&refusals(&keys, CALLS - 1..CALLS)).await;
    daemon.until("geophone_events_total", "", (keys.len() * CALLS) as f64).await;
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("read to its end"), "the parent was not closed:\n{log}");
    for shard in 0..3 {
        assert!(log.contains(&format!("{STREAM}/shardId-{shard:012}")), "shard {shard} was never read:\n{log}");
    }
    assert_eq!(stage.counted().await, keys.into_iter().map(|key| (key, CALLS as u64)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_reads_are_told_and_nothing_is_lost_over_them() {
    let stage = Stage::new(1).await;
    let daemon = stage.daemon().await;
    stage.kinesis.throttle_reads(true);
    let keys = keys("SLOW", 3);
    stage.put(&refusals(&keys, 0..4)).await;
    daemon.until("geophone_kinesis_trouble_total", "kind=\"throttled\"", 2.0).await;
    let ready = eventually("a word about it", async || http::get(&daemon.page, "/readyz").await.filter(|reply| reply.body.len() > 3)).await;
    assert!(ready.status == 200 && ready.body.contains("throttled"), "{ready:?}");
    stage.kinesis.throttle_reads(false);
    daemon.until("geophone_events_total", "", 12.0).await;
    stage.sns.until("pages about all of it", |all| are_paged(all, &keys)).await;
    assert_eq!(daemon.metric("geophone_duplicates_total", "").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_sns_refuses_for_good_becomes_a_dead_letter() {
    let is_bad = |message: &str| message.contains("ASIABAD0001");
    let sns = Sns::scripted(move |call| match call.messages.iter().any(|message| is_bad(&message.body)) {
        true => Act::Refuse(400, "InvalidParameter"),
        false => Act::Accept,
    });
    let stage = Stage::with(Kinesis::with_stream(STREAM, 1).await, sns);
    let daemon = stage.daemon().await;
    let keys = keys("BAD", 3);
    stage.put(&refusals(&keys, 0..1)).await;
    daemon.until("geophone_dead_letters_total", "kind=\"message\"", 1.0).await;
    stage.sns.until("the other pages", |all| all.len() >= 2).await;
    eventually("an empty outbox", async || (daemon.metric("geophone_outbox", "").await == 0.0).then_some(())).await;
    assert_eq!(alert_ids(&stage.sns.received()).into_keys().collect::<Vec<_>>(), [keys[0].clone(), keys[2].clone()]);

    let letters = fs::read_to_string(stage.state().join("dead-letters.ndjson")).expect("a file");
    let letter: Value = serde_json::from_str(letters.trim_end()).expect("one letter");
    assert_eq!((&letter["kind"], &letter["place"]), (&"message".into(), &TOPIC.into()));
    let data = base64_simd::STANDARD.decode_to_vec(letter["data"].as_str().expect("base64")).expect("base64");
    let alert: Value = serde_json::from_slice(&data).expect("the alert's line");
    assert_eq!((&alert["actor"]["access_key_id"], &alert["alert_id"]), (&keys[1].as_str().into(), &letter["id"]));
}

/// A crash after a page, then a restart that commits before it can read again, then the next: the page comes again, and
/// must say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_a_crash_is_remembered_over_a_restart_that_reads_nothing() {
    let stage = Stage::new(1).await;
    let keys = keys("TWICE", 1);
    let daemon = stage.daemon().await;
    stage.put(&refusals(&keys, 0..1)).await;
    stage.sns.until("the page", |all| are_paged(all, &keys)).await;
    daemon.kill();
    stage.kinesis.throttle_reads(true);
    let daemon = stage.daemon().await;
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    daemon.kill();
    stage.kinesis.throttle_reads(false);
    let _daemon = stage.daemon().await;
    let received = stage.sns.until("the page again", |all| all.len() >= 2).await;
    let [first, again] = [received[0].alert(), received[1].alert()];
    assert_eq!(first["alert_id"], again["alert_id"]);
    assert_eq!((&first["possible_duplicate"], &again["possible_duplicate"]), (&false.into(), &true.into()));
}

/// The emulator speaks SubscribeToShard, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enhanced_fan_out_pages_as_polling_does() {
    let stage = Stage::new(2).await;
    let config = fs::read_to_string(stage.config()).expect("written");
    let config = config.replace(&format!("name = \"{STREAM}\"\n"), &format!("name = \"{STREAM}\"\nfan_out = \"geophone\"\n"));
    fs::write(stage.config(), config).expect("written");
    let daemon = stage.daemon().await;
    let keys = keys("FANOUT", 4);
    stage.put(&refusals(&keys, 0..3)).await;
    eventually("pages", async || are_paged(&stage.sns.received(), &keys).then_some(())).await;
    assert!(daemon.log().contains("stream consumer registered"), "{}", daemon.log());
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
}
