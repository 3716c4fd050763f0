//! What an actor has just done: calls in 5-minute buckets, and for longer whether it was active at all.
//!
//! Every number that is read from it is a function of the *set* of calls, whatever their order: a late call lands in its
//! own bucket, and whoever judges looks at all buckets from there on again.

use serde::{Deserialize, Serialize};

use crate::stats::ring::TooOld;

/// Buckets whose counts are kept: the longest window (20) and how late a call may come (12, an hour).
pub const BUCKETS: usize = 32;
/// How many buckets behind the newest a call may come.
pub const REACH: i64 = 12;
/// Longest unbroken activity that is told apart, in buckets (9 h 35 min). What reaches further back than the bits do must
/// not depend on how far the newest bucket is ahead.
pub const RUN_MAX: u32 = 115;

/// Most calls of a bucket that are told apart (218 a second); beyond it there is nothing left to find out.
pub const COUNT_MAX: u32 = u16::MAX as u32;

/// Counts of the last [`BUCKETS`] buckets and activity of the last 128. 84 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Slot number of the newest bucket. Until the year 22,386 there is room.
    newest: i32,
    /// `counts[slot mod BUCKETS]`.
    counts: [u16; BUCKETS],
    /// Bit n of all together, the lowest first: any call in bucket `newest - n`.
    active: [u32; 4],
}

impl Default for Track {
    fn default() -> Self {
        Self { newest: i32::MIN / 4, counts: [0; BUCKETS], active: [0; 4] }
    }
}

impl Track {
    /// Counts calls.
    ///
    /// # Errors
    /// [`TooOld`] where the bucket is further behind the newest than [`REACH`]; nothing is counted then.
    pub fn add(&mut self, slot: i64, calls: u32) -> Result<(), TooOld> {
        self.advance(slot);
        if slot < self.newest() - REACH {
            return Err(TooOld);
        }
        let count = &mut self.counts[index(slot)];
        *count = count.saturating_add(calls.min(COUNT_MAX) as u16);
        self.set_bits(self.bits() | 1 << (self.newest() - slot));
        Ok(())
    }

    /// The newest bucket with a call.
    pub const fn newest(&self) -> i64 {
        self.newest as i64
    }

    /// Calls of one bucket; 0 for those that are not kept.
    pub fn count(&self, slot: i64) -> u32 {
        let is_kept = slot <= self.newest() && slot > self.newest() - BUCKETS as i64;
        if is_kept { u32::from(self.counts[index(slot)]) } else { 0 }
    }

    /// Calls of the `buckets` buckets up to `slot`.
    pub fn sum(&self, slot: i64, buckets: i64) -> u32 {
        (slot - buckets + 1..=slot).map(|slot| self.count(slot)).fold(0, u32::saturating_add)
    }

    /// What of the calls in `slot` does not count yet when it is judged; see [`looked_at`].
    pub fn spare(&self, slot: i64) -> u32 {
        let count = self.count(slot);
        count - looked_at(count)
    }

    /// The second lowest count of the last four buckets, the last one as it is judged: a pace that was kept up, with one
    /// slower moment forgiven.
    pub fn steady(&self, slot: i64) -> u32 {
        let mut last = [0, 1, 2, 3].map(|back| self.count(slot - back));
        last[0] = looked_at(last[0]);
        last.sort_unstable();
        last[1]
    }

    /// Buckets of unbroken activity up to `slot`, pauses of one bucket forgiven; at most [`RUN_MAX`].
    pub fn run(&self, slot: i64) -> u32 {
        let behind = self.newest() - slot;
        if !(0..=REACH).contains(&behind) {
            return 0;
        }
        let bits = self.bits() >> behind;
        let filled = bits | (bits >> 1 & bits << 1);
        filled.trailing_ones().min(RUN_MAX)
    }

    /// In four parts, because a `u128` would be aligned to 16 bytes.
    fn bits(&self) -> u128 {
        self.active.iter().rev().fold(0, |bits, part| bits << 32 | u128::from(*part))
    }

