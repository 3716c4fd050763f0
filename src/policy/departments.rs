//! A plain table of which department owns which models: `[departments.legal] models = ["anthropic.claude-*"]`.
//!
//! It stands in where no IAM documents are given, and says whose a model is where the documents cannot.
//!
//! **Invariant:** what the table does not say is Unknown, never allowed and never denied.

use std::sync::Arc;

use super::verdict::{Decision, Verdict};
use crate::bedrock::Model;
use crate::glob;

/// Departments with the models that are theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepartmentTable {
    rows: Vec<(Arc<str>, Vec<String>)>,
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

    /// Whether the table says nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the table says about `department` calling `model`. Patterns are matched against the canonical id and
    /// against the id as written.
    pub fn verdict(&self, department: &str, model: &Model) -> Verdict {
        let Some((name, patterns)) = self.rows.iter().find(|(name, _)| **name == *department) else {
            return Verdict::unknown(format!("department \"{department}\" is not in [departments]"));
        };
        match patterns.iter().find(|pattern| matches(pattern, model)) {
            Some(pattern) => {
                let statement = format!("[departments.{name}] {pattern}");
                Verdict { decision: Decision::Allow, statement: Some(statement.into()), why: None }
            }
            None => Verdict {
                decision: Decision::ImplicitDeny,
                statement: Some(format!("[departments.{name}]").into()),
                why: Some("no pattern of it matches".into()),
            },
        }
    }

    /// All patterns of all rows.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().flat_map(|(_, patterns)| patterns).map(String::as_str)
    }

    /// Departments whose rows list `model`.
    pub fn owners<'t>(&'t self, model: &'t Model) -> impl Iterator<Item = &'t Arc<str>> {
        self.rows.iter().filter(|(_, patterns)| patterns.iter().any(|pattern| matches(pattern, model))).map(|(name, _)| name)
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
        let nobodys = Model::parse("meta.llama3-70b", &ModelMap::default());
        for (department, model, decision) in [
            ("legal", &claude, Decision::Allow),
            ("marketing", &claude, Decision::ImplicitDeny),
            ("Legal", &claude, Decision::Unknown),
            ("legal", &nobodys, Decision::ImplicitDeny),
        ] {
            assert_eq!(table.verdict(department, model).decision, decision, "{department} {}", model.id);
        }
        assert_eq!(table.owners(&claude).collect::<Vec<_>>(), [&Arc::<str>::from("legal")]);
        assert_eq!(table.owners(&nobodys).count(), 0);
    }
}
