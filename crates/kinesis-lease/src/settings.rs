//! What a caller decides, with its defaults and limits.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use tokio::sync::Semaphore;

use crate::checkpoint::Checkpoint;

/// The service's own cap on [`StreamSettings::records_per_call`].
pub const RECORDS_PER_CALL_MAX: i32 = 10_000;

/// Where reading starts in the shards that exist when a stream is seen for the first time.
///
/// Shards that appear later always start at their oldest record, whatever this says: a child of a
/// split that started at `LATEST` would lose what came before it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartAt {
    /// At the oldest record within retention; closed shards are read, too.
    #[default]
    TrimHorizon,
    /// With whatever comes next, in the shards that are open.
    Latest,
    /// With the first record that arrived at or after this time, in milliseconds since the Unix
    /// epoch; closed shards are read, too. The service refuses a time that lies in the future.
    AtTimestamp(i64),
}

impl From<StartAt> for Checkpoint {
    fn from(start: StartAt) -> Self {
        match start {
            StartAt::TrimHorizon => Self::TrimHorizon,
            StartAt::Latest => Self::Latest,
            StartAt::AtTimestamp(ms) => Self::AtTimestamp(ms),
        }
    }
}

/// One stream and how to poll it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// The stream's name.
    pub name: String,
    /// What the stream is called in [`ShardKey`](crate::ShardKey), if not by its name. Needed only
    /// where two streams share a name, in two regions or accounts.
    pub alias: Option<String>,
    /// The stream's ARN. Sent with every call if it is given; needed for a stream of another account.
    pub arn: Option<String>,
    /// Where to begin when the stream is seen for the first time.
    pub start: StartAt,
    /// Wait between two calls once a shard is read up to its tip. Default 1 s.
    pub poll_interval: Duration,
    /// The wait grows to this while a shard stays empty. Default 5 s.
    pub idle_poll_interval: Duration,
    /// Least time between two `GetRecords` of one shard, also while behind. Default 200 ms: the
    /// service allows five calls a second and shard, shared by all of its readers.
    pub min_call_interval: Duration,
    /// `Limit` of a `GetRecords` call, 1 to [`RECORDS_PER_CALL_MAX`] (the default). The service
    /// also ends a page at 10 MB.
    pub records_per_call: i32,
    /// Wait between two listings of the stream's shards, apart from those at the start and at the
    /// end of a shard. Default 60 s.
    pub discovery_interval: Duration,
    /// Whether records that the Kinesis Producer Library packed into one are taken apart, as KCL
    /// does. Default true: what is not packed is left as it is.
    pub aggregated: bool,
    /// Subscribe to the shards (enhanced fan-out) instead of polling them: 2 MB a second and shard of
    /// this consumer's own, pushed as they come, for a price of their own. Default `None`: poll.
    ///
    /// The polling settings have no effect then. The credentials need `kinesis:SubscribeToShard`,
    /// `DescribeStreamConsumer`, and for a name `RegisterStreamConsumer` and `DescribeStreamSummary`.
    pub fan_out: Option<FanOut>,
    /// Least time between two subscriptions to one shard; a fifth of it after an attempt that failed.
    /// Default 5 s: the service refuses a second one within that time, and more than one attempt a
    /// second.
    pub min_subscribe_interval: Duration,
}

/// The registered consumer through which a stream is subscribed to.
///
/// It must be this application's own: of two subscriptions to one shard through one consumer the later
/// ends the earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FanOut {
    /// By its name, 1 to 128 characters of `[a-zA-Z0-9_.-]`. It is registered if it is not there, and
    /// stays registered (and paid for) until somebody deregisters it.
    Name(String),
    /// By its ARN. It is there already.
    Arn(String),
}

impl FanOut {
    fn is_valid(&self) -> bool {
        match self {
            Self::Name(name) => {
                let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                (1..=128).contains(&name.len()) && name.bytes().all(is_allowed)
            }
            Self::Arn(arn) => arn.starts_with("arn:") && arn.contains("/consumer/"),
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            alias: None,
            arn: None,
            start: StartAt::default(),
            poll_interval: Duration::from_secs(1),
            idle_poll_interval: Duration::from_secs(5),
            min_call_interval: Duration::from_millis(200),
            records_per_call: RECORDS_PER_CALL_MAX,
            discovery_interval: Duration::from_secs(60),
            aggregated: true,
            fan_out: None,
            min_subscribe_interval: Duration::from_secs(5),
        }
    }
}

impl StreamSettings {
    /// The stream `name` with all defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What the stream is called in deliveries and manifests: the alias, else the name.
    pub fn key(&self) -> Arc<str> {
        Arc::from(self.alias.as_deref().unwrap_or(&self.name))
    }
}

