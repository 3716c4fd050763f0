//! A scenario: a seed, what may go wrong, and the ledger at its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::fleet::{self, Fleet};
use crate::ledger::{Allowed, Ledger};
use crate::load::{Load, Mix};
use crate::proxy::{Fault, Weather};
use crate::stage::{Setting, Stage};
use crate::worker::is_aborted;

/// Points of a commit at which a build for it ends the program.
pub const POINTS: [&str; 10] = [
    "before-journal",
    "before-publish",
    "before-settle",
    "before-archive",
    "after-note",
    "after-archive",
    "before-rename",
    "after-snapshot",
    "after-manifest",
    "before-removing-old",
];
/// Room on a full disk: a journal has it, a snapshot has not.
const FULL_KIB: u32 = 16;
/// The program ends so where it cannot write its state at the start.
const CANNOT_WRITE: i32 = 73;
/// A point that is not met in this time is not on the way.
const POINT_WAIT: Duration = Duration::from_secs(12);

/// What may happen to a worker between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `kill -9`, and a new start.
    Kill,
    /// The same at a point of a commit.
    Point,
    /// SIGSTOP, a while, SIGCONT.
    Pause,
    /// A shard is split, two are merged, or both.
    Reshard,
    /// SIGTERM, and a new start.
    Term,
    /// `kill -9`, a file of the state is damaged or removed, and a new start.
    Damage,
    /// `kill -9`, and a new start on a disk without room, or again on one that has it.
    FullDisk,
    /// The machine's clock is set an hour ahead, an hour back, or right.
    Clock,
    /// `kill -9`, a shard is split, records come, and a new start.
    SplitDown,
    /// Nothing.
    Rest,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub seed: u64,
    pub program: PathBuf,
    pub steps: usize,
    pub acts: Vec<Act>,
    pub mix: Mix,
    pub stream_faults: Vec<Fault>,
    pub pager_faults: Vec<Fault>,
    /// SNS answers nothing but errors until the end.
    pub pager_away: bool,
    /// Of a thousand entries of batches so many fail.
    pub refused_entries: u32,
    /// Longest pause between batch and act, in milliseconds.
    pub pause_ms: u64,
    pub setting: Setting,
    /// A guard that is taken away in every start.
    pub guard: Option<&'static str>,
    /// Points that are used in turn; all of them where it is empty.
    pub points: Vec<&'static str>,
    pub children_at_latest: bool,
    /// After a point nothing is read until a snapshot is written.
    pub slow_start: bool,
    /// Several workers share the stream, and acts are theirs.
    pub fleet: Option<Fleet>,
    /// No control.
    pub must_hold: bool,
    /// How long the end is waited for.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub ledger: Ledger,
    /// What was done, by kind.
    pub faults: BTreeMap<String, u64>,
    pub poisons: BTreeMap<&'static str, u64>,
    pub restores: Vec<Duration>,
    /// Lease time, and from a worker's `kill -9` to another's reading, of each of its shards.
    pub failovers: Vec<(Duration, Duration)>,
    pub memory_kib: u64,
    pub took: Duration,
    /// The worker ended when nobody asked it to, or not when it was asked.
    pub broken: Vec<String>,
    /// What all workers logged, where something is wrong.
    pub log: String,
}

impl Outcome {
    /// Everything that is not as it has to be.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = self.broken.clone();
        wrong.extend(self.ledger.broken());
        let late = self.failovers.iter().filter(|(lease, took)| *took > *lease + fleet::GRACE);
        if let Some((lease, took)) = late.max_by_key(|(lease, took)| *took - *lease) {
            wrong.push(format!("a shard had no reader for {:.1} s with a lease of {} s", took.as_secs_f64(), lease.as_secs()));
        }
        wrong
    }
}

/// Epoch seconds.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

