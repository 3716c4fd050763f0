//! What the daemon itself finds out that it did not see: its state was lost, the stream has dropped records, dead letters
//! are not kept. The engine makes alerts of it, like of anything else.

use kinesis_lease::{Checkpoint, GapKind, Record, ShardKey};

use super::pipeline::Pipeline;
use crate::cli::Failure;
use crate::detect::blind_spot::{Blindness, GapEnd};
use crate::engine::Report;
use crate::time::EventTime;

/// Longest account of what was damaged or gone, in bytes.
const WHY_BYTES_MAX: usize = 300;

/// A state that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StateLoss {
    /// Nothing older could be read either.
    pub(super) is_total: bool,
    /// What was damaged or gone.
    pub(super) why: String,
}

impl StateLoss {
    /// A loss of which so much is known; `None` where nothing was lost.
    pub(super) fn of(losses: &[String], is_total: bool) -> Option<Self> {
        let why = crate::cloudtrail::lenient::cut(&losses.join("; "), WHY_BYTES_MAX).to_owned();
        (!losses.is_empty()).then_some(Self { is_total, why })
    }
}

impl Pipeline {
    /// Says that it goes on without its state, or with an older one, since `at`. `shard` is empty where one state is for all.
    pub(super) fn state_lost(&mut self, shard: &str, loss: StateLoss, at: EventTime) -> Result<(), Failure> {
        let since = self.engine.seen_until().unwrap_or(at);
        let what = Blindness::StateLost { shard: shard.into(), is_total: loss.is_total, why: loss.why };
        self.say_blind(&what, since, at)
    }

    /// Says that records were lost. Where the gap ends is said as soon as that is known.
    pub(super) fn gap(&mut self, shard: &ShardKey, lost_from: &Checkpoint, kind: GapKind) -> Result<(), Failure> {
        let (name, now) = (shard.to_string(), self.now());
        let since = self.engine.input_seen_until(&name).or_else(|| time_of(lost_from)).or_else(|| self.engine.seen_until()).unwrap_or(now);
        let (end, at) = match kind {
            // Its time is where it begins, until the first record of after it is there: event time may be far behind.
            GapKind::Trimmed => (GapEnd::Open, since),
            GapKind::ShardGone => (GapEnd::ShardGone, now),
        };
        if end == GapEnd::Open {
            self.gaps.insert(shard.clone(), since);
        }
        self.say_blind(&Blindness::Gap { shard: name.into(), end }, since, at)
    }

    /// A page of a shard came: if a gap was before it, it is known now where that ends.
    pub(super) fn end_gap(&mut self, shard: &ShardKey, records: &[Record], caught_up: bool) -> Result<(), Failure> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        let first = records.first().map(|record| self.arrival(record)).or_else(|| caught_up.then(|| self.now()));
        let Some((at, since)) = first.and_then(|at| Some((at, self.gaps.remove(shard)?))) else { return Ok(()) };
        self.say_blind(&Blindness::Gap { shard: shard.to_string().into(), end: GapEnd::Known }, since, at)
    }

    /// Says that a dead letter could not be kept.
    pub(super) fn letter_lost(&mut self, is_full: bool) -> Result<(), Failure> {
        let at = self.engine.seen_until().unwrap_or_else(|| self.now());
        self.say_blind(&Blindness::LettersLost { is_full }, at, at)
    }

    fn say_blind(&mut self, what: &Blindness, since: EventTime, at: EventTime) -> Result<(), Failure> {
        let mut report = Report::default();
        self.engine.report_blindness(what, since, at, &mut report);
        self.take(report)
    }
}

/// When a position is, where it says so.
fn time_of(checkpoint: &Checkpoint) -> Option<EventTime> {
    match checkpoint {
        Checkpoint::AtTimestamp(ms) => Some(EventTime::from_unix(ms.div_euclid(1_000))),
        Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::After { .. } | Checkpoint::ShardEnd => None,
    }
}
