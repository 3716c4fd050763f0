//! The right to move one lease's checkpoint.

use std::sync::Arc;

use tokio::sync::watch;

use super::lease::{Change, LeaseRow};
use super::table::{LeaseTable, TableError};
use super::tenure::{Holdings, Tenure};
use crate::checkpoint::Checkpoint;

/// One tenure of a lease. Clones share it.
///
/// When the lease is lost the token is over for good: if the same worker regains the lease, it gets
/// a new token, and the old one is refused. Whoever still processes under it cannot mix its
/// positions with the new one's.
#[derive(Debug)]
pub struct LeaseToken<T> {
    holdings: Arc<Holdings<T>>,
    tenure: Arc<Tenure>,
    /// Never looked at: the worker sees when the last one is gone.
    alive: Arc<()>,
}

impl<T> Clone for LeaseToken<T> {
    fn clone(&self) -> Self {
        Self { holdings: self.holdings.clone(), tenure: self.tenure.clone(), alive: self.alive.clone() }
    }
}

/// How a tenure stands.
///
/// ```text
///   Held ──▶ Asked ──▶ Over
///     └────────────────▲
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// Read on.
    Held,
    /// Another worker wants the lease, or this one stops: finish what was read, checkpoint,
    /// [`release`](LeaseToken::release). Checkpoints are taken until then, or until it takes too
    /// long ([`PlanSettings::handover_timeout`](super::PlanSettings)).
    Asked,
    /// Nothing under this token has an effect any more.
    Over(LostReason),
}

/// Why a tenure is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReason {
    /// Another worker took the lease.
    Taken,
    /// It was not renewed in time, so that another may have taken it.
    Expired,
    /// Somebody deleted the row.
    Deleted,
    /// Its holder let go.
    Released,
    /// Its shard was read to the end.
    Finished,
    /// The worker stopped before its holder let go.
    Stopped,
    /// Its last token was dropped without a release.
    Abandoned,
}

impl LostReason {
    /// A stable name in kebab case, for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Released => "released",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why a checkpoint did not move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The tenure is over: stop processing, the next owner begins at the last checkpoint.
    #[error("lease {lease} is no longer held ({})", why.as_str())]
    Lost {
        /// The lease.
        lease: Arc<str>,
        /// Why.
        why: LostReason,
    },
    /// The shard's end was written; nothing comes after it.
    #[error("lease {lease} is at SHARD_END and stays there")]
    Finished {
        /// The lease.
        lease: Arc<str>,
    },
    /// The table did not answer. The checkpoint may have moved or not; to write it again, or a
    /// later one, is right either way.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl<T: LeaseTable> LeaseToken<T> {
    pub(super) fn new(holdings: Arc<Holdings<T>>, tenure: Arc<Tenure>, alive: Arc<()>) -> Self {
        Self { holdings, tenure, alive }
    }

    /// The lease's key: the shard's id.
    pub fn key(&self) -> &Arc<str> {
        &self.tenure.key
    }

    /// Where reading begins: the checkpoint as it was when the lease was taken.
    pub fn opening(&self) -> &Checkpoint {
        &self.tenure.opening
    }

    /// The row as it was when the lease was taken, with the reference to what belongs to its
    /// checkpoint.
    pub fn taken(&self) -> &LeaseRow {
        &self.tenure.taken
    }

    /// The rows of the shard's parents, as far as they are kept: a lease without progress of its own
    /// goes on from what belongs to their ends.
    pub fn parents(&self) -> &[LeaseRow] {
        &self.tenure.parents
    }

    /// Whether the lease is held for sure at this moment. By the time the answer is used it may be
    /// otherwise; what has to be exact goes through [`checkpoint`](Self::checkpoint).
    pub fn is_valid(&self) -> bool {
        self.tenure.is_valid(self.holdings.now())
    }

    /// How the tenure stands. A renewal that is overdue is noticed by [`is_valid`](Self::is_valid)
    /// at once and here at the next renewal.
    pub fn state(&self) -> TokenState {
        self.tenure.state()
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<TokenState> {
        self.tenure.watch()
    }

    /// Moves the checkpoint, and with it the reference to what belongs to it, in one conditional
    /// write. The write renews the lease as well.
    ///
    /// [`Checkpoint::ShardEnd`] ends the tenure: the lease's children can be taken.
    ///
    /// # Errors
    /// [`CheckpointError::Lost`] if the lease is not held any more; nothing was written.
    pub async fn checkpoint(&self, to: Checkpoint, snapshot_ref: Option<Arc<str>>) -> Result<(), CheckpointError> {
        self.holdings.write(&self.tenure, Change::Checkpoint { to, snapshot_ref }).await
    }

    /// Lets go, so that another worker can go on at once.
    ///
    /// # Errors
    /// As for [`checkpoint`](Self::checkpoint). If it cannot be written the lease expires.
    pub async fn release(&self) -> Result<(), CheckpointError> {
        self.holdings.write(&self.tenure, Change::Release).await
    }
}
