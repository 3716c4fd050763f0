//! How high an actor's days reach: mean and spread of one channel's daily maximum, and how rare a value is for it.
//!
//! Normal-inverse-gamma: the actor's own days speak in proportion to their number, its peers' for the rest, and what is
//! left uncertain widens the tail (Student's t with ν₀ + n degrees of freedom). So an actor of one day is judged by its
//! peers, one of forty by itself, and nothing switches in between.

use serde::{Deserialize, Serialize};

use super::student;

/// Days that an actor's own numbers weigh at most; older ones fade.
pub const DAYS_MAX: u16 = 40;
/// ν₀: how many days the peers' spread weighs.
const PRIOR_DAYS: f64 = 6.0;
/// A day teaches at most this many spreads above the mean, so that one attack does not become normal.
const WINSOR_SPREADS: f64 = 4.0;
/// Noise that is always allowed for: nobody's days are closer to each other than this.
const NOISE: f64 = 0.2;

/// Mean and variance of a channel's daily maximum over the actor's active days. How many those are is kept beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    mean: f32,
    variance: f32,
}

/// What the peers' tails say about an actor of whom nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailPrior {
    /// Mean of the peers' means.
    pub mean: f64,
    /// Mean of the peers' variances.
    pub variance: f64,
    /// How many days the peers' mean weighs: the variance within over the variance between them.
    pub weight: f64,
}

impl Default for TailPrior {
    /// Wide: without peers little is rare.
    fn default() -> Self {
        Self { mean: 1.5, variance: 1.0, weight: 0.5 }
    }
}

/// Mean and spread after own days and peers are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Posterior {
    mean: f64,
    variance: f64,
    /// One over the days behind the mean.
    share: f64,
    freedom: usize,
}

impl Tail {
    /// Mean and variance of the actor's own days.
    pub fn moments(&self) -> (f64, f64) {
        (f64::from(self.mean), f64::from(self.variance))
    }

    fn posterior(&self, days: u16, prior: &TailPrior) -> Posterior {
        let n = f64::from(days.min(DAYS_MAX));
        let (mean, variance) = self.moments();
        // One division: this is asked for every call and channel.
        let share = 1.0 / (prior.weight + n);
        let between = prior.weight * n * share * (mean - prior.mean).powi(2);
        Posterior {
            mean: (prior.weight * prior.mean + n * mean) * share,
            variance: (PRIOR_DAYS * prior.variance + n * variance + between) / (PRIOR_DAYS + n),
            share,
            freedom: PRIOR_DAYS as usize + usize::from(days.min(DAYS_MAX)),
        }
    }

    /// −log10 of the chance that a day of this actor reaches `value`, after `days` active days.
    pub fn surprise(&self, value: f64, days: u16, prior: &TailPrior) -> f64 {
        let posterior = self.posterior(days, prior);
        let spread = (posterior.variance * (1.0 + posterior.share) + NOISE * NOISE).sqrt();
        student::surprise((value - posterior.mean) / spread, posterior.freedom)
    }

    /// Learns the maximum of one active day; `days` are those before it. With `fully` the value counts as it is: somebody
    /// has said that this is how it is from now on.
    pub fn learn(&mut self, value: f64, days: u16, prior: &TailPrior, fully: bool) {
        if !value.is_finite() {
            return;
        }
        let posterior = self.posterior(days, prior);
        let highest = posterior.mean + WINSOR_SPREADS * posterior.variance.sqrt().max(0.1);
        let value = if fully { value } else { value.min(highest) };
        let (mean, variance) = self.moments();
        let weight = 1.0 / (f64::from(days.min(DAYS_MAX - 1)) + 1.0);
        let delta = value - mean;
        self.mean = (mean + weight * delta) as f32;
        self.variance = ((1.0 - weight) * (variance + weight * delta * delta)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: TailPrior = TailPrior { mean: 1.0, variance: 0.25, weight: 2.0 };

    fn after(values: impl IntoIterator<Item = f64>) -> (Tail, u16) {
        values.into_iter().fold((Tail::default(), 0), |(mut tail, days), value| {
            tail.learn(value, days, &PEERS, false);
            (tail, days + 1)
        })
    }

    #[test]
    fn the_new_are_judged_by_their_peers_and_the_old_by_themselves() {
        let (newcomer, days) = after([]);
        assert!(newcomer.surprise(1.0, days, &PEERS) < 0.5 && newcomer.surprise(5.0, days, &PEERS) > 2.5);
        let (loud, days) = after((0..40).map(|day| 5.0 + f64::from(day % 3) * 0.2));
        assert!(loud.surprise(5.2, days, &PEERS) < 0.6, "{}", loud.surprise(5.2, days, &PEERS));
        assert!(loud.surprise(9.0, days, &PEERS) > 4.0);
    }

    #[test]
    fn one_wild_day_teaches_little_unless_it_is_acknowledged() {
        let (usual, days) = after((0..30).map(|day| 1.0 + f64::from(day % 4) * 0.1));
        let mut wild = usual;
        wild.learn(12.0, days, &PEERS, false);
        assert!(wild.surprise(6.0, days + 1, &PEERS) > 3.0);
        let mut shifted = usual;
        (0..5).for_each(|day| shifted.learn(6.0, days + day, &PEERS, true));
        assert!(shifted.surprise(6.0, days + 5, &PEERS) < 2.5, "{}", shifted.surprise(6.0, days + 5, &PEERS));
    }

    #[test]
    fn more_is_never_less_rare_and_nonsense_is_not_learned() {
        let (mut tail, days) = after((0..10).map(f64::from));
        let before = tail;
        tail.learn(f64::NAN, days, &PEERS, false);
        assert_eq!(tail, before);
        let rarities: Vec<f64> = (0..200).map(|step| tail.surprise(f64::from(step) * 0.1, days, &PEERS)).collect();
        assert!(rarities.is_sorted(), "{rarities:?}");
    }
}
