//! History before the first live day: `warm` calibrates the baselines, `backtest --input cloudtrail` judges the past, and
//! `explain` tells what an alert was made of.

use std::fs;
use std::path::{Path, PathBuf};

use geophone::alerting::Alert;
use geophone::config::Settings;
use geophone::engine::Engine;
use geophone::finding::DetectorId;
use geophone::snapshot;
use geophone_company::{Attack, Company, CompanySettings, Event, wire};
use tempfile::TempDir;

use crate::support::calls::of;
use crate::support::program::{run, run_with_input};
use crate::support::story;

const DAYS: u32 = 42;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A company's history as a week a file, and its live day with a burst at eleven.
fn company(folder: &TempDir) -> (Vec<PathBuf>, Vec<Event>, Vec<String>) {
    let mut company = Company::new(CompanySettings { people: 30, seed: 11, ..CompanySettings::default() });
    let mut files = Vec::new();
    for week in 0..DAYS / 7 {
        let mut events: Vec<Event> = (0..7).flat_map(|day| company.day(week * 7 + day)).collect();
        events.sort_by_key(|event| event.arrival);
        let texts: Vec<&str> = events.iter().map(|event| event.json.as_str()).collect();
        let file = folder.path().join(format!("week-{week}.json.gz"));
        fs::write(&file, wire::records_gz(&texts)).expect("written");
        files.push(file);
    }
    let day = company.day(DAYS);
    let played = company.attack(Attack::InvocationBurst, company.settings().first_day + i64::from(DAYS) * 86_400 + 11 * 3_600);
    let actors = played.iter().filter_map(|event| event.label.as_ref()).map(|label| label.actor.clone()).collect();
    let mut live = [day, played].concat();
    live.sort_by_key(|event| event.arrival);
    (files, live, actors)
}

fn config(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("geophone.toml");
    fs::write(&path, format!("[state]\nfolder = \"{}\"\n", folder.path().join("state").display())).expect("written");
    path
}

fn warmed(folder: &TempDir, settings: &Settings) -> Engine {
    let entries = fs::read_dir(folder.path().join("state")).expect("a folder").flatten();
    let snapshot = entries.map(|entry| entry.path()).find(|path| path.display().to_string().contains("snapshot-")).expect("a snapshot");
    let snapshot = snapshot::decode(&fs::read(snapshot).expect("readable")).expect("whole");
    Engine::restore(settings.engine.clone(), snapshot.engine)
}

fn is_about(alert: &Alert, actors: &[String]) -> bool {
    actors.iter().any(|actor| alert.who.person.as_deref() == Some(actor) || *alert.who.actor.name == **actor)
}

#[test]
fn after_warming_over_42_days_the_first_live_day_is_judged() {
    let folder = TempDir::new().expect("a folder");
    let (files, live, actors) = company(&folder);
    let config = config(&folder);
    let paths: Vec<&str> = files.iter().map(|file| text(file)).collect();
    run(&[&["warm", "--config", text(&config)], &paths[..]].concat()).expect(0).says(&["baselines of"]);
    let settings = Settings::parse(&fs::read_to_string(&config).expect("readable")).expect("valid");

    let mut engine = warmed(&folder, &settings);
    let (days, needed) = engine.gauges().baseline_days;
    assert!(days >= 40 && needed == 14, "{days} of {needed}");
    let told = story::feed(&mut engine, story::observations(&live));
    let spikes = of(&told, DetectorId::InvocationSpike);
    assert!(!spikes.is_empty() && spikes.iter().all(|alert| is_about(alert, &actors)), "{actors:?}: {spikes:?}");
    let history = spikes[0].history.as_ref().expect("the days before");
    assert!(history.busiest_hours.len() == 28 && history.busiest_hours.iter().any(|hour| *hour > 0.0), "{history:?}");

    // Without history it says nothing, and says so.
    let mut cold = Engine::new(settings.engine);
    let told = story::feed(&mut cold, story::observations(&live));
    assert!(of(&told, DetectorId::InvocationSpike).is_empty());
    assert_eq!(cold.gauges().baseline_days.0, 0);

    // What made an alert can be asked for: from its lines, by the beginning of its id.
    let line = spikes[0].to_ndjson() + "\n";
    let id = spikes[0].alert_id.to_string();
    let explained = run_with_input(&["explain", &id[..8], "-"], line.as_bytes()).expect(0).stdout;
    for part in [&*spikes[0].title, "busiest hour of the 28 days up to", "calls_10m", "docs/runbook/invocation-spike.md"] {
        assert!(explained.contains(part), "{part} in {explained}");
    }
    run_with_input(&["explain", "00000000", "-"], line.as_bytes()).expect(66).says(&["no alert 00000000"]);
    run(&["explain", &id, "--daemon", "http://127.0.0.1:9"]).expect(69).says(&["127.0.0.1:9", "geophone run"]);
}

#[test]
fn cloudtrail_files_are_judged_as_counts_are() {
    let folder = TempDir::new().expect("a folder");
    let (mut files, live, actors) = company(&folder);
    let texts: Vec<&str> = live.iter().map(|event| event.json.as_str()).collect();
    files.push(folder.path().join("live.json.gz"));
    fs::write(&files[files.len() - 1], wire::records_gz(&texts)).expect("written");
    let (out, scores) = (folder.path().join("alerts.ndjson"), folder.path().join("scores.csv"));
    let mut args =
        vec!["backtest", "--input", "cloudtrail", "--compare-budget", "0.1", "--out", text(&out), "--scores", text(&scores), "--data"];
    args.extend(files.iter().map(|file| text(file)));
    let done = run(&args).expect(0);
    done.says(&["rows of", "identity-days alerted"]);
    let alerts = fs::read_to_string(&out).expect("written");
    let about = |actor: &String| alerts.lines().any(|line| line.contains(&format!("person:{actor}")));
    assert!(actors.iter().any(about), "{actors:?} in {alerts}");
    assert!(fs::read_to_string(&scores).expect("written").lines().count() > 100);
    // Bad input is told, and is no calls.
    let nothing = folder.path().join("nothing.json");
    fs::write(&nothing, "{}").expect("written");
    run(&["backtest", "--input", "cloudtrail", "--data", text(&nothing)]).expect(65).says(&["no row could be read"]);
    run(&["backtest", "--data", text(&nothing), text(&nothing)]).expect(64).says(&["counts come as one file"]);
}
