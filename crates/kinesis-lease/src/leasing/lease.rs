//! One lease as the table keeps it, and the conditional writes that change it. Pure.
//!
//! A row has one *writer* at a time: the worker that may renew it and move its checkpoint. That is
//! the owner, except while a lease is handed over; then it is the former owner, which finishes what
//! it has read:
//!
//! ```text
//!   leaseOwner   checkpointOwner   writer
//!   ──           ──                nobody: free to take
//!   A            ──                A
//!   B            A                 A, until it lets go: B has asked for the lease
//! ```
//!
//! Every write names the whole [`Fence`] that its author last saw and moves the counter by one. So
//! of two writes that start from the same row one is refused, and a writer that was replaced while
//! it slept finds its counter gone.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::plan::HashRange;

/// A lease, in the words of KCL 2's table. What other programs keep beside these attributes is
/// neither read nor touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// `leaseKey`: the shard's id. A table holds the leases of one stream.
    pub key: Arc<str>,
    /// `leaseOwner`: the worker that has the lease, or will have it after a hand-over.
    pub owner: Option<Arc<str>>,
    /// `leaseCounter`: one more with each write. An owner that lives moves it.
    pub counter: u64,
    /// `checkpoint` and `checkpointSubSequenceNumber`: where reading resumes.
    pub checkpoint: Checkpoint,
    /// `snapshotRef`, an attribute of this crate: whatever belongs to exactly this checkpoint, such
    /// as the name of a snapshot. Written together with it or not at all; never looked into.
    pub snapshot_ref: Option<Arc<str>>,
    /// `ownerSwitchesSinceCheckpoint`: how often the lease changed hands without progress.
    pub owner_switches: u64,
    /// `parentShardId`: at most two.
    pub parents: Vec<Arc<str>>,
    /// `childShardIds`, as far as they are known.
    pub children: Vec<Arc<str>>,
    /// `startingHashKey` and `endingHashKey`.
    pub hash_range: Option<HashRange>,
    /// `checkpointOwner`: who still writes while the lease is handed over (KCL 3's attribute).
    pub checkpoint_owner: Option<Arc<str>>,
}

impl LeaseRow {
    /// A lease that nobody has taken yet.
    pub fn new(key: impl Into<Arc<str>>, checkpoint: Checkpoint) -> Self {
        Self {
            key: key.into(),
            owner: None,
            counter: 0,
            checkpoint,
            snapshot_ref: None,
            owner_switches: 0,
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
            checkpoint_owner: None,
        }
    }

    /// Who may renew the lease and move its checkpoint.
    pub fn writer(&self) -> Option<&Arc<str>> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// Whether its shard was read to the end, and settled.
    pub fn is_finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// What a write against this row must find.
    pub fn fence(&self) -> Fence {
        Fence { counter: self.counter, owner: self.owner.clone(), checkpoint_owner: self.checkpoint_owner.clone() }
    }
}

/// The part of a row that a write depends on.
///
/// KCL compares the counter alone. Owner and checkpoint owner add nothing while every writer moves
/// the counter; they hold against a row that was deleted and made again, whose counter starts over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// `leaseCounter`.
    pub counter: u64,
    /// `leaseOwner`.
    pub owner: Option<Arc<str>>,
    /// `checkpointOwner`.
    pub checkpoint_owner: Option<Arc<str>>,
}

/// What a write does, besides moving the counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing: a sign of life.
    Renew,
    /// The author becomes owner and writer at once, whoever was.
    Take,
    /// The author becomes owner; the one before stays writer until it lets go. Needs an owner.
    Claim,
    /// The author lets go: of a lease that another has claimed, or altogether.
    Release,
    /// Moves the checkpoint and what belongs to it.
    Checkpoint {
        /// To here.
        to: Checkpoint,
        /// What belongs to it. `None` removes the one before, which belonged to another position.
        snapshot_ref: Option<Arc<str>>,
    },
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Of this lease.
    pub key: Arc<str>,
    /// By this worker.
    pub author: Arc<str>,
    /// If the row is still as its author saw it.
    pub fence: Fence,
    /// What it does.
    pub change: Change,
}

