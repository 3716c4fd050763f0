//! An answer's records as they are handed over: taken apart, without what was done before, in parts
//! of bounded size. Pure.

use std::cmp::Ordering;

use crate::checkpoint::{Checkpoint, compare_sequence_numbers};
use crate::delivery::Record;
use crate::kpl::{self, UserRecord};
use crate::plan::HashRange;

/// A part ends with the record that takes it to this many user records, or to this many bytes of
/// data and keys. A page as the service gives it (10,000 records, 10 MB) is one part; one of
/// aggregated records may be far more. The limits of [`kpl`] come on top, for the last record.
const PART_RECORDS: usize = 10_000;
const PART_BYTES: usize = 16 << 20;

/// What has to be known to take records apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacking {
    /// Whether aggregated records are taken apart at all.
    pub(crate) aggregated: bool,
    /// The shard's part of the key space, if it is known: user records from outside are dropped.
    pub(crate) hash_range: Option<HashRange>,
}

/// One delivery's worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) records: Vec<Record>,
    /// Where to resume: after a whole record always.
    pub(crate) end: Checkpoint,
    /// How many user records were dropped because they belong to other shards.
    pub(crate) misplaced: u64,
}

/// The parts of an answer. There is always one, if only to say that nothing came.
#[derive(Debug)]
pub(crate) struct Parts {
    records: std::iter::Peekable<std::vec::IntoIter<Record>>,
    position: Checkpoint,
    unpacking: Unpacking,
}

impl Parts {
    /// `position` is where the answer begins; what lies before it is dropped.
    pub(crate) fn new(records: Vec<Record>, position: Checkpoint, unpacking: Unpacking) -> Self {
        Self { records: records.into_iter().peekable(), position, unpacking }
    }

    pub(crate) fn is_last(&mut self) -> bool {
        self.records.peek().is_none()
    }

    pub(crate) fn next(&mut self) -> Part {
        let mut part = Part { records: Vec::new(), end: self.position.clone(), misplaced: 0 };
        let mut bytes = 0;
        while part.records.len() < PART_RECORDS && bytes < PART_BYTES {
            let Some(record) = self.records.next() else { break };
            let since = match done_of(&record, &self.position) {
                Done::None => None,
                Done::Upto(sub_sequence) => Some(sub_sequence),
                Done::All => continue,
            };
            self.position = Checkpoint::after(record.sequence_number.as_str());
            let first = part.records.len();
            self.unpacking.unpack(record, since, &mut part);
            bytes += part.records[first..].iter().map(|record| record.data.len() + record.partition_key.len()).sum::<usize>();
        }
        part.end = self.position.clone();
        part
    }
}

/// How much of a record is done.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    None,
    /// The user records up to and including this one.
    Upto(u64),
    All,
}

/// The service gives nothing from before the position; KCL guards against it, and so does this,
/// because a repeated record is counted twice further on.
fn done_of(record: &Record, position: &Checkpoint) -> Done {
    let Checkpoint::After { sequence_number, sub_sequence } = position else { return Done::None };
    match (compare_sequence_numbers(&record.sequence_number, sequence_number), sub_sequence) {
        (Ordering::Less, _) | (Ordering::Equal, None) => Done::All,
        (Ordering::Equal, Some(sub_sequence)) => Done::Upto(*sub_sequence),
        (Ordering::Greater, _) => Done::None,
    }
}

impl Unpacking {
    fn unpack(self, record: Record, done_upto: Option<u64>, part: &mut Part) {
        let claims = self.aggregated && kpl::claims_to_be_aggregated(&record.data);
        let Some(users) = claims.then(|| kpl::take_apart(&record.data)).flatten() else {
            // KCL's word for a plain record that is done is its user record 0. A caller who takes
            // records apart by itself, or one that is aggregated beyond what is understood here,
            // may mean a part of it, and has it again.
            let is_done = self.aggregated && !claims && done_upto == Some(0);
            if !is_done {
                part.records.push(record);
            }
            return;
        };
        for (user, sub_sequence) in users.iter().zip(0u64..) {
            if done_upto.is_some_and(|done| sub_sequence <= done) {
                continue;
            }
            if self.hash_range.is_some_and(|range| !user.belongs_to(range)) {
                part.misplaced += 1;
                continue;
            }
            part.records.push(user_record(&record, user, sub_sequence));
        }
    }
}