/// Limits that all streams of a consumer share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Deliveries that may wait for the caller. Default 16; a page is at most 10 MB. One of aggregated
    /// records, which repeat their keys when they are taken apart, comes in parts of 16 MiB, or of
    /// one record with at most [`kpl::USER_BYTES_MAX`](crate::kpl::USER_BYTES_MAX).
    pub pages_in_flight: usize,
    /// `GetRecords` calls, or events of subscriptions, at a time. Default 4. A 10 MB page costs about 30 MB while it is received
    /// and decoded, and the call keeps its place until the page is in the channel. So the most that
    /// a consumer holds is about `pages_in_flight` × 10 MB + `concurrent_fetches` × 30 MB; and for
    /// each shard that is subscribed to, the part of an event that has arrived.
    pub concurrent_fetches: usize,
    /// The first retry comes after a random time up to this. Default 250 ms.
    pub backoff_base: Duration,
    /// That limit doubles with each failure in a row, up to this. Default 30 s.
    pub backoff_max: Duration,
    /// A call that has no answer after this long, the client's own retries included, has failed.
    /// Default 30 s. It holds whatever time-outs the client has. So has a subscription that brings no
    /// event for this long; the service sends one every few seconds, records or not.
    pub call_timeout: Duration,
    /// How long [`ConsumerHandle::stop`](crate::ConsumerHandle::stop) waits for the tasks to end.
    /// They end at their next await, so the default of 5 s is ample.
    pub stop_timeout: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            pages_in_flight: 16,
            concurrent_fetches: 4,
            backoff_base: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            call_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A stream has an empty name.
    #[error("a stream has no name")]
    Unnamed,
    /// Two streams would share their leases.
    #[error("two streams are called {0:?}: give one of them an alias")]
    Duplicate(String),
    /// A stream is to be subscribed to through something that is no consumer.
    #[error("{0:?} is no consumer's name or ARN")]
    NoConsumer(FanOut),
    /// A number is outside its range.
    #[error("{name} is {value}, but must be {allowed}")]
    OutOfRange {
        /// The setting's field name.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

pub(crate) fn validate<'a>(
    streams: impl IntoIterator<Item = &'a StreamSettings>,
    settings: &ConsumerSettings,
) -> Result<(), SettingsError> {
    let mut keys = std::collections::BTreeSet::new();
    for stream in streams {
        if stream.name.is_empty() {
            return Err(SettingsError::Unnamed);
        }
        if !keys.insert(stream.key()) {
            return Err(SettingsError::Duplicate(stream.key().to_string()));
        }
        if let Some(consumer) = stream.fan_out.as_ref().filter(|consumer| !consumer.is_valid()) {
            return Err(SettingsError::NoConsumer(consumer.clone()));
        }
        if !(1..=RECORDS_PER_CALL_MAX).contains(&stream.records_per_call) {
            return Err(SettingsError::OutOfRange {
                name: "records_per_call",
                value: stream.records_per_call.to_string(),
                allowed: format!("1 to {RECORDS_PER_CALL_MAX}"),
            });
        }
    }
    // More than the semaphore can count would panic inside tokio.
    let count = 1..=Semaphore::MAX_PERMITS;
    for (name, value) in [("pages_in_flight", settings.pages_in_flight), ("concurrent_fetches", settings.concurrent_fetches)] {
        if !count.contains(&value) {
            return Err(SettingsError::OutOfRange { name, value: value.to_string(), allowed: format!("1 to {}", count.end()) });
        }
    }
    Ok(())
}

/// Sets the time-outs and retries that a long-lived reader needs on a client's configuration.
///
/// The SDK's own defaults limit only the time to connect, so a socket that is accepted and never
/// answered would hang a call. This gives: connect 5 s, attempt 10 s, whole operation 30 s, and at
/// most three attempts in the SDK's standard mode. What still fails is told as
/// [`Delivery::Trouble`](crate::Delivery::Trouble) and retried by the consumer.
///
/// ```
/// # use aws_sdk_kinesis::config::{BehaviorVersion, Region};
/// let config = aws_sdk_kinesis::Config::builder()
///     .behavior_version(BehaviorVersion::latest())
///     .region(Region::new("eu-central-1"));
/// let client = aws_sdk_kinesis::Client::from_conf(
///     kinesis_lease::client_config_defaults(config).build(),
/// );
/// ```
pub fn client_config_defaults(config: aws_sdk_kinesis::config::Builder) -> aws_sdk_kinesis::config::Builder {
    config
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(30))
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let fine = ConsumerSettings::default();
        let check = |streams: &[StreamSettings]| validate(streams, &fine);
        assert_eq!(check(&[StreamSettings::new("a")]), Ok(()));
        assert_eq!(check(&[StreamSettings::default()]), Err(SettingsError::Unnamed));

        let mut twin = StreamSettings::new("a");
        let both = [StreamSettings::new("a"), twin.clone()];
        assert_eq!(check(&both), Err(SettingsError::Duplicate("a".into())));
        twin.alias = Some("a-eu".into());
        assert_eq!(check(&[StreamSettings::new("a"), twin]), Ok(()));

        let mut greedy = StreamSettings::new("a");
        greedy.records_per_call = 10_001;
        let error = check(&[greedy]).expect_err("over the service's cap");
        assert_eq!(error.to_string(), "records_per_call is 10001, but must be 1 to 10000");

        let subscribed = |consumer: FanOut| check(&[StreamSettings { fan_out: Some(consumer), ..StreamSettings::new("a") }]);
        assert_eq!(subscribed(FanOut::Name("my-app_1.x".into())), Ok(()));
        assert_eq!(subscribed(FanOut::Arn("arn:aws:kinesis:eu-central-1:1:stream/a/consumer/b:1".into())), Ok(()));
        let bad = [FanOut::Name(String::new()), FanOut::Name("a b".into()), FanOut::Name("x".repeat(129)), FanOut::Arn("my-app".into())];
        for bad in bad {
            assert_eq!(subscribed(bad.clone()), Err(SettingsError::NoConsumer(bad)));
        }

        let none = ConsumerSettings { pages_in_flight: 0, ..fine.clone() };
        assert!(validate(&[StreamSettings::new("a")], &none).is_err());
    }
}
