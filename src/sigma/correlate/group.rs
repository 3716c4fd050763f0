//! What a group of a correlation remembers, and when it is what its rule describes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Occurrence;
use crate::bedrock::EventId;
use crate::hashed::ByHash;
use crate::sigma::event::Facts;
use crate::sigma::rules::{Correlation, CorrelationKind};
use crate::time::EventTime;

/// Most occurrences of a group: beyond it the oldest go.
const OCCURRENCES_MAX: usize = 4_096;
/// Most events that are named when a correlation holds.
const IDS_MAX: usize = 20;

/// What a group remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    /// The correlation's id.
    pub(super) rule: Arc<str>,
    /// The values that its events share.
    pub(super) name: Box<str>,
    /// By second and value. The value is a hash, or the place of the rule.
    pub(super) occurrences: BTreeMap<(EventTime, u64), Seen>,
    /// The newest occurrence.
    pub(super) newest: EventTime,
    /// Of everything that is kept: occurrences by value, and all. What they do not reach, no window does. Nothing where only
    /// the order counts.
    pub(super) kept: ByHash<u64, u32>,
    pub(super) kept_total: u64,
    /// In the window that ends with the newest: occurrences by value, and all.
    pub(super) live: ByHash<u64, u32>,
    pub(super) total: u64,
    /// Where that window begins.
    pub(super) live_from: EventTime,
    /// For sequences: the latest start of one whose first n+1 rules have matched.
    pub(super) starts: Vec<Option<EventTime>>,
    /// Whether the newest window is what the rule describes.
    pub(super) is_inside: bool,
    /// End of the last window that was told.
    pub(super) told: Option<EventTime>,
}

/// What a group remembers of a second and a value.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// How often.
    pub(super) count: u32,
    /// The first of these events.
    pub(super) id: Option<EventId>,
}

impl Group {
    pub(super) fn starting(time: EventTime, correlation: &Correlation, name: &str) -> Self {
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
    pub(super) fn thin(&mut self, correlation: &Correlation, time: EventTime, place: u64) {
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

    /// Notes an occurrence; `true` where the second had none of this value. Of rules whose order counts one a second is enough.
    pub(super) fn note(&mut self, occurrence: &Occurrence<'_, impl Facts>, value: u64) -> bool {
        self.newest = self.newest.max(occurrence.time);
        let seen = self.occurrences.entry((occurrence.time, value)).or_default();
        let is_new = seen.count == 0;
        if is_new {
            (seen.count, seen.id) = (1, occurrence.id.cloned());
        }
        is_new
    }

    /// Notes one that is counted; `true` where the second had none of this value. Of values one a second is enough.
    pub(super) fn remember(&mut self, occurrence: &Occurrence<'_, impl Facts>, value: u64, counts: bool) -> bool {
        let is_new = self.note(occurrence, value);
        if counts
            && !is_new
            && let Some(seen) = self.occurrences.get_mut(&(occurrence.time, value))
        {
            seen.count = seen.count.saturating_add(1);
        }
        if is_new || counts {
            *self.kept.entry(value).or_default() += 1;
            self.kept_total += 1;
        }
        is_new
    }

    /// Forgets the oldest where there are too many; how many that were.
    pub(super) fn drop_oldest(&mut self) -> u64 {
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
    pub(super) fn count(
        &mut self,
        correlation: &Correlation,
        occurrence: &Occurrence<'_, impl Facts>,
        value: u64,
    ) -> (Option<(EventTime, u64)>, u64) {
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
    pub(super) fn past_window(&mut self, correlation: &Correlation, time: EventTime, counts: bool) -> Option<(EventTime, u64)> {
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
    pub(super) fn ids(&self, from: EventTime, until: EventTime) -> Vec<EventId> {
        self.occurrences.range((from, 0)..=(until, u64::MAX)).filter_map(|(_, seen)| seen.id.clone()).take(IDS_MAX).collect()
    }

    pub(super) fn first_of(&self, from: EventTime) -> EventTime {
        self.occurrences.range((from, 0)..).next().map_or(self.newest, |((time, _), _)| *time)
    }

    /// Sequences: the start of one that is complete now, and occurrences dropped.
    pub(super) fn sequence(
        &mut self,
        correlation: &Correlation,
        occurrence: &Occurrence<'_, impl Facts>,
        place: u64,
    ) -> (Option<(EventTime, u64)>, u64) {
        let time = occurrence.time;
        let is_in_order = self.occurrences.is_empty() || time > self.newest;
        if !self.note(occurrence, place) {
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
    pub(super) fn step(&mut self, correlation: &Correlation, time: EventTime, place: u64) -> Option<(EventTime, EventTime)> {
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
