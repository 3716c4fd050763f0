//! Where the page listens, and whom it lets in: what the configuration says about it, read and kept up to date.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::control::Control;
use super::tls::{Tls, provider};
use super::users::{Remembered, Users};
use crate::clock::moment;
use crate::config::{Settings, http};
use crate::sources::Sources;
use crate::telemetry::Metrics;
use crate::telemetry::metric_name::MetricName;

/// How often it is looked whether certificate and users have changed; a change counts when two looks have seen it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Passwords that are looked at at a time: each costs a core for a good part of a second.
const VERIFYING_MAX: usize = 2;
/// How long a password may wait for that.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Where to listen, and whom to let in.
#[derive(Debug)]
pub struct Door {
    /// Address and port.
    pub(super) listen: String,
    /// Other machines can come: then the address itself is a name that nobody can bend.
    pub(super) is_open: bool,
    /// Whether page, API and metrics are shown only to who has a password or the token.
    pub(super) asks: bool,
    pub(super) tls: Option<Arc<Tls>>,
    users: Option<Arc<UsersFile>>,
    attempts: Mutex<Attempts>,
    remembered: Mutex<Remembered>,
    verifying: Semaphore,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Neither password nor token.
    NoCredentials,
    /// A wrong one.
    WrongCredentials,
    /// Too many wrong ones, or too many to look at: how long to wait.
    Limited(Duration),
}

impl Door {
    /// Reads what `settings` name.
    ///
    /// # Errors
    /// Every mistake in certificate, key and users, with its cure.
    pub fn open(settings: &Settings, sources: Option<&Sources>) -> Result<Self, Vec<String>> {
        let place = |file: &String| sources.map_or_else(|| file.into(), |sources| sources.place(file));
        let mut errors = Vec::new();
        let mut door = Self::plain(&settings.listen);
        if let Some((certificate, key)) = &settings.http.tls {
            door.tls = Tls::open(place(certificate), place(key)).map_err(|error| errors.push(error)).ok().map(Arc::new);
        }
        if let Some(file) = &settings.http.users_file {
            door.users = UsersFile::open(place(file)).map_err(|more| errors.extend(more)).ok().map(Arc::new);
        }
        door.is_open = http::is_open(&settings.listen);
        let is_guarded = door.is_open && settings.token_file.is_some() && !settings.http.insecure;
        door.asks = settings.http.users_file.is_some() || is_guarded;
        if errors.is_empty() { Ok(door) } else { Err(errors) }
    }

    /// Without TLS, and open to everybody who gets there.
    pub fn plain(listen: &str) -> Self {
        let mut key = [0; 32];
        // Where the system has no randomness, no TLS and no AWS call works either.
        let _ = provider().secure_random.fill(&mut key);
        Self {
            listen: listen.to_owned(),
            is_open: false,
            asks: false,
            tls: None,
            users: None,
            attempts: Mutex::default(),
            remembered: Mutex::new(Remembered::new(key)),
            verifying: Semaphore::new(VERIFYING_MAX),
        }
    }

