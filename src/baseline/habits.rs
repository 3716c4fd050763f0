//! From where, with what and on what an actor calls, and how unusual something new is for it.
//!
//! Values are hashes of 24 bits: of a network, a region, a model, a kind of client. What was new on a day is known from the
//! next day on. Novelty in several respects of *one call* adds up; that is
//! what tells a thief (new network, new region, new model at once) from a colleague who travels or tries a model.

use serde::{Deserialize, Serialize};

use super::half::Half;
use super::peers::PeerView;

/// In how many respects a call can be new.
pub const DIMENSIONS: usize = 4;
/// Dimensions whose values are of a catalogue.
const REGION: usize = 1;
const MODEL: usize = 2;
/// Remembered values by dimension: networks, regions, models, clients.
const SLOTS: [usize; DIMENSIONS] = [8, 4, 8, 4];
const SLOTS_ALL: usize = 24;
/// What is new stays new for this many buckets (an hour).
const FRESH_BUCKETS: i64 = 12;
/// Buckets of which novelty is kept: the window and how late a call may come.
const RECENT: usize = 24;
/// Most new values that are remembered of a day; an actor with more is unusual enough.
const FRESH_MAX: usize = 32;
/// What others use already is this much less of a surprise: a launch, a new office.
const SHARED_WEIGHT: f64 = 0.3;
/// Weight that older active days keep.
const KEEP: f64 = 0.97;
/// Days that the peers' share of new things weighs.
const PEER_DAYS: f64 = 5.0;

/// What a call shows of its context: hashes, 0 where the record does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// By dimension: network, region, model, client.
    pub values: [u32; DIMENSIONS],
}

impl Sight {
    /// Hashes texts to a sight. An empty text says nothing.
    pub fn of(texts: [&str; DIMENSIONS]) -> Self {
        Self {
            values: texts.map(|text| {
                let hash = (xxhash_rust::xxh3::xxh3_64(text.as_bytes()) >> 40) as u32;
                if text.is_empty() { 0 } else { hash.max(1) }
            }),
        }
    }
}

/// An actor's first use of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUse {
    /// The dimension.
    pub dimension: u8,
    /// The value.
    pub value: u32,
    /// When.
    pub slot: i64,
    /// The use that was taken for the first until an earlier one came late.
    pub instead_of: Option<i64>,
}

/// What noting a call came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// First uses, for the fleet to hear.
    pub first_uses: Vec<FirstUse>,
    /// Bit n: the first use in dimension n is of a value that others use already.
    pub shared: u8,
    /// −log10 of the chance that an active day of this actor has first uses like these, less for what others use; 0
    /// without any.
    pub surprise: f64,
    /// No moment's judgement differs from what it was before this call.
    pub changes_nothing: bool,
}

/// Which values several actors have used by then.
pub trait Known {
    /// Whether by `slot` enough others use this value that it says little about one of them.
    fn is_shared(&self, dimension: usize, value: u32, slot: i64) -> bool;
}

/// An actor's decayed number of days, and of those with something new.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NewDays {
    /// Active days.
    pub days: f64,
    /// By dimension: days with something that nobody used, and with something that others use.
    pub new: [[f64; 2]; DIMENSIONS],
}

/// How often an actor has something new: learned by day, like the rest of its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewRates {
    new: [[Half; 2]; DIMENSIONS],
    days: Half,
}

impl NewRates {
    /// The chance that an active day has something new in this dimension. Of regions and models there is a catalogue that
    /// grows: one that nobody has used yet is a launch, and no rarer for an actor than one that others use.
    fn chance(&self, dimension: usize, side: usize, peers: &PeerView) -> f64 {
        let sides = if dimension == REGION || dimension == MODEL { 0..2 } else { side..side + 1 };
        let known = sides.map(|side| self.new[dimension][side].get() + PEER_DAYS * f64::from(peers.novelty[dimension][side])).sum::<f64>();
        (known / (self.days.get() + PEER_DAYS)).clamp(1e-4, 1.0)
    }

