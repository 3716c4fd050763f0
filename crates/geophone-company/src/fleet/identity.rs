//! Who calls: the traits of one identity, drawn once and kept for all its days.

use super::machine::Machine;
use super::tape::{Place, Tape};
use super::world::{REGIONS, World, pick_weighted};
use super::{human, machine};
use crate::random::{Purpose, Random};

/// Where the numbers of sources begin: machines' networks, homes, hotspots, and networks seen by one identity only.
const MACHINE_SOURCES: u32 = 1_000;
const HOME_SOURCES: u32 = 10_000;
const SHARED_SOURCES: u32 = 50_000;
const FRESH_SOURCES: u32 = 100_000;
/// Hotspots and relays that many people share.
const SHARED_COUNT: usize = 40;

/// Share of an honest identity's buckets that go to its second region, if it has one.
const STRAY: f64 = 0.005;

/// One identity.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub number: u32,
    pub group: usize,
    /// No calls before this day.
    pub joined: u32,
    pub region: u8,
    /// Seldom used.
    second_region: Option<u8>,
    models: Vec<u8>,
    /// How often each of them is called.
    weights: Vec<f64>,
    /// The day from which a launched model is its usual one.
    switch: Option<(u32, u8)>,
    /// From that day on, for good, so many times the usual.
    shift: Option<(u32, f64)>,
    /// From that day on, calls come from another home or network.
    moved: Option<(u32, u32)>,
    pub work: Work,
}

/// What kind of caller it is.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Human(Habits),
    Machine(Machine),
}

/// The kinds of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HumanKind {
    Office,
    Light,
    Notebook,
    OnCall,
    Ramping,
}

const HUMAN_KINDS: [HumanKind; 5] = [HumanKind::Office, HumanKind::Light, HumanKind::Notebook, HumanKind::OnCall, HumanKind::Ramping];

/// How a person works.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub kind: HumanKind,
    /// Probability of any calls on a weekday, and on a day of a weekend.
    pub weekday: f64,
    pub weekend: f64,
    /// Buckets with calls on a median day, and calls in a median bucket.
    pub buckets: f64,
    pub calls: f64,
    /// Spread of the calls' logarithm.
    pub spread: f64,
    /// Local minutes.
    pub begins: f64,
    pub ends: f64,
    /// Share of the sittings in the evening, and at any hour.
    pub evening: f64,
    pub any_hour: f64,
    pub home_share: f64,
    /// Loops a day, and calls of a loop in a bucket.
    pub loops: f64,
    pub loop_rate: f64,
    /// First day and first day back.
    pub absences: Vec<(u32, u32)>,
    pub trips: Vec<Trip>,
}

/// Some days elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub from: u32,
    pub to: u32,
    pub source: u32,
    /// Minutes by which the day is moved.
    pub jet_lag: f64,
}

impl Identity {
    /// The identity of that number: a person, or the machine that so many others come before.
    pub(super) fn new(world: &World, number: u32, nth_machine: Option<usize>) -> Self {
        let is_machine = nth_machine.is_some();
        let random = &mut Random::stream(world.seed, Purpose::FleetIdentity, &[u64::from(number)]);
        let share = |group: &super::world::Group| if is_machine { group.machines } else { group.people };
        let group = pick_weighted(&world.groups.iter().map(share).collect::<Vec<_>>(), random);
        let joins = !is_machine && random.chance(world.mix.joiners);
        let joined = if joins { random.between(3, i64::from(world.days) - 1) as u32 } else { 0 };
        let region = if random.chance(0.7) { world.groups[group].region } else { draw_region(random) };
        let mut shift = random.chance(0.05 * world.traps.shifts).then(|| (world.any_day(random), random.log_between(1.6, 4.5)));
        if random.chance(0.02 * world.traps.shifts) {
            shift = Some((world.any_day(random), random.real(0.2, 0.6)));
        }
        let moved = random.chance(0.04 * world.traps.shifts).then(|| (world.any_day(random), fresh_source(random)));
        let (models, weights) = draw_models(world, random);
        Self {
            number,
            group,
            joined,
            region,
            second_region: Some(draw_region(random)).filter(|&second| second != region),
            models,
            weights,
            switch: draw_switch(world, random),
            shift,
            moved,
            work: match nth_machine {
                Some(nth) => Work::Machine(Machine::new(world, nth, random)),
                None => Work::Human(Habits::new(world, group, joined, random)),
            },
        }
    }

