//! Stream, table and network as a model, and the promises that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kinesis_lease::Checkpoint;
use kinesis_lease::leasing::{Change, LeaseRow, LeaseTable, Scan, ShardSource, TableError, Write};
use kinesis_lease::plan::{HashRange, ListedShard};
use kinesis_lease::trouble::TroubleKind;
use tokio::time::{Instant, sleep, sleep_until};

pub const FAILOVER: Duration = Duration::from_secs(10);

/// A guard that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// The table makes every write, whatever its condition says.
    NoFence,
    /// A reader begins a child at its tip.
    ChildAtLatest,
    /// A lease counts as free by a time that its owner wrote, with its own clock, into the row.
    OwnersClock,
    /// A child looks as if it had no parents.
    NoParents,
    /// A checkpoint moves first, and what belongs to it in a second write that may get lost.
    TwoWrites,
    /// A refusal is taken at its word: the row is not read again.
    NoSecondLook,
}

/// What a history showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub violations: Vec<String>,
    pub records: u64,
    pub checkpoints: u64,
    pub takes: u64,
    pub handovers: u64,
    pub reshards: u64,
    pub kills: u64,
    pub pauses: u64,
    pub lost_requests: u64,
    pub lost_replies: u64,
    pub late_requests: u64,
    pub refused_writes: u64,
    pub forgotten: u64,
    pub lost_leases: u64,
}

impl Found {
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.checkpoints += other.checkpoints;
        self.takes += other.takes;
        self.handovers += other.handovers;
        self.reshards += other.reshards;
        self.kills += other.kills;
        self.pauses += other.pauses;
        self.lost_requests += other.lost_requests;
        self.lost_replies += other.lost_replies;
        self.late_requests += other.late_requests;
        self.refused_writes += other.refused_writes;
        self.forgotten += other.forgotten;
        self.lost_leases += other.lost_leases;
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} records, {} checkpoints, {} takes, {} handed over, {} reshards, {} kills, {} pauses and partitions, {} lost requests, \
             {} lost replies, {} late requests, {} refused writes, {} leases forgotten, {} lost",
            self.records,
            self.checkpoints,
            self.takes,
            self.handovers,
            self.reshards,
            self.kills,
            self.pauses,
            self.lost_requests,
            self.lost_replies,
            self.late_requests,
            self.refused_writes,
            self.forgotten,
            self.lost_leases
        )
    }
}

/// A shard as the service has it. A record is known by its number, which is its sequence number,
/// too; numbers grow over the whole stream.
#[derive(Debug, Clone)]
pub struct Shard {
    pub parents: Vec<usize>,
    pub records: Vec<u64>,
    pub range: HashRange,
    pub closed: bool,
    pub listed: bool,
}

#[derive(Debug)]
pub struct Inner {
    pub shards: Vec<Shard>,
    pub put: u64,
    pub rows: BTreeMap<Arc<str>, LeaseRow>,
    /// When each lease was last written to.
    written: BTreeMap<Arc<str>, Instant>,
    /// What the last writer's clock showed then.
    stamps: BTreeMap<Arc<str>, i64>,
    /// Shards whose end was committed, and when.
    pub ended: BTreeMap<usize, Instant>,
    /// The newest tenure that has moved each lease's checkpoint.
    last_tenure: BTreeMap<Arc<str>, u64>,
    /// Records that each tenure has read.
    pub read: BTreeMap<u64, BTreeSet<u64>>,
    /// Faults happen.
    pub chaos: bool,
    /// The client makes every tenth call twice, because the first reply was lost.
    pub retries: bool,
    pub found: Found,
    pub rng: fastrand::Rng,
}

#[derive(Debug, Clone)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
    pub sabotage: Sabotage,
    pub handover: Duration,
    origin: Instant,
}

pub fn id(shard: usize) -> Arc<str> {
    format!("shardId-{shard:012}").into()
}

pub fn number(key: &str) -> usize {
    key.trim_start_matches("shardId-").parse().unwrap()
}

/// The number of the last record that is done.
pub fn position(checkpoint: &Checkpoint) -> u64 {
    match checkpoint {
        Checkpoint::TrimHorizon => 0,
        Checkpoint::After { sequence_number, .. } => sequence_number.parse().unwrap(),
        Checkpoint::ShardEnd => u64::MAX,
        other => panic!("nobody writes {other}"),
    }
}

