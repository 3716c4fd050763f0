//! The command line as a user meets it: exit codes, messages, and that nothing good is lost over something bad.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use geophone_company::{Attack, Company, CompanySettings, Event, wire};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::kinesis::Kinesis;
use crate::support::program::{Done, run, run_with_input};
use crate::support::records::{denied, granted};
use crate::support::sns::{Act, Closed, Sns, TOPIC};

const NOON: i64 = 1_780_315_200;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("inside")).expect("made");
    fs::write(&path, bytes).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Calls of one session, a second apart, as a CloudTrail file.
fn calls(session: &str, count: usize, call: fn(&str, usize, i64) -> String) -> Vec<u8> {
    let events: Vec<String> = (0..count).map(|n| call(session, n, NOON + i64::try_from(n).expect("small"))).collect();
    let texts: Vec<&str> = events.iter().map(String::as_str).collect();
    wire::records_gz(&texts)
}

fn replay(args: &[&str]) -> Done {
    run(&[&["replay"], args].concat())
}

fn alerts(done: &Done) -> Vec<Value> {
    done.stdout.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

#[test]
fn what_is_no_cloudtrail_at_all_is_65_and_named() {
    let folder = folder();
    let noise: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let deep = format!("{}1", "[".repeat(100_000));
    for (name, bytes, reason) in [
        ("noise.json", noise, "invalid-json"),
        ("empty.json", Vec::new(), "empty"),
        ("blank.json", b" \n\t\n".to_vec(), "empty"),
        ("deep.json", deep.into_bytes(), "nested-too-deep"),
        ("other.json", br#"{"hello":"world"}"#.to_vec(), "not-cloudtrail"),
        ("not-utf8.json", b"{\"eventName\":\"\xff\xfe".to_vec(), "invalid-json"),
    ] {
        let path = write(&folder, name, bytes);
        replay(&[text(&path)]).expect(65).says(&[text(&path), reason, "nothing in the input is a CloudTrail event"]);
    }
}

#[test]
fn a_folder_without_logs_is_65_and_says_what_was_passed_over() {
    let folder = folder();
    write(&folder, "notes.txt", "buy milk");
    replay(&[text(folder.path())]).expect(65).says(&["passed over", "nothing in the input"]);
}

#[test]
fn a_folder_with_other_files_in_it_gives_its_logs() {
    let folder = folder();
    write(&folder, "AWSLogs/CloudTrail/eu/one.json.gz", calls("ASIAONE", 3, denied));
    write(&folder, "AWSLogs/CloudTrail-Digest/eu/digest.json.gz", "no log");
    write(&folder, "notes.txt", "buy milk");
    write(&folder, "photo.jpg", [0xff, 0xd8]);
    let done = replay(&["--format", "ndjson", text(folder.path())]).expect(0).says(&["passed over 3, no CloudTrail logs", "3 events"]);
    assert_eq!(alerts(&done)[0]["detector"], "access-denied");
}

#[test]
fn good_events_beside_damaged_ones_are_kept_and_the_damage_is_named() {
    let folder = folder();
    write(&folder, "good.json.gz", calls("ASIAGOOD", 5, denied));
    let whole = calls("ASIACUT", 2_000, granted);
    let cut = write(&folder, "cut.json.gz", &whole[..whole.len() / 2]);
    let long = denied("ASIALONG", 0, NOON).replace("aws-sdk-rust", &"x".repeat(10 << 20));
    let long = write(&folder, "long.json", long);
    let lines = [granted("ASIALINE", 0, NOON), "{broken".to_owned(), granted("ASIALINE", 1, NOON)].join("\n");
    let lines = write(&folder, "lines.jsonl", lines);
    let summary = folder.path().join("summary.json");
    replay(&["--format", "ndjson", "--summary", text(&summary), text(folder.path())]).expect(0).says(&[
        text(&cut),
        "damaged-gzip",
        text(&long),
        "event-too-large",
        text(&lines),
        "invalid-json",
        "3 undecodable",
    ]);
    let summary: Value = serde_json::from_slice(&fs::read(summary).expect("written")).expect("JSON");
    let events = summary["events"].as_u64().expect("a number");
    // Five of the good file, two of the lines, and what could be saved from the first half of the cut file.
    assert!((500..2_000).contains(&events), "{events} events");
    assert_eq!(summary["alerts_by_detector"]["access-denied"], 1);
}

#[test]
fn a_missing_path_is_66_and_named() {
    replay(&["no/such/logs"]).expect(66).says(&["no/such/logs"]);
}

#[test]
fn fail_on_is_1_only_from_that_severity_on() {
    let folder = folder();
    let path = write(&folder, "burst.json.gz", calls("ASIABURST", 60, denied));
    replay(&["--fail-on", "high", text(&path)]).expect(1);
    replay(&["--fail-on", "critical", text(&path)]).expect(0);
    replay(&[text(&path)]).expect(0);
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    run(&["replay", "--no-such-flag", "x"]).expect(64).says(&["--no-such-flag", "Usage"]);
    run(&["replay"]).expect(64).says(&["PATH"]);
    run(&["replay", "--fail-on", "awful", "x"]).expect(64).says(&["awful", "informational, low, medium, high, critical"]);
    run(&["listen"]).expect(64).says(&["listen"]);
    assert!(run(&["--help"]).expect(0).stdout.contains("replay"));
    assert!(run(&["--version"]).expect(0).stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn five_mistakes_are_told_at_once_with_line_and_cure() {
    let folder = folder();
    let config = write(
        &folder,
        "geophone.toml",
        "[time]\nlatness = \"15m\"\n[detect.access-denied]\nmode = \"pge\"\n[http]\nlisten = \"0.0.0.0:80\"\n\
         [[streams]]\nregion = \"us-east-1\"\n[[topics]]\narn = \"pager\"\n",
    );
    for command in ["check", "run"] {
        let done = run(&[command, "--config", text(&config)]).expect(78);
        let lines: Vec<&str> = done.stderr.lines().collect();
        assert_eq!(lines.len(), 5, "{}", done.stderr);
        for (line, (number, key, cure)) in lines.iter().zip([
            (2, "time.latness", "did you mean \"lateness\"?"),
            (4, "detect.access-denied.mode", "choose one of \"page\", \"report\", \"off\""),
            (6, "http.listen", "listen on 127.0.0.1"),
            (7, "streams[0].name", "name the stream"),
            (10, "topics[0].arn", "aws sns list-topics"),
        ]) {
            assert!(line.contains(&format!("{}:{number}: {key}: ", text(&config))) && line.contains(cure), "{line}");
        }
    }
}

#[test]
fn a_missing_configuration_is_66_and_a_right_one_is_0() {
    for command in ["check", "run"] {
        run(&[command, "--config", "no/such.toml"]).expect(66).says(&["no/such.toml", "--config"]);
    }
    let folder = folder();
    let config = write(&folder, "geophone.toml", "[departments.legal]\nmodels = [\"anthropic.claude-*\"]\n");
    let done = run(&["check", "--config", text(&config)]).expect(0);
    assert!(done.stdout.contains("no mistakes") && done.stdout.contains("no [[streams]]"), "{}", done.stdout);
}

/// A configuration with its state inside the folder.
fn config(folder: &TempDir, rest: &str) -> PathBuf {
    let state = folder.path().join("state");
    write(folder, "geophone.toml", format!("{rest}\n[state]\nfolder = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n", state.display()))
}

fn stream(endpoint: &str) -> String {
    format!("[[streams]]\nname = \"trail\"\nendpoint = \"{endpoint}\"\n")
}

#[test]
fn run_without_streams_is_78() {
    let folder = folder();
    run(&["run", "--config", text(&config(&folder, ""))]).expect(78).says(&["[[streams]]"]);
}

#[tokio::test]
async fn run_against_nobody_is_69_before_long() {
    let folder = folder();
    let nobody = Closed::reserve();
    let done = run(&["run", "--config", text(&config(&folder, &stream(&nobody.endpoint)))]).expect(69);
    assert!(done.took.as_secs() < 40, "{:?}", done.took);
    done.says(&["stream \"trail\"", &nobody.endpoint, "check network, endpoint, region and credentials"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_with_a_topic_that_does_not_exist_is_69() {
    let folder = folder();
    let kinesis = Kinesis::with_stream("trail", 1).await;
    let sns = Sns::scripted(|_| Act::Refuse(404, "NotFound"));
    let topic = format!("[[topics]]\narn = \"{TOPIC}\"\nendpoint = \"{}\"\n", sns.endpoint);
    let config = config(&folder, &(stream(&kinesis.endpoint) + &topic));
    run(&["run", "--config", text(&config)]).expect(69).says(&[TOPIC, "does not exist", "[[topics]] arn"]);
}

/// SNS would answer with `InvalidParameter`, which alone sends nobody the right way: it is told before SNS is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_with_a_topic_of_another_region_names_the_region() {
    let folder = folder();
    let kinesis = Kinesis::with_stream("trail", 1).await;
    let sns = Sns::scripted(|_| Act::Refuse(400, "InvalidParameter"));
    let topic = format!("[[topics]]\narn = \"{TOPIC}\"\nregion = \"eu-west-1\"\nendpoint = \"{}\"\n", sns.endpoint);
    let config = config(&folder, &(stream(&kinesis.endpoint) + &topic));
    run(&["run", "--config", text(&config)]).expect(78).says(&["topics[0].region", "eu-west-1", "us-east-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_on_a_taken_address_is_69_and_names_it() {
    let folder = folder();
    let kinesis = Kinesis::with_stream("trail", 1).await;
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = (taken.local_addr().expect("bound").to_string(), taken);
    let text_of = format!(
        "{}[state]\nfolder = \"{}\"\n[http]\nlisten = \"{}\"\n",
        stream(&kinesis.endpoint),
        folder.path().join("state").display(),
        taken.0
    );
    let config = write(&folder, "geophone.toml", text_of);
    run(&["run", "--config", text(&config)]).expect(69).says(&[&taken.0, "[http] listen"]);
}

#[test]
fn replay_reads_standard_input() {
    let done = run_with_input(&["replay", "--format", "ndjson", "-"], &calls("ASIASTDIN", 2, denied)).expect(0);
    let alert = &alerts(&done)[0];
    assert_eq!((&alert["detector"], &alert["actor"]["access_key_id"]), (&"access-denied".into(), &"ASIASTDIN".into()));
    run_with_input(&["replay", "-"], b"").expect(65);
}

#[test]
fn the_summary_has_the_promised_keys() {
    let folder = folder();
    let path = write(&folder, "calls.json.gz", calls("ASIASUM", 4, denied));
    let summary = folder.path().join("summary.json");
    replay(&["--summary", text(&summary), text(&path)]).expect(0);
    let summary: Value = serde_json::from_slice(&fs::read(summary).expect("written")).expect("JSON");
    let keys: Vec<&str> = summary.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut promised = [
        "records",
        "events",
        "invocations",
        "duplicates",
        "undecodable",
        "late",
        "out_of_order",
        "attributed",
        "findings_by_detector",
        "alerts_by_detector",
        "seconds",
        "events_per_second",
    ];
    promised.sort_unstable();
    assert_eq!(keys, promised);
    assert_eq!((summary["records"].as_u64(), summary["events"].as_u64()), (Some(1), Some(4)));
    assert_eq!(summary["findings_by_detector"]["access-denied"], 4);
    for key in ["person", "department", "unknown_by_reason"] {
        assert!(!summary["attributed"][key].is_null(), "{key}");
    }
    let unwritable = folder.path().join("no/such/folder.json");
    replay(&["--summary", text(&unwritable), text(&path)]).expect(73).says(&[text(&unwritable)]);
}

/// A day of a small company, with an attack, over three files that overlap in time.
fn company_files(folder: &TempDir) -> (PathBuf, [PathBuf; 3]) {
    let mut company = Company::new(CompanySettings { people: 14, ..CompanySettings::default() });
    let mut events: Vec<Event> = company.day(0);
    events.extend(company.attack(Attack::DeniedProbe, company.settings().first_day + 11 * 3_600));
    events.extend(company.attack(Attack::LlmJacking, company.settings().first_day + 15 * 3_600));
    events.sort_by_key(|event| event.arrival);
    let files = [0, 1, 2].map(|part| {
        let texts: Vec<&str> = events.iter().skip(part).step_by(3).map(|event| event.json.as_str()).collect();
        write(folder, &format!("part-{part}.json.gz"), wire::records_gz(&texts))
    });
    write(folder, "people.csv", company.directory_csv());
    let mut config = String::from("[identity]\ndirectory = \"people.csv\"\n");
    for department in company.departments() {
        config.push_str(&format!("[departments.{}]\nmodels = {:?}\n", department.name, department.models));
    }
    let config = write(folder, "geophone.toml", config);
    (config, files)
}

#[test]
fn the_order_of_paths_changes_nothing() {
    let folder = folder();
    let (config, [a, b, c]) = company_files(&folder);
    let in_order = |paths: [&PathBuf; 3]| {
        let paths = paths.map(|path| text(path));
        replay(&[&["--config", text(&config), "--format", "ndjson", "--findings"], &paths[..]].concat()).expect(0).stdout
    };
    let forth = in_order([&a, &b, &c]);
    assert!(forth.lines().filter(|line| line.contains("\"alert_id\"")).count() >= 2, "{forth}");
    assert_eq!(forth, in_order([&c, &b, &a]));
    assert_eq!(forth, in_order([&b, &c, &a]));
}

#[test]
fn warm_leaves_state_that_a_second_warm_does_not_touch() {
    let folder = folder();
    let (_, [history, ..]) = company_files(&folder);
    let config = config(&folder, "");
    let warm = |path: &Path| run(&["warm", "--config", text(&config), text(path)]);
    warm(Path::new("no/such/history")).expect(66).says(&["no/such/history"]);
    let nothing = write(&folder, "nothing.json", "{}");
    warm(&nothing).expect(65).says(&[text(&nothing)]);

    warm(&history).expect(0).says(&["baselines of"]);
    let listing = || {
        let entries = fs::read_dir(folder.path().join("state")).expect("a folder").flatten();
        let mut names: Vec<(String, u64)> =
            entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("a file").len())).collect();
        names.sort();
        names
    };
    let before = listing();
    assert!(before.iter().any(|(name, bytes)| name.starts_with("snapshot-") && *bytes > 0), "{before:?}");
    warm(&history).expect(73).says(&["holds state already", "warm a new folder"]);
    assert_eq!(listing(), before);
}

#[test]
fn the_demo_pages_the_attackers_and_nobody_else() {
    let done = run(&["demo", "--duration", "12s", "--format", "ndjson"]).expect(0);
    let alerts = alerts(&done);
    for detector in ["access-denied", "cross-department", "invocation-spike"] {
        assert!(alerts.iter().any(|alert| alert["detector"] == detector), "no {detector}:\n{}", done.stderr);
    }
    done.says(&[" 0 about anybody else", "Kinesis records", "events/s", "messages delivered through SNS"]);
}
