//! The single integration binary: scenarios through the core, the command line, and the daemon against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests fail by panicking, and wait by the clock"
)]

mod api;
mod architecture;
mod archiving;
mod attribution;
mod audit;
mod backtest;
mod blind;
mod cli;
mod config;
mod daemon;
mod deadletter;
mod doors;
mod fleet;
mod fuzzed;
mod hostile;
mod joins;
mod judging;
mod leaving;
mod manual;
mod ocsf;
mod order;
mod places;
mod policy;
mod policy_cli;
mod publishing;
mod real_records;
mod reliability;
mod reload;
mod robust;
mod scenarios;
mod scrape;
mod sieve;
mod sigma;
mod snapshots;
mod spending;
mod storm;
mod supervised;
mod threats;
mod warming;
mod support;
