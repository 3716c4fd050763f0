//! One company, made from a seed, whose people, batch roles and attackers leave
//! CloudTrail records of the shape that real accounts show.
//!
//! It is the only source of invented traffic in this workspace: the demo, the
//! benchmarks and the tests all read it. Five things come out:
//!
//! * [`Company`]: days of honest work and [`Attack`]s by name, as [`Event`]s that
//!   carry their truth in a [`Label`];
//! * [`load::Load`]: an endless, fast stream for benchmarks;
//! * [`census::Census`]: one day of a large staff that signs in by every way there is,
//!   with the person and the department that a consumer may name beside each call;
//! * [`fleet::Fleet`]: the counts of a whole company over many weeks, with labelled
//!   attacks, for backtests;
//! * [`wire`]: the envelopes in which such records reach Kinesis.
//!
//! ```
//! use geophone_company::{Attack, Company, CompanySettings};
//!
//! let mut company = Company::new(CompanySettings::default());
//! let mut monday = company.day(0);
//! let noon = company.settings().first_day + 12 * 3_600;
//! monday.extend(company.attack(Attack::DeniedProbe, noon));
//! monday.sort_by_key(|event| event.arrival); // as a consumer sees them
//! assert!(monday.iter().any(|event| event.label.is_some()));
//! ```
//!
//! Read in this order: `company` (days), `visit` (one person's day), `session` and
//! `grant` (who is calling, and the records that say so), `call` (Bedrock's records),
//! `attack`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod attack;
mod call;
pub mod census;
mod clock;
mod company;
mod department;
mod estate;
pub mod fleet;
mod grant;
mod journal;
mod json;
pub mod load;
mod machine;
mod model;
mod person;
mod random;
mod record;
mod session;
mod visit;
pub mod wire;

pub use attack::{Attack, UnknownAttack};
pub use company::{Company, CompanySettings};
pub use department::{Department, Login};
pub use journal::{Event, Label};
pub use machine::{KeyUser, Machine};
pub use model::{MODELS, Model, base_model, glob_matches};
pub use person::Person;
