//! Correlations: how often, how many different, in which order, or not at all, within a window of event time.
//!
//! Each group of a correlation remembers its occurrences by second. A late event lands where it belongs, and every window
//! that it is in is looked at again; an event without a field to group by, or to count, belongs to no group. It is told
//! when a group crosses into what the rule describes, and not again before it has left it.
//!
//! Of rules whose order counts, and not how often they match, a group keeps only what can make a difference: an occurrence
//! between two others of its rule that one window reaches both of is in no sequence that they are not in.
//!
//! **Invariants:** never a clock; the caller has dropped repeated events; work per event is O(log n) amortised, however hot
//! a group is; groups, occurrences and what waits are bounded, and what is forgotten is counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::event::Facts;
use super::rules::{Correlation, CorrelationKind, RuleMatch, RuleSet, write_text};
use crate::bedrock::EventId;
use crate::hashed::ByHash;
use crate::time::EventTime;

/// Most occurrences of a group: beyond it the oldest go.
const OCCURRENCES_MAX: usize = 4_096;
/// Most events that are named when a correlation holds.
const IDS_MAX: usize = 20;
/// Most absences that wait for their time.
const WAITING_MAX: usize = 100_000;

/// Limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrelatorLimits {
    /// Most groups of all correlations together.
    pub groups_max: usize,
    /// How late an event may come and still change a window, in seconds.
    pub slack: i64,
}

impl Default for CorrelatorLimits {
    fn default() -> Self {
        Self { groups_max: 100_000, slack: 1_800 }
    }
}

/// A group of a correlation: a hash of the rule's id and of the values that its events share.
type Key = u128;

/// What a group remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    /// The correlation's id.
    rule: Arc<str>,
    /// The values that its events share.
    name: Box<str>,
    /// By second and value. The value is a hash, or the place of the rule.
    occurrences: BTreeMap<(EventTime, u64), Seen>,
    /// The newest occurrence.
    newest: EventTime,
    /// Of everything that is kept: occurrences by value, and all. What they do not reach, no window does.
    kept: ByHash<u64, u32>,
    kept_total: u64,
    /// In the window that ends with the newest: occurrences by value, and all.
    live: ByHash<u64, u32>,
    total: u64,
    /// Where that window begins.
    live_from: EventTime,
    /// For sequences: the latest start of one whose first n+1 rules have matched.
    starts: Vec<Option<EventTime>>,
    /// Whether the newest window is what the rule describes.
    is_inside: bool,
    /// End of the last window that was told.
    told: Option<EventTime>,
}

/// What a group remembers of a second and a value.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// How often.
    count: u32,
    /// The first of these events.
    id: Option<EventId>,
}

/// A first rule that has matched and waits for the second.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting<P> {
    key: Key,
    since: EventTime,
    payload: P,
}

/// A correlation that holds.
#[derive(Clone, Debug)]
pub struct Fired<P> {
    /// Its place in the set.
    pub correlation: u32,
    /// What the group is called: the values that its events share.
    pub group: Box<str>,
    /// How many events, or different values.
    pub count: u64,
    /// When it began.
    pub onset: EventTime,
    /// Events that it was made of, the oldest first; not all where they are many.
    pub ids: Vec<EventId>,
    /// What came with the event of an absence; it is long gone by now.
    pub payload: Option<P>,
}

/// All groups of all correlations. `P` is what must be known of an event when it turns out that nothing followed it.
#[derive(Clone, Debug)]
pub struct Correlator<P> {
    groups: ByHash<Key, Group>,
    waiting: BTreeMap<(EventTime, u64), Waiting<P>>,
    next: u64,
    limits: CorrelatorLimits,
    last_sweep: EventTime,
    /// Where the name of a group is put together.
    scratch: String,
    /// Groups, occurrences and waiting events that were forgotten for want of room.
    pub evicted: u64,
}

