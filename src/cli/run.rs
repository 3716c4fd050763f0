//! `geophone run`: the daemon.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use super::output::{AroundStatus, status, status_line};
use super::summary::Summary;
use super::{Exit, Failure, Loaded, load};
use crate::clock::Clock;
use crate::daemon::{Access, Daemon, stop_signal};
use crate::telemetry::start_log;
use crate::web::Web;

const STATUS_EVERY: Duration = Duration::from_millis(500);

/// Runs until it is asked to stop.
pub fn run(config: &Path) -> Result<Exit, Failure> {
    let Loaded { settings, sources, notices } = load(config)?;
    let (is_terminal, bar) = (std::io::stderr().is_terminal(), status_line());
    let writer = AroundStatus(bar.clone());
    start_log(is_terminal, move || writer.clone());
    notices.iter().for_each(|notice| tracing::warn!(%notice, "a policy is not understood in part: verdicts that it decides are unknown"));
    let started = crate::clock::moment();
    let outcome = runtime()?.block_on(async {
        let daemon =
            Daemon { settings, sources: Some(sources), clock: Clock::System, access: access(), poll_interval: Duration::from_secs(1) };
        // Heard from now on: who asks during the start is not answered by dying of the signal.
        let mut stop = tokio::spawn(stop_signal());
        let running = tokio::select! {
            running = daemon.start() => running?,
            _ = &mut stop => return Ok(None),
        };
        if is_terminal {
            tokio::spawn(keep_status(Arc::clone(&running.web), bar.clone()));
        }
        let stop = async { drop(stop.await) };
        running.run(stop).await.map(Some)
    });
    bar.finish_and_clear();
    let Some(outcome) = outcome? else { return Ok(Exit::Ok) };
    let summary = Summary::new(&outcome.counts, outcome.records, outcome.undecodable, started.elapsed().as_secs_f64());
    tracing::info!(records = summary.records, events = summary.events, undecodable = summary.undecodable, "stopped");
    Ok(Exit::Ok)
}

/// Keeps the status line up to date until the process ends.
async fn keep_status(web: Arc<Web>, bar: ProgressBar) {
    loop {
        bar.set_message(status(&web.view()));
        tokio::time::sleep(STATUS_EVERY).await;
    }
}

/// Emulators need no credentials of the user's.
pub(super) fn access() -> Access {
    if std::env::var_os("GEOPHONE_EMULATOR").is_some() { Access::Emulator } else { Access::Environment }
}

/// The tokio runtime.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::new(Exit::Software, error))
}
