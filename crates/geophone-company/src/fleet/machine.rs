//! A machine's day: batches by cron, tickers every few minutes, services round the clock.

use super::identity::Identity;
use super::tape::{BUCKETS_PER_DAY, BUCKETS_PER_HOUR, MINUTES_PER_BUCKET, Tape};
use super::world::{World, pick_weighted};
use crate::random::Random;

/// Retry storms of a machine in ten weeks.
const STORMS: f64 = 0.7;
/// Probability that a batch runs hours late.
const LATE: f64 = 0.002;
/// Share of the machines that do more at the end of a month.
const MONTH_END: f64 = 0.2;

/// What a machine does.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub job: Job,
    /// Calls in a bucket in which it works.
    pub size: f64,
    /// Spread of their logarithm.
    spread: f64,
    /// How much more at the end of a month; 1 for most.
    month_end: f64,
    /// Storms: bucket, length, factor.
    storms: Vec<(u32, u32, f64)>,
}

/// When a machine works.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Batch(Batch),
    /// Every so many buckets, from that one on; on weekdays only, or always.
    Ticker {
        step: u32,
        first: u32,
        weekdays_only: bool,
        mean_buckets: f64,
    },
    Service(Service),
}

/// A cron job.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Whether it runs on that weekday.
    days: [bool; 7],
    /// Minutes of the day.
    starts: Vec<f64>,
    /// Buckets of a run.
    length: f64,
    /// Written in local time, so that it moves with the clock.
    local: bool,
    /// From that day on, by so many minutes, for good.
    moved: Option<(u32, f64)>,
}

/// A service with a daily curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// 0 is flat.
    swing: f64,
    /// UTC minute of the peak.
    peak: f64,
    weekend: f64,
    /// Spread of whole days, and of hours.
    daily: f64,
    hourly: f64,
    /// Probability that an hour has several times the calls.
    bursty: f64,
}

impl Machine {
    /// A machine as this company has them. The first ones are one of each kind: the smallest fleet has them all.
    pub(super) fn new(world: &World, nth: usize, random: &mut Random) -> Self {
        let kinds = &world.mix.machine_kinds;
        let kind = if nth < kinds.len() { nth } else { pick_weighted(kinds, random) };
        let storms = random.occurrences(STORMS * world.traps.storms * f64::from(world.days) / 70.0);
        let storm = |random: &mut Random| {
            let bucket = random.below(world.end() as usize) as u32;
            (bucket, random.between(2, 8) as u32, random.log_between(3.0, 10.0))
        };
        let job = match kind {
            0 => Job::Batch(Batch::new(world, random)),
            1 => {
                let step = *random.pick(&[3, 3, 6, 12, 12, 12]);
                let mean_buckets = if step == 12 && random.chance(0.2) { 2.0 } else { 1.0 };
                Job::Ticker { step, first: random.below(step as usize) as u32, weekdays_only: random.chance(0.3), mean_buckets }
            }
            _ => Job::Service(Service::new(random)),
        };
        Self {
            size: if kind == 2 { random.lognormal(16.0, 1.15, 20.0) } else { random.log_between(15.0, 480.0) },
            spread: if kind == 2 { random.real(0.12, 0.5) } else { random.real(0.04, 0.35) },
            job,
            month_end: if kind != 2 && random.chance(MONTH_END) { random.real(2.0, 4.0) } else { 1.0 },
            storms: (0..storms).map(|_| storm(random)).collect(),
        }
    }

    /// Calls in one bucket around `mean`.
    fn calls(&self, mean: f64, bucket: i64, random: &mut Random) -> u32 {
        let in_storm = |&&(from, length, _): &&(u32, u32, f64)| (0..i64::from(length)).contains(&(bucket - i64::from(from)));
        let storm = self.storms.iter().find(in_storm).map_or(1.0, |&(.., factor)| factor);
        let drawn = random.lognormal(mean * storm, self.spread, 20.0);
        random.whole(drawn)
    }
}

impl Batch {
    fn new(world: &World, random: &mut Random) -> Self {
        let mut days = [true; 7];
        match pick_weighted(&[0.5, 0.38, 0.12], random) {
            0 => {}
            1 => days[5..].fill(false),
            _ => {
                let only = random.below(7);
                for (day, runs) in days.iter_mut().enumerate() {
                    *runs = day == only;
                }
            }
        }
        let runs = *random.pick(&[1, 1, 1, 1, 2, 3]);
        let moves = random.chance(0.06 * world.traps.shifts);
        Self {
            days,
            starts: (0..runs).map(|_| 5.0 * random.below(BUCKETS_PER_DAY as usize) as f64).collect(),
            length: random.lognormal(2.0, 0.8, 7.0),
            local: random.chance(0.4),
            moved: moves.then(|| (world.any_day(random), random.real(2.0, 10.0) * 60.0)),
        }
    }
}

