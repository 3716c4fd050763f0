//! `/api/v1`: the same as the page, for programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::View;
use crate::alerting::Silence;
use crate::alerting::acknowledged::Acknowledgement;
use crate::policy::{Matrix, PolicyBook};
use crate::state::AccessRow;

/// One cell of department × model family: what policy says, and what was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixCell {
    /// The department, or in brackets why it is unknown.
    pub department: Arc<str>,
    /// The model family.
    pub family: Arc<str>,
    /// `allow`, `explicit-deny`, `implicit-deny`, `unknown` or `partly`.
    pub verdict: &'static str,
    /// Models of the family that policy was asked about, and those that it allows.
    pub models: [usize; 2],
    /// What decided, or why it cannot be told.
    pub reason: Option<Arc<str>>,
    /// Calls that succeeded, were refused, throttled, failed, since the start.
    pub calls: Calls,
    /// `granted-never-used`, `used-not-granted`, or nothing.
    pub note: Option<&'static str>,
}

/// Calls by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    success: u64,
    denied: u64,
    throttled: u64,
    failed: u64,
    tokens: u64,
}

impl Calls {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.success + self.denied + self.throttled + self.failed > 0
    }

    /// Succeeded, refused, throttled, failed, tokens.
    pub const fn numbers(&self) -> [u64; 5] {
        [self.success, self.denied, self.throttled, self.failed, self.tokens]
    }
}

/// All cells, by department and family.
pub fn cells(book: &PolicyBook, rows: &[AccessRow]) -> Vec<MatrixCell> {
    let is_known = |name: &str| !name.starts_with('(');
    let departments: Vec<Arc<str>> = rows.iter().map(|row| Arc::clone(&row.department)).filter(|name| is_known(name)).collect();
    let families: Vec<Arc<str>> = rows.iter().map(|row| Arc::clone(&row.family)).filter(|family| family.contains('.')).collect();
    let matrix = Matrix::of(book, &departments, &families);
    let mut unlisted: BTreeMap<(Arc<str>, Arc<str>), &AccessRow> =
        rows.iter().map(|row| ((Arc::clone(&row.department), Arc::clone(&row.family)), row)).collect();
    let mut cells: Vec<MatrixCell> = matrix
        .cells
        .into_iter()
        .map(|(key, cell)| {
            let calls = unlisted.remove(&key).map(calls).unwrap_or_default();
            let (department, family) = key;
            let note = note(cell.verdict, &calls);
            let models = [cell.asked, cell.allowed];
            MatrixCell { department, family, verdict: cell.verdict, models, reason: cell.reason, calls, note }
        })
        .collect();
    cells.extend(unlisted.into_values().map(unjudged));
    cells.sort_by(|a, b| (&a.department, &a.family).cmp(&(&b.department, &b.family)));
    cells
}

fn calls(row: &AccessRow) -> Calls {
    let [success, denied, throttled, failed] = row.counts;
    Calls { success, denied, throttled, failed, tokens: row.tokens }
}

fn note(verdict: &str, calls: &Calls) -> Option<&'static str> {
    match verdict {
        "allow" | "partly" if calls.success + calls.throttled + calls.failed == 0 => Some("granted-never-used"),
        "implicit-deny" | "explicit-deny" if calls.success > 0 => Some("used-not-granted"),
        _ => None,
    }
}

/// Calls of nobody's department, or of a model that no record names: policy has no word on them.
fn unjudged(row: &AccessRow) -> MatrixCell {
    MatrixCell {
        department: Arc::clone(&row.department),
        family: Arc::clone(&row.family),
        verdict: "unknown",
        models: [0, 0],
        reason: None,
        calls: calls(row),
        note: None,
    }
}

#[derive(Serialize)]
struct Answer<T> {
    cells: T,
}

#[derive(Serialize)]
struct Unlinked<'a> {
    people: usize,
    unlinked: Vec<UnlinkedPerson<'a>>,
}

#[derive(Serialize)]
struct UnlinkedPerson<'a> {
    id: &'a str,
    calls: u64,
}

/// `/api/v1/matrix`.
pub(super) fn matrix(book: &PolicyBook, rows: &[AccessRow]) -> String {
    json(&Answer { cells: cells(book, rows) })
}

/// `/api/v1/alerts` and `/api/v1/alerts/ID`: open alerts whose id begins so, a line each, in the form of `replay`.
pub(super) fn alerts(view: &View, id: &str) -> String {
    let wanted = view.alerts.iter().filter(|alert| alert.alert_id.to_string().starts_with(id));
    wanted.map(|alert| alert.to_ndjson() + "\n").collect()
}

