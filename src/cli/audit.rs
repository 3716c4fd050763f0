//! `geophone audit`: the auditor's question, answered from CloudTrail files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Map, Value};

use super::output::progress;
use super::replay::tell;
use super::{Exit, Failure, load_settings};
use crate::alerting::message::clean;
use crate::audit::{Answer, COLUMNS, Ending, Gap, Harvest, Question, Row};
use crate::cloudtrail::{Decoder, Limits};
use crate::config::Settings;
use crate::files::{self, Listing, Tally};
use crate::finding::Who;
use crate::observation::Observer;
use crate::stats::grouped;
use crate::time::{DAY, EventTime};

/// Gaps and unreadable files that are named.
const NAMED_MAX: usize = 20;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Configuration file: its department tag, directory, role map and model map are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Calls of this department; "" for calls of no known department
    #[arg(long, value_name = "NAME")]
    department: Option<String>,
    /// Calls of models whose id matches, as anthropic.claude*
    #[arg(long, value_name = "GLOB")]
    model: Option<String>,
    /// Calls of people whose name matches
    #[arg(long, value_name = "GLOB")]
    person: Option<String>,
    /// A month, as 2026-10, in UTC
    #[arg(long, value_name = "MONTH", value_parser = parse_month, conflicts_with_all = ["since", "until"])]
    month: Option<(EventTime, EventTime)>,
    /// From this day or time on (2026-10-01, 2026-10-01T00:00:00+02:00); without an offset UTC is meant
    #[arg(long, value_name = "TIME", value_parser = parse_time, required_unless_present = "month")]
    since: Option<EventTime>,
    /// Up to this day or time, which no longer belongs to it
    #[arg(long, value_name = "TIME", value_parser = parse_time, required_unless_present = "month")]
    until: Option<EventTime>,
    /// Counts for people, or a row for each call
    #[arg(long, value_enum, default_value = "text")]
    format: AuditFormat,
    /// Answer although days are missing or files cannot be read; they are still named
    #[arg(long)]
    incomplete: bool,
    /// CloudTrail files, folders (any depth), or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AuditFormat {
    /// Counts by person and model, and by day
    Text,
    /// A row for each call, with a header
    Csv,
    /// A JSON object a line for each call
    Ndjson,
}

fn parse_time(text: &str) -> Result<EventTime, String> {
    let day = format!("{text}T00:00:00Z");
    let time = EventTime::parse(text).or_else(|| EventTime::parse(&day).filter(|_| text.len() == 10));
    time.ok_or_else(|| "write it as 2026-10-01 or 2026-10-01T00:00:00Z".to_owned())
}

fn parse_month(text: &str) -> Result<(EventTime, EventTime), String> {
    let first = parse_time(&format!("{text}-01")).map_err(|_| "write it as 2026-10".to_owned())?;
    let next = (28..=31).filter_map(|days| EventTime::parse(&first.plus(days * DAY).to_string()));
    let end = next.into_iter().find(|day| day.to_string()[8..10] == *"01").unwrap_or(first.plus(31 * DAY));
    Ok((first, end))
}

/// What stands in the way of a whole answer.
#[derive(Debug, Default)]
struct Short {
    unreadable: Vec<(PathBuf, String)>,
    undecodable: u64,
    gaps: Vec<Gap>,
}

/// Runs the command.
pub fn audit(args: &AuditArgs) -> Result<Exit, Failure> {
    let settings = args.config.as_deref().map_or_else(|| Ok(Settings::default()), load_settings)?;
    let question = question(args)?;
    let listing = files::list(&args.paths).map_err(|error| Failure::new(Exit::NoInput, error))?;
    if listing.files.is_empty() {
        return Err(Failure::new(
            Exit::NoInput,
            "no CloudTrail files there; give the folder that AWSLogs is in, or files (.json, .json.gz, .jsonl)",
        ));
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bar = progress(listing.files.iter().map(size).sum(), "reading");
    let (harvest, tally, unreadable) = read(&listing, &settings, &question, &bar);
    bar.finish_and_clear();
    let events = harvest.events;
    tell(&listing, &tally);
    if events == 0 && tally.undecodable > 0 {
        return Err(Failure::new(Exit::NothingDecodable, "nothing in the input is a CloudTrail event; give CloudTrail logs"));
    }
    let answer = harvest.answer(&question, &settings.engine);
    let short = Short { unreadable, undecodable: tally.undecodable, gaps: answer.gaps.clone() };
    say_short(&short, &question, args.incomplete)?;
    let read = format!("{} events in {} files", grouped(events, ','), grouped(tally.files, ','));
    // Whoever has closed the pipe has read enough.
    if let Err(error) = print(args.format, &answer, &question, &read)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(Failure::new(Exit::CannotWrite, format_args!("standard output: {error}")));
    }
    if args.format != AuditFormat::Text {
        eprintln!("{} calls; {read}; {} duplicates left out", grouped(answer.rows.len() as u64, ','), grouped(answer.duplicates, ','));
    }
    Ok(Exit::Ok)
}

