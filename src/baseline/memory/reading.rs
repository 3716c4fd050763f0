//! What can be read of a baseline: the numbers of a sentence, the plot, and what a closed day teaches others.

use super::{Baseline, Half, NO_DAY, PLOT_DAYS};
use crate::baseline::calibration::DayScore;
use crate::baseline::channel::{Class, TAILS};
use crate::baseline::habits::{DIMENSIONS, NewDays};
use crate::baseline::peers::PeerView;
use crate::baseline::profile::{BUCKETS_A_DAY, Lesson};
use crate::baseline::tail::Tail;
use crate::stats::ring::BUCKET;
use crate::time::HOUR;

/// What a moment was compared with, for the sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Calls in the bucket, in ten minutes, in an hour.
    pub calls: [u32; 3],
    /// Calls expected in ten minutes and in an hour.
    pub expected: [f64; 2],
    /// Minutes of unbroken activity.
    pub unbroken_minutes: u32,
    /// Calls that were kept up in each five minutes.
    pub pace: u32,
    /// Busiest hour of the last 28 days.
    pub busiest_hour: u32,
    /// Active days behind the model.
    pub days: u16,
}

impl Baseline {
    /// What a moment was compared with.
    pub fn comparison(&self, slot: i64, peers: &PeerView) -> Comparison {
        let model = self.model_at(slot);
        let (ten, hour) = model.profile.expected(slot, model.days, peers);
        Comparison {
            calls: [self.track.count(slot), self.track.sum(slot, 2), self.track.sum(slot, 12)],
            expected: [ten, hour],
            unbroken_minutes: self.track.run(slot) * (BUCKET / 60) as u32,
            pace: self.track.steady(slot),
            busiest_hour: self.busiest.iter().map(|calls| calls.get() as u32).max().unwrap_or(0),
            days: model.days,
        }
    }

    /// Calls by hour of `day`, where it is not learned yet.
    pub fn hours(&self, day: i64) -> Option<[u32; 24]> {
        let open = [Some(&self.today), self.yesterday.as_deref()].into_iter().flatten();
        open.into_iter().find(|open| open.day() == day).map(|open| open.hours)
    }

    /// Calls expected in each hour of `day`.
    pub fn expected_hours(&self, day: i64, peers: &PeerView) -> [f64; 24] {
        let first = day * BUCKETS_A_DAY;
        std::array::from_fn(|hour| self.model.profile.expected_hour(first + hour as i64 * (HOUR / BUCKET), self.model.days, peers))
    }

    /// Busiest hour of each of the last 28 learned days, the oldest first.
    pub fn plot(&self) -> [f32; PLOT_DAYS] {
        self.last_days(&self.busiest)
    }

    /// Rings by day, the oldest first.
    pub(super) fn last_days(&self, ring: &[Half; PLOT_DAYS]) -> [f32; PLOT_DAYS] {
        std::array::from_fn(|n| {
            let day = self.learned() - PLOT_DAYS as i64 + 1 + n as i64;
            ring[day.rem_euclid(PLOT_DAYS as i64) as usize].get() as f32
        })
    }

    /// The last day that the actor has learned.
    pub const fn last_learned(&self) -> i64 {
        self.learned as i64
    }

    /// Active days that were learned.
    pub const fn days(&self) -> u16 {
        self.model.days
    }

    /// Whether the actor was seen on `day` or before.
    pub fn was_seen(&self, day: i64) -> bool {
        self.first_day != NO_DAY && i64::from(self.first_day) <= day
    }

    /// How many values are known by dimension.
    pub fn known_values(&self) -> [usize; DIMENSIONS] {
        self.habits.known_values()
    }

    /// What is new about the hour up to `slot`, by dimension.
    pub fn new_dimensions(&self, slot: i64) -> Vec<usize> {
        self.habits.new_dimensions(slot).collect()
    }

    /// What `day` reached, where the actor was active and it is closed. `tie` settles between equals.
    pub fn day_score(&self, day: i64, tie: u64) -> Option<DayScore> {
        let closed = &self.closed;
        (i64::from(closed.day) == day).then(|| DayScore {
            class: closed.class,
            surprises: closed.surprises.map(Half::get),
            together: closed.together.get(),
            rarity: closed.rarity.get(),
            tie,
        })
    }

    /// Calls of the busiest hour of the closed day.
    pub const fn busiest_hour(&self) -> u32 {
        self.closed.busiest_hour
    }

    /// The class on the next day.
    pub const fn class(&self, is_machine: bool) -> Class {
        Class::of(is_machine, self.model.days)
    }

    /// What the actor teaches its peers about the days up to `day`, idle ones too, whether its next call has come or not.
    pub fn lesson(&self, day: i64, silent: &[i32]) -> Option<Lesson> {
        if self.model.days == 0 {
            return None;
        }
        let mut profile = self.model.profile.clone();
        profile.learn_idle(self.learned() + 1, day, silent);
        profile.lesson()
    }

    /// The tails.
    pub const fn tails(&self) -> &[Tail; TAILS] {
        &self.model.tails
    }

    /// How often something is new.
    pub fn new_days(&self) -> NewDays {
        self.model.rates.days()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::super::{ClosedSpend, OpenSpend, Purse, SpendModel};
    use super::*;
    use crate::baseline::habits::Habits;
    use crate::baseline::story::Story;

    /// What is kept of an actor at any time; on the heap for hours around midnight, or on days with something new, a little
    /// more.
    #[test]
    fn an_actor_costs_what_the_design_allows() {
        let spending = size_of::<SpendModel>() + size_of::<OpenSpend>() + size_of::<ClosedSpend>() + size_of::<Option<Box<Purse>>>();
        let spike = size_of::<Baseline>() - size_of::<Habits>() - spending + size_of::<Story>();
        assert!(spike <= 560, "invocation-spike: {spike}");
        let all = size_of::<Baseline>() + 2 * size_of::<Story>() + size_of::<Purse>();
        assert!(all <= 1_050, "all learning detectors: {all}");
    }
}
