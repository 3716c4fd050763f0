//! One shard's reader.

mod parts;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::calls::{Fetched, StreamCalls};
use crate::checkpoint::{Checkpoint, ShardKey};
use crate::delivery::{Delivery, GapKind};
use crate::fan_out::StreamConsumer;
use crate::outlet::{Closed, Outlet};
use crate::plan::HashRange;
use crate::settings::StreamSettings;
use crate::trouble::{Fault, TroubleKind};
use parts::{Parts, Unpacking};
use subscription::Subscription;

/// An iterator is good for five minutes. One older than this is replaced before it is used, so that
/// a caller's long stall costs no failed call.
const ITERATOR_AGE_MAX: Duration = Duration::from_secs(270);

/// How far a `LATEST` start reaches back when it is made durable as a time. It covers the
/// difference between this machine's clock and the service's; records within it may come again.
const LATEST_OVERLAP_MS: i64 = 5_000;

/// What the readers of a stream share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) calls: StreamCalls,
    /// Through whom to subscribe; `None`: poll.
    pub(crate) consumer: Option<Arc<StreamConsumer>>,
    pub(crate) settings: Arc<StreamSettings>,
    pub(crate) deliveries: Outlet,
    /// Bounds the pages that are in memory but not yet in the channel, over all streams.
    pub(crate) fetches: Arc<Semaphore>,
    /// One at a time, per stream, for shards whose last call got no answer. Without it the shards
    /// of one unreachable region would sit on all of `fetches`, each for a whole time-out.
    pub(crate) suspects: Arc<Semaphore>,
}

/// Why a reader stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The service gave no next iterator and named the children: the shard's end.
    Ended,
    /// It gave no next iterator but named no child. To be held against the listing.
    EndClaimed,
    /// It does not know the shard. To be held against the listing.
    Missing,
    /// Nobody receives the deliveries any more.
    Unheard,
}

/// ```text
///              ┌─────────────┐   iterator   ┌─────────┐──┐ page: position moves,
///   run() ───▶ │ NoIterator  │ ───────────▶ │ Reading │  │ next iterator
///              └─────────────┘              └─────────┘◀─┘
///               │  ▲  │   ▲  expired, refused,  │  │ │
///    sequence   │  │  │   └── older than 270 s ─┘  │ │ no next iterator
///    number     │  │  │                            │ └───────────────▶ Ended / EndClaimed
///    refused    └──┘  └─ shard not found ──────────┴─────────────────▶ Missing
///               Gap, position := TRIM_HORIZON
/// ```
/// Every other failure stays in its state and waits (`Trouble`). Under fan-out `Subscribed` is in
/// `Reading`'s place, and falls back to `NoIterator` whenever a subscription is over.
#[derive(Debug)]
enum State {
    NoIterator,
    Reading { iterator: String, since: Instant },
    Subscribed(Box<Subscription>),
}

/// Reads one shard until it ends. Survives its own [`run`](Self::run): position and backoff are
/// kept, so that a run which ended on a doubtful answer can be resumed.
#[derive(Debug)]
pub(crate) struct ShardReader {
    key: ShardKey,
    shared: Shared,
    unpacking: Unpacking,
    /// After the last record that was handed over, or where to begin.
    position: Checkpoint,
    state: State,
    backoff: Backoff,
    last_failure: Option<TroubleKind>,
    /// When the last `GetRecords` or `SubscribeToShard` began.
    last_call: Option<Instant>,
    /// Where the last subscription was, records or not, and when it began.
    continuation: Option<Arc<str>>,
    subscribed_at: Option<Instant>,
    idle_wait: Duration,
    opened: bool,
}

impl ShardReader {
    /// `hash_range` is the shard's part of the key space, if it is known.
    pub(crate) fn new(key: ShardKey, shared: Shared, position: Checkpoint, hash_range: Option<HashRange>, backoff: Backoff) -> Self {
        Self {
            idle_wait: shared.settings.poll_interval,
            unpacking: Unpacking { aggregated: shared.settings.aggregated, hash_range },
            key,
            shared,
            position,
            state: State::NoIterator,
            backoff,
            last_failure: None,
            last_call: None,
            continuation: None,
            subscribed_at: None,
            opened: false,
        }
    }