fn question(args: &AuditArgs) -> Result<Question, Failure> {
    let (since, until) = match (args.month, args.since, args.until) {
        (Some(month), ..) => month,
        (None, Some(since), Some(until)) => (since, until),
        // clap has seen to it.
        (None, ..) => return Err(Failure::new(Exit::Usage, "give --month, or --since and --until")),
    };
    if until <= since {
        return Err(Failure::new(Exit::Usage, format_args!("--until {until} is not after --since {since}")));
    }
    Ok(Question { since, until, department: args.department.clone(), model: args.model.clone(), person: args.person.clone() })
}

/// Reads all files, on all cores. A file that cannot be read is named, and the others are read.
fn read(listing: &Listing, settings: &Settings, question: &Question, bar: &ProgressBar) -> (Harvest, Tally, Vec<(PathBuf, String)>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(listing.files.len().max(1));
    let (next, whole) = (AtomicUsize::new(0), Mutex::new((Harvest::default(), Tally::default(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut harvest, mut tally, mut unreadable) = (Harvest::default(), Tally::default(), Vec::new());
                let mut decoder = Decoder::new(Limits::for_files());
                let mut observer = Observer::new(settings.models.clone());
                while let Some(path) = listing.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match files::read_capped(path) {
                        Ok(bytes) => {
                            tally.files += 1;
                            decoder.decode(&bytes, &mut |item| match item {
                                Ok(decoded) => {
                                    tally.events += 1;
                                    harvest.take(decoded, observer.observe(decoded, EventTime::from_unix(0)), question);
                                }
                                Err(error) => tally.note(path, &error),
                            });
                            bar.inc(bytes.len() as u64);
                        }
                        Err(error) => unreadable.push((path.clone(), error.to_string())),
                    }
                }
                let mut whole = whole.lock().unwrap_or_else(PoisonError::into_inner);
                whole.0.add(harvest);
                whole.1.add(tally);
                whole.2.extend(unreadable);
            });
        }
    });
    let (harvest, mut tally, mut unreadable) = whole.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.errors.sort();
    unreadable.sort();
    (harvest, tally, unreadable)
}

/// Names what is missing; refuses to answer unless that is wanted.
fn say_short(short: &Short, question: &Question, is_wanted: bool) -> Result<(), Failure> {
    let mut told: Vec<String> = short.unreadable.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
    told.extend(short.gaps.iter().map(gap));
    let more = told.len().saturating_sub(NAMED_MAX);
    told.truncate(NAMED_MAX);
    for line in &told {
        eprintln!("{line}");
    }
    if more > 0 {
        eprintln!("… and {more} more");
    }
    if is_wanted || (told.is_empty() && short.undecodable == 0) {
        return Ok(());
    }
    let Short { unreadable, undecodable, gaps } = short;
    Err(Failure::new(
        Exit::NoInput,
        format_args!(
            "the files do not hold all of {} to {}: {} unreadable, {undecodable} parts damaged, {} gaps; --incomplete answers all the same",
            question.since,
            question.until,
            unreadable.len(),
            gaps.len()
        ),
    ))
}

fn gap(gap: &Gap) -> String {
    let day = |day: i64| EventTime::from_unix(day * DAY).to_string()[..10].to_owned();
    let (first, last) = gap.days;
    let days = if first == last { day(first) } else { format!("{} to {}", day(first), day(last)) };
    match (&*gap.account, &gap.region) {
        ("", _) => format!("gap: no event at all on {days}"),
        (account, None) => format!("gap: no event of account {account} on {days}"),
        (account, Some(region)) => format!("gap: no event of account {account} in {region} on {days}"),
    }
}

fn print(format: AuditFormat, answer: &Answer, question: &Question, read: &str) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        AuditFormat::Text => out.write_all(text(answer, question, read).as_bytes())?,
        AuditFormat::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            csv.write_record(COLUMNS)?;
            for row in &answer.rows {
                csv.write_record(row.columns())?;
            }
            csv.flush()?;
        }
        AuditFormat::Ndjson => {
            for row in &answer.rows {
                let of = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
                let fields: Map<String, Value> = COLUMNS.iter().map(|name| (*name).to_owned()).zip(row.columns().map(of)).collect();
                writeln!(out, "{}", Value::Object(fields))?;
            }
        }
    }
    out.flush()
}

