//! Who called: from what the record says, and from the STS and Cognito records that issued the credentials.
//!
//! A Bedrock record carries no session tags, its `sessionIssuer` names a role, and with Cognito's enhanced flow everybody
//! has the same session name. So the person and the department come from joining the record that issued the access key
//! ([`grant`]), then from a directory, then from a map of roles.
//!
//! **Invariant:** identity never guesses. What is not known is a value with a reason ([`Unknown`]).

pub mod actor;
pub mod caller;
pub mod directory;
pub mod grant;
pub mod links;
pub mod removal;
pub mod resolve;

pub use actor::{ActorKey, ActorKind};
pub use caller::{Caller, CallerKind, SessionName};
pub use directory::{Directory, DirectoryError, Member};
pub use grant::Grant;
pub use links::Links;
pub use removal::{Removal, RemovalKind, RemovalNotice};
pub use resolve::{Attribution, Department, DepartmentSource, IdentitySettings, Resolver, Session, Unknown};
