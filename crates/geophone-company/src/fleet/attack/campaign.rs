//! Many of one department at once.

use super::{AttackKind, Plan};
use crate::random::Random;

/// How many take part, if the department has so many.
const PEOPLE: (i64, i64) = (25, 60);
/// Everybody begins within so many buckets of the first.
const LAG: i64 = 6;

impl Plan<'_> {
    pub(super) fn campaigns(&mut self, count: usize, size: f64, random: &mut Random) {
        let kind = AttackKind::Campaign;
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.world.groups.len()];
        for (number, member) in self.members.iter().enumerate() {
            if kind.suits(self.world, &member.identity, &self.pasts[number]) {
                groups[member.identity.group].push(number);
            }
        }
        groups.sort_by_key(|people| std::cmp::Reverse(people.len()));
        // Where no department is large enough, the largest has to do.
        let large = groups.partition_point(|people| people.len() >= PEOPLE.0 as usize).max(1);
        for _ in 0..count {
            self.event += 1;
            let people = groups[random.below(large)].clone();
            self.campaign(people, size, random);
        }
    }

    fn campaign(&mut self, mut people: Vec<usize>, size: f64, random: &mut Random) {
        let world = self.world;
        let wanted = random.between(PEOPLE.0, PEOPLE.1) as usize;
        let group = people.first().map_or(0, |&number| self.members[number].identity.group);
        let day = random.between(i64::from(world.scored_from), i64::from(world.days) - 2) as u32;
        // Mostly in the day, where it hides best.
        let minute = if random.chance(0.7) { random.real(9.0, 17.0) * 60.0 } else { random.real(0.0, 1_440.0) };
        let start = world.bucket(group, day, minute).max(i64::from(world.scored_bucket()));
        let times = size * random.log_between(0.8, 3.0);
        random.shuffle(&mut people);
        let mut struck = 0;
        // Those without another attack that day first; then whoever is left, so that there are enough.
        for at_any_price in [false, true] {
            people.retain(|&number| {
                let enough = struck >= wanted || at_any_price && struck >= PEOPLE.0 as usize;
                let taken = !enough && {
                    let mut draft = self.draft(number, times, random);
                    draft.extra(start);
                    let tape = draft.tape;
                    self.accept(number, AttackKind::Campaign, tape, at_any_price)
                };
                struck += usize::from(taken);
                !taken
            });
        }
    }
}

impl super::Draft<'_> {
    /// An hour or so of what is usual for the victim.
    fn extra(&mut self, start: i64) {
        let start = start + self.random.between(0, LAG);
        let length = self.random.between(8, 18);
        let place = self.usual_place(start);
        let fill = self.random.real(0.6, 1.0);
        let rate = (self.past.median * self.size * self.random.log_between(0.7, 1.4)).max(1.0);
        self.stretch((start, length), place, (fill, rate, 0.5));
    }
}