/// What a snapshot keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CorrelatorImage<P> {
    groups: Vec<(Key, Group)>,
    waiting: Vec<((EventTime, u64), Waiting<P>)>,
}

impl<P> Default for CorrelatorImage<P> {
    fn default() -> Self {
        Self { groups: Vec::new(), waiting: Vec::new() }
    }
}

/// An event that matches a rule.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a, F> {
    /// The match.
    pub found: &'a RuleMatch,
    /// What is known of it besides.
    pub facts: &'a F,
    /// When it happened.
    pub time: EventTime,
    /// CloudTrail's id of it.
    pub id: Option<&'a EventId>,
}

impl<P: Clone> Correlator<P> {
    /// Nothing remembered.
    pub fn new(limits: CorrelatorLimits) -> Self {
        Self {
            groups: HashMap::default(),
            waiting: BTreeMap::new(),
            next: 0,
            limits,
            last_sweep: EventTime::MIN,
            scratch: String::new(),
            evicted: 0,
        }
    }

    /// Takes an occurrence of a rule into one correlation that it feeds, at its `place` there.
    pub fn feed(
        &mut self,
        set: &RuleSet,
        (number, place): (u32, u32),
        occurrence: &Occurrence<'_, impl Facts>,
        payload: impl FnOnce() -> P,
        out: &mut Vec<Fired<P>>,
    ) {
        let Some(correlation) = set.correlations().get(number as usize) else { return };
        let time = occurrence.time;
        let Some((key, value)) = self.place_of(correlation, place, occurrence) else { return };
        self.make_room(key);
        let group = self.groups.entry(key).or_insert_with(|| Group::starting(time, correlation, &self.scratch));
        if time < group.newest.plus(-correlation.timespan - self.limits.slack) {
            return;
        }
        if correlation.kind == CorrelationKind::Absence {
            group.remember(occurrence, value, false);
            group.thin(correlation, time, value);
            group.drop_oldest();
            if place == 0 && self.waiting.len() < WAITING_MAX {
                self.waiting.insert((time.plus(correlation.timespan), self.next), Waiting { key, since: time, payload: payload() });
                self.next += 1;
            } else if place == 0 {
                self.evicted += 1;
            }
            return;
        }
        let (found, dropped) = match correlation.kind {
            CorrelationKind::TemporalOrdered => group.sequence(correlation, occurrence, value),
            CorrelationKind::EventCount | CorrelationKind::ValueCount | CorrelationKind::Temporal | CorrelationKind::Absence => {
                group.count(correlation, occurrence, value)
            }
        };
        self.evicted += dropped;
        if let Some((onset, count)) = found {
            let (group, ids) = (group.name.clone(), group.ids(onset, onset.plus(correlation.timespan)));
            out.push(Fired { correlation: number, group, count, onset, ids, payload: None });
        }
    }

    /// The group that an occurrence belongs to, its name left in `scratch`, and the value that is counted in it. An absent
    /// field is no value that events could share, or that could be counted.
    fn place_of(&mut self, correlation: &Correlation, place: u32, occurrence: &Occurrence<'_, impl Facts>) -> Option<(Key, u64)> {
        let (found, facts, name) = (occurrence.found, occurrence.facts, &mut self.scratch);
        name.clear();
        let value = match &correlation.field {
            Some(field) => {
                write_text(&found.fields, facts, field, name).then_some(())?;
                xxh3_64(name.as_bytes())
            }
            None if correlation.kind == CorrelationKind::EventCount => 0,
            None => u64::from(place),
        };
        name.clear();
        // Where each value ends: "a, b" and "c" are not "a" and "b, c".
        let mut ends = xxh3_128(correlation.rule.id.as_bytes());
        for field in correlation.group_by.get(place as usize).into_iter().flatten() {
            if !name.is_empty() {
                name.push_str(", ");
            }
            write_text(&found.fields, facts, field, name).then_some(())?;
            ends = ends.rotate_left(17) ^ name.len() as u128;
        }
        Some((xxh3_128(name.as_bytes()) ^ ends, value))
    }