    /// The actor's part in how often something is new.
    pub fn days(&self) -> NewDays {
        NewDays { days: self.days.get(), new: self.new.map(|sides| sides.map(Half::get)) }
    }
}

/// What an actor is known to use. 104 bytes, and more only on days with something new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Habits {
    /// A hash in 24 bits and the day of its last use, modulo 256, in 8. Zero is empty.
    slots: [u32; SLOTS_ALL],
    fresh: Option<Box<Fresh>>,
}

/// What was new lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Fresh {
    /// Dimension, value, first and last bucket.
    values: Vec<(u8, u32, i64, i64)>,
    /// Slot of the newest bucket of `recent`.
    newest: i64,
    /// Calls with something new in each bucket, and the largest novelty of one of them.
    recent: [(u16, Half); RECENT],
}

impl Habits {
    fn range(dimension: usize) -> std::ops::Range<usize> {
        let start = SLOTS[..dimension].iter().sum();
        start..start + SLOTS[dimension]
    }

    /// Notes calls of one context in a bucket. Says what is used for the first time.
    pub fn note(
        &mut self,
        (slot, day): (i64, i64),
        calls: u32,
        sight: &Sight,
        rates: &NewRates,
        peers: &PeerView,
        known: &impl Known,
    ) -> Noted {
        let (mut novelty, mut noted) = (0.0, Noted::default());
        for (dimension, value) in sight.values.into_iter().enumerate().filter(|(_, value)| *value != 0) {
            let stamp = value << 8 | (day as u32 & 0xff);
            if let Some(kept) = self.slots[Self::range(dimension)].iter_mut().find(|kept| **kept >> 8 == value) {
                // A late call does not make a use older.
                if stamp.wrapping_sub(*kept) & 0xff < 128 {
                    *kept = stamp;
                }
                continue;
            }
            let fresh = self.fresh.get_or_insert_default();
            let shared = known.is_shared(dimension, value, slot);
            let surprise = -rates.chance(dimension, usize::from(shared), peers).log10();
            let mut hear = |first: FirstUse| {
                noted.first_uses.push(first);
                noted.shared |= u8::from(shared) << dimension;
                noted.surprise += if shared { SHARED_WEIGHT * surprise } else { surprise };
            };
            let first = match fresh.values.iter_mut().find(|(d, v, ..)| (usize::from(*d), *v) == (dimension, value)) {
                Some((_, _, first, last)) => {
                    *last = slot.max(*last);
                    // A late call may have been the first.
                    if slot < *first {
                        hear(FirstUse { dimension: dimension as u8, value, slot, instead_of: Some(*first) });
                        *first = slot;
                    }
                    *first
                }
                None => {
                    if fresh.values.len() < FRESH_MAX {
                        fresh.values.push((dimension as u8, value, slot, slot));
                        hear(FirstUse { dimension: dimension as u8, value, slot, instead_of: None });
                    }
                    slot
                }
            };
            if slot - first < FRESH_BUCKETS {
                novelty += surprise;
            }
        }
        if novelty > 0.0
            && let Some(fresh) = &mut self.fresh
        {
            fresh.add(slot, calls, novelty);
        }
        noted
    }

    /// How new the last hour up to `slot` is: the most novel call, and how many there were. 0 where nothing is new.
    pub fn novelty(&self, slot: i64) -> f64 {
        let Some(fresh) = &self.fresh else { return 0.0 };
        let (mut most, mut calls, mut buckets) = (0.0f64, 0.0, 0.0f64);
        for (count, novelty) in (slot - FRESH_BUCKETS + 1..=slot).filter_map(|slot| fresh.at(slot)).filter(|(count, _)| *count > 0) {
            most = most.max(novelty.get());
            calls += f64::from(count);
            buckets += 1.0;
        }
        if most > 0.0 { most + 0.5 * (1.0f64 + calls).log10() + 0.5 * buckets.log10() } else { 0.0 }
    }

    /// Whether anything was new lately.
    pub const fn has_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// How many values are known by dimension.
    pub fn known_values(&self) -> [usize; DIMENSIONS] {
        std::array::from_fn(|dimension| self.slots[Self::range(dimension)].iter().filter(|kept| **kept != 0).count())
    }

