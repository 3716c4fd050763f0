//! Peers: the daily peaks of all actors of one department and kind, as distributions.
//!
//! One histogram a cohort is affordable (a few KB each); one an actor would not be.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Largest peak that is told apart from larger ones.
const PEAK_MAX: u64 = 10_000_000;
/// Actor-days after which the older half of a cohort's memory is dropped.
const GENERATION: u64 = 20_000;
/// Fewer actor-days than this say nothing about peers.
const ACTOR_DAYS_MIN: u64 = 10;

/// Peaks of a cohort in two generations, so that old habits fade.
#[derive(Clone, Debug)]
pub struct Cohort {
    current: Histogram<u32>,
    previous: Histogram<u32>,
}

/// What a snapshot keeps of a [`Cohort`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CohortImage {
    current: Vec<(u64, u32)>,
    previous: Vec<(u64, u32)>,
}

impl Default for Cohort {
    fn default() -> Self {
        Self { current: empty(), previous: empty() }
    }
}

/// Two significant digits; see the bounds of `new_with_bounds`, which 1, a positive maximum and 2 meet.
fn empty() -> Histogram<u32> {
    Histogram::new_with_bounds(1, PEAK_MAX, 2).unwrap_or_else(|_| unreachable!("constant bounds"))
}

impl Cohort {
    /// Takes the peak of one actor's day.
    pub fn record(&mut self, peak: u32) {
        self.current.saturating_record(u64::from(peak));
        if self.current.len() >= GENERATION {
            self.previous = std::mem::replace(&mut self.current, empty());
        }
    }

    /// The median; `None` with too few actor-days.
    pub fn median(&self) -> Option<u32> {
        if self.current.len() + self.previous.len() < ACTOR_DAYS_MIN {
            return None;
        }
        let mut all = self.current.clone();
        // Both have the same bounds, so the addition cannot fail.
        let _ = all.add(&self.previous);
        Some(all.value_at_quantile(0.5) as u32)
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> CohortImage {
        let pairs = |h: &Histogram<u32>| h.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        CohortImage { current: pairs(&self.current), previous: pairs(&self.previous) }
    }

    /// A cohort with what `image` kept.
    pub fn restore(image: &CohortImage) -> Self {
        let fill = |pairs: &[(u64, u32)]| {
            let mut histogram = empty();
            pairs.iter().for_each(|(value, count)| histogram.saturating_record_n(*value, *count));
            histogram
        };
        Self { current: fill(&image.current), previous: fill(&image.previous) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_nothing_about_few_and_the_middle_of_many() {
        let mut cohort = Cohort::default();
        (0..9).for_each(|_| cohort.record(10));
        assert_eq!(cohort.median(), None);
        (0..91).for_each(|n| cohort.record(n % 21));
        let median = cohort.median().expect("enough");
        assert!((9..=11).contains(&median), "{median}");
    }

    #[test]
    fn survives_a_snapshot() {
        let mut cohort = Cohort::default();
        (0..500).for_each(|n| cohort.record(n * n));
        assert_eq!(Cohort::restore(&cohort.image()).median(), cohort.median());
    }
}
