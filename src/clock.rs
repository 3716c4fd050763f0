//! The clock, given from the edge: the machine's, or one that runs faster for the demo.
//!
//! The only module that asks the machine what time it is.

#![allow(clippy::disallowed_methods, reason = "this is the clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{EventTime, Now};

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's wall clock.
    System,
    /// A clock that showed `start` at `origin` and runs `factor` times as fast as real time.
    Scaled {
        /// The real moment of `start`.
        origin: Instant,
        /// What it showed then.
        start: EventTime,
        /// Simulated seconds a real second.
        factor: f64,
    },
}

impl Clock {
    /// What the clock shows.
    pub fn now(&self) -> Now {
        Now(match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                EventTime::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
            }
            Self::Scaled { origin, start, factor } => start.plus((origin.elapsed().as_secs_f64() * factor) as i64),
        })
    }
}

/// Milliseconds since 1970 by the machine's wall clock, for names that are in order.
pub fn epoch_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// This moment on the machine's monotonic clock, for measuring how long something takes.
pub fn moment() -> Instant {
    Instant::now()
}
