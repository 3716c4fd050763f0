//! Golden scenarios: every folder of `tests/data/scenarios` holds `events.ndjson` and `settings.toml`, and what must come
//! out of them as `expected.ndjson`. To accept a wanted change run with `ACCEPT_GOLDEN=1` and read the diff.

use std::fs;
use std::path::PathBuf;

use geophone::alerting::Alert;
use geophone::config::Settings;
use geophone::detect::{DetectorSettings, Mode};
use geophone::finding::DetectorId;
use geophone_company::{Attack, Company, CompanySettings};

use crate::support::story::{self, Told};

fn scenarios() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/scenarios")
}

#[test]
fn every_scenario_gives_its_golden_alerts() {
    let mut folders: Vec<_> = fs::read_dir(scenarios()).expect("scenarios").flatten().map(|entry| entry.path()).collect();
    folders.sort();
    assert!(folders.len() >= 6, "scenarios are missing");
    for folder in folders {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let settings = Settings::parse(&read("settings.toml")).expect("valid settings");
        let mut observations = story::observe(read("events.ndjson").as_bytes());
        observations.sort_by_key(|observation| observation.time);
        let told = story::play(&settings.engine, observations);
        let lines: String = told.alerts.iter().map(|alert| alert.to_ndjson() + "\n").collect();
        if std::env::var_os("ACCEPT_GOLDEN").is_some() {
            fs::write(folder.join("expected.ndjson"), &lines).expect("written");
        }
        assert_eq!(lines, read("expected.ndjson"), "{}", folder.display());
    }
}

/// A company with four weeks of history, then one attack at 11:00.
fn attacked(attack: Attack) -> (Told, Told, Vec<String>) {
    let mut company = Company::new(CompanySettings { people: 30, seed: 11, ..CompanySettings::default() });
    let settings = story::settings(&company);
    let mut engine = geophone::engine::Engine::new(settings);
    let mut benign = Told::default();
    for day in 0..28 {
        let mut events = company.day(day);
        events.sort_by_key(|event| event.arrival);
        let told = story::feed(&mut engine, story::observations(&events));
        benign.alerts.extend(told.alerts);
    }
    let day = company.day(28);
    let played = company.attack(attack, company.settings().first_day + 28 * 86_400 + 11 * 3_600);
    let actors = played.iter().filter_map(|event| event.label.as_ref()).map(|label| label.actor.clone()).collect();
    let mut events = [day, played].concat();
    events.sort_by_key(|event| event.arrival);
    let told = story::feed(&mut engine, story::observations(&events));
    (benign, told, actors)
}

fn is_about(alert: &Alert, actors: &[String]) -> bool {
    let who = &alert.who;
    let names = [who.person.as_deref().unwrap_or(""), &who.actor.name, &who.access_key_id];
    actors.iter().any(|actor| names.contains(&actor.as_str()) || who.arn.ends_with(&format!("/{actor}")))
}

#[test]
fn attacks_are_noticed_and_honest_work_is_not() {
    for (attack, detector) in [
        (Attack::DeniedProbe, "access-denied"),
        (Attack::ModelNotEnabled, "access-denied"),
        (Attack::CrossDepartment, "cross-department"),
        (Attack::InvocationBurst, "invocation-spike"),
        (Attack::LlmJacking, "unattributed"),
        (Attack::BearerKey, "unattributed"),
    ] {
        let (benign, told, actors) = attacked(attack);
        let hits: Vec<_> =
            told.opened().into_iter().filter(|alert| alert.detector.label() == detector && is_about(alert, &actors)).collect();
        assert!(!hits.is_empty(), "{attack}: no {detector} alert about {actors:?} in {:?}", told.opened());
        // The company has one legacy key; that it is in use is said once, in its first week.
        let pages = |detector| DetectorSettings::default().mode(detector) == Mode::Page && detector != DetectorId::Unattributed;
        let noise: Vec<_> = benign.opened().into_iter().filter(|alert| pages(alert.detector)).collect();
        assert!(noise.is_empty(), "{attack}: {noise:?}");
    }
}