    pub(crate) fn key(&self) -> &ShardKey {
        &self.key
    }

    /// Reads until an outcome. May be dropped at any await: nothing is lost, because the position
    /// moves only after a page has been handed over.
    pub(crate) async fn run(&mut self) -> Outcome {
        match self.drive().await {
            Ok(never) => match never {},
            Err(outcome) => outcome,
        }
    }

    async fn drive(&mut self) -> Result<std::convert::Infallible, Outcome> {
        if !self.opened {
            let from = self.position.clone();
            let shard = self.key.clone();
            self.deliver(Delivery::ShardOpened { shard, from }).await?;
            self.opened = true;
        }
        loop {
            match std::mem::replace(&mut self.state, State::NoIterator) {
                State::Reading { iterator, since } if since.elapsed() < ITERATOR_AGE_MAX => {
                    self.read(iterator, since).await?;
                }
                State::Subscribed(subscription) => self.receive(*subscription).await?,
                State::Reading { .. } | State::NoIterator => match self.shared.consumer.clone() {
                    Some(consumer) => self.subscribe(&consumer).await?,
                    None => self.find_iterator().await?,
                },
            }
        }
    }

    /// `NoIterator` → `Reading`, or the same again after a failure.
    async fn find_iterator(&mut self) -> Result<(), Outcome> {
        let suspect = self.suspect_turn().await;
        let asked_ms = epoch_ms();
        let error = match self.iterator_at(&self.position).await {
            Ok(state) => {
                self.make_latest_durable(asked_ms);
                self.state = state;
                return Ok(());
            }
            Err(error) => error,
        };
        let by_number = matches!(self.position, Checkpoint::After { .. });
        if error.kind == TroubleKind::Rejected && by_number {
            // The number may be trimmed or of a former stream. Or the call may be wrong in some
            // other way: then it will also refuse the horizon, and the position stays.
            if let Ok(state) = self.iterator_at(&Checkpoint::TrimHorizon).await {
                self.state = state;
                return self.tell_gap(error).await;
            }
        }
        // Not to be held while backing off: the turn is for a call.
        drop(suspect);
        self.failed(error).await
    }

    /// The service has answered a call at `LATEST` that was made then.
    fn make_latest_durable(&mut self, asked_ms: i64) {
        if self.position == Checkpoint::Latest {
            self.position = Checkpoint::AtTimestamp(asked_ms - LATEST_OVERLAP_MS);
        }
    }

    async fn iterator_at(&self, position: &Checkpoint) -> Result<State, Fault> {
        let since = Instant::now();
        let iterator = self.shared.calls.iterator(&self.key.shard, position).await?;
        Ok(State::Reading { iterator, since })
    }

    async fn tell_gap(&mut self, error: Fault) -> Result<(), Outcome> {
        let lost_from = std::mem::replace(&mut self.position, Checkpoint::TrimHorizon);
        self.continuation = None;
        tracing::warn!(shard = %self.key, %lost_from, "checkpoint refused, reading from TRIM_HORIZON");
        let shard = self.key.clone();
        self.deliver(Delivery::Gap { shard, lost_from, kind: GapKind::Trimmed, message: error.message }).await
    }

