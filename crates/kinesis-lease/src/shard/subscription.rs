//! Reading a shard by subscription (enhanced fan-out) instead of polling.
//!
//! ```text
//!        ┌──────────────── five minutes are over, it broke off ─────────────┐
//!        ▼                                                                  │
//!   NoIterator ── SubscribeToShard ──▶ Subscribed ──┐ event: position moves, │
//!    │  ▲                                    ▲  │   │ continuation as well   │
//!    └──┘ refused: Trouble, back off         └──│───┘                        │
//!         sequence number refused: Gap          ├────────────────────────────┘
//!                                               └─ children, no continuation ──▶ Ended
//! ```
//! A subscription begins at the last continuation. It is ahead of the position where nothing was
//! written for long, and never ahead of what was handed over.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Outcome, ShardReader, State, epoch_ms};
use crate::calls::Fetched;
use crate::checkpoint::Checkpoint;
use crate::fan_out::{Events, StreamConsumer};
use crate::trouble::{Fault, TroubleKind};

/// A subscription under way.
#[derive(Debug)]
pub(super) struct Subscription {
    events: Events,
    /// Whether it has brought an event yet.
    has_spoken: bool,
}

impl ShardReader {
    /// `NoIterator` → `Subscribed`, or the same again after a failure.
    pub(super) async fn subscribe(&mut self, consumer: &StreamConsumer) -> Result<(), Outcome> {
        let consumer_arn = match consumer.arn().await {
            Ok(arn) => arn,
            // Without a consumer nothing is known about the shard, whatever could not be found.
            Err(error) => return self.tell_failure(error).await,
        };
        let suspect = self.suspect_turn().await;
        let asked_ms = epoch_ms();
        // At, not after: a continuation may be the number of the last record, which is dropped when
        // it comes again, or of the next one.
        let continued = self.continuation.clone().map(|number| Checkpoint::After { sequence_number: number, sub_sequence: Some(0) });
        let from = continued.clone().unwrap_or_else(|| self.position.clone());
        let error = match self.subscribe_at(&consumer_arn, &from).await {
            Ok(()) => {
                self.make_latest_durable(asked_ms);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind == TroubleKind::Rejected && continued.is_some() {
            self.continuation = None;
        } else if error.kind == TroubleKind::Rejected
            && matches!(self.position, Checkpoint::After { .. })
            && self.subscribe_at(&consumer_arn, &Checkpoint::TrimHorizon).await.is_ok()
        {
            // As for an iterator: it is the number that is refused, not something else about the call.
            return self.tell_gap(error).await;
        }
        drop(suspect);
        if error.kind == TroubleKind::NotFound && !self.is_known(consumer, &consumer_arn).await {
            return self.tell_failure(error).await;
        }
        self.failed(error).await
    }

    async fn subscribe_at(&mut self, consumer_arn: &str, from: &Checkpoint) -> Result<(), Fault> {
        self.pace_subscriptions().await;
        self.last_call = Some(Instant::now());
        let events = self.shared.calls.subscribe(consumer_arn, &self.key.shard, from).await?;
        self.subscribed_at = Some(Instant::now());
        self.state = State::Subscribed(Box::new(Subscription { events, has_spoken: false }));
        Ok(())
    }

    /// Whether the consumer is still there, so that it is the shard which was not found. A consumer
    /// that was deregistered is registered anew on the way.
    async fn is_known(&self, consumer: &StreamConsumer, arn: &Arc<str>) -> bool {
        consumer.forget(arn).await;
        consumer.arn().await.is_ok_and(|again| again == *arn)
    }

    /// One event: hands it over, and goes on with the subscription.
    pub(super) async fn receive(&mut self, mut subscription: Subscription) -> Result<(), Outcome> {
        let (received, permit) = self.next_event(&mut subscription.events).await?;
        let fetched = match received {
            Ok(Some(fetched)) => fetched,
            Ok(None) if subscription.has_spoken => return Ok(()),
            Ok(None) => {
                drop(permit);
                let error = Fault::new(TroubleKind::BadReply, "a subscription was over before its first event");
                return self.tell_failure(error).await;
            }
            Err(error) => {
                drop(permit);
                return self.tell_failure(error).await;
            }
        };
        let end = fetched.end();
        if end != Some(Outcome::EndClaimed) {
            self.succeeded();
        }
        let continuation = fetched.next_iterator.as_deref().map(Arc::from);
        self.hand_over(fetched).await?;
        drop(permit);
        if let Some(outcome) = end {
            return Err(outcome);
        }
        self.continuation = continuation;
        self.state = State::Subscribed(Box::new(Subscription { has_spoken: true, ..subscription }));
        Ok(())
    }

    /// The next event, with the permit for as long as it is in memory.
    ///
    /// It may be a while until it comes, so the permit cannot be held from the start. But as soon as
    /// the last byte is there the event is decoded. So the connection is looked at only under a
    /// permit, which is given back at once if there is nothing; without one the bytes stay where the
    /// transport keeps them, and its flow control holds the service back.
    async fn next_event(&self, events: &mut Events) -> Result<(Result<Option<Fetched>, Fault>, OwnedSemaphorePermit), Outcome> {
        let timeout = self.shared.calls.timeout;
        let place = || Box::pin(self.shared.fetches.clone().acquire_owned());
        let (mut waiting, mut is_blocked) = (place(), false);
        let mut silence = pin!(tokio::time::sleep(timeout));
        let mut event = pin!(events.next());
        poll_fn(|context| {
            let permit = match waiting.as_mut().poll(context) {
                Poll::Ready(Ok(permit)) => permit,
                // Never closed: the consumer is being torn down.
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Outcome::Unheard)),
                Poll::Pending => {
                    is_blocked = true;
                    return Poll::Pending;
                }
            };
            waiting = place();
            if std::mem::take(&mut is_blocked) {
                // The caller was slow, not the service.
                silence.as_mut().reset(Instant::now() + timeout);
            }
            if let Poll::Ready(event) = event.as_mut().poll(context) {
                return Poll::Ready(Ok((event, permit)));
            }
            silence.as_mut().poll(context).map(|()| {
                let message = format!("a subscription brought no event within {timeout:?}");
                Ok((Err(Fault::new(TroubleKind::TimedOut, message)), permit))
            })
        })
        .await
    }

    /// Keeps to the service's limits on subscribing.
    async fn pace_subscriptions(&self) {
        let interval = self.shared.settings.min_subscribe_interval;
        let after_failure = self.last_call.map(|last| last + interval / 5);
        let after_success = self.subscribed_at.map(|last| last + interval);
        if let Some(earliest) = after_failure.max(after_success) {
            tokio::time::sleep_until(earliest).await;
        }
    }
}
