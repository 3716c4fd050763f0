//! Attacks: which kinds there are, whom they strike, and how each is written into its victim's calls.
//!
//! A victim's honest calls are made first; what an attack does (use this person's busiest hour,
//! or one in which it never works) is chosen by looking at them.

mod campaign;
mod machine;
mod place;
mod volume;

use std::fmt;

use super::identity::{HumanKind, Identity, Work};
use super::machine::Job;
use super::tape::{BUCKETS_PER_DAY, Cell, Past, Place, Tape};
use super::world::World;
use super::{FleetSettings, Member};
use crate::random::{Purpose, Random};

/// Spans of one identity are apart by at least half a day, so that a late alert belongs to one of them.
const APART: u32 = BUCKETS_PER_DAY / 2;
/// Days of history without which somebody is not settled.
const SETTLED_DAYS: usize = 8;
/// A newcomer has at most so many days of history.
const NEWCOMER_DAYS: usize = 3;
/// Tries to find a victim and a time before spans of one identity may come close to each other.
const TRIES: usize = 400;

/// What an attack looks like in the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttackKind {
    /// A sudden script of 20 to 60 minutes, while its victim works or does not.
    Burst,
    /// The same by an identity with at most three days of history.
    JoinerBurst,
    /// A short one in the busy hours of a busy person.
    BusyBurst,
    /// Calls from another network, often in another region or for another model, at any hour.
    CredTheft,
    /// Hours of calls when this identity never works.
    Night,
    /// A little above the usual, all day, for days.
    LowSlow,
    /// A volume that grows over hours or days.
    RampExfil,
    /// A batch of the usual size at a wrong hour.
    BatchOffsched,
    /// Two or three times the usual within a service's noise.
    ServicePiggyback,
    /// A working day at a weekend by somebody who has none.
    WeekendSession,
    /// A second user of one identity from another network, in office hours and for days.
    SecondSource,
    /// A few calls to each of many models.
    ModelProbe,
    /// An extra that is unremarkable for each, by many of one department at once.
    Campaign,
}

impl AttackKind {
    /// All kinds, in the order in which fleets label them.
    pub const ALL: [Self; 13] = [
        Self::Burst,
        Self::JoinerBurst,
        Self::BusyBurst,
        Self::CredTheft,
        Self::Night,
        Self::LowSlow,
        Self::RampExfil,
        Self::BatchOffsched,
        Self::ServicePiggyback,
        Self::WeekendSession,
        Self::SecondSource,
        Self::ModelProbe,
        Self::Campaign,
    ];

    /// The name that labels have.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::JoinerBurst => "joiner_burst",
            Self::BusyBurst => "busy_burst",
            Self::CredTheft => "cred_theft",
            Self::Night => "night",
            Self::LowSlow => "low_slow",
            Self::RampExfil => "ramp_exfil",
            Self::BatchOffsched => "batch_offsched",
            Self::ServicePiggyback => "service_piggyback",
            Self::WeekendSession => "weekend_session",
            Self::SecondSource => "second_source",
            Self::ModelProbe => "model_probe",
            Self::Campaign => "campaign",
        }
    }

    /// Whether such an attack makes sense on this identity.
    fn suits(self, world: &World, identity: &Identity, past: &Past) -> bool {
        let settled_days = past.days.partition_point(|&day| day < world.scored_from);
        let settled = settled_days >= SETTLED_DAYS.min(world.scored_from as usize / 4);
        match (&identity.work, self) {
            (Work::Human(_), Self::JoinerBurst) => true,
            (Work::Human(_), Self::Burst | Self::Campaign) => identity.joined < world.scored_from,
            (Work::Human(_), Self::BusyBurst) => settled && past.days.last().is_some_and(|&day| day >= world.scored_from),
            (Work::Human(habits), Self::Night) => settled && habits.kind != HumanKind::OnCall,
            (Work::Human(_), Self::WeekendSession) => settled && past.days.iter().filter(|&&day| world.is_weekend(day)).count() <= 1,
            (Work::Human(_), Self::CredTheft | Self::LowSlow | Self::RampExfil | Self::SecondSource | Self::ModelProbe) => settled,
            (Work::Machine(machine), Self::BatchOffsched) => matches!(machine.job, Job::Batch(_)) && past.days.len() > 1,
            (Work::Machine(machine), Self::ServicePiggyback) => matches!(machine.job, Job::Service(_)),
            // One in eight of these uses a service: enough of them are offered, and few are taken.
            (Work::Machine(machine), Self::LowSlow | Self::RampExfil) => {
                matches!(machine.job, Job::Service(_)) && identity.number.is_multiple_of(2)
            }
            (Work::Human(_), Self::BatchOffsched | Self::ServicePiggyback) => false,
            (
                Work::Machine(_),
                Self::Burst
                | Self::JoinerBurst
                | Self::BusyBurst
                | Self::CredTheft
                | Self::Night
                | Self::WeekendSession
                | Self::SecondSource
                | Self::ModelProbe
                | Self::Campaign,
            ) => false,
        }
    }
}

