//! The evaluation of a request against policies.
//!
//! Order, as in "Policy evaluation logic" in the IAM User Guide (within one account):
//!
//! 1. A matching `Deny` in any policy that applies, of whatever type, ends it: **explicit deny**.
//! 2. Service control policies: on every level of the organization one statement must allow.
//! 3. The permissions boundary, where there is one, must allow.
//! 4. An identity-based policy must allow. If so: **allow**.
//! 5. Otherwise: **implicit deny**.
//!
//! Each step may also be Unknown. An unknown `Deny` makes an allow Unknown, an unknown `Allow` matters only where no other
//! statement allows, and neither touches a deny that is certain: so Unknown never becomes Allow, and adding a `Deny`
//! never widens.
//!
//! Resource control policies, session policies and resource-based policies are not evaluated: whoever knows that a session
//! policy applies must not show the result as an allow (`policy::judge` does not).

use std::sync::Arc;

use super::document::Document;
use super::statement::{Effect, Prepared, Request, Statement};
use super::truth::Truth;
use super::verdict::{Decision, Verdict};

/// The policies that apply to a principal.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Identity-based policies.
    pub identity: Vec<Arc<Document>>,
    /// The permissions boundary; empty where there is none.
    pub boundary: Vec<Arc<Document>>,
    /// Service control policies by level of the organization; empty where none are given.
    pub control: Vec<Vec<Arc<Document>>>,
}

/// What one type of policy says, apart from denies.
enum Granted<'p> {
    By(&'p Statement),
    Nothing,
    Unknown(Arc<str>),
}

impl Policies {
    /// All documents, of every type.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.identity.iter().chain(&self.boundary).chain(self.control.iter().flatten())
    }

    /// What they say about `request`.
    pub fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let prepared = Prepared::new(request);
        let mut unknown = None;
        let may_deny = |statement: &&Statement| statement.effect != Effect::Allow;
        for statement in self.documents().flat_map(|document| &document.statements).filter(may_deny) {
            match (statement.effect, statement.matches(&prepared)) {
                (Effect::Deny, Truth::Yes) => {
                    let statement = Some(Arc::clone(&statement.id));
                    return Verdict { decision: Decision::ExplicitDeny, statement, why: None };
                }
                (_, Truth::Unknown(why)) => unknown = unknown.or(Some(why)),
                _ => {}
            }
        }
        let levels = self.control.iter().map(|level| ("service control policy", level));
        let boundary = (!self.boundary.is_empty()).then_some(("permissions boundary", &self.boundary));
        let mut allowed_by = None;
        for (kind, documents) in levels.chain(boundary).chain([("identity-based policy", &self.identity)]) {
            match granted(documents, &prepared) {
                Granted::By(statement) => allowed_by = Some(Arc::clone(&statement.id)),
                Granted::Nothing => return Verdict::implicit_deny(format!("no {kind} allows {}", request.action)),
                Granted::Unknown(why) => unknown = unknown.or(Some(why)),
            }
        }
        match unknown {
            Some(why) => Verdict::unknown(why),
            None => Verdict { decision: Decision::Allow, statement: allowed_by, why: None },
        }
    }
}

fn granted<'p>(documents: &'p [Arc<Document>], request: &Prepared<'_>) -> Granted<'p> {
    let mut unknown = None;
    for statement in documents.iter().flat_map(|document| &document.statements).filter(|statement| statement.effect != Effect::Deny) {
        match statement.matches(request) {
            Truth::Yes => return Granted::By(statement),
            Truth::Unknown(why) => unknown = unknown.or(Some(why)),
            Truth::No => {}
        }
    }
    unknown.map_or(Granted::Nothing, Granted::Unknown)
}
