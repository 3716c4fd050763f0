//! Reads the shards whose leases a worker holds.
//!
//! ```text
//!   lease gained ──▶ Gained ──▶ Read, Read, … ──▶ Read(ShardEnded) ──▶ caller: checkpoint(SHARD_END)
//!                                   │
//!                                   ├─ asked for ──▶ Asked ──▶ caller: checkpoint, release
//!                                   └─ lost ───────▶ Lost
//! ```
//! A child's lease is taken when its parents' checkpoints are at their ends, that is when their
//! last records are *settled*. (The [`Consumer`](crate::Consumer) of a single machine starts a child
//! when they are read.) So whatever belongs to a parent's end is there before its child begins, on
//! whichever machine.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::counts::LeaseCounts;
use super::source::KinesisShards;
use super::table::LeaseTable;
use super::token::{LeaseToken, LostReason, TokenState};
use super::worker::{LeaseEvent, LeaseWorker, LeaseWorkerHandle, WorkerSettings};
use crate::backoff::Backoff;
use crate::calls::StreamCalls;
use crate::checkpoint::ShardKey;
use crate::delivery::Delivery;
use crate::discovery::{Verdict, judge};
use crate::fan_out::StreamConsumer;
use crate::outlet::{Closed, Outlet, Wrap};
use crate::settings::{ConsumerSettings, SettingsError, StreamSettings, validate};
use crate::shard::{Outcome, ShardReader, Shared};

/// What a leased consumer hands to its caller. Messages about one token come in order; none comes
/// after `Asked`, `Lost` or [`Delivery::ShardEnded`].
#[derive(Debug)]
#[non_exhaustive]
pub enum LeasedDelivery<T> {
    /// The reading of a shard begins. Keep the token as long as its records are in work: when its
    /// last clone is dropped the lease is let go.
    Gained(LeaseToken<T>),
    /// What the shard's reader says: pages, gaps, troubles and the end, as from a
    /// [`Consumer`](crate::Consumer).
    Read {
        /// The right to settle it.
        token: LeaseToken<T>,
        /// What it says.
        delivery: Delivery,
    },
    /// Another worker wants the lease, or this one stops, and reading has ceased: settle what was
    /// read, then [`release`](LeaseToken::release).
    Asked(LeaseToken<T>),
    /// The lease is lost and reading has ceased: nothing of it can be settled any more.
    Lost {
        /// The token that is over.
        token: LeaseToken<T>,
        /// Why.
        why: LostReason,
    },
    /// What the lease worker says beside that: troubles, bad rows, holes.
    Worker(LeaseEvent<T>),
}

/// Reads one stream, together with other workers over one lease table.
#[derive(Debug)]
pub struct LeasedConsumer;

impl LeasedConsumer {
    /// Starts a lease worker and reads what it holds. Pages in memory are bounded as for a
    /// [`Consumer`](crate::Consumer). [`WorkerSettings::start`] is overruled by the stream's.
    ///
    /// # Errors
    /// Settings that cannot work. Nothing is started then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<T: LeaseTable + std::fmt::Debug>(
        (client, stream): (Client, StreamSettings),
        settings: &ConsumerSettings,
        table: T,
        worker: WorkerSettings,
    ) -> Result<(mpsc::Receiver<LeasedDelivery<T>>, LeasedConsumerHandle<T>), SettingsError> {
        validate([&stream], settings)?;
        let (deliveries, receiver) = mpsc::channel(settings.pages_in_flight);
        let source = KinesisShards::new(client.clone(), &stream, settings.call_timeout);
        let worker = WorkerSettings { start: stream.start, ..worker };
        let (events, worker) = LeaseWorker::start(table, source, worker);
        let calls = StreamCalls::new(client, &stream, settings.call_timeout);
        let task = Supervisor {
            stream: stream.key(),
            deliveries,
            shared: Blank {
                consumer: StreamConsumer::of(&calls, &stream),
                calls,
                settings: Arc::new(stream),
                fetches: Arc::new(Semaphore::new(settings.concurrent_fetches)),
                suspects: Arc::new(Semaphore::new(1)),
            },
            backoff: Backoff::new(settings.backoff_base, settings.backoff_max),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(events));
        Ok((receiver, LeasedConsumerHandle { worker, _tasks: tasks }))
    }
}

/// Keeps a [`LeasedConsumer`]'s tasks running; dropping it ends them, as a crash would.
#[derive(Debug)]
#[must_use = "the consumer stops when its handle is dropped"]
pub struct LeasedConsumerHandle<T> {
    worker: LeaseWorkerHandle<T>,
    _tasks: JoinSet<()>,
}

impl<T: LeaseTable> LeasedConsumerHandle<T> {
    /// The lease worker's numbers.
    pub fn counts(&self) -> LeaseCounts {
        self.worker.counts()
    }

    /// Asks for every lease ([`LeasedDelivery::Asked`]) and waits until they are released, so go on
    /// receiving meanwhile. What is not released in [`WorkerSettings::stop_timeout`] is taken back;
    /// returns how many that were.
    pub async fn stop(self) -> usize {
        self.worker.stop().await
    }
}

/// A reader's [`Shared`] without the channel, which is each token's own.
struct Blank {
    calls: StreamCalls,
    consumer: Option<Arc<StreamConsumer>>,
    settings: Arc<StreamSettings>,
    fetches: Arc<Semaphore>,
    suspects: Arc<Semaphore>,
}

