//! One shard of a fleet: an engine of its own, from when its lease is taken until it is given back, lost, or the shard ends.

use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::leasing::{LostReason, TokenState};
use kinesis_lease::{Delivery, Lease, Manifest, ShardKey};
use md5::{Digest as _, Md5};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Base;
use super::identity::Follower;
use super::store::{Pending, ShardKeeper, Taken, Token};
use crate::alerting::{Page, PagingImage};
use crate::cli::{Exit, Failure};
use crate::daemon::blindness::StateLoss;
use crate::daemon::keeper::Keeper;
use crate::daemon::outbox::Outbox;
use crate::daemon::pipeline::Pipeline;
use crate::daemon::reload::Reload;
use crate::daemon::{RELOAD_EVERY, VIEW_EVERY};
use crate::engine::{Engine, inherit};
use crate::snapshot::Snapshot;
use crate::sns::{Published, publish};
use crate::time::EventTime;
use crate::web::Command;

/// Between two tries to read the state of a shard.
const AGAIN: Duration = Duration::from_secs(2);
/// Longest that pages may take to go out before a lease is given back; what is left goes with the state.
const HAND_OVER: Duration = Duration::from_secs(5);

/// The counter of a lease that was made and taken, and never anything else.
const FIRST_TAKE: u64 = 1;

/// What a shard's task is told.
#[derive(Debug)]
pub(super) enum Input {
    /// What its reader says.
    Delivery(Delivery),
    /// The lease is asked for: settle and give it back.
    Asked,
    /// The lease is lost: nothing of it can be settled any more.
    Lost(LostReason),
}

/// A shard at work.
struct Shard {
    base: Arc<Base>,
    key: ShardKey,
    token: Token,
    pipeline: Pipeline,
    results: mpsc::UnboundedReceiver<(String, Published)>,
    identity: Follower,
    reload: Option<Reload>,
}

