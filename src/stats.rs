//! Numbers over event time: windows that late events change as if they had come in order, cohorts, and the memory of which events were seen.
//!
//! This module knows numbers and time, not Bedrock. Everything has a cap.

pub mod cohort;
pub mod dedup;
pub mod ring;

pub use cohort::{Cohort, CohortView};
pub use dedup::Dedup;
pub use ring::Ring;
