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
//!
//! # What is absent
//! Several streams in one table: give each a table of its own. KCL 3's assignment
//! by load. A fleet that is shared with KCL itself: the row is KCL 2's and either leaves the other's
//! live leases alone, but a finished lease, which is not renewed here, is free to be taken in KCL's
//! eyes, and KCL does not hand over.
//!
//! # Example
//! ```no_run
//! # async fn example(kinesis: aws_sdk_kinesis::Client, dynamo: aws_sdk_dynamodb::Client)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use kinesis_lease::leasing::{DynamoTable, LeasedConsumer, LeasedDelivery, WorkerSettings};
//! use kinesis_lease::{Checkpoint, ConsumerSettings, Delivery, StreamSettings};
//!
//! let table = DynamoTable::new(dynamo, "orders-leases");
//! let stream = (kinesis, StreamSettings::new("orders"));
//! let worker = WorkerSettings::unique("host-1");
//! let (mut deliveries, consumer) =
//!     LeasedConsumer::start(stream, &ConsumerSettings::default(), table, worker)?;
//! let mut tokens = std::collections::BTreeMap::new();
//!
//! while let Some(delivery) = deliveries.recv().await {
//!     match delivery {
//!         LeasedDelivery::Gained(token) => {
//!             // … restore what `token.taken().snapshot_ref` or the parents' rows name, then:
//!             tokens.insert(token.key().clone(), token);
//!         }
//!         LeasedDelivery::Read { token, delivery: Delivery::Page { records, end, .. } } => {
//!             // … have an effect for every record, store a snapshot, then:
//!             # let _ = records;
//!             if let Err(error) = token.checkpoint(end, Some("snapshot-7".into())).await {
//!                 eprintln!("{error}"); // lost: the next owner has the records again
//!             }
//!         }
//!         LeasedDelivery::Read { token, delivery: Delivery::ShardEnded { .. } } => {
//!             if let Err(error) = token.checkpoint(Checkpoint::ShardEnd, Some("snapshot-8".into())).await {
//!                 eprintln!("{error}");
//!             }
//!             tokens.remove(token.key());
//!         }
//!         LeasedDelivery::Asked(token) => {
//!             _ = token.release().await; // if it fails the lease expires
//!             tokens.remove(token.key());
//!         }
//!         LeasedDelivery::Lost { token, .. } => {
//!             tokens.remove(token.key());
//!         }
//!         _ => {}
//!     }
//! }
//! consumer.stop().await;
//! # Ok(())
//! # }
//! ```

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