    /// Dimensions in which something was first used in the hour up to `slot`.
    pub fn new_dimensions(&self, slot: i64) -> impl Iterator<Item = usize> {
        let values = self.fresh.as_ref().map_or(&[][..], |fresh| &fresh.values);
        let is_new = move |dimension: usize| {
            values.iter().any(|(d, _, first, _)| usize::from(*d) == dimension && (0..FRESH_BUCKETS).contains(&(slot - *first)))
        };
        (0..DIMENSIONS).filter(move |dimension| is_new(*dimension))
    }

    /// Closes an active day: what was new is known from now on. On an actor's first day everything is new, which says
    /// nothing.
    pub fn learn(&mut self, day: i64, is_first_day: bool, rates: &mut NewRates, known: &impl Known) {
        rates.days = Half::new(rates.days.get() * KEEP + 1.0);
        let mut values: Vec<(u8, u32, i64)> = Vec::new();
        let end = (day + 1) * super::profile::BUCKETS_A_DAY;
        if let Some(fresh) = &mut self.fresh {
            // By time, not by arrival: it decides what is forgotten first.
            fresh.values.sort_unstable_by_key(|(dimension, value, first, _)| (*first, *dimension, *value));
            // What was first used after midnight stays new.
            values.extend(fresh.values.iter().filter(|(_, _, first, _)| *first < end).map(|(d, v, _, last)| (*d, *v, *last)));
            fresh.values.retain(|(_, _, first, _)| *first >= end);
        }
        for dimension in 0..DIMENSIONS {
            for side in 0..2 {
                let is_new =
                    |(d, v, _): &(u8, u32, i64)| usize::from(*d) == dimension && usize::from(known.is_shared(dimension, *v, end)) == side;
                let added = if !is_first_day && values.iter().any(is_new) { 1.0 } else { 0.0 };
                rates.new[dimension][side] = Half::new(rates.new[dimension][side].get() * KEEP + added);
            }
        }
        for (dimension, value, last) in &values {
            self.remember(usize::from(*dimension), *value, last.div_euclid(super::profile::BUCKETS_A_DAY));
        }
        if self.fresh.as_ref().is_some_and(|fresh| fresh.values.is_empty()) {
            self.fresh = None;
        }
    }

    fn remember(&mut self, dimension: usize, value: u32, day: i64) {
        let slots = &mut self.slots[Self::range(dimension)];
        // The one that was used longest ago goes; empty ones first.
        // What was used after `day` already is the youngest, not the oldest.
        let age = |kept: u32| match (day as u32).wrapping_sub(kept) & 0xff {
            _ if kept == 0 => u32::MAX,
            newer if newer >= 128 => 0,
            days => days,
        };
        if let Some(oldest) = slots.iter_mut().max_by_key(|kept| age(**kept)) {
            *oldest = value << 8 | (day as u32 & 0xff);
        }
    }
}

impl Fresh {
    fn at(&self, slot: i64) -> Option<(u16, Half)> {
        let is_kept = slot <= self.newest && slot > self.newest - RECENT as i64;
        is_kept.then(|| self.recent[slot.rem_euclid(RECENT as i64) as usize])
    }

