//! Reading records of CloudTrail, beside serde_json and the copying of the bytes. Only ratios within one run mean anything.

#![allow(missing_docs, clippy::unwrap_used, reason = "benches fail by panicking")]

mod record;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use geophone_company::load::Load;
use geophone_json::{Index, Level, unescape_at};
use record::Record;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// So many that branches are not learnt by heart, and few enough for the second cache.
const RECORDS: usize = 100;

fn texts() -> Vec<String> {
    Load::new(3, 20_000).take(RECORDS).map(|event| event.json).collect()
}

/// What a record becomes as a string within JSON, without the quotes around it.
fn escaped(text: &str) -> String {
    let string = serde_json::to_string(text).unwrap();
    string[1..string.len() - 1].to_owned()
}

fn read(c: &mut Criterion) {
    let texts = texts();
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
    let mut copy = Vec::with_capacity(1 << 16);
    group.bench_function("memcpy", |b| {
        b.iter(|| {
            for text in black_box(&texts) {
                copy.clear();
                copy.extend_from_slice(text.as_bytes());
                black_box(&copy);
            }
        });
    });
    group.bench_function("serde_json/ignored", |b| {
        b.iter(|| black_box(&texts).iter().map(|text| serde_json::from_str::<IgnoredAny>(text).is_ok() as usize).sum::<usize>());
    });
    group.bench_function("serde_json/typed", |b| {
        b.iter(|| black_box(&texts).iter().map(|text| serde_json::from_str::<Record<'_>>(text).unwrap().size()).sum::<usize>());
    });
    for level in Level::all() {
        let mut index = Index::at(level);
        group.bench_function(format!("{level}/checked"), |b| {
            b.iter(|| black_box(&texts).iter().map(|text| index.read(text).is_ok() as usize).sum::<usize>());
        });
        group.bench_function(format!("{level}/typed"), |b| {
            b.iter(|| {
                let mut size = |text| Record::deserialize(&mut index.read(text).unwrap()).unwrap().size();
                black_box(&texts).iter().map(|text| size(text)).sum::<usize>()
            });
        });
    }
    group.finish();
}

fn unescape(c: &mut Criterion) {
    let texts: Vec<String> = texts().iter().map(|text| escaped(text)).collect();
    let strings: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    let mut group = c.benchmark_group("unescape");
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
    group.bench_function("serde_json", |b| {
        b.iter(|| black_box(&strings).iter().map(|text| serde_json::from_str::<String>(text).unwrap().len()).sum::<usize>());
    });
    for level in Level::all() {
        let mut out = String::new();
        group.bench_function(level.to_string(), |b| {
            b.iter(|| {
                for text in black_box(&texts) {
                    out.clear();
                    unescape_at(level, text, &mut out).unwrap();
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read, unescape);
criterion_main!(benches);
