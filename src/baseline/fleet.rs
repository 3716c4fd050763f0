//! The fleet: peers, calibration and crowds, and the pass in which a closed day is counted.
//!
//! A day is counted actor by actor at leisure, so that no event waits for a million of them. What the count says is used
//! from the day after the next at 03:00 on: by then it is complete, whatever its pace, and so no score depends on when an
//! actor was counted.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calibration::{Counting, Scale};
use super::channel::Score;
use super::crowd::{Crowd, CrowdScore};
use super::habits::{FirstUse, Known};
use super::memory::{Baseline, Reference, last_known_day};
use super::peers::{PeerSums, PeerView};
use super::profile::BUCKETS_A_DAY;
use crate::stats::cohort::{Cohort as BusiestHours, CohortImage};

/// Names a cohort: a department (or none: everybody of the kind) and whether its actors are machines.
pub type CohortKey = (Option<Arc<str>>, bool);

/// A cohort's number in its fleet.
pub type CohortId = u16;

/// Most cohorts. Departments are few unless somebody invents them; beyond it only "everybody of a kind" learns.
const COHORTS_MAX: usize = 2_000;
/// Most values of contexts that are remembered for the fleet.
const VALUES_MAX: usize = 500_000;
/// Most silent days that are remembered.
const SILENT_MAX: usize = 400;
/// Actors from which a value is shared.
const SHARED_FROM: usize = 3;
/// Buckets after the third actor's first use from which a value is shared.
const SHARED_AFTER: i64 = 12;

/// Settings of a fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSettings {
    /// Alerts that may be false, per identity-day: 0.001 is one in a thousand.
    pub budget: f64,
    /// Rarity that newcomers get on top: 0.5 gives them about three times the budget.
    pub newcomer_bonus: f64,
    /// Days that must have been counted before a rarity means anything.
    pub learning_days: u32,
    /// Robust standard deviations from which an hour of a department is a campaign.
    pub campaign_deviations: f64,
    /// The same as `budget`, for spending.
    pub spend_budget: f64,
    /// Dollars that must be spent beyond what is expected. They are also added to both sides of a ratio of money.
    pub spend_floor: f64,
}

/// What is judged: an actor's calls, or what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Calls and what they show.
    Calls,
    /// Money.
    Spending,
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self { budget: 0.001, newcomer_bonus: 0.5, learning_days: 14, campaign_deviations: 4.0, spend_budget: 0.001, spend_floor: 5.0 }
    }
}

impl FleetSettings {
    /// The rarity from which a moment alerts.
    pub fn alerts_from(&self, measure: Measure) -> f64 {
        -self.budget_of(measure).log10()
    }

    const fn budget_of(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Calls => self.budget,
            Measure::Spending => self.spend_budget,
        }
    }
}

/// When each value of a context was first used by its first three actors, the earliest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Values {
    users: HashMap<(u8, u32), [i64; SHARED_FROM]>,
}

/// Later than anything.
const NEVER: i64 = i64::MAX;

impl Values {
    fn hear(&mut self, first: &FirstUse) {
        let key = (first.dimension, first.value);
        if self.users.len() >= VALUES_MAX && !self.users.contains_key(&key) {
            // What one or two use makes room for the next.
            self.users.retain(|_, users| users[SHARED_FROM - 1] != NEVER);
        }
        let users = self.users.entry(key).or_insert([NEVER; SHARED_FROM]);
        let place = first.instead_of.and_then(|old| users.iter().position(|user| *user == old)).unwrap_or(SHARED_FROM - 1);
        users[place] = users[place].min(first.slot);
        users.sort_unstable();
    }
}

/// The values, for actors to ask about.
#[derive(Clone, Copy, Debug)]
pub struct KnownValues<'a>(&'a Values);

impl Known for KnownValues<'_> {
    fn is_shared(&self, dimension: usize, value: u32, slot: i64) -> bool {
        // An hour later: by then all that was earlier is in.
        let users = self.0.users.get(&(dimension as u8, value));
        users.is_some_and(|users| users[SHARED_FROM - 1] <= slot - SHARED_AFTER)
    }
}

/// What is known of one cohort.
#[derive(Clone, Debug)]
struct Cohort {
    key: CohortKey,
    /// As of the last counted day, and of the one before.
    views: [Option<Box<PeerView>>; 2],
    crowd: Option<Crowd>,
    /// Busiest hours by measure: in calls, in cents.
    busiest: [BusiestHours; 2],
    /// Of the pass: what is not counted whole is not kept.
    sums: PeerSums,
    busiest_today: [Vec<u32>; 2],
}

/// A department's hour that stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// The cohort.
    pub cohort: CohortKey,
    /// Number of the hour since 1970.
    pub hour: i64,
    /// By how much.
    pub score: CrowdScore,
}

/// A count that goes on.
#[derive(Clone, Debug, Default)]
struct Pass {
    day: i64,
    counting: [Counting; 2],
}