fn user_record(record: &Record, user: &UserRecord<'_>, sub_sequence: u64) -> Record {
    Record {
        data: user.data.to_vec(),
        sequence_number: record.sequence_number.clone(),
        sub_sequence: Some(sub_sequence),
        partition_key: user.partition_key.to_owned(),
        arrival_ms: record.arrival_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Unpacking = Unpacking { aggregated: true, hash_range: None };

    fn record(number: &str, data: &[u8]) -> Record {
        let sequence_number = number.to_owned();
        Record { data: data.to_vec(), sequence_number, sub_sequence: None, partition_key: "p".into(), arrival_ms: Some(7) }
    }

    /// `count` user records under the key `k`, each of one byte.
    fn aggregated(number: &str, count: u8) -> Record {
        use md5::{Digest, Md5};
        let mut message = vec![0x0a, 1, b'k'];
        (0..count).for_each(|at| message.extend([0x1a, 5, 0x08, 0, 0x1a, 1, at]));
        record(number, &[&kpl::MAGIC[..], &message, Md5::digest(&message).as_slice()].concat())
    }

    fn partial(number: &str, sub_sequence: u64) -> Checkpoint {
        Checkpoint::After { sequence_number: number.into(), sub_sequence: Some(sub_sequence) }
    }

    /// What is left: sequence numbers with sub-sequence numbers.
    fn left(records: &[Record], position: Checkpoint, unpacking: Unpacking) -> Vec<(String, Option<u64>)> {
        let part = Parts::new(records.to_vec(), position, unpacking).next();
        part.records.into_iter().map(|record| (record.sequence_number, record.sub_sequence)).collect()
    }

    fn numbers(numbers: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
        numbers.iter().map(|(number, sub)| ((*number).to_owned(), *sub)).collect()
    }

    #[test]
    fn nothing_before_the_position_is_handed_over() {
        let records = ["9", "10", "11"].map(|number| record(number, b""));
        let plain = |position| left(&records, position, ALL).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(plain(Checkpoint::TrimHorizon), ["9", "10", "11"]);
        assert_eq!(plain(Checkpoint::after("10")), ["11"]);
        assert_eq!(plain(partial("10", 0)), ["11"], "KCL's word for a plain record that is done");
        assert_eq!(plain(partial("10", 3)), ["10", "11"], "whoever took it apart has it again");
        let off = Unpacking { aggregated: false, ..ALL };
        assert_eq!(left(&records, partial("10", 0), off), numbers(&[("10", None), ("11", None)]));
    }

    #[test]
    fn reading_resumes_inside_of_a_record() {
        let records = [aggregated("10", 4), record("11", b"")];
        let users = |from| (from..4).map(|at| ("10", Some(at))).chain([("11", None)]).collect::<Vec<_>>();
        assert_eq!(left(&records, Checkpoint::TrimHorizon, ALL), numbers(&users(0)));
        for done in 0..4 {
            assert_eq!(left(&records, partial("10", done), ALL), numbers(&users(done + 1)));
        }
        assert_eq!(left(&records, Checkpoint::after("10"), ALL), numbers(&[("11", None)]));
        assert_eq!(left(&records, partial("9", 2), ALL), numbers(&users(0)), "another record");
        let off = Unpacking { aggregated: false, ..ALL };
        assert_eq!(left(&records, partial("10", 2), off), numbers(&[("10", None), ("11", None)]));
    }

    #[test]
    fn a_user_record_has_its_own_key_and_the_records_number_and_time() {
        let part = Parts::new(vec![aggregated("10", 2)], Checkpoint::TrimHorizon, ALL).next();
        let expected = |at: u8| Record {
            data: vec![at],
            sequence_number: "10".into(),
            sub_sequence: Some(u64::from(at)),
            partition_key: "k".into(),
            arrival_ms: Some(7),
        };
        assert_eq!(part.records, [expected(0), expected(1)]);
        assert_eq!(expected(1).checkpoint(), partial("10", 1));
        assert_eq!(record("10", b"").checkpoint(), Checkpoint::after("10"));
    }

    #[test]
    fn a_damaged_aggregate_is_a_plain_record_and_is_never_taken_for_done() {
        let mut damaged = aggregated("10", 2);
        damaged.data.pop();
        let expected = numbers(&[("10", None)]);
        assert_eq!(left(std::slice::from_ref(&damaged), Checkpoint::TrimHorizon, ALL), expected);
        assert_eq!(left(&[damaged], partial("10", 0), ALL), expected);
    }

    #[test]
    fn what_belongs_to_another_shard_is_dropped_and_counted() {
        let elsewhere = HashRange { starting: 0, ending: kpl::hash_of("k") - 1 };
        let unpacking = Unpacking { hash_range: Some(elsewhere), ..ALL };
        let mut parts = Parts::new(vec![aggregated("10", 3), record("11", b"")], Checkpoint::TrimHorizon, unpacking);
        let part = parts.next();
        // A plain record is where the service put it, whatever its key.
        assert_eq!((part.records.len(), part.misplaced, part.end), (1, 3, Checkpoint::after("11")));
        let part = Parts::new(vec![aggregated("10", 3)], Checkpoint::TrimHorizon, unpacking).next();
        assert_eq!((part.records.len(), part.misplaced, part.end), (0, 3, Checkpoint::after("10")), "it moves on");
    }

    #[test]
    fn many_user_records_come_in_parts_that_end_after_whole_records() {
        let records: Vec<Record> = (100..300).map(|number| aggregated(&number.to_string(), 100)).collect();
        let mut parts = Parts::new(records, Checkpoint::TrimHorizon, ALL);
        let mut seen = Vec::new();
        loop {
            let part = parts.next();
            seen.push((part.records.len(), part.end));
            if parts.is_last() {
                break;
            }
        }
        assert_eq!(seen, [(10_000, Checkpoint::after("199")), (10_000, Checkpoint::after("299"))]);
        let mut none = Parts::new(vec![], partial("9", 1), ALL);
        assert_eq!(none.next(), Part { records: vec![], end: partial("9", 1), misplaced: 0 });
        assert!(none.is_last());
    }
}
