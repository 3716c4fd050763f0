//! geophone
pub mod time;
pub mod glob;
pub mod cloudtrail;
pub mod bedrock;
pub mod identity;
pub mod observation;
pub mod stats;
pub mod policy;
pub mod finding;
pub mod state;
pub mod detect;
pub mod alerting;
pub mod engine;
