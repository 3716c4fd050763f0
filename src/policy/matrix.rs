//! Department × model family: what the documents, or the table, would let each department call.
//!
//! A family stands for the models that documents, table and profile table name; each is asked for with `InvokeModel` in
//! the regions that the documents name. Where they do not agree the cell says "partly".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asked::{Asked, Profile};
use super::judge::PolicyBook;
use super::statement::Listed;
use super::verdict::{Decision, Verdict};
use crate::bedrock::{Model, ModelMap};
use crate::cloudtrail::Arn;

/// The region that is asked for where the documents name none.
const ANY_REGION: &str = "us-east-1";

/// What a department may do with a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// `allow`, `explicit-deny`, `implicit-deny`, `unknown`, or `partly`.
    pub verdict: &'static str,
    /// Models of the family that were asked for, and those among them that are allowed.
    pub asked: usize,
    /// Allowed models.
    pub allowed: usize,
    /// What decided, or why it cannot be told; of the first model.
    pub reason: Option<Arc<str>>,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// (department, family) → cell.
    pub cells: BTreeMap<(Arc<str>, Arc<str>), Cell>,
}

impl Matrix {
    /// The matrix of a book, with departments and model families that records have shown besides.
    pub fn of(book: &PolicyBook, extra_departments: &[Arc<str>], extra_families: &[Arc<str>]) -> Self {
        let departments: BTreeSet<Arc<str>> = book.departments().iter().chain(extra_departments).cloned().collect();
        let mut probes = probes(book);
        // A family stands for itself only where nothing better is known of it.
        let family_of = |id: &str| Model::parse(id, &ModelMap::default()).family;
        let known: BTreeSet<Arc<str>> = probes.iter().map(|(id, _)| family_of(id)).collect();
        for family in extra_families.iter().filter(|family| !known.contains(*family)) {
            probes.insert((family.to_string(), ANY_REGION.to_owned()));
        }
        let mut verdicts: BTreeMap<(Arc<str>, Arc<str>), Vec<Verdict>> = BTreeMap::new();
        for (id, region) in &probes {
            let model = Model::parse(id, &ModelMap::default());
            for department in &departments {
                let verdict = verdict(book, department, &model, region);
                verdicts.entry((Arc::clone(department), Arc::clone(&model.family))).or_default().push(verdict);
            }
        }
        Self { cells: verdicts.into_iter().map(|(key, verdicts)| (key, cell(&verdicts))).collect() }
    }

    /// All departments.
    pub fn departments(&self) -> BTreeSet<&Arc<str>> {
        self.cells.keys().map(|(department, _)| department).collect()
    }

    /// All families.
    pub fn families(&self) -> BTreeSet<&Arc<str>> {
        self.cells.keys().map(|(_, family)| family).collect()
    }
}

fn verdict(book: &PolicyBook, department: &Arc<str>, model: &Model, region: &str) -> Verdict {
    let by_table = || if book.table().is_empty() { None } else { Some(book.table().verdict(department, model)) };
    let asked = Asked {
        action: "bedrock:InvokeModel".to_owned(),
        or_action: None,
        is_certain: true,
        resource: Some(format!("arn:aws:bedrock:{region}::foundation-model/{}", model.id)),
        profile: Profile::None,
        region: region.into(),
    };
    let by_documents = book.department_verdict(department, &[asked]);
    let nobody = || Verdict::unknown("no document is attached to a role of this department");
    Verdict::first_known(by_documents, by_table).unwrap_or_else(nobody)
}

fn cell(verdicts: &[Verdict]) -> Cell {
    let allowed = verdicts.iter().filter(|verdict| verdict.decision == Decision::Allow).count();
    let first = verdicts.first();
    let agree = first.is_some_and(|first| verdicts.iter().all(|verdict| verdict.decision == first.decision));
    let verdict = match first {
        Some(first) if agree => first.decision.label(),
        _ if allowed > 0 => "partly",
        _ if verdicts.iter().any(|verdict| verdict.decision == Decision::Unknown) => Decision::Unknown.label(),
        _ => Decision::ImplicitDeny.label(),
    };
    let reason = first.and_then(|verdict| verdict.statement.clone().or_else(|| verdict.why.clone()));
    Cell { verdict, asked: verdicts.len(), allowed, reason }
}

/// Model ids with regions to ask for.
fn probes(book: &PolicyBook) -> BTreeSet<(String, String)> {
    let mut probes = BTreeSet::new();
    for statement in book.attached().documents().flat_map(|document| &document.statements) {
        let (Listed::Only(resources) | Listed::AllBut(resources)) = &statement.resources;
        for text in resources.iter().map(super::template::Template::without_wildcards) {
            let Some(arn) = Arn::parse(&text) else { continue };
            if let Some(id) = arn.resource.strip_prefix("foundation-model/").filter(|id| id.contains('.')) {
                let region = if arn.region.contains('-') { arn.region } else { ANY_REGION };
                probes.insert((id.to_owned(), region.to_owned()));
            }
        }
    }
    let of_table = book.table().patterns().map(|pattern| pattern.replace(['*', '?'], ""));
    // "stability." alone names no family.
    probes.extend(of_table.filter(|id| id.contains('.') && !id.ends_with('.')).map(|id| (id, ANY_REGION.to_owned())));
    probes.extend(book.profiles().models().filter(|id| *id != "*").map(|id| (id.to_owned(), ANY_REGION.to_owned())));
    probes
}
