//! What a department does at once: how many of its actors are unusual in the same hour.
//!
//! Two uses. One actor's odd hour is no news while half the department has it too (a hackathon, a deadline, a launch): the
//! crowd of the hours before takes rarity away from each. And a campaign that is unremarkable in each of thirty actors is
//! remarkable in all: their number, its square root taken (which makes counts' spread even), against the department's own
//! days.
//!
//! Both read numbers of whole past hours or numbers that only grow, so that the order of arrival changes nothing.

use serde::{Deserialize, Serialize};

use super::half::Half;
use super::profile::day_class;

/// Hours that are kept.
const HOURS: usize = 32;
/// A crowd is read this many hours later: by then its calls are in, held ones too.
const READ_AFTER: i64 = 2;
/// Weight of a day in what is usual.
const USUAL_DECAY: f64 = 0.1;
/// Weight of a day in the number expected at an hour.
const HOUR_DECAY: f64 = 0.15;
/// A crowd must be this many times what is usual before it takes rarity away.
const USUAL_FACTOR: f64 = 3.0;
/// Days whose highest hours are remembered.
const DAYS: usize = 28;
/// Days from which the department's highest hours say what is usual.
const DAYS_MIN: usize = 7;
/// Days without anybody after which another changes nothing: all that is remembered has decayed as far as it does.
const SILENT_DAYS: i64 = 2_500;
/// Smallest spread of a day's highest hour that is believed.
const SPREAD_MIN: f64 = 0.4;

/// Fewer actors are no campaign, however quiet the department.
const ACTORS_MIN: u32 = 5;

/// From this, before calibration, an actor counts as part of a crowd.
pub const UNUSUAL: f64 = 1.3;
/// From this in the channel of steady pace, an actor counts towards a campaign.
pub const PACED: f64 = 0.7;

/// One department's people, or machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// Number of the newest hour.
    newest: i64,
    /// Actors that were unusual in each hour, and that kept a pace.
    counts: [[u32; 2]; HOURS],
    /// Hours before this one are settled: nothing that counts may still come.
    unsettled: i64,
    /// Settled hours of the day that is not over.
    today: [[u32; 2]; 24],
    /// Unusual actors of an hour, on the mean of days: with the last settled day, and without it.
    usual: [Half; 2],
    /// Paced actors expected at each hour, on weekdays and weekends: decayed sum.
    expected: [[Half; 24]; 2],
    days: [Half; 2],
    /// Highest deviations of past days, the newest last.
    highest: Vec<f32>,
}

/// How far a department's hour stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrowdScore {
    /// In robust standard deviations of the department's daily maxima.
    pub deviations: f64,
    /// Actors that kept an unusual pace in this hour.
    pub actors: u32,
    /// How many usually do at this hour.
    pub expected: f64,
    /// Days behind the numbers.
    pub days: usize,
}

impl Crowd {
    /// A crowd of which nothing is known before `hour`.
    pub const fn starting(hour: i64) -> Self {
        Self {
            newest: hour,
            counts: [[0; 2]; HOURS],
            // From the start of the day, so that days are whole.
            unsettled: hour.div_euclid(24) * 24,
            today: [[0; 2]; 24],
            usual: [Half::ZERO; 2],
            expected: [[Half::ZERO; 24]; 2],
            days: [Half::ZERO; 2],
            highest: Vec::new(),
        }
    }

    fn advance(&mut self, hour: i64) {
        if hour <= self.newest {
            return;
        }
        let from = (self.newest + 1).max(hour - HOURS as i64 + 1);
        (from..=hour).for_each(|hour| self.counts[hour.rem_euclid(HOURS as i64) as usize] = [0; 2]);
        self.newest = hour;
    }

    fn count(&self, hour: i64) -> [u32; 2] {
        let is_kept = hour <= self.newest && hour > self.newest - HOURS as i64;
        if is_kept { self.counts[hour.rem_euclid(HOURS as i64) as usize] } else { [0; 2] }
    }

