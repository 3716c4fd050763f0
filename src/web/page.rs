//! The on-call page: what is open, who and which department, and whether geophone itself is well. Plain HTML, no script;
//! every text that is not ours is cleaned and escaped.

use std::fmt::Write as _;

use super::View;
use super::api::{self, MatrixCell};
use crate::alerting::Alert;
use crate::alerting::message::{clean, markup_entity};
use crate::finding::History;
use crate::state::AccessRow;
use crate::stats::grouped;
use crate::time::spoken;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#5b6570;--line:#d8dee4;--card:#fff;--back:#f4f6f8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--dim:#98a2ad;--line:#30373f;--card:#171b20;--back:#0e1114}}
*{box-sizing:border-box}body{margin:0;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back)}
main{max-width:68rem;margin:0 auto;padding:1.2rem}h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .6rem}
.bar{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;align-items:baseline}.dim{color:var(--dim)}
.tile{display:inline-block;min-width:7rem;padding:.5rem .8rem;margin:.8rem .6rem 0 0;background:var(--card);border:1px solid var(--line);border-radius:8px}
.tile b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:.85rem}
article{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--line);border-radius:8px;padding:.7rem .9rem;margin:.6rem 0}
article.high,article.critical{border-left-color:#c62828}article.medium{border-left-color:#e08a00}article.low{border-left-color:#2f74c0}
article h3{margin:0;font-size:1rem;overflow-wrap:anywhere}article p{margin:.35rem 0;overflow-wrap:anywhere}
.tag{display:inline-block;padding:0 .45rem;border-radius:1rem;border:1px solid var(--line);font-size:.8rem;margin-right:.35rem}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line);border-radius:8px}
th,td{text-align:right;padding:.3rem .7rem;border-top:1px solid var(--line);font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:500;border-top:0}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}.warn{background:#fff3cd;color:#5c4400;border:1px solid #e6cf8b;border-radius:8px;padding:.5rem .8rem;margin:.8rem 0}

.plot{font:1rem ui-monospace,monospace;color:var(--ink);letter-spacing:1px}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}";

/// The page.
pub(super) fn render(view: &View, rows: &[AccessRow], unlinked: usize) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5>\
         <title>geophone: {} open</title><style>{STYLE}</style><main><div class=bar><h1>geophone</h1><span class=dim>{}</span></div>",
        view.gauges.open_alerts, view.now
    );
    for trouble in &view.troubles {
        let _ = write!(out, "<div class=warn>{}</div>", escape(trouble));
    }
    let lag = view.now.since(view.gauges.watermark);
    let behind = if lag > 0 && lag < 10 * 365 * 86_400 { spoken(lag) } else { "–".to_owned() };
    for (value, name) in [
        (view.gauges.open_alerts.to_string(), "open alerts"),
        (thousands(view.events), "events"),
        (thousands(view.invocations), "Bedrock calls"),
        (view.gauges.tables.actors.to_string(), "actors"),
        (view.gauges.held.to_string(), "calls waiting for STS"),
        (view.outbox.to_string(), "pages to deliver"),
        (behind, "watermark behind"),
    ] {
        let _ = write!(out, "<div class=tile><b>{value}</b><span>{name}</span></div>");
    }
    let (counted, needed) = view.gauges.baseline_days;
    if counted < needed {
        let _ = write!(
            out,
            "<p class=dim>Spikes and spending are not judged yet: {counted} of {needed} days are counted. <code>geophone warm</code> learns from history.</p>"
        );
    }
    out.push_str("<h2>Open alerts</h2>");
    if view.alerts.is_empty() {
        out.push_str("<p class=dim>Nothing is open.</p>");
    }
    view.alerts.iter().for_each(|alert| article(&mut out, alert));
    table(&mut out, &api::cells(&view.policy, rows));
    if unlinked > 0 {
        let _ = write!(out, "<p class=dim>{unlinked} people with calls are not in the directory: <a href=/api/v1/unlinked>who</a></p>");
    }
    out.push_str("<p class=dim><a href=/metrics>metrics</a> · <a href=/api/v1/alerts>alerts</a> · <a href=/api/v1/matrix>matrix</a></p></main></html>");
    out
}

fn article(out: &mut String, alert: &Alert) {
    let severity = alert.severity.label();
    let events = if alert.event_count == 1 { "1 event".to_owned() } else { format!("{} events", thousands(alert.event_count)) };
    let spark = alert.history.as_ref().map(history).unwrap_or_default();
    let _ = write!(
        out,
        "<article class={severity}><h3>{}</h3><p>{}</p>{spark}<p><span class=tag>{severity}</span><span class=tag>{}</span><span class=tag>{}</span>\
         <span class=dim>{events}, {} to {} · from {} · incident <code>{}</code></span></p></article>",
        escape(&alert.title),
        escape(&alert.explanation),
        escape(&alert.detector_name()),
        escape(alert.department()),
        alert.onset,
        alert.last_event,
        escape(&alert.source_ip),
        &alert.incident_id.to_string()[..12],
    );
}

/// The days before, as a small plot.
fn history(history: &History) -> String {
    let (plot, highest) = history.plot();
    format!(
        "<p class=dim><span class=plot>{plot}</span> busiest hours of {} days in {}, highest {highest:.0}</p>",
        history.busiest_hours.len(),
        history.unit.label()
    )
}

/// Departments and models: what was called, and what policy says. Of what nobody called only the number is shown.
fn table(out: &mut String, cells: &[MatrixCell]) {
    const ROWS_SHOWN: usize = 60;
    out.push_str("<h2>Departments and models</h2>");
    let used: Vec<&MatrixCell> = cells.iter().filter(|cell| cell.calls.any()).collect();
    if used.is_empty() {
        return out.push_str("<p class=dim>No Bedrock call yet.</p>");
    }
    out.push_str("<table><tr><th>department<th>model family<th>calls<th>refused<th>throttled<th>failed<th>tokens<th>policy");
    for cell in used.iter().take(ROWS_SHOWN) {
        let _ = write!(out, "<tr><td>{}<td>{}", escape(&cell.department), escape(&cell.family));
        cell.calls.numbers().iter().for_each(|count| {
            let _ = write!(out, "<td>{}", thousands(*count));
        });
        match cell.note {
            Some(note) => {
                let _ = write!(out, "<td><b>{}</b>", note.replace('-', " "));
            }
            None => {
                let _ = write!(out, "<td>{}", cell.verdict.replace('-', " "));
            }
        }
    }
    out.push_str("</table>");
    if used.len() > ROWS_SHOWN {
        let _ = write!(out, "<p class=dim>and {} more rows</p>", used.len() - ROWS_SHOWN);
    }
    let unused = cells.iter().filter(|cell| cell.note == Some("granted-never-used")).count();
    if unused > 0 {
        let _ = write!(out, "<p class=dim>{unused} grants were never used since the start</p>");
    }
}

/// Digits in threes, parted by a narrow space that does not break.
fn thousands(number: u64) -> String {
    grouped(number, '\u{202f}')
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in clean(text).chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => out.push_str(markup_entity(c)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped() {
        let view = View { troubles: vec!["<script>alert('x')</script>\u{202e}".into()], ..View::default() };
        let rows = [AccessRow { department: "<b>".into(), family: "\"&'".into(), counts: [1_234_567, 0, 0, 0], tokens: 0 }];
        let html = render(&view, &rows, 3);
        assert!(!html.contains("<script") && !html.contains("<b>&") && !html.contains('\u{202e}'));
        assert!(html.contains("&lt;b&gt;") && html.contains("1\u{202f}234\u{202f}567"));
    }
}