    /// Moves time on: what was to follow has not, and groups that are over are forgotten.
    pub fn handle_time(&mut self, set: &RuleSet, watermark: EventTime, out: &mut Vec<Fired<P>>) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 < watermark) {
            let Waiting { key, since, payload } = entry.remove();
            let Some(group) = self.groups.get_mut(&key) else { continue };
            let mut numbered = (0..).zip(set.correlations());
            let Some((number, correlation)) = numbered.find(|(_, correlation)| correlation.rule.id == group.rule) else { continue };
            let is_followed =
                group.occurrences.range((since, 0)..=(since.plus(correlation.timespan), u64::MAX)).any(|((_, place), _)| *place == 1);
            let is_told = group.told.is_some_and(|told| since.since(told) <= correlation.timespan);
            if !is_followed && !is_told {
                group.told = Some(since);
                let (group, ids) = (group.name.clone(), group.ids(since, since));
                out.push(Fired { correlation: number, group, count: 1, onset: since, ids, payload: Some(payload) });
            }
        }
        if watermark.since(self.last_sweep) >= 60 {
            self.last_sweep = watermark;
            let longest: HashMap<&Arc<str>, i64> = set.correlations().iter().map(|found| (&found.rule.id, found.timespan)).collect();
            let slack = self.limits.slack;
            self.groups
                .retain(|_, group| longest.get(&group.rule).is_some_and(|timespan| group.newest.plus(2 * timespan + slack) >= watermark));
        }
    }

    /// Makes room for one more group: the tenth that is quiet for longest goes at once, so that it is rarely done.
    fn make_room(&mut self, key: Key) {
        if self.groups.len() < self.limits.groups_max || self.groups.contains_key(&key) {
            return;
        }
        let mut times: Vec<(EventTime, Key)> = self.groups.iter().map(|(key, group)| (group.newest, *key)).collect();
        times.sort_unstable();
        let going = (times.len() / 10).max(1);
        self.evicted += going as u64;
        for (_, key) in times.into_iter().take(going) {
            self.groups.remove(&key);
        }
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> CorrelatorImage<P> {
        let mut groups: Vec<(Key, Group)> = self.groups.iter().map(|(key, group)| (*key, group.clone())).collect();
        groups.sort_unstable_by_key(|(key, _)| *key);
        CorrelatorImage { groups, waiting: self.waiting.iter().map(|(at, waiting)| (*at, waiting.clone())).collect() }
    }

    /// Goes on from what a snapshot kept.
    pub fn restore(&mut self, image: CorrelatorImage<P>) {
        self.groups = image.groups.into_iter().collect();
        self.waiting = image.waiting.into_iter().collect();
        self.next = self.waiting.keys().map(|(_, order)| order + 1).max().unwrap_or(0);
    }
}

impl Group {
    fn starting(time: EventTime, correlation: &Correlation, name: &str) -> Self {
        let places = if correlation.kind == CorrelationKind::TemporalOrdered { correlation.rules.len() } else { 0 };
        Self {
            rule: Arc::clone(&correlation.rule.id),
            name: name.into(),
            occurrences: BTreeMap::new(),
            newest: time,
            kept: HashMap::default(),
            kept_total: 0,
            live: HashMap::default(),
            total: 0,
            live_from: EventTime::MIN,
            starts: vec![None; places],
            is_inside: false,
            told: None,
        }
    }

