//! A lease as DynamoDB attributes: KCL 2's row, and three of this crate beside it. Pure.
//!
//! Names and types are those that KCL 2.5.8 writes (captured from a running one, and its
//! `DynamoDBLeaseSerializer`); `checkpointOwner` is KCL 3's.
//!
//! KCL writes a sub-sequence number of 0 for a plain record and for the first of several in an
//! aggregated one alike, and tells them apart when the record comes again; the reader does so, too.
//! This crate's own checkpoints are after whole records mostly, however many a record holds, and
//! `checkpointWholeRecord` says so. It names the record, so it says nothing about a checkpoint that
//! KCL wrote since. `AT_TIMESTAMP` has its time in `checkpointTimestampMs`, where KCL has it in its
//! configuration.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::checkpoint::Checkpoint;
use crate::leasing::lease::LeaseRow;
use crate::leasing::table::BadRow;
use crate::plan::HashRange;
use crate::store::words;

pub(super) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const COUNTER: &str = "leaseCounter";
pub(super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const CHECKPOINT: &str = "checkpoint";
const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
const PARENTS: &str = "parentShardId";
pub(super) const CHILDREN: &str = "childShardIds";
const STARTING_HASH: &str = "startingHashKey";
const ENDING_HASH: &str = "endingHashKey";
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(super) const PENDING: &str = "pendingCheckpoint";
pub(super) const PENDING_SUB_SEQUENCE: &str = "pendingCheckpointSubSequenceNumber";
pub(super) const PENDING_STATE: &str = "pendingCheckpointState";
/// KCL 3.5 keeps other things than leases in the table, and says so here.
const ENTITY_TYPE: &str = "entityType";
const ENTITY_LEASE: &str = "LEASE";

/// What belongs to the checkpoint (this crate's).
pub const SNAPSHOT_REF: &str = "snapshotRef";
/// The sequence number of a record that is done as a whole (this crate's).
pub const WHOLE_RECORD: &str = "checkpointWholeRecord";
/// The time of an `AT_TIMESTAMP` checkpoint, in milliseconds since the Unix epoch (this crate's).
pub const TIMESTAMP: &str = "checkpointTimestampMs";

pub(super) const SHARD_END: &str = "SHARD_END";

/// The attributes of a checkpoint; `None` where there must be none.
pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> [(&'static str, Option<AttributeValue>); 4] {
    let (text, sub_sequence, timestamp_ms) = words::of(checkpoint);
    let is_whole = matches!(checkpoint, Checkpoint::After { sub_sequence: None, .. });
    [
        (CHECKPOINT, Some(AttributeValue::S(text.clone()))),
        (SUB_SEQUENCE, Some(number(sub_sequence.unwrap_or(0)))),
        (WHOLE_RECORD, is_whole.then_some(AttributeValue::S(text))),
        (TIMESTAMP, timestamp_ms.map(|ms| AttributeValue::N(ms.to_string()))),
    ]
}

/// The whole row.
pub fn encode(row: &LeaseRow) -> HashMap<String, AttributeValue> {
    let text = |text: &Arc<str>| AttributeValue::S(text.to_string());
    let set = |shards: &[Arc<str>]| (!shards.is_empty()).then(|| string_set(shards));
    let hash = |end: u128| AttributeValue::S(end.to_string());
    let attributes = [
        (KEY, Some(text(&row.key))),
        (OWNER, row.owner.as_ref().map(text)),
        (COUNTER, Some(number(row.counter))),
        (OWNER_SWITCHES, Some(number(row.owner_switches))),
        (PARENTS, set(&row.parents)),
        (CHILDREN, set(&row.children)),
        (STARTING_HASH, row.hash_range.map(|range| hash(range.starting))),
        (ENDING_HASH, row.hash_range.map(|range| hash(range.ending))),
        (CHECKPOINT_OWNER, row.checkpoint_owner.as_ref().map(text)),
        (SNAPSHOT_REF, row.snapshot_ref.as_ref().map(text)),
    ];
    let attributes = attributes.into_iter().chain(of_checkpoint(&row.checkpoint));
    attributes.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The row, or `None` where KCL says that it is something else than a lease.
///
/// # Errors
/// What does not fit: a missing attribute, another type, a number out of range, a checkpoint in
/// words that KCL does not have.
pub fn decode(item: &HashMap<String, AttributeValue>) -> Result<Option<LeaseRow>, BadRow> {
    let reader = Reader { item };
    reader.row().map_err(|why| {
        let key = reader.text(KEY).ok().flatten().unwrap_or_default().to_owned();
        BadRow { key, why }
    })
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn string_set(shards: &[Arc<str>]) -> AttributeValue {
    AttributeValue::Ss(shards.iter().map(|shard| shard.to_string()).collect())
}

struct Reader<'a> {
    item: &'a HashMap<String, AttributeValue>,
}

impl<'a> Reader<'a> {
    fn row(&self) -> Result<Option<LeaseRow>, String> {
        if self.text(ENTITY_TYPE)?.is_some_and(|entity| entity != ENTITY_LEASE) {
            return Ok(None);
        }
        let key = self.text(KEY)?.filter(|key| !key.is_empty()).ok_or_else(|| missing(KEY))?;
        Ok(Some(LeaseRow {
            key: Arc::from(key),
            owner: self.text(OWNER)?.map(Arc::from),
            counter: self.number(COUNTER)?.ok_or_else(|| missing(COUNTER))?,
            checkpoint: self.checkpoint()?,
            snapshot_ref: self.text(SNAPSHOT_REF)?.map(Arc::from),
            owner_switches: self.number(OWNER_SWITCHES)?.unwrap_or(0),
            parents: self.shards(PARENTS)?,
            children: self.shards(CHILDREN)?,
            hash_range: self.hash_range()?,
            checkpoint_owner: self.text(CHECKPOINT_OWNER)?.map(Arc::from),
        }))
    }

    fn checkpoint(&self) -> Result<Checkpoint, String> {
        let text = self.text(CHECKPOINT)?.ok_or_else(|| missing(CHECKPOINT))?;
        let sub_sequence = self.number(SUB_SEQUENCE)?.unwrap_or(0);
        let is_number = words::is_sequence_number(text);
        let is_whole = self.text(WHOLE_RECORD)? == Some(text);
        let timestamp_ms = match text {
            "AT_TIMESTAMP" => Some(self.number::<i64>(TIMESTAMP)?.ok_or_else(|| missing(TIMESTAMP))?),
            _ => None,
        };
        words::checkpoint(text, (is_number && !is_whole).then_some(sub_sequence), timestamp_ms)
    }

    fn hash_range(&self) -> Result<Option<HashRange>, String> {
        let (Some(starting), Some(ending)) = (self.text(STARTING_HASH)?, self.text(ENDING_HASH)?) else { return Ok(None) };
        let range = HashRange::parse(starting, ending);
        range.map(Some).ok_or_else(|| format!("{STARTING_HASH} and {ENDING_HASH} are no hash keys"))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.item.get(name) {
            None | Some(AttributeValue::Null(_)) => Ok(None),
            Some(value) => value.as_s().map(|text| Some(text.as_str())).map_err(|_| format!("{name} is not a string")),
        }
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, String> {
        match self.item.get(name) {
            None | Some(AttributeValue::Null(_)) => Ok(None),
            Some(value) => {
                let digits = value.as_n().map_err(|_| format!("{name} is not a number"))?;
                digits.parse().map(Some).map_err(|_| format!("{name} is out of range"))
            }
        }
    }

    fn shards(&self, name: &str) -> Result<Vec<Arc<str>>, String> {
        match self.item.get(name) {
            None | Some(AttributeValue::Null(_)) => Ok(Vec::new()),
            Some(value) => {
                let set = value.as_ss().map_err(|_| format!("{name} is not a set of strings"))?;
                // A set has no order; a row read twice must look the same.
                let mut shards: Vec<Arc<str>> = set.iter().map(|shard| Arc::from(shard.as_str())).collect();
                shards.sort();
                Ok(shards)
            }
        }
    }
}

fn missing(name: &str) -> String {
    format!("{name} is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> LeaseRow {
        LeaseRow {
            owner: Some("a".into()),
            counter: 7,
            snapshot_ref: Some("snapshot-1".into()),
            owner_switches: 2,
            parents: vec!["p".into(), "q".into()],
            children: vec!["c".into()],
            hash_range: Some(HashRange { starting: 0, ending: u128::MAX }),
            checkpoint_owner: Some("b".into()),
            ..LeaseRow::new("s", Checkpoint::after("4953"))
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let partial = Checkpoint::After { sequence_number: "4953".into(), sub_sequence: Some(3) };
        let first = Checkpoint::After { sequence_number: "4953".into(), sub_sequence: Some(0) };
        let at = Checkpoint::AtTimestamp(-5);
        for checkpoint in [partial, first, at, Checkpoint::after("1"), Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::ShardEnd] {
            let row = LeaseRow { checkpoint, ..whole() };
            assert_eq!(decode(&encode(&row)), Ok(Some(row)));
        }
        let bare = LeaseRow::new("s", Checkpoint::Latest);
        let names: std::collections::BTreeSet<String> = encode(&bare).into_keys().collect();
        let expected = [CHECKPOINT, SUB_SEQUENCE, COUNTER, KEY, OWNER_SWITCHES].map(str::to_owned);
        assert_eq!(names, expected.into(), "what KCL writes for a new lease, and nothing else");
    }

    /// As captured from KCL 2.5.8.
    #[test]
    fn a_row_of_kcl_is_understood() {
        let text = |text: &str| AttributeValue::S(text.into());
        let item = HashMap::from([
            (KEY.to_owned(), text("shardId-000000000001")),
            (OWNER.to_owned(), text("9a1c4a1e-0d2f")),
            (COUNTER.to_owned(), number(12)),
            (CHECKPOINT.to_owned(), text("4953")),
            (SUB_SEQUENCE.to_owned(), number(0)),
            (OWNER_SWITCHES.to_owned(), number(0)),
            (PARENTS.to_owned(), AttributeValue::Ss(vec!["shardId-000000000000".into()])),
            ("xSnapshot".to_owned(), text("not ours")),
            // Of a checkpoint of ours that KCL has passed.
            (WHOLE_RECORD.to_owned(), text("4000")),
        ]);
        let row = decode(&item).unwrap().unwrap();
        let first = Checkpoint::After { sequence_number: "4953".into(), sub_sequence: Some(0) };
        assert_eq!((row.checkpoint, row.counter, row.parents.len()), (first, 12, 1));
        let mut other = item;
        other.insert(ENTITY_TYPE.to_owned(), text("WORKER_METRICS"));
        assert_eq!(decode(&other), Ok(None));
    }

    #[test]
    fn a_bad_row_is_named_with_its_reason() {
        let bad = |name: &str, value: Option<AttributeValue>| {
            let mut item = encode(&whole());
            match value {
                Some(value) => item.insert(name.to_owned(), value),
                None => item.remove(name),
            };
            decode(&item).expect_err(name).to_string()
        };
        for name in [KEY, COUNTER, CHECKPOINT] {
            assert!(bad(name, None).contains(&missing(name)));
        }
        assert!(bad(COUNTER, Some(AttributeValue::N("-1".into()))).contains("out of range"));
        assert!(bad(COUNTER, Some(AttributeValue::S("1".into()))).contains("not a number"));
        assert!(bad(CHECKPOINT, Some(AttributeValue::S("49x".into()))).contains("no checkpoint"));
        assert!(bad(CHECKPOINT, Some(AttributeValue::S("AT_TIMESTAMP".into()))).contains(TIMESTAMP));
        assert!(bad(PARENTS, Some(AttributeValue::S("p".into()))).contains("not a set"));
        assert!(bad(STARTING_HASH, Some(AttributeValue::S("x".into()))).contains("no hash keys"));
        assert!(bad(OWNER, Some(number(1))).contains("\"s\""));
    }
}
