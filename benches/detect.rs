//! What the learning detectors cost a call: counting it, and judging every moment that it changes.
//!
//! 5,000 actors with thirty days of history, called by a harmonic law over an hour: a few are busy, most are not.

#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "benches fail by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use geophone::baseline::{Fleet, FleetSettings, Sight, Spent};
use geophone::identity::{ActorKey, ActorKind};
use geophone::state::{ActorState, Counted};
use geophone::time::EventTime;

const ACTORS: usize = 5_000;
const DAYS: i64 = 30;
const DRAWN: usize = 40_000;
const BUCKETS_A_DAY: i64 = 288;
const FIRST: i64 = 20_000 * BUCKETS_A_DAY;

struct Stage {
    fleet: Fleet,
    actors: Vec<ActorState>,
}

fn sight(actor: usize) -> Sight {
    Sight::of([&format!("10.0.{}", actor % 200), "us-east-1", ["claude", "nova", "llama"][actor % 3], "boto3"])
}

fn stage() -> Stage {
    let mut fleet = Fleet::new(FleetSettings::default());
    let departments: Vec<std::sync::Arc<str>> = (0..12).map(|n| format!("department-{n}").into()).collect();
    let mut actors: Vec<ActorState> = (0..ACTORS)
        .map(|n| {
            let cohort = fleet.cohort(Some(&departments[n % 12]), n % 10 == 0);
            ActorState::new(ActorKey::new(ActorKind::Person, format!("person-{n}")), cohort, EventTime::from_unix(FIRST * 300))
        })
        .collect();
    let mut counted = Counted::default();
    for day in 0..DAYS {
        for (n, actor) in actors.iter_mut().enumerate() {
            for call in 0..8i64 {
                let slot = FIRST + day * BUCKETS_A_DAY + 108 + (call * 11 + (n as i64 * 7 + day * 3) % 13);
                counted.clear();
                actor.count(slot, &sight(n), &fleet, true, &mut counted);
            }
        }
        fleet.begin_pass(FIRST / BUCKETS_A_DAY + day);
        for (n, actor) in actors.iter_mut().enumerate() {
            fleet.absorb(actor.cohort, &mut actor.baseline, n as u64);
        }
        fleet.finish_pass();
    }
    Stage { fleet, actors }
}

/// An hour of calls: who, and in which bucket.
fn drawn() -> Vec<(usize, i64)> {
    let harmonic: f64 = (1..=ACTORS).map(|rank| 1.0 / rank as f64).sum();
    let start = FIRST + DAYS * BUCKETS_A_DAY + 132;
    let mut state = 7u64;
    (0..DRAWN)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The inverse of the harmonic law, near enough: rank ~ exp(u · H).
            let rank = ((state >> 11) as f64 / (1u64 << 53) as f64 * harmonic).exp() as usize;
            (rank.min(ACTORS - 1), start + (n * 12 / DRAWN) as i64)
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let stage = stage();
    let calls = drawn();
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(DRAWN as u64)).sample_size(20);
    let sights: Vec<Sight> = (0..ACTORS).map(sight).collect();
    let mut counted = Counted::default();
    group.bench_function("invocation-spike", |b| {
        b.iter_batched_ref(
            || stage.actors.clone(),
            |actors| {
                for (who, slot) in &calls {
                    counted.clear();
                    actors[*who].count(*slot, &sights[*who], &stage.fleet, true, &mut counted);
                    black_box(&counted);
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("token-spend", |b| {
        b.iter_batched_ref(
            || stage.actors.clone(),
            |actors| {
                for (who, slot) in &calls {
                    counted.clear();
                    actors[*who].spend(*slot, Spent { micros: 4_000, tokens: 900 }, &stage.fleet, true, &mut counted);
                    black_box(&counted);
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
