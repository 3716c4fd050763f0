//! The properties that hold for every input. One function a target, over the library's public items alone, shared by the
//! fuzzer (nightly, coverage-guided) and by `tests/it/fuzzed.rs` (stable, over the committed corpus): they cannot drift.
//!
//! A property that does not hold panics.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "targets fail by panicking, and one of them measures time")]

mod envelope;
mod event;
mod files;
mod json;
mod message;
mod policy;
mod sigma;
mod snapshot;
mod watch;

pub use envelope::{envelope, linear};
pub use event::event;
pub use files::{config, directory, model_id};
pub use json::json;
pub use message::message;
pub use policy::iam_policy;
pub use sigma::sigma;
pub use snapshot::snapshot;

/// Runs the property of one target over one input.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("config", config),
    ("directory", directory),
    ("envelope", envelope),
    ("event", event),
    ("iam_policy", iam_policy),
    ("json", json),
    ("linear", linear),
    ("message", message),
    ("model_id", model_id),
    ("sigma", sigma),
    ("snapshot", snapshot),
];
