//! Checkpoints in KCL's words, as files and tables hold them.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;

/// The word or sequence number, with the sub-sequence number or the time (in milliseconds since the
/// Unix epoch) that belongs to it.
pub(crate) fn of(checkpoint: &Checkpoint) -> (String, Option<u64>, Option<i64>) {
    match checkpoint {
        Checkpoint::TrimHorizon => ("TRIM_HORIZON".to_owned(), None, None),
        Checkpoint::Latest => ("LATEST".to_owned(), None, None),
        Checkpoint::ShardEnd => ("SHARD_END".to_owned(), None, None),
        Checkpoint::AtTimestamp(ms) => ("AT_TIMESTAMP".to_owned(), None, Some(*ms)),
        Checkpoint::After { sequence_number, sub_sequence } => (sequence_number.to_string(), *sub_sequence, None),
    }
}

/// The checkpoint, or why it is none.
pub(crate) fn checkpoint(text: &str, sub_sequence: Option<u64>, timestamp_ms: Option<i64>) -> Result<Checkpoint, String> {
    Ok(match (text, sub_sequence, timestamp_ms) {
        ("TRIM_HORIZON", None, None) => Checkpoint::TrimHorizon,
        ("LATEST", None, None) => Checkpoint::Latest,
        ("SHARD_END", None, None) => Checkpoint::ShardEnd,
        ("AT_TIMESTAMP", None, Some(ms)) => Checkpoint::AtTimestamp(ms),
        (number, sub_sequence, None) if is_sequence_number(number) => {
            Checkpoint::After { sequence_number: Arc::from(number), sub_sequence }
        }
        (other, ..) => return Err(format!("{other:?} is no checkpoint")),
    })
}

pub(crate) fn is_sequence_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
