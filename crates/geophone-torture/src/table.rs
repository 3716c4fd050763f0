//! The table server: DynamoDB by npm's dynalite, a process of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http;

/// A server that takes longer to start is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub struct Table {
    /// `127.0.0.1:PORT`
    pub address: String,
    child: Child,
}

impl Drop for Table {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `make tools` puts it, if it did.
pub fn installed() -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules");
    modules.join("dynalite").exists().then_some(modules)
}

impl Table {
    /// A server without tables.
    pub async fn start(modules: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = listener.expect("a port of loopback").port();
        let script = format!("require('dynalite')({{ createTableMs: 20 }}).listen({port}, '127.0.0.1')");
        let mut command = Command::new("node");
        command.args(["-e", &script]).env("NODE_PATH", modules).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let table = Self { address: format!("127.0.0.1:{port}"), child: command.spawn().expect("node") };
        let end = Instant::now() + PATIENCE;
        while http::get(&table.address, "/").await.is_none() {
            assert!(Instant::now() < end, "dynalite does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        table
    }
}
