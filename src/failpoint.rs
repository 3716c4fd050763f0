//! Points at which the torture harness ends the program, and guards that it takes away, to see whether it notices.
//!
//! They exist in a build with the feature `failpoints` only, which no release has; anywhere else [`reached`] is `false` and
//! costs nothing. `GEOPHONE_FAILPOINTS` says what happens, separated by `;`: `after-manifest=5` ends the program the fifth
//! time that it gets there, as suddenly as `kill -9`; `after-note~2` stops it the second time, as SIGSTOP does, until
//! somebody lets it go on; `no-journal` takes the journal away. The crate `fail` does more, and
//! changes features of crates below the AWS SDK: a second build of the program would build all of them again.

/// A point of the program by its name. `true` where the harness takes away the guard that stands there.
#[cfg(feature = "failpoints")]
pub fn reached(name: &str) -> bool {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    enum Point {
        Ends(AtomicU64),
        Stops(AtomicU64),
        IsAway,
    }
    static POINTS: OnceLock<BTreeMap<String, Point>> = OnceLock::new();
    let points = POINTS.get_or_init(|| {
        let text = std::env::var_os("GEOPHONE_FAILPOINTS").unwrap_or_default().into_string().unwrap_or_default();
        let hits = |text: &str| AtomicU64::new(text.parse().unwrap_or(1));
        let point = |part: &str| match (part.split_once('='), part.split_once('~')) {
            (Some((name, times)), _) => (name.to_owned(), Point::Ends(hits(times))),
            (None, Some((name, times))) => (name.to_owned(), Point::Stops(hits(times))),
            (None, None) => (part.to_owned(), Point::IsAway),
        };
        text.split(';').filter(|part| !part.is_empty()).map(point).collect()
    });
    match points.get(name) {
        None => false,
        Some(Point::IsAway) => true,
        Some(Point::Ends(left)) => {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                std::process::abort();
            }
            false
        }
        Some(Point::Stops(left)) => {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                // The standard library sends no signals. Nothing is to be done where there is no `kill`.
                let _ = std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
            }
            false
        }
    }
}

/// Nothing happens here in a build without the feature.
#[cfg(not(feature = "failpoints"))]
pub const fn reached(_name: &str) -> bool {
    false
}
