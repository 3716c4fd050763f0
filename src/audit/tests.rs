//! Which days are gaps, and what an answer holds.

use super::*;

fn coverage(spoken: &[(&str, &str, i64)]) -> Coverage {
    let mut coverage = Coverage::default();
    for (account, region, day) in spoken {
        coverage.note(account, region, *day);
    }
    coverage
}

fn gaps(coverage: &Coverage, days: std::ops::Range<i64>) -> Vec<(String, Option<String>, (i64, i64))> {
    let gaps = coverage.gaps(EventTime::from_unix(days.start * DAY), EventTime::from_unix(days.end * DAY));
    gaps.into_iter().map(|gap| (gap.account.to_string(), gap.region.map(|region| region.to_string()), gap.days)).collect()
}

#[test]
fn silent_days_are_gaps_where_a_place_speaks_otherwise() {
    let none = coverage(&[]);
    assert_eq!(gaps(&none, 10..13), [(String::new(), None, (10, 12))], "nothing at all");
    let whole: Vec<_> = (10..20).map(|day| ("1", "a", day)).collect();
    assert!(gaps(&coverage(&whole), 10..20).is_empty());
    assert_eq!(gaps(&coverage(&whole), 9..22), [("1".to_owned(), None, (9, 9)), ("1".to_owned(), None, (20, 21))]);
    // A second region that is silent on two of ten days, and one that spoke once only.
    let two: Vec<_> = (10..20).filter(|day| !matches!(day, 14 | 15)).map(|day| ("1", "b", day)).collect();
    let all = [whole, two, vec![("1", "c", 12)]].concat();
    assert_eq!(gaps(&coverage(&all), 10..20), [("1".to_owned(), Some("b".to_owned()), (14, 15))]);
}

#[test]
fn a_few_late_events_do_not_hide_a_silent_day() {
    let mut busy = coverage(&[]);
    for day in 10..20 {
        let events = if day == 15 { 3 } else { 1_000 };
        (0..events).for_each(|_| busy.note("1", "a", day));
    }
    assert_eq!(gaps(&busy, 10..20), [("1".to_owned(), None, (15, 15))]);
}

#[test]
fn a_part_of_a_day_is_that_day() {
    let coverage = coverage(&[("1", "a", 10)]);
    let part = |since: i64, until: i64| coverage.gaps(EventTime::from_unix(since), EventTime::from_unix(until)).len();
    assert_eq!(part(10 * DAY + 5, 11 * DAY), 0);
    assert_eq!(part(10 * DAY - 1, 11 * DAY), 1);
    assert_eq!(part(10 * DAY, 11 * DAY + 1), 1);
}
