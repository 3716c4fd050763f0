//! `geophone deadletter`: what the daemon put aside, and a second try at it. Nothing is written to Kinesis: records go to a
//! file for `geophone replay`, messages to their topic.

mod letters;
mod records;
mod sending;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use kinesis_lease::FolderStore;

use super::output::say;
use super::run::runtime;
use super::{Exit, Failure, Format, load_settings};
use crate::alerting::message::clean;
use crate::storage::DEAD_LETTERS;
use letters::Letter;
use records::Records;
use sending::Messages;

/// Damaged lines that are named; all are counted.
const DAMAGED_NAMED: usize = 10;
/// Kinds of reason that are told apart.
const REASONS_MAX: usize = 100;

/// The commands of `deadletter`.
#[derive(Debug, Subcommand)]
pub enum DeadletterCommand {
    /// What was put aside: time, kind, place, id and reason, with counts
    List(ListArgs),
    /// Try again: records to CloudTrail JSON lines, messages to their topics (only shown without --send)
    Replay(ReplayArgs),
}

/// Which letters.
#[derive(Debug, Args)]
struct Which {
    /// Configuration file, which names the state folder
    #[arg(long, value_name = "FILE", default_value = "geophone.toml")]
    config: PathBuf,
    /// State folder, in the place of the configuration's
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Only letters of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only letters whose place (shard or topic) contains this
    #[arg(long, value_name = "TEXT")]
    place: Option<String>,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Show only so many, the latest
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// How letters are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Write events to this new file; to standard output without
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Publish messages again, marked as possible duplicates
    #[arg(long)]
    send: bool,
    /// Remove what was replayed without any error from the file; only while no daemon runs
    #[arg(long)]
    remove: bool,
}

/// Kinds of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Kinesis records of which a part could not be decoded
    Record,
    /// Messages that SNS refused for good
    Message,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Message => "message",
        }
    }
}

/// Runs a command.
pub fn deadletter(command: &DeadletterCommand) -> Result<Exit, Failure> {
    match command {
        DeadletterCommand::List(args) => list(args),
        DeadletterCommand::Replay(args) => replay(args),
    }
}

impl Which {
    fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => load_settings(&self.config)?.state_folder.into(),
        };
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(Failure::new(Exit::NoInput, format_args!("{}: no such state folder; name the one of the daemon", folder.display())))
    }

    fn takes(&self, letter: &Letter) -> bool {
        self.kind.is_none_or(|kind| kind.label() == letter.kind) && self.place.as_ref().is_none_or(|part| letter.place.contains(part))
    }

    /// Reads the letters of `folder` that are meant; counts what is none. No file is no letter.
    fn read(&self, folder: &Path, mut each: impl FnMut(u64, Letter) -> io::Result<()>) -> Result<Damaged, Failure> {
        let path = folder.join(DEAD_LETTERS);
        let mut damaged = Damaged::default();
        let read = letters::read(&path, |number, letter| match letter {
            Ok(letter) if self.takes(&letter) => each(number, letter),
            Ok(_) => Ok(()),
            Err(why) => {
                damaged.note(number, why);
                Ok(())
            }
        });
        match read {
            Ok(()) => Ok(damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(damaged),
            Err(error) => Err(Failure::new(Exit::NoInput, format_args!("{}: {error}; read it as the daemon's user", path.display()))),
        }
    }
}

/// Lines that are no letters.
#[derive(Debug, Default)]
struct Damaged {
    lines: u64,
    named: Vec<String>,
}

impl Damaged {
    fn note(&mut self, number: u64, why: &str) {
        self.lines += 1;
        if self.named.len() < DAMAGED_NAMED {
            self.named.push(format!("line {number} is {why}"));
        }
    }

    fn tell(&self) {
        if self.lines > 0 {
            let more = if self.lines > self.named.len() as u64 { ", …" } else { "" };
            eprintln!("{} of the lines are no letters and were passed over: {}{more}", self.lines, self.named.join(", "));
        }
    }
}

