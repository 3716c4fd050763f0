//! Whether geophone itself is well: what it reads and how far behind, whom it could attribute, how full it is.

use askama::Template;
use serde_json::json;

use super::View;
use super::pages::{html, thousands};
use crate::alerting::message::clean;
use crate::time::spoken;

/// Shards that one page shows, the ones furthest behind first.
const SHARDS_SHOWN: usize = 200;
/// A shard that is further behind than this is marked, in milliseconds.
const BEHIND: i64 = 5 * 60 * 1_000;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    here: &'static str,
    troubles: Vec<String>,
    tiles: Vec<(&'static str, String)>,
    shards: Vec<(String, String, &'static str)>,
    more: usize,
    attribution: Vec<(&'static str, String, String)>,
    tables: Vec<(&'static str, String, String)>,
}

/// The page.
pub(super) fn page(view: &View) -> String {
    let mut shards: Vec<&(String, i64)> = view.shards.iter().collect();
    shards.sort_by_key(|(name, behind)| (std::cmp::Reverse(*behind), name.clone()));
    let more = shards.len().saturating_sub(SHARDS_SHOWN);
    let row = |(name, behind): &&(String, i64)| {
        let mark = if *behind > BEHIND { "wrong" } else { "" };
        (clean(name), if *behind < 1_000 { "at its end".to_owned() } else { format!("{} behind", spoken(*behind / 1_000)) }, mark)
    };
    let gauges = &view.gauges;
    let (counted, needed) = gauges.baseline_days;
    let page = Page {
        here: "fleet",
        troubles: view.troubles.iter().map(|trouble| clean(trouble)).collect(),
        tiles: vec![
            ("events a second", format!("{:.1}", view.rate)),
            ("shards", thousands(view.shards.len() as u64)),
            ("department known", share(view.attributed.department, calls(view))),
            ("person known", share(view.attributed.person, calls(view))),
            ("messages to deliver", thousands(view.outbox as u64)),
            ("silences", view.silences.len().to_string()),
            ("days learned", format!("{counted} of {needed}")),
        ],
        shards: shards.iter().take(SHARDS_SHOWN).map(row).collect(),
        more,
        attribution: attribution(view),
        tables: [
            ("actors", gauges.tables.actors, gauges.tables.actors_evicted + gauges.tables.newcomers_evicted),
            ("credentials", gauges.tables.credentials, gauges.tables.credentials_evicted),
            ("sessions (grants)", gauges.grants, gauges.grants_evicted),
            ("calls waiting for their session", gauges.held, 0),
            ("open alerts", gauges.open_alerts, gauges.resolved_early),
        ]
        .map(|(name, held, lost)| (name, thousands(held as u64), thousands(lost)))
        .into(),
    };
    html(&page)
}

/// Calls whose department is settled, known or not.
fn calls(view: &View) -> u64 {
    view.attributed.department + view.attributed.unknown.iter().map(|(_, calls)| calls).sum::<u64>()
}

fn share(part: u64, all: u64) -> String {
    if all == 0 { "–".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / all as f64) }
}

fn attribution(view: &View) -> Vec<(&'static str, String, String)> {
    let all = calls(view);
    let known = std::iter::once(("known", view.attributed.department));
    let mut unknown = view.attributed.unknown.clone();
    unknown.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    known.chain(unknown).map(|(why, calls)| (why, thousands(calls), share(calls, all))).collect()
}

/// `/api/v1/fleet`.
pub(super) fn json(view: &View) -> String {
    let shard = |(name, behind): &(String, i64)| json!({"shard": name, "millis_behind_latest": behind});
    let unknown: serde_json::Map<_, _> = view.attributed.unknown.iter().map(|(why, calls)| ((*why).to_owned(), json!(calls))).collect();
    let value = json!({
        "ready": view.is_ready,
        "now": view.now.to_string(),
        "events": view.events,
        "invocations": view.invocations,
        "events_per_second": view.rate,
        "shards": view.shards.iter().map(shard).collect::<Vec<_>>(),
        "attributed": {"person": view.attributed.person, "department": view.attributed.department, "unknown": unknown},
        "actors": view.gauges.tables.actors,
        "held": view.gauges.held,
        "outbox": view.outbox,
        "open_alerts": view.gauges.open_alerts,
        "silences": view.silences.len(),
        "troubles": view.troubles,
    });
    value.to_string() + "\n"
}
