//! A person's day: sittings of a few buckets, loops in notebooks, calls at night.

use super::identity::{Habits, HumanKind, Identity, shared_source};
use super::tape::{MINUTES_PER_BUCKET, Place, Tape};
use super::world::World;
use crate::random::Random;

/// Buckets of a sitting, on average.
const SITTING: f64 = 6.0;
/// Probability of calls in each bucket of a sitting.
const BUSY: f64 = 0.75;
/// A loop is stopped after half a day.
const LOOP_BUCKETS: f64 = 144.0;
/// Smallest and largest loop, in calls.
const LOOP_CALLS: (f64, f64) = (60.0, 20_000.0);
/// Probability a day of one try of another model, of a round through several, and of a call from a hotspot.
const CURIOUS: f64 = 0.03;
const COMPARES: f64 = 0.0015;
const HOTSPOT: f64 = 0.06;

/// When sittings begin, in local minutes.
#[derive(Clone, Copy, Debug)]
struct Hours {
    begins: f64,
    ends: f64,
    evening: f64,
    any_hour: f64,
}

/// How much is to be done in a day.
#[derive(Clone, Copy, Debug)]
struct Load {
    buckets: f64,
    calls: f64,
}

/// Writes one day.
pub(super) fn day(world: &World, identity: &Identity, habits: &Habits, day: u32, random: &mut Random, tape: &mut Tape) {
    let group = &world.groups[identity.group];
    let absent = habits.absences.iter().any(|&(from, back)| (from..back).contains(&day));
    let hacks = group.is_hackathon(day) && habits.joins_in();
    let rush = if habits.joins_in() { group.rush(day) } else { 1.0 };
    let probability = match (absent, hacks, group.is_holiday(day), world.is_weekend(day)) {
        (true, ..) => 0.01,
        (_, true, ..) => 0.7,
        (_, _, true, _) => habits.weekday * 0.05,
        (.., true) => habits.weekend * if rush > 1.0 { 4.0 } else { 1.0 },
        (.., false) => habits.weekday,
    };
    let source = identity.source(day, random);
    if random.chance(probability) {
        let back = habits.absences.iter().any(|&(_, back)| back == day);
        let factor =
            identity.level(world, day) * rush * if back { 1.6 } else { 1.0 } * if world.is_weekend(day) && !hacks { 0.5 } else { 1.0 };
        // More work is more time at it and, to a smaller part, more at a time.
        let load = Load {
            buckets: random.lognormal(habits.buckets * factor.powf(0.65), 0.6, 4.0),
            calls: habits.calls * factor.powf(0.35) * random.lognormal(1.0, 0.2, 2.0),
        };
        let lag = habits.trips.iter().find(|trip| (trip.from..trip.to).contains(&day)).map_or(0.0, |trip| trip.jet_lag);
        let late = if rush > 1.0 { 4.0 } else { 1.0 };
        let hours = Hours {
            begins: habits.begins + lag,
            ends: habits.ends + lag,
            evening: habits.evening * late,
            any_hour: if hacks { 0.8 } else { habits.any_hour },
        };
        sittings(world, identity, (day, source), hours, load, random, tape);
        oddities(world, identity, (day, source), habits, random, tape);
        for _ in 0..random.occurrences(habits.loops) {
            notebook_loop(world, identity, (day, source), habits, random, tape);
        }
    }
    if habits.is_on_duty(identity.number, day) && !absent {
        for _ in 0..random.occurrences(1.2) {
            called_out(world, identity, (day, source), habits, random, tape);
        }
    }
}

/// One day of somebody who works like the identity, but from elsewhere and so many times as much.
pub(super) fn shadow(world: &World, identity: &Identity, (day, source): (u32, u32), times: f64, random: &mut Random, tape: &mut Tape) {
    let Some(habits) = identity.habits() else { return };
    let hours = Hours { begins: habits.begins, ends: habits.ends, evening: 0.0, any_hour: 0.0 };
    let load = Load { buckets: habits.buckets.max(4.0) * times.sqrt(), calls: habits.calls * times.sqrt() };
    sittings(world, identity, (day, source), hours, load, random, tape);
}

