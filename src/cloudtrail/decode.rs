//! Bytes to events: the one entry for every wire form, with its limits and its errors.

use std::fmt;

use geophone_json::Index;
use libdeflater::Decompressor;

use super::envelope::{self, Reader};
use super::event::CloudTrailEvent;
use super::gzip::{self, GzipError};
use super::kpl;
use super::lenient::cut;
use crate::time::EventTime;

/// How much one record may ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that a gzip record may inflate to.
    pub inflated_bytes_max: usize,
    /// Most bytes of one event's JSON. CloudTrail itself stops at 256 KB (1 MB in Lake).
    pub event_bytes_max: usize,
    /// Whether every event comes with the JSON that it was read from, for rules. Costs a second look at events in lists.
    pub keep_text: bool,
}

impl Default for Limits {
    /// For Kinesis records: 32 MiB inflated, 1 MiB an event.
    fn default() -> Self {
        Self { inflated_bytes_max: 32 << 20, event_bytes_max: 1 << 20, keep_text: false }
    }
}

impl Limits {
    /// For files: CloudTrail writes up to 50 MB before compression, other tools write more.
    pub const fn for_files() -> Self {
        Self { inflated_bytes_max: 1 << 30, event_bytes_max: 1 << 20, keep_text: false }
    }
}

/// Why bytes did not become an event. Names are the `reason` label of `geophone_undecodable_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No bytes, or only white space.
    Empty,
    /// Gzip data that ends early or is damaged.
    DamagedGzip,
    /// Inflates to more than [`Limits::inflated_bytes_max`].
    InflatesTooLarge,
    /// One event is larger than [`Limits::event_bytes_max`].
    EventTooLarge,
    /// Not JSON, or broken JSON.
    InvalidJson,
    /// JSON, but neither an event nor an envelope that holds some.
    NotCloudTrail,
    /// Envelopes inside envelopes beyond any real depth.
    NestedTooDeep,
}

impl Reason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::DamagedGzip,
        Self::InflatesTooLarge,
        Self::EventTooLarge,
        Self::InvalidJson,
        Self::NotCloudTrail,
        Self::NestedTooDeep,
    ];

    /// The reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::DamagedGzip => "damaged-gzip",
            Self::InflatesTooLarge => "inflates-too-large",
            Self::EventTooLarge => "event-too-large",
            Self::InvalidJson => "invalid-json",
            Self::NotCloudTrail => "not-cloudtrail",
            Self::NestedTooDeep => "nested-too-deep",
        }
    }
}

/// A part of a record that could not be read. Its neighbours were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The class of the error.
    pub reason: Reason,
    /// What exactly, for a person; never the record's content.
    pub detail: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { f.write_str(self.reason.label()) } else { write!(f, "{}: {}", self.reason.label(), self.detail) }
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    pub(crate) fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        const DETAIL_BYTES_MAX: usize = 200;
        Self { reason, detail: cut(&detail.to_string(), DETAIL_BYTES_MAX).to_owned() }
    }
}

/// One event as it came out of its envelope.
#[derive(Clone, Debug, Default)]
pub struct Decoded<'a> {
    /// The event.
    pub event: CloudTrailEvent<'a>,
    /// When the envelope says that it happened or was written; used only where the event has no time of its own.
    pub envelope_time: Option<EventTime>,
    /// The JSON that it was read from, perhaps with EventBridge's envelope around it; of events in lists only where
    /// [`Limits::keep_text`] asks for it.
    pub text: Option<&'a str>,
}

/// What one record held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events handed to the sink.
    pub events: u64,
    /// Errors handed to the sink.
    pub errors: u64,
    /// CloudWatch Logs health probes, which are dropped.
    pub control_messages: u64,
}

/// Receives events and errors in the order of the bytes. Events live only for the call.
pub type Sink<'s> = dyn FnMut(Result<&Decoded<'_>, DecodeError>) + 's;

/// Reads records of every wire form: gzip (also several members), CloudWatch Logs subscription, EventBridge envelope,
/// `{"Records": […]}`, LookupEvents dumps, KPL aggregates, one event, a JSON array, NDJSON. Buffers are kept between
/// calls; one decoder a thread.
pub struct Decoder {
    limits: Limits,
    inflater: Decompressor,
    buffer: Vec<u8>,
    indexes: Vec<Index>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder that holds records to `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, inflater: Decompressor::new(), buffer: Vec::new(), indexes: Vec::new() }
    }

    /// Hands every event in `bytes` to `sink`, and an error for every part that cannot be read.
    pub fn decode(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Outcome {
        // Taken out for the time of the call, like the buffer below.
        let indexes = std::mem::take(&mut self.indexes);
        let mut reader = Reader::new(self.limits, sink, indexes);
        self.decode_layer(bytes, &mut reader, Layers::default());
        let outcome = reader.outcome;
        self.indexes = reader.into_indexes();
        outcome
    }

    /// Peels one layer: an aggregate may hold gzip, gzip may hold gzip once (a `.gz` file of subscription records).
    fn decode_layer(&mut self, bytes: &[u8], reader: &mut Reader<'_, '_>, layers: Layers) {
        const GZIP_LAYERS_MAX: u8 = 2;
        if bytes.starts_with(&gzip::MAGIC) {
            if layers.gzip >= GZIP_LAYERS_MAX {
                return reader.refuse(Reason::NestedTooDeep, "gzip within gzip within gzip");
            }
            return self.decode_gzip(bytes, reader, Layers { gzip: layers.gzip + 1, ..layers });
        }
        if !layers.in_aggregate
            && bytes.starts_with(&kpl::MAGIC)
            && let Some(records) = kpl::unpack(bytes)
        {
            for record in records {
                self.decode_layer(record, reader, Layers { in_aggregate: true, ..layers });
            }
            return;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => envelope::read_text(text, reader),
            // A caller's odd bytes must not hide an event: they are replaced, as other readers of the trail do.
            Err(_) => envelope::read_text(&String::from_utf8_lossy(bytes), reader),
        }
    }

    fn decode_gzip(&mut self, bytes: &[u8], reader: &mut Reader<'_, '_>, layers: Layers) {
        // The buffer is taken out for the time of the call, so that the layer within can use the inflater.
        let mut buffer = std::mem::take(&mut self.buffer);
        let inflated = gzip::inflate(&mut self.inflater, bytes, reader.inflated_left, &mut buffer);
        reader.inflated_left = reader.inflated_left.saturating_sub(buffer.len());
        match inflated {
            Ok(()) => self.decode_layer(&buffer, reader, layers),
            Err(GzipError::TooLarge) => {
                reader.refuse(Reason::InflatesTooLarge, format_args!("more than {} bytes", self.limits.inflated_bytes_max));
            }
            Err(GzipError::Damaged) => {
                reader.refuse(Reason::DamagedGzip, format_args!("{} bytes could be saved", buffer.len()));
                reader.salvage(|reader| self.decode_layer(&buffer, reader, layers));
            }
        }
        self.buffer = buffer;
    }
}

#[derive(Clone, Copy, Default)]
struct Layers {
    gzip: u8,
    in_aggregate: bool,
}