    fn note(&mut self, hour: i64, which: usize) {
        self.advance(hour);
        if hour > self.newest - HOURS as i64 && hour >= self.unsettled {
            self.counts[hour.rem_euclid(HOURS as i64) as usize][which] += 1;
        }
    }

    /// An actor was unusual in `hour`, for the first time in it.
    pub fn note_unusual(&mut self, hour: i64) {
        self.note(hour, 0);
    }

    /// An actor kept an unusual pace in `hour`, for the first time in it.
    pub fn note_paced(&mut self, hour: i64) {
        self.note(hour, 1);
    }

    /// How much rarity the crowd of the hours before takes from one of it.
    pub fn discount(&self, hour: i64) -> f64 {
        let crowd = self.count(hour - READ_AFTER)[0].max(self.count(hour - READ_AFTER - 1)[0]);
        // The day before is settled in the course of the hour after midnight: it counts from the next midnight on.
        let is_new = self.unsettled.div_euclid(24) > hour.div_euclid(24) - 1;
        let others = f64::from(crowd) - 1.0 - USUAL_FACTOR * self.usual[usize::from(is_new)].get();
        (1.0 + others.max(0.0)).log10()
    }

    /// Settles the hours before `hour`: `found` hears how far each stands out, and days that are over are learned.
    pub fn settle(&mut self, hour: i64, found: &mut impl FnMut(i64, CrowdScore)) {
        while self.unsettled < hour {
            // One wrong time in a file can be millions of hours ahead.
            let days_left = (hour - self.unsettled) / 24;
            if days_left > SILENT_DAYS && self.unsettled > self.newest && self.unsettled.rem_euclid(24) == 0 {
                self.unsettled += (days_left - SILENT_DAYS) * 24;
            }
            let settling = self.unsettled;
            let counts = self.count(settling);
            if counts[1] >= ACTORS_MIN
                && let Some(score) = self.score(settling, counts[1])
            {
                found(settling, score);
            }
            self.today[settling.rem_euclid(24) as usize] = counts;
            if settling.rem_euclid(24) == 23 {
                self.learn(settling.div_euclid(24));
            }
            self.unsettled += 1;
        }
    }

    fn expected_at(&self, hour: i64) -> Option<f64> {
        let class = day_class(hour.div_euclid(24));
        let days = self.days[class].get();
        (days > 0.0).then(|| self.expected[class][hour.rem_euclid(24) as usize].get() / days)
    }

    fn deviation(&self, hour: i64, actors: u32) -> f64 {
        let expected = self.expected_at(hour).unwrap_or(f64::from(actors));
        2.0 * ((f64::from(actors) + 0.5).sqrt() - (expected + 0.5).sqrt())
    }

    fn score(&self, hour: i64, actors: u32) -> Option<CrowdScore> {
        let days = self.highest.len();
        if days < DAYS_MIN {
            return None;
        }
        let mut sorted = self.highest.clone();
        sorted.sort_by(f32::total_cmp);
        let median = sorted[days / 2];
        let mut apart: Vec<f32> = sorted.iter().map(|value| (value - median).abs()).collect();
        apart.sort_by(f32::total_cmp);
        // 1.4826: from the median of absolute deviations to a standard deviation.
        let spread = (1.4826 * f64::from(apart[days / 2])).max(SPREAD_MIN);
        let deviations = (self.deviation(hour, actors) - f64::from(median)) / spread;
        Some(CrowdScore { deviations, actors, expected: self.expected_at(hour).unwrap_or(0.0), days })
    }

