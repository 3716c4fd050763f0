//! Publishing to SNS: batches of ten, order kept, retried until it is delivered or cannot ever be.
//!
//! One task a topic. A batch may fail in part: its entries come back one by one, and those that may be tried again go
//! first in the next batch, so messages of one incident never overtake each other.
//!
//! | error | is | then |
//! |---|---|---|
//! | throttled, 5xx, time-out, no connection | passing | backoff with jitter, forever |
//! | topic gone, access denied, key disabled | an administrator's | the same with longer pauses, told once a minute |
//! | the message itself refused (its text, its attributes, its length) | for good | dead letter |
//! | anything else | perhaps passing | as the first |

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish_batch::{PublishBatchError, PublishBatchOutput};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use tokio::sync::mpsc;

use crate::alerting::message::{MESSAGE_BYTES_MAX, Message};
use crate::finding::Digest128;

/// Entries of one PublishBatch call.
const BATCH_MAX: usize = 10;
/// How the names of FIFO topics end.
pub const FIFO: &str = ".fifo";
const BACKOFF_BASE: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A message on its way to a topic.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its place in the outbox.
    pub sequence: u64,
    /// Its incident: messages of one incident never overtake each other.
    pub incident: Digest128,
    /// The same for what is the same message: a FIFO topic drops what it has accepted under it in the last five minutes.
    pub key: Digest128,
    /// What is sent.
    pub message: Message,
}

/// What became of a message, or of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// SNS accepted it.
    Sent {
        /// Its place in the outbox.
        sequence: u64,
        /// How long the call took, in seconds.
        seconds: f64,
    },
    /// SNS will never accept it.
    Refused {
        /// Its place in the outbox.
        sequence: u64,
        /// SNS's words.
        why: String,
    },
    /// A call failed and will be made again.
    Retrying {
        /// The class of the error.
        class: RetryClass,
        /// SNS's words.
        why: String,
        /// When.
        retry_in: Duration,
    },
}

/// Why a call is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryClass {
    /// Too many calls.
    Throttled,
    /// No answer, no connection, or the service failed.
    Network,
    /// Topic gone, access denied, key disabled: somebody must act.
    Permission,
}

impl RetryClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Throttled, Self::Network, Self::Permission];

    /// The class as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Network => "network",
            Self::Permission => "permission",
        }
    }
}

enum Class {
    Retry(RetryClass),
    Refused,
}

/// Publishes what comes from `incoming` to `topic` until the sender is dropped and everything is settled.
pub async fn publish(
    client: Client,
    topic: String,
    mut incoming: mpsc::UnboundedReceiver<Outgoing>,
    results: mpsc::UnboundedSender<(String, Published)>,
) {
    let mut queue: VecDeque<Outgoing> = VecDeque::new();
    let mut failures = 0;
    loop {
        if queue.is_empty() {
            match incoming.recv().await {
                Some(outgoing) => queue.push_back(outgoing),
                None => return,
            }
        }
        while let Ok(outgoing) = incoming.try_recv() {
            queue.push_back(outgoing);
        }
        let batch = take_batch(&mut queue);
        let (told, retry) = send(&client, &topic, batch, &mut queue).await;
        for result in told {
            // Nobody listens any more only when the process is ending.
            let _ = results.send((topic.clone(), result));
        }
        failures = if retry.is_some() { failures + 1 } else { 0 };
        if let Some((class, why)) = retry {
            let retry_in = pause(failures, class);
            let _ = results.send((topic.clone(), Published::Retrying { class, why, retry_in }));
            tokio::time::sleep(retry_in).await;
        }
    }
}

/// Exponential backoff with full jitter; longer where somebody must act first.
fn pause(failures: u32, class: RetryClass) -> Duration {
    let base = if class == RetryClass::Permission { BACKOFF_BASE * 10 } else { BACKOFF_BASE };
    let most = base.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
    base.min(most) + (most - base.min(most)).mul_f64(fastrand::f64())
}

