//! Several machines that share the shards of their streams: leases in DynamoDB, the state of each shard beside its lease.
//!
//! ```text
//! lease taken ──▶ shard::run ── state read ──▶ pipeline ── commits: snapshot, then checkpoint and its name in one write
//!                     ▲                            │
//!  deliveries ────────┘                            └─▶ board ──▶ page, metrics
//! ```
//! Each shard has an engine of its own, so that its state moves with its lease. Between machines nothing is shared: what is
//! counted per person is counted per person within a shard, and streams are partitioned by the role behind a session.

mod board;
mod identity;
mod shard;
pub(super) mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client as DynamoClient;
use kinesis_lease::leasing::{DynamoTable, LeaseEvent, LeasedConsumer, LeasedConsumerHandle, LeasedDelivery, WorkerSettings};
use kinesis_lease::{Consumer, ConsumerSettings, Manifest, ShardKey, StreamSettings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::board::Board;
use self::identity::Identity;
use self::shard::Input;
use self::store::Shelf;
use super::archiving::Archiver;
use super::{Outcome, Parts, VIEW_EVERY, objects, place_of, stream_settings};
use crate::alerting::privacy::Pseudonyms;
use crate::cli::output::status;
use crate::cli::{Exit, Failure};
use crate::clock::Clock;
use crate::config::{FleetShare, Role, Settings, Start, Stream, Topic};
use crate::sources::Sources;
use crate::supervisor::Supervisor;
use crate::telemetry::Metrics;
use crate::telemetry::metric_name::MetricName;
use crate::web::{Command, Web};

/// Deliveries that wait for one shard. While they do the others of its stream wait, too.
const INPUTS_MAX: usize = 8;

/// The lease table is looked at so often at least.
const TAKE_EVERY_MAX: Duration = Duration::from_secs(2);

/// What the shards of a machine have in common.
pub(super) struct Base {
    pub(super) settings: Settings,
    pub(super) sources: Option<Sources>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) topics: Vec<(aws_sdk_sns::Client, Topic)>,
    pub(super) pseudonyms: Option<Pseudonyms>,
    board: Board,
    identity: Identity,
    shelf: Shelf,
    epoch_ms: fn() -> i64,
    archive_config: Option<aws_config::SdkConfig>,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}

impl Base {
    /// The archive, under names of this shard.
    fn archiver(&self, shard: &ShardKey) -> Result<Option<Archiver>, Failure> {
        let (Some(archive), Some(config)) = (&self.settings.archive, &self.archive_config) else { return Ok(None) };
        let folder = place_of(&archive.place, self.sources.as_ref());
        let name = format!("{}-{}", shard.stream, shard.shard);
        let cannot =
            |why: String| Failure::new(Exit::Unavailable, format_args!("[archive] url: {why}; check the place and its permissions"));
        Archiver::open(archive, &folder, config, name).map(Some).map_err(cannot)
    }
}

/// A machine of a fleet, before its first lease.
#[derive(Debug)]
pub(super) struct Fleet {
    base: Arc<Base>,
    shared: Vec<SharedStream>,
    commands: mpsc::Receiver<Command>,
}

