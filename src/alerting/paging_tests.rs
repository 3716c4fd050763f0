//! Silences, budget and digest, over random histories.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::alerting::silence::Scope;
use crate::alerting::tests::finding;

const START: i64 = 1_780_000_000;

fn at(second: i64) -> EventTime {
    EventTime::from_unix(START + second)
}

fn id_of(actor: usize, story: u64) -> Digest128 {
    Digest128::of(&[&actor.to_le_bytes(), &story.to_le_bytes()])
}

/// The n-th story of an actor.
fn alert(actor: usize, story: u64, status: Status, severity: Severity, second: i64) -> Alert {
    let id = id_of(actor, story);
    Alert { status, ..Alert::open(finding(&format!("actor-{actor}"), START + second, severity), id, id) }
}

fn silence_of(actor: usize, from: i64, until: i64) -> Silence {
    let scope = Scope { actor: Some(format!("actor-{actor}")), ..Scope::default() };
    Silence::new(scope, "dana", "a planned test", at(from), at(until)).expect("a silence")
}

fn pages(out: &[Page]) -> Vec<(Status, Digest128)> {
    out.iter().filter_map(|page| if let Page::Alert(alert) = page { Some((alert.status, alert.alert_id)) } else { None }).collect()
}

#[test]
fn a_silence_gives_back_what_is_still_open_and_nothing_else() {
    let (mut paging, mut out) = (Paging::default(), Vec::new());
    paging.silence(silence_of(1, 0, 100), at(0)).expect("taken");
    paging.silence(silence_of(2, 0, 100), at(0)).expect("taken");
    paging.take(alert(1, 0, Status::Opened, Severity::Critical, 10), at(10), &mut out);
    paging.take(alert(2, 0, Status::Opened, Severity::Critical, 10), at(10), &mut out);
    paging.take(alert(2, 0, Status::Resolved, Severity::Critical, 10), at(20), &mut out);
    paging.take(alert(1, 0, Status::Updated, Severity::Critical, 30), at(30), &mut out);
    paging.handle_time(at(99), &mut out);
    assert!(out.is_empty(), "{:?}", pages(&out));
    paging.handle_time(at(100), &mut out);
    assert_eq!(pages(&out), [(Status::Opened, alert(1, 0, Status::Opened, Severity::Critical, 0).alert_id)]);
    assert!(paging.silences().is_empty());
}

#[test]
fn an_end_that_was_silenced_is_told_afterwards() {
    let (mut paging, mut out) = (Paging::default(), Vec::new());
    paging.take(alert(1, 0, Status::Opened, Severity::Low, 0), at(0), &mut out);
    let silence = silence_of(1, 5, 100);
    paging.silence(silence.clone(), at(5)).expect("taken");
    paging.take(alert(1, 0, Status::Resolved, Severity::Low, 6), at(6), &mut out);
    assert!(paging.lift(silence.id, at(7), &mut out) && !paging.lift(silence.id, at(7), &mut out));
    assert_eq!(pages(&out).iter().map(|(status, _)| *status).collect::<Vec<_>>(), [Status::Opened, Status::Resolved]);
}

#[test]
fn beyond_the_budget_there_is_one_digest_and_high_is_never_in_it() {
    let (mut paging, mut out) = (Paging::new(PagingSettings { hourly: 2 }), Vec::new());
    for actor in 0..10 {
        let severity = if actor == 9 { Severity::High } else { Severity::Medium };
        paging.take(alert(actor, 0, Status::Opened, severity, 0), at(actor as i64), &mut out);
    }
    assert_eq!(pages(&out).len(), 3);
    // More severe: now it is worth it.
    paging.take(alert(5, 0, Status::Updated, Severity::Critical, 60), at(60), &mut out);
    assert_eq!(pages(&out).last().map(|(status, _)| *status), Some(Status::Opened));
    // The end of what was only in a digest is nobody's business.
    paging.take(alert(6, 0, Status::Resolved, Severity::Medium, 60), at(61), &mut out);
    assert_eq!(pages(&out).len(), 4);
    paging.handle_time(at(2 + 3_599), &mut out);
    assert_eq!(out.len(), 4);
    paging.handle_time(at(2 + 3_600), &mut out);
    let Some(Page::Digest(digest)) = out.last() else { panic!("{:?}", out.last()) };
    assert_eq!((digest.alerts, digest.severity, digest.shown.len()), (7, Severity::Medium, 7));
    assert_eq!(digest.by_detector.get("access-denied"), Some(&7));
}

#[test]
fn silences_without_scope_author_reason_or_end_are_refused() {
    let of = |scope: Scope, author: &str, reason: &str, until: i64| Silence::new(scope, author, reason, at(0), at(until)).err();
    let legal = || Scope { department: Some("legal".into()), ..Scope::default() };
    assert_eq!(of(legal(), "dana", "a test", 60), None);
    assert_eq!(of(Scope::default(), "dana", "a test", 60), Some(SilenceError::Everything));
    assert_eq!(of(Scope { actor: Some("**".into()), ..Scope::default() }, "dana", "a test", 60), Some(SilenceError::Everything));
    assert_eq!(of(legal(), " ", "a test", 60), Some(SilenceError::NoAuthor));
    assert_eq!(of(legal(), "dana", "", 60), Some(SilenceError::NoReason));
    assert_eq!(of(legal(), "dana", "a test", 0), Some(SilenceError::Over));
    assert_eq!(of(legal(), "dana", "a test", 30 * 86_400 + 1), Some(SilenceError::TooLong));
    assert_eq!(of(legal(), "dana", &"x".repeat(301), 60), Some(SilenceError::LongText));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Say(usize, u8, u8),
    Silence(usize, i64),
    Lift(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1i64..2_000).prop_map(Step::Wait),
        8 => (0usize..6, 0u8..3, 0u8..5).prop_map(|(actor, kind, severity)| Step::Say(actor, kind, severity)),
        2 => (0usize..6, 1i64..5_000).prop_map(|(actor, length)| Step::Silence(actor, length)),
        1 => (0usize..6).prop_map(Step::Lift),
    ]
}

