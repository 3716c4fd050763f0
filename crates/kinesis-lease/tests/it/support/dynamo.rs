//! Two independent DynamoDB servers: npm's dynalite and MiniStack.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use kinesis_lease::leasing::DynamoTable;
use kinesis_lease::leasing::table::dynamo::client_config_defaults;

use super::DEADLINE;
use super::stream::fresh_name;

/// A client without retries of its own.
pub fn bare_client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"));
    Client::from_conf(client_config_defaults(config).retry_config(RetryConfig::disabled()).build())
}

/// A running server. Clones share the process.
#[derive(Clone)]
pub struct Dynamo {
    pub endpoint: String,
    pub client: Client,
    _process: Arc<Process>,
}

impl Dynamo {
    /// npm's `dynalite`. `None`, with a line that says so, when it is not installed.
    pub async fn dynalite() -> Option<Self> {
        static RUNNING: Mutex<Weak<Process>> = Mutex::new(Weak::new());
        let process = shared(&RUNNING, start_dynalite);
        Self::answering("dynalite", process?).await
    }

    /// PyPI's `ministack`, likewise.
    pub async fn ministack() -> Option<Self> {
        static RUNNING: Mutex<Weak<Process>> = Mutex::new(Weak::new());
        let process = shared(&RUNNING, start_ministack);
        Self::answering("ministack", process?).await
    }

    async fn answering(name: &str, process: Arc<Process>) -> Option<Self> {
        let endpoint = format!("http://127.0.0.1:{}", process.port);
        let client = bare_client(&endpoint);
        let answers = async {
            while client.list_tables().send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers).await.unwrap_or_else(|_| panic!("{name} answers"));
        Some(Self { endpoint, client, _process: process })
    }

    /// A table that no other test uses. It is not there yet.
    pub fn table(&self) -> (DynamoTable, String) {
        let name = fresh_name().replace("stream", "leases");
        (DynamoTable::new(self.client.clone(), name.as_str()), name)
    }
}

/// Killed when the last test that uses it is done.
struct Process {
    port: u16,
    child: Child,
    /// Where it may write.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }
}

fn shared(running: &Mutex<Weak<Process>>, start: impl FnOnce() -> Option<Process>) -> Option<Arc<Process>> {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(process) = running.upgrade() {
        return Some(process);
    }
    let process = Arc::new(start()?);
    *running = Arc::downgrade(&process);
    Some(process)
}

fn tools() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// Says on which port of the loopback it listens; the system chooses.
const DYNALITE: &str = "
    const server = require('dynalite')({ createTableMs: 20 });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));";

fn start_dynalite() -> Option<Process> {
    if !tools().join("node_modules/dynalite").exists() {
        println!("skipped: dynalite is not installed (run `make tools`)");
        return None;
    }
    let mut command = Command::new("node");
    command.args(["-e", DYNALITE]).current_dir(tools()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
    let port = line.trim().parse().expect("dynalite says its port");
    Some(Process { port, child, _folder: None })
}

fn start_ministack() -> Option<Process> {
    let program = tools().join("ministack/bin/ministack");
    if !program.is_file() {
        println!("skipped: ministack is not installed (run `make tools`)");
        return None;
    }
    // It cannot take a port from the system itself; this one was free a moment ago.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("HOME", folder.path());
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().ok()?;
    Some(Process { port, child, _folder: Some(folder) })
}
