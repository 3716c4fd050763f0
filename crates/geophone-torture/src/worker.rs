//! The worker process: the real program, started, watched, ended in every way.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::http;

/// How long a start may take, and an end.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(25);
/// The program ends so where a service does not answer at the start; whoever started it starts it again.
const UNAVAILABLE: i32 = 69;
/// Number of SIGABRT: how a failpoint ends the program.
const SIGABRT: i32 = 6;

/// How to start workers.
#[derive(Clone, Debug)]
pub struct Worker {
    pub program: PathBuf,
    pub config: PathBuf,
    /// Where logs are written.
    pub folder: PathBuf,
    pub environment: Vec<(String, String)>,
    /// No file may grow beyond so many KiB: what a full disk does, without one.
    pub file_kib_max: Option<u32>,
}

/// A worker that listens.
pub struct Running {
    child: Child,
    /// `127.0.0.1:PORT` of its page.
    pub page: String,
    log: PathBuf,
    /// From its start to its listening.
    pub took: Duration,
    /// Largest resident memory so far, in KiB.
    pub memory_kib: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts the program and waits until it listens. It is started again where a service did not answer.
    ///
    /// # Errors
    /// It ended before it listened, with what it said.
    pub async fn start(&self, number: usize, points: Option<&str>) -> Result<Running, (ExitStatus, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.start_once(number, points).await {
                Err((status, _)) if status.code() == Some(UNAVAILABLE) && Instant::now() < end => {}
                other => return other,
            }
        }
    }

    async fn start_once(&self, number: usize, points: Option<&str>) -> Result<Running, (ExitStatus, String)> {
        let log = self.folder.join(format!("worker-{number}.log"));
        let mut command = match self.file_kib_max {
            None => Command::new(&self.program),
            Some(kib) => {
                // The signal is ignored, so that writing fails as it does where there is no room. `ulimit -f` counts 512 bytes.
                let mut command = Command::new("sh");
                command.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2)]).arg(&self.program);
                command
            }
        };
        command.args(["run", "--config"]).arg(&self.config);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GEOPHONE_EMULATOR", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RUST_BACKTRACE", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(points) = points {
            command.env("GEOPHONE_FAILPOINTS", points);
        }
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        keep_log(child.stderr.take().expect("piped"), &log);
        let mut running = Running { child, page: String::new(), log, took: Duration::ZERO, memory_kib: 0 };
        loop {
            let log = running.log();
            if let Some(page) = listening(&log) {
                (running.page, running.took) = (page, started.elapsed());
                return Ok(running);
            }
            if let Some(status) = running.ended() {
                return Err((status, running.log()));
            }
            assert!(started.elapsed() < PATIENCE, "the program does not listen:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Copies what the program says into a file: its own limit of a file must not stop it from being heard.
fn keep_log(mut said: ChildStderr, log: &Path) {
    let mut file = File::create(log).expect("a log");
    std::thread::spawn(move || io::copy(&mut said, &mut file));
}

/// The page's address in the line that says that it listens.
fn listening(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("geophone is listening"))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["page"].as_str().map(str::to_owned)
}

/// Whether a failpoint ended the program.
pub fn is_aborted(status: ExitStatus) -> bool {
    status.signal() == Some(SIGABRT)
}

impl Running {
    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Looks at its memory.
    pub fn look(&mut self) {
        let status = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        self.memory_kib = self.memory_kib.max(peak.unwrap_or(0));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.look();
        // It may have ended by itself a moment ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; `None` where it goes on.
    pub async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.look();
            if let Some(status) = self.ended() {
                return Some(status);
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// Whether it stopped itself, at a point.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, signal: &str) {
        // The standard library knows SIGKILL only. The child is not waited for yet, so its id is still its own.
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill(1)");
        assert!(status.success(), "kill {signal}");
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        self.look();
        self.signal("-TERM");
        self.wait(PATIENCE).await
    }

    /// The sum of a metric's series whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let metrics = http::get(&self.page, "/metrics").await?;
        let series = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Some(series.filter(|line| line.contains(label)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The open alerts.
    pub async fn alerts(&self) -> Option<Vec<serde_json::Value>> {
        let text = http::get(&self.page, "/api/v1/alerts").await?;
        text.lines().map(|line| serde_json::from_str(line).ok()).collect()
    }
}
