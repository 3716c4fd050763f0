//! What the service manager is told: that the daemon reads, that it lives, that it stops.
//!
//! systemd's protocol is a text in a datagram to the socket that `NOTIFY_SOCKET` names (sd_notify(3)). It is spoken here by
//! hand: the sender is the loop that owns the engine, so a send must never wait for a manager that does not read, which
//! the crates at hand do.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Pause between two signs of life where the manager wants them less often, or not at all: the status stays fresh.
const BEAT_EVERY_MAX: Duration = Duration::from_secs(1);
/// Signs of life within the manager's patience: all but one may be lost.
const BEATS_WITHIN_PATIENCE: u32 = 4;
/// As long as it is not ready, each sign of life asks for so much more time.
const EXTENSION: Duration = Duration::from_secs(60);
/// Longest status: one line of `systemctl status`.
const STATUS_CHARS_MAX: usize = 200;

/// The service manager; nobody where none started this process.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    beat_every: Duration,
    is_ready: bool,
}

impl Supervisor {
    /// The manager that the environment names. A socket that is not there is told in the log, and then nobody listens.
    pub fn from_environment() -> Self {
        let patience = std::env::var_os("WATCHDOG_USEC").and_then(|text| text.to_str()?.parse().ok()).map(Duration::from_micros);
        Self::new(std::env::var_os("NOTIFY_SOCKET").as_deref(), patience)
    }

    /// The manager behind `address`, which restarts this process after `patience` without a sign of life.
    fn new(address: Option<&OsStr>, patience: Option<Duration>) -> Self {
        let socket = address.and_then(|address| {
            let socket = connect(address);
            let told = |error| tracing::warn!(%error, ?address, "the service manager cannot be told that geophone lives; unset NOTIFY_SOCKET where there is none");
            socket.map_err(told).ok()
        });
        // A patience of nothing would be a beat without a pause.
        let often = patience.map_or(BEAT_EVERY_MAX, |patience| patience / BEATS_WITHIN_PATIENCE);
        Self { socket, beat_every: often.clamp(Duration::from_millis(10), BEAT_EVERY_MAX), is_ready: false }
    }

    /// Whether there is a manager.
    pub fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// How often [`Supervisor::beat`] is to be called.
    pub fn beat_every(&self) -> Duration {
        self.beat_every
    }

    /// A sign of life of a daemon that does what `status` says. The first with `is_ready` ends the manager's start.
    pub fn beat(&mut self, is_ready: bool, status: &str) {
        let status: String = status.chars().filter(|c| !c.is_control()).take(STATUS_CHARS_MAX).collect();
        let news = match (self.is_ready, is_ready) {
            (false, true) => "READY=1\nWATCHDOG=1".to_owned(),
            // A stream that is not made yet is waited for: no reason to give the start up.
            (false, false) => format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()),
            (true, _) => "WATCHDOG=1".to_owned(),
        };
        self.is_ready |= is_ready;
        self.send(&format!("{news}\nSTATUS={status}"));
    }

    /// The daemon delivers what is decided, and ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=delivering what is decided");
    }

    /// What the manager does not take at once is lost: the next beat says it again.
    fn send(&self, text: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(text.as_bytes())) {
            tracing::debug!(%error, "the service manager did not listen");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1_024];
        let length = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    }

    #[test]
    fn the_manager_hears_waiting_ready_once_life_and_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let mut supervisor = Supervisor::new(Some(path.as_os_str()), Some(Duration::from_secs(2)));
        assert_eq!(supervisor.beat_every(), Duration::from_millis(500));
        supervisor.beat(false, "waiting");
        assert_eq!(heard(&manager), "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waiting");
        supervisor.beat(true, "reading\nREADY=0");
        assert_eq!(heard(&manager), "READY=1\nWATCHDOG=1\nSTATUS=readingREADY=0");
        supervisor.beat(true, "reading");
        assert_eq!(heard(&manager), "WATCHDOG=1\nSTATUS=reading");
        supervisor.stopping();
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=delivering what is decided");
    }

    #[test]
    fn an_abstract_socket_is_one_too() {
        let name = format!("geophone-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("bound");
        Supervisor::new(Some(OsStr::new(&format!("@{name}"))), None).beat(true, "reading");
        assert!(heard(&manager).starts_with("READY=1\n"));
    }

    #[test]
    fn a_manager_that_does_not_read_or_is_not_there_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bound");
        for address in [Some(path.as_os_str()), Some(OsStr::new("/nowhere/notify")), None] {
            let mut supervisor = Supervisor::new(address, None);
            assert_eq!(supervisor.beat_every(), BEAT_EVERY_MAX);
            // More than any queue of datagrams takes: a sender that waited would never come to the end.
            (0..5_000).for_each(|_| supervisor.beat(true, "reading"));
        }
    }
}
