//! Sigma on a stream: rules as detection engineers write them, over CloudTrail events and what geophone knows of them.
//!
//! | module | has |
//! |---|---|
//! | [`load`] | YAML into a [`RuleSet`]; every mistake with file, line and cure |
//! | [`index`] | which rules can concern an event, by the literal `eventSource` and `eventName` that they ask for |
//! | [`sieve`] | what a rule comes to by the typed fields alone |
//! | [`event`] | one event as rules see it: typed where they mostly look, the rest of its JSON only when one asks |
//! | [`correlate`] | correlations in event time: counts, values, sequences, absences |
//! | [`rules`] | the set, and what it says about an event |
//!
//! Rules are parsed by `rsigma-parser` and matched by `rsigma-eval`; nothing outside this module names either. Its
//! correlation engine is not used: windows of arrival order fire falsely on late and repeated events.

pub mod correlate;
pub mod event;
pub mod index;
pub mod load;
pub mod rules;
pub mod sieve;

pub use correlate::{Correlator, CorrelatorImage, Fired};
pub use event::{Facts, Raw, RuleFacts, SigmaEvent};
pub use load::{RuleMistake, Source, UnknownFields, load};
pub use rules::{Action, Correlation, CorrelationKind, Rule, RuleMatch, RuleSet};
