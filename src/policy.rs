//! What may be called: IAM's own evaluation, of the very documents that are attached to the roles.
//!
//! Read in this order:
//!
//! | module | says |
//! |---|---|
//! | [`truth`] | yes, no, or "cannot be told" |
//! | [`context`] | what is known about a request |
//! | [`template`] | text with wildcards and variables |
//! | [`operator`], [`condition`] | one line of a `Condition` block |
//! | [`statement`], [`document`] | a document, read from JSON |
//! | [`evaluate`] | the order of evaluation: explicit deny, SCPs, boundary, identity-based policies |
//! | [`attached`] | which documents apply to which role |
//! | [`profiles`], [`asked`] | what a Bedrock call asks IAM for |
//! | [`judge`], [`rulings`] | the verdict on a call, remembered |
//! | [`departments`], [`matrix`] | the plain table, and department × model |
//!
//! **Invariant:** what is not understood or not known is Unknown with a reason. It is never shown as allowed and never as
//! denied.

pub mod asked;
pub mod attached;
pub mod condition;
pub mod context;
pub mod departments;
pub mod document;
pub mod evaluate;
pub mod judge;
pub mod matrix;
pub mod operator;
pub mod profiles;
pub mod rulings;
pub mod statement;
pub mod template;
pub mod truth;
pub mod verdict;

pub use attached::{Attached, Roles};
pub use context::Context;
pub use departments::DepartmentTable;
pub use document::{Document, Notice};
pub use evaluate::Policies;
pub use judge::{BookSettings, PolicyBook, Ruling};
pub use matrix::{Cell, Matrix};
pub use profiles::ProfileTable;
pub use rulings::{Principal, Rulings};
pub use statement::Request;
pub use verdict::{Decision, Verdict};
