//! Which events were seen: a table of fixed size that forgets the oldest.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const WAYS: usize = 8;

/// Buckets of a page; pages are shared with snapshots that are being written.
const PAGE: usize = 512;

/// Fingerprints of events, eight to a bucket of one cache line; a full bucket forgets its oldest. Two different events
/// meet with a chance of about 8 × capacity⁻¹ × 2⁻⁶⁴ × capacity: never, in practice.
#[derive(Clone, Debug)]
pub struct Dedup {
    pages: Vec<Arc<Page>>,
    buckets: usize,
    seen: u64,
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Page {
    buckets: [[u64; WAYS]; PAGE],
    /// Next place to write in each bucket.
    cursors: [u8; PAGE],
}

/// What a snapshot keeps of a [`Dedup`]: taken at once, put in order when it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DedupImage {
    #[serde(serialize_with = "in_order", deserialize_with = "read")]
    fingerprints: Kept,
    seen: u64,
}

#[derive(Clone, Debug)]
enum Kept {
    /// As a table holds them.
    Pages(Vec<Arc<Page>>),
    /// Oldest of each bucket first.
    InOrder(Vec<u64>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::InOrder(Vec::new())
    }
}

impl Kept {
    fn in_order(&self) -> Vec<u64> {
        match self {
            Self::InOrder(fingerprints) => fingerprints.clone(),
            Self::Pages(pages) => {
                let rows = pages.iter().flat_map(|page| page.buckets.iter().zip(&page.cursors));
                let ordered = rows.flat_map(|(bucket, cursor)| {
                    let (newer, older) = bucket.split_at(usize::from(*cursor));
                    older.iter().chain(newer)
                });
                ordered.copied().filter(|fingerprint| *fingerprint != 0).collect()
            }
        }
    }
}

fn in_order<S: Serializer>(kept: &Kept, serializer: S) -> Result<S::Ok, S::Error> {
    kept.in_order().serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kept, D::Error> {
    Vec::deserialize(deserializer).map(Kept::InOrder)
}

impl Dedup {
    /// A table for about `capacity` events (8 bytes each), rounded up to a power of two.
    pub fn with_capacity(capacity: usize) -> Self {
        let buckets = capacity.div_ceil(WAYS).max(1).next_power_of_two();
        let page = || Arc::new(Page { buckets: [[0; WAYS]; PAGE], cursors: [0; PAGE] });
        Self { pages: (0..buckets.div_ceil(PAGE)).map(|_| page()).collect(), buckets, seen: 0 }
    }

    /// Remembers `fingerprint` and says whether it is new. A fingerprint of 0 is nothing to know an event by, and
    /// always new.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        if fingerprint == 0 {
            return true;
        }
        if self.contains(fingerprint) {
            return false;
        }
        let index = self.index(fingerprint);
        let page = Arc::make_mut(&mut self.pages[index / PAGE]);
        let cursor = usize::from(page.cursors[index % PAGE]);
        page.buckets[index % PAGE][cursor % WAYS] = fingerprint;
        page.cursors[index % PAGE] = ((cursor + 1) % WAYS) as u8;
        self.seen += 1;
        true
    }

    /// Whether `fingerprint` was seen.
    pub fn contains(&self, fingerprint: u64) -> bool {
        let index = self.index(fingerprint);
        fingerprint != 0 && self.pages[index / PAGE].buckets[index % PAGE].contains(&fingerprint)
    }

    /// How many events the table can hold.
    pub fn capacity(&self) -> usize {
        self.buckets * WAYS
    }

    /// How many different events were ever remembered.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What a snapshot keeps, oldest of each bucket first.
    pub fn image(&self) -> DedupImage {
        DedupImage { fingerprints: Kept::Pages(self.pages.clone()), seen: self.seen }
    }

    /// A table of `capacity` with what `image` kept.
    pub fn restore(image: &DedupImage, capacity: usize) -> Self {
        let mut table = Self::with_capacity(capacity);
        image.fingerprints.in_order().iter().for_each(|fingerprint| {
            table.insert(*fingerprint);
        });
        table.seen = image.seen;
        table
    }

    /// Remembers what another table does, too.
    pub fn absorb(&mut self, image: &DedupImage) {
        image.fingerprints.in_order().iter().for_each(|fingerprint| {
            self.insert(*fingerprint);
        });
    }

    fn index(&self, fingerprint: u64) -> usize {
        // The high bits: the low ones are used by nobody else, but a multiply spreads ids that are no hashes, too.
        (fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.buckets - 1)
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