/// Everything that actors share.
#[derive(Clone, Debug)]
pub struct Fleet {
    settings: FleetSettings,
    ids: HashMap<CohortKey, CohortId>,
    cohorts: Vec<Cohort>,
    /// By measure.
    scales: [Scale; 2],
    /// The last counted day.
    counted: i64,
    values: Values,
    /// Days of the last months on which nobody was active.
    silent: Vec<i32>,
    pass: Option<Box<Pass>>,
    nobody: PeerView,
}

/// What a snapshot keeps of a cohort: its name, its views, its crowd and its busiest hours.
type CohortKept = (CohortKey, [Option<Box<PeerView>>; 2], Option<Crowd>, [CohortImage; 2]);

/// What a snapshot keeps of a fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FleetImage {
    cohorts: Vec<CohortKept>,
    scales: [Scale; 2],
    counted: i64,
    values: Vec<((u8, u32), [i64; SHARED_FROM])>,
    silent: Vec<i32>,
}

impl Fleet {
    /// A fleet of which nothing is known.
    pub fn new(settings: FleetSettings) -> Self {
        let mut fleet = Self {
            settings,
            ids: HashMap::new(),
            cohorts: Vec::new(),
            scales: Default::default(),
            counted: i64::MIN / 4,
            values: Values::default(),
            silent: Vec::new(),
            pass: None,
            nobody: PeerView::default(),
        };
        // Everybody of a kind: where departments have too few.
        fleet.cohort(None, false);
        fleet.cohort(None, true);
        fleet
    }

    /// The settings.
    pub const fn settings(&self) -> &FleetSettings {
        &self.settings
    }

    /// The number of a cohort.
    pub fn cohort(&mut self, department: Option<&Arc<str>>, is_machine: bool) -> CohortId {
        let key = (department.cloned(), is_machine);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        if self.cohorts.len() >= COHORTS_MAX {
            return CohortId::from(is_machine);
        }
        let id = self.cohorts.len() as CohortId;
        self.ids.insert(key.clone(), id);
        self.cohorts.push(Cohort {
            key,
            views: [None, None],
            crowd: None,
            busiest: Default::default(),
            sums: PeerSums::default(),
            busiest_today: Default::default(),
        });
        id
    }

    /// What a moment of an actor of this cohort is judged against.
    pub fn reference(&self, cohort: CohortId, slot: i64) -> Reference<'_, KnownValues<'_>> {
        let day = last_known_day(slot) - 1;
        let age = usize::from(self.counted > day);
        let own = &self.cohorts[usize::from(cohort)];
        let is_machine = own.key.1;
        let everybody = &self.cohorts[usize::from(is_machine)];
        let views = [0, 1].map(|age: usize| own.views[age].as_deref().or(everybody.views[age].as_deref()).unwrap_or(&self.nobody));
        Reference {
            peers: views[age],
            views,
            counted: self.counted,
            curves: self.scales[Measure::Calls as usize].curves(age),
            spend_curves: self.scales[Measure::Spending as usize].curves(age),
            spend_floor: self.settings.spend_floor * 1e6,
            known: KnownValues(&self.values),
            silent: &self.silent,
            discount: own.crowd.as_ref().map_or(0.0, |crowd| crowd.discount(slot.div_euclid(12))),
            newcomer_bonus: self.settings.newcomer_bonus,
            is_machine,
        }
    }

    /// Whether a moment is rare enough to be told.
    pub fn alerts(&self, measure: Measure, score: &Score) -> bool {
        self.is_calibrated(measure) && score.rarity >= self.settings.alerts_from(measure)
    }

    /// Whether enough days were counted that a rarity means something.
    pub const fn is_calibrated(&self, measure: Measure) -> bool {
        self.counted_days(measure) >= self.settings.learning_days
    }

    /// Days that were counted.
    pub const fn counted_days(&self, measure: Measure) -> u32 {
        self.scales[measure as usize].days()
    }

    /// An actor was unusual, or kept a pace, for the first time in this hour.
    pub fn note(&mut self, cohort: CohortId, hour: i64, joins: super::memory::Joins) {
        if !joins.unusual && !joins.paced {
            return;
        }
        let cohort = &mut self.cohorts[usize::from(cohort)];
        if cohort.key.0.is_none() {
            // Everybody is no crowd: the unknown have nothing in common.
            return;
        }
        let crowd = cohort.crowd.get_or_insert_with(|| Crowd::starting(hour));
        if joins.unusual {
            crowd.note_unusual(hour);
        }
        if joins.paced {
            crowd.note_paced(hour);
        }
    }

    /// Hears of first uses.
    pub fn hear(&mut self, first_uses: &[FirstUse]) {
        first_uses.iter().for_each(|first| self.values.hear(first));
    }

    /// Settles the hours before `hour`: nothing of them may still come. Says which departments stood out.
    pub fn settle(&mut self, hour: i64) -> Vec<Campaign> {
        let (least, is_calibrated) = (self.settings.campaign_deviations, self.is_calibrated(Measure::Calls));
        let mut found = Vec::new();
        for cohort in &mut self.cohorts {
            let (key, crowd) = (&cohort.key, &mut cohort.crowd);
            if let Some(crowd) = crowd {
                crowd.settle(hour, &mut |hour, score| {
                    if is_calibrated && score.deviations >= least {
                        found.push(Campaign { cohort: key.clone(), hour, score });
                    }
                });
            }
        }
        found
    }