/// A letter without its content: that may hold secrets, and is nothing to look at in a terminal.
#[derive(Debug, serde::Serialize)]
struct Row {
    line: u64,
    time: Option<String>,
    kind: String,
    place: String,
    id: String,
    reason: String,
    bytes: usize,
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let folder = args.which.folder()?;
    let limit = args.limit as usize;
    let (mut rows, mut letters, mut reasons) = (VecDeque::new(), 0_u64, BTreeMap::<(String, String), u64>::new());
    let damaged = args.which.read(&folder, |line, letter| {
        letters += 1;
        let class = letter.reason.split(": ").next().unwrap_or_default();
        let key = (clean(&letter.kind), clean(class));
        if reasons.len() < REASONS_MAX || reasons.contains_key(&key) {
            *reasons.entry(key).or_default() += 1;
        }
        let Letter { time, kind, place, id, reason, data, .. } = letter;
        // Four characters are three bytes.
        rows.push_back(Row { line, time, kind, place, id, reason, bytes: data.trim_end_matches('=').len() * 3 / 4 });
        if rows.len() > limit {
            rows.pop_front();
        }
        Ok(())
    })?;
    match args.format {
        // Plain texts and numbers: this cannot fail.
        Format::Ndjson => rows.iter().for_each(|row| say(serde_json::to_string(row).unwrap_or_default())),
        Format::Text => print_table(&rows),
    }
    damaged.tell();
    let shown = if letters > rows.len() as u64 { format!(", of them the latest {} shown (--limit)", rows.len()) } else { String::new() };
    eprintln!("{letters} letters in {}{shown}", folder.join(DEAD_LETTERS).display());
    reasons.iter().for_each(|((kind, reason), count)| eprintln!("{count:>8} {kind}: {reason}"));
    Ok(Exit::Ok)
}

fn print_table(rows: &VecDeque<Row>) {
    const HEAD: [&str; 5] = ["TIME", "KIND", "PLACE", "ID", "REASON"];
    let cells = |row: &Row| {
        let time = row.time.as_deref().map_or_else(|| "-".to_owned(), clean);
        [time, clean(&row.kind), clean(&row.place), clean(&row.id), clean(&row.reason)]
    };
    let mut widths = HEAD.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(cells(row)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |[time, kind, place, id, reason]: [&str; 5]| {
        say(format_args!("{time:<0$}  {kind:<1$}  {place:<2$}  {id:<3$}  {reason}", widths[0], widths[1], widths[2], widths[3]));
    };
    if !rows.is_empty() {
        print(HEAD);
    }
    for row in rows {
        let [time, kind, place, id, reason] = cells(row);
        print([&time, &kind, &place, &id, &reason]);
    }
}

fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let folder = args.which.folder()?;
    let path = folder.join(DEAD_LETTERS);
    let runtime = runtime()?;
    let lock = args.remove.then(|| runtime.block_on(FolderStore::open(&folder))).transpose();
    // Held until the file is replaced: the daemon appends to it.
    let lock = lock.map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{error}; stop the daemon, or leave out --remove")))?;
    let settings = if args.send { Some(super::load(&args.which.config)?) } else { None };
    let mut records = Records::create(args.out.as_deref())?;
    let mut messages = Messages::default();
    let damaged = args.which.read(&folder, |line, letter| {
        match letter.kind.as_str() {
            "record" => records.take(line, &letter)?,
            "message" => messages.take(line, &letter),
            kind => eprintln!("line {line}: letters of kind {} are not known to this version", clean(kind)),
        }
        Ok(())
    });
    // An output that cannot be written is no letter that cannot be read.
    let damaged = match (damaged, records.failed.take()) {
        (_, Some(_)) if records.is_unread && !args.remove && !args.send => return Ok(Exit::Ok),
        (_, Some(failure)) => return Err(failure),
        (damaged, None) => damaged?,
    };
    let mut done: HashSet<u64> = records.finish()?;
    let mut exit = records.tell();
    if let Some(loaded) = &settings {
        let sent = runtime.block_on(messages.send(loaded));
        let all = sent?;
        if all.len() < messages.len() {
            exit = Exit::Unavailable;
        }
        done.extend(all);
    } else {
        messages.show();
    }
    damaged.tell();
    if lock.is_some() && !done.is_empty() {
        letters::remove(&path, |line| done.contains(&line))
            .map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{}: {error}; nothing was removed", path.display())))?;
        eprintln!("{} letters were removed from {}", done.len(), path.display());
    }
    drop(lock);
    Ok(exit)
}
