//! Labels as CSV, `identity,start,end,kind,event`, and the table that a backtest prints where it has them.

use std::fmt::Write;
use std::path::Path;

use crate::backtest::score::{AtThreshold, Label, Scorer};
use crate::baseline::FleetSettings;
use crate::cli::{Exit, Failure};
use crate::stats::ring::BUCKET;
use crate::time::EventTime;

/// Rates of false alerts per 1,000 identity-days at which recall is told.
const RATES: [f64; 3] = [10.0, 1.0, 0.1];

/// Reads labels.
///
/// # Errors
/// No such file (66), or a row is no label (65).
pub fn read(path: &Path) -> Result<Vec<Label>, Failure> {
    let wrong = |line: u64, what: &str| Failure::new(Exit::NothingDecodable, format_args!("{}:{line}: {what}", path.display()));
    let mut reader = csv::Reader::from_path(path)
        .map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; name a CSV file with --labels", path.display())))?;
    let header = reader.headers().map_err(|error| wrong(1, &error.to_string()))?.clone();
    let mut places = [0; 5];
    for (place, name) in places.iter_mut().zip(["identity", "start", "end", "kind", "event"]) {
        let found = header.iter().position(|field| field == name);
        *place = found.ok_or_else(|| wrong(1, &format!("column {name} is missing; the header is identity,start,end,kind,event")))?;
    }
    let mut labels = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(0, &error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |n: usize| record.get(places[n]).unwrap_or_default();
        let slot = |n: usize| EventTime::parse(field(n)).map(|time| time.slot(BUCKET)).ok_or_else(|| wrong(line, "a time is none"));
        let label = Label { identity: field(0).into(), start: slot(1)?, end: slot(2)?, kind: field(3).into(), event: field(4).into() };
        if label.end < label.start {
            return Err(wrong(line, "the span ends before it starts"));
        }
        labels.push(label);
    }
    Ok(labels)
}

/// What was found at fixed rates of false alerts, and what the asked budget cost.
pub fn table(scorer: &Scorer, settings: &FleetSettings) -> String {
    let mut text = String::new();
    let rates = RATES.map(|rate| scorer.at_rate(rate));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "recall at {} false alerts per 1,000 identity-days ({:.0} counted)",
        RATES.map(|rate| rate.to_string()).join(" / "),
        scorer.identity_days()
    );
    let row = |name: &str, of: &dyn Fn(&AtThreshold) -> String| {
        format!("  {name:<20} {:>8} {:>8} {:>8}\n", of(&rates[0]), of(&rates[1]), of(&rates[2]))
    };
    text.push_str(&row("threshold", &|at| format!("{:.2}", at.threshold)));
    text.push_str(&row("macro recall", &|at| format!("{:.3}", at.macro_recall)));
    for (kind, (_, spans, _)) in &rates[0].kinds {
        let of = |at: &AtThreshold| at.kinds.get(kind).map_or(String::new(), |(recall, ..)| format!("{recall:.2}"));
        let delay =
            rates[1].kinds.get(kind).and_then(|(.., delay)| *delay).map_or(String::new(), |delay| format!(", median delay {delay} min"));
        let line = row(kind, &of);
        let _ = writeln!(text, "{} of {spans}{delay}", line.trim_end_matches('\n'));
    }
    for asked in [settings.budget * 1_000.0, settings.budget * 100.0] {
        let at = scorer.at(-(asked / 1_000.0).log10());
        let _ = writeln!(
            text,
            "asked {asked:.2} false alerts per 1,000 identity-days by formula: got {:.2}, macro recall {:.3}",
            at.false_alerts, at.macro_recall
        );
    }
    let campaigns = scorer.campaigns_at(settings.campaign_deviations);
    if campaigns.labelled > 0 {
        let _ = writeln!(
            text,
            "group campaigns: {} of {} found at {:.1} false alerts per 100 group-days",
            campaigns.found, campaigns.labelled, campaigns.false_alerts
        );
    }
    text
}
