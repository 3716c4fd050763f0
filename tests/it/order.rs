//! The order of arrival within lateness, re-deliveries and restarts change nothing about who is paged for what.

use geophone::engine::Engine;
use geophone::observation::Observation;
use geophone::snapshot::{self, Snapshot};
use geophone_company::{Attack, Company, CompanySettings};

use crate::support::story::{self, Told};

const HISTORY: u32 = 21;

/// A small company with three weeks of history and a day with several attacks, in order of event time.
fn company() -> (geophone::engine::EngineSettings, Vec<Observation>) {
    let mut company = Company::new(CompanySettings { people: 24, seed: 5, ..CompanySettings::default() });
    let settings = story::settings(&company);
    let mut events = Vec::new();
    for day in 0..=HISTORY {
        events.extend(company.day(day));
    }
    let midnight = company.settings().first_day + i64::from(HISTORY) * 86_400;
    for (hour, attack) in
        [(10, Attack::DeniedProbe), (11, Attack::CrossDepartment), (13, Attack::InvocationBurst), (15, Attack::LlmJacking)]
    {
        events.extend(company.attack(attack, midnight + hour * 3_600));
    }
    events.sort_by_key(|event| event.time);
    (settings, story::observations(&events))
}

/// Every observation moved by a pseudo-random delay below `most` seconds.
fn shuffled(observations: &[Observation], most: u64, seed: u64) -> Vec<Observation> {
    let delay = |index: usize| xxhash_rust::xxh3::xxh3_64_with_seed(&index.to_le_bytes(), seed) % most;
    let mut arriving: Vec<(i64, &Observation)> =
        observations.iter().enumerate().map(|(index, observation)| (observation.time.unix() + delay(index) as i64, observation)).collect();
    arriving.sort_by_key(|(arrival, _)| *arrival);
    arriving.into_iter().map(|(_, observation)| observation.clone()).collect()
}

fn counted(told: &Told) -> (u64, u64, u64) {
    (told.counts.invocations, told.counts.person, told.counts.department)
}

#[test]
fn any_order_within_lateness_tells_the_same_stories() {
    let (settings, observations) = company();
    let in_order = story::play(&settings, observations.clone());
    assert!(in_order.stories().len() >= 5, "{:?}", in_order.opened());
    for seed in 0..4 {
        let other = story::play(&settings, shuffled(&observations, 14 * 60, seed));
        assert_eq!(other.counts.late, 0, "14 minutes are within lateness");
        assert!(other.counts.out_of_order > 1_000);
        assert_eq!(counted(&other), counted(&in_order), "seed {seed}");
        assert_eq!(other.stories(), in_order.stories(), "seed {seed}");
    }
}

#[test]
fn every_event_three_times_counts_once() {
    let (settings, observations) = company();
    let once = story::play(&settings, observations.clone());
    let thrice: Vec<Observation> = observations.iter().flat_map(|observation| std::iter::repeat_n(observation.clone(), 3)).collect();
    let told = story::play(&settings, thrice);
    assert_eq!(counted(&told), counted(&once));
    assert_eq!(told.counts.duplicates, 2 * observations.len() as u64);
    let lines = |told: &Told| told.alerts.iter().map(geophone::alerting::Alert::to_ndjson).collect::<Vec<_>>();
    assert_eq!(lines(&told), lines(&once));
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let (settings, observations) = company();
    let lines = |workers| {
        let told = story::play(&geophone::engine::EngineSettings { workers, ..settings.clone() }, observations.clone());
        told.alerts.iter().map(geophone::alerting::Alert::to_ndjson).collect::<Vec<_>>()
    };
    assert_eq!(lines(1), lines(7));
}

#[test]
fn a_restart_at_any_point_continues_as_if_nothing_had_been() {
    let (settings, observations) = company();
    let whole = story::play(&settings, observations.clone());
    let lines = |told: &Told| told.alerts.iter().map(geophone::alerting::Alert::to_ndjson).collect::<Vec<_>>();
    for tenth in [3, 9] {
        let (before, after) = observations.split_at(observations.len() * tenth / 10);
        let mut first = Engine::new(settings.clone());
        let mut told = story::feed(&mut first, before.to_vec());
        let bytes =
            snapshot::encode(&Snapshot { engine: first.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() })
                .expect("encodes");
        drop(first);
        let image = snapshot::decode(&bytes).expect("decodes").engine;
        let mut second = Engine::restore(settings.clone(), image);
        second.input("test");
        assert_eq!(
            snapshot::encode(&Snapshot { engine: second.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() })
                .expect("encodes"),
            bytes,
            "an image of the image"
        );
        let rest = story::feed(&mut second, after.to_vec());
        let mut report = geophone::engine::Report::default();
        second.finish(&mut report);
        told.alerts.extend(rest.alerts);
        told.alerts.extend(report.alerts);
        assert_eq!(lines(&told), lines(&whole), "restarted at {tenth}0 %");
    }
}

#[test]
fn what_is_later_than_lateness_is_counted_and_still_judged() {
    let (settings, mut observations) = company();
    let late = observations
        .iter()
        .position(|o| matches!(&o.body, geophone::observation::Body::Call(c) if c.invocation.outcome.denial().is_some()));
    let late = observations.remove(late.expect("a refused call"));
    observations.push(late);
    let told = story::play(&settings, observations);
    assert_eq!(told.counts.late, 1);
}
