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

mod group;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::event::Facts;
use super::rules::{Correlation, CorrelationKind, RuleMatch, RuleSet, write_text};
use crate::bedrock::EventId;
use crate::hashed::ByHash;
use crate::time::EventTime;
use group::Group;

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
            group.note(occurrence, value);
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
