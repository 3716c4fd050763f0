//! Which department has used which model, and on how many days: firsts are a department's, not an actor's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::hashed::ByHash;
use crate::time::{DAY, EventTime};

/// Most pairs of department and model; beyond it nothing new is remembered, and nothing new is a first.
const PAIRS_MAX: usize = 50_000;

/// One department's use of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// First call.
    pub first: EventTime,
    /// Number of the last day with a call.
    pub last_day: i64,
    /// Days with calls, as of the last day that was closed.
    pub days: u32,
    /// Days with calls that are not closed yet.
    open_days: Vec<i64>,
}

/// All uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DepartmentUses {
    /// model → department → use.
    by_model: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Use>>,
    /// department → days with calls of any model, as of the last closed day.
    active: BTreeMap<Arc<str>, Use>,
    pairs: usize,
    /// Pairs that were noted today already, by hash: most calls are of those and change nothing. The time is that of the
    /// first call, the number that of the day.
    #[serde(skip)]
    noted: ByHash<u64, (EventTime, i64)>,
}

impl DepartmentUses {
    /// Notes a call; whether it is the earliest of `department` on `model` that is known.
    pub fn note(&mut self, department: &Arc<str>, model: &Arc<str>, time: EventTime) -> bool {
        let day = time.slot(DAY);
        let pair = xxh3_64(department.as_bytes()) ^ xxh3_64(model.as_bytes()).rotate_left(29);
        if self.noted.get(&pair).is_some_and(|(first, noted)| *noted == day && *first <= time) {
            return false;
        }
        if self.noted.len() >= PAIRS_MAX {
            self.noted.clear();
        }
        let first = self.noted.get(&pair).map_or(time, |(first, _)| *first).min(time);
        self.noted.insert(pair, (first, day));
        if self.active.len() < PAIRS_MAX || self.active.contains_key(department) {
            touch(self.active.entry(Arc::clone(department)).or_insert_with(|| Use::new(time)), day, time);
        }
        if let Some(known) = self.by_model.get_mut(model).and_then(|uses| uses.get_mut(department)) {
            let is_earlier = time < known.first;
            touch(known, day, time);
            return is_earlier;
        }
        if self.pairs >= PAIRS_MAX {
            return false;
        }
        self.pairs += 1;
        let mut fresh = Use::new(time);
        touch(&mut fresh, day, time);
        self.by_model.entry(Arc::clone(model)).or_default().insert(Arc::clone(department), fresh);
        true
    }

    /// Days with calls of a department, as of the last closed day.
    pub fn active_days(&self, department: &str) -> u32 {
        self.active.get(department).map_or(0, |active| active.days)
    }

    /// Departments that have used `model` on at least `days` days, as of the last closed day.
    pub fn users(&self, model: &str, days: u32) -> Vec<Arc<str>> {
        let uses = self.by_model.get(model).into_iter().flatten();
        uses.filter(|(_, known)| known.days >= days).map(|(department, _)| Arc::clone(department)).collect()
    }

    /// Knows what another knows, too: the earlier first use, and the more days.
    pub fn absorb(&mut self, other: Self) {
        for (model, uses) in other.by_model {
            for (department, theirs) in uses {
                if !self.by_model.get(&model).is_some_and(|ours| ours.contains_key(&department)) {
                    if self.pairs >= PAIRS_MAX {
                        continue;
                    }
                    self.pairs += 1;
                }
                let ours = self.by_model.entry(Arc::clone(&model)).or_default().entry(department).or_insert_with(|| theirs.clone());
                ours.absorb(theirs);
            }
        }
        for (department, theirs) in other.active {
            self.active.entry(department).or_insert_with(|| theirs.clone()).absorb(theirs);
        }
    }

    /// Closes all days up to `day`.
    pub fn close(&mut self, day: i64) {
        for known in self.by_model.values_mut().flat_map(BTreeMap::values_mut).chain(self.active.values_mut()) {
            let closed = known.open_days.iter().filter(|open| **open <= day).count();
            known.days = known.days.saturating_add(u32::try_from(closed).unwrap_or(u32::MAX));
            known.open_days.retain(|open| *open > day);
        }
    }
}

impl Use {
    fn new(time: EventTime) -> Self {
        Self { first: time, last_day: i64::MIN, days: 0, open_days: Vec::new() }
    }

    fn absorb(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last_day = self.last_day.max(other.last_day);
        self.days = self.days.max(other.days);
        self.open_days.extend(other.open_days);
        self.open_days.sort_unstable();
        self.open_days.dedup();
    }
}

fn touch(known: &mut Use, day: i64, time: EventTime) {
    known.first = known.first.min(time);
    // Days are few and mostly the last one.
    if day > known.last_day || (day == known.last_day - 1 && !known.open_days.contains(&day)) {
        known.open_days.push(day);
    }
    known.last_day = known.last_day.max(day);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firsts_and_days() {
        let (legal, claude) = (Arc::<str>::from("legal"), Arc::<str>::from("claude"));
        let mut uses = DepartmentUses::default();
        assert!(uses.note(&legal, &claude, EventTime::from_unix(3 * DAY)));
        assert!(!uses.note(&legal, &claude, EventTime::from_unix(3 * DAY + 5)));
        assert!(uses.note(&legal, &claude, EventTime::from_unix(2 * DAY)), "an earlier one turns up");
        assert_eq!(uses.active_days("legal"), 0, "nothing is closed yet");
        uses.close(3);
        assert_eq!((uses.active_days("legal"), uses.users("claude", 2)), (2, vec![legal]));
        assert!(uses.users("claude", 3).is_empty());
    }
}
