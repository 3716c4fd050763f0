//! Attacks that show in where calls come from, or in what is called.

use super::Draft;
use crate::fleet::human;
use crate::fleet::identity::{fresh_source, shared_source};
use crate::fleet::tape::{BUCKETS_PER_DAY, Place};
use crate::fleet::world::REGIONS;

impl Draft<'_> {
    pub(super) fn cred_theft(&mut self) {
        let length = self.random.between(6, 26);
        let start = self.any_start(length);
        let usual = self.usual_place(start);
        let place = Place {
            // Some thieves come through a relay that honest people use as well.
            source: if self.random.chance(0.1) { shared_source(&mut self.random) } else { fresh_source(&mut self.random) },
            region: if self.random.chance(0.5) { self.random.below(usize::from(REGIONS)) as u8 } else { usual.region },
            model: if self.random.chance(0.5) { self.strange_model(start) } else { usual.model },
        };
        let fill = self.random.real(0.5, 1.0);
        let rate = self.size * self.random.log_between(3.0, 45.0);
        self.stretch((start, length), place, (fill, rate, 0.4));
    }

    pub(super) fn second_source(&mut self) {
        let days = self.random.between(2, 9) as u32;
        let first = self.any_day(days);
        let source = fresh_source(&mut self.random);
        let times = self.size * self.random.log_between(0.3, 2.0);
        for day in (first..first + days).filter(|&day| !self.world.is_weekend(day)) {
            human::shadow(self.world, &self.victim.identity, (day, source), times, &mut self.random, &mut self.tape);
        }
    }

    pub(super) fn model_probe(&mut self) {
        let pace = self.random.between(1, 3);
        let mut bucket = self.any_start(self.world.models.len() as i64 * pace);
        let mut models = self.models_at(bucket);
        self.random.shuffle(&mut models);
        // The victim's own models tell a prober nothing new.
        models.sort_by_key(|&model| self.victim.identity.uses(model));
        models.truncate(self.random.between(4, models.len() as i64) as usize);
        let usual = self.usual_place(bucket);
        let source = if self.random.chance(0.5) { fresh_source(&mut self.random) } else { usual.source };
        let walks = self.random.chance(0.3);
        let rate = (self.size * self.random.log_between(1.0, 9.0)).max(1.0);
        for model in models {
            let region = if walks { self.random.below(usize::from(REGIONS)) as u8 } else { usual.region };
            self.calls(bucket, Place { source, region, model }, rate, 0.4);
            bucket += self.random.between(0, pace);
        }
    }

    /// A model that the victim does not use, if there is one.
    fn strange_model(&mut self, bucket: i64) -> u8 {
        let mut models = self.models_at(bucket);
        self.random.shuffle(&mut models);
        let strange = models.iter().find(|&&model| !self.victim.identity.uses(model));
        strange.or(models.first()).copied().unwrap_or_default()
    }

    fn models_at(&self, bucket: i64) -> Vec<u8> {
        self.world.models_on(bucket.max(0) as u32 / BUCKETS_PER_DAY)
    }
}
