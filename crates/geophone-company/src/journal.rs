//! Events as they leave the company: a record, its truth, and when it is delivered.

use crate::attack::Attack;
use crate::clock::MINUTE;
use crate::estate::Estate;
use crate::random::{Purpose, Random, mix};
use crate::record::Record;

/// One CloudTrail event with everything that a test may want to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The record's `eventTime` in epoch seconds.
    pub time: i64,
    /// When CloudTrail delivers it, in epoch seconds: 2 to 9.5 minutes later (median
    /// 3.4, 90th percentile 7.0), so that neighbours arrive out of order.
    pub arrival: i64,
    /// The CloudTrail record.
    pub json: String,
    /// The truth, if the event is part of an attack.
    pub label: Option<Label>,
    /// Kinesis partition key: the session issuer's ARN, for STS the `roleArn`, else
    /// the caller's ARN or the account.
    pub partition_key: String,
}

/// Which attack an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The kind of attack.
    pub attack: Attack,
    /// E-mail address of the abused person, or name of the key, user or machine.
    pub actor: String,
    /// Counts the attacks on this company from 0, so that two of a kind stay apart.
    pub number: u32,
}

/// Collects events while a day or a script is played.
pub(crate) struct Journal<'a> {
    pub(crate) estate: &'a Estate,
    pub(crate) random: Random,
    pub(crate) label: Option<Label>,
    pub(crate) events: Vec<Event>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(estate: &'a Estate, random: Random) -> Self {
        Self { estate, random, label: None, events: Vec::new() }
    }

    /// Lets `write` draw from another stream for a while.
    pub(crate) fn with(&mut self, random: Random, write: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.random, random);
        write(self);
        self.random = before;
    }

    pub(crate) fn push(&mut self, record: &Record<'_>, partition_key: &str) {
        self.events.push(Event {
            time: record.time,
            arrival: arrival(self.estate.seed, record, &mut self.random),
            json: record.json(),
            label: self.label.clone(),
            partition_key: partition_key.to_owned(),
        });
    }
}

/// Delivery delay in seconds at steps of the distribution that real files show.
const DELAY_QUANTILES: [(f64, f64); 6] = [(0.0, 125.0), (0.25, 160.0), (0.5, 204.0), (0.9, 420.0), (0.99, 504.0), (1.0, 560.0)];

/// When CloudTrail delivers the record.
///
/// It collects records into files, several at a time, and each file has a delay of
/// its own: neighbours are often in one file and then mostly in order. STS and
/// Bedrock write different files, so a call may overtake its own session's grant.
fn arrival(seed: u64, record: &Record<'_>, random: &mut Random) -> i64 {
    let service = record.source.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)));
    let writer = u64::from(random.chance(0.25));
    let slot = record.time.div_euclid(MINUTE) as u64;
    let quantile = Random::stream(seed, Purpose::Delivery, &[service, writer, slot]).unit();
    record.time + delay(quantile) as i64 + random.between(-5, 5)
}

fn delay(quantile: f64) -> f64 {
    DELAY_QUANTILES.windows(2).find(|step| quantile <= step[1].0).map_or(DELAY_QUANTILES[5].1, |step| {
        let ((low, from), (high, to)) = (step[0], step[1]);
        from + (to - from) * (quantile - low) / (high - low)
    })
}
