//! Workers that read, and a driver that makes their lives hard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kinesis_lease::Checkpoint;
use kinesis_lease::leasing::{
    CheckpointError, LeaseEvent, LeaseToken, LeaseWorker, LeaseWorkerHandle, LostReason, PlanSettings, TokenState, WorkerSettings,
};
use kinesis_lease::plan::HashRange;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::world::{FAILOVER, Found, Link, Sabotage, Shard, World, id, number, position, snapshot_ref};

/// How hard.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub sabotage: Sabotage,
    /// Zero: leases are taken without asking.
    pub handover: Duration,
    pub chaos: bool,
    /// Now and then processing blocks for far longer than a lease lives, but not than a hand-over may take.
    pub slow_processing: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { sabotage: Sabotage::None, handover: Duration::from_secs(30), chaos: true, slow_processing: false }
    }
}

/// How long things go wrong, and how long the fleet then has to put everything in order.
const CHAOS_TIME: Duration = Duration::from_secs(240);
const CALM_TIME: Duration = Duration::from_secs(240);
/// A shard is trimmed so long after its end was committed: retention is longer than any request
/// is under way.
const TRIM_AFTER: Duration = Duration::from_secs(90);

pub struct Fleet {
    world: World,
    scenario: Scenario,
    rng: fastrand::Rng,
    workers: BTreeMap<String, Worker>,
    /// Names that were given.
    names: u32,
    /// Of processes that were killed.
    dead: Vec<String>,
}

/// A process.
struct Worker {
    link: Link,
    handle: Option<LeaseWorkerHandle<Link>>,
    processing: AbortHandle,
    counts_lost: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.processing.abort();
    }
}

