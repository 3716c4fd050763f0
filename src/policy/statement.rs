//! A statement of a policy document, and whether it speaks about a request.

use std::sync::Arc;

use super::condition::Condition;
use super::context::Context;
use super::template::{Resolved, Template, matches};
use super::truth::Truth;
use crate::glob;

/// What a statement does where it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Refuses, whatever else allows.
    Deny,
    /// The document does not say it in words that IAM knows: it may be either.
    Unclear,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed<T> {
    /// Only these.
    Only(Vec<T>),
    /// All but these.
    AllBut(Vec<T>),
}

/// What is asked of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `service:Action`.
    pub action: &'a str,
    /// ARN of the resource, `*` for actions that have none; `None` where it is not known.
    pub resource: Option<&'a str>,
    /// Everything else.
    pub context: &'a Context,
}

/// A request, made ready for many statements.
#[derive(Debug)]
pub struct Prepared<'a> {
    action: String,
    resource: Option<Vec<char>>,
    context: &'a Context,
}

impl<'a> Prepared<'a> {
    /// `request`, with its action in lower case and its resource in characters.
    pub fn new(request: &Request<'a>) -> Self {
        let resource = request.resource.map(|resource| resource.chars().collect());
        Self { action: request.action.to_lowercase(), resource, context: request.context }
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `file#Sid`, or `file#2` for the second statement of a file.
    pub id: Arc<str>,
    /// Line where it begins, counted from 1.
    pub line: usize,
    /// What it does.
    pub effect: Effect,
    /// Actions, in lower case: IAM compares them without case.
    pub actions: Listed<String>,
    /// Resources, compared with case.
    pub resources: Listed<Template>,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// What in it was not understood: where the rest matches, it is unknown whether it does.
    pub unclear: Option<Arc<str>>,
}

impl Statement {
    /// Whether it speaks about `request`.
    pub fn matches(&self, request: &Prepared<'_>) -> Truth {
        let action = self.matches_action(&request.action);
        if action == Truth::No {
            return Truth::No;
        }
        let unclear = self.unclear.iter().map(|why| Truth::Unknown(Arc::clone(why)));
        let conditions = self.conditions.iter().map(|condition| condition.holds(request.context));
        // Lazily: a resource that does not match spares the conditions.
        let resource = std::iter::once_with(|| self.matches_resource(request));
        Truth::all(std::iter::once(action).chain(resource).chain(conditions).chain(unclear))
    }

    fn matches_action(&self, action: &str) -> Truth {
        let is_listed = |listed: &[String]| listed.iter().any(|pattern| glob::matches(pattern, action));
        match &self.actions {
            Listed::Only(listed) => is_listed(listed).into(),
            Listed::AllBut(listed) => (!is_listed(listed)).into(),
        }
    }

    fn matches_resource(&self, request: &Prepared<'_>) -> Truth {
        let (listed, negated) = match &self.resources {
            Listed::Only(listed) => (listed, false),
            Listed::AllBut(listed) => (listed, true),
        };
        let one = |template: &Template| match (template.resolve(request.context), &request.resource) {
            (Resolved::Missing, _) => Truth::No,
            (Resolved::Unknown(why), _) => Truth::Unknown(why),
            (Resolved::Tokens(_), None) if template.is_any() => Truth::Yes,
            (Resolved::Tokens(_), None) => Truth::unknown("the record does not name the resource"),
            (Resolved::Tokens(wanted), Some(resource)) => matches(&wanted, resource).into(),
        };
        Truth::any(listed.iter().map(one)).negated_if(negated)
    }

    /// Context keys that it reads, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let (Listed::Only(resources) | Listed::AllBut(resources)) = &self.resources;
        resources.iter().flat_map(Template::keys).chain(self.conditions.iter().flat_map(Condition::keys))
    }
}