/// What a plain reading knows of an actor's story.
#[derive(Clone, Copy, Debug, Default)]
struct Plain {
    story: u64,
    open: Option<Severity>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nobody_is_woken_in_a_silence(steps in proptest::collection::vec(step(), 1..80)) {
        const HOURLY: usize = 3;
        let mut paging = Paging::new(PagingSettings { hourly: HOURLY });
        let (mut now, mut plain, mut silences) = (0i64, [Plain::default(); 6], Vec::<(usize, i64, i64, Silence)>::new());
        let (mut sent, mut told, mut ended) = (Vec::<(i64, Page)>::new(), HashSet::new(), HashSet::new());
        let severities = [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        for step in steps.iter().cloned().chain([Step::Wait(6_000), Step::Wait(3_700), Step::Wait(3_700)]) {
            let mut out = Vec::new();
            match step {
                Step::Wait(seconds) => {
                    now += seconds;
                    paging.handle_time(at(now), &mut out);
                }
                Step::Say(actor, kind, severity) => {
                    let known = &mut plain[actor];
                    let severity = severities[usize::from(severity)].max(known.open.unwrap_or(Severity::Informational));
                    let status = match (known.open, kind) {
                        (None, _) => Status::Opened,
                        (Some(_), 0) => Status::Resolved,
                        (Some(_), _) => Status::Updated,
                    };
                    if status == Status::Opened {
                        known.story += 1;
                    }
                    known.open = (status != Status::Resolved).then_some(severity);
                    paging.take(alert(actor, known.story, status, severity, now), at(now), &mut out);
                }
                Step::Silence(actor, length) => {
                    let silence = silence_of(actor, now, now + length);
                    silences.push((actor, now, now + length, silence.clone()));
                    prop_assert!(paging.silence(silence, at(now)).is_ok());
                }
                Step::Lift(actor) => {
                    if let Some(place) = silences.iter().position(|(of, _, until, _)| *of == actor && *until > now) {
                        let (_, _, _, silence) = silences.remove(place);
                        // Made twice in one second for the same span, a silence is one.
                        silences.retain(|(.., other)| other.id != silence.id);
                        prop_assert!(paging.lift(silence.id, at(now), &mut out));
                    }
                }
            }
            for page in out {
                match &page {
                    Page::Alert(said) => {
                        let actor: usize = said.who.actor.name["actor-".len()..].parse().expect("a number");
                        let is_silent = silences.iter().any(|(of, from, until, _)| *of == actor && (*from..*until).contains(&now));
                        prop_assert!(!is_silent, "a page inside a silence");
                        let is_news = said.status == Status::Opened;
                        prop_assert_eq!(is_news, told.insert(said.alert_id), "said before it was opened, or opened twice");
                        prop_assert!(!ended.contains(&said.alert_id), "said after its end");
                        if said.status == Status::Resolved {
                            ended.insert(said.alert_id);
                        }
                    }
                    Page::Record(_) => prop_assert!(false, "nobody asked for it"),
                    Page::Digest(digest) => prop_assert!(digest.alerts > 0 && digest.severity < Severity::High),
                }
                sent.push((now, page));
            }
            // What is open, severe and not silenced is told.
            for (actor, known) in plain.iter().enumerate() {
                let is_silent = silences.iter().any(|(of, from, until, _)| *of == actor && (*from..*until).contains(&now));
                // A silence that has ended gives back at the next tick.
                let is_waiting = silences.iter().any(|(of, _, until, _)| *of == actor && *until <= now);
                let is_severe = known.open.is_some_and(|severity| severity >= Severity::High);
                let is_told = told.contains(&id_of(actor, known.story));
                prop_assert!(!is_severe || is_silent || is_waiting || is_told, "actor {actor} is not told");
            }
            let lately = sent.iter().filter(|(then, page)| now - then < 3_600 && matches!(page, Page::Alert(said) if said.status == Status::Opened && said.severity < Severity::High));
            prop_assert!(lately.count() <= HOURLY);
        }
        // All silences are over and the hours' ends have passed: whatever is open was paged, or is in a digest.
        prop_assert!(paging.silences().is_empty() && paging.digest.is_none());
        for (actor, known) in plain.iter().enumerate() {
            let id = id_of(actor, known.story);
            let in_digest = sent.iter().any(|(_, page)| matches!(page, Page::Digest(digest) if digest.shown.iter().any(|(shown, ..)| *shown == id)));
            prop_assert!(known.open.is_none() || told.contains(&id) || in_digest, "actor {actor} is lost");
        }
    }
}
