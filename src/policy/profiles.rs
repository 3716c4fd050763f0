//! Inference profiles: to which regions and models they lead.
//!
//! A call of a cross-region inference profile must be allowed for the profile and for the foundation model in every
//! region that it may be sent to ("Prerequisites for inference profiles" in the Bedrock User Guide). AWS adds regions and
//! models all the time, so the table is data with a date ([`TABLE`]), and a company may give its own.

use std::collections::HashMap;
use std::sync::Arc;

/// The table that is shipped. See its head for date and source.
pub const TABLE: &str = include_str!("inference-profiles.csv");

/// One profile as seen from one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Regions that a call may be sent to; an empty name is the region-less ARN of global profiles.
    pub regions: Vec<Arc<str>>,
    /// Whether the row is about this very model: rows of a whole area are what most of its models do.
    pub is_certain: bool,
}

/// Areas with the regions that calls from each of their regions may be sent to, and models that differ from their area.
#[derive(Clone, Debug, Default)]
pub struct ProfileTable {
    /// (area, model id or `*`, source region or `*`) → destinations.
    rows: HashMap<(String, String, String), Arc<Route>>,
    /// `# date: 2026-10-01`.
    date: Option<String>,
}

/// A mistake in a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; write area,model,source,destinations, with | between destinations")]
pub struct TableError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl ProfileTable {
    /// The table that is shipped.
    pub fn shipped() -> Self {
        // A test reads the shipped table; an unreadable one would say Unknown of every profile.
        Self::parse(TABLE).unwrap_or_default()
    }

    /// Reads a table: `area,model,source,destinations` a line, with `#` before remarks.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if let Some(date) = line.strip_prefix("# date:") {
                table.date = Some(date.trim().to_owned());
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [area, model, source, destinations] = fields[..] else {
                return Err(TableError { line: line_number, what: format!("{} fields", fields.len()) });
            };
            if [area, model, source, destinations].iter().any(|field| field.is_empty()) {
                return Err(TableError { line: line_number, what: "an empty field".to_owned() });
            }
            // "none" stands for the ARN without a region.
            let regions = destinations.split('|').map(|region| if region == "none" { "" } else { region }.into()).collect();
            table.rows.insert(
                (area.to_owned(), model.to_owned(), source.to_owned()),
                Arc::new(Route { regions, is_certain: model != "*" || area == "global" }),
            );
        }
        Ok(table)
    }

    /// All models that it lists.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(|(_, model, _)| model.as_str())
    }

    /// When the table was made.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Where a call of `area.model` from `region` may be sent: the row of the model and region, else of the model, else of
    /// the area. `None` where the table does not know.
    pub fn route(&self, area: &str, model: &str, region: &str) -> Option<&Arc<Route>> {
        let key = |model: &str, source: &str| (area.to_owned(), model.to_owned(), source.to_owned());
        [(model, region), (model, "*"), ("*", region), ("*", "*")]
            .into_iter()
            .find_map(|(model, source)| self.rows.get(&key(model, source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_is_readable_and_dated() {
        let table = ProfileTable::parse(TABLE).expect("a table");
        assert!(table.date().is_some_and(|date| date.len() == 10));
        let regions =
            |area: &str, region| table.route(area, "anthropic.claude-3-sonnet-20240229-v1:0", region).map(|route| route.regions.clone());
        assert_eq!(regions("us", "us-east-1").map(|regions| regions.contains(&"us-west-2".into())), Some(true));
        assert_eq!(regions("global", "eu-west-1"), Some(vec!["source".into(), "".into()]));
        assert_eq!(regions("xx", "eu-west-1"), None);
    }

    #[test]
    fn mistakes_have_their_line() {
        assert_eq!(ProfileTable::parse("# x\nus,*,*\n").map_err(|error| error.line).err(), Some(2));
        assert_eq!(ProfileTable::parse("us,*,,a\n").map_err(|error| error.line).err(), Some(1));
        assert!(ProfileTable::parse("").is_ok());
    }
}
