//! Who was removed, and when: by hashes of the ids that records write, so that a directory of millions fits.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::identity::{Directory, Removal, RemovalKind, RemovalNotice};
use crate::time::EventTime;

/// Most ids with a removal; beyond it the oldest goes.
const IDS_MAX: usize = 500_000;
/// Most removals and returns that are kept of one id.
const PER_ID_MAX: usize = 8;

/// A removal, or the return of somebody who was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    time: EventTime,
    removal: Option<Removal>,
}

/// All removals.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Removals {
    by_id: BTreeMap<u64, Vec<Entry>>,
    order: VecDeque<u64>,
    /// Everybody whom the directory lists: hash of the name → hashes of all ids.
    roll: BTreeMap<u64, Vec<u64>>,
}

/// The hash of an id.
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

impl Removals {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many ids have one.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Takes a notice in. The order of arrival does not matter: entries are kept by their time.
    pub fn learn(&mut self, notice: &RemovalNotice) {
        for id in &notice.about {
            self.add(id_hash(id), Entry { time: notice.time, removal: notice.removal.clone() });
        }
    }

    /// Compares a new directory with the one before it: who is missing has left, who is there again has returned.
    pub fn see_directory(&mut self, directory: &Directory, now: EventTime) {
        let roll: BTreeMap<u64, Vec<u64>> =
            directory.members().map(|member| (id_hash(&member.person), member.ids.iter().map(|id| id_hash(id)).collect())).collect();
        // A file without anybody is a mistake rather than the end of the company.
        if roll.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.roll);
        let left = Removal { kind: RemovalKind::LeftDirectory, time: now, by: "the directory file".into() };
        for ids in before.iter().filter(|(person, _)| !roll.contains_key(person)).map(|(_, ids)| ids) {
            ids.iter().for_each(|id| self.add(*id, Entry { time: now, removal: Some(left.clone()) }));
        }
        for (_, ids) in roll.iter().filter(|(person, _)| !before.is_empty() && !before.contains_key(person)) {
            for id in ids.iter().copied() {
                if self.by_id.contains_key(&id) {
                    self.add(id, Entry { time: now, removal: None });
                }
            }
        }
        self.roll = roll;
    }

    /// The removal that a session of one of these ids has outlived at `time`: the session began at `issued`.
    pub fn outlived(&self, ids: &[u64], issued: Option<EventTime>, time: EventTime) -> Option<&Removal> {
        ids.iter()
            .filter_map(|id| self.by_id.get(id))
            .filter_map(|entries| outlived(entries, issued, time))
            .max_by_key(|removal| removal.time)
    }

    fn add(&mut self, id: u64, entry: Entry) {
        if !self.by_id.contains_key(&id) {
            if self.order.len() >= IDS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_id.remove(&oldest);
            }
            self.order.push_back(id);
        }
        let entries = self.by_id.entry(id).or_default();
        if entries.contains(&entry) {
            return;
        }
        let at = entries.partition_point(|known| (known.time, known.removal.is_some()) <= (entry.time, entry.removal.is_some()));
        entries.insert(at, entry);
        if entries.len() > PER_ID_MAX {
            entries.remove(0);
        }
    }
}

fn outlived(entries: &[Entry], issued: Option<EventTime>, time: EventTime) -> Option<&Removal> {
    let mut standing = None;
    for entry in entries.iter().filter(|entry| entry.time < time) {
        match &entry.removal {
            None => standing = None,
            Some(removal) if removal.kind.ends_sessions_only() => {
                // A person who is gone stays so; the session's own removal is news only where it is older.
                if issued.is_some_and(|issued| issued < removal.time) && standing.is_none() {
                    standing = Some(removal);
                }
            }
            Some(removal) => standing = Some(removal),
        }
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: Option<RemovalKind>, time: i64) -> RemovalNotice {
        let time = EventTime::from_unix(time);
        RemovalNotice { about: vec!["sub".into()], removal: kind.map(|kind| Removal { kind, time, by: "x".into() }), time }
    }

    fn outlived(removals: &Removals, issued: i64, time: i64) -> Option<RemovalKind> {
        removals.outlived(&[id_hash("sub")], Some(EventTime::from_unix(issued)), EventTime::from_unix(time)).map(|removal| removal.kind)
    }

    #[test]
    fn sessions_and_people_in_any_order_of_arrival() {
        let story = [notice(Some(RemovalKind::SignedOut), 100), notice(Some(RemovalKind::Disabled), 200), notice(None, 300)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut removals = Removals::default();
            order.into_iter().for_each(|index| removals.learn(&story[index]));
            assert_eq!(outlived(&removals, 50, 90), None);
            assert_eq!(outlived(&removals, 50, 150), Some(RemovalKind::SignedOut));
            assert_eq!(outlived(&removals, 120, 150), None, "a new sign-in");
            assert_eq!(outlived(&removals, 120, 250), Some(RemovalKind::Disabled));
            assert_eq!(outlived(&removals, 220, 250), Some(RemovalKind::Disabled), "though signed in since");
            assert_eq!(outlived(&removals, 50, 350), None, "enabled again");
        }
    }

    #[test]
    fn who_leaves_the_directory() {
        let read = |text: &str| Directory::parse(text).expect("a directory");
        let (both, one) = (read("person,user_pool_sub\nal,sub\nbo,2\n"), read("person,user_pool_sub\nbo,2\n"));
        let mut removals = Removals::default();
        removals.see_directory(&both, EventTime::from_unix(10));
        assert!(removals.is_empty());
        removals.see_directory(&one, EventTime::from_unix(20));
        assert_eq!(outlived(&removals, 5, 30), Some(RemovalKind::LeftDirectory));
        removals.see_directory(&Directory::default(), EventTime::from_unix(30));
        removals.see_directory(&both, EventTime::from_unix(40));
        assert_eq!(outlived(&removals, 5, 50), None);
    }
}
