//! One actor: four weeks of it, today hour by hour beside what the baseline expects, and its open incidents.

use askama::Template;
use serde_json::json;

use super::View;
use super::incidents::{IncidentRow, rows_of};
use super::pages::{html, thousands};
use crate::alerting::message::clean;
use crate::engine::portrait::Portrait;
use crate::finding::{History, HistoryUnit};
use crate::stats::sparkline;
use crate::time::{DAY, EventTime};

#[derive(Template)]
#[template(path = "actor.html")]
struct Page {
    here: &'static str,
    name: String,
    kind: &'static str,
    facts: Vec<(&'static str, String)>,
    plots: Vec<Plot>,
    hours: Vec<(String, String, String, &'static str)>,
    day: String,
    incidents: Vec<IncidentRow>,
}

/// A line of blocks with what it says in words.
struct Plot {
    title: String,
    blocks: String,
    label: String,
}

#[derive(Template)]
#[template(path = "find.html")]
struct Find {
    here: &'static str,
}

/// Asks whom to show.
pub(super) fn ask() -> String {
    html(&Find { here: "actor" })
}

/// An actor's page.
pub(super) fn page(portrait: &Portrait, view: &View) -> String {
    let key = &portrait.actor;
    let page = Page {
        here: "actor",
        name: clean(&key.name),
        kind: key.kind.label(),
        facts: facts(portrait),
        plots: plots(portrait),
        hours: hours(portrait),
        day: portrait.last.to_string()[..10].to_owned(),
        incidents: rows_of(view, |alert| alert.who.actor == *key),
    };
    html(&page)
}

fn facts(portrait: &Portrait) -> Vec<(&'static str, String)> {
    let moment = &portrait.moment;
    let several = |(name, count)| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let known: Vec<String> = ["network", "region", "model", "client"].into_iter().zip(portrait.known).map(several).collect();
    let learned = match moment.days {
        0 => "nothing yet: judged by its department alone".to_owned(),
        1 => "1 active day".to_owned(),
        days => format!("{days} active days"),
    };
    vec![
        ("Department", portrait.department.as_deref().map_or_else(|| "unknown".to_owned(), clean)),
        ("Learned", learned),
        ("Latest call", portrait.last.to_string()),
        ("Calls", format!("{} since it is known", thousands(portrait.calls))),
        ("In that hour", format!("{} calls, {:.1} expected", thousands(u64::from(moment.calls[2])), moment.expected[1])),
        ("Known to use", known.join(", ")),
        ("Standing", if portrait.is_settled { "settled" } else { "newcomer: active in one five-minute interval so far" }.to_owned()),
    ]
}

fn plots(portrait: &Portrait) -> Vec<Plot> {
    let of_days = |history: &History| {
        let (blocks, highest) = history.plot();
        let (days, unit) = (history.busiest_hours.len(), history.unit.label());
        let highest = match history.unit {
            HistoryUnit::Calls => format!("{highest:.0}"),
            HistoryUnit::Dollars => format!("{highest:.2}"),
        };
        let label = format!("{days} days, highest {highest} {unit} in an hour");
        Plot { title: format!("Busiest hour of each day, in {unit}"), blocks, label }
    };
    let of_hours = |title: &str, hours: &[f64]| Plot {
        title: title.to_owned(),
        blocks: sparkline(hours),
        label: format!("{:.0} calls in all, highest hour {:.0}", hours.iter().sum::<f64>(), hours.iter().copied().fold(0.0, f64::max)),
    };
    let mut plots = vec![of_days(&portrait.history)];
    plots.extend(portrait.spending.as_ref().map(of_days));
    plots.push(of_hours("Calls by hour on the day of its latest call", &portrait.hours.map(f64::from)));
    plots.push(of_hours("Calls that its baseline expects by hour", &portrait.expected));
    plots
}

/// Hour, called, expected, and a mark where one is far from the other.
fn hours(portrait: &Portrait) -> Vec<(String, String, String, &'static str)> {
    /// Five times what is expected, and five calls more: worth a look, not an alert.
    const FAR: f64 = 5.0;
    let hours = portrait.hours.iter().zip(&portrait.expected).enumerate();
    let far = |called: u32, expected: f64| f64::from(called) > FAR * expected + FAR;
    let row = |(hour, (called, expected)): (usize, (&u32, &f64))| {
        let mark = if far(*called, *expected) { "wrong" } else { "" };
        (format!("{hour:02}:00"), thousands(u64::from(*called)), format!("{expected:.1}"), mark)
    };
    hours.filter(|(_, (called, expected))| **called > 0 || **expected >= 0.05).map(row).collect()
}

/// `/api/v1/actor`.
pub(super) fn json(portrait: &Portrait) -> String {
    let history = |history: &History| json!({"unit": history.unit.label(), "last_day": &EventTime::from_unix(history.last_day * DAY).to_string()[..10], "busiest_hours": history.busiest_hours});
    let [networks, regions, models, clients] = portrait.known;
    let moment = &portrait.moment;
    let value = json!({
        "actor": {"kind": portrait.actor.kind.label(), "key": &*portrait.actor.name},
        "department": portrait.department.as_deref(),
        "last_call": portrait.last.to_string(),
        "calls": portrait.calls,
        "settled": portrait.is_settled,
        "history_days": moment.days,
        "history": history(&portrait.history),
        "spending": portrait.spending.as_ref().map(history),
        "day": {"date": &portrait.last.to_string()[..10], "calls": portrait.hours, "expected": portrait.expected},
        "moment": {"calls_5m": moment.calls[0], "calls_10m": moment.calls[1], "calls_1h": moment.calls[2],
            "expected_10m": moment.expected[0], "expected_1h": moment.expected[1], "busiest_hour_28d": moment.busiest_hour},
        "known": {"networks": networks, "regions": regions, "models": models, "clients": clients},
    });
    value.to_string() + "\n"
}