impl Fleet {
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shards = rng.usize(1..8);
        let world = World::new(rng.u64(..), shards, scenario.sabotage, scenario.handover);
        Self { world, scenario, rng, workers: BTreeMap::new(), names: 0, dead: Vec::new() }
    }

    pub async fn run(mut self) -> Found {
        for _ in 0..self.rng.usize(1..6) {
            self.start_worker();
        }
        self.world.lock().chaos = self.scenario.chaos;
        self.world.lock().retries = !self.scenario.chaos;
        let end = Instant::now() + CHAOS_TIME;
        while Instant::now() < end {
            self.step().await;
            sleep(Duration::from_millis(self.rng.u64(100..4_000))).await;
        }
        self.calm_down().await;
        self.check_order_at_the_end();
        for worker in self.workers.values_mut() {
            worker.counts_lost = worker.handle.as_ref().map_or(0, |handle| handle.counts().lost_leases);
        }
        let lost: u64 = self.workers.values().map(|worker| worker.counts_lost).sum();
        let mut inner = self.world.lock();
        inner.found.lost_leases = lost;
        inner.found.clone()
    }

    fn start_worker(&mut self) {
        // A process that comes back under its old name finds what it left behind, requests that are
        // still under way included. Two that live at the same time never have one name.
        let name = match self.rng.usize(..3) {
            0 if !self.dead.is_empty() => self.dead.swap_remove(self.rng.usize(..self.dead.len())),
            _ => {
                self.names += 1;
                format!("worker-{}", self.names)
            }
        };
        let link = Link::new(&self.world);
        let settings = WorkerSettings {
            plan: PlanSettings { failover: FAILOVER, handover_timeout: self.scenario.handover, ..PlanSettings::default() },
            discovery_interval: Duration::from_secs(30),
            ..WorkerSettings::new(name.as_str())
        };
        let (mut events, handle) = LeaseWorker::start(link.clone(), link.clone(), settings);
        let (own_link, slow, quiet) = (link.clone(), self.scenario.slow_processing, !self.scenario.chaos);
        let processing = tokio::spawn(async move {
            let mut readers = JoinSet::new();
            while let Some(event) = events.recv().await {
                if let LeaseEvent::Gained(token) = event {
                    readers.spawn(Reader::new(own_link.clone(), token, slow, quiet).run());
                }
            }
        });
        let worker = Worker { link, handle: Some(handle), processing: processing.abort_handle(), counts_lost: 0 };
        self.workers.insert(name, worker);
    }

    fn some_worker(&mut self) -> Option<String> {
        let names: Vec<&String> = self.workers.keys().collect();
        (!names.is_empty()).then(|| names[self.rng.usize(..names.len())].clone())
    }

    async fn step(&mut self) {
        let quiet = !self.scenario.chaos;
        match self.rng.u32(..100) {
            0..55 => self.put(),
            55..65 => self.split(),
            65..72 => self.merge(),
            72..76 => self.trim(),
            76..82 if self.workers.len() < 6 => self.start_worker(),
            _ if quiet => self.put(),
            82..88 => self.kill(),
            88..92 => self.stop_gracefully().await,
            92..96 => {
                let time = Duration::from_millis(self.rng.u64(1_000..30_000));
                if let Some(name) = self.some_worker() {
                    self.world.lock().found.pauses += 1;
                    self.workers[&name].link.pause(time);
                }
            }
            _ => {
                let time = Duration::from_millis(self.rng.u64(1_000..30_000));
                if let Some(name) = self.some_worker() {
                    self.world.lock().found.pauses += 1;
                    self.workers[&name].link.cut(time);
                }
            }
        }
    }

    fn put(&mut self) {
        let mut inner = self.world.lock();
        let open: Vec<usize> = (0..inner.shards.len()).filter(|at| !inner.shards[*at].closed).collect();
        for _ in 0..self.rng.u64(1..6) {
            inner.put += 1;
            let record = inner.put;
            inner.shards[open[self.rng.usize(..open.len())]].records.push(record);
        }
    }

    fn split(&mut self) {
        let mut inner = self.world.lock();
        let open: Vec<usize> = (0..inner.shards.len()).filter(|at| !inner.shards[*at].closed).collect();
        let parent = open[self.rng.usize(..open.len())];
        let range = inner.shards[parent].range;
        if open.len() >= 12 || range.starting == range.ending {
            return;
        }
        let middle = range.starting + (range.ending - range.starting) / 2;
        let halves = [(range.starting, middle), (middle + 1, range.ending)].map(|(starting, ending)| HashRange { starting, ending });
        inner.shards[parent].closed = true;
        for range in halves {
            inner.shards.push(Shard { parents: vec![parent], records: vec![], range, closed: false, listed: true });
        }
        inner.found.reshards += 1;
    }

    fn merge(&mut self) {
        let mut inner = self.world.lock();
        let mut open: Vec<usize> = (0..inner.shards.len()).filter(|at| !inner.shards[*at].closed).collect();
        open.sort_by_key(|at| inner.shards[*at].range.starting);
        if open.len() < 2 {
            return;
        }
        let at = self.rng.usize(..open.len() - 1);
        let (left, right) = (open[at], open[at + 1]);
        let range = HashRange { starting: inner.shards[left].range.starting, ending: inner.shards[right].range.ending };
        inner.shards[left].closed = true;
        inner.shards[right].closed = true;
        inner.shards.push(Shard { parents: vec![left, right], records: vec![], range, closed: false, listed: true });
        inner.found.reshards += 1;
    }

    /// The oldest closed shards are listed no more, once they were settled for long.
    fn trim(&mut self) {
        let mut inner = self.world.lock();
        let old: Vec<usize> = inner.ended.iter().filter(|(_, ended)| ended.elapsed() > TRIM_AFTER).map(|(at, _)| *at).collect();
        for at in old {
            inner.shards[at].listed = false;
        }
    }

    fn kill(&mut self) {
        if let Some(name) = self.some_worker() {
            self.workers.remove(&name);
            self.dead.push(name);
            self.world.lock().found.kills += 1;
        }
    }

    async fn stop_gracefully(&mut self) {
        if let Some(name) = self.some_worker() {
            let mut worker = self.workers.remove(&name).unwrap();
            // Elsewhere, as time goes on for the others.
            tokio::spawn(async move {
                if let Some(handle) = worker.handle.take() {
                    handle.stop().await;
                }
            });
        }
    }

    async fn calm_down(&mut self) {
        self.world.lock().chaos = false;
        self.workers.values().for_each(|worker| worker.link.heal());
        while self.workers.len() < 2 {
            self.start_worker();
        }
        self.put();
        sleep(CALM_TIME).await;
    }

    fn check_order_at_the_end(&mut self) {
        let mut inner = self.world.lock();
        let mut loads: BTreeMap<String, usize> = self.workers.keys().map(|name| (name.clone(), 0)).collect();
        for at in 0..inner.shards.len() {
            let (shard, row) = (inner.shards[at].clone(), inner.rows.get(&id(at)).cloned());
            let done = if inner.ended.contains_key(&at) { u64::MAX } else { row.as_ref().map_or(0, |row| position(&row.checkpoint)) };
            let last = shard.records.last().copied().unwrap_or(0);
            if done < last || (shard.closed && done != u64::MAX) {
                inner.violate(format!("left: shard {at} is at {done} of {last}, closed {}, {row:?}", shard.closed));
            }
            if shard.closed {
                continue;
            }
            let owner = row.and_then(|row| row.owner).unwrap_or_else(|| "nobody".into());
            match loads.get_mut(&*owner) {
                Some(load) => *load += 1,
                None => inner.violate(format!("unowned: shard {at} has {owner}")),
            }
        }
        let (least, most) = (loads.values().min().copied().unwrap_or(0), loads.values().max().copied().unwrap_or(0));
        if most > least + 1 {
            inner.violate(format!("balance: {loads:?}"));
        }
        // Shards that have ended leave no tenure behind.
        for (name, worker) in &self.workers {
            let held = worker.handle.as_ref().map_or(0, |handle| handle.counts().current_leases);
            if held != loads[name] as u64 {
                inner.violate(format!("held: {name} thinks that it has {held} leases, the table says {}", loads[name]));
            }
        }
    }
}

