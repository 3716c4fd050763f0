//! What a worker holds, and the writes to it: one at a time for each lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::counts::{AssignmentCounts, LeaseCounts, Tally, count};
use super::lease::{Change, LeaseRow, Settled, Write};
use super::plan;
use super::table::{LeaseTable, TableError, perform};
use super::token::{CheckpointError, LostReason, TokenState};
use super::view::{Moment, View};
use super::worker::WorkerSettings;
use crate::checkpoint::Checkpoint;
use crate::trouble::TroubleKind;

/// How often a write is made again from a row that turned out to be still the author's. Each time
/// somebody has written in between; twice is a hand-over that met a lost reply.
const ATTEMPTS_MAX: usize = 4;

/// One uninterrupted possession of a lease. A lease that was lost and regained is another tenure,
/// and whoever still has the old one is refused.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) key: Arc<str>,
    /// Where reading begins.
    pub(super) opening: Checkpoint,
    /// The row as it was when it was taken.
    pub(super) taken: LeaseRow,
    /// The parents' rows then, as far as they are kept. They are at their end, so they do not change.
    pub(super) parents: Vec<LeaseRow>,
    /// The row as last written or read. Locked for a whole write, so that renewal and checkpoint
    /// each know the counter that the other left.
    row: tokio::sync::Mutex<LeaseRow>,
    /// Shown to the token's holders; set by whoever learns of it first.
    state: watch::Sender<TokenState>,
    /// Whether a token is left. A lease that is renewed without anybody who could read it would be
    /// blindness that nobody notices.
    alive: Weak<()>,
    /// [`Moment`] in milliseconds: when others may take the lease for expired, at the earliest.
    valid_until_ms: AtomicU64,
}

impl Tenure {
    pub(super) fn state(&self) -> TokenState {
        *self.state.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<TokenState> {
        self.state.subscribe()
    }

    /// Whether the lease is held for sure at `now`.
    pub(super) fn is_valid(&self, now: Moment) -> bool {
        let is_held = !matches!(self.state(), TokenState::Over(_));
        is_held && millis(now) < self.valid_until_ms.load(Ordering::Acquire)
    }

    fn extend(&self, until: Moment) {
        self.valid_until_ms.fetch_max(millis(until), Ordering::AcqRel);
    }

    /// Over, for good. `false` if it was already.
    fn end(&self, why: LostReason) -> bool {
        self.state.send_if_modified(|state| {
            let is_first = !matches!(state, TokenState::Over(_));
            if is_first {
                *state = TokenState::Over(why);
            }
            is_first
        })
    }

    pub(super) fn ask_for(&self) {
        self.state.send_if_modified(|state| {
            let is_first = *state == TokenState::Held;
            if is_first {
                *state = TokenState::Asked;
            }
            is_first
        });
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_millis()).unwrap_or(u64::MAX)
}

/// Everything that the tasks of a worker and the tokens share.
#[derive(Debug)]
pub(super) struct Holdings<T> {
    pub(super) table: T,
    pub(super) me: Arc<str>,
    pub(super) settings: WorkerSettings,
    origin: Instant,
    /// By key; a tenure that is over is not in it. Locked for moments, never across an await.
    held: Mutex<BTreeMap<Arc<str>, Arc<Tenure>>>,
    /// What the taker has seen, and what renewals told since. Locked as above.
    view: Mutex<View>,
    pub(super) tally: Tally,
    /// Of the taker's last round.
    pub(super) last_round: Mutex<(AssignmentCounts, u64)>,
    /// There may be something to take.
    pub(super) hurry_taker: Notify,
    /// A shard has ended: its children are to be found.
    pub(super) hurry_discovery: Notify,
}

impl<T: LeaseTable> Holdings<T> {
    pub(super) fn new(table: T, settings: WorkerSettings) -> Self {
        Self {
            table,
            me: settings.name.clone(),
            settings,
            origin: Instant::now(),
            held: Mutex::default(),
            view: Mutex::default(),
            tally: Tally::default(),
            last_round: Mutex::default(),
            hurry_taker: Notify::new(),
            hurry_discovery: Notify::new(),
        }
    }

    /// The worker's own monotonic clock.
    pub(super) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Tenure>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tenures(&self) -> Vec<Arc<Tenure>> {
        self.held().values().cloned().collect()
    }

    pub(super) fn held_keys(&self) -> BTreeSet<Arc<str>> {
        self.held().keys().cloned().collect()
    }

    pub(super) fn counts(&self) -> LeaseCounts {
        let (assignment, bad_rows) = *self.last_round.lock().unwrap_or_else(PoisonError::into_inner);
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LeaseCounts {
            assignment,
            current_leases: self.held().len() as u64,
            taken_leases: total(&self.tally.taken),
            untaken_leases: total(&self.tally.untaken),
            lost_leases: total(&self.tally.lost),
            bad_rows,
        }
    }

    /// No call on a single row may take longer: two of them, write and reading it again, must fit
    /// between two renewals and the end of the lease.
    pub(super) fn call_timeout(&self) -> Duration {
        self.settings.call_timeout.min(self.settings.plan.failover / 3)
    }