impl Service {
    fn new(random: &mut Random) -> Self {
        Self {
            swing: random.real(0.1, 0.8),
            peak: random.real(0.0, 1_440.0),
            weekend: random.real(0.5, 1.0),
            daily: random.real(0.05, 0.35),
            hourly: random.real(0.05, 0.3),
            bursty: if random.chance(0.3) { random.real(0.005, 0.05) } else { 0.0 },
        }
    }
}

/// Writes one day.
pub(super) fn day(world: &World, identity: &Identity, machine: &Machine, day: u32, random: &mut Random, tape: &mut Tape) {
    let month_end = if world.is_month_end(day) { machine.month_end } else { 1.0 };
    let size = machine.size * identity.level(world, day) * month_end;
    match &machine.job {
        Job::Batch(batch) => batch_day(world, identity, (machine, batch, size), day, random, tape),
        &Job::Ticker { step, first, weekdays_only, mean_buckets } => {
            if !(weekdays_only && world.is_weekend(day)) {
                let run = Run { machine, size, length: mean_buckets };
                for bucket in (first..BUCKETS_PER_DAY).step_by(step as usize) {
                    run.write(identity, day, i64::from(day * BUCKETS_PER_DAY + bucket), random, tape);
                }
            }
        }
        Job::Service(service) => service_day(world, identity, (machine, *service, size), day, random, tape),
    }
}

/// One run of a job.
#[derive(Clone, Copy, Debug)]
struct Run<'a> {
    machine: &'a Machine,
    size: f64,
    length: f64,
}

impl Run<'_> {
    fn write(self, identity: &Identity, day: u32, start: i64, random: &mut Random, tape: &mut Tape) {
        let source = identity.source(day, random);
        let place = identity.place(day, source, random);
        // A start within the bucket leaves a part of the last one over.
        let buckets = if self.length <= 1.0 { i64::from(random.chance(0.03)) + 1 } else { i64::from(random.whole(self.length)).max(1) };
        for step in 0..buckets {
            tape.push(start + step, place, self.machine.calls(self.size, start + step, random));
        }
    }
}

fn batch_day(
    world: &World,
    identity: &Identity,
    (machine, batch, size): (&Machine, &Batch, f64),
    day: u32,
    random: &mut Random,
    tape: &mut Tape,
) {
    if !batch.days[world.weekday(day) as usize] {
        return;
    }
    let clock = if batch.local { f64::from(world.groups[identity.group].clock_change(day)) } else { 0.0 };
    let moved = batch.moved.filter(|&(from, _)| day >= from).map_or(0.0, |(_, minutes)| minutes);
    for &start in &batch.starts {
        let late = if random.chance(LATE) { random.real(60.0, 360.0) } else { 0.0 };
        let wobble = 1.5 * random.normal().abs();
        let minute = (start - clock + moved).rem_euclid(1_440.0) + late + wobble;
        let bucket = i64::from(day * BUCKETS_PER_DAY) + (minute as i64).div_euclid(MINUTES_PER_BUCKET);
        let run = Run { machine, size, length: batch.length };
        run.write(identity, day, bucket, random, tape);
    }
}

fn service_day(
    world: &World,
    identity: &Identity,
    (machine, service, size): (&Machine, Service, f64),
    day: u32,
    random: &mut Random,
    tape: &mut Tape,
) {
    let weekend = if world.is_weekend(day) { service.weekend } else { 1.0 };
    let today = size * weekend * random.lognormal(1.0, service.daily, 2.5);
    let source = identity.source(day, random);
    for hour in 0..24 {
        let angle = (f64::from(hour) * 60.0 - service.peak) / 1_440.0 * std::f64::consts::TAU;
        let burst = if random.chance(service.bursty) { random.real(1.5, 4.0) } else { 1.0 };
        let level = today * (1.0 + service.swing * angle.cos()) * random.lognormal(1.0, service.hourly, 2.0) * burst;
        for step in 0..BUCKETS_PER_HOUR {
            let bucket = i64::from(day * BUCKETS_PER_DAY + hour * BUCKETS_PER_HOUR + step);
            let place = identity.place(day, source, random);
            tape.push(bucket, place, machine.calls(level, bucket, random));
        }
    }
}