#[derive(Serialize)]
struct SilenceLine<'a> {
    id: String,
    detector: Option<&'a str>,
    actor: Option<&'a str>,
    department: Option<&'a str>,
    model: Option<&'a str>,
    author: &'a str,
    reason: &'a str,
    from: String,
    until: String,
    configured: bool,
}

impl<'a> SilenceLine<'a> {
    fn of(silence: &'a Silence) -> Self {
        let scope = &silence.scope;
        Self {
            id: silence.id.to_string(),
            detector: scope.detector.as_deref(),
            actor: scope.actor.as_deref(),
            department: scope.department.as_deref(),
            model: scope.model.as_deref(),
            author: &silence.author,
            reason: &silence.reason,
            from: silence.from.to_string(),
            until: silence.until.to_string(),
            configured: silence.is_configured,
        }
    }
}

/// One silence.
pub(super) fn silence(silence: &Silence) -> String {
    json(&SilenceLine::of(silence))
}

/// `/api/v1/silences`: those that have not ended, the next to end first.
pub(super) fn silences(view: &View) -> String {
    json(&serde_json::json!({"silences": view.silences.iter().map(SilenceLine::of).collect::<Vec<_>>()}))
}

#[derive(Serialize)]
struct AcknowledgementLine<'a> {
    incident_id: String,
    author: &'a str,
    remark: &'a str,
    at: String,
    usual: bool,
}

impl<'a> AcknowledgementLine<'a> {
    fn of(said: &'a Acknowledgement) -> Self {
        let Acknowledgement { incident, author, remark, at, is_usual } = said;
        Self { incident_id: incident.to_string(), author, remark, at: at.to_string(), usual: *is_usual }
    }
}

/// One acknowledgement.
pub(super) fn acknowledgement(said: &Acknowledgement) -> String {
    json(&AcknowledgementLine::of(said))
}

/// `/api/v1/acknowledgements`: the open incidents that somebody has in hand.
pub(super) fn acknowledgements(view: &View) -> String {
    json(&serde_json::json!({"acknowledgements": view.acknowledged.iter().map(AcknowledgementLine::of).collect::<Vec<_>>()}))
}

/// What went wrong.
pub(super) fn error(text: &str) -> String {
    json(&serde_json::json!({"error": text}))
}

/// `/api/v1/unlinked`: people with calls whom the directory does not list, most calls first.
pub(super) fn unlinked(people: &[(Arc<str>, u64)]) -> String {
    const SHOWN: usize = 1_000;
    let unlinked = people.iter().take(SHOWN).map(|(id, calls)| UnlinkedPerson { id, calls: *calls }).collect();
    json(&Unlinked { people: people.len(), unlinked })
}

fn json(value: &impl Serialize) -> String {
    // Names and numbers: nothing that JSON cannot say.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DepartmentTable;

    #[test]
    fn granted_and_used_are_compared() {
        let table = DepartmentTable::new([
            ("legal".to_owned(), vec!["anthropic.claude-*".to_owned()]),
            ("marketing".to_owned(), vec!["amazon.nova-*".to_owned()]),
        ]);
        let row = |department: &str, family: &str, success| AccessRow {
            department: department.into(),
            family: family.into(),
            counts: [success, 1, 0, 0],
            tokens: 9,
        };
        let rows = [row("marketing", "anthropic.claude", 3), row("marketing", "amazon.nova", 5), row("(root)", "other", 1)];
        let cells = cells(&PolicyBook::of_table(table), &rows);
        let told = |department: &str, family: &str| {
            let cell = cells.iter().find(|cell| *cell.department == *department && *cell.family == *family);
            cell.map(|cell| (cell.verdict, cell.note, cell.calls.success))
        };
        assert_eq!(told("marketing", "anthropic.claude"), Some(("implicit-deny", Some("used-not-granted"), 3)));
        assert_eq!(told("marketing", "amazon.nova"), Some(("allow", None, 5)));
        assert_eq!(told("legal", "anthropic.claude"), Some(("allow", Some("granted-never-used"), 0)));
        assert_eq!(told("legal", "amazon.nova"), Some(("implicit-deny", None, 0)));
        assert_eq!(told("(root)", "other"), Some(("unknown", None, 1)));
        assert_eq!(told("(root)", "anthropic.claude"), None);
    }
}
