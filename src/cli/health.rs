//! `geophone health`: whether a daemon reads. A container's health check, where there is no shell and no curl.

use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;

use super::asking::{self, Known};
use super::output::say;
use super::{Exit, Failure};

/// Longest answer of `/readyz`, which names every trouble.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Shorter than the patience of whoever runs health checks: they should hear why.
const WAIT: Duration = Duration::from_secs(4);

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the daemon listens ([http] listen)
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    url: String,
    #[command(flatten)]
    known: Known,
}

/// Runs the command: what the daemon says of itself, and 69 unless it is ready.
pub fn health(args: &HealthArgs) -> Result<Exit, Failure> {
    let url = format!("{}/readyz", args.url.trim_end_matches('/'));
    let (status, said) = asking::get(&url, &args.known, ANSWER_BYTES_MAX, WAIT)?;
    let said = said.trim();
    if status == StatusCode::OK {
        say(said);
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Unavailable, format_args!("{url}: {status}: {said}; see the daemon's log")))
}
