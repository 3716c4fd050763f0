//! Which events were seen: a table of fixed size that forgets the oldest.

use serde::{Deserialize, Serialize};

const WAYS: usize = 8;

/// Fingerprints of events, eight to a bucket of one cache line; a full bucket forgets its oldest. Two different events
/// meet with a chance of about 8 × capacity⁻¹ × 2⁻⁶⁴ × capacity: never, in practice.
#[derive(Clone, Debug)]
pub struct Dedup {
    buckets: Vec<[u64; WAYS]>,
    /// Next place to write in each bucket.
    cursors: Vec<u8>,
    seen: u64,
}

/// What a snapshot keeps of a [`Dedup`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DedupImage {
    fingerprints: Vec<u64>,
    seen: u64,
}

impl Dedup {
    /// A table for about `capacity` events (8 bytes each), rounded up to a power of two.
    pub fn with_capacity(capacity: usize) -> Self {
        let buckets = capacity.div_ceil(WAYS).max(1).next_power_of_two();
        Self { buckets: vec![[0; WAYS]; buckets], cursors: vec![0; buckets], seen: 0 }
    }

    /// Remembers `fingerprint` and says whether it is new. A fingerprint of 0 is nothing to know an event by, and
    /// always new.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        if fingerprint == 0 {
            return true;
        }
        let index = self.index(fingerprint);
        if self.buckets[index].contains(&fingerprint) {
            return false;
        }
        let cursor = usize::from(self.cursors[index]);
        self.buckets[index][cursor % WAYS] = fingerprint;
        self.cursors[index] = ((cursor + 1) % WAYS) as u8;
        self.seen += 1;
        true
    }

    /// Whether `fingerprint` was seen.
    pub fn contains(&self, fingerprint: u64) -> bool {
        fingerprint != 0 && self.buckets[self.index(fingerprint)].contains(&fingerprint)
    }

    /// How many events the table can hold.
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// How many different events were ever remembered.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What a snapshot keeps, oldest of each bucket first.
    pub fn image(&self) -> DedupImage {
        let in_order = |(bucket, cursor): (&[u64; WAYS], &u8)| {
            let (newer, older) = bucket.split_at(usize::from(*cursor));
            [older, newer].concat()
        };
        let fingerprints = self.buckets.iter().zip(&self.cursors).flat_map(in_order).filter(|f| *f != 0).collect();
        DedupImage { fingerprints, seen: self.seen }
    }

    /// A table of `capacity` with what `image` kept.
    pub fn restore(image: &DedupImage, capacity: usize) -> Self {
        let mut table = Self::with_capacity(capacity);
        image.fingerprints.iter().for_each(|fingerprint| {
            table.insert(*fingerprint);
        });
        table.seen = image.seen;
        table
    }

    fn index(&self, fingerprint: u64) -> usize {
        // The high bits: the low ones are used by nobody else, but a multiply spreads ids that are no hashes, too.
        (fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.buckets.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_up_to_its_capacity_and_forgets_the_oldest() {
        let mut dedup = Dedup::with_capacity(8);
        assert!((1..=8).all(|f| dedup.insert(f)));
        assert!((1..=8).all(|f| !dedup.insert(f)));
        assert!(dedup.insert(9) && dedup.insert(1) && !dedup.insert(3));
    }

    #[test]
    fn a_half_full_table_forgets_nothing_recent() {
        let mut dedup = Dedup::with_capacity(1 << 16);
        let id = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
        for n in 0..100_000 {
            assert!(dedup.insert(id(n)));
            assert!(n < 1_000 || !dedup.insert(id(n - 1_000)), "{n}");
        }
    }

    #[test]
    fn survives_a_snapshot() {
        let mut dedup = Dedup::with_capacity(64);
        (1..=100u64).for_each(|f| {
            dedup.insert(f * 977);
        });
        let mut restored = Dedup::restore(&dedup.image(), 64);
        for f in (1..=100u64).map(|f| f * 977) {
            assert_eq!(restored.clone().insert(f), dedup.clone().insert(f));
        }
        assert!(restored.insert(0) && restored.insert(0));
    }
}