fn sittings(world: &World, identity: &Identity, (day, source): (u32, u32), hours: Hours, load: Load, random: &mut Random, tape: &mut Tape) {
    let spread = identity.habits().map_or(0.8, |habits| habits.spread);
    // Nobody fills much more than half of a day by hand.
    let mut left = load.buckets.clamp(1.0, 170.0) as u32;
    while left > 0 {
        let start = world.bucket(identity.group, day, hours.draw(random));
        let place = identity.place(day, source, random);
        let length = random.lognormal(SITTING, 0.7, 5.0) as i64 + 1;
        for step in 0..length {
            if left > 0 && random.chance(BUSY) {
                tape.push(start + step, place, calls(load.calls, spread, random));
                left -= 1;
            }
        }
    }
}

impl Hours {
    /// Two humps around lunch, a tail in the evening, seldom any hour.
    fn draw(self, random: &mut Random) -> f64 {
        let at = random.unit();
        if at < self.any_hour {
            random.real(0.0, 1_440.0)
        } else if at < self.any_hour + self.evening {
            random.real(self.ends, self.ends + 240.0)
        } else {
            let length = self.ends - self.begins;
            let (middle, spread) = if random.chance(0.5) { (0.22, 0.1) } else { (0.72, 0.14) };
            self.begins + length * (middle + spread * random.normal()).clamp(0.0, 1.0)
        }
    }
}

/// A person's calls in one bucket, at least one.
fn calls(median: f64, spread: f64, random: &mut Random) -> u32 {
    let drawn = random.lognormal(median, spread, 20.0);
    random.whole(drawn).max(1)
}

/// Single calls that are new for this person and mean nothing.
fn oddities(world: &World, identity: &Identity, (day, source): (u32, u32), habits: &Habits, random: &mut Random, tape: &mut Tape) {
    let minute = random.real(habits.begins, habits.ends);
    let start = world.bucket(identity.group, day, minute);
    let usual = identity.place(day, source, random);
    if random.chance(HOTSPOT) {
        tape.push(start, Place { source: shared_source(random), ..usual }, calls(3.0, 0.5, random));
    }
    if random.chance(CURIOUS) {
        tape.push(start + 1, Place { model: world.any_model(random), ..usual }, calls(2.0, 0.5, random));
    }
    if random.chance(COMPARES) {
        for step in 0..random.between(4, 9) {
            tape.push(start + step, Place { model: world.any_model(random), ..usual }, calls(6.0, 0.6, random));
        }
    }
}

/// A loop over a data set: its size is Pareto, and so is everything that is made of it.
fn notebook_loop(world: &World, identity: &Identity, (day, source): (u32, u32), habits: &Habits, random: &mut Random, tape: &mut Tape) {
    let (least, most) = LOOP_CALLS;
    let size = random.pareto(least, world.tail_index, most);
    let rate = random.lognormal(habits.loop_rate, 0.4, 3.0) * (size / 1_000.0).max(1.0).sqrt();
    let buckets = (size / rate).clamp(1.0, LOOP_BUCKETS);
    let (begins, ends) = (habits.begins, habits.ends);
    let start = world.bucket(identity.group, day, random.real(begins, ends));
    let place = identity.place(day, source, random);
    for step in 0..buckets.ceil() as i64 {
        let part = rate * (buckets - step as f64).min(1.0);
        tape.push(start + step, place, calls(part, 0.15, random));
    }
}

/// Half an hour to two hours of work at any hour, for who is on call.
fn called_out(world: &World, identity: &Identity, (day, source): (u32, u32), habits: &Habits, random: &mut Random, tape: &mut Tape) {
    debug_assert!(habits.kind == HumanKind::OnCall);
    let night = random.real(habits.ends, habits.begins + 1_440.0);
    let start = world.bucket(identity.group, day, night);
    let place = identity.place(day, source, random);
    for step in 0..random.between(30, 120) / MINUTES_PER_BUCKET {
        if random.chance(0.6) {
            tape.push(start + step, place, calls(habits.calls, habits.spread, random));
        }
    }
}
