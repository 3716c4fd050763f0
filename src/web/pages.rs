//! The pages: plain HTML from templates, which escape everything; what is not ours is cleaned before.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;

use super::View;
use super::api::{self, MatrixCell};
use super::incidents::{IncidentRow, Step, actors, alerts_of, choices, incidents, row, runbooks, steps, to_do};
use crate::alerting::Silence;
use crate::alerting::message::{Links, clean};
use crate::finding::Digest128;
use crate::state::AccessRow;
use crate::stats::grouped;
use crate::time::spoken;

/// Incidents that one page shows.
const INCIDENTS_SHOWN: usize = 100;
/// Departments and families that one page shows.
const MATRIX_MAX: usize = 60;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    here: &'static str,
    incidents: Vec<IncidentRow>,
    more: usize,
    troubles: Vec<String>,
    tiles: Vec<(&'static str, String)>,
    learning: Option<String>,
    behind: String,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct Incident {
    here: &'static str,
    incident: IncidentRow,
    steps: Vec<Step>,
    to_do: Vec<String>,
    runbooks: Vec<(String, String)>,
    choices: Vec<(&'static str, String, bool)>,
    /// Its actors: key and name.
    actors: Vec<(String, String)>,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "departments.html")]
struct Departments {
    here: &'static str,
    families: Vec<String>,
    departments: Vec<(String, Vec<Cell>)>,
    unlinked: usize,
}

/// A cell of the matrix.
#[derive(Clone)]
struct Cell {
    class: &'static str,
    calls: String,
    said: &'static str,
    reason: String,
}

#[derive(Template)]
#[template(path = "silences.html")]
struct Silences {
    here: &'static str,
    silences: Vec<SilenceRow>,
    can_change: bool,
}

struct SilenceRow {
    id: String,
    about: String,
    until: String,
    reason: String,
    author: String,
    is_configured: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Plain<'a> {
    here: &'static str,
    title: &'a str,
    text: &'a str,
}

/// The incidents, and whether geophone itself is well.
pub(super) fn overview(view: &View) -> String {
    let (incidents, open) = incidents(view, INCIDENTS_SHOWN);
    let lag = view.now.since(view.gauges.watermark);
    let behind = if lag > 0 && lag < 10 * 365 * 86_400 { spoken(lag) } else { "–".to_owned() };
    let (counted, needed) = view.gauges.baseline_days;
    let page = Overview {
        here: "incidents",
        more: open - incidents.len(),
        incidents,
        troubles: view.troubles.iter().map(|trouble| clean(trouble)).collect(),
        tiles: vec![
            ("incidents", open.to_string()),
            ("events", thousands(view.events)),
            ("events a second", format!("{:.1}", view.rate)),
            ("Bedrock calls", thousands(view.invocations)),
            ("actors", thousands(view.gauges.tables.actors as u64)),
            ("calls waiting for STS", thousands(view.gauges.held as u64)),
            ("messages to deliver", thousands(view.outbox as u64)),
            ("silences", view.silences.len().to_string()),
            ("behind", behind.clone()),
        ],
        learning: (counted < needed).then(|| {
            format!("Spikes and spending are not judged yet: {counted} of {needed} days are counted. `geophone warm` learns from history.")
        }),
        behind,
    };
    html(&page)
}

#[derive(Template)]
#[template(path = "event.html")]
struct Event<'a> {
    here: &'static str,
    id: &'a str,
    record: String,
}

/// The record of an event.
pub(super) fn event(id: &str, record: &serde_json::Value) -> String {
    // Every value is a text, a number or a list of those: nothing that JSON cannot say.
    let record = serde_json::to_string_pretty(record).unwrap_or_default();
    let record = record.lines().map(|line| clean(line) + "\n").collect();
    html(&Event { here: "incidents", id: &clean(id), record })
}