    /// Whether whoever sends these headers from this address may look.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn admit(&self, headers: &HeaderMap, from: std::net::IpAddr, control: &Control) -> Result<(), Stopped> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Stopped::NoCredentials)?;
        let (scheme, value) = given.split_once(' ').ok_or(Stopped::NoCredentials)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            // A token has 128 bits and more: nobody guesses it.
            return if control.is_token(value) { Ok(()) } else { Err(Stopped::WrongCredentials) };
        }
        let users = self.users.as_ref().filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or(Stopped::NoCredentials)?;
        let decoded = base64_simd::STANDARD.decode_to_vec(value.trim()).unwrap_or_default();
        let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Stopped::WrongCredentials)?;
        let (name, password) = (String::from_utf8_lossy(&decoded[..colon]).into_owned(), decoded[colon + 1..].to_vec());
        let (hash, is_somebody) = users.current().hash_of(&name);
        let tag = lock(&self.remembered).tag(&name, &password, &hash);
        if lock(&self.remembered).knows(&tag, moment()) {
            return Ok(());
        }
        lock(&self.attempts).begin(from, moment()).map_err(Stopped::Limited)?;
        if !self.verify(password, hash).await? || !is_somebody {
            return Err(Stopped::WrongCredentials);
        }
        lock(&self.attempts).was_right(from);
        lock(&self.remembered).remember(tag, moment());
        Ok(())
    }

    /// Compares a password with a hash, when it is its turn.
    async fn verify(&self, password: Vec<u8>, hash: String) -> Result<bool, Stopped> {
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN_WITHIN, self.verifying.acquire()).await else {
            return Err(Stopped::Limited(TURN_WITHIN));
        };
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(&password, &hash).unwrap_or_default());
        Ok(compared.await.unwrap_or_default())
    }

    /// Looks at the files for ever, and uses what has changed.
    pub(super) async fn keep_up(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut tls = self.tls.as_deref().map(Look::new);
        let mut users = self.users.as_deref().map(Look::new);
        if tls.is_none() && users.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            tokio::task::block_in_place(|| {
                tls.iter_mut().for_each(|look| look.again(&metrics));
                users.iter_mut().for_each(|look| look.again(&metrics));
            });
        }
    }
}

/// Nobody panics while holding one of these.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is read again when its files change.
pub(super) trait Watched {
    /// Its name in metrics and log.
    const NAME: &'static str;

    /// Its files.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads it again. Where that fails, what was read before stays.
    fn read_again(&self) -> Result<(), Vec<String>>;
}

/// Users from a file.
#[derive(Debug)]
struct UsersFile {
    path: PathBuf,
    current: RwLock<Arc<Users>>,
}

impl UsersFile {
    fn open(path: PathBuf) -> Result<Self, Vec<String>> {
        let current = RwLock::new(Arc::new(read_users(&path)?));
        Ok(Self { path, current })
    }

    fn current(&self) -> Arc<Users> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watched for UsersFile {
    const NAME: &'static str = "users";

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn read_again(&self) -> Result<(), Vec<String>> {
        let fresh = Arc::new(read_users(&self.path)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn read_users(path: &Path) -> Result<Users, Vec<String>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| vec![format!("[http] users_file {}: {error}; make it readable", path.display())])?;
    Users::parse(&text).map_err(|errors| errors.into_iter().map(|error| format!("[http] users_file {}: {error}", path.display())).collect())
}

type Stamp = Vec<Option<(SystemTime, u64)>>;

/// The state of files at the looks before.
struct Look<'w, W> {
    watched: &'w W,
    used: Stamp,
    seen: Stamp,
    told: Vec<String>,
}

impl<'w, W: Watched> Look<'w, W> {
    fn new(watched: &'w W) -> Self {
        let now = stamp(watched);
        Self { watched, used: now.clone(), seen: now, told: Vec::new() }
    }

    /// Reads the files where they have changed and are quiet again; broken ones at each look, until they are whole: of two
    /// files one may be written long before the other.
    fn again(&mut self, metrics: &Metrics) {
        let now = stamp(self.watched);
        let is_quiet = now == self.seen;
        self.seen = now;
        if !is_quiet || self.seen == self.used {
            return;
        }
        match self.watched.read_again() {
            Ok(()) => {
                self.used.clone_from(&self.seen);
                self.told.clear();
                metrics.count(MetricName::Reloads, &[W::NAME, "used"], 1);
                tracing::info!(file = W::NAME, "a changed file is in use");
            }
            Err(errors) if errors != self.told => {
                metrics.count(MetricName::Reloads, &[W::NAME, "refused"], 1);
                errors.iter().for_each(|error| tracing::error!(file = W::NAME, error, "a changed file is broken; the one before it stays"));
                self.told = errors;
            }
            Err(_) => {}
        }
    }
}

fn stamp(watched: &impl Watched) -> Stamp {
    let of = |path: PathBuf| std::fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
    watched.files().into_iter().map(of).collect()
}
