//! Real records from public corpora, where they are on this machine: `GEOPHONE_CORPORA`, or a folder beside the project.

use std::path::PathBuf;

use geophone::config::Settings;
use geophone::files;
use geophone::observation::{Body, Observer};

use crate::support::story;

/// The folder of samples and corpora, or `None` with one line that says so.
pub fn corpora() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("GEOPHONE_CORPORA").map_or(beside, PathBuf::from);
    if folder.join("samples").is_dir() {
        return Some(folder);
    }
    println!("skipped: no corpora of real records (set GEOPHONE_CORPORA to a folder that has samples/ and corpora/)");
    None
}

fn merged(paths: &[PathBuf]) -> (Vec<geophone::observation::Observation>, files::Tally) {
    let listing = files::list(paths).expect("listed");
    let mut merge = files::Merge::new(&listing, Observer::new(Default::default()), |_| {}).expect("read");
    let mut observations = Vec::new();
    while let Some(observation) = merge.pull().expect("read") {
        observations.push(observation);
    }
    (observations, merge.tally)
}

#[test]
fn every_real_record_is_read() {
    let Some(folder) = corpora() else { return };
    let paths = ["samples", "corpora/stratus", "corpora/invictus_cloudtrail_part1.jsonl"].map(|path| folder.join(path));
    let (observations, tally) = merged(&paths);
    assert_eq!((tally.undecodable, &tally.errors), (0, &Vec::new()));
    assert!(observations.len() > 2_000, "{}", observations.len());
    assert!(observations.iter().filter(|observation| observation.fingerprint == 0).count() < 10);
}

#[test]
fn every_issued_key_is_a_grant() {
    let Some(folder) = corpora() else { return };
    let file = folder.join("corpora/invictus_cloudtrail_part1.jsonl");
    // The plain model: every successful STS record that shows an access key.
    let text = std::fs::read_to_string(&file).expect("read");
    let issued: std::collections::BTreeSet<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["eventSource"] == "sts.amazonaws.com" && event["errorCode"].is_null())
        .filter_map(|event| event["responseElements"]["credentials"]["accessKeyId"].as_str().map(str::to_owned))
        .collect();
    assert!(issued.len() > 10);
    let key = |observation: geophone::observation::Observation| match observation.body {
        Body::Grant { access_key_id, .. } => Some(access_key_id.to_string()),
        _ => None,
    };
    let granted: std::collections::BTreeSet<String> = merged(&[file]).0.into_iter().filter_map(key).collect();
    assert_eq!(granted, issued);
}

#[test]
fn the_real_llmjacking_sequence_pages() {
    let Some(folder) = corpora() else { return };
    let (observations, _) = merged(&[folder.join("samples/real-stratus-sequence.json")]);
    let told = story::play(&Settings::default().engine, observations);
    let opened = told.opened();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!((opened[0].detector.label(), opened[0].severity.label()), ("unattributed", "high"));
    assert!(opened[0].explanation.contains("model access"), "{}", opened[0].explanation);
    let last = told.alerts.last().expect("an alert");
    assert!(last.event_count >= 3, "the whole sequence is one story: {last:?}");
}
