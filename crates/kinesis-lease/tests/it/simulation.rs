//! Many workers over one lease table, in virtual time, with everything that goes wrong.
//!
//! What runs is the crate's own worker, tasks and all; the table, the stream and the network are a
//! model. Each seed is another history of puts, splits, merges, kills, restarts (some under the same
//! name), pauses and partitions beyond the failover time, lost requests, lost replies, requests that
//! arrive after everybody has given up on them, throttling. Over each history the model holds the
//! promises of [`leasing`](kinesis_lease::leasing) (see `world`), and after it, when all is calm,
//! that every shard is owned, every record settled, and the load even.
//!
//! The controls take one guard out each; a simulation that does not notice proves nothing.
//!
//! `LEASE_SEEDS=5000 cargo test -p kinesis-lease --test it simulation` runs more histories, and
//! `LEASE_SEED=17` one, the one that a failure names.

mod fleet;
mod world;

use std::time::Duration;

use fleet::{Fleet, Scenario};
use world::{Found, Sabotage};

/// Enough for a change that breaks something to show; more by hand.
const SEEDS: u64 = 300;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.into_string().ok()?.parse().ok());
    match number("LEASE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LEASE_SEEDS").unwrap_or(SEEDS),
    }
}

/// Runs one history in a virtual time of its own.
fn run(seed: u64, scenario: Scenario) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Fleet::new(seed, scenario).run().await })
}

fn hold(name: &str, scenario: Scenario) {
    let mut total = Found::default();
    let seeds = seeds();
    for seed in seeds.clone() {
        let found = run(seed, scenario);
        assert!(found.violations.is_empty(), "{name}, LEASE_SEED={seed}: {:#?}", found.violations);
        total.add(&found);
    }
    println!("{name}: {} histories, {total}", seeds.count());
    assert!(total.records > 0 && total.checkpoints > 0);
}

/// A control: how many of the histories show that the guard is missing.
fn must_show(name: &str, sabotage: Sabotage, scenario: Scenario, expected: &str) {
    let histories = 60;
    let mut shown = 0;
    for seed in 0..histories {
        let found = run(seed, Scenario { sabotage, ..scenario });
        shown += usize::from(found.violations.iter().any(|violation| violation.contains(expected)));
    }
    println!("{name}: shown by {shown} of {histories} histories");
    assert!(shown > 0, "the simulation does not notice that a guard is missing: {name}");
}

#[test]
fn the_promises_hold_whatever_goes_wrong() {
    hold("handing over", Scenario::default());
}

#[test]
fn the_promises_hold_where_leases_are_torn_away_as_in_kcl() {
    hold("by force", Scenario { handover: Duration::ZERO, ..Scenario::default() });
}

/// Processing that blocks for longer than a lease lives costs no lease, and neither does a lost reply
/// that makes the client try again.
#[test]
fn nothing_is_lost_while_nothing_goes_wrong() {
    for seed in seeds().take(40) {
        let found = run(seed, Scenario { chaos: false, slow_processing: true, ..Scenario::default() });
        assert!(found.violations.is_empty(), "LEASE_SEED={seed}: {:#?}", found.violations);
        assert_eq!(found.lost_leases, 0, "LEASE_SEED={seed}");
    }
}

#[test]
fn one_history_is_the_same_each_time() {
    let scenario = Scenario::default();
    assert_eq!(run(7, scenario), run(7, scenario));
    assert_ne!(run(7, scenario), run(8, scenario));
}

#[test]
fn control_without_the_fence() {
    must_show("fence off", Sabotage::NoFence, Scenario::default(), "fence:");
}

#[test]
fn control_with_children_at_latest() {
    must_show("child at LATEST", Sabotage::ChildAtLatest, Scenario::default(), "skipped:");
}

#[test]
fn control_with_expiry_by_the_owners_clock() {
    must_show("the other's clock", Sabotage::OwnersClock, Scenario::default(), "torn:");
}

#[test]
fn control_with_children_before_parents() {
    must_show("child at once", Sabotage::NoParents, Scenario::default(), "order:");
}

#[test]
fn control_with_two_writes_for_checkpoint_and_snapshot() {
    must_show("two writes", Sabotage::TwoWrites, Scenario::default(), "torn apart:");
}

#[test]
fn control_without_a_second_look_at_a_refusal() {
    let quiet = Scenario { chaos: false, ..Scenario::default() };
    must_show("no second look", Sabotage::NoSecondLook, quiet, "lost:");
}
