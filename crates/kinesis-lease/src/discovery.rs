//! One stream's task: lists its shards, follows the plan, owns the readers.
//!
//! ```text
//!        ┌──────────▶ list ──── fails: Trouble, back off, again
//!        │              │
//!        │            plan  ──▶ Discovered
//!        │              │
//!        │         start readers
//!        │              │
//!        └── wait for: the interval │ a reader's outcome
//! ```
//! An outcome that rests on one answer alone ("no more iterator", "no such shard") is kept in doubt
//! until the next listing confirms or denies it, because a wrong shard end would skip records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::checkpoint::{Checkpoint, Lease, ShardKey};
use crate::delivery::Delivery;
use crate::outlet::Closed;
use crate::plan::{HashRange, ListedShard, plan};
use crate::shard::{Outcome, ShardReader, Shared};

/// Nobody receives the deliveries any more.
#[derive(Debug)]
pub(crate) struct Unheard;

/// How soon to list again when a shard has ended whose children are not listed yet: the listing is
/// eventually consistent, and until they are known nobody reads the stream's newest records.
const CHILDLESS_INTERVAL: Duration = Duration::from_secs(1);

/// What a listing makes of a reader's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The shard is at its end.
    Ended,
    /// The shard is gone, unread from the reader's position on.
    Gone,
    /// The shard is open and has no child: the answer was wrong.
    Denied,
    /// Listed all the same: it was not there for a moment. The reader has waited already.
    Again,
}

/// Holds a reader's claim about its shard against a listing that was made after it.
pub(crate) fn judge(outcome: Outcome, shard: &Arc<str>, listed: &[ListedShard]) -> Verdict {
    let listed_as = listed.iter().find(|listed| listed.shard == *shard);
    let has_children = listed.iter().any(|listed| listed.parents.contains(shard));
    match (outcome, listed_as) {
        (Outcome::Missing, None) => Verdict::Gone,
        (Outcome::EndClaimed, Some(as_open)) if as_open.open && !has_children => Verdict::Denied,
        (Outcome::EndClaimed | Outcome::Ended, _) => Verdict::Ended,
        (Outcome::Missing, Some(_)) | (Outcome::Unheard, _) => Verdict::Again,
    }
}

/// Owns everything about one stream in this run.
pub(crate) struct StreamTask {
    stream: Arc<str>,
    shared: Shared,
    /// As resumed or created; the checkpoint turns to `ShardEnd` when the shard is *read* to its
    /// end, and otherwise stays where this run began.
    leases: BTreeMap<Arc<str>, Lease>,
    readers: JoinSet<(Box<ShardReader>, Outcome)>,
    /// Shards with a reader, be it at work or in doubt.
    in_hand: BTreeSet<Arc<str>>,
    /// Readers that stopped on a claim which the next listing has to confirm.
    in_doubt: Vec<(Box<ShardReader>, Outcome)>,
    /// Shards that ended in this run, of which no child is leased yet.
    childless: BTreeSet<Arc<str>>,
    /// For listing; readers begin with a copy.
    backoff: Backoff,
}

impl StreamTask {
    pub(crate) fn new(stream: Arc<str>, shared: Shared, leases: BTreeMap<Arc<str>, Lease>, backoff: Backoff) -> Self {
        Self {
            stream,
            shared,
            leases,
            readers: JoinSet::new(),
            in_hand: BTreeSet::new(),
            in_doubt: Vec::new(),
            childless: BTreeSet::new(),
            backoff,
        }
    }

