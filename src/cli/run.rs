//! `geophone run`: the daemon.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use super::summary::Summary;
use super::{Exit, Failure, Loaded, load};
use crate::clock::Clock;
use crate::daemon::{Access, Daemon, stop_signal};
use crate::telemetry::start_log;

/// Runs until it is asked to stop.
pub fn run(config: &Path) -> Result<Exit, Failure> {
    let Loaded { settings, sources, notices } = load(config)?;
    start_log(std::io::stderr().is_terminal());
    notices.iter().for_each(|notice| tracing::warn!(%notice, "a policy is not understood in part: verdicts that it decides are unknown"));
    let started = crate::clock::moment();
    let outcome = runtime()?.block_on(async {
        let daemon =
            Daemon { settings, sources: Some(sources), clock: Clock::System, access: access(), poll_interval: Duration::from_secs(1) };
        daemon.start().await?.run(stop_signal()).await
    })?;
    let summary = Summary::new(&outcome.counts, outcome.records, outcome.undecodable, started.elapsed().as_secs_f64());
    tracing::info!(records = summary.records, events = summary.events, undecodable = summary.undecodable, "stopped");
    Ok(Exit::Ok)
}

/// Emulators need no credentials of the user's.
fn access() -> Access {
    if std::env::var_os("GEOPHONE_EMULATOR").is_some() { Access::Emulator } else { Access::Environment }
}

/// The tokio runtime.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::new(Exit::Software, error))
}
