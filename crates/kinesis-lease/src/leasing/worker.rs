//! The tasks of one worker: renew, take, discover. They decide nothing; `plan` and `sync` do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::counts::{LeaseCounts, count};
use super::lease::{Change, LeaseRow, Settled, Write};
use super::plan::{self, Claim, PlanSettings, assign};
use super::source::ShardSource;
use super::sync::synchronise;
use super::table::{BadRow, LeaseTable, TableError, in_time, perform};
use super::tenure::Holdings;
use super::token::{CheckpointError, LeaseToken, LostReason, TokenState};
use crate::plan::{HashRange, ListedShard};
use crate::settings::StartAt;
use crate::trouble::TroubleKind;

/// A scan or listing of thousands of leases takes many pages; longer than this is a fault.
const SCAN_TIMEOUT: Duration = Duration::from_secs(30);
/// How soon to list again when a shard has ended whose children are not listed yet, and how often.
const CHILDLESS_INTERVAL: Duration = Duration::from_secs(1);
const CHILDLESS_TRIES: u32 = 30;

/// How a worker goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The worker's name, its own among all that live and share the table: two of one name take each
    /// other's writes for their own, and neither fences the other off.
    /// [`unique`](Self::unique) gives such a name. A fixed one, which goes on with its own leases
    /// at once after a restart, is for tables that admit one process only (a folder's).
    pub name: Arc<str>,
    /// Failover time, shares and limits.
    pub plan: PlanSettings,
    /// Wait between two scans for leases to take. Default 10 s.
    pub take_interval: Duration,
    /// Wait between two listings of the stream's shards, apart from those at a shard's end.
    /// Default 60 s.
    pub discovery_interval: Duration,
    /// A read or write of one lease that has no answer after this long has failed. Default 3 s, and
    /// never more than a third of the failover time.
    pub call_timeout: Duration,
    /// Renewals at a time. Default 20, as KCL's.
    pub renewals_at_once: usize,
    /// How long [`LeaseWorkerHandle::stop`] waits for tokens to be released. Default 20 s.
    pub stop_timeout: Duration,
    /// Where to begin when the stream is seen for the first time.
    pub start: StartAt,
}

impl WorkerSettings {
    /// A worker whose name begins with `prefix` (the host's name, say) and is unlike any other's.
    pub fn unique(prefix: &str) -> Self {
        Self::new(format!("{prefix}:{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)))
    }

    /// The worker `name` with all defaults.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            plan: PlanSettings::default(),
            take_interval: Duration::from_secs(10),
            discovery_interval: Duration::from_secs(60),
            call_timeout: Duration::from_secs(3),
            renewals_at_once: 20,
            stop_timeout: Duration::from_secs(20),
            start: StartAt::default(),
        }
    }
}

/// Something a worker has to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeaseEvent<T> {
    /// A lease is held: begin reading at the token's opening, and follow its state. When the last
    /// clone of the token is dropped the lease is let go, to be taken by whoever can read it.
    Gained(LeaseToken<T>),
    /// A row of the table is no lease; it is left alone. Told at each scan.
    Bad(BadRow),
    /// The listing covers the key space with holes: shards are missing in it. Told at each listing.
    Holes(Vec<HashRange>),
    /// A call failed. The worker goes on by itself; this is for counting and logging. One that is
    /// about renewals is left out while nobody receives.
    Trouble {
        /// Of this lease, or `None` for the table or the listing.
        lease: Option<Arc<str>>,
        /// What went wrong, by what it means.
        kind: TroubleKind,
        /// The error's words; no credential is in them.
        message: String,
    },
}

/// Takes part in the sharing of one stream's leases; see the [module](super)'s tour.
#[derive(Debug)]
pub struct LeaseWorker;

impl LeaseWorker {
    /// Starts the worker's tasks on the current tokio runtime, and returns what they say together
    /// with the handle that stops them. Dropping the handle ends them without letting go of
    /// anything, as a crash would.
    ///
    /// The table is prepared first, in the background. Events are to be received all the time: no
    /// lease is taken while 64 of them wait. Renewal does not depend on it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<T: LeaseTable, S: ShardSource>(
        table: T,
        source: S,
        settings: WorkerSettings,
    ) -> (mpsc::Receiver<LeaseEvent<T>>, LeaseWorkerHandle<T>) {
        let (events, receiver) = mpsc::channel(64);
        let (stop, stopping) = watch::channel(false);
        let holdings = Arc::new(Holdings::new(table, settings));
        let tasks = Tasks { holdings: holdings.clone(), events };
        let mut running = JoinSet::new();
        running.spawn(tasks.clone().renew());
        let (taker, mut taker_stops) = (tasks.clone(), stopping.clone());
        running.spawn(async move {
            tokio::select! { biased; () = taker.take() => {}, _ = taker_stops.wait_for(|stop| *stop) => {} }
        });
        let mut discovery_stops = stopping;
        running.spawn(async move {
            tokio::select! { biased; () = tasks.discover(source) => {}, _ = discovery_stops.wait_for(|stop| *stop) => {} }
        });
        (receiver, LeaseWorkerHandle { holdings, stop, _running: running })
    }
}

