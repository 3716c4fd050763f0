//! Which Cognito identity belongs to whom, as records have shown: an identity id is opaque, and the directory may only
//! know the user-pool subject or the name.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::hashed::Seeded;
use serde::{Deserialize, Serialize};

/// Most identities that are remembered; beyond it the oldest is forgotten.
const LINKS_MAX: usize = 1_000_000;

/// Links from Cognito identity ids to other ids of the same human.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LinksImage", into = "LinksImage")]
pub struct Links {
    by_identity: HashMap<Arc<str>, Arc<str>, Seeded>,
    order: VecDeque<Arc<str>>,
}

/// What a snapshot keeps: links in the order in which they were learned.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LinksImage(Vec<(Arc<str>, Arc<str>)>);

impl From<Links> for LinksImage {
    fn from(links: Links) -> Self {
        let linked = |identity: &Arc<str>| Some((Arc::clone(identity), Arc::clone(links.by_identity.get(identity)?)));
        Self(links.order.iter().filter_map(linked).collect())
    }
}

impl From<LinksImage> for Links {
    fn from(image: LinksImage) -> Self {
        let mut links = Self::default();
        for (identity, other) in image.0 {
            links.learn(&identity, &other);
        }
        links
    }
}

impl Links {
    /// Remembers that `identity` is whoever has the id `other`; whether that is news. Where records disagree the smaller
    /// id stays, so that the order of arrival does not matter.
    pub fn learn(&mut self, identity: &Arc<str>, other: &Arc<str>) -> bool {
        match self.by_identity.get_mut(identity) {
            Some(known) if *known <= *other => false,
            Some(known) => {
                *known = Arc::clone(other);
                true
            }
            None => {
                if self.order.len() >= LINKS_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.by_identity.remove(&oldest);
                }
                self.order.push_back(Arc::clone(identity));
                self.by_identity.insert(Arc::clone(identity), Arc::clone(other));
                true
            }
        }
    }

    /// Learns what another knows.
    pub fn absorb(&mut self, other: Self) {
        let LinksImage(links) = other.into();
        for (identity, other) in links {
            self.learn(&identity, &other);
        }
    }

    /// Another id of whoever has `identity`.
    pub fn other_id(&self, identity: &str) -> Option<&Arc<str>> {
        self.by_identity.get(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn links_do_not_depend_on_the_order() {
        let (mut one, mut other) = (Links::default(), Links::default());
        assert!(one.learn(&"id".into(), &"b".into()) && one.learn(&"id".into(), &"a".into()) && !one.learn(&"id".into(), &"b".into()));
        assert!(other.learn(&"id".into(), &"a".into()) && !other.learn(&"id".into(), &"b".into()));
        assert_eq!(one, other);
        assert_eq!(one.other_id("id").map(|id| &**id), Some("a"));
    }
}
