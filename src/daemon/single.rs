//! One engine for all shards of all streams, with a state folder: what a single machine needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::{Consumer, ConsumerHandle, ConsumerSettings, Delivery};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::archiving::Archiver;
use super::blindness::StateLoss;
use super::keeper::Keeper;
use super::outbox::Outbox;
use super::pipeline::Pipeline;
use super::reload::Reload;
use super::{Access, Outcome, Parts, RELOAD_EVERY, VIEW_EVERY, place_of, stream_settings};
use crate::alerting::PagingImage;
use crate::cli::output::status;
use crate::cli::{Exit, Failure};
use crate::config::{Settings, Start};
use crate::engine::Engine;
use crate::files;
use crate::sns::{Published, publish};
use crate::sources::Sources;
use crate::storage::{Recovered, StateFolder};
use crate::supervisor::Supervisor;
use crate::web::{Command, Web};

/// How long a stop may take in all: stopping readers, delivering what is decided, one last snapshot.
const DRAIN: Duration = Duration::from_secs(20);

/// One engine for all shards.
#[derive(Debug)]
pub(super) struct Single {
    pipeline: Pipeline,
    deliveries: mpsc::Receiver<Delivery>,
    consumer: ConsumerHandle,
    results: mpsc::UnboundedReceiver<(String, Published)>,
    commands: mpsc::Receiver<Command>,
    reload: Option<Reload>,
    snapshot_every: Duration,
}

/// Opens the state folder. Where it had state and none can be read, streams are read from their oldest record.
pub(super) async fn open(settings: &mut Settings) -> Result<(StateFolder, Recovered), Failure> {
    let opened = StateFolder::open(Path::new(&settings.state_folder)).await;
    let (state, recovered) = opened.map_err(|error| Failure::new(Exit::CannotWrite, error))?;
    recovered.losses.iter().for_each(|loss| tracing::error!(loss, "state was lost"));
    if recovered.is_blind {
        settings.streams.iter_mut().for_each(|stream| stream.start = Start::TrimHorizon);
    }
    Ok((state, recovered))
}

impl Single {
    /// Begins to read.
    pub(super) async fn start(parts: Parts, state: StateFolder, recovered: Recovered) -> Result<Self, Failure> {
        let Parts { settings, sources, clock, access, poll_interval, metrics, streams, topics, pseudonyms, commands } = parts;
        let archiver = open_archive(&settings, &access, &state, &recovered.archived_in_vain, sources.as_ref()).await?;
        let loss = StateLoss::of(&recovered.losses, recovered.is_blind);
        let (mut engine, paging, outbox) = match recovered.snapshot {
            Some(snapshot) => (Engine::restore(settings.engine.clone(), snapshot.engine), snapshot.paging, snapshot.outbox),
            None => (Engine::new(settings.engine.clone()), PagingImage::default(), Vec::new()),
        };
        if let Some(folder) = sources.as_ref().and_then(Sources::warm_from) {
            warm_grants(&settings, &folder, &mut engine)?;
        }
        let recalled = recovered.published.len();
        engine.recall(recovered.published);
        let (results_sender, results) = mpsc::unbounded_channel();
        let mut pending = Outbox::new(settings.engine.detectors.clone(), settings.links.clone(), pseudonyms);
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
        let mut pipeline = Pipeline::new(&settings, engine, pending, Keeper::Folder(state), resume, clock, metrics);
        if let Some(archiver) = archiver {
            pipeline.archive_to(archiver);
        }
        pipeline.resume(paging, outbox)?;
        pipeline.silence_configured(&settings.silences);
        if let Some(loss) = loss {
            let now = pipeline.now();
            pipeline.state_lost("", loss, now)?;
        }
        tracing::info!(resumed, recalled, "reading");
        let snapshot_every = Duration::from_secs(settings.snapshot_every.unsigned_abs().max(1));
        let reload = sources.map(Reload::new);
        Ok(Self { pipeline, deliveries, consumer, results, commands, reload, snapshot_every })
    }

    /// Works until `shutdown` completes, then drains.
    pub(super) async fn run(self, shutdown: impl Future<Output = ()>, web: Arc<Web>) -> Result<Outcome, Failure> {
        let Self { mut pipeline, mut deliveries, consumer, mut results, mut commands, mut reload, snapshot_every } = self;
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
                written = pipeline.written() => drop(pipeline.finish_commit(written)),
                Some(command) = commands.recv() => if pipeline.command(command)? {
                    pipeline.begin_commit();
                },
                _ = snapshots.tick() => pipeline.begin_commit(),
                _ = views.tick() => pipeline.show(&web)?,
                // Here and nowhere else: a loop that is stuck gives no sign of life.
                _ = beats.tick(), if supervisor.listens() && !pipeline.is_stuck() => {
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
                            pipeline.begin_commit();
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
        pipeline.commit_all().await?;
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
    let folder = place_of(&archive.place, sources);
    let name = state.archive_name(fastrand::u64(..)).map_err(|error| Failure::new(Exit::CannotWrite, error))?;
    let config = access.config(archive.region.as_deref()).await;
    let cannot = |why: String| Failure::new(Exit::Unavailable, format_args!("[archive] url: {why}; check the place and its permissions"));
    let archiver = Archiver::open(archive, &folder, &config, name).map_err(cannot)?;
    archiver.remove(in_vain).await.map_err(cannot)?;
    Ok(Some(archiver))
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
