//! The single integration binary.
//!
//! * `aggregated`: records that a producer packed into one;
//! * `contract`: what the consumer promises, run against two independent Kinesis servers;
//! * `faults`: what it does when service and network misbehave;
//! * `fan_out`: the same by subscription;
//! * `plan_model`: the plan against a plain model of a stream, over random histories;
//! * `folder`: the folder store, damage and locks included;
//! * `leases`: one contract for all lease tables, and what DynamoDB's alone must do;
//! * `simulation`: many workers over one lease table in virtual time, with everything that goes wrong.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests fail by panicking, and wait by the clock"
)]
mod aggregated;
mod contract;
mod fan_out;
mod faults;
mod folder;
mod leases;
mod plan_model;
mod simulation;
mod support;
