//! Servers that other people wrote, each a process of the test's own: MiniStack for SNS, and Debian's Prometheus.
//!
//! Where one is not installed its test says so in one line and returns.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::http;
use super::wait::eventually;

/// A port that was free a moment ago: these servers cannot take one from the system and say which.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// The program called `name` in `PATH`.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A server, killed when dropped, with a folder of its own.
pub struct Server {
    /// `127.0.0.1:PORT`
    pub address: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// MiniStack 1.5.33 from PyPI, as `make tools` installs it.
    pub async fn ministack() -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/ministack/bin/ministack");
        if !program.is_file() {
            println!("skipped: ministack is not installed (make tools)");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let mut command = Command::new(program);
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("HOME", folder.path());
        Some(Self::start(command, folder, port, "/_ministack/health").await)
    }

    /// npm's dynalite 4.0.0, a DynamoDB.
    pub async fn dynalite() -> Option<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        if !tools.join("node_modules/dynalite").exists() {
            println!("skipped: dynalite is not installed (make tools)");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let script = format!("require('dynalite')({{ createTableMs: 20 }}).listen({port}, '127.0.0.1')");
        let mut command = Command::new("node");
        command.args(["-e", &script]).env("NODE_PATH", tools.join("node_modules"));
        Some(Self::start(command, folder, port, "/").await)
    }

    /// Prometheus that scrapes `target` every second.
    pub async fn prometheus(target: &str) -> Option<Self> {
        let Some(program) = installed("prometheus") else {
            println!("skipped: prometheus is not installed (make tools)");
            return None;
        };
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let config = folder.path().join("prometheus.yml");
        let job = format!("[{{job_name: geophone, static_configs: [{{targets: ['{target}']}}]}}]");
        fs::write(&config, format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: {job}\n")).expect("written");
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Some(Self::start(command, folder, port, "/-/ready").await)
    }

    /// Starts a server and waits until `health` answers 200.
    async fn start(mut command: Command, folder: TempDir, port: u16, health: &str) -> Self {
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let errors = log.try_clone().expect("a second handle");
        let child = command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let mut server = Self { address: format!("127.0.0.1:{port}"), child: child.expect("starts"), folder };
        eventually("a server's health", async || {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(server.child.try_wait().expect("our own child").is_none(), "the server ended:\n{}", log());
            http::get(&server.address, health).await.filter(|reply| reply.status == 200)
        })
        .await;
        server
    }
}