    /// A lease was taken by a write that was sent at `sent`. The second part is for the tokens to
    /// hold. `None` if the lease is in hand already.
    pub(super) fn gain(&self, row: LeaseRow, sent: Moment) -> Option<(Arc<Tenure>, Arc<()>)> {
        let (opening, parents) = {
            let view = self.view();
            let parents = row.parents.iter().filter_map(|parent| view.get(parent));
            (plan::opening(&row, &view), parents.map(|seen| seen.row.clone()).collect())
        };
        let mut held = self.held();
        if held.contains_key(&row.key) {
            return None;
        }
        let alive = Arc::new(());
        let tenure = Arc::new(Tenure {
            alive: Arc::downgrade(&alive),
            key: row.key.clone(),
            opening,
            taken: row.clone(),
            parents,
            row: tokio::sync::Mutex::new(row),
            state: watch::channel(TokenState::Held).0,
            valid_until_ms: AtomicU64::default(),
        });
        tenure.extend(sent.plus(self.settings.plan.failover));
        held.insert(tenure.key.clone(), tenure.clone());
        count(&self.tally.taken);
        Some((tenure, alive))
    }

    /// The end of a tenure, however it came about.
    pub(super) fn end(&self, tenure: &Tenure, why: LostReason) {
        if !tenure.end(why) {
            return;
        }
        // Only this tenure can be there: another comes after this one is out of the map.
        self.held().remove(&tenure.key);
        if matches!(why, LostReason::Taken | LostReason::Expired | LostReason::Deleted | LostReason::Abandoned) {
            count(&self.tally.lost);
            tracing::warn!(lease = %tenure.key, why = why.as_str(), "lease lost");
        } else {
            tracing::info!(lease = %tenure.key, why = why.as_str(), "lease let go");
        }
        self.hurry_taker.notify_one();
    }

    /// Whether the tenure still holds; one that was not renewed in time ends here. The table may
    /// still name this worker, but another may be about to take the lease, and to go on would be to
    /// rely on its clock.
    fn check(&self, tenure: &Tenure) -> Result<(), CheckpointError> {
        if tenure.is_valid(self.now()) {
            return Ok(());
        }
        self.end(tenure, LostReason::Expired);
        let why = match tenure.state() {
            TokenState::Over(why) => why,
            TokenState::Held | TokenState::Asked => LostReason::Expired,
        };
        Err(CheckpointError::Lost { lease: tenure.key.clone(), why })
    }

    /// Makes a write to a held lease.
    pub(super) async fn write(&self, tenure: &Tenure, change: Change) -> Result<(), CheckpointError> {
        let mut row = tenure.row.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            self.check(tenure)?;
            if row.is_finished() {
                return Err(CheckpointError::Finished { lease: tenure.key.clone() });
            }
            let write = Write::new(&row, &self.me, change.clone());
            let sent = self.now();
            match perform(&self.table, &write, &row, self.call_timeout()).await? {
                Settled::Applied(after) => {
                    *row = after;
                    self.written(tenure, &row, &change, sent);
                    return Ok(());
                }
                Settled::StillMine(now) => {
                    *row = now;
                    self.notice_claim(tenure, &row);
                }
                // Let go already, or taken in the meantime: it comes to the same.
                Settled::Refused(_) if change == Change::Release => {
                    self.end(tenure, LostReason::Released);
                    return Ok(());
                }
                Settled::Refused(now) => {
                    let why = if now.is_some() { LostReason::Taken } else { LostReason::Deleted };
                    self.end(tenure, why);
                    return Err(CheckpointError::Lost { lease: tenure.key.clone(), why });
                }
            }
        }
        let message = format!("{ATTEMPTS_MAX} attempts to write met other writes");
        Err(TableError::Call { kind: TroubleKind::Throttled, message }.into())
    }

    fn written(&self, tenure: &Tenure, row: &LeaseRow, change: &Change, sent: Moment) {
        self.view().observe_one(row.clone(), self.now());
        match change {
            Change::Release => self.end(tenure, LostReason::Released),
            Change::Checkpoint { to: Checkpoint::ShardEnd, .. } => {
                self.end(tenure, LostReason::Finished);
                self.hurry_discovery.notify_one();
            }
            Change::Renew | Change::Checkpoint { .. } | Change::Take | Change::Claim => {
                tenure.extend(sent.plus(self.settings.plan.failover));
                self.notice_claim(tenure, row);
            }
        }
    }

    /// Another worker has asked for the lease: this one writes on until it lets go.
    fn notice_claim(&self, tenure: &Tenure, row: &LeaseRow) {
        if row.owner.as_ref() != Some(&self.me) {
            tenure.ask_for();
        }
    }

    /// Renews a lease, or lets it go if no token of it is left.
    pub(super) async fn renew(&self, tenure: &Tenure) -> Result<(), CheckpointError> {
        if tenure.alive.strong_count() == 0 && !matches!(tenure.state(), TokenState::Over(_)) {
            return Ok(self.evict(tenure, LostReason::Abandoned).await?);
        }
        self.write(tenure, Change::Renew).await
    }

    /// Ends a tenure that its holder did not give back, and frees the row. The token refuses from
    /// the first moment on, so nothing of it can reach the table afterwards.
    pub(super) async fn evict(&self, tenure: &Tenure, why: LostReason) -> Result<(), TableError> {
        self.end(tenure, why);
        let row = tenure.row.lock().await;
        let write = Write::new(&row, &self.me, Change::Release);
        perform(&self.table, &write, &row, self.call_timeout()).await.map(|_| ())
    }
}
