//! The whole path on one core: decoding, attribution, detection, alerting.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::policy::{DepartmentTable, PolicyBook};
use geophone::sigma::{RuleSet, Source, UnknownFields, load};
use geophone::time::{EventTime, Now};

use super::Records;

pub fn settings() -> EngineSettings {
    let rows = ["legal", "compliance", "finance", "marketing", "engineering", "research"];
    EngineSettings {
        policy: Arc::new(PolicyBook::of_table(DepartmentTable::new(
            rows.map(|name| (name.to_owned(), vec!["anthropic.*".to_owned(), "amazon.*".to_owned(), "*".to_owned()])),
        ))),
        dedup_capacity: 1 << 18,
        ..EngineSettings::default()
    }
}

/// Runs all records through a new engine and returns how many calls it settled.
pub fn run(engine: &mut Engine, records: &Records) -> u64 {
    let (mut decoder, mut observer) = (Decoder::new(Limits::default()), Observer::new(Arc::default()));
    let mut report = Report::default();
    take(engine, &mut decoder, &mut observer, records, &mut report, EventTime::MIN);
    settled(&report)
}

fn take(
    engine: &mut Engine,
    decoder: &mut Decoder,
    observer: &mut Observer,
    records: &Records,
    report: &mut Report,
    from: EventTime,
) -> EventTime {
    let (input, mut now) = (engine.input("bench"), from);
    for record in &records.records {
        decoder.decode(record, &mut |item| {
            let observation = observer.observe(item.unwrap(), EventTime::from_unix(0));
            now = now.max(observation.time);
            engine.handle(input, observation, Now(now), report);
        });
        report.alerts.clear();
    }
    now
}

fn settled(report: &Report) -> u64 {
    report.counts.person + report.counts.unknown.values().sum::<u64>()
}

/// An engine that goes on, with its decoder and observer.
pub struct Running {
    engine: Engine,
    decoder: Decoder,
    observer: Observer,
    report: Report,
    now: EventTime,
}

impl Running {
    pub fn new(settings: EngineSettings, with_rules: bool) -> Self {
        let rules = if with_rules { Arc::new(shipped()) } else { Arc::default() };
        let settings = EngineSettings { rules: Arc::clone(&rules), ..settings };
        Self {
            engine: Engine::new(settings),
            decoder: Decoder::new(Limits { keep_text: with_rules, ..Limits::default() }),
            observer: Observer::with_rules(Arc::default(), rules),
            report: Report::default(),
            now: EventTime::MIN,
        }
    }

    pub fn take(&mut self, records: &Records) {
        self.now = take(&mut self.engine, &mut self.decoder, &mut self.observer, records, &mut self.report, self.now);
    }

    /// Only reads the records.
    pub fn decode(&mut self, records: &Records) {
        for record in &records.records {
            self.decoder.decode(record, &mut |item| drop(black_box(item)));
        }
    }

    /// Reads them, and makes of them what the engine takes.
    pub fn observe(&mut self, records: &Records) {
        let observer = &mut self.observer;
        for record in &records.records {
            self.decoder.decode(record, &mut |item| drop(black_box(observer.observe(item.unwrap(), EventTime::from_unix(0)))));
        }
    }

    pub fn settled(&self) -> u64 {
        settled(&self.report)
    }
}

/// The rules that are shipped.
fn shipped() -> RuleSet {
    let mut sources = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"), &mut sources);
    load(&sources, UnknownFields::Accept).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn collect(path: &Path, sources: &mut Vec<Source>) {
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path).unwrap().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| collect(entry, sources));
    } else if path.extension().is_some_and(|ending| ending == "yml") {
        sources.push(Source { file: path.display().to_string(), text: std::fs::read_to_string(path).unwrap() });
    }
}