struct Play {
    stage: Stage,
    random: fastrand::Rng,
    outcome: Outcome,
    scenario: Scenario,
    load: Load,
    next_point: usize,
    /// Every snapshot was damaged, and the ids of the oldest stories went with them.
    is_forgotten: bool,
}

impl Scenario {
    /// A scenario in which nothing goes wrong; callers change what they want to.
    pub fn calm(name: &str, seed: u64, program: &std::path::Path) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            program: program.to_owned(),
            steps: 5,
            acts: vec![Act::Rest],
            mix: Mix { refused: 6, calls: 3, crossing: 2, honest: 4, builds: 20, poison: 0, repeats: false },
            stream_faults: Vec::new(),
            pager_faults: Vec::new(),
            pager_away: false,
            refused_entries: 0,
            pause_ms: 1_500,
            setting: Setting { seed, shards: 3, snapshot_every: 1, iterator_seconds: 300, environment: Vec::new(), faketime: None },
            guard: None,
            points: Vec::new(),
            children_at_latest: false,
            slow_start: false,
            fleet: None,
            must_hold: true,
            patience: Duration::from_secs(90),
        }
    }

    /// Plays it.
    pub async fn play(mut self) -> Outcome {
        if let Some(fleet) = self.fleet.take() {
            return fleet::play(self, fleet).await;
        }
        let started = Instant::now();
        let stage = Stage::new(&self.program, &self.setting).await;
        if self.children_at_latest {
            stage.before_stream.read_children_at_latest(u32::try_from(self.setting.shards).expect("few"));
        }
        let random = fastrand::Rng::with_seed(self.seed);
        let load = Load::new(self.seed, unix_now());
        let mut play = Play { stage, random, outcome: Outcome::default(), scenario: self, load, next_point: 0, is_forgotten: false };
        play.run().await;
        play.outcome.took = started.elapsed();
        play.outcome
    }
}

impl Play {
    async fn run(&mut self) {
        self.start(None).await;
        for _ in 0..self.scenario.steps {
            self.load.set_now(unix_now());
            let batch = self.load.batch(self.scenario.mix, Instant::now());
            self.stage.stream.put(&batch).await;
            self.change_weather();
            let pause = Duration::from_millis(self.random.u64(0..=self.scenario.pause_ms));
            tokio::time::sleep(pause).await;
            self.look_alive().await;
            let act = self.scenario.acts[self.random.usize(..self.scenario.acts.len())];
            self.act(act).await;
        }
        self.stage.before_stream.calm();
        self.stage.before_pager.calm();
        self.stage.pager.refuse_entries(0);
        self.stage.set_clock("+0");
        if self.scenario.acts.contains(&Act::FullDisk) {
            self.stage.kill();
            self.stage.limit_files(None);
            self.start(None).await;
        }
        self.look_alive().await;
        let expected = self.load.expected.clone();
        let (found, status) = self.stage.settle(&expected, self.scenario.patience).await;
        if !status.is_some_and(|status| status.success()) {
            self.outcome.broken.push(format!("the last worker ended with {status:?}"));
        }
        let has_lost_replies = !self.scenario.pager_faults.is_empty();
        let is_damaged = self.scenario.acts.contains(&Act::Damage);
        let is_full = self.scenario.acts.contains(&Act::FullDisk);
        let unsaid = has_lost_replies || is_damaged || is_full;
        let second_ids = is_full || self.is_forgotten;
        let allowed = Allowed { repeats_in_archive: is_damaged, unsaid, second_ids, ..Allowed::default() };
        self.outcome.ledger = Ledger::of(&expected, &found, allowed);
        self.outcome.poisons.clone_from(&expected.poisoned);
        self.outcome.restores.clone_from(&self.stage.restores);
        self.outcome.memory_kib = self.stage.memory_kib;
        self.count("records put more than once", expected.repeated);
        for counts in [self.stage.before_stream.counts(), self.stage.before_pager.counts()] {
            counts.into_iter().for_each(|(fault, count)| self.count(fault.label(), count));
        }
        self.count("entries of batches refused", self.stage.pager.refused());
        if !self.outcome.wrong().is_empty() && self.scenario.must_hold {
            self.outcome.log = format!("{}the folder is {}\n", self.stage.logs(), self.stage.keep().display());
        }
    }

