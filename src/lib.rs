//! geophone hears what moves through bedrock: it reads CloudTrail's account of every Amazon Bedrock call, works out which
//! person and which department made it, compares it with what is normal and allowed, and pages with the evidence.
//!
//! # The path of an event
//!
//! ```text
//! Kinesis record | file                       edges: daemon, files
//!   → CloudTrailEvent                         cloudtrail    bytes to events, whatever the envelope
//!   → Observation: Call | Grant | Companion   observation   owned, reduced to what is needed
//!       bedrock: operation, model, denial        identity: caller, grant
//!   → Attribution: actor, person, department  identity      joined with the record that issued the key
//!   → ActorState | CredentialState            state         owned by one worker, or shared in maps
//!   → Finding                                 detect        numbers that made it
//!   → Alert                                   alerting      opened, updated, resolved
//!   → SNS message, snapshot, checkpoint       edges: sns, storage, daemon
//! ```
//!
//! The modules are listed in rank order: a module may name only those above it (`tests/it/architecture.rs`). Everything
//! above the line is the **core**: no clock, no async, no AWS, no files, no environment; time is an argument, and what is
//! to be done is returned. It builds with `--no-default-features`.

// A closed pipe must not end the program: `cli::output` prints.
#![deny(clippy::print_stdout)]

// ── core ──
pub mod time;
pub mod severity;
pub mod hashed;
pub mod glob;
pub mod cloudtrail;
pub mod bedrock;
pub mod identity;
pub mod sigma;
pub mod observation;
pub mod stats;
pub mod baseline;
pub mod backtest;
pub mod policy;
pub mod finding;
pub mod state;
pub mod detect;
pub mod alerting;
pub mod archive;
pub mod engine;
pub mod audit;
pub mod snapshot;
pub mod config;

// ── edges ──
#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod failpoint;
#[cfg(feature = "daemon")]
pub mod files;
#[cfg(feature = "daemon")]
pub mod sources;
#[cfg(feature = "daemon")]
pub mod storage;
#[cfg(feature = "daemon")]
pub mod sns;
#[cfg(feature = "daemon")]
pub mod telemetry;
#[cfg(feature = "daemon")]
pub mod supervisor;
#[cfg(feature = "daemon")]
pub mod web;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod cli;
