//! docs/threat-model.md against the sources: the tests that it names are there, and limits are what it says. And small
//! promises of it that belong to no module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use geophone::alerting::message::{Form, Links, render};
use geophone::engine::{Engine, EngineSettings};
use geophone::telemetry::metric_name::MetricName;
use geophone_company::wire;
use regex::Regex;
use serde_json::{Value, json};

use crate::support::records::{denied, key};
use crate::support::story;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Texts of all files below `folder` with this ending.
fn texts(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == ending) {
                found.push((path.clone(), fs::read_to_string(path).expect("text")));
            }
        }
    }
    found
}

/// Names of tests: of Rust, and of CloudFormation Guard's rules, which `deploy/test/run` holds the stacks to.
fn tests() -> BTreeSet<String> {
    let function = Regex::new(r"#\[(?:tokio::)?test(?:\([^\]]*\))?\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)").expect("a pattern");
    let rule = Regex::new(r"(?m)^rule (\w+)").expect("a pattern");
    let mut names = BTreeSet::new();
    for (folder, ending, pattern) in
        [("src", "rs", &function), ("tests", "rs", &function), ("crates", "rs", &function), ("deploy/guard", "guard", &rule)]
    {
        for (_, text) in texts(folder, ending) {
            names.extend(pattern.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    // Those that proptest makes have the attribute inside of its macro, and are found by the same pattern.
    names
}

#[test]
fn the_threat_model_names_tests_that_are_there() {
    let (text, known) = (read("docs/threat-model.md"), tests());
    let span = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`").expect("a pattern");
    let named: BTreeSet<&str> = span.captures_iter(&text).map(|found| found.get(1).expect("a group").as_str()).collect();
    let no_test = ["pages_per_hour", "inflated_bytes_max", "event_bytes_max"];
    let missing: Vec<&&str> =
        named.iter().filter(|name| !known.contains(**name) && !name.starts_with("geophone_") && !no_test.contains(name)).collect();
    assert!(missing.is_empty(), "no tests: {missing:?}");
    assert!(named.len() > 80 && known.len() > 300, "{} names, {} tests", named.len(), known.len());
    // Every threat says what holds it, if it is only that nothing does.
    let threats = text.split("\n## Limits").next().expect("before").lines().filter(|line| line.starts_with("| "));
    let bare: Vec<&str> = threats.filter(|line| line.trim_matches('|').split('|').any(|cell| cell.trim().is_empty())).collect();
    assert!(bare.is_empty(), "{bare:?}");
}

/// What an expression of a constant comes to: factors and shifts of numbers, and durations in seconds.
fn value(expression: &str) -> Option<f64> {
    let expression = expression.trim().trim_start_matches("Duration::from_secs(").trim_end_matches(')');
    if let Some((number, by)) = expression.split_once("<<") {
        return Some(value(number)? * 2_f64.powf(value(by)?));
    }
    let factor = |text: &str| match text.trim() {
        "MINUTE" => Some(60.0),
        "HOUR" => Some(3_600.0),
        "DAY" => Some(86_400.0),
        number => number.replace('_', "").parse().ok(),
    };
    expression.split('*').map(factor).product()
}

/// What a cell of the table says: a number, with a unit of bytes or time.
fn told(cell: &str) -> Option<f64> {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let factor = match unit {
        "" | "s" => 1.0,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "min" => 60.0,
        "days" => 86_400.0,
        _ => return None,
    };
    Some(number.replace(',', "").parse::<f64>().ok()? * factor)
}

#[test]
fn limits_are_what_the_sources_say() {
    let text = read("docs/threat-model.md");
    let place = Regex::new(r"^`(\w+)`, `([\w/.-]+)`$").expect("a pattern");
    let setting = Regex::new(r"^`\[(\w+)\] (\w+)`$").expect("a pattern");
    let metrics: BTreeSet<&str> = MetricName::ALL.iter().map(|name| name.spec().0).collect();
    let reference = read("docs/configuration.md").replace('_', "");
    let (mut held, mut wrong) = (0, Vec::new());
    for line in
        text.split("## Limits").nth(1).expect("the section").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| **"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, limit, at, _, metric, _] = cells[..] else { panic!("{line}") };
        if what == "what" {
            continue;
        }
        let ours = told(limit);
        let theirs = if let Some(found) = place.captures(at) {
            // A constant, or the field of a `Default`, where its file says it first.
            let source = Regex::new(&format!(r"\b{}(?:: [\w:]+ = |: )([^;,]+)[;,]", &found[1])).expect("a pattern");
            source.captures_iter(&read(&found[2])).find_map(|found| value(&found[1]))
        } else if let Some(found) = setting.captures(at) {
            // The reference's defaults are held to the program by a test of their own.
            let row = Regex::new(&format!(r"(?m)^\| `{}` .*$", found[2].replace('_', ""))).expect("a pattern");
            let rows: Vec<&str> = row.find_iter(&reference).map(|row| row.as_str()).collect();
            let has = |row: &&&str| ours.is_some_and(|ours| row.contains(&format!("`{ours}`")));
            rows.iter().find(has).and(ours)
        } else {
            None
        };
        let is_metric = metric == "–" || metrics.contains(metric.trim_matches('`'));
        held += 1;
        if ours.is_none() || ours != theirs || !is_metric {
            wrong.push(format!("{what}: {limit} is {ours:?}, {at} says {theirs:?}; metric {metric}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(held >= 55, "only {held} limits");
}

#[test]
fn values_are_read_as_they_are_meant() {
    for (expression, cell) in
        [("1 << 30", "1 GiB"), ("16 * 1024", "16 KiB"), ("10_000", "10,000"), ("30 * DAY", "30 days"), ("Duration::from_secs(5)", "5 s")]
    {
        assert_eq!(value(expression), told(cell), "{expression}");
        assert!(value(expression).is_some(), "{expression}");
    }
    assert_eq!((value("SOMETHING"), told("many")), (None, None));
    let names = tests();
    assert!(names.contains("values_are_read_as_they_are_meant") && names.contains("roles_name_what_they_may") && !names.contains("tests"));
}

/// STS tells the session's token in its record. It is nowhere in what is kept and sent.
#[test]
fn no_session_token_reaches_state_or_message() {
    const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKENEXAMPLETOKEN";
    let (time, session) = (1_780_315_200, key("TOKEN", 0));
    let grant = json!({"eventVersion": "1.08", "eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithSAML", "eventID": "grant-1",
        "eventTime": "2026-06-01T11:59:00Z", "awsRegion": "us-east-1", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "SAMLUser", "userName": "dana@example.com"},
        "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/analyst", "roleSessionName": "dana", "durationSeconds": 3600},
        "responseElements": {"credentials": {"accessKeyId": session, "sessionToken": TOKEN, "expiration": "Jun 1, 2026, 12:59:00 PM"}}});
    let texts: Vec<String> = std::iter::once(grant.to_string()).chain((0..5).map(|n| denied(&session, n, time))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let bytes = wire::ndjson(&texts);
    assert!(bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "it goes in");
    let mut engine = Engine::new(EngineSettings { dedup_capacity: 64, ..EngineSettings::default() });
    let told = story::feed(&mut engine, story::observe(&bytes));
    assert!(!told.alerts.is_empty() && engine.gauges().grants == 1, "{:?}", engine.gauges());
    // What a snapshot keeps, in full.
    let kept = format!("{:?}", engine.image());
    assert!(kept.contains(&session) && !kept.contains(TOKEN), "the key is kept, its token is not");
    for alert in &told.alerts {
        for form in [Form::Text, Form::Chatbot, Form::Ndjson, Form::Ocsf] {
            assert!(!render(alert, form, &Links::default()).body.contains(TOKEN));
        }
        assert!(!serde_json::from_str::<Value>(&alert.to_ndjson()).expect("JSON").is_null());
    }
}

#[test]
fn one_crate_of_ours_may_be_unsafe() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    let mut crates = BTreeMap::new();
    for (path, text) in texts("crates", "toml").into_iter().chain([(root().join("Cargo.toml"), manifest)]) {
        if path.file_name().is_some_and(|name| name == "Cargo.toml") {
            crates.insert(path, text.contains("[lints]\nworkspace = true"));
        }
    }
    // The JSON reader's vectors: its own lints deny it but where two modules allow it.
    let json = crates.remove(&root().join("crates/geophone-json/Cargo.toml"));
    assert_eq!(json, Some(false));
    let unsafe_files = texts("crates/geophone-json/src", "rs").into_iter().filter(|(_, text)| text.contains("unsafe {")).count();
    assert!((1..=2).contains(&unsafe_files), "{unsafe_files} files with unsafe code");
    assert!(crates.len() >= 3 && crates.values().all(|inherits| *inherits), "{crates:?}");
}
