//! Consumes Kinesis data streams shard by shard: parents before children, bounded memory,
//! positions kept where the caller says.
//!
//! The words are those of the Kinesis Client Library (KCL): a *lease* is what is known about one
//! shard, its *checkpoint* is where reading resumes. There is no JVM, no sidecar and no table
//! that has to exist first; one process reads all shards and keeps its positions in a folder.
//!
//! # Reading order
//! * [`checkpoint`]: [`ShardKey`], [`Checkpoint`], [`Lease`] and the [`Manifest`] that holds them;
//! * [`plan`](mod@plan): which shards to read now, from where, and which wait (pure; no clock, no I/O);
//! * [`kpl`]: records that a producer packed into one (pure);
//! * `shard`: one shard's state machine (iterator, pages, throttling, expiry, its end);
//! * `fan_out`: the stream's registered consumer and its subscriptions, instead of polling;
//! * `discovery`: one stream's task, which lists shards, follows the plan and owns the readers;
//! * [`consumer`]: [`Consumer::start`], which wires streams, channel and limits together;
//! * [`trouble`]: every error the service or the network can give, by what it means for a reader;
//! * [`store`]: [`LeaseStore`], and [`FolderStore`] for a single machine;
//! * [`leasing`]: leases that several workers share, in DynamoDB as KCL 2 keeps them.
//!
//! # What is promised
//! * **No record is skipped** while it is within the stream's retention. A position moves only to a
//!   record that was handed over. Where the service has trimmed what a checkpoint points at, a
//!   [`Delivery::Gap`] says so before reading goes on.
//! * **Parents before children**, through splits and merges: a shard's first page comes after
//!   [`Delivery::ShardEnded`] of each of its parents, so the order per partition key is kept.
//! * **Memory is bounded** however far behind the reader is: at most
//!   [`ConsumerSettings::pages_in_flight`] deliveries wait in the channel and at most
//!   [`ConsumerSettings::concurrent_fetches`] pages are being fetched or wait for a place in it.
//! * **Packed records come apart**: the user records of an aggregated record (KPL) come one by one,
//!   each with its own partition key and its sub-sequence number, at which reading can resume.
//! * **Polled or subscribed to**: with [`StreamSettings::fan_out`] shards are subscribed to instead
//!   of polled. Deliveries, positions and limits are the same.
//! * **It goes on**: throttling, time-outs, expired credentials, an absent stream are told as
//!   [`Delivery::Trouble`] and retried for ever, with exponential backoff and full jitter.
//!
//! Within one run each record is handed over once. After a restart reading resumes at the committed
//! manifest, so records past it come again: at least once, and the caller makes its effects
//! idempotent.
//!
//! # What is absent
//! Enhanced fan-out opens all subscriptions through the client it is given, whose connector keeps one
//! HTTP/2 connection to the service; how many subscriptions the service takes on one has not been
//! tried. A consumer that was registered is never deregistered. [`Consumer`] reads all shards by itself and does not use [`leasing`]. Payloads are
//! opaque bytes and are never logged.
//!
//! A stream that was deleted and made again under the same name has the same shard ids. Its old
//! checkpoints are refused ([`Delivery::Gap`]), but a shard whose lease is at its end is not read
//! again: as with KCL, give such a stream a new folder or a new
//! [`alias`](StreamSettings::alias).
//!
//! # Example
//! ```no_run
//! # async fn example(client: aws_sdk_kinesis::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use kinesis_lease::{
//!     Consumer, ConsumerSettings, Delivery, FolderStore, LeaseStore, StreamSettings,
//! };
//!
//! let store = FolderStore::open("/var/lib/reader").await?;
//! let mut manifest = store.load().await?;
//! let streams = vec![(client, StreamSettings::new("orders"))];
//! let (mut deliveries, consumer) =
//!     Consumer::start(streams, ConsumerSettings::default(), manifest.clone())?;
//!
//! while let Some(delivery) = deliveries.recv().await {
//!     manifest.apply(&delivery);
//!     match delivery {
//!         Delivery::Page { shard, records, end, .. } => {
//!             // … have an effect for every record, then:
//!             # let _ = records;
//!             manifest.advance(&shard, end);
//!             store.commit(&manifest).await?;
//!         }
//!         Delivery::ShardEnded { shard, .. } => {
//!             manifest.end(&shard);
//!             manifest.tidy();
//!             store.commit(&manifest).await?;
//!         }
//!         Delivery::Trouble { message, .. } => eprintln!("{message}"),
//!         _ => {}
//!     }
//! }
//! consumer.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod checkpoint;
pub mod consumer;
pub mod delivery;
pub mod kpl;
pub mod leasing;
pub mod plan;
pub mod settings;
pub mod store;
pub mod trouble;

mod backoff;
mod calls;
mod discovery;
mod fan_out;
mod outlet;
mod shard;

pub use checkpoint::{Checkpoint, Lease, Manifest, ShardKey};
pub use consumer::{Consumer, ConsumerHandle};
pub use delivery::{Delivery, GapKind, Record};
pub use settings::{ConsumerSettings, FanOut, SettingsError, StartAt, StreamSettings, client_config_defaults};
pub use store::{FolderStore, LeaseStore, StoreError};
pub use trouble::TroubleKind;
