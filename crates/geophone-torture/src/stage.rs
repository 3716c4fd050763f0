//! What a scenario is played on: servers, a proxy before each, a folder with configuration, state and archive, and one
//! worker. A fleet has a stage of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ledger::{self, Found};
use crate::load::{Expected, Story};
use crate::pager::{PEOPLE, Pager, TOPIC};
use crate::proxy::{Proxy, Service};
use crate::stream::{STREAM, Stream};
use crate::worker::{Running, Worker};

const POLL: Duration = Duration::from_millis(200);

/// How a stage is set up.
#[derive(Clone, Debug)]
pub struct Setting {
    pub seed: u64,
    pub shards: i32,
    /// Seconds between snapshots.
    pub snapshot_every: u32,
    pub iterator_seconds: u64,
    pub environment: Vec<(String, String)>,
    /// Where libfaketime is, if the clock is to be set.
    pub faketime: Option<PathBuf>,
}

/// See the module.
pub struct Stage {
    folder: TempDir,
    pub stream: Stream,
    pub pager: Pager,
    pub before_stream: Proxy,
    pub before_pager: Proxy,
    worker: Worker,
    running: Option<Running>,
    starts: usize,
    /// From start to listening, where there was state.
    pub restores: Vec<Duration>,
    pub memory_kib: u64,
}

impl Stage {
    pub async fn new(program: &Path, setting: &Setting) -> Self {
        let stream = Stream::start(setting.shards, setting.iterator_seconds).await;
        let pager = Pager::start(setting.seed ^ 1).await;
        let before_stream = Proxy::start(Service::Kinesis, &stream.address, setting.seed ^ 2).await;
        let before_pager = Proxy::start(Service::Sns, &pager.address, setting.seed ^ 3).await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[state]\nfolder = \"state\"\nsnapshot_every = \"{}s\"\n[limits]\ndedup = 65536\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [[streams]]\nname = \"{STREAM}\"\nendpoint = \"{}\"\n\
             [[topics]]\narn = \"{TOPIC}\"\nform = \"ndjson\"\nendpoint = \"{}\"\n\
             [[topics]]\narn = \"{PEOPLE}\"\nform = \"text\"\nendpoint = \"{}\"\n\
             [archive]\nurl = \"archive\"\n\
             [departments.legal]\nmodels = [\"anthropic.*\"]\n[departments.marketing]\nmodels = [\"amazon.*\"]\n",
            setting.snapshot_every, before_stream.endpoint, before_pager.endpoint, before_pager.endpoint,
        );
        let config = config.replace("folder = \"state\"", &format!("folder = \"{}\"", folder.path().join("state").display()));
        let path = folder.path().join("geophone.toml");
        fs::write(&path, config).expect("written");
        let worker = Worker {
            program: program.to_owned(),
            config: path,
            folder: folder.path().to_owned(),
            environment: environment(setting, folder.path()),
            file_kib_max: None,
        };
        Self { folder, stream, pager, before_stream, before_pager, worker, running: None, starts: 0, restores: Vec::new(), memory_kib: 0 }
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// From the next start on no file may grow beyond this.
    pub fn limit_files(&mut self, kib_max: Option<u32>) {
        self.worker.file_kib_max = kib_max;
    }

    /// Starts the worker; `None` where a failpoint or a fault ended it before it listened.
    pub async fn start(&mut self, points: Option<&str>) -> Result<(), (ExitStatus, String)> {
        let had_state = self.state().join("manifest.json").exists();
        self.starts += 1;
        let running = self.worker.start(self.starts, points).await?;
        if had_state {
            self.restores.push(running.took);
        }
        self.running = Some(running);
        Ok(())
    }

    /// Sets the worker's clock, where it runs under libfaketime: by how many seconds it is off.
    pub fn set_clock(&self, step: &str) {
        let path = self.folder.path().join("clock");
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, step).and_then(|()| fs::rename(&fresh, &path)).expect("written");
    }

    /// The worker.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("started")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
            self.memory_kib = self.memory_kib.max(running.memory_kib);
        }
    }

    /// SIGTERM; how it ended, and its log.
    pub async fn stop(&mut self) -> (Option<ExitStatus>, String) {
        let Some(mut running) = self.running.take() else { return (None, String::new()) };
        let status = running.stop().await;
        self.memory_kib = self.memory_kib.max(running.memory_kib);
        (status, running.log())
    }

    /// The log of the last worker.
    pub fn last_log(&self) -> String {
        self.log(self.starts)
    }

    fn log(&self, number: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("worker-{number}.log"))).unwrap_or_default()
    }

    /// What all workers said, alerts left out.
    pub fn logs(&self) -> String {
        let is_told = |line: &&str| !line.contains("\"message\":\"alert\"");
        let of = |number| self.log(number).lines().filter(is_told).map(|line| format!("{number}: {line}\n")).collect::<String>();
        (1..=self.starts).map(of).collect()
    }

    /// Keeps the folder for whoever wants to know why.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Waits until everything that is expected is there, or `patience` is over. Returns what is there, the worker having
    /// been stopped.
    pub async fn settle(&mut self, expected: &Expected, patience: Duration) -> (Found, Option<ExitStatus>) {
        let end = Instant::now() + patience;
        let mut counted;
        loop {
            tokio::time::sleep(POLL).await;
            let running = self.running.as_mut().expect("started");
            running.look();
            counted = BTreeMap::new();
            add_events(&mut counted, running.alerts().await.unwrap_or_default());
            let waits = running.metric("geophone_outbox", "").await.unwrap_or(1.0) > 0.0;
            let is_whole = !waits && is_whole(expected, &counted, &self.pager, &self.folder.path().join("archive"));
            let is_over = self.running.as_mut().is_some_and(|running| running.ended().is_some());
            if is_whole || is_over || Instant::now() > end {
                break;
            }
        }
        let (status, _) = self.stop().await;
        let found = Found {
            archived: ledger::archive(&self.folder.path().join("archive")),
            counted,
            received: self.pager.received(),
            letters: ledger::letters(&self.state()),
        };
        (found, status)
    }
}

/// Whether everything that is expected has been counted, paged and archived at least once.
pub fn is_whole(expected: &Expected, counted: &BTreeMap<Story, u64>, pager: &Pager, archive: &Path) -> bool {
    if !expected.incidents.iter().all(|(story, incident)| counted.get(story).is_some_and(|count| *count >= incident.events)) {
        return false;
    }
    let paged: std::collections::BTreeSet<_> = pager.received().iter().map(|received| ledger::story(&received.alert)).collect();
    if !expected.incidents.keys().all(|story| paged.contains(story)) {
        return false;
    }
    let archived = ledger::archive(archive);
    expected.archived.iter().all(|id| archived.contains_key(id))
}

/// With libfaketime where the clock is to be set: wall clock only, as somebody who sets it does.
fn environment(setting: &Setting, folder: &Path) -> Vec<(String, String)> {
    let mut environment = setting.environment.clone();
    if let Some(library) = &setting.faketime {
        let file = folder.join("clock");
        fs::write(&file, "+0").expect("written");
        for (name, value) in [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ] {
            environment.push((name.to_owned(), value));
        }
    }
    environment
}

/// Adds the events of each story, as alerts count them; several alerts of one story are added up.
pub fn add_events(counted: &mut BTreeMap<Story, u64>, alerts: Vec<serde_json::Value>) {
    for alert in alerts {
        *counted.entry(ledger::story(&alert)).or_default() += alert["event_count"].as_u64().unwrap_or(0);
    }
}
