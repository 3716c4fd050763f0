//! The ratio that matters, in a form that a drifting machine cannot bend: floor and whole path in turn, A B A B …, and the
//! median of the ratios pair by pair.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench measures by the clock, and fails by panicking")]

mod support;

use std::hint::black_box;
use std::time::Instant;

use geophone::engine::Engine;
use support::Records;
use support::pipeline::{run, settings};

const ROUNDS: usize = 21;

fn main() {
    println!("whole path beside the floor, {ROUNDS} rounds in turn, {} events each", support::EVENTS);
    measure("eventbridge", &support::eventbridge(), support::floor_eventbridge);
    measure("cloudwatch-logs", &support::cloudwatch_logs(), support::floor_cloudwatch_logs);
}

fn measure(name: &str, records: &Records, floor: fn(&Records) -> usize) {
    let (mut floors, mut paths, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        black_box(floor(black_box(records)));
        let floor_seconds = started.elapsed().as_secs_f64();
        // Made before the clock starts: a daemon makes its engine once.
        let mut engine = Engine::new(settings());
        let started = Instant::now();
        black_box(run(&mut engine, black_box(records)));
        let path_seconds = started.elapsed().as_secs_f64();
        floors.push(records.events as f64 / floor_seconds);
        paths.push(records.events as f64 / path_seconds);
        ratios.push(floor_seconds / path_seconds);
    }
    let (floor, path, ratio) = (median(&mut floors), median(&mut paths), median(&mut ratios));
    println!("{name:<16} floor {floor:>8.0} events/s   whole path {path:>8.0} events/s   ratio {ratio:.2}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
