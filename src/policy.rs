//! Which department may use which model.
//!
//! In this form a plain table: `[departments.legal] models = ["anthropic.claude-*"]`.
//!
//! **Invariant:** what the table does not say is [`Verdict::Unknown`], never allowed and never denied.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bedrock::Model;
use crate::glob;

/// Departments with the models that are theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepartmentTable {
    rows: Vec<(Arc<str>, Vec<String>)>,
}

/// What the table says about a department and a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A row of the department matches.
    Allow {
        /// The row and the pattern.
        statement: String,
    },
    /// The department has a row and no pattern of it matches.
    ImplicitDeny {
        /// The row.
        statement: String,
        /// Departments whose rows match.
        owners: Vec<Arc<str>>,
    },
    /// Nothing can be said.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Verdict {
    /// The verdict as alerts write it.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::ImplicitDeny { .. } => "implicit-deny",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// What decided.
    pub fn statement(&self) -> Option<&str> {
        match self {
            Self::Allow { statement } | Self::ImplicitDeny { statement, .. } => Some(statement),
            Self::Unknown { .. } => None,
        }
    }

    /// Why nothing can be said.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Unknown { why } => Some(why),
            Self::Allow { .. } | Self::ImplicitDeny { .. } => None,
        }
    }

    /// The departments that a refused model belongs to; empty otherwise.
    pub fn owners(&self) -> &[Arc<str>] {
        match self {
            Self::ImplicitDeny { owners, .. } => owners,
            Self::Allow { .. } | Self::Unknown { .. } => &[],
        }
    }
}

impl DepartmentTable {
    /// A table of departments with patterns of model ids.
    pub fn new(rows: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self { rows: rows.into_iter().map(|(name, models)| (name.into(), models)).collect() }
    }

    /// Names of all departments in the table.
    pub fn departments(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rows.iter().map(|(name, _)| name)
    }

    /// What the table says about `department` calling `model`. Patterns are matched against the canonical id and
    /// against the id as written.
    pub fn verdict(&self, department: &str, model: &Model) -> Verdict {
        let Some((name, patterns)) = self.rows.iter().find(|(name, _)| **name == *department) else {
            return Verdict::Unknown { why: format!("department \"{department}\" is not in [departments]") };
        };
        if let Some(pattern) = patterns.iter().find(|pattern| matches(pattern, model)) {
            return Verdict::Allow { statement: format!("[departments.{name}] {pattern}") };
        }
        let owners = self.rows.iter().filter(|(other, patterns)| other != name && patterns.iter().any(|p| matches(p, model)));
        Verdict::ImplicitDeny { statement: format!("[departments.{name}]"), owners: owners.map(|(owner, _)| Arc::clone(owner)).collect() }
    }

    /// Whether `department` may call `model`, without the words: `None` where nothing can be said.
    pub fn allows(&self, department: &str, model: &Model) -> Option<bool> {
        let (_, patterns) = self.rows.iter().find(|(name, _)| **name == *department)?;
        Some(patterns.iter().any(|pattern| matches(pattern, model)))
    }
}

fn matches(pattern: &str, model: &Model) -> bool {
    glob::matches(pattern, &model.id) || glob::matches(pattern, &model.as_written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::ModelMap;

    #[test]
    fn allowed_owned_by_others_and_unknown() {
        let table = DepartmentTable::new([
            ("legal".to_owned(), vec!["anthropic.claude-*".to_owned()]),
            ("marketing".to_owned(), vec!["amazon.nova-*".to_owned()]),
        ]);
        let claude = Model::parse("us.anthropic.claude-sonnet-4-6", &ModelMap::default());
        assert!(matches!(table.verdict("legal", &claude), Verdict::Allow { .. }));
        assert_eq!(table.verdict("marketing", &claude).owners(), [Arc::<str>::from("legal")]);
        assert_eq!(table.allows("marketing", &claude), Some(false));
        assert!(matches!(table.verdict("Legal", &claude), Verdict::Unknown { .. }));
        let nobodys = Model::parse("meta.llama3-70b", &ModelMap::default());
        assert!(matches!(table.verdict("legal", &nobodys), Verdict::ImplicitDeny { owners, .. } if owners.is_empty()));
    }
}
