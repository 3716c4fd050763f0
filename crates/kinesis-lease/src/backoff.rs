//! Exponential backoff with full jitter.

use std::time::Duration;

/// Counts failures in a row and says how long to wait after each.
///
/// *Full* jitter (a uniformly random wait between nothing and the limit) rather than a little on
/// top, because all shards of a throttled stream fail at the same moment and would come back at
/// the same moment.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure and returns the wait before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        let limit = self.limit();
        self.failures = self.failures.saturating_add(1);
        limit.mul_f64(fastrand::f64())
    }

    fn limit(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        self.base.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_the_maximum_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        for limit_ms in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(backoff.limit(), Duration::from_millis(limit_ms));
            assert!(backoff.failed() <= Duration::from_millis(limit_ms));
        }
        for _ in 0..100 {
            backoff.failed();
        }
        assert_eq!(backoff.limit(), Duration::from_secs(30), "no overflow");
        backoff.succeeded();
        assert_eq!(backoff.limit(), Duration::from_millis(250));
    }
}
