//! The whole path on one core beside the floor: decode, attribution, detection, alerting. A fresh engine each time, so
//! that nothing is skipped as a duplicate.

#![allow(missing_docs, clippy::unwrap_used, reason = "benches fail by panicking")]

mod support;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use geophone::engine::Engine;
use std::hint::black_box;
use support::Records;
use support::pipeline::{run, settings};

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
