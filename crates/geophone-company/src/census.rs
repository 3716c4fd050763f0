//! One day of a whole company for tests of attribution at scale, with the truth beside every call.
//!
//! Everybody signs in by one of the [`WAYS`] and calls models with access keys that change every one to four hours. The
//! [`Truth`] of a call says what the records *that reached the stream*, together with the directory, prove about it and
//! nothing more: a consumer that names somebody else is wrong, and where no record is lost a consumer that names nobody
//! is wrong too. [`TRAPS`] lists what is there to mislead it. All calls succeed, and streams come without companions.
//!
//! ```
//! use geophone_company::census::{Census, CensusSettings};
//!
//! let census = Census::new(&CensusSettings { people: 20, ..CensusSettings::default() });
//! let truths = census.truths();
//! assert!(census.events.is_sorted_by_key(|event| event.arrival));
//! assert!(truths.values().any(|truth| truth.person.is_some()));
//! ```
//!
//! Read in this order: `truth` (the rules), `staff` (who is there), `visit` (a day), `door` and `chain` (the ways in),
//! `issue` (the records), `tape` (what is lost, late or doubled).

use std::collections::{BTreeMap, HashMap};

use crate::clock::DAY;
use crate::random::{Purpose, Random};

mod chain;
mod door;
mod issue;
mod machine;
mod staff;
mod tape;
#[cfg(test)]
mod tests;
mod truth;
mod visit;

pub use tape::CensusEvent;
pub use truth::{TRAPS, Truth, WAYS};

use staff::Staff;
use tape::Tape;
use visit::Desk;

/// What a census is made from. The same settings give the same events, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct CensusSettings {
    /// Everything random follows from it.
    pub seed: u64,
    /// Size of the staff; machines come on top.
    pub people: usize,
    /// Epoch seconds of the UTC midnight at which the day begins. The same seed with another day has the same people,
    /// with other keys.
    pub first_day: i64,
    /// Share of sessions of which an STS record never arrives. Traffic and delivery of everything else stay the same
    /// whatever the share.
    pub lost_sts: f64,
    /// Every record arrives 0 to so many seconds after its time, each on its own.
    pub shuffle_seconds: i64,
    /// Share of records that arrive twice, within the same bound.
    pub duplicates: f64,
}

impl Default for CensusSettings {
    /// A thousand people on Monday, 1 June 2026; one session in a hundred has lost a record.
    fn default() -> Self {
        Self { seed: 1, people: 1_000, first_day: 1_780_272_000, lost_sts: 0.01, shuffle_seconds: 900, duplicates: 0.02 }
    }
}

/// A day's records and what is true about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Census {
    /// Every delivery, by arrival. A record that is delivered twice is there twice, with one `event_id`.
    pub events: Vec<CensusEvent>,
    /// The company's directory, with a header line.
    pub directory_csv: String,
    /// Sessions that called models, machines included.
    pub sessions: usize,
    /// How many of them have lost a record that is needed.
    pub sessions_with_loss: usize,
}

impl Census {
    /// The day of that company.
    pub fn new(settings: &CensusSettings) -> Self {
        let staff = Staff::new(settings.seed, settings.people);
        let mut census = Self { events: Vec::new(), directory_csv: staff.directory_csv(), sessions: 0, sessions_with_loss: 0 };
        for worker in &staff.people {
            let tape = Tape::new(settings, &staff.estate, worker.index as u64);
            let mut desk = Desk { staff: &staff, worker, tape };
            desk.day(settings.first_day);
            census.take(desk.tape);
        }
        for (index, machine) in staff.machines.iter().enumerate() {
            let mut tape = Tape::new(settings, &staff.estate, MACHINES + index as u64);
            machine.day(&mut tape, settings.first_day);
            census.take(tape);
        }
        let mut tape = Tape::new(settings, &staff.estate, BROKER);
        staff.broker.day(&mut tape, settings.first_day);
        census.take(tape);
        census.events.sort_by_key(|event| event.arrival);
        census
    }

    /// The truth of every call by its event id, however often it is delivered.
    pub fn truths(&self) -> HashMap<&str, &Truth> {
        self.events.iter().filter_map(|event| Some((event.event_id.as_str(), event.truth.as_ref()?))).collect()
    }

    /// How many calls were made by each way, a call that is delivered twice counting once.
    pub fn calls_by_way(&self) -> BTreeMap<&'static str, usize> {
        let mut ways = BTreeMap::new();
        for truth in self.truths().values() {
            *ways.entry(truth.way).or_default() += 1;
        }
        ways
    }

    /// How many calls stand in each trap, a call that is delivered twice counting once.
    pub fn calls_by_trap(&self) -> BTreeMap<&'static str, usize> {
        let mut traps = BTreeMap::new();
        for trap in self.truths().values().flat_map(|truth| &truth.traps) {
            *traps.entry(*trap).or_default() += 1;
        }
        traps
    }

    fn take(&mut self, tape: Tape<'_>) {
        self.sessions += tape.sessions;
        self.sessions_with_loss += tape.sessions_with_loss;
        self.events.extend(tape.events);
    }
}

/// Names of the streams of chance of those who are no people.
const MACHINES: u64 = 1 << 40;
const BROKER: u64 = 1 << 41;

fn stream(settings: &CensusSettings, purpose: Purpose, who: u64) -> Random {
    Random::stream(settings.seed, purpose, &[who, settings.first_day.div_euclid(DAY) as u64])
}
