//! `geophone backtest`: what would a budget have raised on past data, and what would another?

pub mod compare;
pub mod counts;
pub mod labels;
pub mod trail;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::progress;
use super::output::say_text;
use super::{Exit, Failure, load_settings};
use crate::backtest::score::Scorer;
use crate::backtest::{Backtest, BacktestCounts, Raised, Row, Said, Scored};
use crate::baseline::{Campaign, Channel, FleetSettings};
use crate::clock::moment;
use crate::config::Settings;
use crate::stats::ring::BUCKET;
use crate::time::{DAY, EventTime};
use compare::Alerted;
use counts::CountsReader;
use trail::TrailReader;

/// What the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// CSV of calls by identity and five minutes
    Counts,
    /// CloudTrail files, read and attributed as the daemon does; identity files and tags from --config
    Cloudtrail,
}

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// What the data is
    #[arg(long, value_enum, default_value = "counts")]
    input: Input,
    /// The data; gzip is recognised. Of CloudTrail also folders, and several
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// False alerts that may be raised per 1,000 identity-days; stands in for the configuration's
    #[arg(long, value_name = "N", value_parser = parse_budget)]
    budget: Option<f64>,
    /// Configuration file, for its [detect.invocation-spike] and, with CloudTrail, [identity] and [models]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another configuration: says which alerts it would gain, lose and keep
    #[arg(long, value_name = "FILE", conflicts_with = "compare_budget")]
    compare: Option<PathBuf>,
    /// The same configuration with another budget: says which alerts it would gain, lose and keep
    #[arg(long, value_name = "N", value_parser = parse_budget)]
    compare_budget: Option<f64>,
    /// Labelled attacks, as CSV identity,start,end,kind,event: says how many would have been found
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// First day that is scored against labels; before it is learning
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day, requires = "labels")]
    from: Option<i64>,
    /// Write alerts here, one JSON object a line
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write scores here: bucket_start,identity,channel,q
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
}

fn parse_budget(text: &str) -> Result<f64, String> {
    let budget: f64 = text.parse().map_err(|_| "give a number like 1 or 0.1".to_owned())?;
    if (0.001..=500.0).contains(&budget) { Ok(budget) } else { Err("give 0.001 to 500 per 1,000 identity-days".to_owned()) }
}

fn parse_day(text: &str) -> Result<i64, String> {
    let time = EventTime::parse(&format!("{text}T00:00:00Z")).ok_or("give a day like 2026-02-16")?;
    Ok(time.slot(DAY))
}

/// Runs the command.
pub fn backtest(args: &BacktestArgs) -> Result<Exit, Failure> {
    if args.input == Input::Counts && args.data.len() > 1 {
        return Err(Failure::new(Exit::Usage, "--data: counts come as one file; put them together, in the order of time"));
    }
    let place = args.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let settings = fleet_settings(args.config.as_deref(), args.budget)?;
    let other = match (&args.compare, args.compare_budget) {
        (Some(path), _) => Some(fleet_settings(Some(path), None)?),
        (None, Some(budget)) => Some(FleetSettings { budget: budget / 1_000.0, ..settings }),
        (None, None) => None,
    };
    let started = moment();
    let mut outputs = Outputs::open(args)?;
    let labels = args.labels.as_deref().map(labels::read).transpose()?;
    let mut scorer = labels.map(|labels| Scorer::new(labels, args.from.unwrap_or(0)));
    let (first, tally) = run(args, settings.clone(), scorer.as_mut(), |said| outputs.write(said))?;
    outputs.finish()?;
    tally.tell();
    if first.counts.rows == 0 {
        return Err(Failure::new(Exit::NothingDecodable, format_args!("{place}: no row could be read")));
    }
    eprintln!("{}", spoken(&first, &settings, started.elapsed().as_secs_f64()));
    if let Some(scorer) = &scorer {
        say_text(labels::table(scorer, &settings));
    }
    if let Some(other_settings) = other {
        let (second, _) = run(args, other_settings.clone(), None, |_| Ok(()))?;
        say_text(compare::table(&first, &settings, &second, &other_settings));
    }
    Ok(Exit::Ok)
}