    /// Begins to count `day`, which is over. The pass before it must be finished.
    pub fn begin_pass(&mut self, day: i64) {
        self.pass = Some(Box::new(Pass { day, ..Pass::default() }));
    }

    /// The day that is being counted.
    pub fn passing(&self) -> Option<i64> {
        self.pass.as_ref().map(|pass| pass.day)
    }

    /// Passes a day over on which nobody was active.
    pub fn skip(&mut self, day: i64) {
        if self.silent.len() >= SILENT_MAX {
            self.silent.remove(0);
        }
        self.silent.push(day as i32);
        for cohort in &mut self.cohorts {
            cohort.sums = PeerSums::default();
        }
    }

    /// Counts one actor. `tie` is a hash of its name.
    pub fn absorb(&mut self, cohort: CohortId, baseline: &mut Baseline, tie: u64) {
        let Some(day) = self.passing() else { return };
        if !baseline.was_seen(day) {
            return;
        }
        baseline.learn_active(day, &self.reference(cohort, (day + 2) * BUCKETS_A_DAY));
        let Some(mut pass) = self.pass.take() else { return };
        let own = usize::from(cohort);
        let is_machine = self.cohorts[own].key.1;
        let everybody = usize::from(is_machine);
        for measure in [Measure::Calls, Measure::Spending] {
            let (score, busiest) = match measure {
                Measure::Calls => (baseline.day_score(day, tie), baseline.busiest_hour()),
                Measure::Spending if !baseline.has_spent() => continue,
                Measure::Spending => (baseline.spend_day_score(day, tie), baseline.busiest_spend_cents()),
            };
            let counting = &mut pass.counting[measure as usize];
            let Some(score) = score else {
                counting.see(baseline.class(is_machine));
                continue;
            };
            counting.see(score.class);
            counting.record(&score, self.settings.alerts_from(measure));
            self.cohorts[own].busiest_today[measure as usize].push(busiest);
            if own != everybody {
                self.cohorts[everybody].busiest_today[measure as usize].push(busiest);
            }
        }
        if let Some(lesson) = baseline.lesson(day, &self.silent) {
            let (days, new_days, spending) = (baseline.days(), baseline.new_days(), baseline.spend_lesson());
            let both = [own, everybody];
            for cohort in &both[..if own == everybody { 1 } else { 2 }] {
                let sums = &mut self.cohorts[*cohort].sums;
                sums.add(&lesson, baseline.tails(), days, &new_days);
                spending.iter().for_each(|lesson| sums.add_spending(lesson));
            }
        }
        self.pass = Some(pass);
    }

    /// Every actor was counted: what the day says is known from now on.
    pub fn finish_pass(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        let [calls, spending] = pass.counting;
        if calls.is_silent() {
            self.skip(pass.day);
            return;
        }
        self.scales[Measure::Calls as usize].take(calls, self.settings.budget);
        self.scales[Measure::Spending as usize].take(spending, self.settings.spend_budget);
        for cohort in &mut self.cohorts {
            let sums = std::mem::take(&mut cohort.sums);
            for (busiest, today) in cohort.busiest.iter_mut().zip(std::mem::take(&mut cohort.busiest_today)) {
                today.into_iter().for_each(|hour| busiest.record(hour));
            }
            let view = sums.view(cohort.busiest.each_ref().map(|busiest| busiest.median().unwrap_or(0))).map(Box::new);
            cohort.views[1] = cohort.views[0].take();
            cohort.views[0] = view;
        }
        self.counted = pass.day;
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> FleetImage {
        let mut values: Vec<_> = self.values.users.iter().map(|(value, users)| (*value, *users)).collect();
        values.sort_unstable();
        FleetImage {
            cohorts: self
                .cohorts
                .iter()
                .map(|cohort| {
                    (cohort.key.clone(), cohort.views.clone(), cohort.crowd.clone(), cohort.busiest.each_ref().map(BusiestHours::image))
                })
                .collect(),
            scales: self.scales.clone(),
            counted: self.counted,
            values,
            silent: self.silent.clone(),
        }
    }

    /// A fleet with what a snapshot kept.
    pub fn restore(settings: FleetSettings, image: FleetImage) -> Self {
        let mut fleet = Self::new(settings);
        for (key, views, crowd, busiest) in image.cohorts {
            let id = fleet.cohort(key.0.as_ref(), key.1);
            let cohort = &mut fleet.cohorts[usize::from(id)];
            (cohort.views, cohort.crowd) = (views, crowd);
            cohort.busiest = busiest.each_ref().map(BusiestHours::restore);
        }
        fleet.scales = image.scales;
        fleet.counted = image.counted;
        fleet.silent = image.silent;
        fleet.values.users = image.values.into_iter().collect();
        fleet
    }
}
