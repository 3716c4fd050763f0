//! JSON envelopes: what AWS wraps around events on their way, recognised by their keys and read in one pass.
//!
//! | envelope | recognised by |
//! |---|---|
//! | CloudWatch Logs subscription | `logEvents`, each `message` the JSON text of one event; `messageType` `CONTROL_MESSAGE` is dropped |
//! | EventBridge | `detail` |
//! | S3 file, forwarded | `Records` |
//! | LookupEvents | `Events`, each with `CloudTrailEvent`, a JSON text |
//! | plain | the event's own keys |
//!
//! Several documents may follow each other (NDJSON), and every list may stand alone. Broken JSON inside a list costs
//! only the element it is in: reading takes up again at the next element ([`recover`]).

mod quick;
mod recover;

use std::fmt;

use geophone_json::Index;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::{DecodeError, Decoded, Limits, Outcome, Reason, Sink};
use super::lenient::{Count, LenientObject, Text, lenient_object, scalars_are_default};
use crate::time::EventTime;
use quick::Told;
use recover::{EVENT_OPENING, is_list, list_key_from_end, offset_of, recover};

/// Most envelopes within envelopes: an aggregate of subscription records of EventBridge envelopes is three.
const DEPTH_MAX: u8 = 4;

/// The budget of even the smallest record, and how many times its own size a record may be read in vain.
const BUDGET_MIN: usize = 1 << 20;
const BUDGET_FACTOR: usize = 8;

/// Where events and errors go, and what is counted on the way.
pub(super) struct Reader<'r, 's> {
    limits: Limits,
    sink: &'r mut Sink<'s>,
    /// What the record held so far.
    pub outcome: Outcome,
    depth: u8,
    /// The document is larger than one event may be, so its elements are measured before they are read.
    measure_elements: bool,
    /// The record is known to be damaged and was reported: further errors say nothing new.
    salvaging: bool,
    /// Bytes that may still be read in vain: what is damaged on purpose must not cost more than a few good records.
    budget: usize,
    /// Bytes that gzip may still inflate to, over all layers and parts of the record.
    pub inflated_left: usize,
    /// For quick reading, one for each document within a document.
    indexes: Vec<Index>,
    told: Told,
}

impl<'r, 's> Reader<'r, 's> {
    pub(super) fn new(limits: Limits, sink: &'r mut Sink<'s>, indexes: Vec<Index>) -> Self {
        Self {
            limits,
            sink,
            outcome: Outcome::default(),
            depth: 0,
            measure_elements: false,
            salvaging: false,
            budget: BUDGET_MIN,
            inflated_left: limits.inflated_bytes_max,
            indexes,
            told: Told::default(),
        }
    }

    /// The buffers, for the next record.
    pub(super) fn into_indexes(self) -> Vec<Index> {
        self.indexes
    }

    pub(super) fn refuse(&mut self, reason: Reason, detail: impl fmt::Display) {
        if self.told.is_news() && !self.salvaging {
            self.outcome.errors += 1;
            (self.sink)(Err(DecodeError::new(reason, detail)));
        }
    }

    /// Takes bytes that were read in vain off the budget; `false` where it is used up.
    fn spend(&mut self, bytes: usize) -> bool {
        let is_affordable = bytes <= self.budget;
        self.budget = self.budget.saturating_sub(bytes);
        is_affordable
    }

    /// Runs `read` over bytes that were reported as damaged: what is whole is handed on, nothing is reported twice.
    pub(super) fn salvage(&mut self, read: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.salvaging, true);
        read(self);
        self.salvaging = before;
    }

    fn emit(&mut self, decoded: &Decoded<'_>) {
        if decoded.event.is_recognisable() {
            if self.told.is_news() {
                self.outcome.events += 1;
                (self.sink)(Ok(decoded));
            }
        } else {
            self.refuse(Reason::NotCloudTrail, "no eventSource, eventName, eventVersion or userIdentity");
        }
    }

    /// Reads one event (or envelope) whose JSON is known to stand alone.
    fn read_alone(&mut self, text: &str, time: Option<EventTime>) {
        if text.len() > self.limits.event_bytes_max {
            return self.refuse(Reason::EventTooLarge, format_args!("{} bytes", text.len()));
        }
        if self.read_quickly(text, time) {
            return;
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = (ItemSeed { reader: self, envelope_time: time, text: Some(text) }).deserialize(&mut deserializer);
        if let Err(error) = read.and_then(|()| deserializer.end()) {
            self.refuse(Reason::InvalidJson, error);
        }
    }

    /// Reads the text that an envelope carries as a string.
    fn read_message(&mut self, text: &str, time: Option<EventTime>) {
        if text.starts_with("CWL CONTROL MESSAGE") {
            self.outcome.control_messages += u64::from(self.told.is_news());
        } else if self.depth >= DEPTH_MAX {
            self.refuse(Reason::NestedTooDeep, "envelopes within envelopes");
        } else {
            self.depth += 1;
            self.read_alone(text, time);
            self.depth -= 1;
        }
    }
}