    /// Forgets what makes no difference, now that there is an occurrence at `time`: of three of one rule with no other's
    /// between them, within one window, the middle one. (Whatever is within the window of it is within that of the first
    /// or of the last.)
    fn thin(&mut self, correlation: &Correlation, time: EventTime, place: u64) {
        if correlation.kind == CorrelationKind::TemporalOrdered && correlation.rules.len() > 2 {
            return;
        }
        let mut before = self.occurrences.range(..(time, place)).rev().map(|(at, _)| *at);
        let after = self.occurrences.range((time, place + 1)..).next().map(|(at, _)| *at);
        let (last, last_but_one) = (before.next(), before.next());
        let within = |from: (EventTime, u64), to: (EventTime, u64)| {
            from.1 == place && to.1 == place && from.0 < to.0 && to.0.since(from.0) <= correlation.timespan
        };
        let middle = match (last_but_one, last, after) {
            (_, Some(last), Some(after)) if within(last, after) => (time, place),
            (Some(first), Some(middle), None) if middle.1 == place && within(first, (time, place)) => middle,
            _ => return,
        };
        if let Some(Seen { count, .. }) = self.occurrences.remove(&middle) {
            take(&mut self.kept, &mut self.kept_total, middle.1, count);
            if middle.0 >= self.live_from {
                take(&mut self.live, &mut self.total, middle.1, count);
            }
        }
    }

    /// Notes an occurrence; `true` where the second had none of this value. Of values and rules one a second is enough.
    fn remember(&mut self, occurrence: &Occurrence<'_, impl Facts>, value: u64, counts: bool) -> bool {
        let time = occurrence.time;
        self.newest = self.newest.max(time);
        let seen = self.occurrences.entry((time, value)).or_default();
        let is_new = seen.count == 0;
        if is_new {
            seen.id = occurrence.id.cloned();
        }
        if is_new || counts {
            seen.count = seen.count.saturating_add(1);
            *self.kept.entry(value).or_default() += 1;
            self.kept_total += 1;
        }
        is_new
    }

    /// Forgets the oldest where there are too many; how many that were.
    fn drop_oldest(&mut self) -> u64 {
        if self.occurrences.len() <= OCCURRENCES_MAX {
            return 0;
        }
        let Some(((time, value), Seen { count, .. })) = self.occurrences.pop_first() else { return 0 };
        take(&mut self.kept, &mut self.kept_total, value, count);
        if time >= self.live_from {
            take(&mut self.live, &mut self.total, value, count);
        }
        u64::from(count)
    }

    /// Counts and values: onset and number where the group crosses into what is described, and occurrences dropped.
    fn count(&mut self, correlation: &Correlation, occurrence: &Occurrence<'_, impl Facts>, value: u64) -> (Option<(EventTime, u64)>, u64) {
        let time = occurrence.time;
        let was_newest = time >= self.newest;
        let counts = correlation.kind == CorrelationKind::EventCount;
        if !self.remember(occurrence, value, counts) && !counts {
            return (None, 0);
        }
        let from = self.newest.plus(-correlation.timespan);
        if from > self.live_from {
            // Seconds that have left the window.
            for ((_, left), Seen { count, .. }) in self.occurrences.range((self.live_from, 0)..(from, 0)) {
                take(&mut self.live, &mut self.total, *left, *count);
            }
            self.live_from = from;
        }
        if time >= self.live_from {
            *self.live.entry(value).or_default() += 1;
            self.total += 1;
        }
        if !counts {
            self.thin(correlation, time, value);
        }
        let dropped = self.drop_oldest();
        let number = if counts { self.total } else { self.live.len() as u64 };
        let inside = describes(correlation, number);
        let crosses = inside && !self.is_inside;
        self.is_inside = inside;
        if crosses {
            self.told = Some(self.newest);
            return (Some((self.first_of(from), number)), dropped);
        }
        let most = if counts { self.kept_total } else { self.kept.len() as u64 };
        if was_newest || inside || most < least(correlation) {
            return (None, dropped);
        }
        (self.past_window(correlation, time, counts), dropped)
    }