impl fmt::Display for AttackKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An attack that has been written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    pub identity: u32,
    pub kind: AttackKind,
    pub event: u32,
    /// Its first and its last bucket.
    pub first: u32,
    pub last: u32,
}

/// One attack on one identity while it is being made.
struct Draft<'a> {
    world: &'a World,
    victim: &'a Member,
    past: &'a Past,
    /// Multiplies the calls.
    size: f64,
    random: Random,
    tape: Tape,
}

/// Writes all attacks into the members' tapes.
pub(super) fn strikes(world: &World, settings: &FleetSettings, members: &mut [Member]) -> Vec<Strike> {
    let mut plan = Plan {
        world,
        pasts: members.iter().map(|member| Past::new(&member.tape)).collect(),
        spans: vec![Vec::new(); members.len()],
        strikes: Vec::new(),
        members,
        event: 0,
    };
    for kind in AttackKind::ALL {
        let mut random = Random::stream(world.seed, Purpose::FleetAttack, &[kind as u64]);
        // The same kind is larger in one company than in another.
        let size = settings.attack_scale * random.real(0.5, 1.5);
        if kind == AttackKind::Campaign {
            plan.campaigns(settings.campaigns, size, &mut random);
        } else {
            plan.attacks(kind, settings.attacks_per_kind, size, &mut random);
        }
    }
    plan.strikes
}

/// What has been struck so far.
struct Plan<'a> {
    world: &'a World,
    members: &'a mut [Member],
    pasts: Vec<Past>,
    /// First and last bucket of the attacks on each identity.
    spans: Vec<Vec<(u32, u32)>>,
    strikes: Vec<Strike>,
    event: u32,
}

impl Plan<'_> {
    fn attacks(&mut self, kind: AttackKind, count: usize, size: f64, random: &mut Random) {
        let suits = |number: &usize| kind.suits(self.world, &self.members[*number].identity, &self.pasts[*number]);
        let mut victims: Vec<usize> = (0..self.members.len()).filter(suits).collect();
        random.shuffle(&mut victims);
        // Who has not been attacked yet comes first; a small fleet has to begin again with the others.
        victims.sort_by_key(|&number| self.spans[number].len());
        let mut next = victims.iter().cycle();
        for _ in 0..count {
            self.event += 1;
            for attempt in 0..2 * TRIES {
                let at_any_price = attempt >= TRIES;
                let Some(&number) = next.next() else { return };
                if kind == AttackKind::JoinerBurst && !at_any_price && !self.make_newcomer(number, random) {
                    continue;
                }
                let mut draft = self.draft(number, size, random);
                draft.make(kind);
                if self.accept(number, kind, draft.tape, at_any_price) {
                    break;
                }
            }
        }
    }

    fn draft(&self, number: usize, size: f64, random: &mut Random) -> Draft<'_> {
        let name = [u64::from(self.event), number as u64, random.between(0, i64::MAX) as u64];
        Draft {
            world: self.world,
            victim: &self.members[number],
            past: &self.pasts[number],
            size,
            random: Random::stream(self.world.seed, Purpose::FleetAttack, &name),
            tape: Tape::new(self.world.end()),
        }
    }

    /// Adds an attack's calls and notes the span, unless it lies too near to another one and need not be taken.
    fn accept(&mut self, number: usize, kind: AttackKind, mut tape: Tape, at_any_price: bool) -> bool {
        tape.close();
        let scored = |cell: &&Cell| cell.bucket >= self.world.scored_bucket();
        let (Some(first), Some(last)) = (tape.cells().iter().find(scored), tape.cells().last()) else { return false };
        let (first, last) = (first.bucket, last.bucket);
        tape.forget_before(first);
        let near = self.spans[number].iter().any(|&(from, to)| first < to + APART && from < last + APART);
        if near && !at_any_price {
            return false;
        }
        self.members[number].tape.append(tape);
        self.spans[number].push((first, last));
        self.strikes.push(Strike { identity: number as u32, kind, event: self.event, first, last });
        true
    }

    /// Sees to it that the identity begins within the scored days; half of those that do so anyway are left in peace.
    fn make_newcomer(&mut self, number: usize, random: &mut Random) -> bool {
        let (world, member) = (self.world, &mut self.members[number]);
        if !self.spans[number].is_empty() {
            return false;
        }
        if member.identity.joined >= world.scored_from {
            return random.chance(0.5);
        }
        // Calls of the time before are forgotten; who did not call afterwards is no use.
        let day = random.between(i64::from(world.scored_from), i64::from(world.days) - 1) as u32;
        let calls_later = self.pasts[number].days.last().is_some_and(|&last| last > day);
        if calls_later && random.chance(0.1) {
            member.identity.joined = day;
            member.tape.forget_before(day * BUCKETS_PER_DAY);
            self.pasts[number] = Past::new(&member.tape);
        }
        member.identity.joined == day
    }
}

