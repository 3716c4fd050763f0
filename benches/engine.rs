//! The whole path on one core beside the floor: decode, attribution, detection, alerting. A fresh engine each time, so
//! that nothing is skipped as a duplicate.

#![allow(missing_docs, clippy::unwrap_used, reason = "benches fail by panicking")]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::policy::DepartmentTable;
use geophone::time::{EventTime, Now};
use support::Records;

fn settings() -> EngineSettings {
    let rows = ["legal", "compliance", "finance", "marketing", "engineering", "research"];
    EngineSettings {
        departments: Arc::new(DepartmentTable::new(
            rows.map(|name| (name.to_owned(), vec!["anthropic.*".to_owned(), "amazon.*".to_owned(), "*".to_owned()])),
        )),
        dedup_capacity: 1 << 18,
        ..EngineSettings::default()
    }
}

/// Runs all records through a new engine and returns how many calls it settled.
fn run(engine: &mut Engine, records: &Records) -> u64 {
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

fn bench(c: &mut Criterion) {
    for (name, records, floor) in [
        ("eventbridge", support::eventbridge(), support::floor_eventbridge as fn(&Records) -> usize),
        ("cloudwatch-logs", support::cloudwatch_logs(), support::floor_cloudwatch_logs),
    ] {
        let settled = run(&mut Engine::new(settings()), &records);
        assert!(settled > records.events / 2, "calls are attributed, not dropped: {settled}");
        let mut group = c.benchmark_group(format!("engine/{name}"));
        group.throughput(Throughput::Elements(records.events)).sample_size(20).sampling_mode(SamplingMode::Flat);
        group.bench_function("floor", |b| b.iter(|| floor(black_box(&records))));
        group.bench_function("pipeline", |b| {
            b.iter_batched_ref(|| Engine::new(settings()), |engine| run(engine, black_box(&records)), BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
