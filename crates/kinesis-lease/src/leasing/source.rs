//! Where the stream's shards are listed.

use std::time::Duration;

use aws_sdk_kinesis::Client;

use super::table::TableError;
use crate::calls::StreamCalls;
use crate::plan::ListedShard;
use crate::settings::StreamSettings;

/// Lists a stream's shards.
pub trait ShardSource: Send + Sync + 'static {
    /// Every shard of the stream, page after page.
    ///
    /// # Errors
    /// A page could not be had. Half a listing is never given.
    fn list(&self) -> impl Future<Output = Result<Vec<ListedShard>, TableError>> + Send;
}

/// The shards of a Kinesis stream, by `ListShards`, which gives up to 1,000 of them a page.
#[derive(Debug, Clone)]
pub struct KinesisShards {
    calls: StreamCalls,
}

impl KinesisShards {
    /// The shards of the stream that `stream` names. A page that takes longer than `call_timeout`
    /// has failed.
    pub fn new(client: Client, stream: &StreamSettings, call_timeout: Duration) -> Self {
        Self { calls: StreamCalls::new(client, stream, call_timeout) }
    }
}

impl ShardSource for KinesisShards {
    async fn list(&self) -> Result<Vec<ListedShard>, TableError> {
        Ok(self.calls.list_shards().await?)
    }
}