    /// The honest calls of all days.
    pub(super) fn tape(&self, world: &World) -> Tape {
        let mut tape = Tape::new(world.end());
        for day in self.joined..world.days {
            let random = &mut Random::stream(world.seed, Purpose::FleetDay, &[u64::from(self.number), u64::from(day)]);
            match &self.work {
                Work::Human(habits) => human::day(world, self, habits, day, random, &mut tape),
                Work::Machine(machine) => machine::day(world, self, machine, day, random, &mut tape),
            }
        }
        tape.close();
        tape
    }

    /// A person's habits, if it is one.
    pub(super) fn habits(&self) -> Option<&Habits> {
        match &self.work {
            Work::Human(habits) => Some(habits),
            Work::Machine(_) => None,
        }
    }

    /// A machine's job, if it is one.
    pub(super) fn machine(&self) -> Option<&Machine> {
        match &self.work {
            Work::Human(_) => None,
            Work::Machine(machine) => Some(machine),
        }
    }

    /// How many times the usual its level is on that day.
    pub(super) fn level(&self, world: &World, day: u32) -> f64 {
        let shift = self.shift.filter(|&(from, _)| day >= from).map_or(1.0, |(_, factor)| factor);
        let Some(habits) = self.habits() else { return shift };
        let ramp = if habits.kind == HumanKind::Ramping { 0.25 * 14.0_f64.powf(f64::from(day) / f64::from(world.days)) } else { 1.0 };
        // A newcomer needs two weeks to get going.
        let learning = if self.joined > 0 { (0.5 + f64::from(day.saturating_sub(self.joined)) / 28.0).min(1.0) } else { 1.0 };
        shift * ramp * learning
    }

    /// Where this identity usually calls from on that day.
    pub(super) fn source(&self, day: u32, random: &mut Random) -> u32 {
        let moved = self.moved.filter(|&(from, _)| day >= from).map(|(_, source)| source);
        match &self.work {
            Work::Machine(_) => moved.unwrap_or(MACHINE_SOURCES + self.group as u32),
            Work::Human(habits) => {
                let trip = habits.trips.iter().find(|trip| (trip.from..trip.to).contains(&day));
                match trip {
                    Some(trip) => trip.source,
                    None if random.chance(habits.home_share) => moved.unwrap_or(HOME_SOURCES + self.number),
                    None => self.group as u32,
                }
            }
        }
    }

    /// A usual place with that source.
    pub(super) fn place(&self, day: u32, source: u32, random: &mut Random) -> Place {
        let usual = self.models[pick_weighted(&self.weights, random)];
        let switched = self.switch.filter(|&(from, _)| day >= from && random.chance(0.75));
        let second = self.second_region.filter(|_| random.chance(STRAY));
        Place { source, region: second.unwrap_or(self.region), model: switched.map_or(usual, |(_, model)| model) }
    }

    /// Whether the identity has this model among its usual ones.
    pub(super) fn uses(&self, model: u8) -> bool {
        self.models.contains(&model) || self.switch.is_some_and(|(_, own)| own == model)
    }
}

