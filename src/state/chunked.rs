//! A vector in shared chunks: a copy of all of it is a copy of pointers, and whoever writes later copies the chunk that it
//! writes to.
//!
//! So a snapshot of a million actors is taken between two events, and is written while detection goes on.

use std::array;
use std::sync::Arc;

/// Values that a chunk holds. More of them make taking a copy cheaper and the first write after it dearer.
const CHUNK: usize = 16;

/// Values at places that run from 0 on.
#[derive(Clone, Debug)]
pub struct Chunked<V> {
    chunks: Vec<Arc<[Option<V>; CHUNK]>>,
    len: usize,
}

impl<V> Default for Chunked<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<V> Chunked<V> {
    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at a place.
    pub fn get(&self, place: usize) -> Option<&V> {
        self.chunks.get(place / CHUNK)?[place % CHUNK].as_ref()
    }

    /// Every value, by place.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten())
    }
}

impl<V: Clone> Chunked<V> {
    /// The value at a place, to be changed.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut V> {
        Arc::make_mut(self.chunks.get_mut(place / CHUNK)?)[place % CHUNK].as_mut()
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: V) {
        let (chunk, place) = (self.len / CHUNK, self.len % CHUNK);
        if chunk == self.chunks.len() {
            self.chunks.push(Arc::new(array::from_fn(|_| None)));
        }
        Arc::make_mut(&mut self.chunks[chunk])[place] = Some(value);
        self.len += 1;
    }

    /// Takes the value at a place out; the last one comes to its place.
    pub fn swap_remove(&mut self, place: usize) -> Option<V> {
        if place >= self.len {
            return None;
        }
        self.len -= 1;
        let last = Arc::make_mut(self.chunks.last_mut()?)[self.len % CHUNK].take();
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.pop();
        }
        if place == self.len {
            return last;
        }
        let chunk = Arc::make_mut(self.chunks.get_mut(place / CHUNK)?);
        std::mem::replace(&mut chunk[place % CHUNK], last)
    }

    /// Every value by place, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.chunks.iter_mut().flat_map(|chunk| Arc::make_mut(chunk).iter_mut().flatten())
    }
}

impl<V: Clone> FromIterator<V> for Chunked<V> {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let mut chunked = Self::default();
        values.into_iter().for_each(|value| chunked.push(value));
        chunked
    }
}

impl<V: Clone> IntoIterator for Chunked<V> {
    type Item = V;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<V>>>;

    /// Every value, by place; those that nobody else has are not copied.
    fn into_iter(self) -> Self::IntoIter {
        let values: Vec<Option<V>> = self.chunks.into_iter().flat_map(Arc::unwrap_or_clone).collect();
        values.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u16),
        Remove(usize),
        Change(usize, u16),
        Freeze,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u16>().prop_map(Step::Push),
            2 => any::<usize>().prop_map(Step::Remove),
            3 => (any::<usize>(), any::<u16>()).prop_map(|(place, value)| Step::Change(place, value)),
            1 => Just(Step::Freeze),
        ]
    }

    proptest! {
        /// A plain vector does the same, and what was copied stays what it was.
        #[test]
        fn is_a_vector_and_copies_do_not_move(steps in prop::collection::vec(step(), 0..200)) {
            let (mut chunked, mut plain, mut frozen) = (Chunked::default(), Vec::new(), Vec::new());
            for step in steps {
                let place = |wanted: usize| if plain.is_empty() { 0 } else { wanted % plain.len() };
                match step {
                    Step::Push(value) => {
                        chunked.push(value);
                        plain.push(value);
                    }
                    Step::Remove(wanted) => {
                        let place = place(wanted);
                        let expected = (place < plain.len()).then(|| plain.swap_remove(place));
                        prop_assert_eq!(chunked.swap_remove(place), expected);
                    }
                    Step::Change(wanted, value) => {
                        let place = place(wanted);
                        if let Some(slot) = chunked.get_mut(place) {
                            *slot = value;
                            plain[place] = value;
                        }
                    }
                    Step::Freeze => frozen.push((chunked.clone(), plain.clone())),
                }
                prop_assert_eq!(chunked.len(), plain.len());
                prop_assert!(chunked.iter().eq(&plain));
            }
            for (copy, expected) in frozen {
                prop_assert_eq!(copy.into_iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
