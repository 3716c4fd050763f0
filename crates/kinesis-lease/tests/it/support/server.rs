//! The two servers of the contract suite.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use aws_sdk_kinesis::Client;
use ferrokinesis::store::StoreOptions;
use tokio::task::AbortHandle;

use super::fan_out::FanOut;
use super::{DEADLINE, client};

/// What a server is known not to do. A case that needs it is skipped there, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deviation {
    /// `AT_TIMESTAMP` with no record at or after it gives the whole shard instead of nothing.
    AtTimestampFallsBackToEverything,
    /// `ListShards` refuses a `NextToken` without a `StreamName`.
    ListShardsHasOnePage,
    /// Iterators live for five minutes whatever one does.
    IteratorsDoNotExpireOnDemand,
    /// A sequence number that is not the stream's own is accepted.
    AnySequenceNumberWillDo,
    /// A subscription to a shard that is closed never says so.
    SubscriptionsDoNotEnd,
    /// `SubscribeToShard` takes the position's type and leaves the number and time out.
    SubscriptionsStartOver,
}

/// A running server.
pub struct Server {
    pub endpoint: String,
    pub client: Client,
    name: &'static str,
    deviations: &'static [Deviation],
    _keep: Keep,
}

enum Keep {
    Task(AbortHandle),
    Process { _shared: Arc<KinesisLocal> },
}

impl Drop for Keep {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Server {
    /// `ferrokinesis`, embedded, with everything at once.
    pub async fn ferrokinesis() -> Self {
        Self::ferrokinesis_with(StoreOptions::default()).await
    }

    /// The same with some options; the simulated delays are always off.
    pub async fn ferrokinesis_with(options: StoreOptions) -> Self {
        let options = StoreOptions { create_stream_ms: 0, delete_stream_ms: 0, update_stream_ms: 0, shard_limit: 200, ..options };
        let (app, _store) = ferrokinesis::create_app(options);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            client: client(&endpoint),
            endpoint,
            name: "ferrokinesis",
            deviations: &[Deviation::AtTimestampFallsBackToEverything, Deviation::ListShardsHasOnePage, Deviation::SubscriptionsStartOver],
            _keep: Keep::Task(task.abort_handle()),
        }
    }

    /// npm's `kinesis-local`, one process for all tests that run at the moment. `None`, with a line
    /// that says so, when it is not installed.
    pub async fn kinesis_local() -> Option<Self> {
        let Some(shared) = KinesisLocal::shared() else {
            println!("skipped: kinesis-local is not installed (run `make tools`)");
            return None;
        };
        let endpoint = format!("http://127.0.0.1:{}", shared.port);
        let client = client(&endpoint);
        let answers = async {
            while client.list_streams().send().await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers).await.expect("kinesis-local answers");
        Some(Self {
            client,
            endpoint,
            name: "kinesis-local",
            deviations: &[Deviation::IteratorsDoNotExpireOnDemand, Deviation::AnySequenceNumberWillDo, Deviation::SubscriptionsDoNotEnd],
            _keep: Keep::Process { _shared: shared },
        })
    }

    /// Puts a `SubscribeToShard` by the book before it.
    pub async fn with_fan_out(&mut self, session: std::time::Duration) -> FanOut {
        let before = FanOut::before(&self.endpoint, session).await;
        self.client = client(&before.endpoint);
        self.endpoint.clone_from(&before.endpoint);
        before
    }

    /// Whether the server cannot do what a case needs; says so if it is.
    pub fn cannot(&self, deviation: Deviation) -> bool {
        let known = self.deviations.contains(&deviation);
        if known {
            println!("skipped on {}: {deviation:?}", self.name);
        }
        known
    }
}

/// The process, killed when the last test that uses it is done.
struct KinesisLocal {
    port: u16,
    process: Child,
}

static RUNNING: Mutex<Weak<KinesisLocal>> = Mutex::new(Weak::new());

/// The server has no option for its address and would listen on all of them.
const ON_LOOPBACK: &str = "
    const net = require('net'), listen = net.Server.prototype.listen;
    net.Server.prototype.listen = function (first, ...rest) {
        if (typeof first === 'object') return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
        return listen.call(this, first, '127.0.0.1', ...rest.filter((each) => typeof each === 'function'));
    };
    require('./main.js');";

impl KinesisLocal {
    fn shared() -> Option<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(shared) = running.upgrade() {
            return Some(shared);
        }
        let shared = Arc::new(Self::start()?);
        *running = Arc::downgrade(&shared);
        Some(shared)
    }

    fn start() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules/kinesis-local");
        if !folder.join("main.js").exists() {
            return None;
        }
        let [port, tls_port] = free_ports();
        let process = Command::new("node")
            .args(["-e", ON_LOOPBACK])
            .current_dir(folder)
            .env("KINESIS_MOCK_PLAIN_PORT", port.to_string())
            .env("KINESIS_MOCK_TLS_PORT", tls_port.to_string())
            .env("CREATE_STREAM_DURATION", "1ms")
            .env("SPLIT_SHARD_DURATION", "1ms")
            .env("MERGE_SHARDS_DURATION", "1ms")
            .env("SHARD_LIMIT", "200")
            .env("LOG_LEVEL", "ERROR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { port, process })
    }
}

impl Drop for KinesisLocal {
    fn drop(&mut self) {
        self.process.kill().expect("our own child can be killed");
        self.process.wait().expect("our own child can be waited for");
    }
}

/// Ports that were free a moment ago: the server cannot take one from the system itself.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