struct Supervisor<T> {
    stream: Arc<str>,
    deliveries: mpsc::Sender<LeasedDelivery<T>>,
    shared: Blank,
    backoff: Backoff,
}

impl<T: LeaseTable + std::fmt::Debug> Supervisor<T> {
    /// Starts a reader for each lease. Ends when nobody receives, and with it all readers.
    async fn run(self, mut events: mpsc::Receiver<LeaseEvent<T>>) {
        let mut readers = JoinSet::new();
        loop {
            let event = tokio::select! {
                biased;
                Some(ended) = readers.join_next() => {
                    // One that panicked has dropped its token: its lease goes to whoever can read it.
                    if let Err(error) = ended {
                        tracing::error!(%error, "a shard's reader ended in a panic");
                    }
                    continue;
                }
                Some(event) = events.recv() => event,
                () = self.deliveries.closed() => return,
                else => return,
            };
            let message = match event {
                LeaseEvent::Gained(token) => {
                    let gained = LeasedDelivery::Gained(token.clone());
                    if self.deliveries.send(gained).await.is_err() {
                        return;
                    }
                    readers.spawn(self.reader(token));
                    continue;
                }
                other @ (LeaseEvent::Bad(_) | LeaseEvent::Holes(_) | LeaseEvent::Trouble { .. }) => LeasedDelivery::Worker(other),
            };
            if self.deliveries.send(message).await.is_err() {
                return;
            }
        }
    }

    fn reader(&self, token: LeaseToken<T>) -> impl Future<Output = ()> + Send + use<T> {
        let outlet = TokenOutlet { token: token.clone(), deliveries: self.deliveries.clone() };
        let shared = Shared {
            calls: self.shared.calls.clone(),
            consumer: self.shared.consumer.clone(),
            settings: self.shared.settings.clone(),
            deliveries: Outlet::Wrapped(Arc::new(outlet)),
            fetches: self.shared.fetches.clone(),
            suspects: self.shared.suspects.clone(),
        };
        let key = ShardKey::new(self.stream.clone(), token.key().clone());
        let calls = self.shared.calls.clone();
        let reader = ShardReader::new(key, shared, token.opening().clone(), token.taken().hash_range, self.backoff.clone());
        read(token, reader, calls, self.backoff.clone(), self.deliveries.clone())
    }
}

/// Reads until the shard's end, or until the lease is asked for or lost.
async fn read<T: LeaseTable>(
    token: LeaseToken<T>,
    mut reader: ShardReader,
    calls: StreamCalls,
    backoff: Backoff,
    deliveries: mpsc::Sender<LeasedDelivery<T>>,
) {
    let mut state = token.watch();
    let state = tokio::select! {
        biased;
        state = state.wait_for(|state| *state != TokenState::Held) => state.map_or(TokenState::Held, |state| *state),
        // A reader may be dropped at any await: a page that was not handed over comes again.
        _ = to_the_end(&mut reader, &calls, backoff) => return,
    };
    let last = match state {
        TokenState::Asked => LeasedDelivery::Asked(token),
        TokenState::Over(why) => LeasedDelivery::Lost { token, why },
        TokenState::Held => return,
    };
    // If nobody receives, the token is dropped with the message.
    _ = deliveries.send(last).await;
}

/// As `discovery` does for the streams of a single machine: a claim that rests on one answer alone
/// is held against a listing.
async fn to_the_end(reader: &mut ShardReader, calls: &StreamCalls, mut backoff: Backoff) -> Result<(), Outcome> {
    loop {
        let outcome = reader.run().await;
        let verdict = match outcome {
            Outcome::Ended => Verdict::Ended,
            Outcome::Unheard => return Err(Outcome::Unheard),
            Outcome::EndClaimed | Outcome::Missing => {
                let listed = loop {
                    let error = match calls.list_shards().await {
                        Ok(listed) => break listed,
                        Err(error) => error,
                    };
                    let (retry_in, shard) = (backoff.failed(), reader.key().clone());
                    let stream = shard.stream.clone();
                    let trouble = Delivery::Trouble { stream, shard: Some(shard), kind: error.kind, message: error.message, retry_in };
                    reader.deliver(trouble).await?;
                    tokio::time::sleep(retry_in).await;
                };
                backoff.succeeded();
                judge(outcome, &reader.key().shard, &listed)
            }
        };
        match verdict {
            Verdict::Again => {}
            Verdict::Denied => reader.end_denied().await?,
            Verdict::Gone | Verdict::Ended => {
                if verdict == Verdict::Gone {
                    reader.tell_gone().await?;
                }
                return reader.deliver(Delivery::ShardEnded { shard: reader.key().clone() }).await;
            }
        }
    }
}

/// Puts a token beside each delivery.
#[derive(Debug)]
struct TokenOutlet<T> {
    token: LeaseToken<T>,
    deliveries: mpsc::Sender<LeasedDelivery<T>>,
}

impl<T: LeaseTable + std::fmt::Debug> Wrap for TokenOutlet<T> {
    fn send(&self, delivery: Delivery) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + '_>> {
        Box::pin(async move {
            let message = LeasedDelivery::Read { token: self.token.clone(), delivery };
            self.deliveries.send(message).await.map_err(|_| Closed)
        })
    }
}