/// What belongs to a checkpoint: names the tenure that made it, and the position.
pub fn snapshot_ref(tenure: u64, to: &Checkpoint) -> Arc<str> {
    format!("{tenure}@{to}").into()
}

impl World {
    pub fn new(seed: u64, shards: usize, sabotage: Sabotage, handover: Duration) -> Self {
        let width = u128::MAX / shards as u128;
        let range =
            |at: u128| HashRange { starting: at * width, ending: if at + 1 == shards as u128 { u128::MAX } else { (at + 1) * width - 1 } };
        let shard = |at: usize| Shard { parents: vec![], records: vec![], range: range(at as u128), closed: false, listed: true };
        let inner = Inner {
            shards: (0..shards).map(shard).collect(),
            put: 0,
            rows: BTreeMap::new(),
            written: BTreeMap::new(),
            stamps: BTreeMap::new(),
            ended: BTreeMap::new(),
            last_tenure: BTreeMap::new(),
            read: BTreeMap::new(),
            chaos: false,
            retries: false,
            found: Found::default(),
            rng: fastrand::Rng::with_seed(seed),
        };
        Self { inner: Arc::new(Mutex::new(inner)), sabotage, handover, origin: Instant::now() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    pub fn violate(&mut self, what: String) {
        if self.found.violations.len() < 10 {
            self.found.violations.push(what);
        }
    }

    /// A tenure reads a record.
    pub fn note_read(&mut self, tenure: u64, opening: u64, shard: usize, record: u64) {
        let unfinished: Vec<usize> = self.shards[shard].parents.iter().copied().filter(|parent| !self.ended.contains_key(parent)).collect();
        if !unfinished.is_empty() {
            self.violate(format!("order: shard {shard} is read before the end of {unfinished:?}"));
        }
        if record <= opening {
            self.violate(format!("again: record {record} of shard {shard} lies before the checkpoint {opening}"));
        }
        self.read.entry(tenure).or_default().insert(record);
        self.found.records += 1;
    }

    /// A checkpoint is about to be written.
    fn check_checkpoint(&mut self, write: &Write, to: &Checkpoint, snapshot: Option<&Arc<str>>) {
        let Some(row) = self.rows.get(&write.key).cloned() else { return };
        let key = &write.key;
        self.found.checkpoints += 1;
        if row.writer() != Some(&write.author) {
            self.violate(format!("fence: {} moves the checkpoint of {key}, which {:?} has", write.author, row.writer()));
        }
        let (from, to_position) = (position(&row.checkpoint), position(to));
        if to_position < from {
            self.violate(format!("fence: the checkpoint of {key} moves back from {from} to {to_position}"));
        }
        let Some((tenure, at)) = snapshot.and_then(|name| name.split_once('@')) else { return };
        let tenure: u64 = tenure.parse().unwrap();
        if at != to.to_string() {
            self.violate(format!("torn apart: {key} at {to} has the snapshot of {at}"));
        }
        let newest = self.last_tenure.get(key).copied().unwrap_or(0);
        if tenure < newest {
            self.violate(format!("fence: tenure {tenure} moves the checkpoint of {key} after {newest} did"));
        }
        self.last_tenure.insert(key.clone(), tenure.max(newest));
        let shard = number(key);
        let read = self.read.get(&tenure).cloned().unwrap_or_default();
        let due = self.shards[shard].records.iter().filter(|record| from < **record && **record <= to_position);
        let skipped: Vec<u64> = due.copied().filter(|record| !read.contains(record)).collect();
        if !skipped.is_empty() {
            self.violate(format!("skipped: {key} goes from {from} to {to_position} without {skipped:?}"));
        }
        if *to == Checkpoint::ShardEnd {
            if !self.shards[shard].closed {
                self.violate(format!("skipped: {key} ends while it is open"));
            }
            self.ended.insert(shard, Instant::now());
        }
    }

    /// A lease changes hands by force: its counter must have stood still, or its owner took too
    /// long to hand it over.
    fn check_take(&mut self, write: &Write, handover: Duration) {
        let Some(row) = self.rows.get(&write.key) else { return };
        let Some(writer) = row.writer().filter(|writer| **writer != write.author) else { return };
        let still = self.written.get(&write.key).map_or(Duration::MAX, Instant::elapsed);
        let is_claimed = row.owner.as_ref() == Some(&write.author);
        if still < FAILOVER && !is_claimed && !handover.is_zero() {
            let what = format!("torn: {} takes {} from {writer}, who wrote {still:?} ago", write.author, write.key);
            self.violate(what);
        }
    }

    fn apply(&mut self, write: &Write, world: &World, clock_ms: i64) -> bool {
        let mut write = write.clone();
        let Some(row) = self.rows.get(&write.key).cloned() else { return false };
        let ignores_owner = world.sabotage == Sabotage::OwnersClock && write.change == Change::Take && write.fence.counter == row.counter;
        if world.sabotage == Sabotage::NoFence || ignores_owner {
            write.fence = row.fence();
        }
        let Some(mut after) = write.applied_to(&row) else {
            self.found.refused_writes += 1;
            return false;
        };
        match &write.change {
            Change::Checkpoint { to, snapshot_ref } => {
                if world.sabotage == Sabotage::TwoWrites && self.chaos && self.rng.u32(..20) == 0 {
                    after.snapshot_ref = row.snapshot_ref;
                }
                debug_assert!(world.sabotage == Sabotage::TwoWrites || after.snapshot_ref == *snapshot_ref);
                self.check_checkpoint(&write, to, after.snapshot_ref.as_ref());
            }
            Change::Take => {
                self.found.takes += 1;
                self.check_take(&write, world.handover);
            }
            Change::Claim => self.found.handovers += 1,
            Change::Renew | Change::Release => {}
        }
        self.written.insert(write.key.clone(), Instant::now());
        self.stamps.insert(write.key.clone(), clock_ms);
        self.rows.insert(write.key.clone(), after);
        true
    }

    fn delete(&mut self, row: &LeaseRow) {
        let Some(now) = self.rows.get(&row.key).cloned() else { return };
        if !now.is_finished() || now.fence() != row.fence() {
            return;
        }
        let shard = number(&row.key);
        let children: Vec<usize> = (0..self.shards.len()).filter(|child| self.shards[*child].parents.contains(&shard)).collect();
        for child in children {
            let progress = self.rows.get(&id(child)).map_or(u64::MAX, |row| position(&row.checkpoint));
            if progress == 0 || (progress == u64::MAX && !self.ended.contains_key(&child)) {
                self.violate(format!("forgotten: {} before its child {child} progressed", row.key));
            }
        }
        self.found.forgotten += 1;
        self.rows.remove(&row.key);
    }
}

/// One process's way to the world.
#[derive(Debug, Clone)]
pub struct Link {
    pub world: World,
    state: Arc<Mutex<LinkState>>,
    /// How wrong the process's wall clock is.
    skew_ms: i64,
}

#[derive(Debug)]
struct LinkState {
    paused_until: Instant,
    cut_until: Instant,
}

impl Link {
    pub fn new(world: &World) -> Self {
        let now = Instant::now();
        let skew_ms = world.lock().rng.i64(-60_000..60_000);
        let state = LinkState { paused_until: now, cut_until: now };
        Self { world: world.clone(), state: Arc::new(Mutex::new(state)), skew_ms }
    }

    pub fn pause(&self, time: Duration) {
        self.state.lock().unwrap().paused_until = Instant::now() + time;
    }

    pub fn cut(&self, time: Duration) {
        self.state.lock().unwrap().cut_until = Instant::now() + time;
    }

    pub fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.paused_until, state.cut_until) = (Instant::now(), Instant::now());
    }

