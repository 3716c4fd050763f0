//! The actor: whose rate is counted.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What an actor is, best known first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ActorKind {
    /// A human, by a name that outlives sessions and keys.
    Person,
    /// A named session of a role, or an access key where the session's name says nothing.
    Session,
    /// A role that machines use; their sessions fold into it.
    Role,
    /// An IAM user.
    User,
    /// An AWS service acting for itself.
    Service,
    /// The account's root user.
    Root,
    /// Nobody that the record names.
    Unknown,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Person, Self::Session, Self::Role, Self::User, Self::Service, Self::Root, Self::Unknown];

    /// The kind as alerts write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Session => "session",
            Self::Role => "role",
            Self::User => "user",
            Self::Service => "service",
            Self::Root => "root",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the actor is a machine: those have their own peers.
    pub const fn is_machine(self) -> bool {
        matches!(self, Self::Role | Self::Service)
    }
}

/// The name under which an actor's calls are counted. Rotating a key or signing in again does not change it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActorKey {
    /// What the actor is.
    pub kind: ActorKind,
    /// Its name within the kind.
    pub name: Arc<str>,
}

impl ActorKey {
    /// A key of `kind` with `name`.
    pub fn new(kind: ActorKind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The key that [`fmt::Display`] writes: `person:alice@example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let kind = ActorKind::ALL.into_iter().find(|known| known.label() == kind)?;
        Some(Self::new(kind, name))
    }

    /// A hash that is the same on every machine and in every version: it decides which worker owns the actor.
    pub fn stable_hash(&self) -> u64 {
        xxh3_64(self.name.as_bytes()) ^ (self.kind as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl fmt::Display for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.label(), self.name)
    }
}

impl fmt::Debug for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
