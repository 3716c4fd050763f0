//! What an actor usually does: calls by hour on weekdays and weekends, the hours at which it works, how much on a day.
//!
//! All means are exponential over days (a half-life of about eight days for rates), and all are blended with the peers'
//! as long as the actor has few days of its own.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::half::Half;
use super::peers::PeerView;
use super::track::{Track, looked_at};
use crate::stats::ring::BUCKET;
use crate::time::{DAY, HOUR};

/// Buckets of a day and of an hour.
pub const BUCKETS_A_DAY: i64 = DAY / BUCKET;
const BUCKETS_AN_HOUR: i64 = HOUR / BUCKET;
/// Weight of a new day in rates.
const RATE_DECAY: f64 = 0.08;
/// Weight of a new active day in the hours at which an actor works.
const HOURS_DECAY: f64 = 0.05;
/// κ_h: days that the peers' shape weighs in each hour.
const SHAPE_DAYS: f64 = 3.0;
/// κ_L: days that the peers' level weighs.
const LEVEL_DAYS: f64 = 2.0;
/// Days that the peers' working hours weigh.
const HOURS_DAYS: f64 = 2.0;
/// Days that an actor's own level weighs at most.
const LEVEL_DAYS_MAX: f64 = 12.0;
/// An hour teaches at most this many times what was expected of it and the effect floor.
const WINSOR_FACTOR: f64 = 8.0;
/// No hour is rarer than this for anybody.
const HOUR_SHARE_MIN: f64 = 0.003;
/// `c`: calls that are added to both sides of a ratio, so that a rise must matter, not just be large in proportion.
pub const EFFECT_FLOOR: f64 = 10.0;
/// Buckets over which odd hours are added up.
const ODD_BUCKETS: i64 = 20;
/// Idle days after which nothing is left of what was usual.
const IDLE_MAX: i64 = 400;
/// Brings the sum to the size of the other channels' values, whose least spread is the same.
const ODD_SCALE: f64 = 0.2;
/// ln of the calls from which a bucket counts fully as work (100).
const FULL_BUCKET: f64 = 4.6;

/// How much a bucket with `calls` counts as work, 0 to 1: by logarithm, from a table that is made once.
fn busyness(calls: u32) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| (0..128).map(|calls| (f64::from(calls).ln_1p() / FULL_BUCKET).min(1.0)).collect());
    table.get(calls as usize).copied().unwrap_or(1.0)
}

/// An actor's usual days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Decayed sums of calls by hour, on weekdays and weekends.
    calls: [[Half; 24]; 2],
    /// Decayed number of those days.
    days: [Half; 2],
    /// Decayed number of active days with work in this hour.
    hours: [Half; 24],
    /// Decayed number of active days.
    hour_days: Half,
    /// Mean of ln(calls) over active days.
    level: f32,
}

/// Whether a day (counted from 1970-01-01, a Thursday) is a Saturday or Sunday, as an index.
pub const fn day_class(day: i64) -> usize {
    if (day + 3).rem_euclid(7) >= 5 { 1 } else { 0 }
}

const fn hour_of(slot: i64) -> usize {
    (slot.rem_euclid(BUCKETS_A_DAY) / BUCKETS_AN_HOUR) as usize
}

impl Profile {
    /// Mean ln(calls) of a day, own and peers' together.
    fn blended_level(&self, days: u16, peers: &PeerView) -> f64 {
        let own = f64::from(days).min(LEVEL_DAYS_MAX);
        (own * f64::from(self.level) + LEVEL_DAYS * peers.level) / (own + LEVEL_DAYS)
    }

    fn hourly(&self, class: usize, hour: usize, level: f64, peers: &PeerView) -> f64 {
        (self.calls[class][hour].get() + SHAPE_DAYS * level * f64::from(peers.shape[class][hour])) / (self.days[class].get() + SHAPE_DAYS)
    }

    /// Calls expected in the two and the twelve buckets up to `slot`. `days` are the actor's active days.
    pub fn expected(&self, slot: i64, days: u16, peers: &PeerView) -> (f64, f64) {
        let level = self.blended_level(days, peers).exp();
        let rate = |slot: i64| self.hourly(day_class(slot.div_euclid(BUCKETS_A_DAY)), hour_of(slot), level, peers) / BUCKETS_AN_HOUR as f64;
        let (now, before) = (rate(slot), rate(slot - BUCKETS_AN_HOUR));
        // Twelve buckets lie in two hours: this one from its start on, the rest in the one before.
        let here = slot.rem_euclid(BUCKETS_AN_HOUR) + 1;
        let ten_minutes = if here == 1 { now + before } else { 2.0 * now };
        (ten_minutes, now * here as f64 + before * (BUCKETS_AN_HOUR - here) as f64)
    }

