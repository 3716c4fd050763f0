//! Decoding alone, beside the floor: bytes to typed events for each envelope.

#![allow(missing_docs, clippy::unwrap_used, reason = "benches fail by panicking")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use geophone::cloudtrail::{Decoder, Limits};
use support::Records;

fn decode(records: &Records) -> usize {
    let mut decoder = Decoder::new(Limits::default());
    let mut sum = 0;
    for record in &records.records {
        decoder.decode(record, &mut |item| sum += item.unwrap().event.event_id.as_str().len());
    }
    sum
}

fn bench(c: &mut Criterion) {
    for (name, records, floor) in [
        ("eventbridge", support::eventbridge(), support::floor_eventbridge as fn(&Records) -> usize),
        ("cloudwatch-logs", support::cloudwatch_logs(), support::floor_cloudwatch_logs),
    ] {
        assert_eq!(decode(&records), floor(&records), "both read the same ids");
        let mut group = c.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Elements(records.events)).sample_size(20).sampling_mode(SamplingMode::Flat);
        group.bench_function("floor", |b| b.iter(|| floor(black_box(&records))));
        group.bench_function("decode", |b| b.iter(|| decode(black_box(&records))));
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
