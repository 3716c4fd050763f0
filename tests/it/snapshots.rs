//! Snapshots across versions: what the version before wrote is read, and detection goes on from it.

use std::fs;
use std::path::{Path, PathBuf};

use geophone::alerting::{Alert, Page, Paging, PagingSettings, Scope, Silence};
use geophone::engine::{Engine, EngineSettings};
use geophone::snapshot::{self, Snapshot};
use geophone::time::EventTime;
use geophone_company::{Attack, Company, CompanySettings};

use crate::support::story;

const PEOPLE: usize = 4;
const DAYS: u32 = 2;

fn golden(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/snapshots/v{version}.bin"))
}

fn company() -> Company {
    Company::new(CompanySettings { people: PEOPLE, seed: 5, ..CompanySettings::default() })
}

fn settings(company: &Company) -> EngineSettings {
    EngineSettings { dedup_capacity: 1 << 11, ..story::settings(company) }
}

/// Two days of a small company with an attack, a silence, and a page that is under way.
fn sample() -> Snapshot {
    let mut company = company();
    let mut engine = Engine::new(settings(&company));
    let mut events: Vec<_> = (0..DAYS).flat_map(|day| company.day(day)).collect();
    let noon = company.settings().first_day + i64::from(DAYS - 1) * 86_400 + 12 * 3_600;
    events.extend(company.attack(Attack::InvocationBurst, noon));
    events.sort_by_key(|event| event.arrival);
    let told = story::feed(&mut engine, story::observations(&events));
    let now = EventTime::from_unix(noon);
    let (mut paging, mut pages) = (Paging::new(PagingSettings { hourly: 1 }), Vec::new());
    let scope = Scope { actor: Some("batch*".into()), ..Scope::default() };
    let silence = Silence::new(scope, "kim", "load test", now, now.plus(3_600)).expect("a silence");
    paging.silence(silence, now).expect("room");
    paging.take_all(told.alerts, now, &mut pages);
    pages.retain(|page| matches!(page, Page::Alert(_)));
    pages.truncate(2);
    Snapshot { engine: engine.image(), paging: paging.image(), outbox: pages, positions: Vec::new() }
}

/// Writes the golden file of this version where it is not there yet: once, when the version is new.
#[test]
fn this_version_has_a_golden_file() {
    let path = golden(snapshot::VERSION);
    if !path.exists() {
        fs::write(&path, snapshot::encode(&sample()).expect("encodes")).expect("written");
        panic!("{} was written: commit it, and never change it again", path.display());
    }
}

#[test]
fn this_version_and_the_one_before_are_read_and_detection_goes_on() {
    for version in [snapshot::VERSION - 1, snapshot::VERSION] {
        let read = snapshot::decode(&fs::read(golden(version)).expect("a golden file")).expect("readable");
        let under_way: Vec<&Alert> =
            read.outbox.iter().filter_map(|page| if let Page::Alert(alert) = page { Some(&**alert) } else { None }).collect();
        assert_eq!(under_way.len(), 2, "version {version}");
        assert!(under_way.iter().all(|alert| alert.event_count > 0 && !alert.who.actor.name.is_empty()), "{under_way:?}");
        let mut paging = Paging::new(PagingSettings { hourly: 1 });
        paging.restore(read.paging);
        assert_eq!(paging.silences().len(), 1);
        let mut company = company();
        let mut engine = Engine::restore(settings(&company), read.engine);
        assert!(engine.gauges().tables.actors >= PEOPLE && engine.shared().grants() > 0, "{:?}", engine.gauges());
        // What was seen is known, and the next day is counted.
        let history: Vec<_> = (0..DAYS).flat_map(|day| company.day(day)).collect();
        let latest = &history[history.len() - 200..];
        assert_eq!(story::feed(&mut engine, story::observations(latest)).counts.duplicates, 200);
        let next = company.day(DAYS);
        assert_eq!(story::feed(&mut engine, story::observations(&next)).counts.duplicates, 0);
        // It keeps its bytes: nothing is lost on the way through this version.
        let again = |mut engine: Engine| {
            engine.input("test");
            snapshot::encode(&Snapshot { engine: engine.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() })
        };
        let bytes = again(engine).expect("encodes");
        let back = snapshot::decode(&bytes).expect("readable");
        assert!(again(Engine::restore(settings(&company), back.engine)).expect("encodes") == bytes);
    }
}
