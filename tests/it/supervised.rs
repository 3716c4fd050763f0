//! `geophone run` under a service manager, played by this process: a real socket, and a loop that is made to hang.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::http;
use crate::support::kinesis::Kinesis;
use crate::support::program::{Daemon, run};
use crate::support::sns::Sns;
use crate::support::stage::{STREAM, Stage, are_paged, refusals};
use crate::support::wait::{DEADLINE, eventually};

/// What the manager allows between two signs of life.
const PATIENCE: Duration = Duration::from_secs(2);

struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        Self(socket)
    }

    /// The next message, within the deadline.
    async fn next(&self) -> String {
        eventually("a message to the manager", async || self.heard()).await
    }

    fn heard(&self) -> Option<String> {
        let mut bytes = [0; 1_024];
        let length = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).expect("text"))
    }

    /// Messages until one contains `word`; that one is the last.
    async fn until(&self, word: &str) -> Vec<String> {
        let (mut all, end) = (Vec::new(), Instant::now() + DEADLINE);
        while !all.last().is_some_and(|last: &String| last.contains(word)) {
            assert!(Instant::now() < end, "no {word} in {all:#?}");
            all.push(self.next().await);
        }
        all
    }
}

async fn supervised(stage: &Stage, socket: &Path) -> Daemon {
    let patience = PATIENCE.as_micros().to_string();
    Daemon::start_with(&stage.config(), &[("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", OsStr::new(&patience))]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_hears_ready_only_when_a_shard_is_read_then_life_and_the_end() {
    // The stream is not made yet: the daemon serves its page and waits.
    let stage = Stage::with(Kinesis::start().await, Sns::start());
    let socket = stage.state().with_extension("notify");
    let manager = Manager::listen(&socket);
    let daemon = supervised(&stage, &socket).await;
    let waiting = [manager.next().await, manager.next().await];
    assert!(waiting.iter().all(|said| said.starts_with("EXTEND_TIMEOUT_USEC=") && said.contains("STATUS=waiting")), "{waiting:#?}");
    let url = format!("http://{}", daemon.page);
    run(&["health", "--url", &url]).expect(69).says(&["503", "not reading yet"]);

    stage.kinesis.create(STREAM, 1).await;
    let starting = manager.until("READY=1").await;
    assert!(starting.last().expect("one").contains("events/s"), "{starting:#?}");
    // That the stream was missing is told for a minute more.
    let said = run(&["health", "--url", &url]).expect(0).stdout;
    assert!(said.starts_with("ok"), "{said}");
    for _ in 0..5 {
        let (before, said) = (Instant::now(), manager.next().await);
        assert!(said.starts_with("WATCHDOG=1\nSTATUS=") && before.elapsed() < PATIENCE, "{said} after {:?}", before.elapsed());
    }

    daemon.ask_to_stop();
    let ending = manager.until("STOPPING=1").await;
    assert!(!ending.iter().any(|said| said.contains("READY=1")), "ready is said once: {ending:#?}");
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{status}\n{log}");
    run(&["health", "--url", &url]).expect(69).says(&["is `geophone run` listening there"]);
}

/// Page and readers have tasks of their own and go on; only the loop that owns the engine hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_hangs_gives_no_sign_of_life_though_its_page_answers() {
    let stage = Stage::new(1).await;
    stage.write("people.csv", "person,user_pool_sub\nkim,1\n");
    stage.configure("[identity]\ndirectory = \"people.csv\"\n");
    let socket = stage.state().with_extension("notify");
    let manager = Manager::listen(&socket);
    let daemon = supervised(&stage, &socket).await;
    manager.until("READY=1").await;

    // Whoever opens a pipe to read waits for a writer: the directory hangs as on a file system that does not answer.
    let (people, pipe) = (stage.config().with_file_name("people.csv"), stage.config().with_file_name("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo(1)").success());
    fs::rename(pipe, people).expect("renamed");

    let end = Instant::now() + DEADLINE;
    let mut last = Instant::now();
    while last.elapsed() < PATIENCE * 2 {
        assert!(Instant::now() < end, "signs of life go on");
        if manager.heard().is_some() {
            last = Instant::now();
        }
    }
    let alive = http::get(&daemon.page, "/livez").await.expect("the page is a task of its own");
    assert_eq!(alive.status, 200, "{}", daemon.log());
    daemon.kill();
}

/// A disk that does not answer while a snapshot is written: detection and paging go on, positions stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_hangs_keeps_no_page_waiting() {
    let stage = Stage::new(1).await;
    // Whoever opens a pipe to write waits for a reader.
    fs::create_dir_all(stage.state()).expect("made");
    let pipes = (1..4).map(|number| stage.state().join(format!("snapshot-{number}.tmp")));
    assert!(Command::new("mkfifo").args(pipes).status().expect("mkfifo(1)").success());
    let daemon = stage.daemon().await;
    let keys: Vec<String> = (0..3).map(|number| format!("ASIA{number:016}")).collect();
    for (number, key) in keys.iter().enumerate() {
        stage.put(&refusals(std::slice::from_ref(key), 0..4)).await;
        eventually("a page", async || are_paged(&stage.sns.received(), &keys[..=number]).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!stage.state().join("manifest.json").exists(), "nothing was committed");
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_of_nobody_is_69_and_a_wrong_address_64() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    run(&["health", "--url", &format!("http://{closed}/")]).expect(69).says(&["/readyz", "listening there"]);
    run(&["health", "--url", "https://127.0.0.1:9464"]).expect(64).says(&["--certificate"]);
    run(&["health", "--url", "ftp://127.0.0.1:9464"]).expect(64).says(&["write http://HOST:PORT"]);
    run(&["health", "--url", "no address"]).expect(64);
}