/// The next messages that fit into one call.
fn take_batch(queue: &mut VecDeque<Outgoing>) -> Vec<Outgoing> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(next) = queue.front() {
        let attributes: usize = next.message.attributes.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        bytes += next.message.body.len() + attributes;
        // Of two messages of one incident in one call the first may fail alone, and the second would overtake it.
        let follows = batch.iter().any(|earlier: &Outgoing| earlier.incident == next.incident);
        if batch.len() == BATCH_MAX || follows || (bytes > MESSAGE_BYTES_MAX && !batch.is_empty()) {
            break;
        }
        batch.extend(queue.pop_front());
    }
    batch
}

/// Makes one call. Returns what is settled, and why the rest (back in `queue`, in order) is to be tried again.
async fn send(
    client: &Client,
    topic: &str,
    batch: Vec<Outgoing>,
    queue: &mut VecDeque<Outgoing>,
) -> (Vec<Published>, Option<(RetryClass, String)>) {
    let started = crate::clock::moment();
    let is_fifo = topic.ends_with(FIFO);
    let entries = batch.iter().enumerate().map(|(index, outgoing)| entry(index, outgoing, is_fifo)).collect();
    let answer = client.publish_batch().topic_arn(topic).set_publish_batch_request_entries(Some(entries)).send().await;
    let seconds = started.elapsed().as_secs_f64();
    match answer {
        Ok(output) => settle(batch, &output, seconds, queue),
        Err(error) => {
            let why = describe(&error);
            match classify(&error) {
                Class::Retry(class) => {
                    put_back(queue, batch);
                    (Vec::new(), Some((class, why)))
                }
                // One bad message spoils the call: each is tried alone, and only the bad one is given up.
                Class::Refused if batch.len() > 1 => Box::pin(send_singly(client, topic, batch, queue)).await,
                Class::Refused => {
                    (batch.into_iter().map(|o| Published::Refused { sequence: o.sequence, why: why.clone() }).collect(), None)
                }
            }
        }
    }
}

async fn send_singly(
    client: &Client,
    topic: &str,
    batch: Vec<Outgoing>,
    queue: &mut VecDeque<Outgoing>,
) -> (Vec<Published>, Option<(RetryClass, String)>) {
    let mut told = Vec::new();
    let mut rest = VecDeque::from(batch);
    while let Some(outgoing) = rest.pop_front() {
        let mut back = VecDeque::new();
        let (settled, retry) = send(client, topic, vec![outgoing], &mut back).await;
        told.extend(settled);
        if retry.is_some() {
            put_back(queue, back.into_iter().chain(rest).collect());
            return (told, retry);
        }
    }
    (told, None)
}

/// Reads a partial success: entries that failed for now go back to the front, in order.
fn settle(
    batch: Vec<Outgoing>,
    output: &PublishBatchOutput,
    seconds: f64,
    queue: &mut VecDeque<Outgoing>,
) -> (Vec<Published>, Option<(RetryClass, String)>) {
    let (mut told, mut again, mut retry) = (Vec::new(), Vec::new(), None);
    for (index, outgoing) in batch.into_iter().enumerate() {
        let id = index.to_string();
        let sent = output.successful().iter().any(|entry| entry.id() == Some(id.as_str()));
        let failed = output.failed().iter().find(|entry| entry.id() == id);
        // Named neither as sent nor as failed: nothing says that it was delivered, so it is sent again.
        let code = failed.map_or("no result", |failed| failed.code());
        let words = failed.and_then(|failed| failed.message()).unwrap_or("entry failed");
        match classify_code(code) {
            _ if sent => told.push(Published::Sent { sequence: outgoing.sequence, seconds }),
            Class::Refused => told.push(Published::Refused { sequence: outgoing.sequence, why: format!("{code}: {words}") }),
            Class::Retry(class) => {
                retry = Some((class, format!("{code}: {words}")));
                again.push(outgoing);
            }
        }
    }
    put_back(queue, again);
    (told, retry)
}

fn put_back(queue: &mut VecDeque<Outgoing>, batch: Vec<Outgoing>) {
    for outgoing in batch.into_iter().rev() {
        queue.push_front(outgoing);
    }
}