fn fleet_settings(config: Option<&Path>, budget: Option<f64>) -> Result<FleetSettings, Failure> {
    let mut settings = match config {
        Some(path) => load_settings(path)?.engine.detectors.spike,
        None => FleetSettings::default(),
    };
    if let Some(budget) = budget {
        settings.budget = budget / 1_000.0;
    }
    Ok(settings)
}

/// What one run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub counts: BacktestCounts,
    /// Identities.
    pub identities: usize,
    /// Alerts, by what they are about.
    pub alerted: Vec<Alerted>,
}

/// Where rows come from.
enum Source {
    Counts(Box<CountsReader>, PathBuf),
    Trail(Box<TrailReader>),
}

impl Source {
    fn open(args: &BacktestArgs) -> Result<Self, Failure> {
        match (args.input, args.data.first()) {
            (Input::Counts, Some(path)) => Ok(Self::Counts(Box::new(CountsReader::open(path)?), path.clone())),
            (Input::Counts, None) => Err(Failure::new(Exit::Usage, "--data: name a file")),
            (Input::Cloudtrail, _) => {
                let settings = args.config.as_deref().map_or_else(|| Ok(Settings::default()), load_settings)?;
                Ok(Self::Trail(Box::new(TrailReader::open(&args.data, &settings)?)))
            }
        }
    }

    /// What the progress bar goes up to: bytes, or nothing where the files were looked at before.
    fn length(&self) -> u64 {
        match self {
            Self::Counts(_, path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            Self::Trail(_) => 0,
        }
    }

    fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        match self {
            Self::Counts(reader, _) => reader.next_row(),
            Self::Trail(reader) => reader.next_row(),
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Counts(reader, _) => reader.bytes_read(),
            Self::Trail(reader) => reader.events,
        }
    }

    /// Says what was no row.
    fn tell(&self) {
        match self {
            Self::Trail(reader) => reader.tell(),
            Self::Counts(reader, path) => {
                reader.told.iter().for_each(|what| eprintln!("{}: {what}; passed over", path.display()));
                let more = reader.bad.saturating_sub(reader.told.len() as u64);
                if more > 0 {
                    eprintln!("… and {more} more rows that are none");
                }
            }
        }
    }
}

fn run(
    args: &BacktestArgs,
    settings: FleetSettings,
    mut scorer: Option<&mut Scorer>,
    mut write: impl FnMut(&Said) -> Result<(), Failure>,
) -> Result<(Outcome, Source), Failure> {
    let mut source = Source::open(args)?;
    let bar = progress(source.length(), "backtest");
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut backtest = Backtest::new(settings);
    let (mut alerted, mut failed) = (Vec::new(), Ok(()));
    let mut take = |said: Said, scorer: Option<&mut Scorer>| {
        match (&said, scorer) {
            (Said::Score(scored), Some(scorer)) => scorer.score(&scored.identity, scored.slot, scored.score.rarity),
            (Said::Campaign(campaign), Some(scorer)) => scorer.campaign(campaign),
            (Said::Score(_) | Said::Campaign(_) | Said::Alert(_), _) => {}
        }
        alerted.extend(Alerted::of(&said));
        if failed.is_ok() {
            failed = write(&said);
        }
    };
    let mut rows = 0u64;
    while let Some(row) = source.next_row()? {
        if let Some(scorer) = scorer.as_deref_mut() {
            scorer.see(&row.identity, &row.group, row.slot);
        }
        backtest.handle(row, &mut |said| take(said, scorer.as_deref_mut()));
        rows += 1;
        if rows.is_multiple_of(16_384) {
            bar.set_position(source.position());
        }
    }
    backtest.finish(&mut |said| take(said, scorer.as_deref_mut()));
    failed?;
    bar.finish_and_clear();
    let outcome = Outcome { counts: *backtest.counts(), identities: backtest.identities(), alerted };
    Ok((outcome, source))
}

/// The files that are written.
struct Outputs {
    alerts: Option<(PathBuf, BufWriter<File>)>,
    scores: Option<(PathBuf, BufWriter<File>)>,
}

