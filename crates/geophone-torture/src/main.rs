//! The torture harness: runs the real `geophone` against real servers on loopback, goes at it in every way that is known
//! to hurt, and holds what came out against what had to: each event once, each incident paged under one id, nothing else.
//!
//! It is a program and no test: a run may take hours, prints what it does, is repeated by its seed and writes a report; and
//! it needs two builds of the program, one of them with failpoints, which no test binary can have at once.
//!
//! ```text
//!                  ┌──────────── scenario (seed) ────────────┐
//!            load ─┤ acts: kill, points, pause, reshard, …   ├─ ledger ── report
//!              │   └──────┬─────────────┬──────────────┬─────┘    ▲
//!              ▼          ▼             ▼              ▼          │
//!        stream server ◀ proxy ◀── worker process ──▶ proxy ▶ pager server
//! ```
//! Each is a part of its own: a fleet is a stage with several workers and a table server, behind a proxy, too.

#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "it watches a program by the clock and fails by panicking, as tests do"
)]

mod fleet;
mod http;
mod ledger;
mod load;
mod pager;
mod proxy;
mod record;
mod report;
mod scenario;
mod stage;
mod stream;
mod suite;
mod table;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use report::{Controlled, Report};
use scenario::{Outcome, Scenario};
use suite::{Form, Programs};

const USAGE: &str = "geophone-torture --program PATH --failpoints PATH [--form short|full] [--seed N] [--only WORDS] [--at-once N]
    [--simulated N] [--json FILE] [--document FILE] [--place WORDS]";

/// What the command line says.
struct Options {
    programs: Programs,
    form: Form,
    seed: u64,
    /// Only scenarios and controls whose names contain this.
    only: String,
    at_once: usize,
    simulated: Option<u64>,
    json: Option<PathBuf>,
    document: Option<PathBuf>,
    place: String,
}

impl Options {
    fn parse() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let given: BTreeMap<&str, &str> =
            words.chunks(2).map(|pair| Some((pair[0].strip_prefix("--")?, pair.get(1)?.as_str()))).collect::<Option<_>>()?;
        let path = |name: &str| given.get(name).map(PathBuf::from);
        let number = |name: &str| given.get(name).and_then(|text| text.parse::<u64>().ok());
        Some(Self {
            programs: Programs { plain: path("program")?, failpoints: path("failpoints")? },
            form: if given.get("form") == Some(&"full") { Form::Full } else { Form::Short },
            seed: number("seed").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            only: given.get("only").copied().unwrap_or_default().to_owned(),
            at_once: number("at-once").map_or(4, |count| count.max(1) as usize),
            simulated: number("simulated"),
            json: path("json"),
            document: path("document"),
            place: given.get("place").copied().unwrap_or("one machine").to_owned(),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    if let Some(path) = suite::missing(&options.programs) {
        eprintln!("{} is not built; `make reliability` builds it", path.display());
        return ExitCode::from(66);
    }
    println!("seed {}", options.seed);
    let report = run(&options).await;
    println!("{}", report.markdown());
    for (path, text) in options.json.iter().map(|path| (path, format!("{:#}\n", report.json()))) {
        if let Err(error) = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text)) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(73);
        }
    }
    let wrong = report.wrong();
    if let Some(document) = &options.document
        && let Err(error) = report.write_into(document)
    {
        eprintln!("{error}");
        return ExitCode::from(73);
    }
    wrong.iter().for_each(|line| println!("wrong: {line}"));
    println!("{} with seed {}", if wrong.is_empty() { "held" } else { "broken" }, options.seed);
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays everything, several at once, and gathers what came of it.
async fn run(options: &Options) -> Report {
    let started = Instant::now();
    let room = Arc::new(Semaphore::new(options.at_once));
    let mut playing = Vec::new();
    for scenario in suite::scenarios(options.form, options.seed, &options.programs) {
        if scenario.name.contains(&options.only) {
            playing.push((scenario.name.clone(), tokio::spawn(play(scenario, Arc::clone(&room)))));
        }
    }
    let mut controlling = Vec::new();
    for control in suite::controls(options.seed, &options.programs) {
        if control.name.contains(&options.only) {
            controlling.push((control.name, control.without, tokio::spawn(play(control.scenario, Arc::clone(&room)))));
        }
    }
    let mut groups: Vec<(String, Vec<Outcome>)> = Vec::new();
    for (name, task) in playing {
        let outcome = task.await.unwrap_or_else(|error| Outcome { broken: vec![error.to_string()], ..Outcome::default() });
        match groups.last_mut().filter(|(last, _)| *last == name) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => groups.push((name, vec![outcome])),
        }
    }
    let mut controls = Vec::new();
    for (name, without, task) in controlling {
        let broke = task.await.map_or_else(|error| vec![error.to_string()], |outcome| outcome.ledger.broken());
        controls.push(Controlled { name, without, broke });
    }
    Report {
        seed: options.seed,
        form: if options.form == Form::Full { "full" } else { "short" },
        took: started.elapsed(),
        groups,
        controls,
        simulated: options.simulated,
        place: options.place.clone(),
    }
}

/// Plays one when there is room, and says how it went.
async fn play(scenario: Scenario, room: Arc<Semaphore>) -> Outcome {
    let _room = room.acquire_owned().await.expect("never closed");
    let (name, seed, must_hold) = (scenario.name.clone(), scenario.seed, scenario.must_hold);
    let outcome = scenario.play().await;
    let (wrong, ledger) = (outcome.wrong(), &outcome.ledger);
    let word = match (wrong.is_empty(), must_hold) {
        (true, true) => "held",
        (false, true) => "BROKEN",
        (true, false) => "CONTROL BROKE NOTHING",
        (false, false) => "broken, as it has to be",
    };
    println!(
        "{word}: {name} (seed {seed}): {:.0} s, {} events, {} incidents, {} again; {}",
        outcome.took.as_secs_f64(),
        ledger.events,
        ledger.incidents,
        ledger.duplicated,
        wrong.join(", ")
    );
    if !wrong.is_empty() && must_hold {
        outcome.ledger.wrong.iter().take(12).for_each(|line| println!("    {line}"));
        outcome.log.lines().for_each(|line| println!("    log: {line}"));
    }
    outcome
}