/// Calls in all, refused, failed.
#[derive(Clone, Copy, Default)]
struct Count {
    calls: u64,
    denied: u64,
    failed: u64,
}

impl Count {
    fn add(&mut self, row: &Row) {
        self.calls += 1;
        self.denied += u64::from(row.ending() == Ending::Denied);
        self.failed += u64::from(row.ending() == Ending::Error);
    }

    fn columns(&self) -> String {
        let Self { calls, denied, failed } = *self;
        format!("{:>10} {:>8} {:>8}", grouped(calls, ','), grouped(denied, ','), grouped(failed, ','))
    }
}

/// The counts that people read.
fn text(answer: &Answer, question: &Question, read: &str) -> String {
    let (mut by_person, mut by_day, mut all) = (BTreeMap::<_, Count>::new(), BTreeMap::<_, Count>::new(), Count::default());
    for row in &answer.rows {
        let person = row.who.person.as_deref().map_or_else(|| format!("({})", Who::new(&row.call.caller, &row.who).name()), str::to_owned);
        let model = row.call.invocation.model.as_ref().map_or("(no model named)", |model| &model.id);
        by_person.entry((clean(&person), clean(model))).or_default().add(row);
        by_day.entry(row.call.invocation.time.to_string()[..10].to_owned()).or_default().add(row);
        all.add(row);
    }
    let mut out = format!("{}, {} to {}\n", asked(question), question.since, question.until);
    let _ = writeln!(
        out,
        "{} calls: {} allowed, {} denied, {} failed. Read: {read}; {} duplicates left out.",
        grouped(all.calls, ','),
        grouped(all.calls - all.denied - all.failed, ','),
        grouped(all.denied, ','),
        grouped(all.failed, ','),
        grouped(answer.duplicates, ',')
    );
    if question.department.is_some() && !answer.unknown.is_empty() {
        let reasons: Vec<String> = answer.unknown.iter().map(|(why, calls)| format!("{} {why}", grouped(*calls, ','))).collect();
        let _ = writeln!(out, "Calls that fit but for a department that nobody knows: {}.", reasons.join(", "));
    }
    if all.calls == 0 {
        return out;
    }
    let people = by_person.keys().map(|(person, _)| person.chars().count()).max().unwrap_or(0).clamp(6, 60);
    let models = by_person.keys().map(|(_, model)| model.chars().count()).max().unwrap_or(0).clamp(5, 60);
    let _ = writeln!(out, "\n{:<people$}  {:<models$} {:>10} {:>8} {:>8}", "person", "model", "calls", "denied", "failed");
    for ((person, model), count) in &by_person {
        let _ = writeln!(out, "{person:<people$}  {model:<models$} {}", count.columns());
    }
    let _ = writeln!(out, "\n{:<10} {:>10} {:>8} {:>8}", "day (UTC)", "calls", "denied", "failed");
    for (day, count) in &by_day {
        let _ = writeln!(out, "{day:<10} {}", count.columns());
    }
    out
}

/// The question in words.
fn asked(question: &Question) -> String {
    let mut said = question.model.as_ref().map_or_else(|| "Model calls".to_owned(), |model| format!("Calls of {}", clean(model)));
    match question.department.as_deref() {
        Some("") => said.push_str(" of no known department"),
        Some(department) => drop(write!(said, " by {}", clean(department))),
        None => {}
    }
    if let Some(person) = &question.person {
        let _ = write!(said, " by {}", clean(person));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let time = |text| parse_time(text).map(|time| time.to_string());
        assert_eq!(time("2026-10-01").as_deref(), Ok("2026-10-01T00:00:00Z"));
        assert_eq!(time("2026-10-01T00:00:00+02:00").as_deref(), Ok("2026-09-30T22:00:00Z"));
        for wrong in ["2026-13-01", "yesterday", "", "2026-10", "2026-10-01x"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        for (month, until) in [("2026-10", "2026-11-01"), ("2026-02", "2026-03-01"), ("2024-02", "2024-03-01"), ("2026-12", "2027-01-01")] {
            let (since, end) = parse_month(month).expect("a month");
            assert_eq!((&since.to_string()[..7], &end.to_string()[..10]), (month, until));
        }
        assert!(parse_month("2026-00").is_err() && parse_month("2026-1").is_err());
    }
}