/// Reads all JSON documents in `text`.
pub(super) fn read_text(text: &str, reader: &mut Reader<'_, '_>) {
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if rest.is_empty() {
        return reader.refuse(Reason::Empty, "no content");
    }
    reader.budget = reader.budget.max(rest.len().saturating_mul(BUDGET_FACTOR));
    while !rest.is_empty() {
        let line = first_line(rest);
        read_line(line, reader);
        rest = rest[line.len()..].trim_start();
    }
}

/// Reads all documents of a line. Some programs write several without a line break between them, and what is done for each of
/// them must not look at the rest of the line.
fn read_line(text: &str, reader: &mut Reader<'_, '_>) {
    let before = reader.outcome;
    reader.measure_elements = text.len() > reader.limits.event_bytes_max;
    if text.starts_with(['{', '[']) && reader.read_quickly(text, None) {
        return reader.look_again(text, before);
    }
    let mut line = Line { last_list_key: None, last_seam: seam_from_end(text) };
    let mut rest = text;
    while !rest.is_empty() {
        rest = read_document(rest, reader, &mut line).trim_start();
    }
}

/// What is known of a line, by the distance from its end: then it also holds for what is left of it.
struct Line {
    /// Where the last key of a list begins, if that was looked for.
    last_list_key: Option<usize>,
    /// Where the last document begins that follows another, or something that looks like one.
    last_seam: usize,
}

/// Reads the document that the rest of a line begins with and returns what follows it.
fn read_document<'t>(rest: &'t str, reader: &mut Reader<'_, '_>, line: &mut Line) -> &'t str {
    if !rest.starts_with(['{', '[']) {
        const WHY: &str = "does not begin with { or [";
        let document = first_line(rest);
        reader.refuse(Reason::InvalidJson, WHY);
        // One damaged byte at the beginning must not cost the events behind it.
        reader.salvage(|reader| recover(document, reader, 0, &WHY));
        return &rest[document.len()..];
    }
    let several = (line.last_seam < rest.len()).then(|| first_document(rest)).flatten();
    let document = several.unwrap_or(rest);
    let behind = &rest[document.len()..];
    reader.measure_elements = document.len() > reader.limits.event_bytes_max;
    let outcome_before = reader.outcome;
    let mut deserializer = serde_json::Deserializer::from_str(document);
    match (ItemSeed { reader, envelope_time: None, text: Some(document) }).deserialize(&mut deserializer) {
        Ok(()) if deserializer.end().is_ok() => {
            reader.look_again(document, outcome_before);
            behind
        }
        // Something that is no document follows on the same line.
        Ok(()) => &rest[first_document(rest).map_or(rest.len(), str::len)..],
        Err(error) => {
            let mut key_from_end = || *line.last_list_key.get_or_insert_with(|| list_key_from_end(rest));
            if document.starts_with('[') || several.map_or_else(|| key_from_end() <= rest.len(), is_list) {
                recover(document, reader, offset_of(document, &error), &error);
                return behind;
            }
            let is_affordable = reader.spend(offset_of(document, &error));
            reader.refuse(Reason::InvalidJson, error);
            // Another document may follow on the same line.
            let next = document.get(1..).and_then(|inside| inside.find(EVENT_OPENING)).filter(|_| is_affordable);
            next.map_or(behind, |offset| &rest[1 + offset..])
        }
    }
}

/// The document that `text` begins with; `None` where it is broken.
fn first_document(text: &str) -> Option<&str> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    documents.next()?.ok()?;
    text.get(..documents.byte_offset())
}

/// How far before the end of `line` something begins behind a whole document; farther than any text is long where nothing does.
/// In valid JSON such a place is only within a text: then the first document is looked for in vain. (A quote is left out, for
/// the sake of JSON that is carried as a text: every one of them ends in `}"`.)
fn seam_from_end(line: &str) -> usize {
    let bytes = line.as_bytes();
    let opening_behind = |closing: usize| {
        let blanks = bytes[closing + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let at = closing + 1 + blanks;
        bytes.get(at).is_some_and(|byte| !b",}]\"".contains(byte)).then(|| bytes.len() - at)
    };
    memchr::memrchr_iter(b'}', bytes).find_map(opening_behind).unwrap_or(usize::MAX)
}

/// Cuts off the first of several documents, which stand on lines of their own: a closing bracket, a line break, an
/// opening bracket. That sequence never occurs within valid JSON, so it is also where reading resumes behind a
/// broken line. Linear: white space is walked over once.
fn first_line(text: &str) -> &str {
    let bytes = text.as_bytes();
    let one_line_only = !text.starts_with(['{', '[']);
    let (mut from, mut last) = (0, None);
    while let Some(offset) = memchr::memchr(b'\n', &bytes[from..]) {
        let end = from + offset;
        last = bytes[from..end].trim_ascii_end().last().copied().or(last);
        if one_line_only {
            return &text[..end];
        }
        let Some(blank) = bytes[end..].iter().position(|byte| !byte.is_ascii_whitespace()) else { break };
        from = end + blank;
        let closes = matches!(last, Some(b'}' | b']'));
        let opens = matches!(bytes[from], b'{' | b'[');
        // A line cut off in its middle closes nothing, yet the next one begins an event of its own.
        let is_within = matches!(last, Some(b',' | b'[' | b':'));
        if (closes && opens) || (!is_within && text[from..].starts_with(EVENT_OPENING)) {
            return &text[..from];
        }
    }
    text
}

lenient_object! {
    /// The keys of all envelopes that are not lists or events.
    struct EnvelopeKeys<'a> {
        /// EventBridge: when the event happened.
        "time" => time: Text<'a>,
        /// CloudWatch Logs: when the event was written, in milliseconds.
        "timestamp" => timestamp: Count,
    }
}

