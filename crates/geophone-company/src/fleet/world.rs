//! What all identities of one fleet share: time zones, departments, models, and the calendar of
//! harmless events that a detector has to put up with.

use super::tape::{BUCKETS_PER_DAY, MINUTES_PER_BUCKET};
use super::{FleetSettings, SCORED_DAYS};
use crate::clock::{DAY, civil, weekday};
use crate::random::{Purpose, Random};

/// Minutes east of Greenwich of the places where departments sit.
const OFFSETS: [i32; 10] = [-480, -360, -300, 0, 60, 120, 330, 480, 540, 600];

/// Identities in an average department.
const GROUP_SIZE: usize = 125;

/// One department in so many runs machines of its own.
const TECHNICAL_GROUPS: usize = 4;

/// Regions that anybody in the company can reach.
pub(super) const REGIONS: u8 = 4;

/// The company of one seed.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub seed: u64,
    pub days: u32,
    /// Midnight UTC of day 0.
    pub first_day: i64,
    /// First day on which an attack may begin.
    pub scored_from: u32,
    pub groups: Vec<Group>,
    /// Popularity of each model; launched ones are at the end, with no weight before their day.
    pub models: Vec<f64>,
    pub launches: Vec<Launch>,
    /// Tail index of the sizes of notebook loops.
    pub tail_index: f64,
    pub mix: Mix,
    pub traps: Traps,
}

/// Shares of the population.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    pub machines: f64,
    pub joiners: f64,
    /// Weights of office, light, notebook, on-call and ramping people.
    pub people: [f64; 5],
    /// Weights of batch, ticker and service machines.
    pub machine_kinds: [f64; 3],
}

/// How frequent harmless oddities are in this company, 1 being usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traps {
    pub storms: f64,
    pub vacations: f64,
    pub travel: f64,
    pub shifts: f64,
}

/// A department.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Share of the people, relative to other departments.
    pub people: f64,
    /// Share of the machines, likewise.
    pub machines: f64,
    /// Most of its people are in this region.
    pub region: u8,
    /// Local minute at which its people usually begin.
    pub opens: f64,
    /// Days at home, on average.
    pub home_share: f64,
    zone: Zone,
    rushes: Vec<Rush>,
    hackathon: Option<u32>,
}

/// A country: its clock and its holidays.
#[derive(Clone, Debug)]
struct Zone {
    offset: i32,
    /// The day on which clocks change, and by how many minutes.
    clock_change: Option<(u32, i32)>,
    holidays: Vec<u32>,
}

/// Days before a deadline.
#[derive(Clone, Copy, Debug)]
struct Rush {
    from: u32,
    to: u32,
    factor: f64,
}

/// A new model that many people move to within days.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub day: u32,
    pub model: u8,
    /// Share of the identities that will use it.
    pub adoption: f64,
}

impl World {
    /// The world behind these settings.
    pub(super) fn new(settings: &FleetSettings) -> Self {
        let random = &mut Random::stream(settings.seed, Purpose::FleetWorld, &[]);
        let days = settings.days;
        let mut jitter = |value: f64| value * random.real(0.5, 1.5);
        let mix = Mix {
            machines: jitter(0.12).clamp(0.08, 0.16),
            joiners: jitter(0.07),
            people: [0.6, 0.13, 0.08, 0.08, 0.06].map(&mut jitter),
            machine_kinds: [0.3, 0.24, 0.46].map(&mut jitter),
        };
        let traps = Traps { storms: jitter(1.0), vacations: jitter(1.0), travel: jitter(1.0), shifts: jitter(1.0) };
        let mut world = Self {
            seed: settings.seed,
            days,
            first_day: settings.first_day,
            scored_from: days - SCORED_DAYS.min(days / 2),
            groups: Vec::new(),
            models: (0..random.between(8, 11)).map(|rank| 1.0 / (rank as f64 + 1.5)).collect(),
            launches: Vec::new(),
            tail_index: random.real(1.1, 1.6),
            mix,
            traps,
        };
        for _ in 0..random.between(1, 2) {
            let model = world.models.len() as u8;
            let day = random.between(i64::from(days / 7), i64::from(days) - 4) as u32;
            world.launches.push(Launch { day, model, adoption: random.real(0.25, 0.7) });
            world.models.push(0.0);
        }
        world.groups = world.draw_groups(settings.identities, random);
        world
    }

    fn draw_groups(&self, identities: usize, random: &mut Random) -> Vec<Group> {
        let mut offsets = OFFSETS;
        random.shuffle(&mut offsets);
        let zones: Vec<Zone> = offsets.iter().take(random.between(3, 5) as usize).map(|&offset| self.draw_zone(offset, random)).collect();
        let count = (identities / GROUP_SIZE).clamp(3, 40);
        let technical = count.div_ceil(TECHNICAL_GROUPS);
        let region_share = random.real(0.3, 0.7);
        let mut groups: Vec<Group> = (0..count)
            .map(|number| Group {
                people: random.lognormal(if number < technical { 0.5 } else { 1.0 }, 0.5, 3.0),
                machines: if number < technical { random.real(0.7, 1.3) } else { 0.1 * technical as f64 / count as f64 },
                region: u8::from(random.chance(region_share)),
                opens: random.real(7.5, 10.0) * 60.0,
                home_share: random.real(0.15, 0.5),
                zone: random.pick(&zones).clone(),
                rushes: Vec::new(),
                hackathon: None,
            })
            .collect();
        self.draw_busy_times(&mut groups, random);
        groups
    }

