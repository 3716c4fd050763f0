//! The whole path of a process that has run for a while: every session is known, every actor has its table row. Floors and
//! whole path in turn, A B A B …, and the median of the ratios pair by pair; allocations are counted besides.
//!
//! `ratio` beside it measures the first minutes, in which most calls are of sessions that were never seen.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench measures by the clock, and fails by panicking")]

mod support;

use std::hint::black_box;
use std::time::Instant;

use support::Records;
use support::pipeline::Running;
use support::warm::{CHUNK, ROUNDS, WARMING, chunks};

fn main() {
    let with_rules = std::env::args().any(|word| word == "--rules");
    println!("warm whole path, {ROUNDS} rounds of {CHUNK} events in turn, rules: {with_rules}");
    measure("eventbridge", support::one_by_one, support::floor_eventbridge, with_rules);
    measure("cloudwatch-logs", support::batched, support::floor_cloudwatch_logs, with_rules);
}

fn measure(name: &str, wrap: fn(&[String]) -> Records, floor: fn(&Records) -> usize, with_rules: bool) {
    let mut chunks = chunks(name, support::IDENTITIES, wrap);
    let mut running = Running::new(support::pipeline::settings(), with_rules);
    chunks.by_ref().take(WARMING).for_each(|records| running.take(&records));
    let (mut floors, mut paths, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut decoding, mut observing) = (Vec::new(), Vec::new());
    for records in chunks {
        let started = Instant::now();
        black_box(floor(black_box(&records)));
        let floor_seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        running.decode(black_box(&records));
        let decode_seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        running.observe(black_box(&records));
        let observe_seconds = started.elapsed().as_secs_f64();
        let before = running.settled();
        let started = Instant::now();
        running.take(black_box(&records));
        let path_seconds = started.elapsed().as_secs_f64();
        assert!(running.settled() - before > records.events * 9 / 10, "calls are attributed, not dropped");
        floors.push(floor_seconds * 1e9 / records.events as f64);
        paths.push(path_seconds * 1e9 / records.events as f64);
        ratios.push(floor_seconds / path_seconds);
        decoding.push(decode_seconds * 1e9 / records.events as f64);
        observing.push((observe_seconds - decode_seconds) * 1e9 / records.events as f64);
    }
    let (floor, path, ratio) = (median(&mut floors), median(&mut paths), median(&mut ratios));
    let (decode, observe) = (median(&mut decoding), median(&mut observing));
    let engine = path - decode - observe;
    println!(
        "{name:<16} floor {floor:>6.0} ns   whole path {path:>6.0} ns (decode {decode:.0}, observe {observe:.0}, engine {engine:.0})   ratio {ratio:.2}"
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