/// Numbers and booleans where an event should be are told; null says that there is none.
macro_rules! refuses_scalars {
    () => {
        refuses_scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
        fn visit_unit<E>(self) -> Result<(), E> { Ok(()) }
    };
    ($($method:ident: $ty:ty),+) => { $(
        fn $method<E>(self, _: $ty) -> Result<(), E> {
            self.reader.refuse(Reason::NotCloudTrail, "a value where an event should be");
            Ok(())
        }
    )+ };
}

/// Reads one object that is an event or any envelope of events, or a list of such objects.
struct ItemSeed<'e, 'r, 's, 'de> {
    reader: &'e mut Reader<'r, 's>,
    envelope_time: Option<EventTime>,
    /// The JSON that it is read from, where that is its alone.
    text: Option<&'de str>,
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_, '_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed<'_, '_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, an envelope or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let mut item = Decoded { envelope_time: self.envelope_time, text: self.text, ..Decoded::default() };
        let mut envelope = EnvelopeKeys::default();
        let (mut is_container, mut has_detail) = (false, false);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "Records" | "logEvents" | "Events" => {
                    is_container = true;
                    // The others have the text of each event as a string.
                    let wants_text = key.as_str() == "Records" && reader.limits.keep_text;
                    map.next_value_seed(ListSeed { reader, wants_text })?;
                }
                "message" | "CloudTrailEvent" => {
                    is_container = true;
                    map.next_value_seed(MessageSeed { reader, time: envelope.best_time() })?;
                }
                "detail" => {
                    has_detail = true;
                    item.event = map.next_value()?;
                }
                key => {
                    // An envelope's own `resources` must not replace those of the event within.
                    let taken = envelope.accept(key, &mut map)? || (!has_detail && item.event.accept(key, &mut map)?);
                    if !taken {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
        }
        let stands_alone = reader.depth == 0;
        if !is_container && stands_alone && reader.measure_elements {
            let bytes_max = reader.limits.event_bytes_max;
            reader.refuse(Reason::EventTooLarge, format_args!("more than {bytes_max} bytes"));
        } else if !is_container {
            item.envelope_time = item.envelope_time.or_else(|| envelope.best_time());
            reader.emit(&item);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let wants_text = self.reader.limits.keep_text;
        ListSeed { reader: self.reader, wants_text }.visit_seq(seq)
    }

    /// A text may be the JSON of an event.
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if text.trim_start().starts_with('{') {
            self.reader.read_message(text, self.envelope_time);
        } else {
            self.reader.refuse(Reason::NotCloudTrail, "a text where an event should be");
        }
        Ok(())
    }

    refuses_scalars!();
}

impl EnvelopeKeys<'_> {
    fn best_time(&self) -> Option<EventTime> {
        let from_millis = |millis: u64| i64::try_from(millis / 1_000).ok().map(EventTime::from_unix);
        EventTime::parse(self.time.as_str()).or_else(|| self.timestamp.0.and_then(from_millis))
    }
}

/// Reads a list of items.
struct ListSeed<'e, 'r, 's> {
    reader: &'e mut Reader<'r, 's>,
    /// Whether elements are events whose own text is needed.
    wants_text: bool,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.reader;
        if reader.depth >= DEPTH_MAX {
            reader.refuse(Reason::NestedTooDeep, "lists within lists");
            return super::lenient::drain(seq);
        }
        reader.depth += 1;
        if reader.measure_elements || self.wants_text {
            while let Some(element) = seq.next_element::<&RawValue>()? {
                reader.read_alone(element.get(), None);
            }
        } else {
            while seq.next_element_seed(ItemSeed { reader, envelope_time: None, text: None })?.is_some() {}
        }
        reader.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.reader.refuse(Reason::NotCloudTrail, "an object where a list of events should be");
        super::lenient::drain_map(map)
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.reader.refuse(Reason::NotCloudTrail, "a text where a list of events should be");
        Ok(())
    }

    refuses_scalars!();
}

/// Reads the event within a JSON string.
struct MessageSeed<'e, 'r, 's> {
    reader: &'e mut Reader<'r, 's>,
    time: Option<EventTime>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the JSON text of an event")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.reader.read_message(text, self.time);
        Ok(())
    }

    /// Some forwarders unpack the message into an object.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        ItemSeed { reader: self.reader, envelope_time: self.time, text: None }.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.reader.refuse(Reason::NotCloudTrail, "a message that is a list");
        super::lenient::drain(seq)
    }

    scalars_are_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
