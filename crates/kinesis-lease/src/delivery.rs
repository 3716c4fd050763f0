//! What a consumer hands to its caller.

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, Lease, ShardKey};
use crate::trouble::TroubleKind;

/// One record as the service gave it, or one of several that it held.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The payload, at most 10 MiB. Never looked into, never logged.
    pub data: Vec<u8>,
    /// The record's place in its shard: decimal digits, growing but with holes.
    pub sequence_number: String,
    /// `Some(n)`: this is the `n`-th, counted from 0, of several user records that a producer packed
    /// into the record with that number ([`kpl`](crate::kpl)).
    pub sub_sequence: Option<u64>,
    /// The producer's partition key; empty where the service gave none (a stream with automatic
    /// record distribution).
    pub partition_key: String,
    /// When the service took the record, in milliseconds since the Unix epoch. Approximate.
    pub arrival_ms: Option<i64>,
}

impl Record {
    /// After this record, and before the next of those that were packed together with it.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::After { sequence_number: Arc::from(self.sequence_number.as_str()), sub_sequence: self.sub_sequence }
    }
}

/// Leaves payload and partition key out: neither belongs into a log.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("sequence_number", &self.sequence_number)
            .field("sub_sequence", &self.sub_sequence)
            .field("bytes", &self.data.len())
            .field("arrival_ms", &self.arrival_ms)
            .finish_non_exhaustive()
    }
}

/// Something a consumer has to say. Deliveries of one shard come in order; those of different
/// shards are interleaved, except that a child's come after its parents' [`ShardEnded`].
///
/// [`ShardEnded`]: Delivery::ShardEnded
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// A listing of the stream's shards changed what is known.
    /// [`Manifest::apply`](crate::Manifest::apply) takes it over.
    Discovered {
        /// The stream's key.
        stream: Arc<str>,
        /// Leases that now exist. On first sight of a stream these are all of its shards that will
        /// be read, in one delivery, so that a commit can never know half of a stream.
        created: Vec<(Arc<str>, Lease)>,
        /// Leased shards that the service lists no more.
        unlisted: Vec<Arc<str>>,
    },
    /// The reading of a shard begins.
    ShardOpened {
        /// The shard.
        shard: ShardKey,
        /// From here.
        from: Checkpoint,
    },
    /// The answer to one call, empty or not. One whose records hold very many others comes in
    /// several.
    Page {
        /// The shard.
        shard: ShardKey,
        /// The records, in order.
        records: Vec<Record>,
        /// Where to resume once these records are settled: after the last of them, or where it was
        /// if there are none. `LATEST` is the exception: as soon as the service has answered once,
        /// it becomes the time of that call (less a few seconds for clocks that differ), because to
        /// resume at `LATEST` again would skip whatever came while the reader was down.
        end: Checkpoint,
        /// How far the answer was behind the shard's tip, in milliseconds, if the service said so.
        millis_behind_latest: Option<i64>,
        /// The shard is read up to its tip and nothing is waiting.
        caught_up: bool,
    },
    /// User records of an aggregated record were dropped, because their hash keys lie outside of the
    /// shard. KPL sends such records again, to the shard where they belong
    /// ([`kpl::UserRecord::belongs_to`](crate::kpl::UserRecord::belongs_to)). Another producer, which
    /// packs whatever comes under one key, does not: for such a stream turn
    /// [`StreamSettings::aggregated`](crate::StreamSettings::aggregated) off and use
    /// [`kpl::take_apart`](crate::kpl::take_apart). The page with what is left of them follows.
    Misplaced {
        /// The shard.
        shard: ShardKey,
        /// How many.
        records: u64,
        /// They lie before this.
        upto: Checkpoint,
    },
    /// A shard was read to its end (it was split or merged), or has vanished. Its children may now
    /// start; they do not wait until it is settled.
    ShardEnded {
        /// The shard.
        shard: ShardKey,
    },
    /// Records were lost to retention before they could be read.
    ///
    /// It is told where the service *refuses* a position. A service that silently moves a trimmed
    /// position forward to its oldest record leaves nothing to tell: a `millis_behind_latest` that
    /// nears the stream's retention is the warning to watch for.
    Gap {
        /// The shard.
        shard: ShardKey,
        /// The position that the service refused. Reading goes on at the oldest record it has.
        lost_from: Checkpoint,
        /// What happened.
        kind: GapKind,
        /// The service's words.
        message: String,
    },
    /// A call failed. The consumer goes on by itself; this is for counting, logging and paging.
    Trouble {
        /// The stream's key.
        stream: Arc<str>,
        /// The shard, or `None` when the listing of shards failed.
        shard: Option<ShardKey>,
        /// What went wrong, by what it means.
        kind: TroubleKind,
        /// The error with its causes; holds no payload and no credential.
        message: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

/// How records were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapKind {
    /// The shard is there but refuses the checkpoint's sequence number. It was trimmed, or the
    /// stream was deleted and made again. [`Delivery::Page`]s follow from `TRIM_HORIZON`.
    Trimmed,
    /// The whole shard is gone, unread from the checkpoint on. [`Delivery::ShardEnded`] follows.
    ShardGone,
}
