//! AWS's audit record: from the bytes that arrive to one typed event at a time.
//!
//! `bytes → decode → CloudTrailEvent`. This module knows CloudTrail, not Bedrock.
//!
//! **Invariant:** parsing never fails as a whole. What can be read is handed on, what cannot is reported with a reason,
//! and nothing panics, whatever the bytes.

pub mod arn;
pub mod decode;
pub mod envelope;
pub mod event;
pub mod gzip;
pub mod kpl;
pub mod lenient;
pub mod user_identity;

pub use arn::Arn;
pub use decode::{DecodeError, Decoded, Decoder, Limits, Outcome, Reason};
pub use event::CloudTrailEvent;
pub use user_identity::UserIdentity;
