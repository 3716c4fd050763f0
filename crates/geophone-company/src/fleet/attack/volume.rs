//! Attacks that show in how much is called, or when.

use super::{Draft, NEWCOMER_DAYS};
use crate::fleet::tape::{BUCKETS_PER_DAY, BUCKETS_PER_HOUR, Cell};
use crate::random::Random;

impl Draft<'_> {
    pub(super) fn burst(&mut self) {
        let length = self.random.between(4, 12);
        let start = if self.random.chance(0.5) { self.working_bucket() } else { None };
        let start = start.unwrap_or_else(|| self.any_start(length));
        self.script((start, length), (15.0, 450.0));
    }

    pub(super) fn joiner_burst(&mut self) {
        let days = &self.past.days;
        // On the first day of all, or on one of the next.
        let known = if self.random.chance(0.5) { 0 } else { self.random.below(days.len().min(NEWCOMER_DAYS)) };
        let Some(&day) = days.get(known) else { return };
        let of_day = |cell: &&Cell| cell.bucket / BUCKETS_PER_DAY == day;
        let first = self.victim.tape.cells().iter().find(of_day).map_or(0, |cell| i64::from(cell.bucket));
        let length = self.random.between(4, 15);
        let start = first + self.random.between(-36, 36);
        self.script((start, length), (15.0, 350.0));
    }

    pub(super) fn busy_burst(&mut self) {
        let world = self.world;
        let scored: Vec<Cell> = self.victim.tape.cells().iter().filter(|cell| cell.bucket >= world.scored_bucket()).copied().collect();
        // The busiest of a few moments in which the victim works: neither the top of all nor any.
        let around = |at: u32| scored.iter().filter(|cell| cell.bucket.abs_diff(at) < BUCKETS_PER_HOUR).map(|cell| cell.count).sum::<u32>();
        let tries: Vec<u32> = (0..6).filter(|_| !scored.is_empty()).map(|_| self.random.pick(&scored).bucket).collect();
        let Some(busiest) = tries.into_iter().max_by_key(|&at| around(at)) else { return };
        let length = self.random.between(2, 5);
        self.script((i64::from(busiest), length), (40.0, 500.0));
    }

    pub(super) fn night(&mut self) {
        let quiet = self.quiet_hours();
        let hour = *self.random.pick(&quiet);
        let mut length = 0;
        for later in 0..3 {
            length += if quiet.contains(&((hour + later) % 24)) { i64::from(BUCKETS_PER_HOUR) } else { 0 };
        }
        let length = self.random.between(6, length.max(8));
        let day = self.any_day(1);
        let start = i64::from(day * BUCKETS_PER_DAY + hour * BUCKETS_PER_HOUR) + self.random.between(0, 6);
        if self.random.chance(0.5) {
            self.script((start, length), (5.0, 50.0));
        } else {
            let place = self.usual_place(start);
            let rate = self.past.median * self.size * self.random.log_between(0.5, 2.0);
            self.stretch((start, length), place, (0.6, rate, 0.7));
        }
    }

    pub(super) fn low_slow(&mut self) {
        let days = self.random.between(1, 4) as u32;
        let first = self.any_day(days);
        let begins = self.random.real(4.0, 12.0) * 60.0;
        let length = self.random.between(90, 200);
        let fill = self.random.real(0.4, 0.95);
        let rate = (self.past.median * self.size * self.random.log_between(0.25, 2.5)).max(1.0);
        for day in first..first + days {
            let start = self.world.bucket(self.victim.identity.group, day, begins);
            let place = self.usual_place(start);
            self.stretch((start, length), place, (fill, rate, 0.4));
        }
    }

    pub(super) fn ramp_exfil(&mut self) {
        let peak = (self.size * self.random.log_between(6.0, 220.0)).max(2.0);
        let over_days = self.random.chance(0.4);
        let parts = if over_days { self.random.between(2, 5) } else { 1 };
        let length = self.random.between(48, 120);
        let steepness = self.random.real(1.0, 3.0);
        let total = (parts * length) as f64;
        let day = i64::from(BUCKETS_PER_DAY);
        let first = self.any_start(if over_days { parts * day } else { length });
        for part in 0..parts {
            let place = self.usual_place(first + part * day);
            for step in 0..length {
                let done = (part * length + step + 1) as f64 / total;
                let rate = peak * done.powf(steepness);
                // A slow beginning has buckets without calls.
                if self.random.chance(rate.min(1.0)) {
                    self.calls(first + part * day + step, place, rate.max(1.0), 0.3);
                }
            }
        }
    }

    pub(super) fn weekend_session(&mut self) {
        let world = self.world;
        let days: Vec<u32> = (world.scored_from..world.days).filter(|&day| world.is_weekend(day)).collect();
        let day = *self.random.pick(&days);
        let length = self.random.between(24, 72);
        let minute = self.random.real(9.0, 18.0) * 60.0;
        let start = world.bucket(self.victim.identity.group, day, minute);
        let place = self.usual_place(start);
        let rate = self.past.median * self.size * self.random.log_between(0.5, 4.0);
        self.stretch((start, length), place, (0.6, rate, 0.8));
    }

    /// An even run at a rate between these two, by the victim's own means.
    fn script(&mut self, (start, length): (i64, i64), (least, most): (f64, f64)) {
        let place = self.usual_place(start);
        let rate = self.size * self.random.log_between(least, most);
        let spread = self.random.real(0.1, 0.5);
        self.stretch((start, length), place, (0.93, rate, spread));
    }

    /// A scored bucket in which the victim calls.
    fn working_bucket(&mut self) -> Option<i64> {
        let cells = self.victim.tape.cells();
        let scored = &cells[cells.partition_point(|cell| cell.bucket < self.world.scored_bucket())..];
        pick_cell(scored, &mut self.random).map(|cell| i64::from(cell.bucket))
    }

    /// Hours of the day, UTC, at which the victim has never called, nor in the hours around; at least one.
    fn quiet_hours(&self) -> Vec<u32> {
        let near = |hour: u32| -> u32 { [23, 0, 1].iter().map(|shift| self.past.hours[((hour + shift) % 24) as usize]).sum() };
        let least = (0..24).map(near).min().unwrap_or_default();
        (0..24).filter(|&hour| near(hour) == least).collect()
    }
}

fn pick_cell(cells: &[Cell], random: &mut Random) -> Option<Cell> {
    (!cells.is_empty()).then(|| *random.pick(cells))
}
