//! What actors of one kind have in common: sums over all of them, and what one of them is compared with.
//!
//! Sums are whole numbers (fixed point), so that the order in which actors are added changes no bit of the result.

use serde::{Deserialize, Serialize};

use super::channel::TAILS;
use super::habits::{DIMENSIONS, NewDays};
use super::memory::{SPEND_TAILS, SpendLesson, SpendPeers};
use super::profile::Lesson;
use super::tail::{Tail, TailPrior};

/// Fewer peers than this say nothing about one of them.
pub const MEMBERS_MIN: u32 = 5;
/// Fixed point: steps in one.
const ONE: f64 = 1_048_576.0;
/// Numbers are cut to this before they are added: a hundred million actors fit in 64 bits.
const VALUE_MAX: f64 = 65_536.0;
/// Days from which an actor's tail tells something about its peers'.
const TAIL_DAYS_MIN: u16 = 2;

/// What one actor is compared with, as of a closed day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// How many peers there are.
    pub members: u32,
    /// Mean ln(calls) of an active day.
    pub level: f64,
    /// Mean shape of a day on weekdays and weekends: calls by hour over mean calls of a day.
    pub shape: [[f32; 24]; 2],
    /// Mean share of active days with work, by hour.
    pub hours: [f32; 24],
    /// What the peers' tails say, by channel.
    pub tails: [TailPrior; TAILS],
    /// Share of active days with something new: by dimension, and new to everybody or to the actor alone.
    pub novelty: [[f32; 2]; DIMENSIONS],
    /// Median over peers' days of the calls in their busiest hour; 0 where nothing is known.
    pub busiest_hour: u32,
    /// What they spend.
    pub spend: SpendPeers,
}

impl Default for PeerView {
    /// Nothing known: little activity, any hour, wide tails.
    fn default() -> Self {
        Self {
            members: 0,
            level: 3.0,
            shape: [[1.0 / 24.0; 24]; 2],
            hours: [1.0 / 24.0; 24],
            tails: [TailPrior::default(); TAILS],
            novelty: [[0.05; 2]; DIMENSIONS],
            busiest_hour: 0,
            spend: SpendPeers::default(),
        }
    }
}

/// Sums over the actors of a cohort. A new one is filled each day.
#[derive(Clone, Debug, Default)]
pub struct PeerSums {
    members: u32,
    level: i64,
    shape: [[i64; 24]; 2],
    hours: [i64; 24],
    tails: TailSums<TAILS>,
    spenders: u32,
    call: i64,
    spend_tails: TailSums<SPEND_TAILS>,
    new_days: [[i64; 2]; DIMENSIONS],
    days: i64,
}

/// Sums over tails.
#[derive(Clone, Debug)]
struct TailSums<const N: usize> {
    members: u32,
    /// By channel: means, squares of means, variances.
    sums: [[i64; 3]; N],
}

impl<const N: usize> Default for TailSums<N> {
    fn default() -> Self {
        Self { members: 0, sums: [[0; 3]; N] }
    }
}

impl<const N: usize> TailSums<N> {
    fn add(&mut self, tails: &[Tail; N], days: u16) {
        if days < TAIL_DAYS_MIN {
            return;
        }
        self.members += 1;
        // The sample's variance, of as many days as are remembered.
        let days = f64::from(days.min(super::tail::DAYS_MAX));
        for (sums, tail) in self.sums.iter_mut().zip(tails) {
            let (mean, variance) = tail.moments();
            sums[0] += fixed(mean);
            sums[1] += fixed(mean * mean);
            sums[2] += fixed(variance * days / (days - 1.0));
        }
    }

    fn priors(&self) -> Option<[TailPrior; N]> {
        let mean = |sum: i64| sum as f64 / ONE / f64::from(self.members);
        (self.members >= MEMBERS_MIN).then(|| {
            self.sums.map(|sums| {
                let (center, within) = (mean(sums[0]), mean(sums[2]).max(1e-3));
                let between = (mean(sums[1]) - center * center).max(1e-3);
                TailPrior { mean: center, variance: within, weight: (within / between).clamp(0.05, 5.0) }
            })
        })
    }
}

fn fixed(value: f64) -> i64 {
    (value.clamp(-VALUE_MAX, VALUE_MAX) * ONE).round() as i64
}

