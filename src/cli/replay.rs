//! `geophone replay`: what would these files have raised? No AWS, no state left behind.

use std::path::PathBuf;

use clap::Args;

use super::output::{Printer, progress};
use super::summary::Summary;
use super::{Exit, Failure, Format, load_settings, observer, parse_severity};
use crate::alerting::worst;
use crate::clock::moment;
use crate::config::Settings;
use crate::engine::{Counts, Engine, Report};
use crate::files::{self, Listing, Merge, Tally};
use crate::finding::Severity;
use crate::time::{EventTime, Now};

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Configuration file (departments, detectors, identity); streams and topics are not used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How alerts are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Print every finding too
    #[arg(long)]
    findings: bool,
    /// Write a summary as JSON to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Exit with 1 where an alert is at least this severe
    #[arg(long, value_name = "SEVERITY", value_parser = parse_severity)]
    fail_on: Option<Severity>,
    /// CloudTrail files, folders (any depth), or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let mut settings = args.config.as_deref().map_or_else(|| Ok(Settings::default()), load_settings)?;
    settings.engine.keep_findings = args.findings;
    let started = moment();
    let (listing, mut merge) = open(&args.paths, &settings)?;
    let printer = Printer::new(args.format);
    let mut engine = Engine::new(settings.engine);
    let mut highest = None;
    let counts = feed(&mut merge, &mut engine, |report| {
        highest = highest.max(worst(&report.alerts));
        report.findings.iter().for_each(|finding| printer.finding(finding));
        report.alerts.iter().for_each(|alert| printer.alert(alert));
    })?;
    let mut summary = Summary::new(&counts, merge.tally.files, merge.tally.undecodable, started.elapsed().as_secs_f64());
    summary.out_of_order = merge.tally.out_of_order;
    tell(&listing, &merge.tally);
    eprintln!("{}", summary.spoken());
    if let Some(path) = &args.summary {
        summary.write(path)?;
    }
    if summary.events == 0 && (merge.tally.undecodable > 0 || listing.files.is_empty()) {
        return Err(Failure::new(
            Exit::NothingDecodable,
            "nothing in the input is a CloudTrail event; give CloudTrail logs (.json, .json.gz, .jsonl)",
        ));
    }
    let fails = args.fail_on.is_some_and(|limit| highest >= Some(limit));
    Ok(if fails { Exit::Findings } else { Exit::Ok })
}

/// Lists and looks at the files, with a progress bar.
pub(super) fn open(paths: &[PathBuf], settings: &Settings) -> Result<(Listing, Merge), Failure> {
    let no_input = |error| Failure::new(Exit::NoInput, error);
    let listing = files::list(paths).map_err(no_input)?;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bar = progress(listing.files.iter().map(size).sum(), "reading");
    let merge = Merge::new(&listing, observer(settings), |bytes| bar.inc(bytes)).map_err(no_input)?;
    bar.finish_and_clear();
    Ok((listing, merge))
}

/// Feeds everything to the engine. `now` is the largest event time so far.
pub(super) fn feed(merge: &mut Merge, engine: &mut Engine, mut each: impl FnMut(&Report)) -> Result<Counts, Failure> {
    let input = engine.input("replay");
    let (mut counts, mut now) = (Counts::default(), EventTime::MIN);
    let mut take = |report: Report| {
        each(&report);
        counts.add(&report.counts);
    };
    loop {
        let next = merge.pull().map_err(|error| Failure::new(Exit::NoInput, error))?;
        let Some(observation) = next else { break };
        now = now.max(observation.time);
        let mut report = Report::default();
        engine.handle(input, observation, Now(now), &mut report);
        take(report);
    }
    let mut report = Report::default();
    engine.finish(&mut report);
    take(report);
    Ok(counts)
}

/// Says what was passed over or could not be read.
pub(super) fn tell(listing: &Listing, tally: &Tally) {
    if listing.passed_over > 0 {
        let names: Vec<String> = listing.passed_over_names.iter().map(|path| path.display().to_string()).collect();
        let more = listing.passed_over.saturating_sub(names.len() as u64);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        eprintln!("passed over {}, no CloudTrail logs: {}{tail}", listing.passed_over, names.join(", "));
    }
    for (path, error) in &tally.errors {
        eprintln!("{}: {error}", path.display());
    }
    let more = tally.undecodable.saturating_sub(tally.errors.len() as u64);
    if more > 0 {
        eprintln!("… and {more} more parts that could not be decoded");
    }
}