    fn learn(&mut self, day: i64) {
        let class = day_class(day);
        let today = std::mem::take(&mut self.today);
        let deviations = today.iter().enumerate().map(|(hour, counts)| self.deviation(day * 24 + hour as i64, counts[1]));
        let highest = deviations.fold(f64::MIN, f64::max);
        for (expected, counts) in self.expected[class].iter_mut().zip(today) {
            *expected = Half::new(expected.get() * (1.0 - HOUR_DECAY) + f64::from(counts[1]));
        }
        self.days[class] = Half::new(self.days[class].get() * (1.0 - HOUR_DECAY) + 1.0);
        let mean = today.iter().map(|counts| f64::from(counts[0])).sum::<f64>() / 24.0;
        self.usual = [Half::new(self.usual[0].get() + USUAL_DECAY * (mean - self.usual[0].get())), self.usual[0]];
        if self.highest.len() >= DAYS {
            self.highest.remove(0);
        }
        self.highest.push(highest as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_in_time_is_quick_and_the_same_as_every_hour_of_it() {
        let start = after(40, |day, hour| (day % 7 + hour) as u32);
        let (mut leapt, mut walked) = (start.clone(), start);
        let end = (40 + 4_000) * 24 + 7;
        leapt.settle(end, &mut |_, _| panic!("nobody is a campaign"));
        (40 * 24..=end).for_each(|hour| walked.settle(hour, &mut |_, _| panic!("nobody is a campaign")));
        assert_eq!(leapt, walked);
        leapt.settle(i64::MAX / 2, &mut |_, _| {});
    }

    fn after(days: i64, paced: impl Fn(i64, i64) -> u32) -> Crowd {
        let mut crowd = Crowd::starting(0);
        for day in 0..days {
            for hour in 0..24 {
                for _ in 0..paced(day, hour) {
                    crowd.note_paced(day * 24 + hour);
                    crowd.note_unusual(day * 24 + hour);
                }
            }
        }
        crowd.settle(days * 24, &mut |_, _| {});
        crowd
    }

    /// Notes `actors` in `hour` and says how far it stands out.
    fn noted(crowd: &mut Crowd, hour: i64, actors: u32) -> Option<CrowdScore> {
        (0..actors).for_each(|_| crowd.note_paced(hour));
        let mut last = None;
        crowd.settle(hour + 1, &mut |at, score| last = (at == hour).then_some(score));
        last
    }

    #[test]
    fn thirty_at_once_stand_out_where_three_are_usual() {
        let mut crowd = after(0, |_, _| 0);
        for day in 0..28 {
            for hour in 9..17 {
                noted(&mut crowd, day * 24 + hour, 2 + (day % 3) as u32);
            }
        }
        let campaign = noted(&mut crowd, 28 * 24 + 10, 30).expect("enough days");
        assert!(campaign.deviations > 8.0 && campaign.actors == 30 && campaign.expected < 4.0, "{campaign:?}");
        let usual = noted(&mut crowd, 28 * 24 + 14, 5).expect("enough days");
        assert!(usual.deviations < 3.0, "{usual:?}");
    }

    #[test]
    fn a_crowd_takes_rarity_from_each_two_hours_later() {
        let mut crowd = Crowd::starting(0);
        let now = 50;
        (0..20).for_each(|_| crowd.note_unusual(now));
        assert_eq!(crowd.discount(now), 0.0);
        assert!(crowd.discount(now + 2) > 1.0 && crowd.discount(now + 3) > 1.0, "{}", crowd.discount(now + 2));
        assert_eq!(crowd.discount(now + 5), 0.0);
    }

    #[test]
    fn says_nothing_in_the_first_week_and_settles_idle_months() {
        let mut crowd = Crowd::starting(0);
        assert_eq!(noted(&mut crowd, 5 * 24, 9), None);
        crowd.settle(400 * 24, &mut |_, _| {});
        assert_eq!(crowd.highest.len(), DAYS);
        assert_eq!(noted(&mut crowd, 401 * 24, ACTORS_MIN - 1), None);
        assert!(noted(&mut crowd, 401 * 24 + 1, ACTORS_MIN).is_some());
        crowd.note_paced(3);
        assert_eq!(crowd.count(3), [0; 2], "a settled hour hears nothing more");
    }
}
