//! Baselines: what is usual for an actor, and how rare a moment is.
//!
//! The **return-period** method (`docs/detection.md` has it in words and equations). A moment is looked at through six
//! [`Channel`]s. In each, how far it reaches is compared with the actor's own daily maxima and its peers'; that surprise is
//! read against the fleet's identity-days of the last months; the channels are put together and read against the fleet
//! once more. What comes out is a *rarity*: −log10 of the share of identity-days that reach as far. A budget of one false
//! alert in a thousand identity-days is a rarity of 3, and nothing else needs to be set.
//!
//! | module | has |
//! |---|---|
//! | [`track`] | what the actor has just done |
//! | [`profile`], [`tail`], [`habits`] | what it usually does: rates and hours, daily maxima, contexts |
//! | [`memory`] | one actor: [`Baseline`], which judges its calls and what they cost |
//! | [`peers`], [`calibration`], [`crowd`] | what actors have in common |
//! | [`story`] | when it is spoken of an actor |
//! | [`fleet`] | all of that: [`Fleet`], and the pass over a closed day |
//! | [`student`], [`half`] | a distribution, and numbers in 16 bits |
//!
//! This module knows numbers, buckets and hashes: not Bedrock, not people.

pub mod calibration;
pub mod channel;
pub mod crowd;
pub mod fleet;
pub mod habits;
pub mod half;
pub mod memory;
pub mod peers;
pub mod profile;
pub mod story;
pub mod student;
pub mod tail;
pub mod track;

pub use channel::{CHANNELS, Channel, Class, Score};
pub use fleet::{Campaign, CohortId, CohortKey, Fleet, FleetImage, FleetSettings, Measure};
pub use habits::{Noted, Sight};
pub use memory::{Baseline, Comparison, SpendComparison, Spent};
