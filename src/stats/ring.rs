//! Counts in 5-minute buckets over the last two hours of event time.
//!
//! Two hours are the longest window (one hour) plus how late an event may come (lateness + join wait, 30 minutes by
//! default, 1 h at most). A late event lands in its own bucket, so every sum is what it would have been in order.

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, MINUTE};

/// Length of a bucket in seconds.
pub const BUCKET: i64 = 5 * MINUTE;
/// Buckets that a ring keeps.
pub const BUCKETS: usize = 24;

/// Counts of the last [`BUCKETS`] buckets. 104 bytes, no heap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Slot number of the newest bucket.
    newest: i64,
    /// `counts[slot mod BUCKETS]`.
    counts: [u32; BUCKETS],
}

impl Default for Ring {
    fn default() -> Self {
        Self { newest: i64::MIN / 4, counts: [0; BUCKETS] }
    }
}

/// An event older than the ring reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld;

impl Ring {
    /// Counts one event and returns the slot it fell into.
    ///
    /// # Errors
    /// [`TooOld`] where the event is older than the ring reaches; nothing is counted then.
    pub fn add(&mut self, time: EventTime) -> Result<i64, TooOld> {
        let slot = time.slot(BUCKET);
        self.advance(slot);
        if slot <= self.newest - BUCKETS as i64 {
            return Err(TooOld);
        }
        let count = &mut self.counts[index(slot)];
        *count = count.saturating_add(1);
        Ok(slot)
    }

    /// Sum of the `buckets` buckets that end with `slot`, that one included.
    pub fn sum(&self, slot: i64, buckets: usize) -> u32 {
        let oldest_kept = self.newest - BUCKETS as i64 + 1;
        let from = (slot - buckets as i64 + 1).max(oldest_kept);
        (from..=slot.min(self.newest)).map(|slot| self.counts[index(slot)]).fold(0, u32::saturating_add)
    }

    /// The largest sum of `buckets` buckets among the windows that hold `slot`, and the slot where that window ends; (0, `slot`)
    /// where there is none.
    pub fn largest_around(&self, slot: i64, buckets: usize) -> (u32, i64) {
        let last = (slot + buckets as i64 - 1).min(self.newest);
        // The earliest of equal windows, so that the answer does not depend on what came later.
        (slot..=last)
            .map(|end| (self.sum(end, buckets), end))
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .unwrap_or((0, slot))
    }

    fn advance(&mut self, slot: i64) {
        if slot <= self.newest {
            return;
        }
        if slot - self.newest >= BUCKETS as i64 {
            self.counts = [0; BUCKETS];
        } else {
            for skipped in self.newest + 1..=slot {
                self.counts[index(skipped)] = 0;
            }
        }
        self.newest = slot;
    }
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(slot: i64) -> EventTime {
        EventTime::from_unix(slot * BUCKET + 7)
    }

    #[test]
    fn old_events_are_refused_and_gaps_are_empty() {
        let mut ring = Ring::default();
        assert_eq!(ring.add(at(100)), Ok(100));
        assert_eq!(ring.add(at(100 - BUCKETS as i64)), Err(TooOld));
        assert_eq!(ring.add(at(100 - BUCKETS as i64 + 1)), Ok(77));
        assert_eq!(ring.sum(100, BUCKETS), 2);
        assert_eq!(ring.add(at(300)), Ok(300));
        assert_eq!(ring.sum(300, BUCKETS), 1);
    }

    proptest! {
        /// The plain model: a list of slots. Order of arrival makes no difference while all events are within reach.
        #[test]
        fn any_order_gives_the_sums_of_a_plain_list(mut slots in proptest::collection::vec(500i64..520, 0..80), seed in any::<u64>(), width in 1usize..=12) {
            let mut ordered = Ring::default();
            slots.sort_unstable();
            slots.iter().for_each(|slot| { ordered.add(at(*slot)).expect("within reach"); });
            let mut shuffled = slots.clone();
            let length = shuffled.len().max(1);
            for i in 0..shuffled.len() { shuffled.swap(i, (seed.rotate_left(i as u32) % length as u64) as usize); }
            let mut ring = Ring::default();
            shuffled.iter().for_each(|slot| { ring.add(at(*slot)).expect("within reach"); });
            for slot in 495..525i64 {
                let expected = slots.iter().filter(|s| **s <= slot && **s > slot - width as i64).count() as u32;
                prop_assert_eq!(ring.sum(slot, width), expected);
                prop_assert_eq!(ordered.sum(slot, width), expected);
            }
        }
    }
}