impl PeerSums {
    /// Adds an actor.
    pub fn add(&mut self, lesson: &Lesson, tails: &[Tail; TAILS], days: u16, new_days: &NewDays) {
        self.members += 1;
        self.level += fixed(lesson.level);
        for class in 0..2 {
            for hour in 0..24 {
                self.shape[class][hour] += fixed(f64::from(lesson.shape[class][hour]));
            }
        }
        for hour in 0..24 {
            self.hours[hour] += fixed(f64::from(lesson.hours[hour]));
        }
        self.tails.add(tails, days);
        self.days += fixed(new_days.days);
        for (sums, days) in self.new_days.iter_mut().zip(new_days.new) {
            sums[0] += fixed(days[0]);
            sums[1] += fixed(days[1]);
        }
    }

    /// Adds what an actor spends.
    pub fn add_spending(&mut self, lesson: &SpendLesson<'_>) {
        self.spenders += 1;
        self.call += fixed(lesson.call);
        self.spend_tails.add(lesson.tails, lesson.days);
    }

    /// What one of them is compared with; `None` with too few. `busiest` are the medians of their busiest hours, in calls
    /// and in cents.
    pub fn view(&self, busiest: [u32; 2]) -> Option<PeerView> {
        if self.members < MEMBERS_MIN {
            return None;
        }
        let mean = |sum: i64| sum as f64 / ONE / f64::from(self.members);
        let mut view = PeerView { members: self.members, level: mean(self.level), busiest_hour: busiest[0], ..PeerView::default() };
        for class in 0..2 {
            view.shape[class] = self.shape[class].map(|sum| mean(sum) as f32);
        }
        view.hours = self.hours.map(|sum| mean(sum) as f32);
        self.tails.priors().inspect(|priors| view.tails = *priors);
        view.spend.busiest_hour = busiest[1];
        if self.spenders >= MEMBERS_MIN {
            view.spend.call = self.call as f64 / ONE / f64::from(self.spenders);
        }
        self.spend_tails.priors().inspect(|priors| view.spend.tails = *priors);
        let days = self.days as f64 / ONE;
        for (rates, sums) in view.novelty.iter_mut().zip(&self.new_days) {
            // A fifth of a day on top: nothing is impossible because it has not happened yet.
            *rates = sums.map(|sum| ((sum as f64 / ONE + 0.2) / (days + 1.0)) as f32);
        }
        Some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(number: u32) -> (Lesson, [Tail; TAILS]) {
        let lesson = Lesson {
            level: 3.0 + f64::from(number) * 0.013,
            shape: [[0.1 + number as f32 * 0.001; 24]; 2],
            hours: [0.2 + number as f32 * 0.007; 24],
        };
        let mut tail = Tail::default();
        (0..10u16).for_each(|day| tail.learn(f64::from(number) * 0.1 + f64::from(day % 3), day, &TailPrior::default(), true));
        (lesson, [tail; TAILS])
    }

    #[test]
    fn the_order_of_actors_changes_no_bit() {
        let (mut up, mut down) = (PeerSums::default(), PeerSums::default());
        (0..500).map(actor).for_each(|(lesson, tails)| up.add(&lesson, &tails, 10, &NewDays::default()));
        (0..500).rev().map(actor).for_each(|(lesson, tails)| down.add(&lesson, &tails, 10, &NewDays::default()));
        assert_eq!(up.view([7, 0]), down.view([7, 0]));
    }

    #[test]
    fn few_say_nothing_and_many_are_told_apart_from_one_another() {
        let mut sums = PeerSums::default();
        (0..4).map(actor).for_each(|(lesson, tails)| sums.add(&lesson, &tails, 10, &NewDays::default()));
        assert_eq!(sums.view([0, 0]), None);
        (4..100).map(actor).for_each(|(lesson, tails)| sums.add(&lesson, &tails, 10, &NewDays::default()));
        let view = sums.view([0, 0]).expect("enough");
        assert!((view.level - 3.64).abs() < 0.02, "{}", view.level);
        // Between 0 and 10 the means differ much more than days of one actor: the peers' mean weighs little.
        assert!(view.tails[0].weight < 0.2, "{:?}", view.tails[0]);
    }
}