impl Draft<'_> {
    fn make(&mut self, kind: AttackKind) {
        match kind {
            AttackKind::Burst => self.burst(),
            AttackKind::JoinerBurst => self.joiner_burst(),
            AttackKind::BusyBurst => self.busy_burst(),
            AttackKind::CredTheft => self.cred_theft(),
            AttackKind::Night => self.night(),
            AttackKind::LowSlow => self.low_slow(),
            AttackKind::RampExfil => self.ramp_exfil(),
            AttackKind::BatchOffsched => self.batch_offsched(),
            AttackKind::ServicePiggyback => self.service_piggyback(),
            AttackKind::WeekendSession => self.weekend_session(),
            AttackKind::SecondSource => self.second_source(),
            AttackKind::ModelProbe => self.model_probe(),
            // Campaigns choose one time for many and are drawn by `Plan::campaigns`.
            AttackKind::Campaign => {}
        }
    }

    /// Any bucket in which an attack of that length may begin.
    fn any_start(&mut self, length: i64) -> i64 {
        let world = self.world;
        let last = i64::from(world.end()) - length.max(1);
        self.random.between(i64::from(world.scored_bucket()), last)
    }

    /// Any scored day, so that `length` days from it on are within the fleet.
    fn any_day(&mut self, length: u32) -> u32 {
        let world = self.world;
        self.random.between(i64::from(world.scored_from), i64::from(world.days.saturating_sub(length))) as u32
    }

    /// A place that is usual for the victim at that time.
    fn usual_place(&mut self, bucket: i64) -> Place {
        let day = (bucket.max(0) as u32) / BUCKETS_PER_DAY;
        let identity = &self.victim.identity;
        // The victim's other calls of that day come from where it is; so does whoever uses its machine.
        let of_day = |cell: &&Cell| cell.bucket / BUCKETS_PER_DAY == day;
        let source = self.victim.tape.cells().iter().find(of_day).map(|cell| cell.place.source);
        let source = source.unwrap_or_else(|| identity.source(day, &mut self.random));
        identity.place(day, source, &mut self.random)
    }

    /// `length` buckets, each with probability `fill`, of calls around `rate`.
    fn stretch(&mut self, (start, length): (i64, i64), place: Place, (fill, rate, spread): (f64, f64, f64)) {
        for step in 0..length {
            // The first bucket is always filled: an attack leaves something.
            if step == 0 || self.random.chance(fill) {
                self.calls(start + step, place, rate, spread);
            }
        }
    }

    /// Calls around `rate` in one bucket, at least one.
    fn calls(&mut self, bucket: i64, place: Place, rate: f64, spread: f64) {
        let drawn = self.random.lognormal(rate, spread, 10.0);
        let count = self.random.whole(drawn).max(1);
        self.tape.push(bucket, place, count);
    }
}
