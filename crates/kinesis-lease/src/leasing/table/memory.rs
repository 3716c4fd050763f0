//! Leases in memory: for tests, and the working copy of the folder table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LeaseTable, Scan, TableError};
use crate::leasing::lease::{LeaseRow, Write};

/// Keeps leases for as long as it lives. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTable {
    /// By key. Locked for one operation at a time, never across an await.
    rows: Arc<Mutex<BTreeMap<Arc<str>, LeaseRow>>>,
}

impl MemoryTable {
    /// A table with these leases.
    pub fn with(rows: impl IntoIterator<Item = LeaseRow>) -> Self {
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        Self { rows: Arc::new(Mutex::new(rows)) }
    }

    /// All leases, in the order of their keys.
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.locked().values().cloned().collect()
    }

    /// Every operation leaves the map whole, so a panic elsewhere does not spoil it.
    pub(super) fn locked(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, LeaseRow>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations on a plain map: what the folder's table does, too.
pub(super) mod apply {
    use super::*;

    type Rows = BTreeMap<Arc<str>, LeaseRow>;

    pub(in super::super) fn create(rows: &mut Rows, row: &LeaseRow) -> bool {
        let is_absent = !rows.contains_key(&row.key);
        if is_absent {
            rows.insert(row.key.clone(), row.clone());
        }
        is_absent
    }

    pub(in super::super) fn write(rows: &mut Rows, write: &Write) -> bool {
        let after = rows.get(&write.key).and_then(|row| write.applied_to(row));
        let holds = after.is_some();
        if let Some(after) = after {
            rows.insert(after.key.clone(), after);
        }
        holds
    }

    pub(in super::super) fn adopt(rows: &mut Rows, key: &str, children: &[Arc<str>]) {
        if let Some(row) = rows.get_mut(key) {
            row.children = children.to_vec();
        }
    }

    pub(in super::super) fn delete(rows: &mut Rows, row: &LeaseRow) {
        if rows.get(&row.key).is_some_and(|now| now.is_finished() && now.fence() == row.fence()) {
            rows.remove(&row.key);
        }
    }
}

impl LeaseTable for MemoryTable {
    async fn prepare(&self) -> Result<(), TableError> {
        Ok(())
    }

    async fn scan(&self) -> Result<Scan, TableError> {
        Ok(Scan { rows: self.rows(), bad: Vec::new() })
    }

    async fn read(&self, key: &str) -> Result<Option<LeaseRow>, TableError> {
        Ok(self.locked().get(key).cloned())
    }

    async fn create(&self, row: &LeaseRow) -> Result<bool, TableError> {
        Ok(apply::create(&mut self.locked(), row))
    }

    async fn write(&self, write: &Write) -> Result<bool, TableError> {
        Ok(apply::write(&mut self.locked(), write))
    }

    async fn adopt(&self, key: &str, children: &[Arc<str>]) -> Result<(), TableError> {
        apply::adopt(&mut self.locked(), key, children);
        Ok(())
    }

    async fn delete(&self, row: &LeaseRow) -> Result<(), TableError> {
        apply::delete(&mut self.locked(), row);
        Ok(())
    }
}
