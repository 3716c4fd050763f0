//! What an engine cannot see, and says so: tables that are turned over, calls that wait no longer, records that cannot be
//! read. What the daemon finds out by itself (lost state, gaps) comes in through [`Engine::report_blindness`].
//!
//! Nothing of it is in snapshots: after a restart the windows fill anew, and an alert that is open takes the numbers in.

use std::collections::VecDeque;

use super::{Engine, Report};
use crate::detect::Mode;
use crate::detect::blind_spot::{Blindness, Turnover, finding};
use crate::finding::{DetectorId, Signal};
use crate::time::{DAY, EventTime, HOUR, MINUTE};

/// Less an hour is no flood, however small the table is.
const HOURLY_MIN: u64 = 100;
/// A table that forgets this share of itself in an hour remembers less than four hours, and stories last six.
const TURNED_OVER: u64 = 4;
/// Fewer unreadable records are an accident, and are in the dead letters.
const UNREADABLE_MIN: u64 = 10;
/// One record in so many is a source that geophone cannot read.
const UNREADABLE_SHARE: u64 = 20;
/// Records of the last ten minutes count; of a slow stream the last hundred, of at most a day.
const READ_WITHIN: i64 = 10 * MINUTE;
const READ_MIN: u64 = 100;
/// Counts are kept by intervals of this length, so that no flood takes memory.
const INTERVAL: i64 = 5 * MINUTE;

/// What is counted of an engine's blindness.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Actors, newcomers, credentials, grants.
    tables: [Hourly; 4],
    held: Hourly,
    /// Calls that went on without their grant, since the start.
    pub(super) held_overflow: u64,
    reads: Reads,
}

/// How fast a counter grows.
#[derive(Debug, Default)]
struct Hourly {
    seen: u64,
    intervals: VecDeque<(i64, u64)>,
    /// The sum of `intervals`.
    hour: u64,
    since: Option<EventTime>,
    /// Since then.
    total: u64,
}

impl Hourly {
    /// Takes the counter's value at `now` in; `true` where it has grown.
    fn count(&mut self, value: u64, now: EventTime) -> bool {
        let grown = value.saturating_sub(self.seen);
        self.seen = value;
        let (slot, first) = (now.slot(INTERVAL), now.plus(-HOUR).slot(INTERVAL));
        while let Some((_, count)) = self.intervals.pop_front_if(|(slot, _)| *slot <= first) {
            self.hour -= count;
        }
        if grown == 0 {
            return false;
        }
        if self.hour == 0 {
            (self.since, self.total) = (Some(now), 0);
        }
        self.hour += grown;
        self.total += grown;
        match self.intervals.back_mut().filter(|(last, _)| *last == slot) {
            Some((_, count)) => *count += grown,
            None => self.intervals.push_back((slot, grown)),
        }
        true
    }
}

/// Records by whether they can be read, by the minute of their arrival.
#[derive(Debug, Default)]
struct Reads {
    minutes: VecDeque<(i64, u64, u64)>,
    records: u64,
    unreadable: u64,
    since: Option<EventTime>,
    total: u64,
}

impl Reads {
    /// Takes a record in; `true` where it is one unreadable record too many.
    fn count(&mut self, arrival: EventTime, is_unreadable: bool) -> bool {
        let (minute, bad) = (arrival.slot(MINUTE), u64::from(is_unreadable));
        // Shards are read one after the other: what arrived before counts where the window is.
        match self.minutes.back_mut().filter(|(last, ..)| *last >= minute) {
            Some((_, records, unreadable)) => (*records, *unreadable) = (*records + 1, *unreadable + bad),
            None => self.minutes.push_back((minute, 1, bad)),
        }
        self.records += 1;
        while let Some((minute, records, unreadable)) = self.minutes.front().copied() {
            let age = arrival.since(EventTime::from_unix(minute * MINUTE));
            if age < READ_WITHIN || age < DAY && self.records - records < READ_MIN {
                break;
            }
            self.minutes.pop_front();
            (self.records, self.unreadable) = (self.records - records, self.unreadable - unreadable);
        }
        if !is_unreadable {
            return false;
        }
        if self.unreadable == 0 {
            (self.since, self.total) = (Some(arrival), 0);
        }
        self.unreadable += 1;
        self.total += 1;
        self.unreadable >= UNREADABLE_MIN && self.unreadable * UNREADABLE_SHARE >= self.records
    }
}

impl Engine {
    /// Says that something could not be seen, from `since` to `at`; the alert goes the way of all others. The times are
    /// event times, or arrival times where no event can be read.
    pub fn report_blindness(&mut self, what: &Blindness, since: EventTime, at: EventTime, report: &mut Report) {
        if self.settings.detectors.mode(DetectorId::BlindSpot) != Mode::Off {
            self.signals.push(Signal::Finding(Box::new(finding(what, since, at))));
            self.publish(report);
        }
    }

    /// How far event time has come; `None` before the first event.
    pub fn seen_until(&self) -> Option<EventTime> {
        Some(self.inputs.watermark()).filter(|watermark| watermark.unix() > 0)
    }

    /// The largest event time of an input; `None` where it has said nothing.
    pub fn input_seen_until(&self, name: &str) -> Option<EventTime> {
        self.inputs.newest(name)
    }

    /// Notes that a record was taken in, and whether all of it could be read.
    pub fn note_record(&mut self, arrival: EventTime, is_unreadable: bool, report: &mut Report) {
        let reads = &mut self.watch.reads;
        if reads.count(arrival, is_unreadable) {
            let what = Blindness::Unreadable { unreadable: reads.unreadable, records: reads.records, total: reads.total };
            let since = reads.since.unwrap_or(arrival);
            self.report_blindness(&what, since, arrival, report);
        }
    }

