//! Where leases are kept: [`LeaseTable`], and [`perform`], which writes and finds out what became
//! of it.

pub mod dynamo;
mod folder;
mod memory;

use std::sync::Arc;
use std::time::Duration;

pub use dynamo::DynamoTable;
pub use folder::FolderTable;
pub use memory::MemoryTable;

use super::lease::{LeaseRow, Settled, Write};
use crate::store::StoreError;
use crate::trouble::{Fault, TroubleKind};

/// Keeps the leases of one stream.
///
/// [`DynamoTable`] is shared by processes, [`FolderTable`] serves one machine, [`MemoryTable`]
/// tests. Reads see every write that was answered before they began.
pub trait LeaseTable: Send + Sync + 'static {
    /// Makes the table if it is not there, and waits until it can be used.
    ///
    /// # Errors
    /// It can be neither found nor made.
    fn prepare(&self) -> impl Future<Output = Result<(), TableError>> + Send;

    /// All leases, however many pages that takes. Rows that are none are listed beside them.
    ///
    /// # Errors
    /// A page could not be had. Half a table is never given.
    fn scan(&self) -> impl Future<Output = Result<Scan, TableError>> + Send;

    /// One lease.
    ///
    /// # Errors
    /// It could not be read, or is none.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<LeaseRow>, TableError>> + Send;

    /// Creates a lease if there is none of its key; says whether it did.
    ///
    /// # Errors
    /// It is not known whether it was created. To create it again is harmless.
    fn create(&self, row: &LeaseRow) -> impl Future<Output = Result<bool, TableError>> + Send;

    /// Makes a write if its fence holds; `false` if it does not, which may also be because an
    /// earlier attempt of the client's own took effect and its reply was lost. [`perform`] finds
    /// out.
    ///
    /// # Errors
    /// It is not known whether it took effect.
    fn write(&self, write: &Write) -> impl Future<Output = Result<bool, TableError>> + Send;

    /// Says which shards a lease's shard was split or merged into, if the lease is there. Touches
    /// nothing else, the counter neither, as in KCL.
    ///
    /// # Errors
    /// It is not known whether it took effect. To say it again is harmless.
    fn adopt(&self, key: &str, children: &[Arc<str>]) -> impl Future<Output = Result<(), TableError>> + Send;

    /// Deletes a lease that is still as `row` says and at its end. One that has moved stays.
    ///
    /// # Errors
    /// It is not known whether it took effect. To delete it again is harmless.
    fn delete(&self, row: &LeaseRow) -> impl Future<Output = Result<(), TableError>> + Send;
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The leases.
    pub rows: Vec<LeaseRow>,
    /// Rows that cannot be understood. Nothing is ever written to them.
    pub bad: Vec<BadRow>,
}

/// A row that is no lease. It is shown, not guessed at: a lease with a mangled checkpoint would skip
/// or repeat records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row {key:?} is no lease: {why}. Correct or delete it")]
pub struct BadRow {
    /// Its key, as far as it has one.
    pub key: String,
    /// What does not fit.
    pub why: String,
}

/// Why a table could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A call failed, or nobody knows whether it did.
    #[error("{kind}: {message}")]
    Call {
        /// What it means.
        kind: TroubleKind,
        /// The service's words; no credential is in them.
        message: String,
    },
    /// The row that was asked for is no lease.
    #[error(transparent)]
    Bad(#[from] BadRow),
    /// The folder could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Fault> for TableError {
    fn from(fault: Fault) -> Self {
        Self::Call { kind: fault.kind, message: fault.message }
    }
}

impl TableError {
    /// What it means, for counting.
    pub fn kind(&self) -> TroubleKind {
        match self {
            Self::Call { kind, .. } => *kind,
            Self::Bad(_) => TroubleKind::BadReply,
            Self::Store(_) => TroubleKind::ServiceFailed,
        }
    }
}

/// Makes a write and finds out what became of it.
///
/// A refusal may be due to the client's own retry of a request whose reply was lost, and an error
/// may hide that the write took effect. So after either the row is read again (KCL does that for
/// renewals only) and [`Write::settle`] judges. Neither call may take longer than `timeout`.
///
/// # Errors
/// The write's own, if the row cannot be read after it either. It is then not known whether the
/// write took effect.
pub async fn perform<T: LeaseTable>(table: &T, write: &Write, before: &LeaseRow, timeout: Duration) -> Result<Settled, TableError> {
    let refusal = match in_time(timeout, table.write(write)).await {
        Ok(true) => match write.applied_to(before) {
            Some(row) => return Ok(Settled::Applied(row)),
            None => None,
        },
        Ok(false) => None,
        Err(error) => Some(error),
    };
    match in_time(timeout, table.read(&write.key)).await {
        Ok(row) => Ok(write.settle(row)),
        Err(error) => Err(refusal.unwrap_or(error)),
    }
}

/// The limit holds whatever time-outs a table has of its own.
pub(super) async fn in_time<V>(timeout: Duration, call: impl Future<Output = Result<V, TableError>>) -> Result<V, TableError> {
    tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
        let message = format!("no answer within {timeout:?}");
        Err(TableError::Call { kind: TroubleKind::TimedOut, message })
    })
}
