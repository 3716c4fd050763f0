//! Waiting for something to become true, with a deadline that is only reached when something is broken.

use std::time::{Duration, Instant};

/// Generous: two busy cores and a debug build must not reach it.
pub const DEADLINE: Duration = Duration::from_secs(90);

const POLL: Duration = Duration::from_millis(40);

/// Asks `probe` until it has an answer; panics at the deadline, saying what was waited for.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(POLL).await;
    }
}
