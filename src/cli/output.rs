//! What is printed for people. Colours only on a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Format;
use crate::alerting::message::clean;
use crate::alerting::{Alert, Status};
use crate::finding::{Finding, Severity};
use crate::stats::grouped;
use crate::time::spoken;
use crate::web::View;

/// Prints alerts to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    format: Format,
    colours: bool,
}

impl Printer {
    /// A printer in `format`; colours where standard output is a terminal that wants them.
    pub fn new(format: Format) -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { format, colours }
    }

    /// Prints one alert. A reader that went away is no error.
    pub fn alert(&self, alert: &Alert) {
        match self.format {
            Format::Ndjson => say(alert.to_ndjson()),
            Format::Text => say(self.text(alert)),
        }
    }

    /// Prints one finding.
    pub fn finding(&self, finding: &Finding) {
        match self.format {
            Format::Ndjson => say(serde_json::json!({
                "finding": finding.detector.label(), "time": finding.time.to_string(), "severity": finding.severity.label(),
                "fingerprint": finding.fingerprint.0.to_string(), "explanation": finding.explanation, "numbers": finding.numbers,
                "event_id": finding.event_id.as_ref().map(ToString::to_string),
            })
            .to_string()),
            Format::Text => say(format!("  finding {} {} {}", finding.time, finding.detector.label(), clean(&finding.explanation))),
        }
    }

    fn text(&self, alert: &Alert) -> String {
        let (on, off) = if self.colours { (colour(alert.severity), "\u{1b}[0m") } else { ("", "") };
        let status = match alert.status {
            Status::Opened => String::new(),
            Status::Updated | Status::Resolved => format!("{} ", alert.status.label()),
        };
        let again = if alert.possible_duplicate { " (may have been sent before)" } else { "" };
        let events =
            if alert.event_count == 1 { "1 event".to_owned() } else { format!("{} events since {}", alert.event_count, alert.onset) };
        format!(
            "{} {on}{:<13}{off} {status}{}{again}\n    {}\n    alert {} · incident {} · {events}",
            alert.last_event,
            alert.severity.label().to_ascii_uppercase(),
            clean(&alert.title),
            clean(&alert.explanation),
            short(&alert.alert_id.to_string()),
            short(&alert.incident_id.to_string()),
        )
    }
}

fn short(id: &str) -> &str {
    &id[..id.len().min(12)]
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "\u{1b}[2m",
        Severity::Low => "\u{1b}[36m",
        Severity::Medium => "\u{1b}[33m",
        Severity::High => "\u{1b}[31m",
        Severity::Critical => "\u{1b}[1;31m",
    }
}

/// Prints a line. Whoever has closed the pipe has read enough: that is no reason to fail.
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a text that ends its own lines; the same holds.
pub fn say_text(text: impl fmt::Display) {
    let _ = write!(io::stdout().lock(), "{text}");
}

/// A progress bar over bytes on standard error; invisible where that is no terminal.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

/// A status line on standard error; invisible where that is no terminal.
pub fn status_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What the status line says: how fast, how far behind, how many incidents.
pub fn status(view: &View) -> String {
    let behind = view.shards.iter().map(|(_, behind)| *behind / 1_000).max().unwrap_or(0);
    let behind = if behind == 0 { "at the streams' ends".to_owned() } else { format!("{} behind", spoken(behind)) };
    let mut incidents: Vec<_> = view.alerts.iter().map(|alert| alert.incident_id).collect();
    incidents.sort_unstable();
    incidents.dedup();
    let waiting = if view.gauges.held == 0 {
        String::new()
    } else {
        format!("   {} calls wait for their STS record", grouped(view.gauges.held as u64, ','))
    };
    format!(
        "{}   {:.0} events/s, {} in all   {behind}   {} open incidents{waiting}",
        view.now,
        view.rate,
        grouped(view.events, ','),
        incidents.len(),
    )
}

/// Writes to standard error around a status line, which would else be torn.
#[derive(Clone, Debug)]
pub struct AroundStatus(pub ProgressBar);

impl Write for AroundStatus {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