    /// Returns when the process runs.
    pub async fn running(&self) {
        loop {
            let until = self.state.lock().unwrap().paused_until;
            if until <= Instant::now() {
                return;
            }
            // Looked at again: all is healed at once in the end.
            sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
        }
    }

    fn clock_ms(&self) -> i64 {
        i64::try_from(self.world.origin.elapsed().as_millis()).unwrap() + self.skew_ms
    }

    /// A call over the network: latency, loss before or after, a late arrival, throttling.
    async fn call<V: Send + 'static>(&self, apply: impl Fn(&mut Inner) -> V + Send + 'static) -> Result<V, TableError> {
        // A process may be paused between what it checked and what it sends.
        let before = Duration::from_millis(self.world.lock().rng.u64(..20));
        sleep(before).await;
        self.running().await;
        let (latency, fault) = {
            let mut inner = self.world.lock();
            let latency = [inner.rng.u64(1..40), inner.rng.u64(1..40)].map(Duration::from_millis);
            let is_cut = self.state.lock().unwrap().cut_until > Instant::now();
            let fault = if is_cut { 0 } else { inner.rng.u32(..100) };
            let retried = if inner.retries && fault < 10 { 9 } else { 99 };
            (latency, if inner.chaos || is_cut { fault } else { retried })
        };
        sleep(latency[0]).await;
        let lost = || std::future::pending::<Result<V, TableError>>();
        match fault {
            0..2 => {
                self.world.lock().found.lost_requests += 1;
                return lost().await;
            }
            2..5 => {
                {
                    let mut inner = self.world.lock();
                    inner.found.lost_replies += 1;
                    apply(&mut inner);
                }
                return lost().await;
            }
            5..7 => {
                let world = self.world.clone();
                let late = { Duration::from_millis(world.lock().rng.u64(2_000..25_000)) };
                world.lock().found.late_requests += 1;
                tokio::spawn(async move {
                    sleep(late).await;
                    apply(&mut world.lock());
                });
                return lost().await;
            }
            7..9 => return Err(TableError::Call { kind: TroubleKind::Throttled, message: "slow down".into() }),
            // The client's own retry after a lost reply: the first attempt took effect.
            9..11 => {
                self.world.lock().found.lost_replies += 1;
                apply(&mut self.world.lock());
            }
            _ => {}
        }
        let value = apply(&mut self.world.lock());
        sleep(latency[1]).await;
        self.running().await;
        Ok(value)
    }

    fn shown(&self, mut row: LeaseRow, inner: &Inner) -> LeaseRow {
        match self.world.sabotage {
            Sabotage::OwnersClock => {
                let age_ms = self.clock_ms() - inner.stamps.get(&row.key).copied().unwrap_or(i64::MIN / 2);
                if age_ms > i64::try_from(FAILOVER.as_millis()).unwrap() {
                    (row.owner, row.checkpoint_owner) = (None, None);
                }
            }
            Sabotage::NoParents => row.parents.clear(),
            Sabotage::None | Sabotage::NoFence | Sabotage::ChildAtLatest | Sabotage::TwoWrites | Sabotage::NoSecondLook => {}
        }
        row
    }
}

