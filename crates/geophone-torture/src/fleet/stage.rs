//! What a fleet plays on: servers, a proxy before each, a folder that all workers see, and the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http;
use crate::ledger::{self, Found};
use crate::load::{Expected, Story};
use crate::pager::{PEOPLE, Pager, TOPIC};
use crate::proxy::{Proxy, Service};
use crate::stage::{Setting, add_events, is_whole};
use crate::stream::{STREAM, Stream};
use crate::table::Table;
use crate::worker::{Running, Worker};

const POLL: Duration = Duration::from_millis(200);

/// See the module.
pub struct FleetStage {
    folder: TempDir,
    pub stream: Stream,
    pub pager: Pager,
    _table: Table,
    pub before_stream: Proxy,
    pub before_pager: Proxy,
    pub before_table: Proxy,
    worker: Worker,
    pub running: Vec<Running>,
    starts: usize,
    pub memory_kib: u64,
}

impl FleetStage {
    pub async fn new(program: &Path, modules: &Path, setting: &Setting, failover: u64) -> Self {
        let stream = Stream::start(setting.shards, setting.iterator_seconds).await;
        let pager = Pager::start(setting.seed ^ 1).await;
        let table = Table::start(modules).await;
        let before_stream = Proxy::start(Service::Kinesis, &stream.address, setting.seed ^ 2).await;
        let before_pager = Proxy::start(Service::Sns, &pager.address, setting.seed ^ 3).await;
        let before_table = Proxy::start(Service::DynamoDb, &table.address, setting.seed ^ 4).await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[state]\nfolder = \"state\"\nsnapshot_every = \"{}s\"\n[limits]\ndedup = 65536\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [[streams]]\nname = \"{STREAM}\"\nleases = \"trail-leases\"\nendpoint = \"{}\"\n\
             [[topics]]\narn = \"{TOPIC}\"\nform = \"ndjson\"\nendpoint = \"{}\"\n\
             [[topics]]\narn = \"{PEOPLE}\"\nform = \"text\"\nendpoint = \"{}\"\n\
             [archive]\nurl = \"archive\"\n\
             [fleet]\nsnapshots = \"snapshots\"\nfailover = \"{failover}s\"\ndynamodb_endpoint = \"{}\"\n\
             [departments.legal]\nmodels = [\"anthropic.*\"]\n[departments.marketing]\nmodels = [\"amazon.*\"]\n",
            setting.snapshot_every, before_stream.endpoint, before_pager.endpoint, before_pager.endpoint, before_table.endpoint,
        );
        let path = folder.path().join("geophone.toml");
        fs::write(&path, config).expect("written");
        let worker = Worker {
            program: program.to_owned(),
            config: path,
            folder: folder.path().to_owned(),
            environment: setting.environment.clone(),
            file_kib_max: None,
        };
        let running = Vec::new();
        Self { folder, stream, pager, _table: table, before_stream, before_pager, before_table, worker, running, starts: 0, memory_kib: 0 }
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// It ended before it listened, with what it said.
    pub async fn start(&mut self, points: Option<&str>) -> Result<(), (ExitStatus, String)> {
        self.starts += 1;
        let running = self.worker.start(self.starts, points).await?;
        self.running.push(running);
        Ok(())
    }

    /// `kill -9` for the worker at this place.
    pub fn kill(&mut self, at: usize) {
        let mut running = self.running.remove(at);
        running.kill();
        self.memory_kib = self.memory_kib.max(running.memory_kib);
    }

    /// SIGTERM for the worker at this place; how it ended, and its log.
    pub async fn stop(&mut self, at: usize) -> (Option<ExitStatus>, String) {
        let mut running = self.running.remove(at);
        let status = running.stop().await;
        self.memory_kib = self.memory_kib.max(running.memory_kib);
        (status, running.log())
    }

    /// The shards that these workers read by their pages; `None` where one does not answer.
    pub async fn shards(&self, workers: impl Iterator<Item = usize>) -> Option<BTreeSet<String>> {
        let mut shards = BTreeSet::new();
        for at in workers {
            let text = http::get(&self.running[at].page, "/api/v1/fleet").await?;
            let fleet: serde_json::Value = serde_json::from_str(&text).ok()?;
            shards.extend(fleet["shards"].as_array()?.iter().map(|shard| shard["shard"].as_str().unwrap_or_default().to_owned()));
        }
        Some(shards)
    }

    /// What all workers said, alerts left out.
    pub fn logs(&self) -> String {
        let is_told = |line: &&str| !line.contains("\"message\":\"alert\"");
        let text = |number| fs::read_to_string(self.folder.path().join(format!("worker-{number}.log"))).unwrap_or_default();
        let of = |number| text(number).lines().filter(is_told).map(|line| format!("{number}: {line}\n")).collect::<String>();
        (1..=self.starts).map(of).collect()
    }

    /// Keeps the folder for whoever wants to know why.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Waits until everything that is expected is there, or `patience` is over. Returns what is there, and how the workers
    /// ended that were not asked to, all of them having been stopped.
    pub async fn settle(&mut self, expected: &Expected, patience: Duration) -> (Found, Vec<String>) {
        let end = Instant::now() + patience;
        let mut counted;
        loop {
            tokio::time::sleep(POLL).await;
            counted = BTreeMap::new();
            let mut waits = 0.0;
            for running in &mut self.running {
                running.look();
                add_events(&mut counted, running.alerts().await.unwrap_or_default());
                waits += running.metric("geophone_outbox", "").await.unwrap_or(1.0);
            }
            // While a shard changes hands two workers may show its alerts.
            let too_many = |(story, count): (&Story, &u64)| {
                expected.incidents.get(story).is_some_and(|incident| incident.events > 0 && *count > incident.events)
            };
            let is_settled = waits == 0.0 && !counted.iter().any(too_many);
            if is_settled && is_whole(expected, &counted, &self.pager, &self.archive()) || Instant::now() > end {
                break;
            }
        }
        let mut broken = Vec::new();
        self.running.iter().for_each(|running| running.signal("-TERM"));
        while !self.running.is_empty() {
            let mut running = self.running.remove(0);
            let status = running.wait(Duration::from_secs(60)).await;
            self.memory_kib = self.memory_kib.max(running.memory_kib);
            if !status.is_some_and(|status| status.success()) {
                let log = running.log();
                broken.push(format!("a worker ended with {status:?}: {}", log.lines().last().unwrap_or_default()));
            }
        }
        let letters = ledger::letters_below(&self.folder.path().join("snapshots"));
        let found = Found { archived: ledger::archive(&self.archive()), counted, received: self.pager.received(), letters };
        (found, broken)
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }
}
