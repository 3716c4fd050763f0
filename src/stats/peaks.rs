//! The history of one number's daily peaks: a decayed mean and variance of their logarithms, in constant space.
//!
//! A peak is the largest count of a day in a sliding window. Its logarithm is close to normal for people and machines
//! alike, so mean and spread of `ln(1 + peak)` over active days describe what a usual busy moment is.

use serde::{Deserialize, Serialize};

/// Weight of a new day once enough days are known: a half-life of about 14 active days.
const DECAY: f64 = 0.05;
/// A day may teach at most this many spreads above the mean, so that one attack does not become normal.
const WINSOR_SPREADS: f64 = 3.0;
/// Smallest spread of `ln(1 + peak)` that is believed: day-to-day noise of even the steadiest actor.
const SPREAD_MIN: f64 = 0.35;

/// Mean and variance of `ln(1 + daily peak)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DailyPeaks {
    days: u16,
    /// Highest peak of the present 28 active days, and of the 28 before.
    highest: [f32; 2],
    mean: f32,
    variance: f32,
}

impl DailyPeaks {
    /// Active days that were learned.
    pub const fn days(&self) -> u32 {
        self.days as u32
    }

    /// The highest peak of the last 28 to 56 active days.
    pub fn highest(&self) -> u32 {
        self.highest[0].max(self.highest[1]) as u32
    }

    /// A usual day's peak: the exponential of the mean logarithm.
    pub fn usual(&self) -> f64 {
        (f64::from(self.mean).exp() - 1.0).max(0.0)
    }

    /// Learns the peak of one active day.
    pub fn learn(&mut self, peak: u32) {
        let mut value = f64::from(peak).ln_1p();
        let (mean, variance) = (f64::from(self.mean), f64::from(self.variance));
        if self.days >= 3 {
            value = value.min(mean + WINSOR_SPREADS * variance.sqrt().max(SPREAD_MIN));
        }
        // A plain average over the first days, an exponential one later.
        let weight = (1.0 / (f64::from(self.days) + 1.0)).max(DECAY);
        let delta = value - mean;
        self.mean = (mean + weight * delta) as f32;
        self.variance = ((1.0 - weight) * (variance + weight * delta * delta)) as f32;
        self.days = self.days.saturating_add(1);
        if self.days.is_multiple_of(28) {
            self.highest = [0.0, self.highest[0]];
        }
        self.highest[0] = self.highest[0].max(peak as f32);
    }

    /// Mean and spread after `peers` (a mean and a spread that count as `weight` days) are taken into account: an actor
    /// with little history is judged by its peers, one with much by itself.
    pub fn blended(&self, peers: Option<(f64, f64)>, weight: f64) -> (f64, f64) {
        let (mean, variance, days) = (f64::from(self.mean), f64::from(self.variance), f64::from(self.days).min(1.0 / DECAY));
        let Some((peer_mean, peer_spread)) = peers else { return (mean, variance.sqrt().max(SPREAD_MIN)) };
        let total = days + weight;
        let blended = (days * mean + weight * peer_mean) / total;
        let between = days * weight / (total * total) * (mean - peer_mean).powi(2);
        let variance = (days * variance + weight * peer_spread * peer_spread) / total + between;
        (blended, variance.sqrt().max(SPREAD_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_a_steady_peak() {
        let mut peaks = DailyPeaks::default();
        (0..40).for_each(|day| peaks.learn(18 + day % 5));
        assert!((peaks.usual() - 20.0).abs() < 1.5, "{}", peaks.usual());
        assert_eq!((peaks.days(), peaks.highest()), (40, 22));
    }

    #[test]
    fn one_wild_day_changes_little() {
        let mut peaks = DailyPeaks::default();
        (0..20).for_each(|_| peaks.learn(20));
        peaks.learn(1_000_000);
        assert!(peaks.usual() < 25.0, "{}", peaks.usual());
        assert_eq!(peaks.highest(), 1_000_000);
    }

    #[test]
    fn peers_speak_for_newcomers_only() {
        let mut peaks = DailyPeaks::default();
        let peers = Some((3.0, 0.8));
        assert_eq!(peaks.blended(peers, 3.0).0, 3.0);
        (0..30).for_each(|_| peaks.learn(0));
        assert!(peaks.blended(peers, 3.0).0 < 0.5);
    }
}