impl LeaseTable for Link {
    async fn prepare(&self) -> Result<(), TableError> {
        Ok(())
    }

    async fn scan(&self) -> Result<Scan, TableError> {
        let link = self.clone();
        let rows = self.call(move |inner| inner.rows.values().map(|row| link.shown(row.clone(), inner)).collect::<Vec<_>>()).await?;
        Ok(Scan { rows, bad: vec![] })
    }

    async fn read(&self, key: &str) -> Result<Option<LeaseRow>, TableError> {
        if self.world.sabotage == Sabotage::NoSecondLook {
            return Ok(None);
        }
        let key = key.to_owned();
        self.call(move |inner| inner.rows.get(&*key).cloned()).await
    }

    async fn create(&self, row: &LeaseRow) -> Result<bool, TableError> {
        let row = row.clone();
        self.call(move |inner| {
            let is_absent = !inner.rows.contains_key(&row.key);
            if is_absent && inner.ended.contains_key(&number(&row.key)) {
                inner.violate(format!("again: {} was read to its end and is leased anew", row.key));
            }
            inner.rows.entry(row.key.clone()).or_insert_with(|| row.clone());
            is_absent
        })
        .await
    }

    async fn write(&self, write: &Write) -> Result<bool, TableError> {
        let (write, link) = (write.clone(), self.clone());
        self.call(move |inner| inner.apply(&write, &link.world, link.clock_ms())).await
    }

    async fn adopt(&self, key: &str, children: &[Arc<str>]) -> Result<(), TableError> {
        let (key, children) = (key.to_owned(), children.to_vec());
        self.call(move |inner| {
            if let Some(row) = inner.rows.get_mut(&*key) {
                row.children.clone_from(&children);
            }
        })
        .await
    }

    async fn delete(&self, row: &LeaseRow) -> Result<(), TableError> {
        let row = row.clone();
        self.call(move |inner| inner.delete(&row)).await
    }
}

impl ShardSource for Link {
    async fn list(&self) -> Result<Vec<ListedShard>, TableError> {
        self.call(|inner| {
            let listed = inner.shards.iter().enumerate().filter(|(_, shard)| shard.listed);
            listed
                .map(|(at, shard)| ListedShard {
                    shard: id(at),
                    parents: shard.parents.iter().copied().map(id).collect(),
                    open: !shard.closed,
                    hash_range: Some(shard.range),
                })
                .collect()
        })
        .await
    }
}