    fn add(&mut self, slot: i64, calls: u32, novelty: f64) {
        if slot > self.newest {
            let from = (self.newest + 1).max(slot - RECENT as i64 + 1);
            (from..=slot).for_each(|slot| self.recent[slot.rem_euclid(RECENT as i64) as usize] = (0, Half::default()));
            self.newest = slot;
        }
        if slot > self.newest - RECENT as i64 {
            let (count, most) = &mut self.recent[slot.rem_euclid(RECENT as i64) as usize];
            *count = count.saturating_add(calls.min(u32::from(u16::MAX)) as u16);
            *most = Half::new(most.get().max(novelty));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Known for Nobody {
        fn is_shared(&self, _: usize, _: u32, _: i64) -> bool {
            false
        }
    }
    struct Everybody;
    impl Known for Everybody {
        fn is_shared(&self, _: usize, _: u32, _: i64) -> bool {
            true
        }
    }

    fn settled() -> (Habits, NewRates) {
        let (mut habits, mut rates, home) =
            (Habits::default(), NewRates::default(), Sight::of(["198.51.100", "us-east-1", "claude", "boto3"]));
        for day in 0..30 {
            habits.note((day * 288 + 100, day), 5, &home, &rates, &PeerView::default(), &Nobody);
            habits.learn(day, day == 0, &mut rates, &Nobody);
        }
        (habits, rates)
    }

    fn judged(texts: [&str; DIMENSIONS]) -> f64 {
        let (mut habits, rates) = settled();
        habits.note((30 * 288 + 100, 30), 5, &Sight::of(texts), &rates, &PeerView::default(), &Nobody);
        habits.novelty(30 * 288 + 105)
    }

    #[test]
    fn new_in_two_respects_at_once_is_much_newer_than_in_one() {
        assert_eq!(judged(["198.51.100", "us-east-1", "claude", "boto3"]), 0.0);
        let one = judged(["203.0.113", "us-east-1", "claude", "boto3"]);
        let two = judged(["203.0.113", "eu-west-3", "claude", "boto3"]);
        assert!(one > 1.5 && two > one + 1.5, "{one} {two}");
    }

    #[test]
    fn what_is_not_said_is_not_new_and_an_hour_later_nothing_is() {
        assert_eq!(judged(["", "us-east-1", "", ""]), 0.0);
        let (mut habits, rates) = settled();
        habits.note((30 * 288, 30), 5, &Sight::of(["203.0.113", "", "", ""]), &rates, &PeerView::default(), &Nobody);
        assert!(habits.novelty(30 * 288 + 11) > 0.0 && habits.novelty(30 * 288 + 12) == 0.0);
        assert_eq!(habits.new_dimensions(30 * 288 + 3).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn is_known_from_the_next_day_and_heard_once() {
        let (mut habits, mut rates) = settled();
        let away = Sight::of(["203.0.113", "us-east-1", "claude", "boto3"]);
        let first = FirstUse { dimension: 0, value: away.values[0], slot: 30 * 288 + 5, instead_of: None };
        assert_eq!(habits.note((30 * 288 + 5, 30), 5, &away, &rates, &PeerView::default(), &Everybody).first_uses, [first]);
        assert_eq!(habits.note((30 * 288 + 6, 30), 5, &away, &rates, &PeerView::default(), &Everybody).first_uses, []);
        let earlier = FirstUse { slot: 30 * 288 + 3, instead_of: Some(30 * 288 + 5), ..first };
        assert_eq!(habits.note((30 * 288 + 3, 30), 5, &away, &rates, &PeerView::default(), &Everybody).first_uses, [earlier]);
        habits.learn(30, false, &mut rates, &Everybody);
        habits.note((31 * 288, 31), 5, &away, &rates, &PeerView::default(), &Nobody);
        assert_eq!(habits.novelty(31 * 288), 0.0);
        assert!(rates.days().new[0][1] > 0.9 && rates.days().new[0][0] == 0.0);
    }

    #[test]
    fn many_networks_push_out_only_the_oldest() {
        let (mut habits, mut rates) = settled();
        for number in 0..7i64 {
            let away = Sight::of([&format!("net{number}"), "", "", ""]);
            habits.note(((30 + number) * 288, 30 + number), 1, &away, &rates, &PeerView::default(), &Nobody);
            habits.note(
                ((30 + number) * 288, 30 + number),
                1,
                &Sight::of(["198.51.100", "", "", ""]),
                &rates,
                &PeerView::default(),
                &Nobody,
            );
            habits.learn(30 + number, false, &mut rates, &Nobody);
        }
        habits.note((40 * 288, 40), 1, &Sight::of(["198.51.100", "", "", ""]), &rates, &PeerView::default(), &Nobody);
        assert_eq!(habits.novelty(40 * 288), 0.0);
    }
}
