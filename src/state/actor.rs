//! What is remembered about one actor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::Stamped;
use crate::identity::ActorKey;
use crate::stats::ring::BUCKET;
use crate::stats::{DailyPeaks, Ring};
use crate::time::{DAY, EventTime, HOUR};

/// Hours after midnight UTC at which detectors begin to use what the day before taught. The day is closed when the
/// watermark passes 02:00, and an event of 03:00 shows that it has; so which model judges an event depends on the
/// event alone, not on the order of arrival.
pub const MODEL_SWITCH: i64 = 3 * HOUR;

/// One actor. Owned by one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActorState {
    /// Whose state it is.
    pub key: ActorKey,
    /// The department as last known: it names the cohort.
    pub department: Option<Arc<str>>,
    /// Slot of the first call, for probation.
    pub first_slot: i64,
    /// Time of the latest call.
    pub last: EventTime,
    /// Counted calls since the actor is known.
    pub calls: u64,
    /// What `invocation-spike` remembers.
    pub spike: SpikeMemory,
}

/// Memory of `invocation-spike`: a ring of counts, two windows' daily peaks, and what was said last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SpikeMemory {
    /// Counts in 5-minute buckets.
    pub ring: Ring,
    /// Peaks of the days that are not learned yet, the newer first.
    pub open_days: [DayPeaks; 2],
    /// History by window, all learned days.
    pub current: [DailyPeaks; WINDOWS],
    /// The same without the last learned day, for events of before [`MODEL_SWITCH`].
    pub previous: [DailyPeaks; WINDOWS],
    /// Number of the last day that `current` has learned.
    pub learned_day: i64,
    /// The count that was last reported, per window, and the slot in which.
    pub reported: [(u32, i64); WINDOWS],
    /// Counted calls of before the present story.
    pub before_story: u64,
}

/// How many window lengths are watched.
pub const WINDOWS: usize = 2;

/// The peaks of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayPeaks {
    /// Number of the UTC day.
    pub day: i64,
    /// Largest window sums of that day; all zero where the actor was not active.
    pub peaks: [u32; WINDOWS],
}

impl ActorState {
    /// A newcomer, seen at `time`.
    pub fn new(key: ActorKey, time: EventTime) -> Self {
        Self { key, department: None, first_slot: time.slot(BUCKET), last: time, calls: 0, spike: SpikeMemory::default() }
    }
}

impl Stamped for ActorState {
    fn last_used(&self) -> EventTime {
        self.last
    }
}

impl SpikeMemory {
    /// Notes window sums of a day. Days that are closed already are past noting.
    pub fn note(&mut self, day: i64, sums: [u32; WINDOWS]) {
        if self.open_days[0].day < day {
            self.open_days[1] = self.open_days[0];
            self.open_days[0] = DayPeaks { day, peaks: [0; WINDOWS] };
        }
        if let Some(open) = self.open_days.iter_mut().find(|open| open.day == day) {
            for (peak, sum) in open.peaks.iter_mut().zip(sums) {
                *peak = (*peak).max(sum);
            }
        }
    }

    /// Learns the open days up to `day` and returns their peaks, oldest first.
    pub fn close(&mut self, day: i64) -> impl Iterator<Item = DayPeaks> + use<> {
        let mut closed = [DayPeaks::default(); 2];
        for (slot, index) in [1, 0].into_iter().enumerate() {
            let open = self.open_days[index];
            if open.day <= day && open.peaks[0] > 0 {
                self.previous = self.current;
                for (history, peak) in self.current.iter_mut().zip(open.peaks) {
                    history.learn(peak);
                }
                self.learned_day = open.day;
                self.open_days[index].peaks = [0; WINDOWS];
                closed[slot] = open;
            }
        }
        closed.into_iter().filter(|day| day.peaks[0] > 0)
    }

    /// The history that judges an event of `time`.
    pub fn history(&self, time: EventTime) -> &[DailyPeaks; WINDOWS] {
        if self.learned_day <= last_known_day(time) { &self.current } else { &self.previous }
    }
}

/// The last day whose lessons an event of `time` is judged by.
pub fn last_known_day(time: EventTime) -> i64 {
    time.plus(-MODEL_SWITCH).slot(DAY) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_learned_once_and_used_from_three() {
        let mut memory = SpikeMemory::default();
        memory.note(10, [4, 9]);
        memory.note(11, [7, 7]);
        memory.note(10, [6, 3]);
        assert_eq!(memory.close(10).collect::<Vec<_>>(), [DayPeaks { day: 10, peaks: [6, 9] }]);
        assert_eq!(memory.close(10).count(), 0);
        let before = EventTime::from_unix(11 * DAY + 2 * HOUR);
        let after = EventTime::from_unix(11 * DAY + 4 * HOUR);
        assert_eq!((memory.history(before)[0].days(), memory.history(after)[0].days()), (0, 1));
        assert_eq!(memory.close(11).count(), 1);
    }
}