/// Works on a shard until its lease is over.
pub(super) async fn run(
    base: Arc<Base>,
    key: ShardKey,
    token: Token,
    mut inputs: mpsc::Receiver<Input>,
    mut commands: mpsc::Receiver<Command>,
) {
    tracing::info!(shard = %key, from = %token.opening(), "shard taken");
    let worked = match Shard::open(Arc::clone(&base), key.clone(), token.clone()).await {
        Ok(Some(shard)) => shard.work(&mut inputs, &mut commands).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = worked {
        base.board.trouble(format!("{key}: {}", failure.message), base.now());
        tracing::error!(shard = %key, why = failure.message, "a shard is given up; whoever takes it goes on from its last state");
    }
    // This one's place is the one that hears nothing any more.
    drop(commands);
    base.board.remove(&key);
    // Where the lease was not given back yet: whoever can read it shall take it at once.
    if !matches!(token.state(), TokenState::Over(_))
        && let Err(error) = token.release().await
    {
        tracing::warn!(shard = %key, %error, "a lease could not be given back; it will expire");
    }
    tracing::info!(shard = %key, "shard left");
}

impl Shard {
    /// Reads the state and makes a pipeline of it. Nothing where the lease has to be read from elsewhere first.
    async fn open(base: Arc<Base>, key: ShardKey, token: Token) -> Result<Option<Self>, Failure> {
        let Some((taken, pending)) = read(&base, &key, &token).await else { return Ok(None) };
        taken.losses.iter().for_each(|loss| tracing::error!(shard = %key, loss, "state was lost"));
        for loss in &taken.losses {
            base.board.trouble(loss.clone(), base.now());
        }
        if let Some((checkpoint, name)) = taken.fallback {
            // Reading begins where the lease says when it is taken: it is moved back, and taken again. Whoever that is has to
            // page for it.
            if let Some(loss) = StateLoss::of(&taken.losses, name.is_none())
                && let Err(why) = base.shelf.note_loss(&key, &loss, base.now()).await
            {
                tracing::warn!(shard = %key, why, "the loss could not be noted; whoever takes the shard tries again");
                return Ok(None);
            }
            if let Err(error) = token.checkpoint(checkpoint, name).await {
                tracing::warn!(shard = %key, %error, "the lease could not be moved back; whoever takes it tries again");
            }
            return Ok(None);
        }
        let archiver = base.archiver(&key)?;
        if let Some(archiver) = &archiver {
            let cannot =
                |why: String| Failure::new(Exit::Unavailable, format_args!("[archive] what was written in vain cannot be removed: {why}"));
            archiver.remove(&pending.objects).await.map_err(cannot)?;
            base.shelf.forget(&pending).await.map_err(cannot)?;
        }
        let found = StateLoss::of(&taken.losses, taken.snapshots.is_empty()).map(|loss| (loss, base.now()));
        let loss = taken.noted.clone().or(found);
        // Whoever had it before may have paged and never come to a checkpoint.
        let is_takeover = token.taken().counter > FIRST_TAKE || !taken.snapshots.is_empty();
        let (engine, paging, pages) = inherited(&base, &token, taken.snapshots);
        let (results_sender, results) = mpsc::unbounded_channel();
        let settings = &base.settings;
        let mut outbox = Outbox::new(settings.engine.detectors.clone(), settings.links.clone(), base.pseudonyms.clone());
        for (client, topic) in &base.topics {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(publish(client.clone(), topic.arn.clone(), receiver, results_sender.clone()));
            outbox.add_topic(topic.clone(), sender);
        }
        let mut manifest = Manifest::default();
        let row = token.taken();
        let lease = Lease { children: row.children.clone(), ..Lease::new(token.opening().clone(), row.parents.clone()) };
        manifest.checkpoints.insert(key.clone(), lease);
        let keeper = ShardKeeper::new(base.shelf.clone(), key.clone(), token.clone(), taken.noted.is_some(), base.epoch_ms);
        let keeper = Keeper::Shard(Box::new(keeper));
        let mut pipeline = Pipeline::new(settings, engine, outbox, keeper, manifest, base.clock, Arc::clone(&base.metrics));
        if let Some(archiver) = archiver {
            pipeline.archive_to(archiver);
        }
        pipeline.taken_at = is_takeover.then(|| base.now());
        pipeline.resume(paging, pages)?;
        pipeline.silence_configured(&settings.silences);
        if let Some((loss, at)) = loss {
            pipeline.state_lost(&key.to_string(), loss, at)?;
        }
        let (identity, reload) = (base.identity.follow(), base.sources.clone().map(Reload::new));
        Ok(Some(Self { base, key, token, pipeline, results, identity, reload }))
    }

    async fn work(mut self, inputs: &mut mpsc::Receiver<Input>, commands: &mut mpsc::Receiver<Command>) -> Result<(), Failure> {
        let mut snapshots = interval(Duration::from_secs(self.base.settings.snapshot_every.unsigned_abs().max(1)));
        let (mut views, mut looks) = (interval(VIEW_EVERY), interval(RELOAD_EVERY));
        for ticks in [&mut snapshots, &mut views, &mut looks] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        snapshots.tick().await;
        loop {
            let Self { base, key, pipeline, results, identity, reload, token } = &mut self;
            tokio::select! {
                biased;
                Some((topic, result)) = results.recv() => pipeline.published(&topic, result)?,
                written = pipeline.written() => drop(pipeline.finish_commit(written)),
                Some(command) = commands.recv() => if pipeline.command(command)? {
                    pipeline.begin_commit();
                },
                _ = snapshots.tick() => pipeline.begin_commit(),
                _ = views.tick() => {
                    while let Some(observation) = identity.next() {
                        pipeline.tell(observation)?;
                    }
                    base.board.show(key, pipeline.view()?, pipeline.paging.held());
                    if matches!(token.state(), TokenState::Over(_)) {
                        return Ok(());
                    }
                }
                _ = looks.tick() => if let Some(reload) = reload {
                    tokio::task::block_in_place(|| reload.look(pipeline));
                },
                input = inputs.recv(), if pipeline.has_room() => match input {
                    // Another may be at it already: what is read now would be told twice, and neither would say so.
                    Some(Input::Delivery(_)) if !token.is_valid() => return Ok(()),
                    Some(Input::Delivery(delivery)) => {
                        let is_end = matches!(delivery, Delivery::ShardEnded { .. });
                        tokio::task::block_in_place(|| pipeline.deliver(delivery))?;
                        if is_end {
                            return self.hand_over(true).await;
                        }
                        if pipeline.is_full() {
                            pipeline.begin_commit();
                        }
                    }
                    Some(Input::Asked) => return self.hand_over(false).await,
                    Some(Input::Lost(why)) => {
                        tracing::warn!(shard = %key, why = why.as_str(), "the lease is lost");
                        return Ok(());
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Delivers what is decided, as far as that goes fast, and leaves the rest with the last state. A shard that was read to
    /// its end is not given up before its last state is written: its children begin with it.
    async fn hand_over(mut self, is_end: bool) -> Result<(), Failure> {
        let delivered = async {
            while !self.pipeline.is_delivered() {
                match self.results.recv().await {
                    Some((topic, result)) => self.pipeline.published(&topic, result)?,
                    None => break,
                }
            }
            Ok::<(), Failure>(())
        };
        if let Ok(outcome) = tokio::time::timeout(HAND_OVER, delivered).await {
            outcome?;
        }
        loop {
            let committed = self.pipeline.commit_all().await;
            if committed.is_ok() || !self.token.is_valid() {
                return committed;
            }
            if !is_end {
                return committed;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Reads until the place answers or the lease is over.
async fn read(base: &Base, key: &ShardKey, token: &Token) -> Option<(Taken, Pending)> {
    loop {
        let read = async { Ok::<_, String>((base.shelf.read(key, token).await?, base.shelf.pending(key, token).await?)) };
        let why = match read.await {
            Ok(read) => return Some(read),
            Err(why) => why,
        };
        if base.board.trouble(format!("{key}: its state cannot be read"), base.now()) {
            tracing::error!(shard = %key, why, "the state of a shard cannot be read, will be tried again; nothing of it is read meanwhile");
        }
        if matches!(token.state(), TokenState::Over(_) | TokenState::Asked) {
            return None;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Engine, silences and pages under way: a shard's own, or its part of what its parents left.
fn inherited(base: &Base, token: &Token, mut snapshots: Vec<Snapshot>) -> (Engine, PagingImage, Vec<Page>) {
    let row = token.taken();
    if row.snapshot_ref.is_none() && token.parents().len() == 1 {
        // Of a split: what is outside of the parent's own range (it was written by an explicit hash key) goes where its
        // range begins.
        let begin = token.parents()[0].hash_range.map_or(0, |range| range.starting);
        let parent = token.parents()[0].hash_range;
        let is_mine = |key: &str| {
            let hash = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
            let hash = if parent.is_none_or(|range| (range.starting..=range.ending).contains(&hash)) { hash } else { begin };
            row.hash_range.is_none_or(|range| (range.starting..=range.ending).contains(&hash))
        };
        for snapshot in &mut snapshots {
            snapshot.engine.narrow(is_mine);
            snapshot.outbox.retain(|page| match page {
                Page::Alert(alert) | Page::Record(alert) => is_mine(inherit::partition_key(&alert.who.issuer, &alert.who.arn)),
                Page::Digest(_) => row.hash_range.is_none_or(|range| range.starting == begin),
            });
        }
    }
    let pages = snapshots.iter_mut().flat_map(|snapshot| std::mem::take(&mut snapshot.outbox)).collect();
    let paging = snapshots.first().map(|snapshot| snapshot.paging.clone()).unwrap_or_default();
    let engines = snapshots.into_iter().map(|snapshot| snapshot.engine).collect();
    (Engine::inherit(base.settings.engine.clone(), engines), paging, pages)
}

impl Base {
    /// What time it is.
    pub(super) fn now(&self) -> EventTime {
        self.clock.now().0
    }
}
