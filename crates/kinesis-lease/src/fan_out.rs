//! Enhanced fan-out: the stream's registered consumer, and the subscription to one shard.
//!
//! ```text
//!   name ──▶ DescribeStreamConsumer ── not there ──▶ RegisterStreamConsumer
//!                  │ ACTIVE                                  │ CREATING: told, and asked again
//!                  ▼                                         ▼
//!               its ARN ──▶ SubscribeToShard ──▶ events: records, continuation, children at the end
//! ```

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError as EventError;
use aws_sdk_kinesis::types::{ConsumerStatus, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::calls::{Fetched, StreamCalls, record};
use crate::checkpoint::Checkpoint;
use crate::settings::{FanOut, StreamSettings};
use crate::trouble::{Fault, TroubleKind, cut};

/// A failure to find the consumer is told to every shard that asks within this time. Each of a
/// thousand shards calling for itself would run into the service's limit of 20 calls a second.
const FAILURE_LASTS: Duration = Duration::from_secs(1);

/// The registered consumer of one stream. Shared by its readers.
#[derive(Debug)]
pub(crate) struct StreamConsumer {
    calls: StreamCalls,
    which: FanOut,
    /// Locked for a whole look-up, so that one reader asks and the others wait for its answer.
    known: Mutex<Known>,
}

#[derive(Debug)]
enum Known {
    Nothing,
    Arn(Arc<str>),
    Failure(Fault, Instant),
}

impl StreamConsumer {
    /// The consumer that the settings ask for, if they do.
    pub(crate) fn of(calls: &StreamCalls, settings: &StreamSettings) -> Option<Arc<Self>> {
        let which = settings.fan_out.clone()?;
        Some(Arc::new(Self { calls: calls.clone(), which, known: Mutex::new(Known::Nothing) }))
    }

    /// The ARN of the consumer once it is `ACTIVE`. Registers it if it has a name and is not there.
    pub(crate) async fn arn(&self) -> Result<Arc<str>, Fault> {
        let mut known = self.known.lock().await;
        match &*known {
            Known::Arn(arn) => return Ok(arn.clone()),
            Known::Failure(fault, at) if at.elapsed() < FAILURE_LASTS => return Err(fault.clone()),
            Known::Failure(..) | Known::Nothing => {}
        }
        let found = self.find().await;
        *known = match &found {
            Ok(arn) => Known::Arn(arn.clone()),
            Err(fault) => Known::Failure(fault.clone(), Instant::now()),
        };
        found
    }

    /// The service does not know it any more: to be looked for again, unless that was done already.
    pub(crate) async fn forget(&self, arn: &Arc<str>) {
        let mut known = self.known.lock().await;
        if matches!(&*known, Known::Arn(current) if current == arn) {
            *known = Known::Nothing;
        }
    }

    async fn find(&self) -> Result<Arc<str>, Fault> {
        let (arn, status) = match &self.which {
            FanOut::Arn(arn) => self.calls.describe_consumer(None, Some(arn)).await?,
            FanOut::Name(name) => {
                let stream_arn = self.calls.stream_arn().await?;
                let described = self.calls.describe_consumer(Some((&stream_arn, name)), None).await;
                match described {
                    Err(fault) if fault.kind == TroubleKind::NotFound => {
                        let registered = self.calls.register_consumer(&stream_arn, name).await?;
                        tracing::info!(consumer = %registered.0, "stream consumer registered");
                        registered
                    }
                    described => described?,
                }
            }
        };
        if status == ConsumerStatus::Active {
            return Ok(Arc::from(arn));
        }
        Err(Fault::new(TroubleKind::NotReady, format!("the stream consumer {arn} is {}", status.as_str())))
    }
}

/// What a consumer is and how it stands.
type Described = (String, ConsumerStatus);

impl StreamCalls {
    async fn stream_arn(&self) -> Result<String, Fault> {
        if let Some(arn) = &self.arn {
            return Ok(arn.clone());
        }
        let request = self.client.describe_stream_summary().stream_name(&self.name);
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        let summary = reply.stream_description_summary.filter(|summary| !summary.stream_arn.is_empty());
        summary.map(|summary| summary.stream_arn).ok_or_else(|| Fault::new(TroubleKind::BadReply, "DescribeStreamSummary gave no ARN"))
    }

    async fn describe_consumer(&self, named: Option<(&str, &str)>, arn: Option<&str>) -> Result<Described, Fault> {
        let request = self.client.describe_stream_consumer().set_consumer_arn(arn.map(str::to_owned));
        let request = match named {
            Some((stream_arn, name)) => request.stream_arn(stream_arn).consumer_name(name),
            None => request,
        };
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        let described = reply.consumer_description.map(|consumer| (consumer.consumer_arn, consumer.consumer_status));
        described.ok_or_else(|| Fault::new(TroubleKind::BadReply, "DescribeStreamConsumer described none"))
    }

    async fn register_consumer(&self, stream_arn: &str, name: &str) -> Result<Described, Fault> {
        let request = self.client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        let registered = reply.consumer.map(|consumer| (consumer.consumer_arn, consumer.consumer_status));
        registered.ok_or_else(|| Fault::new(TroubleKind::BadReply, "RegisterStreamConsumer described none"))
    }

    /// Subscribes to a shard at `position`, which must not be [`Checkpoint::ShardEnd`].
    pub(crate) async fn subscribe(&self, consumer_arn: &str, shard: &str, position: &Checkpoint) -> Result<Events, Fault> {
        let (kind, number, time) = Self::starting_at(position)?;
        let position = StartingPosition::builder().r#type(kind).set_sequence_number(number).set_timestamp(time);
        let position = position.build().map_err(|error| Fault::new(TroubleKind::Rejected, error.to_string()))?;
        let request = self.client.subscribe_to_shard().consumer_arn(consumer_arn).shard_id(shard).starting_position(position);
        // The client would break off a stream that carries less than a byte a second, and a quiet
        // shard may. Whether it is quiet or dead is judged by the time between two events.
        let patient = Builder::new().stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let request = request.customize().config_override(patient);
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        Ok(Events(reply.event_stream))
    }
}

/// What a subscription brings, for five minutes at most.
#[derive(Debug)]
pub(crate) struct Events(EventReceiver<SubscribeToShardEventStream, EventError>);

impl Events {
    /// The next event, in the form of an answer to `GetRecords`; `None` when the subscription is over.
    /// May be dropped at any await without losing a part of an event.
    pub(crate) async fn next(&mut self) -> Result<Option<Fetched>, Fault> {
        loop {
            match self.0.recv().await.map_err(fault)? {
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => return Ok(Some(fetched(event))),
                // Of a sort that the client does not know; records it cannot hold.
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// At the end of a shard the service names the children and no continuation. Some servers name the
/// children with every event of a closed shard; there the one without records is the last.
fn fetched(event: SubscribeToShardEvent) -> Fetched {
    let names_children = event.child_shards.is_some_and(|children| !children.is_empty());
    let is_end = event.continuation_sequence_number.is_empty() || names_children && event.records.is_empty();
    Fetched {
        names_children,
        next_iterator: (!is_end).then_some(event.continuation_sequence_number),
        millis_behind_latest: Some(event.millis_behind_latest),
        records: event.records.into_iter().map(record).collect(),
    }
}

/// The message is put together from the causes' words alone: the error's debug form would print the
/// event that could not be read, payloads and all.
fn fault<R: std::fmt::Debug + 'static>(error: SdkError<EventError, R>) -> Fault {
    let kind = match &error {
        SdkError::ServiceError(context) => kind_of(context.err()),
        SdkError::TimeoutError(_) => TroubleKind::TimedOut,
        SdkError::ResponseError(_) => TroubleKind::BadReply,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => TroubleKind::TimedOut,
        // `SdkError` may grow: a failure of an unknown sort is retried like a broken connection.
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) | _ => TroubleKind::Unreachable,
    };
    let mut message = String::from("the subscription broke off");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Fault::new(kind, cut(&message))
}

/// An event names its exception by type; a code is not always beside it.
#[allow(clippy::wildcard_enum_match_arm, reason = "what is left is deprecated to name")]
fn kind_of(error: &EventError) -> TroubleKind {
    match error {
        // Another subscription of this consumer took the shard over, or the stream is changing.
        EventError::ResourceInUseException(_) => TroubleKind::NotReady,
        EventError::ResourceNotFoundException(_) => TroubleKind::NotFound,
        EventError::KmsThrottlingException(_) => TroubleKind::Throttled,
        EventError::KmsDisabledException(_)
        | EventError::KmsInvalidStateException(_)
        | EventError::KmsAccessDeniedException(_)
        | EventError::KmsNotFoundException(_)
        | EventError::KmsOptInRequired(_) => TroubleKind::Encryption,
        EventError::InternalFailureException(_) => TroubleKind::ServiceFailed,
        other => other.code().and_then(TroubleKind::from_code).unwrap_or(TroubleKind::ServiceFailed),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::error::{InternalFailureException, KmsDisabledException, ResourceInUseException};
    use aws_sdk_kinesis::types::{ChildShard, HashKeyRange};

    use super::*;

    #[test]
    fn a_shard_ends_with_its_children_and_without_continuation_or_records() {
        let range = HashKeyRange::builder().starting_hash_key("0").ending_hash_key("1").build().unwrap();
        let child = ChildShard::builder().shard_id("c").parent_shards("p").hash_key_range(range).build().unwrap();
        let record = aws_sdk_kinesis::types::Record::builder()
            .sequence_number("1")
            .data(aws_sdk_kinesis::primitives::Blob::new("x"))
            .partition_key("k")
            .build()
            .unwrap();
        let event = |continuation: &str, records: usize, children: usize| {
            let event = SubscribeToShardEvent::builder().continuation_sequence_number(continuation).millis_behind_latest(0);
            let event = event.set_records(Some(vec![record.clone(); records])).set_child_shards(Some(vec![child.clone(); children]));
            let fetched = fetched(event.build().unwrap());
            (fetched.next_iterator.is_some(), fetched.names_children)
        };
        assert_eq!(event("7", 1, 0), (true, false));
        assert_eq!(event("7", 0, 0), (true, false));
        assert_eq!(event("", 0, 2), (false, true), "the service's end");
        assert_eq!(event("", 1, 2), (false, true), "with its last records");
        assert_eq!(event("7", 0, 2), (false, true));
        assert_eq!(event("7", 1, 2), (true, true), "more may come");
        assert_eq!(event("", 0, 0), (false, false), "a claim, to be held against the listing");
    }

    #[test]
    fn exceptions_in_the_stream_are_known_by_their_type_and_show_no_payload() {
        let in_use = EventError::ResourceInUseException(ResourceInUseException::builder().message("taken over").build());
        let broken = fault(SdkError::service_error(in_use, "a raw secret"));
        assert_eq!(broken.kind, TroubleKind::NotReady);
        assert!(broken.message.contains("taken over") && !broken.message.contains("secret"), "{}", broken.message);
        let kms = EventError::KmsDisabledException(KmsDisabledException::builder().message("off").build());
        assert_eq!(kind_of(&kms), TroubleKind::Encryption);
        let failed = EventError::InternalFailureException(InternalFailureException::builder().message("oops").build());
        assert_eq!(kind_of(&failed), TroubleKind::ServiceFailed);
        let unread: SdkError<EventError, &str> = SdkError::response_error("no JSON", "a raw secret");
        let unread = fault(unread);
        assert_eq!((unread.kind, &*unread.message), (TroubleKind::BadReply, "the subscription broke off: no JSON"));
    }
}
