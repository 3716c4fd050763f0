//! The command line: what can be asked for, and what the answer's exit code means.

mod asking;
pub mod audit;
pub mod backtest;
pub mod check;
pub mod deadletter;
#[cfg(feature = "demo")]
pub mod demo;
pub mod explain;
pub mod health;
pub mod matrix;
pub mod output;
pub mod policy;
pub mod replay;
mod resolve;
pub mod rules;
pub mod run;
pub mod summary;
pub mod warm;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::Settings;
use crate::finding::Severity;
use crate::policy::Notice;
use crate::sources::Sources;

/// Exit codes, after BSD's sysexits where one fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// There were findings, and `--fail-on` asked for a failure then.
    Findings = 1,
    /// The command line is wrong.
    Usage = 64,
    /// Nothing in the input could be decoded.
    NothingDecodable = 65,
    /// An input does not exist or cannot be read.
    NoInput = 66,
    /// A service could not be reached at start.
    Unavailable = 69,
    /// Something failed that should not.
    Software = 70,
    /// A file or folder cannot be written.
    CannotWrite = 73,
    /// The configuration is wrong.
    Configuration = 78,
}

/// A failure that is told to the user and ends the program.
#[derive(Debug)]
pub struct Failure {
    /// What to exit with.
    pub exit: Exit,
    /// What happened, where, and what to do; may have several lines.
    pub message: String,
}

impl Failure {
    /// A failure with this message.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// Watches an identity perimeter around Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(name = "geophone", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: Kinesis in, SNS out
    Run {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Watch the whole job on this machine: an embedded Kinesis, a simulated company, an attack day
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Read CloudTrail files and print the alerts they would have raised
    Replay(replay::ReplayArgs),
    /// Read CloudTrail history into baselines, without alerting, and leave a snapshot for `run`
    Warm {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Files and folders of CloudTrail logs
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Check a configuration: every mistake at once, each with its line and its cure
    Check {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Answer the auditor from CloudTrail files: who called which model, when, and was let through
    Audit(audit::AuditArgs),
    /// Run the spike detector over past counts: what would a budget have raised, and what would another?
    Backtest(backtest::BacktestArgs),
    /// Everything that made an alert, from a running daemon or a replay's output
    Explain(explain::ExplainArgs),
    /// Whether a daemon on this machine reads; for health checks of containers, which have no other program
    Health(health::HealthArgs),
    /// What the daemon put aside: records that it could not decode, messages that SNS refused
    #[command(subcommand)]
    Deadletter(deadletter::DeadletterCommand),
    /// Who stands behind a pseudonym, for the holder of the key
    Resolve(resolve::ResolveArgs),
    /// Work with Sigma rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Ask the IAM evaluator
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
}

/// How alerts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Ndjson,
}

/// Reads a severity from the command line.
pub fn parse_severity(text: &str) -> Result<Severity, String> {
    let words = Severity::ALL.map(Severity::label).join(", ");
    Severity::parse(text).ok_or_else(|| format!("choose one of {words}"))
}

/// Runs a command to its end.
pub fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run { config } => run::run(&config),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Warm { config, paths } => warm::warm(&config, &paths),
        Command::Check { config } => check::check(&config),
        Command::Audit(args) => audit::audit(&args),
        Command::Backtest(args) => backtest::backtest(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Health(args) => health::health(&args),
        Command::Deadletter(command) => deadletter::deadletter(&command),
        Command::Resolve(args) => resolve::resolve(&args),
        Command::Rules(command) => rules::rules(&command),
        Command::Policy(command) => policy::policy(&command),
    }
}

/// Reads and checks a configuration file and the files that it names.
pub fn load_settings(path: &Path) -> Result<Settings, Failure> {
    load(path).map(|loaded| loaded.settings)
}

/// The same, with the files for whoever reads them again.
pub fn load(path: &Path) -> Result<Loaded, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; name an existing file with --config", path.display())))?;
    let settings = Settings::parse(&text).map_err(|mistakes| {
        let lines: Vec<String> = mistakes
            .iter()
            .map(|mistake| format!("{}:{}: {}: {}; {}", path.display(), mistake.line, mistake.key, mistake.what, mistake.cure))
            .collect();
        Failure::new(Exit::Configuration, lines.join("\n"))
    })?;
    let sources = Sources::new(path, &settings);
    let told = |errors: Vec<String>| Failure::new(Exit::Configuration, errors.join("\n"));
    // All are read before any is complained about: every mistake at once.
    let mut errors = Vec::new();
    let directory = sources.directory().map_err(|more| errors.extend(more));
    let policies = sources.policies().map_err(|more| errors.extend(more));
    let prices = sources.prices().map_err(|more| errors.extend(more));
    let rules = sources.rules().map_err(|more| errors.extend(more));
    let (Ok(directory), Ok(policies), Ok(prices), Ok(rules)) = (directory, policies, prices, rules) else { return Err(told(errors)) };
    let mut settings = settings;
    settings.engine.rules = Arc::new(rules);
    if let Some(prices) = prices {
        settings.engine.detectors.prices = Arc::new(prices);
    }
    settings.engine.policy = policies.book;
    if let Some(directory) = directory {
        settings = settings.with_directory(directory);
    }
    Ok(Loaded { settings, sources, notices: policies.notices })
}

/// A configuration with everything that it names.
#[derive(Debug)]
pub struct Loaded {
    /// Its settings.
    pub settings: Settings,
    /// The files that it names.
    pub sources: Sources,
    /// What was not understood in policy documents.
    pub notices: Vec<Notice>,
}

/// An observer for these settings.
pub fn observer(settings: &Settings) -> crate::observation::Observer {
    crate::observation::Observer::with_rules(Arc::clone(&settings.models), Arc::clone(&settings.engine.rules))
}