impl Habits {
    fn new(world: &World, group: usize, joined: u32, random: &mut Random) -> Self {
        let kind = HUMAN_KINDS[pick_weighted(&world.mix.people, random)];
        let light = kind == HumanKind::Light;
        // Half of those who are on call sit in the night shift.
        let night_shift = kind == HumanKind::OnCall && random.chance(0.5);
        let shift = if night_shift { 60.0 * random.real(7.0, 13.0) } else { 0.0 };
        let begins = world.groups[group].opens + shift + 40.0 * random.normal();
        let works_weekends = random.chance(0.15);
        let notebook = kind == HumanKind::Notebook;
        Self {
            kind,
            weekday: if light { random.real(0.1, 0.4) } else { random.real(0.82, 1.0) },
            weekend: if works_weekends { random.real(0.25, 0.6) } else { random.real(0.0, 0.08) },
            buckets: if light { random.lognormal(5.0, 0.35, 3.0) } else { random.lognormal(19.0, 0.6, 6.0) },
            calls: random.lognormal(6.5, 0.5, 6.0),
            spread: random.real(0.6, 1.05),
            begins,
            ends: begins + 60.0 * random.real(7.5, 10.0),
            evening: random.lognormal(0.05, 0.8, 5.0),
            // Many people are never seen at night.
            any_hour: if random.chance(0.5) { 0.003 } else { random.real(0.01, 0.12) },
            home_share: (world.groups[group].home_share + 0.2 * random.normal()).clamp(0.0, 1.0),
            loops: if notebook { random.real(0.2, 0.9) } else { 0.004 },
            loop_rate: random.lognormal(45.0, 0.6, 4.0),
            absences: draw_absences(world, joined, random),
            trips: draw_trips(world, random),
        }
    }

    /// Whether the person takes part in what its department does at odd times.
    pub(super) fn joins_in(&self) -> bool {
        self.kind != HumanKind::Light
    }

    /// Whether it is this person's week to be called at night.
    pub(super) fn is_on_duty(&self, number: u32, day: u32) -> bool {
        self.kind == HumanKind::OnCall && (day / 7 + number).is_multiple_of(3)
    }
}

/// Mostly one of the two main regions. The others must not be a sign of an attack by themselves.
fn draw_region(random: &mut Random) -> u8 {
    let choices = if random.chance(0.8) { 2 } else { usize::from(REGIONS) };
    random.below(choices) as u8
}

fn draw_models(world: &World, random: &mut Random) -> (Vec<u8>, Vec<f64>) {
    let (mut models, mut weights) = (Vec::new(), Vec::new());
    for weight in [0.6, 0.25, 0.15].iter().take(random.between(1, 3) as usize) {
        let model = world.any_model(random);
        if !models.contains(&model) {
            models.push(model);
            weights.push(weight * random.real(0.6, 1.4));
        }
    }
    (models, weights)
}

fn draw_switch(world: &World, random: &mut Random) -> Option<(u32, u8)> {
    let launch = world.launches.iter().find(|launch| random.chance(launch.adoption))?;
    // Half of them within two days, the last ones after two weeks.
    Some((launch.day + random.lognormal(2.0, 0.9, 7.0) as u32, launch.model))
}

fn draw_absences(world: &World, joined: u32, random: &mut Random) -> Vec<(u32, u32)> {
    let count = random.occurrences(0.3 * world.traps.vacations * f64::from(world.days) / 70.0);
    let absence = |random: &mut Random| {
        // Who has just come does not leave again before two weeks are over.
        let from = world.any_day(random).max(joined + 14);
        (from, from + random.between(4, 16) as u32)
    };
    (0..count).map(|_| absence(random)).collect()
}

fn draw_trips(world: &World, random: &mut Random) -> Vec<Trip> {
    let count = random.occurrences(0.8 * world.traps.travel * f64::from(world.days) / 70.0);
    let trip = |random: &mut Random| {
        let from = world.any_day(random);
        let jet_lag = if random.chance(0.3) { 60.0 * random.between(-9, 9) as f64 } else { 0.0 };
        Trip { from, to: from + random.between(1, 5) as u32, source: fresh_source(random), jet_lag }
    };
    (0..count).map(|_| trip(random)).collect()
}

/// A network that nobody has used before.
pub(super) fn fresh_source(random: &mut Random) -> u32 {
    FRESH_SOURCES + random.below(900_000) as u32
}

/// A network that many have used now and then.
pub(super) fn shared_source(random: &mut Random) -> u32 {
    SHARED_SOURCES + random.below(SHARED_COUNT) as u32
}