/// Keeps a [`LeaseWorker`]'s tasks running; dropping it ends them.
#[derive(Debug)]
#[must_use = "the worker stops when its handle is dropped"]
pub struct LeaseWorkerHandle<T> {
    holdings: Arc<Holdings<T>>,
    stop: watch::Sender<bool>,
    _running: JoinSet<()>,
}

impl<T: LeaseTable> LeaseWorkerHandle<T> {
    /// The worker's numbers.
    pub fn counts(&self) -> LeaseCounts {
        self.holdings.counts()
    }

    /// Stops taking, asks the holders of all tokens to let go, renews until they have, and takes
    /// what is left back after [`WorkerSettings::stop_timeout`]. Other workers can then go on at
    /// once. Returns how many leases had to be taken back.
    pub async fn stop(self) -> usize {
        self.stop.send_replace(true);
        let all_released = async {
            loop {
                let tenures = self.holdings.tenures();
                tenures.iter().for_each(|tenure| tenure.ask_for());
                let Some(tenure) = tenures.first() else { return };
                let mut state = tenure.watch();
                let over = state.wait_for(|state| matches!(state, TokenState::Over(_)));
                // A taker that was stopped between writing and noting may leave one more behind.
                _ = tokio::time::timeout(CHILDLESS_INTERVAL, over).await;
            }
        };
        _ = tokio::time::timeout(self.holdings.settings.stop_timeout, all_released).await;
        let left = self.holdings.tenures();
        for tenure in &left {
            if let Err(error) = self.holdings.evict(tenure, LostReason::Stopped).await {
                tracing::warn!(lease = %tenure.key, %error, "lease could not be released; it will expire");
            }
        }
        left.len()
    }
}

struct Tasks<T> {
    holdings: Arc<Holdings<T>>,
    events: mpsc::Sender<LeaseEvent<T>>,
}

impl<T> Clone for Tasks<T> {
    fn clone(&self) -> Self {
        Self { holdings: self.holdings.clone(), events: self.events.clone() }
    }
}

impl<T: LeaseTable> Tasks<T> {
    fn renewal_interval(&self) -> Duration {
        self.holdings.settings.plan.failover / 3
    }

    /// Renews every lease three times in its life, whatever the processing does.
    async fn renew(self) {
        let at_once = Arc::new(Semaphore::new(self.holdings.settings.renewals_at_once.max(1)));
        let mut ticks = tokio::time::interval(self.renewal_interval().max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut renewals = JoinSet::new();
            for tenure in self.holdings.tenures() {
                let (tasks, at_once) = (self.clone(), at_once.clone());
                renewals.spawn(async move {
                    // Never closed.
                    let _place = at_once.acquire().await;
                    if let Err(CheckpointError::Table(error)) = tasks.holdings.renew(&tenure).await {
                        // Renewal must not wait for a receiver.
                        _ = tasks.events.try_send(trouble(Some(&tenure.key), &error));
                    }
                });
            }
            while renewals.join_next().await.is_some() {}
        }
    }

