//! The daemon: streams in, topics out, page and metrics beside. Wiring and drain; no decisions.
//!
//! One task owns the engine and takes deliveries one by one; each topic has a task that publishes; the consumer has its
//! own tasks per shard. A position is committed only together with the state that its records made, and with the alerts
//! that are not delivered yet: so a crash at any moment loses nothing and says nothing twice under two ids.

mod archiving;
mod aws;
mod commands;
mod outbox;
mod pipeline;
mod reload;
mod showing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::{Consumer, ConsumerHandle, ConsumerSettings, Delivery, StartAt, StreamSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::alerting::PagingImage;
use crate::alerting::privacy::{KEY_BYTES_MIN, Pseudonyms};
use crate::cli::output::status;
use crate::cli::{Exit, Failure};
use crate::clock::Clock;
use crate::config::{ArchivePlace, Settings, Start, Stream};
use crate::engine::{Counts, Engine};
use crate::files;
use crate::sns::{Published, publish};
use crate::sources::Sources;
use crate::storage::StateFolder;
use crate::supervisor::Supervisor;
use crate::telemetry::Metrics;
use crate::web::{self, Command, Control, Web};

use archiving::Archiver;
pub use aws::Access;
pub(crate) use aws::topics as topic_clients;
use outbox::Outbox;
use pipeline::Pipeline;
use reload::Reload;

/// How long a stop may take in all: stopping readers, delivering what is decided, one last snapshot.
const DRAIN: Duration = Duration::from_secs(20);
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
    pipeline: Pipeline,
    deliveries: mpsc::Receiver<Delivery>,
    consumer: ConsumerHandle,
    results: mpsc::UnboundedReceiver<(String, Published)>,
    commands: mpsc::Receiver<Command>,
    reload: Option<Reload>,
    snapshot_every: Duration,
    /// Where the page is.
    pub address: std::net::SocketAddr,
    /// What the page shows.
    pub web: Arc<Web>,
}

impl Daemon {
    /// Opens the state, checks that AWS can be reached, and starts reading.
    ///
    /// # Errors
    /// Whatever makes a start useless, with what to do about it.
    pub async fn start(self) -> Result<Running, Failure> {
        let Self { mut settings, sources, clock, access, poll_interval } = self;
        settings.engine.archives = settings.archive.is_some();
        if settings.streams.is_empty() {
            return Err(Failure::new(
                Exit::Configuration,
                "no [[streams]] in the configuration: there is nothing to read; add one with its name",
            ));
        }
        let (state, recovered) =
            StateFolder::open(Path::new(&settings.state_folder)).await.map_err(|error| Failure::new(Exit::CannotWrite, error))?;
        let streams = aws::streams(&access, &settings.streams).await;
        let topics = aws::topics(&access, &settings.topics).await;
        aws::check_streams(&streams).await?;
        aws::check_topics(&topics).await?;

        let archiver = open_archive(&settings, &access, &state, &recovered.archived_in_vain, sources.as_ref()).await?;
        let (mut engine, paging, outbox) = match recovered.snapshot {
            Some(snapshot) => (Engine::restore(settings.engine.clone(), snapshot.engine), snapshot.paging, snapshot.outbox),
            None => (Engine::new(settings.engine.clone()), PagingImage::default(), Vec::new()),
        };
        if let Some(folder) = sources.as_ref().and_then(Sources::warm_from) {
            warm_grants(&settings, &folder, &mut engine)?;
        }
        let recalled = recovered.published.len();
        engine.recall(recovered.published);
        let departments = settings.engine.policy.departments().iter().cloned();
        let metrics = Arc::new(Metrics::new(departments).map_err(|error| Failure::new(Exit::Software, error))?);
        let token = read_token(&settings, sources.as_ref())?;
        let (commands_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let web =
            Arc::new(Web::new(Arc::clone(&metrics), engine.shared(), settings.links.clone(), Control { token, commands: commands_sender }));
        let door = web::Door::open(&settings, sources.as_ref()).map_err(|errors| Failure::new(Exit::Configuration, errors.join("\n")))?;
        let (address, server) = web::listen(door, Arc::clone(&web)).await.map_err(|error| {
            Failure::new(Exit::Unavailable, format_args!("cannot listen on {}: {error}; choose another [http] listen", settings.listen))
        })?;
        tokio::spawn(server);

        let (results_sender, results) = mpsc::unbounded_channel();
        let mut pending =
            Outbox::new(settings.engine.detectors.clone(), settings.links.clone(), read_pseudonyms(&settings, sources.as_ref())?);
        for (client, topic) in topics {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(publish(client, topic.arn.clone(), receiver, results_sender.clone()));
            pending.add_topic(topic, sender);
        }
        let resume = recovered.manifest;
        let resumed = resume.checkpoints.len();
        let consumer_streams = streams.into_iter().map(|(client, stream)| (client, stream_settings(&stream, poll_interval))).collect();
        let (deliveries, consumer) = Consumer::start(consumer_streams, ConsumerSettings::default(), resume.clone())
            .map_err(|error| Failure::new(Exit::Configuration, error))?;
        let mut pipeline = Pipeline::new(&settings, engine, pending, state, resume, clock, metrics);
        if let Some(archiver) = archiver {
            pipeline.archive_to(archiver);
        }
        pipeline.resume(paging, outbox)?;
        pipeline.silence_configured(&settings.silences);
        tracing::info!(page = %address, streams = settings.streams.len(), topics = settings.topics.len(), resumed, recalled, "geophone is listening");
        let snapshot_every = Duration::from_secs(settings.snapshot_every.unsigned_abs().max(1));
        let reload = sources.map(Reload::new);
        Ok(Running { pipeline, deliveries, consumer, results, commands, reload, snapshot_every, address, web })
    }
}

impl Running {
    /// Works until `shutdown` completes, then drains.
    ///
    /// # Errors
    /// The state folder cannot be written any more, or a reader died of a bug.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Outcome, Failure> {
        let Self { mut pipeline, mut deliveries, consumer, mut results, mut commands, mut reload, snapshot_every, web, .. } = self;
        tokio::pin!(shutdown);
        let mut snapshots = interval(snapshot_every);
        let mut views = interval(VIEW_EVERY);
        let mut looks = interval(RELOAD_EVERY);
        let mut supervisor = Supervisor::from_environment();
        let mut beats = interval(supervisor.beat_every());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        snapshots.set_missed_tick_behavior(MissedTickBehavior::Delay);
        views.set_missed_tick_behavior(MissedTickBehavior::Delay);
        snapshots.tick().await;
        let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
            Failure::new(Exit::Software, format_args!("SIGHUP cannot be listened for: {error}; raise the limit of open files"))
        })?;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some((topic, result)) = results.recv() => pipeline.published(&topic, result)?,
                Some(command) = commands.recv() => pipeline.command(command)?,
                _ = snapshots.tick() => pipeline.commit().await?,
                _ = views.tick() => pipeline.show(&web)?,
                // Here and nowhere else: a loop that is stuck gives no sign of life.
                _ = beats.tick(), if supervisor.listens() => {
                    let view = web.view();
                    supervisor.beat(view.is_ready, &if view.is_ready { status(&view) } else { "waiting for the first shard".to_owned() });
                },
                Some(()) = hangups.recv() => if let Some(reload) = &mut reload {
                    reload.hurry();
                    tokio::task::block_in_place(|| reload.look(&mut pipeline));
                },
                _ = looks.tick() => if let Some(reload) = &mut reload {
                    tokio::task::block_in_place(|| reload.look(&mut pipeline));
                },
                // Pages are left with the readers while too much waits for SNS: memory stays bounded.
                delivery = deliveries.recv(), if pipeline.has_room() => match delivery {
                    Some(delivery) => {
                        tokio::task::block_in_place(|| pipeline.deliver(delivery))?;
                        if pipeline.is_full() {
                            pipeline.commit().await?;
                        }
                    }
                    None => return Err(Failure::new(Exit::Software, "a reader ended by itself; please report this with the log")),
                },
            }
        }
        tracing::info!("stopping: delivering what is decided");
        supervisor.stopping();
        drop(deliveries);
        let end = Instant::now() + DRAIN;
        consumer.stop().await;
        while !pipeline.is_delivered() {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, results.recv()).await {
                Ok(Some((topic, result))) => pipeline.published(&topic, result)?,
                Ok(None) | Err(_) => break,
            }
        }
        // What is still undelivered goes into the snapshot and is sent after the next start.
        pipeline.commit().await?;
        pipeline.show(&web)?;
        Ok(pipeline.outcome())
    }
}

