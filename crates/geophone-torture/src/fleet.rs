//! Scenarios of several workers that share a stream: they are killed, paused, stopped and joined by others while their
//! table, their stream and their pager have faults, and the ledger is one over all of them.

mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ledger::{Allowed, Ledger};
use crate::load::Load;
use crate::proxy::{Fault, Weather};
use crate::scenario::{Outcome, Scenario, unix_now};
use crate::worker::is_aborted;
use stage::FleetStage;

/// Points at which a build for it ends or stops a worker of a fleet.
pub const POINTS: [&str; 8] = [
    "before-publish",
    "before-settle",
    "before-archive",
    "after-note",
    "after-archive",
    "after-snapshot",
    "after-checkpoint",
    "before-removing-old",
];
/// What a fleet may take longer than its lease time to go on with a dead worker's shards.
pub const GRACE: Duration = Duration::from_secs(5);
/// A point that is not met in this time is not on the way.
const POINT_WAIT: Duration = Duration::from_secs(8);
/// Shards that nobody reads for so long beyond the promise are given up.
const LOST: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(25);
/// Most workers at once: a machine has so many processors.
const WORKERS_MAX: usize = 3;
const OPEN_MAX: usize = 8;

/// What may happen to a fleet between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetAct {
    /// `kill -9` for one of them; how long its shards go without a reader; another worker.
    Kill,
    /// `kill -9` for one of them, and another worker at once.
    Replace,
    /// `kill -9` for one of them at a point of a commit.
    Point,
    /// SIGSTOP for one of them until others have its shards, SIGCONT.
    Pause,
    /// The same at a point of a commit.
    PauseAtPoint,
    /// One more worker.
    Join,
    /// SIGTERM for one of them, where it is not the last.
    Leave,
    /// SIGTERM for one of them, and another.
    Term,
    /// A shard is split, two are merged, or both.
    Reshard,
    /// `kill -9` for one of them; when others have gone on, what it was about to write reaches the table; then all are
    /// killed, and new ones go on from what the table says.
    Late,
    /// Nothing.
    Rest,
}

/// What makes a scenario one of a fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Where dynalite is.
    pub modules: PathBuf,
    pub workers: usize,
    /// In turn where `in_turn`, else drawn.
    pub acts: Vec<FleetAct>,
    pub in_turn: bool,
    /// Seconds without a sign of life after which a worker's shards are taken.
    pub failover: u64,
    pub table_faults: Vec<Fault>,
    /// The table takes checkpoints from whoever sends them.
    pub is_unfenced: bool,
}

struct Play {
    stage: FleetStage,
    fleet: Fleet,
    scenario: Scenario,
    random: fastrand::Rng,
    load: Load,
    outcome: Outcome,
    next_point: usize,
}

/// Plays a scenario of a fleet.
pub async fn play(scenario: Scenario, fleet: Fleet) -> Outcome {
    let started = Instant::now();
    let stage = FleetStage::new(&scenario.program, &fleet.modules, &scenario.setting, fleet.failover).await;
    if fleet.is_unfenced {
        stage.before_table.unfence();
    }
    let mut random = fastrand::Rng::with_seed(scenario.seed);
    let next_point = random.usize(..POINTS.len());
    let load = Load::partitioned(scenario.seed, unix_now());
    let mut play = Play { stage, fleet, scenario, random, load, outcome: Outcome::default(), next_point };
    play.run().await;
    play.outcome.took = started.elapsed();
    play.outcome
}

impl Play {
    async fn run(&mut self) {
        for _ in 0..self.fleet.workers {
            self.start(None).await;
        }
        for step in 0..self.scenario.steps {
            self.put().await;
            self.change_weather();
            let pause = Duration::from_millis(self.random.u64(0..=self.scenario.pause_ms));
            tokio::time::sleep(pause).await;
            self.look_alive().await;
            let acts = &self.fleet.acts;
            let act = acts[if self.fleet.in_turn { step % acts.len() } else { self.random.usize(..acts.len()) }];
            self.act(act).await;
        }
        self.calm();
        self.look_alive().await;
        let expected = self.load.expected.clone();
        let (found, broken) = self.stage.settle(&expected, self.scenario.patience).await;
        self.outcome.broken.extend(broken);
        let unsaid = !self.scenario.pager_faults.is_empty();
        let allowed = Allowed { unsaid, either_says: true, ..Allowed::default() };
        self.outcome.ledger = Ledger::of(&expected, &found, allowed);
        self.outcome.poisons.clone_from(&expected.poisoned);
        self.outcome.memory_kib = self.stage.memory_kib;
        self.count("records put more than once", expected.repeated);
        for proxy in [&self.stage.before_stream, &self.stage.before_pager, &self.stage.before_table] {
            for (fault, times) in proxy.counts() {
                *self.outcome.faults.entry(fault.label().to_owned()).or_default() += times;
            }
        }
        if !self.outcome.wrong().is_empty() && self.scenario.must_hold {
            self.outcome.log = format!("{}the folder is {}\n", self.stage.logs(), self.stage.keep().display());
        }
    }