/// How many writes a writer may have missed and still be sure that nobody wrote in between: one of
/// its own whose reply was lost (two cannot both have met the same counter), and another worker's
/// claim. After more the lease has been somewhere else, even if it is back.
const UNSEEN_WRITES_MAX: u64 = 2;

/// What became of a write that was refused or not answered, judged by the row as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The write took effect; this is the row after it.
    Applied(LeaseRow),
    /// It did not, but its author is the row's writer: it may be made again from this row.
    StillMine(LeaseRow),
    /// It did not, and its author has no say. `None`: the row is gone.
    Refused(Option<LeaseRow>),
}

impl Write {
    /// A write by `author` against `row` as it was last seen.
    pub fn new(row: &LeaseRow, author: &Arc<str>, change: Change) -> Self {
        Self { key: row.key.clone(), author: author.clone(), fence: row.fence(), change }
    }

    /// The owner, and the checkpoint owner, after the write.
    pub fn owners_after(&self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let Fence { owner, checkpoint_owner, .. } = &self.fence;
        match self.change {
            Change::Renew | Change::Checkpoint { .. } => (owner.clone(), checkpoint_owner.clone()),
            Change::Take => (Some(self.author.clone()), None),
            Change::Claim => (Some(self.author.clone()), owner.clone()),
            Change::Release if checkpoint_owner.is_some() => (owner.clone(), None),
            Change::Release => (None, None),
        }
    }

    /// Whether another worker becomes the owner.
    pub fn switches_owner(&self) -> bool {
        let is_taken = matches!(self.change, Change::Take | Change::Claim);
        is_taken && self.fence.owner.as_ref().is_some_and(|owner| *owner != self.author)
    }

    /// The row after the write, or `None` if `row` is not as the fence says.
    pub fn applied_to(&self, row: &LeaseRow) -> Option<LeaseRow> {
        if row.fence() != self.fence {
            return None;
        }
        let (owner, checkpoint_owner) = self.owners_after();
        let mut after = LeaseRow { owner, checkpoint_owner, counter: row.counter.saturating_add(1), ..row.clone() };
        if self.switches_owner() {
            after.owner_switches = after.owner_switches.saturating_add(1);
        }
        if let Change::Checkpoint { to, snapshot_ref } = &self.change {
            after.checkpoint = to.clone();
            after.snapshot_ref = snapshot_ref.clone();
            after.owner_switches = 0;
        }
        Some(after)
    }

