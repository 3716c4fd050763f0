//! `geophone explain`: everything that made an alert, from a running daemon or from a replay's output.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{Request, Uri};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{Exit, Failure};
use crate::alerting::message::clean;
use crate::stats::{grouped, sparkline};

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
}

/// Longest answer of a daemon, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest wait for one.
const WAIT: Duration = Duration::from_secs(10);
/// Events that are listed.
const EVENTS_SHOWN: usize = 50;

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
        (ask(&args.daemon, &args.id)?, args.daemon.clone())
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
    print!("{}", told(&lines));
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
fn ask(daemon: &str, id: &str) -> Result<Vec<Value>, Failure> {
    let url = format!("{}/api/v1/alerts/{id}", daemon.trim_end_matches('/'));
    let failed =
        |what: String| Failure::new(Exit::Unavailable, format_args!("{url}: {what}; is `geophone run` listening there ([http] listen)?"));
    let uri: Uri = url.parse().map_err(|error| Failure::new(Exit::Usage, format_args!("{url}: {error}; write http://HOST:PORT")))?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::new(Exit::Usage, format_args!("{url}: is no http:// address; run explain beside the daemon")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, format_args!("no runtime: {error}; free memory or raise the process limit")))?;
    let answer = runtime.block_on(async { tokio::time::timeout(WAIT, get(uri)).await });
    let text = answer.map_err(|_| failed("no answer in 10 s".to_owned()))?.map_err(failed)?;
    Ok(alerts_of(&text, id))
}

async fn get(uri: Uri) -> Result<String, String> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(uri).body(Empty::<axum::body::Bytes>::new()).map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())
}

/// What is said of an alert, from all lines that were printed of it.
fn told(lines: &[Value]) -> String {
    let mut out = String::new();
    let Some(alert) = lines.last() else { return out };
    let text = |value: &Value| clean(value.as_str().unwrap_or(""));
    let _ = writeln!(out, "{}\n{}\n", text(&alert["title"]), text(&alert["explanation"]));
    facts(&mut out, alert);
    if let Some(numbers) = alert["numbers"].as_object().filter(|numbers| !numbers.is_empty()) {
        out.push_str("\nnumbers\n");
        let width = numbers.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in numbers {
            let _ = writeln!(out, "  {:<width$}  {}", clean(name), number(value));
        }
    }
    history(&mut out, &alert["history"]);
    out.push_str("\nhow it went\n");
    for line in lines {
        let _ = writeln!(
            out,
            "  {} {:<8} {:<8} {}",
            text(&line["last_event"]),
            text(&line["status"]),
            text(&line["severity"]),
            text(&line["title"])
        );
    }
    let count = alert["event_count"].as_u64().unwrap_or(0);
    let ids = list(&alert["event_ids"], EVENTS_SHOWN);
    let _ = writeln!(
        out,
        "\n{} events{}{}",
        grouped(count, ','),
        if ids.is_empty() { "" } else { ", of which these decided:\n  " },
        ids.replace(", ", "\n  ")
    );
    let _ = writeln!(out, "\nwhat to do: docs/runbook/{}.md", text(&alert["detector"]));
    out
}

/// Who, what, where and when, a row each.
fn facts(out: &mut String, alert: &Value) {
    let text = |value: &Value| clean(value.as_str().unwrap_or(""));
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<12} {value}");
        }
    };
    row("severity", format!("{}, confidence {}", text(&alert["severity"]), text(&alert["confidence"])));
    row("detector", text(&alert["detector"]));
    let actor = &alert["actor"];
    row("actor", format!("{} {}", text(&actor["kind"]), text(&actor["key"])));
    row("session", text(&actor["arn"]));
    row("access key", text(&actor["access_key_id"]));
    let department = &alert["department"];
    row(
        "department",
        match department["value"].as_str() {
            Some(name) => format!("{} (from {})", clean(name), text(&department["source"])),
            None => format!("unknown: {}", text(&department["reason"])),
        },
    );
    row("model", text(&alert["model"]["id"]));
    row(
        "refused",
        [&alert["denial"]["kind"], &alert["denial"]["by"]].into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", by "),
    );
    row(
        "policy",
        ["verdict", "statement", "why"]
            .into_iter()
            .filter_map(|key| alert["policy"][key].as_str())
            .map(clean)
            .collect::<Vec<_>>()
            .join(": "),
    );
    row("where", format!("account {}, {}, from {}", text(&alert["account"]), text(&alert["region"]), text(&alert["source_ip"])));
    row("when", format!("{} to {}", text(&alert["onset"]), text(&alert["last_event"])));
    row("techniques", list(&alert["techniques"], usize::MAX));
    row("incident", text(&alert["incident_id"]));
}

/// The busiest hour of the last days as a line of blocks.
fn history(out: &mut String, history: &Value) {
    let days: Vec<f64> = history["busiest_hours"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if days.is_empty() {
        return;
    }
    let highest = days.iter().copied().fold(0.0, f64::max);
    let (unit, last) = (clean(history["unit"].as_str().unwrap_or("")), clean(history["last_day"].as_str().unwrap_or("")));
    let _ = writeln!(out, "\nbusiest hour of the {} days up to {last}, in {unit} (highest {highest})\n  {}", days.len(), sparkline(&days));
}

fn list(value: &Value, most: usize) -> String {
    value.as_array().into_iter().flatten().take(most).filter_map(Value::as_str).map(clean).collect::<Vec<_>>().join(", ")
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 && number >= 0.0 => grouped(number as u64, ','),
        Some(number) => number.to_string(),
        None => clean(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_the_whole_story_and_believes_nobody() {
        let line = |status: &str, title: &str| {
            json!({"alert_id": "abcdef0123", "status": status, "title": title, "explanation": "412 calls\u{202e} in 5 min",
                "severity": "high", "detector": "invocation-spike", "numbers": {"calls_5m": 412.0, "expected_10m": 0.1},
                "history": {"unit": "calls", "last_day": "2026-06-01", "busiest_hours": [0, 3, 71]},
                "event_ids": ["a", "b"], "event_count": 1412, "department": {"value": null, "reason": "no-grant"}})
        };
        let text = told(&[line("opened", "one"), line("updated", "two")]);
        for part in [
            "two\n412 calls in 5 min\n",
            "numbers\n  calls_5m      412\n  expected_10m  0.1\n",
            "in calls (highest 71)\n  ·▁█\n",
            "opened   high     one\n",
            "1,412 events, of which these decided:\n  a\n  b\n",
            "docs/runbook/invocation-spike.md",
            "unknown: no-grant",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert_eq!(told(&[]), "");
        assert!(told(&[json!({"numbers": {"a": {"b": 1}}, "event_ids": 3, "history": {"busiest_hours": ["x"]}})]).contains("0 events"));
    }

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(parse_id("ABCdef"), Ok("abcdef".to_owned()));
        for bad in ["abc", "../etc", "zzzzzzzz", ""] {
            assert!(parse_id(bad).is_err(), "{bad}");
        }
    }
}
