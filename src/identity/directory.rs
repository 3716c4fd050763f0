//! The directory file: people that the company knows, with their departments.
//!
//! CSV with a header, or a JSON list of objects, with the columns `person` (required), `user_pool_sub`,
//! `cognito_identity_id`, `other_ids` (ARNs of IAM users, SAML subjects, Identity Center user ids; separated by blanks),
//! `department`, `clearance`, `group`, `manager`. Later rows do not replace earlier ones: a
//! duplicate is an error that names both lines.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most people that a directory may list.
const PEOPLE_MAX: usize = 2_000_000;

/// A person of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name that alerts show.
    pub person: Arc<str>,
    /// The department, where the file has one.
    pub department: Option<Arc<str>>,
    /// The clearance, where the file has one. Policies are judged by the session's tags alone.
    pub clearance: Option<Arc<str>>,
    /// The group, where the file has one.
    pub group: Option<Arc<str>>,
    /// Whom on-call can ask.
    pub manager: Option<Arc<str>>,
    /// The person's name and ids, as records write them.
    pub ids: Vec<Arc<str>>,
}

/// Everybody, found by any of their ids.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    by_id: HashMap<String, Arc<Member>>,
    people: usize,
}

/// Something wrong in a directory file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The file cannot be read as CSV or JSON.
    #[error("{0}")]
    Malformed(String),
    /// A row without a person.
    #[error("row {row}: no person")]
    NoPerson {
        /// Counted from 1, without the header.
        row: usize,
    },
    /// One id that two people claim.
    #[error("row {row}: id \"{id}\" is already {other}'s")]
    Duplicate {
        /// Counted from 1, without the header.
        row: usize,
        /// The id in question.
        id: String,
        /// Whose it is.
        other: String,
    },
    /// No rows at all: cut off, or the wrong file.
    #[error("lists nobody")]
    Empty,
    /// Too many rows.
    #[error("more than {PEOPLE_MAX} people")]
    TooMany,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    person: Option<String>,
    user_pool_sub: Option<String>,
    cognito_identity_id: Option<String>,
    other_ids: Option<String>,
    department: Option<String>,
    clearance: Option<String>,
    group: Option<String>,
    manager: Option<String>,
}

impl Directory {
    /// Reads a directory from the text of a file: JSON where it begins with `[`, else CSV.
    ///
    /// # Errors
    /// Every bad row is reported; the good ones are not used then, since a half-read directory attributes wrongly.
    pub fn parse(text: &str) -> Result<Self, Vec<DirectoryError>> {
        let text = text.trim_start_matches('\u{feff}');
        let rows: Result<Vec<Row>, String> = if text.trim_start().starts_with('[') {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            csv::ReaderBuilder::new()
                .trim(csv::Trim::All)
                .from_reader(text.as_bytes())
                .deserialize()
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())
        };
        let rows = rows.map_err(|error| vec![DirectoryError::Malformed(error)])?;
        if rows.len() > PEOPLE_MAX {
            return Err(vec![DirectoryError::TooMany]);
        }
        if rows.is_empty() {
            return Err(vec![DirectoryError::Empty]);
        }
        let (mut directory, mut errors) = (Self::default(), Vec::new());
        for (index, row) in rows.into_iter().enumerate() {
            directory.add(index + 1, row, &mut errors);
        }
        if errors.is_empty() { Ok(directory) } else { Err(errors) }
    }

    fn add(&mut self, row: usize, entry: Row, errors: &mut Vec<DirectoryError>) {
        let Some(person) = entry.person.filter(|person| !person.is_empty()) else {
            return errors.push(DirectoryError::NoPerson { row });
        };
        let some = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Arc::<str>::from);
        let mut ids: Vec<String> = std::iter::once(person.clone()).chain(entry.user_pool_sub).chain(entry.cognito_identity_id).collect();
        ids.extend(entry.other_ids.unwrap_or_default().split_whitespace().map(str::to_owned));
        ids.retain(|id| !id.is_empty());
        let person = person.into();
        let member = Arc::new(Member {
            person,
            department: some(entry.department),
            clearance: some(entry.clearance),
            group: some(entry.group),
            manager: some(entry.manager),
            ids: ids.iter().map(|id| id.as_str().into()).collect(),
        });
        for id in ids {
            match self.by_id.get(&id) {
                Some(other) if other != &member => {
                    errors.push(DirectoryError::Duplicate { row, id, other: other.person.to_string() });
                }
                Some(_) => {}
                None => {
                    self.by_id.insert(id, Arc::clone(&member));
                }
            }
        }
        self.people += 1;
    }

    /// The person with this name, user-pool sub or Cognito identity id.
    pub fn find(&self, id: &str) -> Option<&Arc<Member>> {
        self.by_id.get(id)
    }

    /// Everybody, once, in no order.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.by_id.iter().filter(|(id, member)| **id == *member.person).map(|(_, member)| member)
    }

    /// How many people the directory lists.
    pub fn people(&self) -> usize {
        self.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_json_say_the_same() {
        let csv = "person,user_pool_sub,cognito_identity_id,department,manager\nalice@example.com, sub-1,us-east-1:id-1,legal,bob\n";
        let json =
            r#"[{"person":"alice@example.com","user_pool_sub":"sub-1","cognito_identity_id":"us-east-1:id-1","department":"legal"}]"#;
        for text in [csv, json] {
            let directory = Directory::parse(text).expect("a directory");
            for id in ["alice@example.com", "sub-1", "us-east-1:id-1"] {
                assert_eq!(directory.find(id).and_then(|m| m.department.as_deref()), Some("legal"), "{id}");
            }
            assert_eq!(directory.people(), 1);
        }
    }

    #[test]
    fn every_bad_row_is_named() {
        let errors = Directory::parse("person,user_pool_sub,department\na,1,x\n,2,x\nb,1,y\na,3,z\n").expect_err("errors");
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(matches!(&errors[1], DirectoryError::Duplicate { row: 3, id, .. } if id == "1"));
        assert!(Directory::parse("name\nx\n").is_err());
        assert!(Directory::parse("[{\"person\":1}]").is_err());
    }
}