    /// Looks at what the tables have forgotten since the last look.
    pub(super) fn look_for_blindness(&mut self, watermark: EventTime) {
        // What is going on now: the watermark is behind it by lateness.
        let now = watermark.plus(self.settings.lateness);
        if self.settings.detectors.mode(DetectorId::BlindSpot) == Mode::Off {
            return;
        }
        let (mut tables, mut total, mut since) = (Vec::new(), 0, now);
        for ((table, evicted, room), hourly) in self.turnovers().into_iter().zip(&mut self.watch.tables) {
            let has_grown = hourly.count(evicted, now);
            if has_grown && hourly.hour >= HOURLY_MIN && hourly.hour >= room / TURNED_OVER {
                tables.push(Turnover { table, hour: hourly.hour, room });
                total += hourly.total;
                since = since.min(hourly.since.unwrap_or(now));
            }
        }
        if !tables.is_empty() {
            let what = Blindness::Forgotten { tables, total };
            self.signals.push(Signal::Finding(Box::new(finding(&what, since, now))));
        }
        let held = &mut self.watch.held;
        if held.count(self.watch.held_overflow, now) && held.hour >= HOURLY_MIN {
            let held_max = self.settings.held_max as u64;
            let what = Blindness::HeldOverflow { hour: held.hour, total: held.total, held_max };
            self.signals.push(Signal::Finding(Box::new(finding(&what, held.since.unwrap_or(now), now))));
        }
    }

    /// Each table by its metric's label, what it has forgotten since the start, and its room.
    fn turnovers(&self) -> [(&'static str, u64, u64); 4] {
        let (mut forgotten, mut rooms) = ([0; 3], [0; 3]);
        for worker in &self.workers {
            let occupancy = worker.occupancy();
            let of = [occupancy.actors_evicted, occupancy.newcomers_evicted, occupancy.credentials_evicted];
            forgotten.iter_mut().zip(of).for_each(|(sum, of)| *sum += of);
            rooms.iter_mut().zip(worker.room()).for_each(|(sum, of)| *sum += of as u64);
        }
        let grants = (self.joining.grants_evicted(), self.settings.grants_max as u64);
        [
            ("actors", forgotten[0], rooms[0]),
            ("newcomers", forgotten[1], rooms[1]),
            ("credentials", forgotten[2], rooms[2]),
            ("grants", grants.0, grants.1),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix(1_780_000_000 + seconds)
    }

    /// The counter's growth within the last hour, against a list of all that it ever was.
    #[test]
    fn an_hour_is_an_hour_whatever_the_pace() {
        let (mut hourly, mut all, mut value, mut now) = (Hourly::default(), Vec::new(), 0, 0);
        let mut random = 7_u64;
        for _ in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += (random >> 33) as i64 % 400;
            let grown = (random >> 40) % 5 * u64::from(!(random >> 20).is_multiple_of(9));
            value += grown;
            all.push((at(now).slot(INTERVAL), grown));
            assert_eq!(hourly.count(value, at(now)), grown > 0);
            let first = at(now).plus(-HOUR).slot(INTERVAL);
            let expected: u64 = all.iter().filter(|(slot, _)| *slot > first).map(|(_, grown)| grown).sum();
            assert_eq!(hourly.hour, expected);
            assert!(hourly.intervals.len() <= 13 && hourly.total >= hourly.hour);
        }
    }

    #[test]
    fn a_story_begins_anew_after_a_quiet_hour() {
        let mut hourly = Hourly::default();
        assert!(hourly.count(5, at(0)) && hourly.count(9, at(3_000)) && !hourly.count(9, at(6_000)));
        assert_eq!((hourly.since, hourly.total), (Some(at(0)), 9));
        assert!(hourly.count(10, at(20_000)));
        assert_eq!((hourly.since, hourly.total, hourly.hour), (Some(at(20_000)), 1, 1));
    }

    #[test]
    fn one_record_in_twenty_is_too_many_and_a_few_are_not() {
        let mut busy = Reads::default();
        let told = (0..10_000).filter(|n| busy.count(at(n / 20), n % 19 == 0)).count();
        assert!(told > 400, "one in nineteen: {told}");
        let mut careful = Reads::default();
        assert!(!(0..10_000).any(|n| careful.count(at(n / 20), n % 21 == 20)), "one in twenty-one");
        assert!(busy.minutes.len() <= 12 && busy.records < 14_000);
        // Nine in an hour are nine, whatever comes beside them.
        let mut few = Reads::default();
        assert!(!(0..9).any(|n| few.count(at(n * 60), true)));
        assert!(few.count(at(600), true));
        // A stream with a record in five minutes: the last hundred count, of a day.
        let mut slow = Reads::default();
        let told: Vec<i64> = (0..40).filter(|n| slow.count(at(n * 300), true)).collect();
        assert_eq!(told.first(), Some(&9));
        assert!(!(0..10).any(|n| slow.count(at(3 * DAY + n * 300), n != 5 && n < 9)), "days later it is another story");
        assert_eq!(slow.since, Some(at(3 * DAY)));
    }

    #[test]
    fn what_arrived_before_moves_no_window() {
        let mut reads = Reads::default();
        for n in 0..1_000 {
            assert!(!reads.count(at(100_000 - (n % 2) * 50_000), false));
        }
        assert_eq!((reads.minutes.len(), reads.records), (1, 1_000));
    }
}
