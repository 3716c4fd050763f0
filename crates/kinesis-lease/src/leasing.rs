//! Leases that several workers share, as in KCL 2: one row a shard, taken, renewed, handed over.
//!
//! ```text
//!    ListShards ──▶ sync ──▶ leases created, forgotten            table: DynamoDB, folder, memory
//!                                                                   ▲ conditional writes
//!    scan ──▶ view ──▶ plan ──▶ take │ claim ───────────────────────┤
//!                                 │                                 │
//!                                 ▼                                 │
//!                      LeaseEvent::Gained(token) ──▶ caller ──▶ token.checkpoint, token.release
//!                                 │                                 │
//!                      renewal, every failover/3 ───────────────────┘
//! ```
//!
//! # Reading order
//! * [`lease`]: a row, who may write it, the writes, and what became of one without a reply;
//! * [`view`]: what one worker has seen, and when by its own clock;
//! * [`plan`](mod@plan): what to take, what to ask for, what to wait for;
//! * [`sync`](mod@sync): leases from a listing of shards;
//! * [`table`]: [`LeaseTable`] and its three implementations;
//! * [`source`]: where the shards are listed;
//! * [`token`]: [`LeaseToken`], the one way to move a checkpoint;
//! * [`worker`]: [`LeaseWorker`], which runs all of it;
//! * [`consumer`]: [`LeasedConsumer`], which reads the shards whose leases are held;
//! * [`counts`]: KCL's numbers under KCL's names.
//!
//! The first four are pure: no clock, no I/O, nothing random.
//!
//! # What is promised
//! * **One writer.** Of all workers that ever held a lease at most one can move its checkpoint, and
//!   a worker that was paused, partitioned or stopped beyond the failover time is not that one. The
//!   table's condition says so, not a clock.
//! * **No shared clock.** A lease is expired for a worker that has not seen its counter move for the
//!   failover time of its own monotonic clock.
//! * **Checkpoint and snapshot move together**, in one conditional write, or not at all.
//! * **A lost reply is no lost lease**: after a refusal or an error the row is read again.
//! * **Parents before children**: a child's lease is taken when its parents' are at `SHARD_END`.
//! * **Every shard is read** as long as there are workers and [`PlanSettings::leases_max`] leaves
//!   room: after a worker died within about failover + [`WorkerSettings::take_interval`].
//!
//! What is read after the last checkpoint is read again by the next owner: at least once.

pub mod counts;
pub mod lease;
pub mod view;
pub mod plan;
pub mod sync;
pub mod source;
pub mod table;
mod tenure;
pub mod token;
pub mod worker;
pub mod consumer;

pub use consumer::{LeasedConsumer, LeasedConsumerHandle, LeasedDelivery};
pub use counts::{AssignmentCounts, LeaseCounts};
pub use lease::{Change, Fence, LeaseRow, Settled, Write};
pub use plan::PlanSettings;
pub use source::{KinesisShards, ShardSource};
pub use table::{BadRow, DynamoTable, FolderTable, LeaseTable, MemoryTable, Scan, TableError};
pub use token::{CheckpointError, LeaseToken, LostReason, TokenState};
pub use view::{Moment, View};
pub use worker::{LeaseEvent, LeaseWorker, LeaseWorkerHandle, WorkerSettings};