impl Fleet {
    /// Begins to take leases.
    pub(super) async fn start(parts: Parts) -> Result<Self, Failure> {
        let Parts { settings, sources, clock, access, poll_interval, metrics, streams, topics, pseudonyms, commands } = parts;
        let Some(share) = settings.fleet.clone() else { return Err(Failure::new(Exit::Software, "no [fleet]")) };
        let share = &share;
        let config = access.config(share.region.as_deref()).await;
        let folder = place_of(&share.snapshots, sources.as_ref());
        let cannot =
            |why: String| Failure::new(Exit::Unavailable, format_args!("[fleet] snapshots: {why}; check the place and its permissions"));
        let (store, prefix) = objects::open(&share.snapshots, &folder, share.s3_endpoint.as_deref(), &config).map_err(cannot)?;
        let archive_config = match &settings.archive {
            Some(archive) => Some(access.config(archive.region.as_deref()).await),
            None => None,
        };
        let shelf = Shelf::new(store, prefix);
        let base = Arc::new(Base {
            settings,
            sources,
            clock,
            metrics,
            topics,
            pseudonyms,
            board: Board::default(),
            identity: Identity::default(),
            shelf,
            epoch_ms: crate::clock::epoch_ms,
            archive_config,
        });
        let mut builder = aws_sdk_dynamodb::config::Builder::from(&config);
        builder.set_endpoint_url(share.dynamodb_endpoint.clone().or_else(|| config.endpoint_url().map(str::to_owned)));
        let client = DynamoClient::from_conf(kinesis_lease::leasing::table::dynamo::client_config_defaults(builder).build());
        let (mut shared, mut whole) = (Vec::new(), Vec::new());
        for (kinesis, stream) in streams {
            let settings = stream_settings(&stream, poll_interval);
            match stream.leases.as_deref().filter(|_| stream.role == Role::Calls) {
                Some(table) => shared.push(share_stream(share, &client, table, (kinesis, settings))?),
                None => whole.push((kinesis, stream_settings(&Stream { start: Start::TrimHorizon, ..stream }, poll_interval))),
            }
        }
        if !whole.is_empty() {
            let started = Consumer::start(whole, ConsumerSettings::default(), Manifest::default());
            let (deliveries, reading) = started.map_err(|error| Failure::new(Exit::Configuration, error))?;
            tokio::spawn(identity::listen(Arc::clone(&base), deliveries, reading));
        }
        Ok(Self { base, shared, commands })
    }

    /// Works until `shutdown` completes, then gives every lease back.
    pub(super) async fn run(self, shutdown: impl Future<Output = ()>, web: Arc<Web>) -> Result<Outcome, Failure> {
        let Self { base, shared, mut commands } = self;
        tokio::pin!(shutdown);
        let (mut routers, mut consumers) = (JoinSet::new(), Vec::new());
        for (deliveries, consumer, stream) in shared {
            routers.spawn(route(Arc::clone(&base), stream, deliveries));
            consumers.push(consumer);
        }
        let mut supervisor = Supervisor::from_environment();
        let (mut views, mut beats) = (interval(VIEW_EVERY), interval(supervisor.beat_every()));
        views.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let policy = Arc::clone(&base.settings.engine.policy);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = routers.join_next() => {
                    let why = ended.err().map_or_else(String::new, |error| error.to_string());
                    return Err(Failure::new(Exit::Software, format_args!("a reader ended by itself {why}; please report this with the log")));
                }
                Some(command) = commands.recv() => {
                    let base = Arc::clone(&base);
                    tokio::spawn(async move { base.board.command(command).await });
                }
                _ = views.tick() => base.board.publish(&web, &base.metrics, &policy, base.now()),
                _ = beats.tick(), if supervisor.listens() => {
                    let view = web.view();
                    supervisor.beat(view.is_ready, &if view.is_ready { status(&view) } else { "waiting for the first shard".to_owned() });
                },
            }
        }
        tracing::info!("stopping: giving leases back");
        supervisor.stopping();
        let mut stops = JoinSet::new();
        consumers.into_iter().for_each(|consumer| drop(stops.spawn(consumer.stop())));
        while let Some(left) = stops.join_next().await {
            if let Ok(left @ 1..) = left {
                tracing::warn!(left, "leases had to be taken back; their last state is older than what was read");
            }
        }
        base.board.publish(&web, &base.metrics, &policy, base.now());
        let view = web.view();
        let counts = crate::engine::Counts { events: view.events, invocations: view.invocations, ..Default::default() };
        Ok(Outcome { counts, lag: base.metrics.lag_quantiles(), paged: base.metrics.paged_quantiles(), ..Outcome::default() })
    }
}

type SharedStream = (mpsc::Receiver<LeasedDelivery<DynamoTable>>, LeasedConsumerHandle<DynamoTable>, Arc<str>);

