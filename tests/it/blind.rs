//! What geophone could not see it says itself: lost state, gaps, unreadable records, more names than it can remember.
//!
//! The texts are golden files (`tests/data/messages/blind-spot.*`; accept a wanted change with `ACCEPT_GOLDEN=1` and read
//! the diff).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use geophone::alerting::message::{Form, Links, render};
use geophone::alerting::{Alert, Status};
use geophone::config::Settings;
use geophone::detect::blind_spot::{Blindness, GapEnd};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::finding::DetectorId;
use geophone::observation::Observation;
use geophone::time::EventTime;
use geophone_company::wire;
use serde_json::Value;

use crate::support::program::Daemon;
use crate::support::records::{granted, key};
use crate::support::sns::Received;
use crate::support::stage::{STREAM, Stage, are_paged, refusals};
use crate::support::story::{self, Told};
use crate::support::wait::eventually;

const START: i64 = 1_780_315_200;

fn at(seconds: i64) -> EventTime {
    EventTime::from_unix(START + seconds)
}

fn limited(limits: &str) -> EngineSettings {
    Settings::parse(&format!("[limits]\ndedup = 131072\n{limits}\n")).expect("valid").engine
}

/// A granted call of each of so many sessions that nobody has heard of, within these seconds.
fn names(name: &str, count: usize, seconds: i64) -> Vec<Observation> {
    let texts: Vec<String> = (0..count).map(|n| granted(&key(name, n), 0, START + n as i64 * seconds / count as i64)).collect();
    texts.chunks(1_000).flat_map(|chunk| story::observe(&wire::ndjson(&chunk.iter().map(String::as_str).collect::<Vec<_>>()))).collect()
}

fn blind(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.detector == DetectorId::BlindSpot).collect()
}

fn opened(told: &Told) -> Vec<&Alert> {
    blind(&told.alerts).into_iter().filter(|alert| alert.status == Status::Opened).collect()
}