    /// Runs until `stop` resolves or the deliveries' receiver is gone. Every reader has ended when
    /// it returns.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            Err(Unheard) = self.follow() => {}
        }
        self.readers.shutdown().await;
        tracing::debug!(stream = %self.stream, "stopped");
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Unheard> {
        loop {
            let listed = self.list().await?;
            self.settle_doubts(&listed).await?;
            self.act_on(&listed).await?;
            let wait = if self.childless.is_empty() {
                self.shared.settings.discovery_interval
            } else {
                CHILDLESS_INTERVAL.min(self.shared.settings.discovery_interval)
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Some(joined) = self.readers.join_next() => match joined {
                    Ok((reader, outcome)) => self.stopped(reader, outcome).await?,
                    // A reader is aborted by `shutdown` only, and then nobody polls this.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }
    }

    /// A complete listing, however long it takes.
    async fn list(&mut self) -> Result<Vec<ListedShard>, Unheard> {
        loop {
            let error = match self.shared.calls.list_shards().await {
                Ok(listed) => {
                    self.backoff.succeeded();
                    return Ok(listed);
                }
                Err(error) => error,
            };
            let retry_in = self.backoff.failed();
            tracing::debug!(stream = %self.stream, kind = %error.kind, ?retry_in, "listing failed");
            self.deliver(Delivery::Trouble {
                stream: self.stream.clone(),
                shard: None,
                kind: error.kind,
                message: error.message,
                retry_in,
            })
            .await?;
            tokio::time::sleep(retry_in).await;
        }
    }

    /// Creates leases, tells what changed, starts readers.
    async fn act_on(&mut self, listed: &[ListedShard]) -> Result<(), Unheard> {
        let plan = plan(listed, &self.leases, self.shared.settings.start);
        for (shard, lease) in &plan.create {
            for parent in &lease.parents {
                self.childless.remove(parent);
                if let Some(parent) = self.leases.get_mut(parent) {
                    parent.children.push(shard.clone());
                }
            }
            self.leases.insert(shard.clone(), lease.clone());
        }
        for shard in &plan.unlisted {
            if let Some(lease) = self.leases.get_mut(shard) {
                lease.listed = false;
            }
        }
        if !plan.create.is_empty() || !plan.unlisted.is_empty() {
            self.deliver(Delivery::Discovered { stream: self.stream.clone(), created: plan.create, unlisted: plan.unlisted }).await?;
        }
        let ranges: BTreeMap<&Arc<str>, Option<HashRange>> = listed.iter().map(|listed| (&listed.shard, listed.hash_range)).collect();
        for shard in plan.read {
            let hash_range = ranges.get(&shard).copied().flatten();
            self.open(shard, hash_range);
        }
        Ok(())
    }

    fn open(&mut self, shard: Arc<str>, hash_range: Option<HashRange>) {
        let Some(lease) = self.leases.get(&shard) else {
            return;
        };
        if !self.in_hand.insert(shard.clone()) {
            return;
        }
        let key = ShardKey::new(self.stream.clone(), shard);
        tracing::info!(shard = %key, from = %lease.checkpoint, "reading");
        let mut backoff = self.backoff.clone();
        backoff.succeeded();
        let from = lease.checkpoint.clone();
        self.spawn(Box::new(ShardReader::new(key, self.shared.clone(), from, hash_range, backoff)));
    }

    fn spawn(&mut self, mut reader: Box<ShardReader>) {
        self.readers.spawn(async move {
            let outcome = reader.run().await;
            (reader, outcome)
        });
    }

    async fn stopped(&mut self, reader: Box<ShardReader>, outcome: Outcome) -> Result<(), Unheard> {
        match outcome {
            Outcome::Ended => self.end(reader.key().shard.clone()).await,
            Outcome::EndClaimed | Outcome::Missing => {
                self.in_doubt.push((reader, outcome));
                Ok(())
            }
            Outcome::Unheard => Err(Unheard),
        }
    }

    /// Holds the claims in doubt against a fresh listing.
    async fn settle_doubts(&mut self, listed: &[ListedShard]) -> Result<(), Unheard> {
        for (mut reader, outcome) in std::mem::take(&mut self.in_doubt) {
            match judge(outcome, &reader.key().shard, listed) {
                Verdict::Gone => {
                    reader.tell_gone().await.map_err(|_| Unheard)?;
                    self.end(reader.key().shard.clone()).await?;
                }
                Verdict::Denied => {
                    self.readers.spawn(async move {
                        let outcome = match reader.end_denied().await {
                            Ok(()) => reader.run().await,
                            Err(outcome) => outcome,
                        };
                        (reader, outcome)
                    });
                }
                Verdict::Ended => self.end(reader.key().shard.clone()).await?,
                Verdict::Again => self.spawn(reader),
            }
        }
        Ok(())
    }

    async fn end(&mut self, shard: Arc<str>) -> Result<(), Unheard> {
        if let Some(lease) = self.leases.get_mut(&shard) {
            lease.checkpoint = Checkpoint::ShardEnd;
            if lease.children.is_empty() {
                self.childless.insert(shard.clone());
            }
        }
        self.in_hand.remove(&shard);
        let shard = ShardKey::new(self.stream.clone(), shard);
        tracing::info!(%shard, "read to its end");
        self.deliver(Delivery::ShardEnded { shard }).await
    }

    async fn deliver(&self, delivery: Delivery) -> Result<(), Unheard> {
        self.shared.deliveries.send(delivery).await.map_err(|Closed| Unheard)
    }
}