    fn count(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.outcome.faults.entry(what.to_owned()).or_default() += times;
        }
    }

    async fn put(&mut self) {
        self.load.set_now(unix_now());
        let batch = self.load.batch(self.scenario.mix, Instant::now());
        self.stage.stream.put(&batch).await;
    }

    fn change_weather(&mut self) {
        let mut draw = |faults: &[Fault], most: u32| {
            let chosen: Vec<Fault> = faults.iter().copied().filter(|_| self.random.bool()).collect();
            Weather::of([0, most / 4, most / 2, most][self.random.usize(..4)], &chosen)
        };
        let weathers = [
            draw(&self.scenario.stream_faults, 900),
            draw(&self.scenario.pager_faults, 900),
            // Beyond that no lease is renewed in its time, and nothing is read at all.
            draw(&self.fleet.table_faults, 500),
        ];
        let [stream, pager, table] = weathers;
        self.stage.before_stream.weather(stream);
        self.stage.before_pager.weather(pager);
        self.stage.before_table.weather(table);
    }

    fn calm(&self) {
        for proxy in [&self.stage.before_stream, &self.stage.before_pager, &self.stage.before_table] {
            proxy.calm();
        }
    }

    async fn start(&mut self, point: Option<String>) {
        let guard = self.scenario.guard.map(str::to_owned);
        let points: Vec<String> = guard.into_iter().chain(point).collect();
        let points = (!points.is_empty()).then(|| points.join(";"));
        match self.stage.start(points.as_deref()).await {
            Ok(()) => {}
            Err((status, _)) if is_aborted(status) && points.is_some() => self.count("killed at a point of a commit", 1),
            // Without a worker nothing more can be learned.
            Err((status, log)) => panic!("seed {}: {}: a worker did not start: {status}\n{log}", self.scenario.seed, self.scenario.name),
        }
    }

    /// A worker that ended by itself is a finding; it is replaced.
    async fn look_alive(&mut self) {
        for at in (0..self.stage.running.len()).rev() {
            if let Some(status) = self.stage.running[at].ended() {
                let log = self.stage.running[at].log();
                self.outcome.broken.push(format!("a worker ended by itself: {status}: {}", log.lines().last().unwrap_or_default()));
                self.stage.kill(at);
                self.start(None).await;
            }
        }
    }

    fn any(&mut self) -> usize {
        self.random.usize(..self.stage.running.len())
    }

    async fn act(&mut self, act: FleetAct) {
        match act {
            FleetAct::Rest => {}
            FleetAct::Kill => self.fail_over().await,
            FleetAct::Replace => {
                let at = self.any();
                self.kill(at);
                self.start(None).await;
            }
            FleetAct::Point => self.kill_at_point().await,
            FleetAct::Pause => {
                let at = self.any();
                self.stage.running[at].signal("-STOP");
                self.sleep_past_lease(at).await;
            }
            FleetAct::PauseAtPoint => self.pause_at_point().await,
            FleetAct::Join => {
                if self.stage.running.len() < WORKERS_MAX {
                    self.start(None).await;
                    self.count("workers that joined", 1);
                }
            }
            FleetAct::Leave => {
                if self.stage.running.len() > 1 {
                    self.term().await;
                }
            }
            FleetAct::Term => {
                self.term().await;
                self.start(None).await;
            }
            FleetAct::Reshard => self.reshard().await,
            FleetAct::Late => self.write_late().await,
        }
    }

    fn kill(&mut self, at: usize) {
        self.stage.kill(at);
        self.count("kill -9 at a random moment", 1);
    }

    async fn term(&mut self) {
        let at = self.any();
        let (status, log) = self.stage.stop(at).await;
        self.count("SIGTERM", 1);
        if !status.is_some_and(|status| status.success()) {
            self.outcome.broken.push(format!("SIGTERM ended it with {status:?}: {}", log.lines().last().unwrap_or_default()));
        }
    }

    async fn reshard(&mut self) {
        let choice = self.random.usize(..64);
        let open = self.stage.stream.open().await;
        if self.random.bool() && open < OPEN_MAX {
            self.stage.stream.split(choice).await;
            self.count("splits", 1);
        }
        if self.random.bool() && self.stage.stream.merge(choice / 2).await {
            self.count("merges", 1);
        }
    }

    /// Kills one and sees how long its shards go without a reader; then there is another worker.
    async fn fail_over(&mut self) {
        let at = self.any();
        let mut shards = self.stage.shards(std::iter::once(at)).await.unwrap_or_default();
        let killed = Instant::now();
        self.kill(at);
        if self.stage.running.is_empty() {
            // A start takes its own time.
            shards.clear();
            self.start(None).await;
        }
        self.put().await;
        self.wait_for_readers(&shards, killed).await;
        if self.stage.running.len() < self.fleet.workers {
            self.start(None).await;
        }
    }

    /// Waits until others read these shards, and notes how long that took since `since`.
    async fn wait_for_readers(&mut self, shards: &BTreeSet<String>, since: Instant) {
        let lease = Duration::from_secs(self.fleet.failover);
        let mut missing = shards.clone();
        while !missing.is_empty() {
            tokio::time::sleep(LOOK).await;
            let read = self.stage.shards(0..self.stage.running.len()).await.unwrap_or_default();
            let before = missing.len();
            missing.retain(|shard| !read.contains(shard));
            let took = since.elapsed();
            self.outcome.failovers.extend(std::iter::repeat_n((lease, took), before - missing.len()));
            if took > lease + GRACE + LOST {
                self.outcome.broken.push(format!("nobody took {missing:?} in {took:?}"));
                return;
            }
        }
    }

    /// The worker at this place is stopped: waits until its leases are another's, and lets it go on.
    async fn sleep_past_lease(&mut self, at: usize) {
        let more = self.random.f64() * 2.0;
        tokio::time::sleep(Duration::from_secs(self.fleet.failover).mul_f64(1.2 + more)).await;
        self.put().await;
        self.stage.running[at].signal("-CONT");
        self.count("SIGSTOP past the lease, and SIGCONT", 1);
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..1_500))).await;
    }

    fn point(&mut self) -> (&'static str, usize) {
        let points = if self.scenario.points.is_empty() { &POINTS[..] } else { &self.scenario.points[..] };
        let point = points[self.next_point % points.len()];
        self.next_point += 1;
        (point, self.random.usize(1..6))
    }

    async fn kill_at_point(&mut self) {
        let (point, hits) = self.point();
        let at = self.any();
        self.kill(at);
        self.start(Some(format!("{point}={hits}"))).await;
        let end = Instant::now() + POINT_WAIT + Duration::from_secs(self.fleet.failover);
        while Instant::now() < end {
            self.put().await;
            let wait = Duration::from_millis(self.random.u64(200..1_000));
            match self.stage.running.last_mut().expect("started").wait(wait).await {
                Some(status) if is_aborted(status) => {
                    self.count(&format!("killed {}", point.replace('-', " ")), 1);
                    break;
                }
                Some(status) => self.outcome.broken.push(format!("{point}: ended with {status}")),
                None => {}
            }
        }
        self.stage.kill(self.stage.running.len() - 1);
        self.start(None).await;
    }

    async fn pause_at_point(&mut self) {
        let (point, hits) = self.point();
        let at = self.any();
        self.kill(at);
        self.start(Some(format!("{point}~{hits}"))).await;
        let end = Instant::now() + POINT_WAIT + Duration::from_secs(self.fleet.failover);
        while Instant::now() < end {
            self.put().await;
            tokio::time::sleep(Duration::from_millis(self.random.u64(200..1_000))).await;
            if self.stage.running.last().expect("started").is_stopped() {
                self.count(&format!("stopped {}", point.replace('-', " ")), 1);
                self.sleep_past_lease(self.stage.running.len() - 1).await;
                break;
            }
        }
    }

    /// See [`FleetAct::Late`].
    async fn write_late(&mut self) {
        let commits = Duration::from_secs(u64::from(self.scenario.setting.snapshot_every)) + Duration::from_millis(1_500);
        tokio::time::sleep(commits).await;
        let sent = self.stage.before_table.checkpoints();
        let at = self.any();
        let shards = self.stage.shards(std::iter::once(at)).await.unwrap_or_default();
        let killed = Instant::now();
        self.kill(at);
        self.wait_for_readers(&shards, killed).await;
        self.put().await;
        tokio::time::sleep(commits).await;
        let done = self.stage.before_table.deliver_late(&sent).await;
        self.count("checkpoints that came after others had gone on", sent.len() as u64);
        self.count("of these taken by the table", done);
        while !self.stage.running.is_empty() {
            self.kill(0);
        }
        for _ in 0..self.fleet.workers {
            self.start(None).await;
        }
    }
}