/// Holds an alert's text to its golden file.
fn as_it_was(name: &str, alert: &Alert) {
    let links = Links { page: Some("https://geophone.example".into()), runbooks: Some("https://runbooks.example".into()) };
    let message = render(alert, Form::Text, &links);
    let body = format!("Subject: {}\n\n{}", message.subject, message.body);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/messages/blind-spot.{name}.txt"));
    if std::env::var_os("ACCEPT_GOLDEN").is_some() {
        fs::write(&path, &body).expect("written");
    }
    assert_eq!(body, fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
}

#[test]
fn a_flood_of_session_names_is_one_alert_and_few_updates() {
    let settings = limited("actors = 1000\ncredentials = 1000\ngrants = 1000");
    let mut engine = Engine::new(settings);
    let told = story::feed(&mut engine, names("NAME", 50_000, 7_200));
    let alerts = blind(&told.alerts);
    assert_eq!(opened(&told).len(), 1, "{alerts:#?}");
    assert!((2..=4).contains(&alerts.len()), "opened, and again when it is ten times as much: {}", alerts.len());
    let gauges = engine.gauges();
    let evicted = gauges.tables.newcomers_evicted + gauges.tables.credentials_evicted;
    assert!(gauges.tables.newcomers_evicted > 30_000 && gauges.tables.credentials_evicted > 40_000, "{gauges:?}");
    assert!(gauges.tables.actors <= 8_000 && gauges.tables.credentials <= 1_000, "memory is bounded: {gauges:?}");
    let open = engine.open_alerts(9).into_iter().find(|alert| alert.detector == DetectorId::BlindSpot).expect("open");
    assert!(open.event_count > evicted * 9 / 10 && open.event_count <= evicted, "{} of {evicted}", open.event_count);
    assert_eq!((open.severity.label(), &*open.who.actor.name), ("medium", "geophone"));
    as_it_was("forgotten", &open);
}

/// The names that a company has on a day are no flood.
#[test]
fn a_full_table_that_forgets_slowly_is_no_alert() {
    let settings = limited("actors = 1000\ncredentials = 1000");
    // A table of 1,000 newcomers and more, and 200 an hour beside those that have filled it.
    let told = story::play(&settings, names("SLOW", 9_600, 48 * 3_600));
    assert_eq!(blind(&told.alerts).len(), 0, "{:#?}", blind(&told.alerts));
}

#[test]
fn calls_that_cannot_wait_for_their_grant_are_one_alert() {
    let told = story::play(&limited("held = 1000"), names("HELD", 9_000, 1_200));
    assert!(told.counts.held_overflow > 5_000, "{:?}", told.counts);
    let alerts = opened(&told);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    as_it_was("held", alerts[0]);
}

/// A restart in the middle of the flood neither opens it again nor gives it another id.
#[test]
fn a_flood_across_a_restart_is_the_same_alert() {
    let settings = limited("actors = 1000\ncredentials = 1000");
    let whole = opened(&story::play(&settings, names("CUT", 20_000, 7_200)))[0].alert_id;
    for cut in [200, 4_000, 9_000, 19_000] {
        let (mut events, mut engine) = (names("CUT", 20_000, 7_200), Engine::new(settings.clone()));
        let later = events.split_off(cut);
        let mut told = story::feed(&mut engine, events);
        let mut engine = Engine::restore(settings.clone(), engine.image());
        told.alerts.extend(story::feed(&mut engine, later).alerts);
        let ids: BTreeSet<_> = blind(&told.alerts).iter().map(|alert| alert.alert_id).collect();
        assert_eq!((opened(&told).len(), ids.into_iter().collect::<Vec<_>>()), (1, vec![whole]), "cut at {cut}");
    }
}

#[test]
fn records_that_cannot_be_read_in_bulk_are_one_alert() {
    let (mut engine, mut report) = (Engine::new(limited("")), Report::default());
    for n in 0..2_000 {
        engine.note_record(at(n / 4), n % 10 == 3, &mut report);
    }
    let alerts = blind(&report.alerts);
    assert_eq!(alerts.iter().map(|alert| alert.status).collect::<Vec<_>>(), [Status::Opened, Status::Updated], "{alerts:#?}");
    assert_eq!(alerts[0].onset, at(0));
    as_it_was("unreadable", alerts[1]);
    // A few poisoned records are for the dead letters.
    let (mut engine, mut report) = (Engine::new(limited("")), Report::default());
    (0..2_000).for_each(|n| engine.note_record(at(n / 4), n % 100 == 3, &mut report));
    assert!(report.alerts.is_empty(), "{:#?}", report.alerts);
}

#[test]
fn what_the_daemon_finds_out_reads_well() {
    let shard = "trail/shardId-000000000000";
    let why = "/var/lib/geophone/snapshot-3.bin: the checksum is wrong".to_owned();
    let gap = |end| Blindness::Gap { shard: shard.into(), end };
    let cases = [
        ("state", Blindness::StateLost { shard: "".into(), is_total: true, why: why.clone() }, 0),
        ("older-state", Blindness::StateLost { shard: shard.into(), is_total: false, why }, 600),
        ("gap", gap(GapEnd::Open), 0),
        ("gap-measured", gap(GapEnd::Known), 97_200),
        ("shard-gone", gap(GapEnd::ShardGone), 97_200),
        ("dead-letters", Blindness::LettersLost { is_full: true }, 0),
    ];
    for (name, what, seconds) in cases {
        let (mut engine, mut report) = (Engine::new(limited("")), Report::default());
        engine.report_blindness(&what, at(0), at(seconds), &mut report);
        assert_eq!(report.counts.findings.values().sum::<u64>(), 1, "{name} is counted");
        as_it_was(name, &report.alerts[0]);
    }
    // Where the gap ends is said as soon as it is known, in the same alert.
    let (mut engine, mut report) = (Engine::new(limited("")), Report::default());
    engine.report_blindness(&gap(GapEnd::Open), at(0), at(0), &mut report);
    engine.report_blindness(&gap(GapEnd::Known), at(0), at(97_200), &mut report);
    let [first, second] = &report.alerts[..] else { panic!("{:#?}", report.alerts) };
    assert_eq!((first.status, second.status, first.alert_id), (Status::Opened, Status::Updated, second.alert_id));
    assert_eq!((second.onset, second.last_event), (at(0), at(97_200)));
    // Switched off, nothing is said.
    let off = Settings::parse("[detect.blind-spot]\nmode = \"off\"\n").expect("valid").engine;
    let (mut engine, mut report) = (Engine::new(off), Report::default());
    engine.report_blindness(&gap(GapEnd::Open), at(0), at(0), &mut report);
    assert!(report.alerts.is_empty() && report.counts.findings.is_empty());
}

/// Alerts of geophone about itself that people got, by title.
fn pages(received: &[Received]) -> Vec<Value> {
    received.iter().map(Received::alert).filter(|alert| alert["detector"] == "blind-spot").collect()
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// Snapshots of a state folder, the newest first.
fn snapshots(stage: &Stage) -> Vec<PathBuf> {
    let number =
        |path: &PathBuf| -> Option<u64> { path.file_name()?.to_str()?.strip_prefix("snapshot-")?.strip_suffix(".bin")?.parse().ok() };
    let mut found: Vec<(u64, PathBuf)> =
        fs::read_dir(stage.state()).expect("there").flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

async fn stopped(daemon: Daemon) {
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
}

/// A daemon that has read and committed several times, and has stopped.
async fn committed(stage: &Stage, name: &str) {
    let daemon = stage.daemon().await;
    for round in 1..=3 {
        let keys = [key(name, round)];
        stage.put(&refusals(&keys, 0..2)).await;
        stage.sns.until("a page", |all| are_paged(all, &keys)).await;
        daemon.until("geophone_snapshot_seconds_count", "", round as f64).await;
    }
    stopped(daemon).await;
    assert!(snapshots(stage).len() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_lost_pages_once_and_an_older_one_too() {
    let stage = Stage::new(1).await;
    committed(&stage, "LOST").await;
    assert_eq!(pages(&stage.sns.received()), Vec::<Value>::new(), "nothing was lost so far");

    damage(&snapshots(&stage)[0]);
    let daemon = stage.daemon().await;
    let older = pages(&stage.sns.until("a page about the older state", |all| !pages(all).is_empty()).await);
    assert!(older[0]["title"].as_str().is_some_and(|title| title.contains("older state")), "{older:#?}");
    assert_eq!((&older[0]["severity"], &older[0]["actor"]["key"]), (&"medium".into(), &"geophone".into()));
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    stopped(daemon).await;

    snapshots(&stage).iter().for_each(|path| damage(path));
    let daemon = stage.daemon().await;
    let lost = stage.sns.until("a page about the lost state", |all| pages(all).iter().any(|page| page["severity"] == "high")).await;
    let lost: Vec<Value> = pages(&lost).into_iter().filter(|page| page["severity"] == "high").collect();
    assert!(lost[0]["explanation"].as_str().is_some_and(|text| text.contains("No snapshot could be read")), "{lost:#?}");
    daemon.until("geophone_events_total", "", 6.0).await;
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    stopped(daemon).await;

    // It is said, and in the state: a further start pages nobody.
    let (before, fresh) = (pages(&stage.sns.received()).len(), [key("AFTER", 0)]);
    let daemon = stage.daemon().await;
    stage.put(&refusals(&fresh, 0..2)).await;
    stage.sns.until("a page of after", |all| are_paged(all, &fresh)).await;
    stopped(daemon).await;
    assert_eq!(pages(&stage.sns.received()).len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_stream_dropped_page_with_the_extent_of_the_gap() {
    let stage = Stage::new(1).await;
    committed(&stage, "GAP").await;
    stage.kinesis.trim(true);
    let daemon = stage.daemon().await;
    let gap = |all: &[Received]| pages(all).into_iter().filter(|page| page["severity"] == "high").collect::<Vec<_>>();
    stage.sns.until("a page about the gap", |all| !gap(all).is_empty()).await;
    stage.kinesis.trim(false);
    let fresh = [key("BEHIND", 0)];
    stage.put(&refusals(&fresh, 0..2)).await;
    stage.sns.until("a page of what came after it", |all| are_paged(all, &fresh)).await;
    let found = gap(&stage.sns.received());
    let shard = format!("{STREAM}/shardId-000000000000");
    assert!(found[0]["title"].as_str().is_some_and(|title| title.contains(&shard)), "{found:#?}");
    let ids: BTreeSet<&str> = found.iter().map(|page| page["alert_id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 1, "one story: {found:#?}");
    // It begins where reading had come to, not when it was noticed.
    let onset = EventTime::parse(found[0]["onset"].as_str().expect("a time")).expect("a time");
    assert!(onset.unix() <= crate::support::records::now() - 60, "{found:#?}");
    assert!(daemon.metric("geophone_kinesis_gaps_total", "").await >= 1.0);
    stopped(daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_records_and_letters_that_are_not_kept_page() {
    let stage = Stage::new(1).await;
    stopped(stage.daemon().await).await;
    // Holes cost no disk.
    let letters = fs::OpenOptions::new().create(true).append(true).open(stage.state().join("dead-letters.ndjson")).expect("a file");
    letters.set_len(1 << 30).expect("grown");
    let daemon = stage.daemon().await;
    let poison: Vec<_> = (0..12).map(|n| (format!("key-{n}"), b"\x00\xff not a record".to_vec())).collect();
    stage.put(&poison).await;
    let all = stage.sns.until("two pages", |all| pages(all).len() >= 2).await;
    let opened: Vec<Value> = pages(&all).into_iter().filter(|page| page["status"] == "opened").collect();
    let titles: Vec<&str> = opened.iter().map(|page| page["title"].as_str().expect("a title")).collect();
    assert_eq!(titles, ["Dead letters are no longer kept: there is no room for more", "Records cannot be read: 10 of the last 10"]);
    assert_eq!(opened[0]["incident_id"], opened[1]["incident_id"], "both are geophone's own");
    eventually("all of them", async || (daemon.metric("geophone_dead_letters_total", "kind=\"record\"").await == 12.0).then_some(())).await;
    stopped(daemon).await;
}
