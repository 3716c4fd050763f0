//! Servers, a proxy that misbehaves on request, and a reader that checks what it is given.

pub mod dynamo;
pub mod event_stream;
pub mod fan_out;
pub mod proxy;
pub mod reader;
pub mod server;
pub mod stream;

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::{Client, Config};
use kinesis_lease::{ConsumerSettings, FanOut, StreamSettings, client_config_defaults};

/// Generous: it is only ever reached when something is broken.
pub const DEADLINE: Duration = Duration::from_secs(40);

fn config(endpoint: &str) -> aws_sdk_kinesis::config::Builder {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"));
    client_config_defaults(config)
}

/// A client as a daemon would have it.
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).build())
}

/// A client without retries of its own, so that every fault reaches the consumer.
pub fn bare_client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).retry_config(RetryConfig::disabled()).build())
}

/// A client that has no credentials at all.
pub fn anonymous_client(endpoint: &str) -> Client {
    let config = Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-east-1")).endpoint_url(endpoint);
    Client::from_conf(client_config_defaults(config).build())
}

/// A stream that is polled fast enough for tests.
pub fn fast(name: &str) -> StreamSettings {
    StreamSettings {
        poll_interval: Duration::from_millis(30),
        idle_poll_interval: Duration::from_millis(60),
        min_call_interval: Duration::from_millis(5),
        discovery_interval: Duration::from_millis(250),
        ..StreamSettings::new(name)
    }
}

/// The same, subscribed to.
pub fn subscribed(name: &str) -> StreamSettings {
    let fan_out = Some(FanOut::Name("tests".into()));
    StreamSettings { fan_out, min_subscribe_interval: Duration::from_millis(50), ..fast(name) }
}

/// Limits with a backoff short enough for tests.
pub fn quick() -> ConsumerSettings {
    ConsumerSettings { backoff_base: Duration::from_millis(10), backoff_max: Duration::from_millis(100), ..ConsumerSettings::default() }
}
