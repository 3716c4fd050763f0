//! What the policies say about a request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// A Deny statement matches.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
    /// It cannot be told.
    Unknown,
}

impl Decision {
    /// Every decision, for metrics that start at zero.
    pub const ALL: [Self; 4] = [Self::Allow, Self::ExplicitDeny, Self::ImplicitDeny, Self::Unknown];

    /// The decision as alerts write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ExplicitDeny => "explicit-deny",
            Self::ImplicitDeny => "implicit-deny",
            Self::Unknown => "unknown",
        }
    }

    /// The decision as `policy eval` and tables of cases write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::ExplicitDeny => "ExplicitDeny",
            Self::ImplicitDeny => "ImplicitDeny",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether it is certain that the request is refused.
    pub const fn is_deny(self) -> bool {
        matches!(self, Self::ExplicitDeny | Self::ImplicitDeny)
    }
}

/// A decision with what made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// The statement that decided, `file#Sid`. None where nothing spoke.
    pub statement: Option<Arc<str>>,
    /// What is missing, for an implicit deny and for what cannot be told.
    pub why: Option<Arc<str>>,
}

impl Verdict {
    /// It cannot be told.
    pub fn unknown(why: impl Into<Arc<str>>) -> Self {
        Self { decision: Decision::Unknown, statement: None, why: Some(why.into()) }
    }

    /// Whether the plain table decided, which is the company's own word and no document of IAM's.
    pub fn is_by_table(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| statement.starts_with("[departments"))
    }

    /// Nothing allows it.
    pub fn implicit_deny(why: impl Into<Arc<str>>) -> Self {
        Self { decision: Decision::ImplicitDeny, statement: None, why: Some(why.into()) }
    }

    /// The word of the documents where they have a certain one; else the table's, unless that cannot be told either: then
    /// the reason of the documents says more.
    pub fn first_known(by_documents: Option<Self>, by_table: impl FnOnce() -> Option<Self>) -> Option<Self> {
        if by_documents.as_ref().is_some_and(|verdict| verdict.decision != Decision::Unknown) {
            return by_documents;
        }
        match by_table() {
            Some(verdict) if verdict.decision != Decision::Unknown || by_documents.is_none() => Some(verdict),
            _ => by_documents,
        }
    }

    /// What it takes for a request that must pass several checks: every one must be allowed. A certain deny is certain
    /// whatever the others are.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |verdict: &Self| match verdict.decision {
            Decision::ExplicitDeny => 0,
            Decision::ImplicitDeny => 1,
            Decision::Unknown => 2,
            Decision::Allow => 3,
        };
        verdicts.into_iter().min_by_key(rank)
    }
}
