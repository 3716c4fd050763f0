//! What a backtest may rely on in a fleet's two files.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and one looks at the clock")]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use geophone_company::fleet::{AttackKind, Fleet, FleetSettings, SCORED_DAYS};

const SMALL: FleetSettings =
    FleetSettings { seed: 3, identities: 200, days: 42, first_day: 1_767_571_200, attacks_per_kind: 4, campaigns: 2, attack_scale: 1.0 };

fn texts(settings: FleetSettings) -> (String, String) {
    let fleet = Fleet::new(settings);
    let (mut counts, mut labels) = (Vec::new(), Vec::new());
    fleet.write_counts(&mut counts).unwrap();
    fleet.write_labels(&mut labels).unwrap();
    (String::from_utf8(counts).unwrap(), String::from_utf8(labels).unwrap())
}

/// A small fleet, made once for all tests.
fn small() -> &'static (String, String) {
    static SMALL_FLEET: OnceLock<(String, String)> = OnceLock::new();
    SMALL_FLEET.get_or_init(|| texts(SMALL))
}

/// The fields of every line but the first.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    assert!(&texts(SMALL) == small());
    let other = texts(FleetSettings { seed: 4, ..SMALL });
    assert_ne!(other.0, small().0);
    assert_ne!(other.1, small().1);
}

#[test]
fn rows_are_sorted_and_whole() {
    let (counts, _) = small();
    assert_eq!(counts.lines().next(), Some("bucket_start,identity,group,class,count,source,region,model"));
    let mut before = (String::new(), String::new());
    let mut callers = BTreeMap::new();
    for row in lines(counts) {
        let [bucket, identity, group, class, count, source, region, model] = row[..] else { panic!("{row:?}") };
        let now = (bucket.to_owned(), identity.to_owned());
        assert!(now >= before, "{row:?} after {before:?}");
        before = now;
        assert!(("2026-01-05T00:00:00Z".."2026-02-16T00:00:00Z").contains(&bucket), "{bucket}");
        assert!((bucket.ends_with("0:00Z") || bucket.ends_with("5:00Z")) && bucket.len() == 20, "{bucket}");
        assert!(matches!(class, "human" | "machine"), "{class}");
        assert!(count.parse::<u32>().unwrap() > 0, "{row:?}");
        assert!(source.starts_with('s') && region.starts_with('r') && model.starts_with('m') && group.starts_with("dept"), "{row:?}");
        // An identity stays what it is.
        assert_eq!(*callers.entry(identity).or_insert((group, class)), (group, class));
    }
    assert!(callers.len() > SMALL.identities * 9 / 10);
}

#[test]
fn labels_are_of_known_identities_within_the_scored_days_and_over_calls() {
    let (counts, labels) = small();
    let mut buckets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in lines(counts) {
        buckets.entry(row[1]).or_default().insert(row[0]);
    }
    assert_eq!(labels.lines().next(), Some("identity,start,end,kind,event"));
    for label in lines(labels) {
        let [identity, start, end, _, event] = label[..] else { panic!("{label:?}") };
        assert!("2026-01-26T00:00:00Z" <= start && start < end && end <= "2026-02-16T00:00:00Z", "{label:?}");
        assert!(buckets[identity].contains(start), "{label:?} begins without a call");
        assert!(event.parse::<u32>().unwrap() > 0);
    }
}

#[test]
fn each_kind_is_there_as_often_as_asked() {
    for (seed, identities, days) in [(3, 200, 42), (5, 50, 42), (6, 600, 42), (7, 100, 14), (8, 150, 28)] {
        let fleet = Fleet::new(FleetSettings { seed, identities, days, ..SMALL });
        let mut events: BTreeMap<AttackKind, BTreeSet<u32>> = BTreeMap::new();
        for span in fleet.spans() {
            events.entry(span.kind).or_default().insert(span.event);
        }
        for kind in AttackKind::ALL {
            let asked = if kind == AttackKind::Campaign { SMALL.campaigns } else { SMALL.attacks_per_kind };
            assert_eq!(events.get(&kind).map_or(0, BTreeSet::len), asked, "{kind} of seed {seed}");
        }
    }
}

#[test]
fn newcomers_are_new_and_campaigns_are_large() {
    let (counts, labels) = small();
    let mut days: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in lines(counts) {
        days.entry(row[1]).or_default().insert(&row[0][..10]);
    }
    let mut campaigns: BTreeMap<&str, usize> = BTreeMap::new();
    for label in lines(labels) {
        if label[3] == "joiner_burst" {
            let known = days[label[0]].range(..&label[1][..10]).count();
            assert!(known <= 3, "{label:?} after {known} days");
        } else if label[3] == "campaign" {
            *campaigns.entry(label[4]).or_default() += 1;
        }
    }
    assert!(campaigns.values().all(|people| (25..=60).contains(people)), "{campaigns:?}");
}

#[test]
fn no_attack_leaves_an_honest_fleet_and_a_scale_makes_it_larger() {
    let calls = |attack_scale: f64, attacks_per_kind: usize| -> u64 {
        let campaigns = attacks_per_kind.min(1);
        let (counts, labels) = texts(FleetSettings { attack_scale, attacks_per_kind, campaigns, ..SMALL });
        assert_eq!(lines(&labels).count() == 0, attacks_per_kind == 0);
        lines(&counts).map(|row| row[4].parse::<u64>().unwrap()).sum()
    };
    assert!(calls(10.0, 4) > calls(1.0, 4));
    calls(1.0, 0);
}

#[test]
fn settings_are_cut_to_their_limits() {
    let fleet = Fleet::new(FleetSettings { identities: 0, days: 0, ..SMALL });
    assert_eq!((fleet.settings().identities, fleet.settings().days), (50, 14));
    // Half of a short fleet is for learning.
    let learning = fleet.settings().first_day + 7 * 86_400;
    assert!(fleet.spans().iter().all(|span| span.start >= learning));
}

#[test]
fn a_small_fleet_takes_less_than_a_second() {
    // The best of three, for others may be using the machine.
    let took = |_| {
        let started = Instant::now();
        let fleet = Fleet::new(FleetSettings { days: SCORED_DAYS + 7, identities: 100, ..SMALL });
        assert!(fleet.row_count() > 10_000);
        started.elapsed()
    };
    assert!((0..3).map(took).min().unwrap() < Duration::from_secs(1));
}