fn entry(index: usize, outgoing: &Outgoing, is_fifo: bool) -> PublishBatchRequestEntry {
    let Message { subject, body, attributes } = &outgoing.message;
    let mut entry = PublishBatchRequestEntry::builder().id(index.to_string()).subject(subject).message(body);
    if is_fifo {
        // The order of an incident is kept for its readers, too.
        entry = entry.message_group_id(outgoing.incident.to_string()).message_deduplication_id(outgoing.key.to_string());
    }
    for (name, value) in attributes {
        // The type is set, and that is all that the builder asks for.
        if let Ok(value) = MessageAttributeValue::builder().data_type("String").string_value(value).build() {
            entry = entry.message_attributes(*name, value);
        }
    }
    entry.build().unwrap_or_else(|_| unreachable!("id and message are set"))
}

fn classify(error: &SdkError<PublishBatchError>) -> Class {
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(code) => classify_code(code),
        None => Class::Retry(RetryClass::Network),
    }
}

/// Only what says that the message itself is wrong is final. Everything else may be cured, and an alert that waits is
/// better than one that is put aside.
fn classify_code(code: &str) -> Class {
    const FINAL: [&str; 7] = [
        "InvalidParameter",
        "ParameterValueInvalid",
        "ValidationError",
        "ValidationException",
        "BatchRequestTooLong",
        "MessageTooLong",
        "InvalidMessage",
    ];
    const PERMISSION: [&str; 13] = [
        "NotFound",
        "AuthorizationError",
        "AccessDenied",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "ExpiredToken",
        "RequestExpired",
        "OptInRequired",
        "InvalidSecurity",
        "KMS",
    ];
    let is_one_of = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
    if code.contains("Throttl") || code.contains("TooManyRequests") || code == "RequestLimitExceeded" {
        Class::Retry(RetryClass::Throttled)
    } else if is_one_of(&PERMISSION) {
        Class::Retry(RetryClass::Permission)
    } else if is_one_of(&FINAL) {
        Class::Refused
    } else {
        Class::Retry(RetryClass::Network)
    }
}

/// The error with its causes, which the SDK's own text leaves out.
pub fn describe<E: std::error::Error + 'static>(error: &E) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(sequence: u64, bytes: usize) -> Outgoing {
        Outgoing {
            sequence,
            incident: Digest128::of(&[&sequence.to_le_bytes()]),
            key: Digest128::of(&[&sequence.to_le_bytes()]),
            message: Message { subject: "s".into(), body: "x".repeat(bytes), attributes: vec![("severity", "low".into())] },
        }
    }

    #[test]
    fn batches_hold_ten_and_256_kib() {
        let mut queue: VecDeque<_> = (0..25).map(|n| outgoing(n, 10)).collect();
        assert_eq!(take_batch(&mut queue).len(), 10);
        let mut queue: VecDeque<_> = (0..5).map(|n| outgoing(n, 100_000)).collect();
        assert_eq!((take_batch(&mut queue).len(), take_batch(&mut queue).len()), (2, 2));
        let mut queue: VecDeque<_> = [outgoing(0, MESSAGE_BYTES_MAX)].into();
        assert_eq!(take_batch(&mut queue).len(), 1, "a full message goes alone");
    }

    #[test]
    fn what_failed_for_now_goes_first() {
        use aws_sdk_sns::types::{BatchResultErrorEntry, PublishBatchResultEntry};
        let failed =
            |id: &str, code: &str, fault| BatchResultErrorEntry::builder().id(id).code(code).sender_fault(fault).build().expect("complete");
        let output = PublishBatchOutput::builder()
            .successful(PublishBatchResultEntry::builder().id("0").build())
            .failed(failed("1", "InternalError", false))
            .failed(failed("2", "InvalidParameter", true))
            .build();
        let mut queue: VecDeque<_> = [outgoing(9, 1)].into();
        let (told, retry) = settle((0..4).map(|n| outgoing(n, 1)).collect(), &output, 0.1, &mut queue);
        assert!(matches!(told[..], [Published::Sent { sequence: 0, .. }, Published::Refused { sequence: 2, .. }]), "{told:?}");
        assert!(retry.is_some_and(|(class, _)| class == RetryClass::Network));
        assert_eq!(queue.iter().map(|o| o.sequence).collect::<Vec<_>>(), [1, 3, 9]);
    }
}
