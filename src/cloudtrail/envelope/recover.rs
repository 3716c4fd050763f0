//! Reading on behind broken JSON.

use std::fmt;

use memchr::memmem;
use serde_json::value::RawValue;

use super::super::decode::Reason;
use super::Reader;

/// How an event begins where its keys are in AWS's order.
pub(super) const EVENT_OPENING: &str = r#"{"eventVersion""#;

/// Whether `document` is a list of events, or an envelope around one.
pub(super) fn is_list(document: &str) -> bool {
    document.starts_with('[') || LIST_KEYS.iter().any(|key| document.contains(key))
}

/// How far before the end of `line` the last key of a list begins; farther than any text is long where there is none.
pub(super) fn list_key_from_end(line: &str) -> usize {
    LIST_KEYS.iter().filter_map(|key| line.rfind(key)).max().map_or(usize::MAX, |at| line.len() - at)
}

const LIST_KEYS: [&str; 3] = ["\"Records\"", "\"logEvents\"", "\"Events\""];

/// Reads a list again whose JSON is broken somewhere: every place that looks like the start of an element is tried, so
/// only damaged elements are lost. Elements that end before `read_before` were read already and are passed over. Work on
/// damaged parts is bounded by the reader's budget.
pub(super) fn recover(document: &str, reader: &mut Reader<'_, '_>, read_before: usize, first: &dyn fmt::Display) {
    let errors_before = reader.outcome.errors;
    let (mut position, opening) = if is_list(document) { element_opening(document) } else { (0, EVENT_OPENING) };
    let mut openings = [opening, EVENT_OPENING].map(|opening| Openings::new(opening, document));
    while let Some(found) = openings.iter_mut().filter_map(|openings| openings.first_from(position)).min() {
        let text = &document[found..];
        match serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next() {
            Some(Ok(element)) => {
                position = found + element.get().len();
                if position > read_before {
                    reader.read_alone(element.get(), None);
                }
            }
            Some(Err(error)) => {
                let is_affordable = reader.spend(offset_of(text, &error));
                reader.refuse(Reason::InvalidJson, error);
                if !is_affordable {
                    return reader.refuse(Reason::InvalidJson, "damaged in too many places; the rest is given up");
                }
                position = found + 1;
            }
            None => break,
        }
    }
    if reader.outcome.errors == errors_before {
        reader.refuse(Reason::InvalidJson, first);
    }
}

/// The places of one opening in a document, asked for in ascending order. Every byte is looked at once: where another opening
/// is all over the document and this one nowhere, it must not be looked for again each time.
struct Openings<'t> {
    finder: memmem::FindIter<'t, 't>,
    next: Option<usize>,
}

impl<'t> Openings<'t> {
    fn new(opening: &'t str, document: &'t str) -> Self {
        let mut finder = memmem::find_iter(document.as_bytes(), opening);
        let next = finder.next();
        Self { finder, next }
    }

    fn first_from(&mut self, from: usize) -> Option<usize> {
        while self.next.is_some_and(|next| next < from) {
            self.next = self.finder.next();
        }
        self.next
    }
}

/// Where the first element of the list in `document` begins, and how: its bracket and first key, which every element of
/// a list written by one program shares.
fn element_opening(document: &str) -> (usize, &str) {
    let list = LIST_KEYS.iter().filter_map(|key| document.find(key)).min().unwrap_or(0);
    let mut from = list + document[list..].find('[').map_or(0, |offset| offset + 1);
    while let Some(offset) = document[from..].find('{') {
        let start = from + offset;
        let inside = document[start + 1..].trim_start();
        if let Some(end) = inside.strip_prefix('"').and_then(|key| key.find('"')) {
            let length = document.len() - inside.len() - start + end + 2;
            return (start, &document[start..start + length]);
        }
        from = start + 1;
    }
    (document.len(), EVENT_OPENING)
}

/// How far reading came before `error`, in bytes.
pub(super) fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    let before = memchr::memchr_iter(b'\n', text.as_bytes()).take(error.line().saturating_sub(1)).last().unwrap_or(0);
    (before + error.column()).min(text.len())
}
