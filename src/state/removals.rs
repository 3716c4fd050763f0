//! Who was removed, and when: by hashes of the ids that records write, so that a directory of millions fits.

use std::collections::{BTreeMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::identity::removal::id_hash;
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

/// People who may leave the directory in one change of the file; or a twentieth of all, where that is more.
pub const LEAVE_AT_ONCE: usize = 10;

/// A directory file that lacks so many people that it is more likely cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} of {of} people are missing in it, which is more than leave at once; if they did, restart geophone with it")]
pub struct MassLeave {
    /// Who is missing.
    pub left: usize,
    /// Who was there.
    pub of: usize,
}

fn roll_of(directory: &Directory) -> BTreeMap<u64, Vec<u64>> {
    directory.members().map(|member| (id_hash(&member.person), member.ids.iter().map(|id| id_hash(id)).collect())).collect()
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

    /// Knows what another knows, too.
    pub fn absorb(&mut self, other: Self) {
        for (id, entries) in other.by_id {
            for entry in entries {
                let is_known = self.by_id.get(&id).is_some_and(|known| known.contains(&entry));
                if !is_known {
                    self.add(id, entry);
                }
            }
        }
        for (name, ids) in other.roll {
            self.roll.entry(name).or_insert(ids);
        }
    }

    /// Compares a new directory with the one before it: an id that is nowhere in it has left, one that is there again has
    /// returned. Somebody whose name was changed keeps the other ids.
    ///
    /// # Errors
    /// More people than [`LEAVE_AT_ONCE`] and a twentieth are missing. Nothing is changed then.
    pub fn see_directory(&mut self, directory: &Directory, now: EventTime) -> Result<(), MassLeave> {
        let roll = roll_of(directory);
        let present: HashSet<u64> = roll.values().flatten().copied().collect();
        let is_gone = |ids: &[u64]| !ids.iter().any(|id| present.contains(id));
        let (left, of) = (self.roll.values().filter(|ids| is_gone(ids)).count(), self.roll.len());
        if left > LEAVE_AT_ONCE.max(of / 20) {
            return Err(MassLeave { left, of });
        }
        let before: HashSet<u64> = self.roll.values().flatten().copied().collect();
        let removal = Removal { kind: RemovalKind::LeftDirectory, time: now, by: "the directory file".into() };
        for ids in std::mem::take(&mut self.roll).values().filter(|ids| is_gone(ids)) {
            ids.iter().for_each(|id| self.add(*id, Entry { time: now, removal: Some(removal.clone()) }));
        }
        for id in present.difference(&before).filter(|_| !before.is_empty()) {
            if self.by_id.contains_key(id) {
                self.add(*id, Entry { time: now, removal: None });
            }
        }
        self.roll = roll;
        Ok(())
    }

    /// Takes a directory over without taking anybody for a leaver.
    pub fn adopt(&mut self, directory: &Directory) {
        self.roll = roll_of(directory);
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
            // What stands longest matters least, but who was disabled stays so however often a token is revoked.
            let is_passing = |entry: &Entry| entry.removal.as_ref().is_some_and(|removal| removal.kind.ends_sessions_only());
            let goes = entries.iter().position(is_passing).unwrap_or(0);
            entries.remove(goes);
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
        removals.adopt(&both);
        assert!(removals.is_empty());
        removals.see_directory(&one, EventTime::from_unix(20)).expect("one may leave");
        assert_eq!(outlived(&removals, 5, 30), Some(RemovalKind::LeftDirectory));
        removals.see_directory(&both, EventTime::from_unix(40)).expect("back");
        assert_eq!(outlived(&removals, 5, 50), None);
        // Another name for the same subject is nobody's leaving.
        removals.see_directory(&read("person,user_pool_sub\nalbert,sub\nbo,2\n"), EventTime::from_unix(60)).expect("a change");
        assert_eq!(outlived(&removals, 5, 70), None);
    }

    #[test]
    fn a_file_that_is_cut_off_makes_nobody_a_leaver() {
        let people = |count: usize| (0..count).fold("person\n".to_owned(), |text, n| text + &format!("p{n}\n"));
        let read = |count| Directory::parse(&people(count)).expect("a directory");
        let mut removals = Removals::default();
        removals.adopt(&read(300));
        assert_eq!(removals.see_directory(&read(200), EventTime::from_unix(9)), Err(MassLeave { left: 100, of: 300 }));
        assert!(removals.is_empty());
        assert!(removals.see_directory(&read(286), EventTime::from_unix(9)).is_ok() && removals.len() == 14);
    }

    #[test]
    fn many_sign_outs_do_not_hide_that_somebody_was_disabled() {
        let mut removals = Removals::default();
        removals.learn(&notice(Some(RemovalKind::Disabled), 100));
        (0..50).for_each(|n| removals.learn(&notice(Some(RemovalKind::SignedOut), 200 + n)));
        assert_eq!(outlived(&removals, 500, 900), Some(RemovalKind::Disabled));
    }
}
