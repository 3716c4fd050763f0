//! The daemon: streams in, topics out, page and metrics beside. Wiring and drain; no decisions.
//!
//! One task owns the engine and takes deliveries one by one; each topic has a task that publishes; the consumer has its
//! own tasks per shard. A position is committed only together with the state that its records made, and with the alerts
//! that are not delivered yet: so a crash at any moment loses nothing and says nothing twice under two ids.

mod archiving;
mod aws;
mod blindness;
mod commands;
mod committing;
mod fleet;
mod keeper;
mod objects;
mod outbox;
mod pipeline;
mod reload;
mod showing;
mod single;

use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::{FanOut, StartAt, StreamSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::alerting::privacy::{KEY_BYTES_MIN, Pseudonyms};
use crate::cli::{Exit, Failure};
use crate::clock::Clock;
use crate::config::{ArchivePlace, Settings, Start, Stream, Topic};
use crate::engine::Counts;
use crate::sources::Sources;
use crate::state::{Counters, Shared};
use crate::telemetry::Metrics;
use crate::web::{self, Command, Control, Web};

pub use aws::Access;
pub(crate) use aws::topics as topic_clients;
use fleet::Fleet;
use single::Single;

/// How often page and gauges are brought up to date.
const VIEW_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether directory or policy files have changed.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// What a daemon runs with.
#[derive(Debug)]
pub struct Daemon {
    /// Checked settings.
    pub settings: Settings,
    /// The files that the configuration names, to be read again when they change.
    pub sources: Option<Sources>,
    /// What time it is.
    pub clock: Clock,
    /// How AWS is reached.
    pub access: Access,
    /// How shards are polled; the demo polls faster.
    pub poll_interval: Duration,
}

/// Wishes that wait for the daemon.
const COMMANDS_MAX: usize = 64;

/// What a daemon did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Kinesis records read.
    pub records: u64,
    /// Parts of records that could not be decoded.
    pub undecodable: u64,
    /// What the engine counted.
    pub counts: Counts,
    /// Seconds from an event's time to the decision about it: median, 99th percentile, largest.
    pub lag: [u64; 3],
    /// Milliseconds from the arrival of what decided a new alert to SNS's accepting its message: the same.
    pub paged: [u64; 3],
}

/// A started daemon, before its first delivery.
#[derive(Debug)]
pub struct Running {
    work: Work,
    /// Where the page is.
    pub address: std::net::SocketAddr,
    /// What the page shows.
    pub web: Arc<Web>,
}

/// How it works.
#[derive(Debug)]
enum Work {
    /// One engine for all shards, with a state folder.
    Single(Box<Single>),
    /// An engine for each shard whose lease is held.
    Fleet(Box<Fleet>),
}

impl Daemon {
    /// Opens the state, checks that AWS can be reached, and starts reading.
    ///
    /// # Errors
    /// Whatever makes a start useless, with what to do about it.
    pub async fn start(self) -> Result<Running, Failure> {
        let Self { mut settings, sources, clock, access, poll_interval } = self;
        settings.engine.archives = settings.archive.is_some();
        let counters = Arc::<Counters>::default();
        settings.engine.counters = Some(Arc::clone(&counters));
        if settings.streams.is_empty() {
            return Err(Failure::new(
                Exit::Configuration,
                "no [[streams]] in the configuration: there is nothing to read; add one with its name",
            ));
        }
        let kept = if settings.fleet.is_none() { Some(single::open(&mut settings).await?) } else { None };
        let streams = aws::streams(&access, &settings.streams).await;
        let topics = aws::topics(&access, &settings.topics).await;
        aws::check_streams(&streams).await?;
        aws::check_topics(&topics).await?;

        let departments = settings.engine.policy.departments().iter().cloned();
        let metrics = Arc::new(Metrics::new(departments).map_err(|error| Failure::new(Exit::Software, error))?);
        let token = read_token(&settings, sources.as_ref())?;
        let pseudonyms = read_pseudonyms(&settings, sources.as_ref())?;
        let (commands_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let control = Control { token, commands: commands_sender };
        let web = Arc::new(Web::new(Arc::clone(&metrics), Arc::new(Shared::with(counters)), settings.links.clone(), control));
        let door = web::Door::open(&settings, sources.as_ref()).map_err(|errors| Failure::new(Exit::Configuration, errors.join("\n")))?;
        let (address, server) = web::listen(door, Arc::clone(&web)).await.map_err(|error| {
            Failure::new(Exit::Unavailable, format_args!("cannot listen on {}: {error}; choose another [http] listen", settings.listen))
        })?;
        tokio::spawn(server);
        tracing::info!(page = %address, streams = settings.streams.len(), topics = settings.topics.len(), "geophone is listening");
        let parts = Parts { settings, sources, clock, access, poll_interval, metrics, streams, topics, pseudonyms, commands };
        let work = match kept {
            Some((state, recovered)) => Work::Single(Box::new(Single::start(parts, state, recovered).await?)),
            None => Work::Fleet(Box::new(Fleet::start(parts).await?)),
        };
        Ok(Running { work, address, web })
    }
}

impl Running {
    /// Works until `shutdown` completes, then drains.
    ///
    /// # Errors
    /// The last state cannot be written, or a reader died of a bug.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Outcome, Failure> {
        match self.work {
            Work::Single(single) => single.run(shutdown, self.web).await,
            Work::Fleet(fleet) => fleet.run(shutdown, self.web).await,
        }
    }
}