    fn set_bits(&mut self, bits: u128) {
        self.active = std::array::from_fn(|part| (bits >> (32 * part)) as u32);
    }

    /// Buckets with a call from `slot` on, and `slot` itself.
    pub fn active_from(&self, slot: i64) -> impl Iterator<Item = i64> + use<> {
        let (newest, bits) = (self.newest(), self.bits());
        (slot..=newest).filter(move |at| *at == slot || bits >> (newest - at).min(127) & 1 == 1)
    }

    fn advance(&mut self, slot: i64) {
        let gap = slot - self.newest();
        if gap <= 0 {
            return;
        }
        if gap >= BUCKETS as i64 {
            self.counts = [0; BUCKETS];
        } else {
            (self.newest() + 1..=slot).for_each(|skipped| self.counts[index(skipped)] = 0);
        }
        self.set_bits(if gap >= 128 { 0 } else { self.bits() << gap });
        self.newest = slot as i32;
    }
}

/// The count of the bucket that is judged, in steps: 1, 2, … 32, then every sixteenth to thirty-second more. Between two
/// steps a judgement cannot change, so it need not be made again: a busy actor is judged at a tenth of its calls.
pub const fn looked_at(count: u32) -> u32 {
    let dropped = 27u32.saturating_sub(count.leading_zeros());
    count >> dropped << dropped
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn track(slots: &[i64]) -> Track {
        let mut track = Track::default();
        slots.iter().for_each(|slot| track.add(*slot, 1).expect("within reach"));
        track
    }

    #[test]
    fn pauses_of_one_bucket_do_not_end_a_run() {
        let working = track(&[100, 101, 103, 104, 106]);
        assert_eq!(working.run(106), 7);
        assert_eq!(track(&[100, 103, 104]).run(104), 2);
        assert_eq!(track(&[100]).run(100), 1);
        let mut always = Track::default();
        (0..500).for_each(|slot| always.add(slot, 1).expect("in order"));
        assert_eq!(always.run(499), RUN_MAX);
        assert_eq!(always.run(499 - REACH), RUN_MAX, "as far back as the newest is ahead");
    }

    #[test]
    fn counts_are_judged_in_steps_that_only_rise() {
        let steps: Vec<u32> = (0..70_000).map(looked_at).collect();
        assert!(steps.is_sorted());
        assert!(steps.iter().zip(0..).all(|(step, count)| *step <= count && count - step <= count / 16), "{:?}", &steps[..140]);
        assert_eq!([0, 31, 32, 33, 34, 65, 1_000].map(looked_at), [0, 31, 32, 32, 34, 64, 992]);
    }

    #[test]
    fn a_pace_is_what_was_kept_up() {
        let mut track = Track::default();
        for (slot, calls) in [(10, 70), (11, 60), (12, 2), (13, 80)] {
            track.add(slot, calls).expect("in order");
        }
        assert_eq!(track.steady(13), 60);
        assert_eq!(track.steady(11), 0);
    }

    #[test]
    fn what_is_too_old_changes_nothing() {
        let mut track = track(&[100]);
        let before = track.clone();
        assert_eq!(track.add(100 - REACH - 1, 1), Err(TooOld));
        assert_eq!(track, before);
        assert_eq!(track.add(100 - REACH, 1), Ok(()));
    }

    proptest! {
        /// The plain model is the list of slots itself, in any order.
        #[test]
        fn order_changes_nothing(mut slots in proptest::collection::vec(500i64..512, 1..60), seed in any::<u64>()) {
            let ordered = { let mut sorted = slots.clone(); sorted.sort_unstable(); track(&sorted) };
            let length = slots.len();
            for i in 0..length { slots.swap(i, (seed.rotate_left(i as u32) % length as u64) as usize); }
            let shuffled = track(&slots);
            prop_assert_eq!(&ordered, &shuffled);
            for slot in 500..512 {
                let expected = slots.iter().filter(|s| (slot - 3..=slot).contains(*s)).count() as u32;
                prop_assert_eq!(shuffled.sum(slot, 4), expected);
            }
        }
    }
}
