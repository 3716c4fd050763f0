//! A daemon's surroundings: a folder with its configuration and state, a Kinesis and an SNS endpoint in the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use geophone::config::Settings;
use geophone::engine::Engine;
use geophone::storage::StateFolder;
use geophone_company::wire;
use tempfile::TempDir;

use super::kinesis::{Entry, Kinesis};
use super::program::Daemon;
use super::records;
use super::sns::{Received, Sns, TOPIC};

pub const STREAM: &str = "trail";

pub struct Stage {
    folder: TempDir,
    pub kinesis: Kinesis,
    pub sns: Sns,
}

impl Stage {
    /// A stream of `shards` and a topic of form `ndjson` that takes everything.
    pub async fn new(shards: i32) -> Self {
        Self::with(Kinesis::with_stream(STREAM, shards).await, Sns::start())
    }

    /// Snapshots come every second, so that a test meets many of them.
    pub fn with(kinesis: Kinesis, sns: Sns) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[state]\nfolder = \"{}\"\nsnapshot_every = \"1s\"\n[limits]\ndedup = 65536\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [[streams]]\nname = \"{STREAM}\"\nendpoint = \"{}\"\n\
             [[topics]]\narn = \"{TOPIC}\"\nform = \"ndjson\"\nendpoint = \"{}\"\n\
             [departments.legal]\nmodels = [\"anthropic.*\"]\n",
            folder.path().join("state").display(),
            kinesis.endpoint,
            sns.endpoint,
        );
        fs::write(folder.path().join("geophone.toml"), config).expect("written");
        Self { folder, kinesis, sns }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("geophone.toml")
    }

    /// Adds to the configuration.
    pub fn configure(&self, text: &str) {
        let before = fs::read_to_string(self.config()).expect("written");
        fs::write(self.config(), before + text).expect("written");
    }

    /// Writes a file beside the configuration, in one step.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text).expect("written");
        fs::rename(fresh, path).expect("renamed");
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub async fn daemon(&self) -> Daemon {
        Daemon::start(&self.config()).await
    }

    pub async fn put(&self, entries: &[Entry]) {
        self.kinesis.put(STREAM, entries).await;
    }

    /// What the state of a daemon that has stopped knows: the events of every alert, by access key.
    pub async fn counted(&self) -> BTreeMap<String, u64> {
        let settings = Settings::parse(&fs::read_to_string(self.config()).expect("written")).expect("valid");
        let (_state, recovered) = StateFolder::open(&self.state()).await.expect("unlocked and whole");
        let engine = Engine::restore(settings.engine, recovered.snapshot.expect("a snapshot").engine);
        let alerts = engine.open_alerts(usize::MAX);
        alerts.into_iter().map(|alert| (alert.who.access_key_id.to_string(), alert.event_count)).collect()
    }
}

/// Refused calls number `numbers` of each of these sessions, turn by turn, each a record in EventBridge's envelope.
pub fn refusals(keys: &[String], numbers: std::ops::Range<usize>) -> Vec<Entry> {
    let time = records::now() - 60;
    let of = |number| keys.iter().map(move |key| (key.clone(), wire::eventbridge(&records::denied(key, number, time))));
    numbers.flat_map(of).collect()
}

/// Alert ids by access key. Alerts about geophone itself have none.
pub fn alert_ids(received: &[Received]) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for alert in received.iter().map(Received::alert).filter(|alert| alert["detector"] != "blind-spot") {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        ids.entry(text(&alert["actor"]["access_key_id"])).or_default().insert(text(&alert["alert_id"]));
    }
    ids
}

/// Whether each of these sessions was paged.
pub fn are_paged(received: &[Received], keys: &[String]) -> bool {
    let ids = alert_ids(received);
    keys.iter().all(|key| ids.contains_key(key))
}
