//! `geophone explain`: everything that made an alert, from a running daemon or from a replay's output.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::asking::{self, Known};
use super::output::say_text;
use super::{Exit, Failure};
use crate::alerting::message::told;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The alert's id, or its first digits (at least six)
    #[arg(value_name = "ALERT_ID", value_parser = parse_id)]
    id: String,
    /// Outputs of `replay --format ndjson`, or messages of an ndjson topic; `-` for standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The daemon to ask where no file is given
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464", conflicts_with = "files")]
    daemon: String,
    #[command(flatten)]
    known: Known,
}

/// Longest answer of a daemon, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest wait for one.
const WAIT: Duration = Duration::from_secs(10);

fn parse_id(text: &str) -> Result<String, String> {
    let id = text.to_ascii_lowercase();
    if (6..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(id)
    } else {
        Err("give 6 to 32 hexadecimal digits".to_owned())
    }
}

/// Runs the command.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let (lines, place) = if args.files.is_empty() {
        (ask(&args.daemon, &args.known, &args.id)?, args.daemon.clone())
    } else {
        let mut lines = Vec::new();
        for file in &args.files {
            lines.extend(alerts_of(&read(file)?, &args.id));
        }
        (lines, args.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))
    };
    let Some(id) = lines.first().and_then(|line| line["alert_id"].as_str()) else {
        return Err(Failure::new(
            Exit::NoInput,
            format_args!("{place}: no alert {}; the daemon knows open ones only, a replay all that it printed", args.id),
        ));
    };
    if let Some(other) = lines.iter().filter_map(|line| line["alert_id"].as_str()).find(|other| *other != id) {
        return Err(Failure::new(Exit::Usage, format_args!("{} begins {id} and {other}; give more digits", args.id)));
    }
    say_text(told(&lines));
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|all| text = all)
    };
    read.map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; name a file of alerts", path.display())))?;
    Ok(text)
}

/// Alerts in `text` whose id begins with `id`; other lines are passed over.
fn alerts_of(text: &str, id: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["alert_id"].as_str().is_some_and(|own| own.starts_with(id)))
        .collect()
}

/// Asks a daemon for its open alerts.
fn ask(daemon: &str, known: &Known, id: &str) -> Result<Vec<Value>, Failure> {
    let url = format!("{}/api/v1/alerts/{id}", daemon.trim_end_matches('/'));
    let (_, text) = asking::get(&url, known, ANSWER_BYTES_MAX, WAIT)?;
    Ok(alerts_of(&text, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(parse_id("ABCdef"), Ok("abcdef".to_owned()));
        for bad in ["abc", "../etc", "zzzzzzzz", ""] {
            assert!(parse_id(bad).is_err(), "{bad}");
        }
    }
}
