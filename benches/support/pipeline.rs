//! The whole path on one core: decoding, attribution, detection, alerting.

use std::sync::Arc;

use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::policy::{DepartmentTable, PolicyBook};
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
    let input = engine.input("bench");
    let (mut report, mut now) = (Report::default(), EventTime::MIN);
    for record in &records.records {
        decoder.decode(record, &mut |item| {
            let observation = observer.observe(item.unwrap(), EventTime::from_unix(0));
            now = now.max(observation.time);
            engine.handle(input, observation, Now(now), &mut report);
        });
        report.alerts.clear();
    }
    report.counts.person + report.counts.unknown.values().sum::<u64>()
}
