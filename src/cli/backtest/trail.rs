//! Counts from CloudTrail files: the daemon's own decoder and join say who made which call.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::backtest::Row;
use crate::cli::replay::{open, tell};
use crate::cli::{Exit, Failure};
use crate::config::Settings;
use crate::detect::Mode;
use crate::engine::report::AttributedCall;
use crate::engine::{Engine, InputId, Report};
use crate::files::{Listing, Merge};
use crate::finding::DetectorId;
use crate::stats::ring::BUCKET;
use crate::time::{EventTime, Now};

/// Group of actors whose department is not known.
const NO_DEPARTMENT: &str = "(unknown)";

/// A reader of CloudTrail files, as rows.
pub struct TrailReader {
    listing: Listing,
    merge: Merge,
    engine: Box<Engine>,
    input: InputId,
    now: EventTime,
    /// Rows that may still get company: calls go on when it is settled who made them, which may be half an hour later.
    waiting: BTreeMap<i64, Vec<Row>>,
    ready: VecDeque<Row>,
    /// Buckets after which nothing more of a bucket comes.
    settled_after: i64,
    is_over: bool,
    /// Events read.
    pub events: u64,
}

impl TrailReader {
    /// Opens files and folders.
    ///
    /// # Errors
    /// No such file (66).
    pub fn open(paths: &[PathBuf], settings: &Settings) -> Result<Self, Failure> {
        let (listing, merge) = open(paths, settings)?;
        let mut engine = settings.engine.clone();
        engine.keep_calls = true;
        // Only who called is asked here; the backtest judges.
        engine.detectors.modes = DetectorId::ALL.into_iter().map(|detector| (detector, Mode::Off)).collect();
        let settled_after = (engine.lateness + engine.join_wait) / BUCKET + 2;
        let mut engine = Box::new(Engine::new(engine));
        let input = engine.input("backtest");
        Ok(Self {
            listing,
            merge,
            engine,
            input,
            now: EventTime::MIN,
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
            settled_after,
            is_over: false,
            events: 0,
        })
    }

    /// The next row, in the order of time; `None` at the end.
    ///
    /// # Errors
    /// A file can be read no longer (66).
    pub fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        while self.ready.is_empty() && !self.is_over {
            self.read_on()?;
        }
        Ok(self.ready.pop_front())
    }

    fn read_on(&mut self) -> Result<(), Failure> {
        let mut report = Report::default();
        match self.merge.pull().map_err(|error| Failure::new(Exit::NoInput, error))? {
            Some(observation) => {
                self.events += 1;
                self.now = self.now.max(observation.time);
                self.engine.handle(self.input, observation, Now(self.now), &mut report);
            }
            None => {
                self.is_over = true;
                self.engine.finish(&mut report);
            }
        }
        for call in report.calls.iter().filter(|call| call.counts) {
            self.waiting.entry(call.time.slot(BUCKET)).or_default().push(row(call));
        }
        let settled = if self.is_over { i64::MAX } else { self.now.slot(BUCKET) - self.settled_after };
        while let Some(bucket) = self.waiting.first_entry().filter(|bucket| *bucket.key() < settled) {
            self.ready.extend(bucket.remove());
        }
        Ok(())
    }

    /// Says what was passed over or could not be read.
    pub fn tell(&self) {
        tell(&self.listing, &self.merge.tally);
    }
}

fn row(call: &AttributedCall) -> Row {
    let slot = call.time.slot(BUCKET);
    Row {
        slot,
        arrived: slot,
        identity: format!("{}:{}", call.actor.kind.label(), call.actor.name).into(),
        group: call.department.name().map_or_else(|| NO_DEPARTMENT.into(), Arc::clone),
        is_machine: call.actor.kind.is_machine(),
        calls: 1,
        sight: call.sight,
    }
}
