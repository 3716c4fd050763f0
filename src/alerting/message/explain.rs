//! Everything that made an alert, as text: for `geophone explain`, and for the page.

use std::fmt::Write as _;

use serde_json::Value;

use super::clean;
use crate::stats::{grouped, sparkline};

/// Events that are listed.
const EVENTS_SHOWN: usize = 50;

/// What is said of an alert, from all lines that were printed of it.
pub fn told(lines: &[Value]) -> String {
    let mut out = String::new();
    let Some(alert) = lines.last() else { return out };
    let text = |value: &Value| clean(value.as_str().unwrap_or(""));
    let _ = writeln!(out, "{}\n{}\n", text(&alert["title"]), text(&alert["explanation"]));
    facts(&mut out, alert);
    if let Some(numbers) = alert["numbers"].as_object().filter(|numbers| !numbers.is_empty()) {
        out.push_str("\nnumbers\n");
        let width = numbers.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in numbers {
            let _ = writeln!(out, "  {:<width$}  {}", clean(name), number(value));
        }
    }
    history(&mut out, &alert["history"]);
    out.push_str("\nhow it went\n");
    for line in lines {
        let _ = writeln!(
            out,
            "  {} {:<8} {:<8} {}",
            text(&line["last_event"]),
            text(&line["status"]),
            text(&line["severity"]),
            text(&line["title"])
        );
    }
    let count = alert["event_count"].as_u64().unwrap_or(0);
    let ids = list(&alert["event_ids"], EVENTS_SHOWN);
    let _ = writeln!(
        out,
        "\n{} events{}{}",
        grouped(count, ','),
        if ids.is_empty() { "" } else { ", of which these decided:\n  " },
        ids.replace(", ", "\n  ")
    );
    let _ = writeln!(out, "\nwhat to do: docs/runbook/{}.md", text(&alert["detector"]));
    out
}

/// Who, what, where and when, a row each.
fn facts(out: &mut String, alert: &Value) {
    let text = |value: &Value| clean(value.as_str().unwrap_or(""));
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<12} {value}");
        }
    };
    row("severity", format!("{}, confidence {}", text(&alert["severity"]), text(&alert["confidence"])));
    row("detector", text(&alert["detector"]));
    let actor = &alert["actor"];
    row("actor", format!("{} {}", text(&actor["kind"]), text(&actor["key"])));
    row("session", text(&actor["arn"]));
    row("access key", text(&actor["access_key_id"]));
    let department = &alert["department"];
    row(
        "department",
        match department["value"].as_str() {
            Some(name) => format!("{} (from {})", clean(name), text(&department["source"])),
            None => format!("unknown: {}", text(&department["reason"])),
        },
    );
    row("model", text(&alert["model"]["id"]));
    row(
        "refused",
        [&alert["denial"]["kind"], &alert["denial"]["by"]].into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", by "),
    );
    row(
        "policy",
        ["verdict", "statement", "why"]
            .into_iter()
            .filter_map(|key| alert["policy"][key].as_str())
            .map(clean)
            .collect::<Vec<_>>()
            .join(": "),
    );
    let is_somewhere = ["account", "region", "source_ip"].into_iter().any(|key| alert[key].is_string());
    row("where", if is_somewhere { place(alert) } else { String::new() });
    row("when", format!("{} to {}", text(&alert["onset"]), text(&alert["last_event"])));
    row("techniques", list(&alert["techniques"], usize::MAX));
    row("incident", text(&alert["incident_id"]));
}

/// Account, region and address.
fn place(alert: &Value) -> String {
    let text = |value: &Value| clean(value.as_str().unwrap_or(""));
    format!("account {}, {}, from {}", text(&alert["account"]), text(&alert["region"]), text(&alert["source_ip"]))
}

/// The busiest hour of the last days as a line of blocks.
fn history(out: &mut String, history: &Value) {
    let days: Vec<f64> = history["busiest_hours"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if days.is_empty() {
        return;
    }
    let highest = days.iter().copied().fold(0.0, f64::max);
    let (unit, last) = (clean(history["unit"].as_str().unwrap_or("")), clean(history["last_day"].as_str().unwrap_or("")));
    let _ = writeln!(out, "\nbusiest hour of the {} days up to {last}, in {unit} (highest {highest})\n  {}", days.len(), sparkline(&days));
}

fn list(value: &Value, most: usize) -> String {
    value.as_array().into_iter().flatten().take(most).filter_map(Value::as_str).map(clean).collect::<Vec<_>>().join(", ")
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 && number >= 0.0 => grouped(number as u64, ','),
        Some(number) => number.to_string(),
        None => clean(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_the_whole_story_and_believes_nobody() {
        let line = |status: &str, title: &str| {
            json!({"alert_id": "abcdef0123", "status": status, "title": title, "explanation": "412 calls\u{202e} in 5 min",
                "severity": "high", "detector": "invocation-spike", "numbers": {"calls_5m": 412.0, "expected_10m": 0.1},
                "history": {"unit": "calls", "last_day": "2026-06-01", "busiest_hours": [0, 3, 71]},
                "event_ids": ["a", "b"], "event_count": 1412, "department": {"value": null, "reason": "no-grant"}})
        };
        let text = told(&[line("opened", "one"), line("updated", "two")]);
        for part in [
            "two\n412 calls in 5 min\n",
            "numbers\n  calls_5m      412\n  expected_10m  0.1\n",
            "in calls (highest 71)\n  ·▁█\n",
            "opened   high     one\n",
            "1,412 events, of which these decided:\n  a\n  b\n",
            "docs/runbook/invocation-spike.md",
            "unknown: no-grant",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert_eq!(told(&[]), "");
        assert!(told(&[json!({"numbers": {"a": {"b": 1}}, "event_ids": 3, "history": {"busiest_hours": ["x"]}})]).contains("0 events"));
    }
}
