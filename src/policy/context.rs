//! The request context: what is known about a request besides its action and resource.
//!
//! A key is known with its values, known to be absent, or not known. IAM itself always knows; whoever judges from a log
//! does not: CloudTrail writes down some keys of a request and leaves out others, and to take those for absent would
//! turn "cannot be told" into an answer.

use std::collections::HashMap;
use std::sync::Arc;

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// Its values; one for most keys.
    Values(&'a [String]),
    /// The request has no such key.
    Absent,
    /// It cannot be told, and why not.
    Unknown(&'a Arc<str>),
}

/// Keys with what is known of them. Keys are compared without case, tag keys too ("IAM JSON policy elements:
/// Condition": condition key names are not case-sensitive).
#[derive(Clone, Debug, Default)]
pub struct Context {
    known: HashMap<String, Vec<String>>,
    unknown: HashMap<String, Arc<str>>,
    /// The same for all other keys that begin so; `None` where they are absent.
    under: Vec<(&'static str, Option<Arc<str>>)>,
    /// Why keys that are not listed are unknown; `None` where they are absent.
    others: Option<Arc<str>>,
}

impl Context {
    /// A context in which keys that are not listed are absent, as IAM itself has it.
    pub fn complete() -> Self {
        Self::default()
    }

    /// A context in which keys that are not listed cannot be told.
    pub fn partial(why: impl Into<Arc<str>>) -> Self {
        Self { others: Some(why.into()), ..Self::default() }
    }

    /// Adds a key with one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.known.insert(key.to_lowercase(), vec![value.into()]);
    }

    /// Adds a key with all its values; none is as good as absent.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.known.insert(key.to_lowercase(), values);
    }

    /// Says that the request has no such key.
    pub fn set_absent(&mut self, key: &str) {
        self.set_all(key, Vec::new());
    }

    /// Says that a key cannot be told.
    pub fn set_unknown(&mut self, key: &str, why: impl Into<Arc<str>>) {
        self.unknown.insert(key.to_lowercase(), why.into());
    }

    /// Says that the request has no other key that begins with `prefix` (in lower case).
    pub fn set_absent_under(&mut self, prefix: &'static str) {
        self.under.push((prefix, None));
    }

    /// Says that other keys that begin with `prefix` (in lower case) cannot be told.
    pub fn set_unknown_under(&mut self, prefix: &'static str, why: impl Into<Arc<str>>) {
        self.under.push((prefix, Some(why.into())));
    }

    /// What is known of `key`, which must be in lower case. A value that was set beats "unknown".
    pub fn get(&self, key: &str) -> Fact<'_> {
        if let Some(values) = self.known.get(key) {
            return if values.is_empty() { Fact::Absent } else { Fact::Values(values) };
        }
        let others = || self.under.iter().find(|(prefix, _)| key.starts_with(prefix)).map_or(self.others.as_ref(), |(_, why)| why.as_ref());
        self.unknown.get(key).or_else(others).map_or(Fact::Absent, Fact::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_absent_and_unknown() {
        let mut context = Context::partial("not logged");
        context.set("aws:PrincipalTag/Dept", "legal");
        context.set_absent("aws:SourceVpce");
        assert_eq!(context.get("aws:principaltag/dept"), Fact::Values(&["legal".to_owned()]));
        assert_eq!(context.get("aws:sourcevpce"), Fact::Absent);
        assert_eq!(context.get("aws:referer"), Fact::Unknown(&"not logged".into()));
        assert_eq!(Context::complete().get("aws:referer"), Fact::Absent);
    }
}
