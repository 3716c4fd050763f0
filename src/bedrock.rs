//! What Bedrock's events mean: which operation, which model, whether it was refused and why.
//!
//! This module knows operations, models and denials; it does not know who may do what.

pub mod denial;
pub mod invocation;
pub mod model_id;
pub mod operation;
pub mod prices;
pub mod user_agent;

pub use denial::{Denial, DenialKind, DeniedBy, Outcome};
pub use invocation::{EventId, Invocation, TimeSource, Tokens};
pub use model_id::{AREAS, Model, ModelMap};
pub use operation::{Operation, Plane, Sensitive};
pub use prices::{Cost, PriceTable};
pub use user_agent::UserAgent;