    /// One `GetRecords`: hands the page over, then waits as long as the shard's state asks for.
    async fn read(&mut self, iterator: String, since: Instant) -> Result<(), Outcome> {
        self.pace().await;
        let suspect = self.suspect_turn().await;
        // The permit is held until the page is in the channel: a page is in memory only under a
        // permit or in one of the channel's places. The semaphore is never closed, so a refusal
        // can only mean that the consumer is being torn down.
        let fetches = self.shared.fetches.clone();
        let permit = fetches.acquire().await.map_err(|_| Outcome::Unheard)?;
        self.last_call = Some(Instant::now());
        let limit = self.shared.settings.records_per_call;
        let fetched = match self.shared.calls.records(&iterator, limit).await {
            Ok(fetched) => fetched,
            Err(error) => {
                drop((permit, suspect));
                // A lost answer changes nothing: the same iterator gives the same records. But one
                // that the service does not take is replaced, from the position.
                let refused = matches!(error.kind, TroubleKind::Expired | TroubleKind::Rejected | TroubleKind::NotFound);
                if !refused {
                    self.state = State::Reading { iterator, since };
                }
                return self.failed(error).await;
            }
        };
        drop(suspect);
        let end = fetched.end();
        if end != Some(Outcome::EndClaimed) {
            self.succeeded();
        }
        if let Some(iterator) = fetched.next_iterator.clone() {
            let since = Instant::now();
            self.state = State::Reading { iterator, since };
        }
        let wait = self.hand_over(fetched).await?;
        drop(permit);
        match end {
            Some(outcome) => Err(outcome),
            None => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
        }
    }

    /// Delivers a page, in parts if it is large, moves the position behind it and returns the wait
    /// before the next call.
    async fn hand_over(&mut self, fetched: Fetched) -> Result<Duration, Outcome> {
        let limit = usize::try_from(self.shared.settings.records_per_call).unwrap_or(usize::MAX);
        let full = fetched.records.len() >= limit;
        let empty = fetched.records.is_empty();
        let at_tip = match fetched.millis_behind_latest {
            // Some servers always say 0: a full page has probably more behind it.
            Some(behind) => behind == 0 && !full,
            None => empty,
        };
        // An end is told as such, and an answer that wrongly claims one proves nothing.
        let caught_up = at_tip && fetched.next_iterator.is_some();
        let mut parts = Parts::new(fetched.records, self.position.clone(), self.unpacking);
        loop {
            let part = parts.next();
            let is_last = parts.is_last();
            let (shard, millis_behind_latest) = (self.key.clone(), fetched.millis_behind_latest);
            if part.misplaced > 0 {
                tracing::warn!(%shard, records = part.misplaced, upto = %part.end, "aggregated records of other shards dropped");
                self.deliver(Delivery::Misplaced { shard: shard.clone(), records: part.misplaced, upto: part.end.clone() }).await?;
            }
            let (records, end, caught_up) = (part.records, part.end.clone(), caught_up && is_last);
            self.deliver(Delivery::Page { shard, records, end, millis_behind_latest, caught_up }).await?;
            self.position = part.end;
            if is_last {
                return Ok(self.wait_after(empty, caught_up));
            }
        }
    }

    /// No wait while behind; at the tip the poll interval, and longer the longer nothing comes.
    fn wait_after(&mut self, empty: bool, caught_up: bool) -> Duration {
        let settings = &self.shared.settings;
        if !empty {
            self.idle_wait = settings.poll_interval;
        }
        if !caught_up {
            return Duration::ZERO;
        }
        let wait = self.idle_wait;
        if empty {
            let longest = settings.idle_poll_interval.max(settings.poll_interval);
            self.idle_wait = wait.mul_f64(1.5).min(longest);
        }
        wait
    }

    /// Keeps to the service's five calls a second and shard.
    async fn pace(&self) {
        if let Some(last) = self.last_call {
            tokio::time::sleep_until(last + self.shared.settings.min_call_interval).await;
        }
    }

    /// Waits until no other shard of the stream retries a call that got no answer, if this one does.
    async fn suspect_turn(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        if !self.last_failure.is_some_and(TroubleKind::is_slow) {
            return None;
        }
        self.shared.suspects.clone().acquire_owned().await.ok()
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.last_failure = None;
    }

    /// As [`tell_failure`](Self::tell_failure), for a failure that speaks of the shard itself.
    async fn failed(&mut self, error: Fault) -> Result<(), Outcome> {
        let kind = error.kind;
        self.tell_failure(error).await?;
        if kind == TroubleKind::NotFound { Err(Outcome::Missing) } else { Ok(()) }
    }