    fn draw_zone(&self, offset: i32, random: &mut Random) -> Zone {
        let sundays: Vec<u32> = (self.scored_from..self.days).filter(|&day| self.weekday(day) == 6).collect();
        let changes = !sundays.is_empty() && random.chance(0.6);
        let minutes = if random.chance(0.5) { 60 } else { -60 };
        let mut holidays: Vec<u32> = (0..random.between(1, 4)).map(|_| self.any_day(random)).collect();
        // One of them is always among the days that count.
        holidays.push(random.between(i64::from(self.scored_from), i64::from(self.days) - 1) as u32);
        Zone { offset, clock_change: changes.then(|| (*random.pick(&sundays), minutes)), holidays }
    }

    fn draw_busy_times(&self, groups: &mut [Group], random: &mut Random) {
        let per_group = random.real(0.4, 1.2);
        let rushes = 1 + random.occurrences(groups.len() as f64 * per_group);
        for _ in 0..rushes {
            let (number, from) = (random.below(groups.len()), self.any_day(random).max(5));
            let rush = Rush { from, to: from + random.between(2, 5) as u32, factor: random.real(2.0, 4.0) };
            groups[number].rushes.push(rush);
        }
        let saturdays: Vec<u32> = (5..self.days).filter(|&day| self.weekday(day) == 5).collect();
        for _ in 0..random.between(1, 2) {
            let number = random.below(groups.len());
            groups[number].hackathon = (!saturdays.is_empty()).then(|| *random.pick(&saturdays));
        }
    }

    /// Any day of the fleet.
    pub(super) fn any_day(&self, random: &mut Random) -> u32 {
        random.below(self.days as usize) as u32
    }

    /// 0 = Monday … 6 = Sunday.
    pub(super) fn weekday(&self, day: u32) -> i64 {
        weekday(self.first_day + i64::from(day) * DAY)
    }

    /// Whether the day is a Saturday or a Sunday.
    pub(super) fn is_weekend(&self, day: u32) -> bool {
        self.weekday(day) >= 5
    }

    /// Whether the day is the last or one of the first two of a month, when books are closed.
    pub(super) fn is_month_end(&self, day: u32) -> bool {
        let today = self.first_day.div_euclid(DAY) + i64::from(day);
        civil(today).2 <= 2 || civil(today + 1).2 == 1
    }

    /// The bucket of a local minute of the day; minutes may lie before or after the day.
    pub(super) fn bucket(&self, group: usize, day: u32, local_minute: f64) -> i64 {
        let utc = i64::from(day) * 1_440 + local_minute as i64 - i64::from(self.groups[group].offset(day));
        utc.div_euclid(MINUTES_PER_BUCKET)
    }

    /// The bucket after the last.
    pub(super) fn end(&self) -> u32 {
        self.days * BUCKETS_PER_DAY
    }

    /// The first bucket in which an attack may begin.
    pub(super) fn scored_bucket(&self) -> u32 {
        self.scored_from * BUCKETS_PER_DAY
    }

    /// The models that there are on that day: nobody, thief or not, calls one before its launch.
    pub(super) fn models_on(&self, day: u32) -> Vec<u8> {
        let launched = |model: &u8| self.launches.iter().all(|launch| launch.model != *model || launch.day <= day);
        (0..self.models.len() as u8).filter(launched).collect()
    }

    /// A model by its popularity; launched ones are left to those who adopt them.
    pub(super) fn any_model(&self, random: &mut Random) -> u8 {
        pick_weighted(&self.models, random) as u8
    }
}

impl Group {
    /// Minutes east of Greenwich on that day.
    pub(super) fn offset(&self, day: u32) -> i32 {
        let change = self.zone.clock_change.filter(|&(from, _)| day >= from);
        self.zone.offset + change.map_or(0, |(_, minutes)| minutes)
    }

    /// Minutes by which the clock has changed since the first day.
    pub(super) fn clock_change(&self, day: u32) -> i32 {
        self.offset(day) - self.zone.offset
    }

    /// Whether nearly nobody works.
    pub(super) fn is_holiday(&self, day: u32) -> bool {
        self.zone.holidays.contains(&day)
    }

    /// How much busier the department is than usual; 1 without a deadline.
    pub(super) fn rush(&self, day: u32) -> f64 {
        self.rushes.iter().filter(|rush| (rush.from..=rush.to).contains(&day)).map(|rush| rush.factor).fold(1.0, f64::max)
    }

    /// Whether the department hacks through this day and its night.
    pub(super) fn is_hackathon(&self, day: u32) -> bool {
        self.hackathon.is_some_and(|saturday| day == saturday || day == saturday + 1)
    }
}

/// An index, as often as its weight says.
pub(super) fn pick_weighted(weights: &[f64], random: &mut Random) -> usize {
    let mut at = random.unit() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        at -= weight;
        if at < 0.0 {
            return index;
        }
    }
    0
}