impl Outputs {
    fn open(args: &BacktestArgs) -> Result<Self, Failure> {
        let create = |path: &Option<PathBuf>| -> Result<Option<(PathBuf, BufWriter<File>)>, Failure> {
            let Some(path) = path else { return Ok(None) };
            let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
            Ok(Some((path.clone(), BufWriter::with_capacity(1 << 18, file))))
        };
        let mut outputs = Self { alerts: create(&args.out)?, scores: create(&args.scores)? };
        if let Some((path, file)) = &mut outputs.scores {
            writeln!(file, "bucket_start,identity,channel,q").map_err(|error| cannot_write(path, &error))?;
        }
        Ok(outputs)
    }

    fn write(&mut self, said: &Said) -> Result<(), Failure> {
        match said {
            Said::Score(scored) => {
                let Some((path, file)) = &mut self.scores else { return Ok(()) };
                let Scored { slot, identity, score } = &**scored;
                let identity = quoted(identity);
                writeln!(file, "{},{identity},{},{:.4}", time(*slot), score.leading().label(), score.rarity)
                    .map_err(|error| cannot_write(path, &error))
            }
            Said::Alert(_) | Said::Campaign(_) => {
                let Some((path, file)) = &mut self.alerts else { return Ok(()) };
                writeln!(file, "{}", alert_json(said)).map_err(|error| cannot_write(path, &error))
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        for (path, mut file) in self.alerts.into_iter().chain(self.scores) {
            file.flush().map_err(|error| cannot_write(&path, &error))?;
        }
        Ok(())
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::CannotWrite, format_args!("{}: {error}; name a file in a folder that can be written", path.display()))
}

/// A CSV field; identities may hold anything.
fn quoted(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")).into() } else { text.into() }
}

fn time(slot: i64) -> EventTime {
    EventTime::from_unix(slot * BUCKET)
}

fn alert_json(said: &Said) -> serde_json::Value {
    match said {
        Said::Alert(raised) => {
            let Raised { comparison, rarity, sample, .. } = &**raised;
            let (observed, window, expected) = match raised.channel {
                Channel::Hour | Channel::Unbroken | Channel::OddHours => (comparison.calls[2], "1 h", comparison.expected[1]),
                Channel::TenMinutes | Channel::Steady | Channel::Context => (comparison.calls[1], "10 min", comparison.expected[0]),
            };
            json!({
                "identity": &*raised.identity, "group": &*raised.group, "channel": raised.channel.label(),
                "onset": time(raised.onset).to_string(), "raised": time(raised.raised + 1).to_string(),
                "observed": observed, "window": window, "expected": (expected * 10.0).round() / 10.0,
                "group_median": raised.group_median, "p": 10f64.powf(-rarity.min(sample.max(1.0).log10())), "q": rarity,
                "explanation": crate::detect::invocation_spike::sentence(raised.channel, comparison, raised.group_median, *rarity, *sample),
            })
        }
        Said::Campaign(Campaign { cohort, hour, score }) => json!({
            "group": cohort.0.as_deref(), "channel": "group-campaign", "onset": EventTime::from_unix(hour * 3_600).to_string(),
            "observed": score.actors, "expected": (score.expected * 10.0).round() / 10.0, "deviations": (score.deviations * 10.0).round() / 10.0,
        }),
        Said::Score(_) => serde_json::Value::Null,
    }
}

fn spoken(outcome: &Outcome, settings: &FleetSettings, seconds: f64) -> String {
    let counts = &outcome.counts;
    let share = 1_000.0 * counts.alerted_days as f64 / (counts.live_identity_days.max(1)) as f64;
    let mut text = format!(
        "{} rows of {} identities over {} days in {seconds:.1} s ({:.0} rows/s)\n{} identity-days alerted of {} since calibration: {share:.2} per 1,000, attacks included; asked for {} false ones",
        counts.rows,
        outcome.identities,
        counts.days + 1,
        counts.rows as f64 / seconds.max(0.001),
        counts.alerted_days,
        counts.live_identity_days,
        settings.budget * 1_000.0,
    );
    for (count, what) in [
        (counts.late, "came later than 15 min and taught nothing"),
        (counts.too_late, "came too late for any window and were not judged"),
        (counts.future, "were a day ahead of all others and were left out"),
    ] {
        if count > 0 {
            text.push_str(&format!("\n{count} rows {what}"));
        }
    }
    text
}