fn share_stream(
    share: &FleetShare,
    client: &DynamoClient,
    table: &str,
    stream: (aws_sdk_kinesis::Client, StreamSettings),
) -> Result<SharedStream, Failure> {
    let mut worker = WorkerSettings::unique(&share.worker);
    worker.plan.failover = Duration::from_secs(share.failover.unsigned_abs());
    worker.take_interval = take_interval(worker.plan.failover);
    let key = stream.1.key();
    let table = DynamoTable::new(client.clone(), table);
    let started = LeasedConsumer::start(stream, &ConsumerSettings::default(), table, worker);
    let (deliveries, consumer) = started.map_err(|error| Failure::new(Exit::Configuration, error))?;
    Ok((deliveries, consumer, key))
}

/// How often the table is looked at. A worker that died just after a look is seen alive by the next one, and dead by the
/// first look when its lease time has passed since then: two of these beyond the lease time, which are not to be more than
/// a few seconds however long that is.
fn take_interval(failover: Duration) -> Duration {
    (failover / 3).min(TAKE_EVERY_MAX)
}

/// Gives every shard of a stream a task, and its deliveries to it.
async fn route(base: Arc<Base>, stream: Arc<str>, mut deliveries: mpsc::Receiver<LeasedDelivery<DynamoTable>>) {
    let mut shards: HashMap<Arc<str>, mpsc::Sender<Input>> = HashMap::new();
    let mut tasks = JoinSet::new();
    while let Some(delivery) = deliveries.recv().await {
        // A task that ended has said why.
        while tasks.try_join_next().is_some() {}
        let (key, input) = match delivery {
            LeasedDelivery::Gained(token) => {
                let (sender, receiver) = mpsc::channel(INPUTS_MAX);
                let shard = ShardKey::new(Arc::clone(&stream), Arc::clone(token.key()));
                shards.insert(Arc::clone(token.key()), sender);
                let commands = base.board.add(shard.clone());
                tasks.spawn(shard::run(Arc::clone(&base), shard, token, receiver, commands));
                continue;
            }
            LeasedDelivery::Read { token, delivery } => (Arc::clone(token.key()), Input::Delivery(delivery)),
            LeasedDelivery::Asked(token) => (Arc::clone(token.key()), Input::Asked),
            LeasedDelivery::Lost { token, why } => (Arc::clone(token.key()), Input::Lost(why)),
            LeasedDelivery::Worker(event) => {
                tell(&base, &stream, &event);
                continue;
            }
            _ => continue,
        };
        // A shard that was given up hears nothing; its reader ends with its lease.
        if let Some(shard) = shards.get(&key)
            && shard.send(input).await.is_err()
        {
            shards.remove(&key);
        }
    }
    drop(shards);
    while tasks.join_next().await.is_some() {}
}

/// What the lease worker says beside leases.
fn tell(base: &Base, stream: &Arc<str>, event: &LeaseEvent<DynamoTable>) {
    let (text, why) = match event {
        LeaseEvent::Trouble { kind, message, .. } => {
            base.metrics.count(MetricName::KinesisTrouble, &[kind.as_str()], 1);
            (format!("{stream}: leases: {}", kind.as_str()), message.clone())
        }
        LeaseEvent::Bad(row) => (format!("{stream}: a row of the lease table is no lease"), format!("{row:?}")),
        LeaseEvent::Holes(holes) => (format!("{stream}: shards are missing in its listing"), format!("{holes:?}")),
        LeaseEvent::Gained(_) | _ => return,
    };
    if base.board.trouble(text.clone(), base.now()) {
        tracing::warn!(why, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_a_dead_machine_are_taken_within_the_lease_time_and_five_seconds() {
        // As `[fleet] failover` may be set.
        for seconds in 2..300 {
            let failover = Duration::from_secs(seconds);
            let late = 2 * take_interval(failover);
            assert!(late <= Duration::from_secs(4) && take_interval(failover) >= Duration::from_millis(500), "{failover:?}: {late:?}");
        }
    }
}
