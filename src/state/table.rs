//! A bounded table that forgets what was used least recently, and one that newcomers must pass first.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use crate::hashed::Seeded;
use hashbrown::HashTable;

use super::chunked::Chunked;
use crate::time::EventTime;

/// A value that knows when it was last used.
pub trait Stamped {
    /// Event time of the last use.
    fn last_used(&self) -> EventTime;
}

/// Values by key, at most `capacity`. Eviction is second-chance: the queue holds every key once with the time of use that
/// it had when queued; a key used since then goes to the back. Amortised O(1).
#[derive(Debug)]
pub struct Table<K, V> {
    /// Hash and place of each key: the hash stays, so that growing looks at no key.
    places: HashTable<(u64, u32)>,
    rows: Chunked<(K, V)>,
    queue: VecDeque<(EventTime, K)>,
    capacity: usize,
    evicted: u64,
    hasher: Seeded,
}

impl<K: Eq + Hash + Clone, V: Stamped + Clone> Table<K, V> {
    /// An empty table for at most `capacity` values (at least one, at most 2³²).
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, u32::MAX as usize);
        Self { places: HashTable::new(), rows: Chunked::default(), queue: VecDeque::new(), capacity, evicted: 0, hasher: Seeded::new() }
    }

    fn hash_of(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    fn place(&self, hash: u64, key: &K) -> Option<usize> {
        let is_it = |(known, place): &(u64, u32)| *known == hash && self.rows.get(*place as usize).is_some_and(|(row, _)| row == key);
        self.places.find(hash, is_it).map(|(_, place)| *place as usize)
    }

    /// The value of `key`.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(self.hash_of(key), key)?;
        self.at_mut(place)
    }

    /// The value of `key`, only to be looked at.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(self.place(self.hash_of(key), key)?).map(|(_, value)| value)
    }

    /// The value of `key`, made by `make` where there is none; the least recently used value goes where there is no room.
    pub fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let hash = self.hash_of(key);
        self.get_or_insert_hashed(hash, key, make)
    }

    fn get_or_insert_hashed(&mut self, hash: u64, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let place = self.place(hash, key).unwrap_or_else(|| {
            if self.rows.len() >= self.capacity {
                self.evict_one();
            }
            self.queue.push_back((EventTime::MIN, key.clone()));
            let place = self.rows.len();
            self.rows.push((key.clone(), make()));
            self.places.insert_unique(hash, (hash, place as u32), |(hash, _)| *hash);
            place
        });
        self.row_mut(place)
    }

    #[allow(clippy::expect_used, reason = "the row was found or pushed before")]
    fn row_mut(&mut self, place: usize) -> &mut V {
        self.at_mut(place).expect("a row")
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        // Its place in the queue stays and is passed over later; `evict_one` knows.
        let value = self.take(key);
        if self.queue.len() > 2 * self.rows.len() + 64 {
            let queue = std::mem::take(&mut self.queue);
            self.queue = queue.into_iter().filter(|(_, queued)| self.place(self.hash_of(queued), queued).is_some()).collect();
        }
        value
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let hash = self.hash_of(key);
        let place = self.place(hash, key)?;
        self.places.find_entry(hash, |(_, known)| *known as usize == place).ok()?.remove();
        let (_, value) = self.rows.swap_remove(place)?;
        // The last row has come to its place.
        if let Some((moved, _)) = self.rows.get(place) {
            let (hash, last) = (self.hash_of(moved), self.rows.len());
            if let Some((_, known)) = self.places.find_mut(hash, |(_, known)| *known as usize == last) {
                *known = place as u32;
            }
        }
        Some(value)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For how many values there is room.
    pub const fn room(&self) -> usize {
        self.capacity
    }

    /// Values that went for want of room, since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The value at a place. Places run from 0 to [`Table::len`]; a value that goes gives its place to the last.
    pub fn at_mut(&mut self, place: usize) -> Option<&mut V> {
        self.rows.get_mut(place).map(|(_, value)| value)
    }

    /// Every value.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().map(|(_, value)| value)
    }

    /// Every row as it is now, in no order that means anything. Costs next to nothing, however many there are.
    pub fn freeze(&self) -> Chunked<(K, V)> {
        self.rows.clone()
    }

    fn evict_one(&mut self) {
        // Each pass either evicts or gives a key its second chance with its present stamp; a key is stale at the latest
        // when it comes around unused, so the loop ends within two rounds.
        while let Some((stamp, key)) = self.queue.pop_front() {
            let Some(used) = self.get(&key).map(Stamped::last_used) else { continue };
            if used > stamp {
                self.queue.push_back((used, key));
            } else {
                self.take(&key);
                self.evicted += 1;
                return;
            }
        }
    }
}