    /// Takes what is to be taken. One task does all of it, so that no lease is taken twice.
    async fn take(self) {
        while let Err(error) = self.holdings.table.prepare().await {
            self.tell(trouble(None, &error)).await;
            tokio::time::sleep(self.renewal_interval()).await;
        }
        // What nobody would read is better left to others.
        while !self.events.is_closed() {
            self.round().await;
            let next = tokio::time::Instant::now() + self.holdings.settings.take_interval;
            // Claims are looked after more often than the table is scanned.
            loop {
                let pause = tokio::time::Instant::now() + self.renewal_interval();
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(pause.min(next)) => {}
                    () = self.holdings.hurry_taker.notified() => break,
                }
                if tokio::time::Instant::now() >= next {
                    break;
                }
                self.follow_claims().await;
            }
            self.follow_claims().await;
        }
    }

    /// Scans, plans, takes.
    async fn round(&self) {
        let began = self.holdings.now();
        let scan = match in_time(SCAN_TIMEOUT, self.holdings.table.scan()).await {
            Ok(scan) => scan,
            Err(error) => return self.tell(trouble(None, &error)).await,
        };
        let bad = scan.bad.clone();
        let plan = {
            let mut view = self.holdings.view();
            view.observe(scan, began, self.holdings.now());
            assign(&view, &self.holdings.me, &self.holdings.held_keys(), &self.holdings.settings.plan)
        };
        *self.holdings.last_round.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (plan.counts, bad.len() as u64);
        for bad in bad {
            self.tell(LeaseEvent::Bad(bad)).await;
        }
        for write in plan.take.into_iter().chain(plan.steal) {
            self.try_for(&write).await;
        }
    }

    /// Looks after the leases that this worker has asked for.
    async fn follow_claims(&self) {
        let keys: Vec<Arc<str>> = {
            let (view, held) = (self.holdings.view(), self.holdings.held_keys());
            let mine = view.leases().filter(|seen| seen.row.owner.as_ref() == Some(&self.holdings.me));
            mine.map(|seen| seen.row.key.clone()).filter(|key| !held.contains(key)).collect()
        };
        for key in keys {
            let row = match in_time(self.holdings.call_timeout(), self.holdings.table.read(&key)).await {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                Err(error) => {
                    self.tell(trouble(Some(&key), &error)).await;
                    continue;
                }
            };
            let claim = {
                let mut view = self.holdings.view();
                view.observe_one(row, self.holdings.now());
                let settings = &self.holdings.settings.plan;
                let readable = view.get(&key).filter(|seen| view.is_readable(&seen.row));
                readable.map_or(Claim::None, |seen| plan::claim(seen, &self.holdings.me, self.holdings.now(), settings))
            };
            match claim {
                Claim::Take(write) => self.try_for(&write).await,
                Claim::Wait | Claim::None => {}
            }
        }
    }

    /// Tries to take a lease, or to ask for it.
    async fn try_for(&self, write: &Write) {
        let Some(before) = self.holdings.view().get(&write.key).map(|seen| seen.row.clone()) else { return };
        let sent = self.holdings.now();
        let row = match perform(&self.holdings.table, write, &before, self.holdings.call_timeout()).await {
            Ok(Settled::Applied(row)) => row,
            Ok(Settled::StillMine(row) | Settled::Refused(Some(row))) => {
                count(&self.holdings.tally.untaken);
                return self.holdings.view().observe_one(row, self.holdings.now());
            }
            Ok(Settled::Refused(None)) => return count(&self.holdings.tally.untaken),
            Err(error) => return self.tell(trouble(Some(&write.key), &error)).await,
        };
        self.holdings.view().observe_one(row.clone(), self.holdings.now());
        if write.change != Change::Take {
            tracing::info!(lease = %row.key, "asked for a lease");
            return;
        }
        if let Some((tenure, alive)) = self.holdings.gain(row, sent) {
            tracing::info!(lease = %tenure.key, from = %tenure.opening, "lease taken");
            self.tell(LeaseEvent::Gained(LeaseToken::new(self.holdings.clone(), tenure, alive))).await;
        }
    }

    /// Keeps the table in line with the stream.
    async fn discover<S: ShardSource>(self, source: S) {
        let mut tries_left = 0;
        loop {
            let is_whole = match self.align(&source).await {
                Ok(is_whole) => is_whole,
                Err(error) => {
                    self.tell(trouble(None, &error)).await;
                    false
                }
            };
            let interval = self.holdings.settings.discovery_interval;
            let soon = !is_whole && tries_left > 0;
            tries_left = if soon { tries_left - 1 } else { 0 };
            tokio::select! {
                biased;
                () = tokio::time::sleep(if soon { interval.min(CHILDLESS_INTERVAL) } else { interval }) => {}
                () = self.holdings.hurry_discovery.notified() => tries_left = CHILDLESS_TRIES,
            }
        }
    }

    /// One listing. `false` if a shard has ended whose children it does not name.
    async fn align<S: ShardSource>(&self, source: &S) -> Result<bool, TableError> {
        let table = &self.holdings.table;
        table.prepare().await?;
        // In this order: a shard that came after the listing would look as if it had gone.
        let scan = in_time(SCAN_TIMEOUT, table.scan()).await?;
        let listed = in_time(SCAN_TIMEOUT, source.list()).await?;
        let alignment = synchronise(&listed, &scan, self.holdings.settings.start);
        let timeout = self.holdings.call_timeout();
        for row in &alignment.create {
            if in_time(timeout, table.create(row)).await? {
                tracing::info!(lease = %row.key, from = %row.checkpoint, "lease created");
            }
        }
        for (key, children) in &alignment.adopt {
            in_time(timeout, table.adopt(key, children)).await?;
        }
        for row in &alignment.forget {
            in_time(timeout, table.delete(row)).await?;
            tracing::info!(lease = %row.key, "lease forgotten");
        }
        if !alignment.create.is_empty() {
            self.holdings.hurry_taker.notify_one();
        }
        if !alignment.holes.is_empty() {
            self.tell(LeaseEvent::Holes(alignment.holes)).await;
        }
        Ok(!is_childless(&listed, &scan.rows))
    }

    /// Waits for a place. A receiver that is gone wants to hear nothing; the handle stops the rest.
    async fn tell(&self, event: LeaseEvent<T>) {
        _ = self.events.send(event).await;
    }
}

/// Whether a lease is at its end, its shard is listed, and nothing is known to come after it.
fn is_childless(listed: &[ListedShard], rows: &[LeaseRow]) -> bool {
    let known = listed.iter().flat_map(|shard| &shard.parents).chain(rows.iter().flat_map(|row| &row.parents));
    let parents: BTreeSet<&Arc<str>> = known.collect();
    let listed: BTreeSet<&Arc<str>> = listed.iter().map(|shard| &shard.shard).collect();
    rows.iter().any(|row| row.is_finished() && listed.contains(&row.key) && !parents.contains(&row.key))
}

fn trouble<T>(lease: Option<&Arc<str>>, error: &TableError) -> LeaseEvent<T> {
    LeaseEvent::Trouble { lease: lease.cloned(), kind: error.kind(), message: error.to_string() }
}
