//! Attacks under the name of a machine.

use super::Draft;
use crate::fleet::tape::{BUCKETS_PER_DAY, BUCKETS_PER_HOUR, Cell};

impl Draft<'_> {
    pub(super) fn batch_offsched(&mut self) {
        let length = self.random.between(2, 12);
        let hour = i64::from(BUCKETS_PER_HOUR);
        let (tape, size) = (&self.victim.tape, self.victim.identity.machine().map_or(1.0, |machine| machine.size));
        let mut start = 0;
        // No honest run within two hours; jobs that never leave such a gap take what there is.
        for _ in 0..20 {
            let last = i64::from(self.world.end()) - length;
            start = self.random.between(i64::from(self.world.scored_bucket()), last);
            let near = |cell: &Cell| (i64::from(cell.bucket) - start).abs() < 2 * hour + length;
            if !tape.cells().iter().any(near) {
                break;
            }
        }
        let place = self.usual_place(start);
        let rate = self.size * size * self.random.log_between(0.4, 1.6);
        self.stretch((start, length), place, (0.95, rate, 0.2));
    }

    pub(super) fn service_piggyback(&mut self) {
        let length = self.random.between(24, 72);
        let start = self.any_start(length);
        let times = self.size * self.random.log_between(0.6, 2.2);
        let within = |cell: &&Cell| (start..start + length).contains(&i64::from(cell.bucket));
        let honest: Vec<Cell> = self.victim.tape.cells().iter().filter(within).copied().collect();
        for cell in honest {
            let extra = self.random.lognormal(f64::from(cell.count) * times, 0.2, 2.0);
            let count = self.random.whole(extra);
            self.tape.push(i64::from(cell.bucket), cell.place, count);
        }
        debug_assert!(length < i64::from(BUCKETS_PER_DAY));
    }
}