/// Opens the archive and removes what was written of a batch that was never committed: its calls come again.
async fn open_archive(
    settings: &Settings,
    access: &Access,
    state: &StateFolder,
    in_vain: &[String],
    sources: Option<&Sources>,
) -> Result<Option<Archiver>, Failure> {
    let Some(archive) = &settings.archive else { return Ok(None) };
    let folder = match &archive.place {
        ArchivePlace::Folder(folder) => sources.map_or_else(|| folder.into(), |sources| sources.place(folder)),
        ArchivePlace::Bucket { .. } => std::path::PathBuf::new(),
    };
    let name = state.archive_name(fastrand::u64(..)).map_err(|error| Failure::new(Exit::CannotWrite, error))?;
    let config = access.config(archive.region.as_deref()).await;
    let cannot = |why: String| Failure::new(Exit::Unavailable, format_args!("[archive] url: {why}; check the place and its permissions"));
    let archiver = Archiver::open(archive, &folder, &config, name).map_err(cannot)?;
    archiver.remove(in_vain).await.map_err(cannot)?;
    Ok(Some(archiver))
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

/// Reads the grants of a folder of CloudTrail files: sessions that began before the stream did are known then.
fn warm_grants(settings: &Settings, folder: &Path, engine: &mut Engine) -> Result<(), Failure> {
    let no_input = |error| Failure::new(Exit::NoInput, format_args!("{error}; correct [identity] warm_from"));
    let listing = files::list(&[folder.to_owned()]).map_err(no_input)?;
    let mut merge = files::Merge::new(&listing, crate::cli::observer(settings), |_| {}).map_err(no_input)?;
    let mut events = 0_u64;
    while let Some(observation) = merge.pull().map_err(no_input)? {
        engine.learn(observation);
        events += 1;
    }
    tracing::info!(folder = %folder.display(), files = merge.tally.files, events, undecodable = merge.tally.undecodable, grants = engine.gauges().grants, "grants of the past are known");
    Ok(())
}

fn stream_settings(stream: &Stream, poll_interval: Duration) -> StreamSettings {
    let mut settings = StreamSettings::new(&stream.name);
    settings.alias = stream.region.as_ref().map(|region| format!("{}@{region}", stream.name));
    settings.arn.clone_from(&stream.arn);
    settings.poll_interval = poll_interval;
    settings.idle_poll_interval = poll_interval * 5;
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
