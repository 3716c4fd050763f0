//! The quick way through a document: an index of its whole text first, which says whether it is JSON at all, then serde over
//! the index. Almost every document goes this way; what the index refuses is read by serde_json, which says why.

use geophone_json::Level;
use serde::de::DeserializeSeed;

use super::recover::{EVENT_OPENING, recover};
use super::{ItemSeed, Outcome, Reader};
use crate::time::EventTime;

/// Events and errors that were told, so that a document that is read twice tells nothing twice.
///
/// The grammar is checked before anything is told; what the grammar does not say (half a surrogate pair, a number that no
/// float holds) may still end the quick way in the middle. Then the other way begins at the start, and what it comes upon
/// first is what was told already: both read in the same order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// How many came up on the present way.
    now: u64,
    /// How many of these were told on another.
    before: u64,
}

impl Told {
    /// Notes one more; whether it is to be told.
    pub(super) fn is_news(&mut self) -> bool {
        self.now += 1;
        self.now > self.before
    }
}

impl Reader<'_, '_> {
    /// Reads a text that is one document; `false` where it must be read the other way.
    pub(super) fn read_quickly(&mut self, text: &str, time: Option<EventTime>) -> bool {
        let mut index = self.indexes.pop().unwrap_or_default();
        if index.level() == Level::PORTABLE {
            // Without vectors the index is the slower way.
            self.indexes.push(index);
            return false;
        }
        let (started, depth) = (self.told.now, self.depth);
        let is_read = match index.read(text) {
            Err(_) => false,
            Ok(mut document) => {
                let read = (ItemSeed { reader: self, envelope_time: time, text: Some(text) }).deserialize(&mut document);
                if read.is_err() {
                    self.told = Told { now: started, before: self.told.before.max(self.told.now) };
                    self.depth = depth;
                }
                read.is_ok()
            }
        };
        self.indexes.push(index);
        is_read
    }

    /// JSON that is no envelope, with events in it: the envelope's own key is damaged. `before` is what was told before it.
    pub(super) fn look_again(&mut self, document: &str, before: Outcome) {
        let is_strange = self.outcome.events == before.events && self.outcome.errors > before.errors;
        if is_strange && document[1..].contains(EVENT_OPENING) {
            self.salvage(|reader| recover(document, reader, 0, &"no envelope"));
        }
    }
}
