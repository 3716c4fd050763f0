//! `geophone policy matrix`: department × model family × verdict, from the configuration alone.

use std::path::Path;

use super::output::{say, say_text};
use super::{Exit, Failure, Format, Loaded, load};
use crate::policy::Matrix;

/// Prints the matrix of the policies of a configuration.
pub fn matrix(config: &Path, format: Format) -> Result<Exit, Failure> {
    let Loaded { settings, notices, .. } = load(config)?;
    notices.iter().for_each(|notice| eprintln!("warning: {notice}"));
    let book = &settings.engine.policy;
    if book.is_empty() {
        return Err(Failure::new(
            Exit::Configuration,
            format_args!("{}: neither [policy] documents nor [departments]; add one", config.display()),
        ));
    }
    let members = settings.engine.directory.members().filter_map(|member| member.department.clone());
    let departments: Vec<_> = members.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let matrix = Matrix::of(book, &departments, &[]);
    match format {
        Format::Text => say_text(text(&matrix)),
        Format::Ndjson => {
            for ((department, family), cell) in &matrix.cells {
                let line = serde_json::json!({"department": department, "family": family, "verdict": cell.verdict,
                    "models": cell.asked, "allowed": cell.allowed, "reason": cell.reason});
                say(&line);
            }
        }
    }
    Ok(Exit::Ok)
}

/// A table with a row for each department and a column for each family that anybody may call, or is denied for certain.
fn text(matrix: &Matrix) -> String {
    let families: Vec<_> = matrix
        .families()
        .into_iter()
        .filter(|family| matrix.cells.iter().any(|((_, of), cell)| of == *family && cell.verdict != "implicit-deny"))
        .collect();
    let width = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0).max(4) + 2;
    let first = width(&mut matrix.departments().iter().map(|name| name.chars().count()).chain([10]));
    let widths: Vec<usize> = families.iter().map(|family| width(&mut [family.chars().count(), 14].into_iter())).collect();
    let mut out = format!("{:first$}", "department");
    families.iter().zip(&widths).for_each(|(family, width)| out += &format!("{family:width$}"));
    out = out.trim_end().to_owned() + "\n";
    for department in matrix.departments() {
        let mut line = format!("{department:first$}");
        for (family, width) in families.iter().zip(&widths) {
            let cell = matrix.cells.get(&(std::sync::Arc::clone(department), std::sync::Arc::clone(family)));
            let said = cell.map_or("–".to_owned(), |cell| match cell.verdict {
                "partly" => format!("{} of {}", cell.allowed, cell.asked),
                verdict => verdict.to_owned(),
            });
            line += &format!("{said:width$}");
        }
        out += line.trim_end();
        out.push('\n');
    }
    let hidden = matrix.families().len() - families.len();
    if hidden > 0 {
        out += &format!("{hidden} more model families that no department may call\n");
    }
    out
}