    /// A late event may complete a window that ended before the newest. All windows that it is in are walked over once.
    fn past_window(&mut self, correlation: &Correlation, time: EventTime, counts: bool) -> Option<(EventTime, u64)> {
        let (span, told) = (correlation.timespan, self.told);
        let (mut values, mut total) = (ByHash::<u64, u32>::default(), 0u64);
        let mut behind = self.occurrences.range((time.plus(-span), 0)..).peekable();
        for ((end, value), Seen { count, .. }) in self.occurrences.range((time.plus(-span), 0)..=(time.plus(span), u64::MAX)) {
            *values.entry(*value).or_default() += count;
            total += u64::from(*count);
            while let Some(((_, left), Seen { count, .. })) = behind.next_if(|((at, _), _)| *at < end.plus(-span)) {
                take(&mut values, &mut total, *left, *count);
            }
            let number = if counts { total } else { values.len() as u64 };
            let is_told = told.is_some_and(|told| end.since(told).abs() <= span);
            if *end >= time && !is_told && describes(correlation, number) {
                let (end, onset) = (*end, self.first_of(end.plus(-span)));
                self.told = Some(end);
                return Some((onset, number));
            }
        }
        None
    }

    /// The first events of a window, as far as they are remembered.
    fn ids(&self, from: EventTime, until: EventTime) -> Vec<EventId> {
        self.occurrences.range((from, 0)..=(until, u64::MAX)).filter_map(|(_, seen)| seen.id.clone()).take(IDS_MAX).collect()
    }

    fn first_of(&self, from: EventTime) -> EventTime {
        self.occurrences.range((from, 0)..).next().map_or(self.newest, |((time, _), _)| *time)
    }

    /// Sequences: the start of one that is complete now, and occurrences dropped.
    fn sequence(
        &mut self,
        correlation: &Correlation,
        occurrence: &Occurrence<'_, impl Facts>,
        place: u64,
    ) -> (Option<(EventTime, u64)>, u64) {
        let time = occurrence.time;
        let is_in_order = self.occurrences.is_empty() || time > self.newest;
        if !self.remember(occurrence, place, false) {
            return (None, 0);
        }
        self.thin(correlation, time, place);
        let dropped = self.drop_oldest();
        let mut complete = None;
        if is_in_order {
            complete = self.step(correlation, time, place);
        } else {
            // Late, or in a second with others, whose order nobody knows: all of it once more.
            self.starts.iter_mut().for_each(|start| *start = None);
            let all: Vec<(EventTime, u64)> = self.occurrences.keys().copied().collect();
            for (time, place) in all {
                complete = self.step(correlation, time, place).or(complete);
            }
        }
        let found = complete.filter(|(_, end)| self.told.is_none_or(|told| end.since(told).abs() > correlation.timespan));
        let told = found.map(|(start, end)| {
            self.told = Some(end);
            (start, correlation.rules.len() as u64)
        });
        (told, dropped)
    }

    /// One more of a sequence; its start and end where it is complete.
    fn step(&mut self, correlation: &Correlation, time: EventTime, place: u64) -> Option<(EventTime, EventTime)> {
        let place = place as usize;
        let start = match place.checked_sub(1) {
            None => Some(time),
            Some(before) => self.starts.get(before).copied().flatten().filter(|start| time.since(*start) <= correlation.timespan),
        }?;
        let kept = self.starts.get_mut(place)?;
        *kept = (*kept).max(Some(start));
        (place + 1 == correlation.rules.len()).then_some((start, time))
    }
}

/// Takes occurrences of a value out of a count.
fn take(values: &mut ByHash<u64, u32>, total: &mut u64, value: u64, count: u32) {
    if let Some(known) = values.get_mut(&value) {
        *total = total.saturating_sub(u64::from(count.min(*known)));
        *known = known.saturating_sub(count);
        if *known == 0 {
            values.remove(&value);
        }
    }
}

/// The number from which on a window is what the correlation describes.
fn least(correlation: &Correlation) -> u64 {
    if correlation.kind == CorrelationKind::Temporal { correlation.rules.len() as u64 } else { correlation.at_least }
}

fn describes(correlation: &Correlation, number: u64) -> bool {
    number >= least(correlation) && number <= correlation.at_most
}
