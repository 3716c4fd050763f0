//! Call counts of a whole company over many weeks, with labelled attacks, for backtests of a spike detector.
//!
//! No records: a fleet is what is left of them when they are counted, one row for each identity,
//! five-minute bucket and place. From a seed come departments in several time zones, people of five
//! kinds, machines of three, the harmless events that look like attacks (see `world` and `identity`), and
//! attacks of every [`AttackKind`] within the last [`SCORED_DAYS`] days. Sizes, shares and frequencies
//! are drawn anew for each seed, so that what suits one fleet need not suit the next.
//!
//! ```
//! use geophone_company::fleet::{Fleet, FleetSettings};
//!
//! let fleet = Fleet::new(FleetSettings { identities: 60, days: 28, attacks_per_kind: 1, ..FleetSettings::default() });
//! let mut counts = Vec::new();
//! fleet.write_counts(&mut counts).expect("memory takes everything");
//! assert!(counts.starts_with(b"bucket_start,identity,group,class,count,source,region,model\n"));
//! ```
//!
//! The same settings give the same bytes wherever the platform's `exp` and `pow` do.

mod attack;
mod csv;
mod human;
mod identity;
mod machine;
mod tape;
mod world;

pub use attack::AttackKind;

use crate::random::{Purpose, Random};
use identity::{Identity, Work};
use tape::{BUCKETS_PER_DAY, MINUTES_PER_BUCKET, Place, Tape};
use world::World;

use crate::clock::MINUTE;

/// Attacks lie within so many last days, or within the second half of a shorter fleet.
pub const SCORED_DAYS: u32 = 28;

/// Fewer would not have every kind of caller.
const IDENTITIES_MIN: usize = 50;
/// Homes have thirty thousand source numbers to themselves.
const IDENTITIES_MAX: usize = 30_000;
/// Two weeks are the least in which a week can be compared with another.
const DAYS_MIN: u32 = 14;
/// A year; a bucket's number fits easily.
const DAYS_MAX: u32 = 366;
/// A small fleet still has so many machines, one of each kind at least.
const MACHINES_MIN: usize = 10;

/// What a fleet is made from. Values outside the limits are cut to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetSettings {
    /// Everything random follows from it.
    pub seed: u64,
    /// People and machines together: 50 to 30,000.
    pub identities: usize,
    /// Length in days: 14 to 366.
    pub days: u32,
    /// Midnight UTC of the first day, in epoch seconds.
    pub first_day: i64,
    /// Attacks of each kind but the campaign.
    pub attacks_per_kind: usize,
    /// Campaigns, each by 25 to 60 people of one department.
    pub campaigns: usize,
    /// Multiplies the size of every attack.
    pub attack_scale: f64,
}

impl Default for FleetSettings {
    /// A company of 1,500 over ten weeks from Monday, 5 January 2026.
    fn default() -> Self {
        Self { seed: 1, identities: 1_500, days: 70, first_day: 1_767_571_200, attacks_per_kind: 40, campaigns: 8, attack_scale: 1.0 }
    }
}

/// The counts of one company, and what in them is an attack.
#[derive(Clone, Debug)]
pub struct Fleet {
    settings: FleetSettings,
    callers: Vec<Caller>,
    rows: Vec<Row>,
    spans: Vec<Span>,
}

/// An attack on one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose calls it is hidden among.
    pub identity: u32,
    /// Epoch seconds of its first bucket's begin.
    pub start: i64,
    /// Epoch seconds of its last bucket's end.
    pub end: i64,
    /// What kind of attack.
    pub kind: AttackKind,
    /// Counted from 1; the spans of one campaign share it.
    pub event: u32,
}

/// What rows say of an identity.
#[derive(Clone, Copy, Debug)]
struct Caller {
    group: usize,
    is_machine: bool,
}

/// One row of the counts.
#[derive(Clone, Copy, Debug)]
struct Row {
    bucket: u32,
    identity: u32,
    place: Place,
    count: u32,
}

/// One identity with its calls.
#[derive(Clone, Debug)]
struct Member {
    identity: Identity,
    tape: Tape,
}

impl Fleet {
    /// Makes the fleet.
    pub fn new(settings: FleetSettings) -> Self {
        let settings = FleetSettings {
            identities: settings.identities.clamp(IDENTITIES_MIN, IDENTITIES_MAX),
            days: settings.days.clamp(DAYS_MIN, DAYS_MAX),
            ..settings
        };
        let world = World::new(&settings);
        let mut members = recruit(&world, settings.identities);
        let strikes = attack::strikes(&world, &settings, &mut members);
        let start_of = |bucket: u32| settings.first_day + i64::from(bucket) * MINUTES_PER_BUCKET * MINUTE;
        let spans = strikes.into_iter().map(|strike| Span {
            identity: strike.identity,
            start: start_of(strike.first),
            end: start_of(strike.last + 1),
            kind: strike.kind,
            event: strike.event,
        });
        let callers = members
            .iter()
            .map(|Member { identity, .. }| Caller { group: identity.group, is_machine: matches!(identity.work, Work::Machine(_)) });
        Self { settings, callers: callers.collect(), spans: spans.collect(), rows: rows(&world, members) }
    }

    /// The settings, cut to their limits.
    pub fn settings(&self) -> &FleetSettings {
        &self.settings
    }

    /// All attacks, in the order of their events.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How many rows the counts have.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }
}

fn recruit(world: &World, identities: usize) -> Vec<Member> {
    let machines = ((identities as f64 * world.mix.machines) as usize).max(MACHINES_MIN);
    let mut are_machines: Vec<bool> = (0..identities).map(|number| number < machines).collect();
    // Numbers must not tell people from machines.
    Random::stream(world.seed, Purpose::FleetWorld, &[1]).shuffle(&mut are_machines);
    let mut machines = 0..;
    let member = |(number, is_machine)| {
        let nth_machine = if is_machine { machines.next() } else { None };
        let identity = Identity::new(world, number as u32, nth_machine);
        Member { tape: identity.tape(world), identity }
    };
    are_machines.into_iter().enumerate().map(member).collect()
}

/// All cells in the order of time, then of identity and place.
fn rows(world: &World, members: Vec<Member>) -> Vec<Row> {
    let total = members.iter().map(|member| member.tape.cells().len()).sum();
    // Each tape is in order already: counting how many rows a bucket has says where each row belongs.
    let mut next = vec![0; world.end() as usize + 1];
    for cell in members.iter().flat_map(|member| member.tape.cells()) {
        next[cell.bucket as usize + 1] += 1;
    }
    for bucket in 1..next.len() {
        next[bucket] += next[bucket - 1];
    }
    let blank = Row { bucket: 0, identity: 0, place: Place { source: 0, region: 0, model: 0 }, count: 0 };
    let mut rows = vec![blank; total];
    for Member { identity, tape } in members {
        for cell in tape.cells() {
            let at: &mut usize = &mut next[cell.bucket as usize];
            rows[*at] = Row { bucket: cell.bucket, identity: identity.number, place: cell.place, count: cell.count };
            *at += 1;
        }
    }
    rows
}
