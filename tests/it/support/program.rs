//! `geophone` as a process: run to its end, or as a daemon that is watched through its log and its page.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::http;
use super::wait::{DEADLINE, eventually};

/// The program with an environment of its own: nothing of the user's profile, log level or region reaches it.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geophone"));
    command.env_clear().env("GEOPHONE_EMULATOR", "1").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the program.
pub fn spawn(args: &[&str]) -> Child {
    command().args(args).spawn().expect("the program starts")
}

/// Starts the program with a standard error that takes nothing, as a file on a full disk does.
pub fn spawn_unheard(args: &[&str]) -> Child {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux");
    command().args(args).stderr(full).spawn().expect("the program starts")
}

/// Sends a signal, by its name, to a child that was not waited for.
pub fn signal(child: &Child, signal: &str) {
    // The standard library only knows SIGKILL. The child is not waited for yet, so its id is still its own.
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill(1)");
    assert!(status.success());
}

/// What a run to the end left.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Done {
    /// Fails with everything that was printed, unless the program exited with `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless standard error has each of these.
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in:\n{}", self.stderr);
        }
        self
    }
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Done {
    run_with_input(args, &[])
}

/// [`run`], with something on standard input.
pub fn run_with_input<S: AsRef<OsStr>>(args: &[S], input: &[u8]) -> Done {
    let started = Instant::now();
    let mut child = command().args(args).stdin(Stdio::piped()).spawn().expect("the program starts");
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    // A program that ends without reading its input is its own affair.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break status,
            None if started.elapsed() > DEADLINE * 2 => {
                child.kill().expect("our own child");
                panic!("still running after {:?}", started.elapsed());
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let text = |reader: JoinHandle<String>| reader.join().expect("readable");
    Done { code: status.code().expect("no signal"), stdout: text(stdout), stderr: text(stderr), took: started.elapsed() }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut stream = stream.expect("piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("readable");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A running `geophone run`. Killed when dropped.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// Address of page, metrics and health.
    pub page: String,
}

impl Daemon {
    /// Starts the daemon and waits until its page is there.
    pub async fn start(config: &Path) -> Self {
        Self::start_with(config, &[]).await
    }

    /// [`Daemon::start`], with more in its environment.
    pub async fn start_with(config: &Path, environment: &[(&str, &OsStr)]) -> Self {
        let mut daemon = Self::spawn(config, environment);
        daemon.page = eventually("the daemon's page", async || {
            assert!(daemon.child.try_wait().expect("our own child").is_none(), "the daemon ended:\n{}", daemon.log());
            daemon.listening()
        })
        .await;
        daemon
    }

    fn spawn(config: &Path, environment: &[(&str, &OsStr)]) -> Self {
        let mut command = command();
        command.args([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, into) = (child.stderr.take().expect("piped"), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = into.lock().expect("no panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reader: Some(reader), page: String::new() }
    }

    fn listening(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("geophone is listening"))?;
        let line: serde_json::Value = serde_json::from_str(line).expect("log lines are JSON where standard error is no terminal");
        Some(line["page"].as_str().expect("an address").to_owned())
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panics").clone()
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> String {
        let reply = http::get(&self.page, "/metrics").await.unwrap_or_else(|| panic!("no metrics; the log is\n{}", self.log()));
        assert_eq!(reply.status, 200);
        reply.body
    }

    /// The sum of a metric's series whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let metrics = self.metrics().await;
        let series = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.filter(|line| line.contains(label)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a counter or gauge is at least `least`.
    pub async fn until(&self, name: &str, label: &str, least: f64) {
        eventually(&format!("{name}{{{label}}} of {least}"), async || (self.metric(name, label).await >= least).then_some(())).await;
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP.
    pub fn ask_to_reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// SIGTERM, and how it ended: status, how long it took, everything that was logged.
    pub async fn stop(mut self) -> (ExitStatus, Duration, String) {
        let started = Instant::now();
        self.ask_to_stop();
        let status = eventually("the daemon's end", async || self.child.try_wait().expect("our own child")).await;
        let took = started.elapsed();
        self.reader.take().expect("joined once").join().expect("readable");
        (status, took, self.log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