/// What either way of working is made of.
struct Parts {
    settings: Settings,
    sources: Option<Sources>,
    clock: Clock,
    access: Access,
    poll_interval: Duration,
    metrics: Arc<Metrics>,
    streams: Vec<(aws_sdk_kinesis::Client, Stream)>,
    topics: Vec<(aws_sdk_sns::Client, Topic)>,
    pseudonyms: Option<Pseudonyms>,
    commands: mpsc::Receiver<Command>,
}

/// The token for the API, from its file.
fn read_token(settings: &Settings, sources: Option<&Sources>) -> Result<Option<String>, Failure> {
    const TOKEN_BYTES_MIN: usize = 16;
    read_secret("[http] token_file", settings.token_file.as_deref(), sources, TOKEN_BYTES_MIN)
}

/// What makes pseudonyms, from the file of its key.
fn read_pseudonyms(settings: &Settings, sources: Option<&Sources>) -> Result<Option<Pseudonyms>, Failure> {
    let key = read_secret("[privacy] key_file", settings.privacy_key_file.as_deref(), sources, KEY_BYTES_MIN)?;
    Ok(key.and_then(|key| Pseudonyms::new(key.as_bytes())))
}

/// The text of a file of its own; relative to the configuration.
pub(crate) fn read_secret(key: &str, file: Option<&str>, sources: Option<&Sources>, bytes_min: usize) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let path = sources.map_or_else(|| file.into(), |sources| sources.place(file));
    let cannot = |why: String| {
        Failure::new(Exit::Configuration, format_args!("{key} {}: {why}; make one with `openssl rand -hex 32`", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
    let secret = text.trim();
    if secret.len() < bytes_min {
        return Err(cannot(format!("shorter than {bytes_min} bytes")));
    }
    Ok(Some(secret.to_owned()))
}

/// Where the folder of a place is.
fn place_of(place: &ArchivePlace, sources: Option<&Sources>) -> std::path::PathBuf {
    match place {
        ArchivePlace::Folder(folder) => sources.map_or_else(|| folder.into(), |sources| sources.place(folder)),
        ArchivePlace::Bucket { .. } => std::path::PathBuf::new(),
    }
}

fn stream_settings(stream: &Stream, poll_interval: Duration) -> StreamSettings {
    let mut settings = StreamSettings::new(&stream.name);
    settings.alias = stream.region.as_ref().map(|region| format!("{}@{region}", stream.name));
    settings.arn.clone_from(&stream.arn);
    settings.poll_interval = poll_interval;
    settings.idle_poll_interval = poll_interval * 5;
    settings.fan_out = stream.fan_out.clone().map(|name| if name.starts_with("arn:") { FanOut::Arn(name) } else { FanOut::Name(name) });
    // The decoder takes KPL's records apart itself, and keeps what it cannot read as a dead letter.
    settings.aggregated = false;
    settings.start = match stream.start {
        Start::TrimHorizon => StartAt::TrimHorizon,
        Start::Latest => StartAt::Latest,
        Start::At(time) => StartAt::AtTimestamp(time.unix().saturating_mul(1_000)),
    };
    settings
}

/// Completes when the process is asked to stop: SIGTERM, or Ctrl-C.
pub async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; only Ctrl-C stops the daemon");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