    /// Calls expected in the whole hour of `slot`.
    pub fn expected_hour(&self, slot: i64, days: u16, peers: &PeerView) -> f64 {
        let level = self.blended_level(days, peers).exp();
        self.hourly(day_class(slot.div_euclid(BUCKETS_A_DAY)), hour_of(slot), level, peers)
    }

    /// How much of the last 100 minutes fell into hours at which the actor does not work: −ln of each hour's share of
    /// active days, weighed by how busy the bucket was.
    pub fn oddness(&self, track: &Track, slot: i64, is_machine: bool, peers: &PeerView) -> f64 {
        // The window lies in at most three hours.
        let start = hour_of(slot);
        let per_day = 1.0 / (self.hour_days.get() + HOURS_DAYS);
        let hours = [0, 1, 2].map(|back| -self.share((start + 24 - back) % 24, per_day, is_machine, peers).ln());
        let weigh = |at: i64| {
            let calls = if at == slot { looked_at(track.count(at)) } else { track.count(at) };
            if calls == 0 {
                return 0.0;
            }
            busyness(calls) * hours[((start + 24 - hour_of(at)) % 24).min(2)]
        };
        ODD_SCALE * (slot - ODD_BUCKETS + 1..=slot).map(weigh).sum::<f64>()
    }

    /// Share of active days with work in `hour`, `per_day` being one over their number. For humans halfway to the neighbouring hours', so that a change of
    /// daylight saving time is no event.
    fn share(&self, hour: usize, per_day: f64, is_machine: bool, peers: &PeerView) -> f64 {
        let own = |hour: usize| {
            let known = self.hours[hour].get() + HOURS_DAYS * f64::from(peers.hours[hour]);
            (known * per_day).max(HOUR_SHARE_MIN)
        };
        let here = own(hour);
        if is_machine {
            return here.min(1.0);
        }
        let around = here.max(own((hour + 1) % 24)).max(own((hour + 23) % 24));
        (0.5 * (here + around)).min(1.0)
    }

    /// Learns an active day, after `days` others.
    pub fn learn(&mut self, day: i64, hours: &[u32; 24], days: u16, peers: &PeerView, fully: bool) {
        let class = day_class(day);
        let level = self.blended_level(days, peers).exp();
        let mut total = 0.0;
        let mut learned = [0.0; 24];
        for (hour, calls) in hours.iter().enumerate() {
            let most = WINSOR_FACTOR * (self.hourly(class, hour, level, peers) + EFFECT_FLOOR);
            learned[hour] = if fully { f64::from(*calls) } else { f64::from(*calls).min(most) };
            total += learned[hour];
        }
        self.fade(class);
        for (hour, calls) in learned.into_iter().enumerate() {
            self.calls[class][hour] = Half::new(self.calls[class][hour].get() + calls);
            let worked = if hours[hour] > 0 { 1.0 } else { 0.0 };
            self.hours[hour] = Half::new(self.hours[hour].get() * (1.0 - HOURS_DECAY) + worked);
        }
        self.hour_days = Half::new(self.hour_days.get() * (1.0 - HOURS_DECAY) + 1.0);
        let weight = (1.0 / (f64::from(days) + 1.0)).max(RATE_DECAY);
        self.level += (weight * ((total + 0.1).ln() - f64::from(self.level))) as f32;
    }

    /// Learns that nothing was done from day `first` to day `last`; `silent` days, on which nobody did anything, teach
    /// nothing.
    pub fn learn_idle(&mut self, first: i64, last: i64, silent: &[i32]) {
        if last - first >= IDLE_MAX {
            self.calls = Default::default();
            self.days = [Half::new(1.0 / RATE_DECAY); 2];
            return;
        }
        // Day by day: each rounds, and how many are learned at once must not matter.
        for day in (first..=last).filter(|day| !silent.contains(&(*day as i32))) {
            self.fade(day_class(day));
        }
    }

    /// Lets a day of this class pass.
    fn fade(&mut self, class: usize) {
        for calls in &mut self.calls[class] {
            *calls = Half::new(calls.get() * (1.0 - RATE_DECAY));
        }
        self.days[class] = Half::new(self.days[class].get() * (1.0 - RATE_DECAY) + 1.0);
    }