    fn count(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.outcome.faults.entry(what.to_owned()).or_default() += times;
        }
    }

    fn change_weather(&mut self) {
        let mut draw = |faults: &[Fault]| match faults {
            [] => Weather::default(),
            faults => {
                let chosen: Vec<Fault> = faults.iter().copied().filter(|_| self.random.bool()).collect();
                Weather::of([0, 200, 500, 900][self.random.usize(..4)], &chosen)
            }
        };
        let weathers = [draw(&self.scenario.stream_faults), draw(&self.scenario.pager_faults)];
        let [stream, pager] = weathers;
        self.stage.before_stream.weather(stream);
        let away = Weather::of(1_000, &[Fault::Reset, Fault::Throttled]);
        self.stage.before_pager.weather(if self.scenario.pager_away { away } else { pager });
        self.stage.pager.refuse_entries(self.scenario.refused_entries);
    }

    /// `GEOPHONE_FAILPOINTS`: the guard that is away, and a point.
    fn points(&self, point: Option<String>) -> Option<String> {
        let guard = self.scenario.guard.map(str::to_owned);
        let parts: Vec<String> = guard.into_iter().chain(point).collect();
        (!parts.is_empty()).then(|| parts.join(";"))
    }

    async fn start(&mut self, point: Option<String>) {
        let points = self.points(point);
        if let Err((status, log)) = self.stage.start(points.as_deref()).await {
            if is_aborted(status) && points.is_some() {
                // Before it listened: at the journal of what a former worker had not delivered.
                self.count("killed at a point of a commit", 1);
                let points = self.points(None);
                if self.stage.start(points.as_deref()).await.is_ok() {
                    return;
                }
            }
            self.outcome.broken.push(format!("a worker did not start: {status}: {}", log.lines().last().unwrap_or_default()));
            // Without a worker nothing more can be learned.
            panic!("seed {}: {}: a worker did not start: {status}\n{log}", self.scenario.seed, self.scenario.name);
        }
    }

    /// A worker that ended by itself is a finding; it is started again.
    async fn look_alive(&mut self) {
        if let Some(status) = self.stage.running().ended() {
            let log = self.stage.last_log();
            self.outcome.broken.push(format!("the worker ended by itself: {status}: {}", log.lines().last().unwrap_or_default()));
            self.stage.kill();
            self.start(None).await;
        }
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Rest => {}
            Act::Kill => {
                self.stage.kill();
                self.count("kill -9 at a random moment", 1);
                self.start(None).await;
            }
            Act::Point => self.kill_at_point().await,
            Act::Pause => {
                self.stage.running().signal("-STOP");
                tokio::time::sleep(Duration::from_millis(self.random.u64(500..4_000))).await;
                self.stage.running().signal("-CONT");
                self.count("SIGSTOP and SIGCONT", 1);
            }
            Act::Reshard => self.reshard().await,
            Act::Term => {
                let (status, log) = self.stage.stop().await;
                self.count("SIGTERM", 1);
                if !status.is_some_and(|status| status.success()) {
                    let last = log.lines().last().unwrap_or_default();
                    self.outcome.broken.push(format!("SIGTERM ended it with {status:?}: {last}"));
                }
                self.start(None).await;
            }
            Act::Damage => {
                self.stage.kill();
                self.count("kill -9 at a random moment", 1);
                self.damage();
                // All ids are known as long as the first journal is there.
                let is_beyond = !self.stage.state().join("journal-0.ndjson").exists();
                self.start(None).await;
                self.is_forgotten |= is_beyond && self.stage.last_log().contains("no state is left");
            }
            Act::FullDisk => self.fill_disk().await,
            Act::Clock => {
                let step = ["+3600", "-3600", "+0"][self.random.usize(..3)];
                self.stage.set_clock(step);
                self.count("steps of the clock by an hour", u64::from(step != "+0"));
            }
            Act::SplitDown => {
                self.stage.kill();
                self.count("kill -9 at a random moment", 1);
                self.stage.stream.split(self.random.usize(..64)).await;
                self.count("splits", 1);
                let batch = self.load.batch(self.scenario.mix, Instant::now());
                self.stage.stream.put(&batch).await;
                self.start(None).await;
            }
        }
    }

    async fn kill_at_point(&mut self) {
        let points = if self.scenario.points.is_empty() { &POINTS[..] } else { &self.scenario.points[..] };
        let point = points[self.next_point % points.len()];
        self.next_point += 1;
        let hits = self.random.usize(1..4);
        self.stage.kill();
        self.count("kill -9 at a random moment", 1);
        self.start(Some(format!("{point}={hits}"))).await;
        // Something to journal, to publish and to commit.
        for _ in 0..2 {
            let batch = self.load.batch(self.scenario.mix, Instant::now());
            self.stage.stream.put(&batch).await;
            match self.stage.running().wait(POINT_WAIT / 2).await {
                Some(status) if is_aborted(status) => {
                    self.count(&format!("killed {}", point.replace('-', " ")), 1);
                    break;
                }
                Some(status) => self.outcome.broken.push(format!("{point}: ended with {status}")),
                None => {}
            }
        }
        self.stage.kill();
        if self.scenario.slow_start {
            self.stage.before_stream.weather(Weather::of(1_000, &[Fault::Throttled]));
        }
        self.start(None).await;
        if self.scenario.slow_start {
            self.wait_for_snapshot().await;
        }
    }

    /// Waits until the worker that was just started has written its first state.
    async fn wait_for_snapshot(&mut self) {
        let manifest = self.stage.state().join("manifest.json");
        let before = fs::read(&manifest).ok();
        let end = Instant::now() + POINT_WAIT;
        while fs::read(&manifest).ok() == before && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn reshard(&mut self) {
        const OPEN_MAX: usize = 8;
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

    /// Starts it on a disk without room, or on one that has it. Without room it may refuse to start, and then somebody makes
    /// room.
    async fn fill_disk(&mut self) {
        self.stage.kill();
        self.count("kill -9 at a random moment", 1);
        if self.random.bool() {
            self.stage.limit_files(Some(FULL_KIB));
            self.count("starts on a disk without room", 1);
            match self.stage.start(None).await {
                Ok(()) => return,
                Err((status, _)) if status.code() == Some(CANNOT_WRITE) => self.count("of these refused", 1),
                Err((status, log)) => self.outcome.broken.push(format!("on a disk without room: {status}: {log}")),
            }
        }
        self.stage.limit_files(None);
        self.start(None).await;
    }

    /// Damages or removes a file of the state as disks and people do.
    fn damage(&mut self) {
        let mut files: Vec<PathBuf> = fs::read_dir(self.stage.state()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("snapshot-") && name.ends_with(".bin") || name == "manifest.json"
        });
        let Some(path) = files.get(self.random.usize(..files.len().max(1))) else { return };
        let mut bytes = fs::read(path).unwrap_or_default();
        let kind = match self.random.usize(..4) {
            0 => {
                fs::remove_file(path).expect("removed");
                return self.count("files of the state removed", 1);
            }
            1 => {
                bytes.truncate(self.random.usize(..bytes.len().max(1)));
                "files of the state cut off"
            }
            2 => {
                bytes.clear();
                "files of the state emptied"
            }
            _ => {
                for _ in 0..self.random.usize(1..4) {
                    let at = self.random.usize(..bytes.len().max(1));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.random.u32(..8);
                    }
                }
                "files of the state with bits flipped"
            }
        };
        fs::write(path, bytes).expect("written");
        self.count(kind, 1);
    }
}
