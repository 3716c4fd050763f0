//! Tables whose keys are hashes already, and the hash of all others.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by hash: nothing is hashed a second time.
pub type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<AsItIs>>;

/// How keys of tables are hashed: fast, and with a seed of the process, since callers choose many of them. Never for what is
/// kept or shared between machines.
pub type Seeded = rapidhash::fast::RandomState;

/// Takes a hash for what it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are ever hashed; anything else is mixed in byte by byte.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}