    /// Tells a failure and waits. An iterator that expired is renewed at once the first time: that
    /// is no fault of the service.
    async fn tell_failure(&mut self, error: Fault) -> Result<(), Outcome> {
        let first = self.backoff.failures() == 0;
        let mut retry_in = self.backoff.failed();
        if first && error.kind == TroubleKind::Expired {
            retry_in = Duration::ZERO;
        }
        let kind = error.kind;
        self.last_failure = Some(kind);
        tracing::debug!(shard = %self.key, %kind, ?retry_in, "call failed");
        let shard = Some(self.key.clone());
        self.deliver(Delivery::Trouble { stream: self.key.stream.clone(), shard, kind, message: error.message, retry_in }).await?;
        tokio::time::sleep(retry_in).await;
        Ok(())
    }

    /// The end that the last answer claimed was not one: the listing shows the shard open. Reading
    /// resumes at the position, which has not moved.
    pub(crate) async fn end_denied(&mut self) -> Result<(), Outcome> {
        self.state = State::NoIterator;
        let message = "an answer said that the shard is at its end, but it is listed as open";
        self.failed(Fault::new(TroubleKind::BadReply, message)).await
    }

    /// The shard is neither listed nor known any more.
    pub(crate) async fn tell_gone(&self) -> Result<(), Outcome> {
        tracing::warn!(shard = %self.key, "shard is gone, unread from its checkpoint on");
        self.deliver(Delivery::Gap {
            shard: self.key.clone(),
            lost_from: self.position.clone(),
            kind: GapKind::ShardGone,
            message: "the service neither lists the shard nor knows it".to_owned(),
        })
        .await
    }

    pub(crate) async fn deliver(&self, delivery: Delivery) -> Result<(), Outcome> {
        self.shared.deliveries.send(delivery).await.map_err(|Closed| Outcome::Unheard)
    }
}

impl Fetched {
    fn end(&self) -> Option<Outcome> {
        match (&self.next_iterator, self.names_children) {
            (Some(_), _) => None,
            (None, true) => Some(Outcome::Ended),
            (None, false) => Some(Outcome::EndClaimed),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "AT_TIMESTAMP is in the service's wall-clock time")]
fn epoch_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::config::BehaviorVersion;

    use super::*;

    fn reader() -> ShardReader {
        let config = aws_sdk_kinesis::Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let settings = StreamSettings::new("s");
        let shared = Shared {
            calls: StreamCalls::new(aws_sdk_kinesis::Client::from_conf(config), &settings, Duration::from_secs(1)),
            consumer: None,
            settings: Arc::new(settings),
            deliveries: tokio::sync::mpsc::channel(1).0.into(),
            fetches: Arc::new(Semaphore::new(1)),
            suspects: Arc::new(Semaphore::new(1)),
        };
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
        ShardReader::new(ShardKey::new("s", "shardId-0"), shared, Checkpoint::TrimHorizon, None, backoff)
    }

    #[test]
    fn polling_slows_down_while_nothing_comes_and_never_waits_while_behind() {
        let mut reader = reader();
        let waits: Vec<u128> = (0..6).map(|_| reader.wait_after(true, true).as_millis()).collect();
        assert_eq!(waits, [1_000, 1_500, 2_250, 3_375, 5_000, 5_000]);
        assert_eq!(reader.wait_after(true, false), Duration::ZERO, "an empty page on the way is not the tip");
        assert_eq!(reader.wait_after(false, false), Duration::ZERO);
        assert_eq!(reader.wait_after(false, true), Duration::from_secs(1), "records set it back");
    }

    #[test]
    fn only_an_answer_that_names_children_is_an_end_by_itself() {
        let fetched = |next: Option<&str>, names_children| Fetched {
            records: vec![],
            next_iterator: next.map(str::to_owned),
            millis_behind_latest: None,
            names_children,
        };
        assert_eq!(fetched(Some("next"), true).end(), None);
        assert_eq!(fetched(None, true).end(), Some(Outcome::Ended));
        assert_eq!(fetched(None, false).end(), Some(Outcome::EndClaimed));
    }
}