    /// Judges a write of which it is not known whether it took effect: its condition failed, perhaps
    /// only for a retry of a request whose reply was lost, or there was no reply at all. `now` is
    /// the row read *after* that, consistently.
    ///
    /// The write took effect if the row looks as it would have left it. Nobody else writes under
    /// the author's name, so the only row that looks like that without it was left by another write
    /// of the same author; and such a row serves the same purpose.
    pub fn settle(&self, now: Option<LeaseRow>) -> Settled {
        let Some(row) = now else { return Settled::Refused(None) };
        let (owner, checkpoint_owner) = self.owners_after();
        let expected = Fence { counter: self.fence.counter.saturating_add(1), owner, checkpoint_owner };
        let moved = match &self.change {
            Change::Checkpoint { to, snapshot_ref } => row.checkpoint == *to && row.snapshot_ref == *snapshot_ref,
            // Its own former tenure may have ended the shard meanwhile: nothing is left to take.
            Change::Take | Change::Claim => !row.is_finished(),
            Change::Renew | Change::Release => true,
        };
        if row.fence() == expected && moved {
            return Settled::Applied(row);
        }
        let unseen = row.counter.checked_sub(self.fence.counter);
        let is_continued = unseen.is_some_and(|writes| writes <= UNSEEN_WRITES_MAX);
        if is_continued && row.writer() == Some(&self.author) { Settled::StillMine(row) } else { Settled::Refused(Some(row)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn owned(by: &str) -> LeaseRow {
        LeaseRow { owner: Some(worker(by)), counter: 5, ..LeaseRow::new("s", Checkpoint::TrimHorizon) }
    }

    fn write(row: &LeaseRow, by: &str, change: Change) -> Write {
        Write::new(row, &worker(by), change)
    }

    fn after(row: &LeaseRow, by: &str, change: Change) -> LeaseRow {
        write(row, by, change).applied_to(row).unwrap()
    }

    fn checkpoint(number: &str, snapshot: &str) -> Change {
        Change::Checkpoint { to: Checkpoint::after(number), snapshot_ref: Some(worker(snapshot)) }
    }

    #[test]
    fn a_lease_goes_from_hand_to_hand() {
        let row = after(&owned("a"), "b", Change::Claim);
        assert_eq!((row.owner.as_deref(), row.writer().map(|name| &**name)), (Some("b"), Some("a")));
        assert_eq!((row.counter, row.owner_switches), (6, 1));
        let row = after(&row, "a", checkpoint("7", "x"));
        assert_eq!((row.owner_switches, row.snapshot_ref.as_deref()), (0, Some("x")));
        let row = after(&row, "a", Change::Release);
        assert_eq!((row.owner.as_deref(), row.checkpoint_owner.as_deref(), row.counter), (Some("b"), None, 8));
        assert_eq!(after(&row, "b", Change::Release).owner, None);
        assert_eq!(after(&row, "c", Change::Take).owner_switches, 1);
        assert_eq!(after(&row, "b", Change::Take).owner_switches, 0, "its own again");
    }

    #[test]
    fn of_two_writes_from_one_row_one_is_refused() {
        let row = owned("a");
        let renewed = after(&row, "a", Change::Renew);
        assert_eq!(write(&row, "b", Change::Take).applied_to(&renewed), None);
        let again = LeaseRow { owner: Some(worker("b")), ..row.clone() };
        assert_eq!(write(&row, "a", Change::Renew).applied_to(&again), None, "the same counter, made again by another");
    }

    #[test]
    fn a_lost_reply_is_told_from_a_lost_lease() {
        let row = owned("a");
        let renew = write(&row, "a", Change::Renew);
        let renewed = after(&row, "a", Change::Renew);
        assert_eq!(renew.settle(Some(renewed.clone())), Settled::Applied(renewed.clone()));
        assert_eq!(renew.settle(Some(row.clone())), Settled::StillMine(row.clone()), "never arrived");
        let taken = after(&row, "b", Change::Take);
        assert_eq!(renew.settle(Some(taken.clone())), Settled::Refused(Some(taken)));
        assert_eq!(renew.settle(None), Settled::Refused(None));
        let claimed = after(&row, "b", Change::Claim);
        assert_eq!(renew.settle(Some(claimed.clone())), Settled::StillMine(claimed), "asked for, not lost");

        let ended = after(&row, "a", Change::Checkpoint { to: Checkpoint::ShardEnd, snapshot_ref: None });
        assert_eq!(write(&row, "a", Change::Take).settle(Some(ended.clone())), Settled::StillMine(ended), "left behind, and over");
        let back = LeaseRow { counter: row.counter + 3, ..row.clone() };
        assert_eq!(renew.settle(Some(back.clone())), Settled::Refused(Some(back)), "it was elsewhere in between");

        // An earlier renewal without a reply must not pass for a checkpoint.
        let moved = write(&row, "a", checkpoint("7", "x"));
        assert_eq!(moved.settle(Some(renewed.clone())), Settled::StillMine(renewed));
        let other = after(&row, "a", checkpoint("7", "y"));
        assert_eq!(moved.settle(Some(other.clone())), Settled::StillMine(other), "another snapshot");
    }

    #[test]
    fn a_take_that_two_tried_is_won_by_one() {
        let row = LeaseRow::new("s", Checkpoint::TrimHorizon);
        let won = after(&row, "a", Change::Take);
        assert_eq!(write(&row, "a", Change::Take).settle(Some(won.clone())), Settled::Applied(won.clone()));
        assert_eq!(write(&row, "b", Change::Take).settle(Some(won.clone())), Settled::Refused(Some(won)));
        assert_eq!(write(&row, "b", Change::Take).settle(Some(row.clone())), Settled::Refused(Some(row)));
    }
}