/// A table behind a smaller one: newcomers stay in probation until they prove themselves, so that ten million invented
/// names evict only each other.
#[derive(Debug)]
pub struct Probation<K, V> {
    settled: Table<K, V>,
    newcomers: Table<K, V>,
}

impl<K: Eq + Hash + Clone, V: Stamped + Clone> Probation<K, V> {
    /// At most `capacity` values that have proved themselves, and a tenth as many (at least 1,000) newcomers.
    pub fn with_capacity(capacity: usize) -> Self {
        let settled = Table::with_capacity(capacity);
        let newcomers = Table { hasher: settled.hasher, ..Table::with_capacity((capacity / 10).max(1_000)) };
        Self { settled, newcomers }
    }

    /// The value of `key`, made by `make` where there is none. `proven` says whether a newcomer has proved itself.
    pub fn get_or_insert_with(&mut self, key: &K, proven: impl FnOnce(&V) -> bool, make: impl FnOnce() -> V) -> &mut V {
        // Both tables hash alike, so that a call of somebody who is settled costs one look.
        let hash = self.settled.hash_of(key);
        if let Some(place) = self.settled.place(hash, key) {
            return self.settled.row_mut(place);
        }
        let newcomer = self.newcomers.place(hash, key);
        let is_proven = newcomer.and_then(|place| self.newcomers.rows.get(place)).is_some_and(|(_, value)| proven(value));
        if is_proven && let Some(value) = self.newcomers.remove(key) {
            return self.settled.get_or_insert_hashed(hash, key, || value);
        }
        match newcomer {
            Some(place) => self.newcomers.row_mut(place),
            None => self.newcomers.get_or_insert_hashed(hash, key, make),
        }
    }

    /// The value of `key`.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.settled.get_mut(key).or_else(|| self.newcomers.get_mut(key))
    }

    /// The value of `key`, and whether it is settled.
    pub fn get(&self, key: &K) -> Option<(&V, bool)> {
        self.settled.get(key).map(|value| (value, true)).or_else(|| self.newcomers.get(key).map(|value| (value, false)))
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.settled.remove(key).or_else(|| self.newcomers.remove(key))
    }

    /// Puts back a value that a snapshot kept.
    pub fn restore(&mut self, key: &K, value: V, settled: bool) {
        let table = if settled { &mut self.settled } else { &mut self.newcomers };
        table.get_or_insert_with(key, || value);
    }

    /// How many values there are, newcomers included.
    pub fn len(&self) -> usize {
        self.settled.len() + self.newcomers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many values there is room: settled ones, and newcomers.
    pub const fn room(&self) -> [usize; 2] {
        [self.settled.room(), self.newcomers.room()]
    }

    /// How many values are settled.
    pub fn settled(&self) -> usize {
        self.settled.len()
    }

    /// Settled values that went for want of room.
    pub fn evicted(&self) -> u64 {
        self.settled.evicted()
    }

    /// Newcomers that went for want of room.
    pub fn newcomers_evicted(&self) -> u64 {
        self.newcomers.evicted()
    }

    /// The settled value at a place, as [`Table::at_mut`].
    pub fn settled_at_mut(&mut self, place: usize) -> Option<&mut V> {
        self.settled.at_mut(place)
    }

    /// Every value, settled or not.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.settled.values_mut().chain(self.newcomers.values_mut())
    }

    /// Every row as it is now, and whether it is settled; see [`Table::freeze`].
    pub fn freeze(&self) -> [(bool, Chunked<(K, V)>); 2] {
        [(true, self.settled.freeze()), (false, self.newcomers.freeze())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Seen(EventTime);
    impl Stamped for Seen {
        fn last_used(&self) -> EventTime {
            self.0
        }
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut table = Table::with_capacity(3);
        for (key, time) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5)] {
            table.get_or_insert_with(&key, || Seen(EventTime::MIN)).0 = EventTime::from_unix(time);
        }
        assert_eq!((table.len(), table.evicted()), (3, 1));
        for (key, time) in [("a", 6), ("d", 7), ("e", 8)] {
            table.get_or_insert_with(&key, || Seen(EventTime::MIN)).0 = EventTime::from_unix(time);
        }
        assert!(table.get_mut(&"a").is_some() && table.get_mut(&"d").is_some() && table.get_mut(&"e").is_some());
    }

    #[test]
    fn a_flood_of_newcomers_evicts_nobody_who_is_settled() {
        let mut table: Probation<u64, Seen> = Probation::with_capacity(100);
        for round in 0..2 {
            for key in 0..50 {
                table.get_or_insert_with(&key, |_| round > 0, || Seen(EventTime::from_unix(0)));
            }
        }
        for name in 1_000..200_000 {
            table.get_or_insert_with(&name, |_| false, || Seen(EventTime::from_unix(1)));
        }
        assert_eq!((table.evicted(), table.len()), (0, 1_050));
        assert!(table.newcomers_evicted() > 190_000);
    }
}