    /// What the profile teaches its peers: the level, the shape of a day relative to its mean, the share of each hour.
    pub fn lesson(&self) -> Option<Lesson> {
        let calls: f64 = self.calls.iter().flatten().map(|calls| calls.get()).sum();
        let days = self.days[0].get() + self.days[1].get();
        if calls <= 0.0 || days <= 0.0 {
            return None;
        }
        let mean = calls / days;
        let shape = [0, 1].map(|class| {
            let class_days = self.days[class].get().max(0.5);
            self.calls[class].map(|calls| (calls.get() / class_days / mean) as f32)
        });
        let hours = self.hours.map(|days| (days.get() / self.hour_days.get().max(1.0)) as f32);
        Some(Lesson { level: f64::from(self.level), shape, hours })
    }
}

/// What one actor's profile tells its peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lesson {
    /// Mean ln(calls) of an active day.
    pub level: f64,
    /// Calls by hour over mean calls of a day, on weekdays and weekends.
    pub shape: [[f32; 24]; 2],
    /// Share of active days with work, by hour.
    pub hours: [f32; 24],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office(calls: u32) -> [u32; 24] {
        std::array::from_fn(|hour| if (9..17).contains(&hour) { calls } else { 0 })
    }

    fn after(days: u16, calls: u32) -> Profile {
        let peers = PeerView::default();
        let mut profile = Profile::default();
        let mut learned = 0;
        for day in 0..i64::from(days) {
            if day_class(day) == 0 {
                profile.learn(day, &office(calls), learned, &peers, false);
                learned += 1;
            } else {
                profile.learn_idle(day, day, &[]);
            }
        }
        profile
    }

    /// A Monday: 1970-01-05.
    const MONDAY: i64 = 4 + 70 * 7;

    #[test]
    fn expects_what_the_hour_usually_has() {
        let (peers, profile) = (PeerView::default(), after(60, 120));
        let slot = |hour: i64, bucket: i64| MONDAY * BUCKETS_A_DAY + hour * BUCKETS_AN_HOUR + bucket;
        let (ten, hour) = profile.expected(slot(11, 11), 40, &peers);
        assert!((15.0..22.0).contains(&ten) && (95.0..130.0).contains(&hour), "{ten} {hour}");
        let (ten, hour) = profile.expected(slot(9, 0), 40, &peers);
        assert!((8.0..13.0).contains(&ten) && (8.0..20.0).contains(&hour), "half of it lies before work: {ten} {hour}");
        assert!(profile.expected(slot(3, 5), 40, &peers).1 < 12.0);
        let saturday = (MONDAY + 5) * BUCKETS_A_DAY + 11 * BUCKETS_AN_HOUR;
        assert!(profile.expected(saturday, 40, &peers).1 < 12.0);
    }

    #[test]
    fn night_is_odd_for_whom_works_by_day() {
        let (peers, profile) = (PeerView::default(), after(60, 120));
        let odd_at = |hour: i64| {
            let mut track = Track::default();
            let start = MONDAY * BUCKETS_A_DAY + hour * BUCKETS_AN_HOUR;
            (0..ODD_BUCKETS).for_each(|bucket| track.add(start + bucket, 20).expect("in order"));
            profile.oddness(&track, start + ODD_BUCKETS - 1, false, &peers)
        };
        assert!(odd_at(2) > 5.0 * odd_at(11), "{} {}", odd_at(2), odd_at(11));
        assert!(odd_at(11) < 2.0);
    }

    #[test]
    fn a_wild_hour_is_cut_and_idle_weeks_fade() {
        let peers = PeerView::default();
        let mut profile = after(30, 100);
        let before = profile.expected_hour(MONDAY * BUCKETS_A_DAY + 120, 22, &peers);
        let mut wild = office(100);
        wild[10] = 4_000_000_000;
        profile.learn(30, &wild, 22, &peers, false);
        let after_wild = profile.expected_hour(MONDAY * BUCKETS_A_DAY + 120, 23, &peers);
        assert!(after_wild < before * 2.0, "{before} {after_wild}");
        let mut fading = profile.clone();
        fading.learn_idle(31, 31 + 364, &[]);
        assert!(fading.expected_hour(MONDAY * BUCKETS_A_DAY + 120, 23, &peers) < after_wild);
        let mut by_day = profile.clone();
        (31..=31 + 364).for_each(|day| by_day.learn_idle(day, day, &[]));
        let mut silent = profile.clone();
        silent.learn_idle(31, 40, &(31..=40).collect::<Vec<i32>>());
        assert_eq!(silent, profile);
        assert_eq!(by_day, fading);
    }
}
