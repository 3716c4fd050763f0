//! The three Kinesis calls that a polling reader needs, each with a time limit and a classified error.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType};

use crate::checkpoint::Checkpoint;
use crate::delivery::Record;
use crate::plan::{HashRange, ListedShard};
use crate::settings::StreamSettings;
use crate::trouble::{Fault, TroubleKind};

/// A client that knows which stream it is for.
#[derive(Debug, Clone)]
pub(crate) struct StreamCalls {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) arn: Option<String>,
    /// No answer may take longer, and no pause between two events of a subscription.
    pub(crate) timeout: Duration,
}

/// The answer to `GetRecords`, or an event of a subscription.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) records: Vec<Record>,
    /// Of an event: the continuation. `None`: the end of the shard, if the answer is to be believed.
    pub(crate) next_iterator: Option<String>,
    pub(crate) millis_behind_latest: Option<i64>,
    /// Real Kinesis names the children at the end of a shard; some servers do not.
    pub(crate) names_children: bool,
}

impl StreamCalls {
    pub(crate) fn new(client: Client, settings: &StreamSettings, timeout: Duration) -> Self {
        Self { client, name: settings.name.clone(), arn: settings.arn.clone(), timeout }
    }

    /// Every shard of the stream, page after page.
    pub(crate) async fn list_shards(&self) -> Result<Vec<ListedShard>, Fault> {
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            // The service takes either a token or what names the stream, never both.
            let request = match token.take() {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.name).set_stream_arn(self.arn.clone()),
            };
            let page = self.in_time(async { Ok(request.send().await?) }).await?;
            listed.extend(page.shards.unwrap_or_default().into_iter().map(listed_shard));
            match page.next_token {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        if listed.is_empty() {
            // Taken at its word, every shard would be gone.
            return Err(Fault::new(TroubleKind::BadReply, "ListShards named no shard"));
        }
        Ok(listed)
    }

    /// An iterator at `position`, which must not be [`Checkpoint::ShardEnd`].
    pub(crate) async fn iterator(&self, shard: &str, position: &Checkpoint) -> Result<String, Fault> {
        let request = self.client.get_shard_iterator().stream_name(&self.name).set_stream_arn(self.arn.clone()).shard_id(shard);
        let (kind, number, time) = Self::starting_at(position)?;
        let request = request.shard_iterator_type(kind).set_starting_sequence_number(number).set_timestamp(time);
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        reply.shard_iterator.ok_or_else(|| Fault::new(TroubleKind::BadReply, "GetShardIterator gave no iterator"))
    }

    /// A position as the service takes it: the type, with the number or the time that belongs to it.
    pub(crate) fn starting_at(position: &Checkpoint) -> Result<(ShardIteratorType, Option<String>, Option<DateTime>), Fault> {
        Ok(match position {
            Checkpoint::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
            Checkpoint::Latest => (ShardIteratorType::Latest, None, None),
            Checkpoint::AtTimestamp(ms) => (ShardIteratorType::AtTimestamp, None, Some(DateTime::from_millis(*ms))),
            Checkpoint::After { sequence_number, sub_sequence: None } => {
                (ShardIteratorType::AfterSequenceNumber, Some(sequence_number.to_string()), None)
            }
            Checkpoint::After { sequence_number, sub_sequence: Some(_) } => {
                (ShardIteratorType::AtSequenceNumber, Some(sequence_number.to_string()), None)
            }
            Checkpoint::ShardEnd => return Err(Fault::new(TroubleKind::Rejected, "a shard's end is no place to read from")),
        })
    }

    /// The next page.
    pub(crate) async fn records(&self, iterator: &str, limit: i32) -> Result<Fetched, Fault> {
        let request = self.client.get_records().shard_iterator(iterator).set_stream_arn(self.arn.clone()).limit(limit);
        let reply = self.in_time(async { Ok(request.send().await?) }).await?;
        Ok(Fetched {
            names_children: reply.child_shards.is_some_and(|children| !children.is_empty()),
            next_iterator: reply.next_shard_iterator,
            millis_behind_latest: reply.millis_behind_latest,
            records: reply.records.into_iter().map(record).collect(),
        })
    }

    /// The limit holds whatever time-outs the client was given.
    pub(crate) async fn in_time<T>(&self, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(|_| {
            let message = format!("no answer within {:?}", self.timeout);
            Err(Fault::new(TroubleKind::TimedOut, message))
        })
    }
}

fn listed_shard(shard: types::Shard) -> ListedShard {
    ListedShard {
        hash_range: shard.hash_key_range.and_then(|range| HashRange::parse(&range.starting_hash_key, &range.ending_hash_key)),
        shard: Arc::from(shard.shard_id),
        parents: [shard.parent_shard_id, shard.adjacent_parent_shard_id].into_iter().flatten().map(Arc::from).collect(),
        open: shard.sequence_number_range.is_none_or(|range| range.ending_sequence_number.is_none()),
    }
}

pub(crate) fn record(record: types::Record) -> Record {
    Record {
        data: record.data.into_inner(),
        sequence_number: record.sequence_number,
        sub_sequence: None,
        partition_key: record.partition_key.unwrap_or_default(),
        arrival_ms: record.approximate_arrival_timestamp.and_then(|arrival| arrival.to_millis().ok()),
    }
}