/// One incident; `None` where none of this id is open.
pub(super) fn incident(view: &View, id: Digest128, links: &Links, can_change: bool) -> Option<String> {
    let alerts = alerts_of(view, id);
    let page = Incident {
        here: "incidents",
        incident: row(&alerts, view)?,
        steps: steps(&alerts),
        to_do: to_do(&alerts),
        runbooks: runbooks(&alerts, links),
        choices: choices(&alerts),
        actors: actors(&alerts),
        can_change,
    };
    Some(html(&page))
}

/// Departments × model families.
pub(super) fn departments(view: &View, rows: &[AccessRow], unlinked: usize) -> String {
    let cells = api::cells(&view.policy, rows);
    let names = |of: fn(&MatrixCell) -> &Arc<str>| {
        let mut names: Vec<&Arc<str>> = cells.iter().map(of).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(MATRIX_MAX);
        names
    };
    let (departments, families) = (names(|cell| &cell.department), names(|cell| &cell.family));
    let by_place: HashMap<(&str, &str), &MatrixCell> = cells.iter().map(|cell| ((&*cell.department, &*cell.family), cell)).collect();
    let cell = |department: &str, family: &str| {
        let found = by_place.get(&(department, family)).copied();
        found.map_or(Cell { class: "none", calls: String::new(), said: "", reason: String::new() }, cell_of)
    };
    let page = Departments {
        here: "departments",
        departments: departments
            .iter()
            .map(|department| (clean(department), families.iter().map(|family| cell(department, family)).collect()))
            .collect(),
        families: families.iter().map(|family| clean(family)).collect(),
        unlinked,
    };
    html(&page)
}

fn cell_of(cell: &MatrixCell) -> Cell {
    let [success, denied, throttled, failed, _] = cell.calls.numbers();
    let (class, said) = match (cell.note, cell.verdict) {
        (Some("used-not-granted"), _) => ("wrong", "used, not granted"),
        (Some("granted-never-used"), _) => ("unused", "never used"),
        (_, "allow" | "partly") => ("used", "granted"),
        (_, "implicit-deny" | "explicit-deny") if denied > 0 => ("refused", "refused"),
        (_, "implicit-deny" | "explicit-deny") => ("none", ""),
        _ if cell.calls.any() => ("open", "policy unknown"),
        _ => ("none", ""),
    };
    let calls = success + throttled + failed;
    let calls = if class == "refused" { denied } else { calls };
    Cell { class, calls: thousands(calls), said, reason: cell.reason.as_deref().map(clean).unwrap_or_default() }
}

/// Silences in effect.
pub(super) fn silences(view: &View, can_change: bool) -> String {
    let row = |silence: &Silence| SilenceRow {
        id: silence.id.to_string(),
        about: clean(&silence.scope.spoken()),
        until: silence.until.to_string(),
        reason: clean(&silence.reason),
        author: clean(&silence.author),
        is_configured: silence.is_configured,
    };
    html(&Silences { here: "silences", silences: view.silences.iter().map(row).collect(), can_change })
}

/// A page that says one thing.
pub(super) fn message(title: &str, text: &str) -> String {
    html(&Plain { here: "", title, text })
}

pub(super) fn html(page: &impl Template) -> String {
    // Strings and numbers: nothing in the templates can fail.
    page.render().unwrap_or_default()
}

/// Digits in threes, parted by a narrow space that does not break.
pub(super) fn thousands(number: u64) -> String {
    grouped(number, '\u{202f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped() {
        let view = View { troubles: vec!["<script>alert('x')</script>\u{202e}".into()], ..View::default() };
        let page = overview(&view);
        assert!(!page.contains("<script>alert") && !page.contains('\u{202e}') && page.contains("&#60;script&#62;"), "{page}");
        let rows = [AccessRow { department: "<b>".into(), family: "\"&'".into(), counts: [1_234_567, 0, 0, 0], tokens: 0 }];
        let page = departments(&view, &rows, 3);
        assert!(!page.contains("<b>&") && page.contains("&#60;b&#62;") && page.contains("1\u{202f}234\u{202f}567"), "{page}");
    }
}