/// Reads one shard under one token.
struct Reader {
    link: Link,
    token: LeaseToken<Link>,
    tenure: u64,
    shard: usize,
    opening: u64,
    at: u64,
    slow: bool,
    /// Nothing goes wrong, so nothing may be lost.
    quiet: bool,
}

impl Reader {
    fn new(link: Link, token: LeaseToken<Link>, slow: bool, quiet: bool) -> Self {
        let shard = number(token.key());
        let mut inner = link.world.lock();
        let tenure = inner.read.len() as u64 + 1;
        inner.read.insert(tenure, Default::default());
        let opening = position(token.opening());
        let tip = inner.shards[shard].records.last().copied().unwrap_or(0);
        let is_child = !inner.shards[shard].parents.is_empty();
        drop(inner);
        let skips = link.world.sabotage == Sabotage::ChildAtLatest && is_child && opening == 0;
        Self { at: if skips { tip } else { opening }, link, token, tenure, shard, opening, slow, quiet }
    }

    async fn run(mut self) {
        let mut committed = self.at;
        loop {
            self.link.running().await;
            match self.token.state() {
                TokenState::Over(why) => {
                    let mut inner = self.link.world.lock();
                    if self.quiet && why != LostReason::Finished && why != LostReason::Released {
                        inner.violate(format!("lost: {} is {}", self.token.key(), why.as_str()));
                    }
                    return;
                }
                TokenState::Asked => {
                    if committed < self.at && self.commit(Checkpoint::after(self.at.to_string())).await.is_err() {
                        return;
                    }
                    // Without an answer the lease expires.
                    _ = self.token.release().await;
                    return;
                }
                TokenState::Held => {}
            }
            let (ended, choice) = self.read_on();
            let result = if ended {
                self.commit(Checkpoint::ShardEnd).await
            } else if committed < self.at && choice % 3 != 0 {
                self.commit(Checkpoint::after(self.at.to_string())).await
            } else {
                Ok(())
            };
            match result {
                Ok(()) if ended => return,
                Ok(()) if choice % 3 != 0 => committed = self.at,
                // Made again in the next turn.
                Ok(()) | Err(CheckpointError::Table(_)) => {}
                Err(_) => return,
            }
            let pause = if self.slow && choice.is_multiple_of(40) { 25_000 } else { 200 + choice % 3_000 };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Reads up to three records. Says whether the shard is at its end, and something random.
    fn read_on(&mut self) -> (bool, u64) {
        let mut inner = self.link.world.lock();
        let count = inner.rng.usize(1..4);
        let next: Vec<u64> = inner.shards[self.shard].records.iter().copied().filter(|record| *record > self.at).take(count).collect();
        for record in &next {
            inner.note_read(self.tenure, self.opening, self.shard, *record);
        }
        self.at = next.last().copied().unwrap_or(self.at);
        let shard = &inner.shards[self.shard];
        let ended = shard.closed && shard.records.last().is_none_or(|last| *last <= self.at);
        (ended, inner.rng.u64(..1_000_000))
    }

    async fn commit(&self, to: Checkpoint) -> Result<(), CheckpointError> {
        let snapshot: Arc<str> = snapshot_ref(self.tenure, &to);
        self.token.checkpoint(to.clone(), Some(snapshot.clone())).await?;
        // An answer means that it is in the table, whatever came after it.
        let mut inner = self.link.world.lock();
        let now = inner.rows.get(self.token.key()).map_or(u64::MAX, |row| position(&row.checkpoint));
        if now < position(&to) {
            inner.violate(format!("answered: {to} of {} is not in the table", self.token.key()));
        }
        Ok(())
    }
}
