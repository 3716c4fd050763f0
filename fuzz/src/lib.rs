//! What the fuzzer runs: [`targets`], which `tests/it/fuzzed.rs` runs too, and the mutations of [`json`].

#![forbid(unsafe_code)]

pub mod json;
pub mod targets;
