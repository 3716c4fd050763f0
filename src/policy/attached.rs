//! Which documents apply to which role.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::document::Document;
use super::evaluate::Policies;
use crate::cloudtrail::Arn;
use crate::glob;

/// Roles that a document is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roles {
    /// Every role.
    Every,
    /// Roles whose name, or whose ARN where the pattern begins with `arn:`, matches.
    Like(String),
}

impl Roles {
    /// Whether the role with this ARN is meant.
    pub fn includes(&self, role_arn: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Like(pattern) if pattern.starts_with("arn:") => glob::matches(pattern, role_arn),
            Self::Like(pattern) => Arn::parse(role_arn).and_then(|arn| arn.role_name()).is_some_and(|name| glob::matches(pattern, name)),
        }
    }
}

/// All documents, with where they are attached.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// Identity-based policies.
    pub identity: Vec<(Roles, Arc<Document>)>,
    /// Permissions boundaries.
    pub boundaries: Vec<(Roles, Arc<Document>)>,
    /// Service control policies, by level of the organization.
    pub control: Vec<Vec<Arc<Document>>>,
}

impl Attached {
    /// Whether there is no document to judge by.
    pub fn is_empty(&self) -> bool {
        self.identity.is_empty()
    }

    /// All documents.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        let attached = self.identity.iter().chain(&self.boundaries).map(|(_, document)| document);
        attached.chain(self.control.iter().flatten())
    }

    /// Context keys that any of them reads, in lower case.
    pub fn keys(&self) -> BTreeSet<String> {
        self.documents().flat_map(|document| document.keys()).map(str::to_owned).collect()
    }

    /// The policies of the role with this ARN; `None` where no document is attached to it.
    pub fn of_role(&self, role_arn: &str) -> Option<Policies> {
        let those = |list: &[(Roles, Arc<Document>)]| -> Vec<Arc<Document>> {
            list.iter().filter(|(roles, _)| roles.includes(role_arn)).map(|(_, document)| Arc::clone(document)).collect()
        };
        let identity = those(&self.identity);
        (!identity.is_empty()).then(|| Policies { identity, boundary: those(&self.boundaries), control: self.control.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_by_name_and_by_arn() {
        const ROLE: &str = "arn:aws:iam::111122223333:role/perimeter/BedrockLegal";
        for (pattern, expected) in [
            ("Bedrock*", true),
            ("bedrock*", false),
            ("perimeter*", false),
            ("arn:aws:iam::111122223333:role/*", true),
            ("arn:aws:iam::4*", false),
        ] {
            assert_eq!(Roles::Like(pattern.to_owned()).includes(ROLE), expected, "{pattern}");
        }
        assert!(Roles::Every.includes("") && !Roles::Like("*".to_owned()).includes(""));
    }
}
