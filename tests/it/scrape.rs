//! Watching the watcher: what Prometheus finds, what probes hear, what a browser gets.

use std::io::Write;
use std::process::{Command, Stdio};

use geophone::telemetry::metric_name::{Kind, MetricName};
use serde_json::Value;

use crate::support::http;
use crate::support::program::Daemon;
use crate::support::records::key;
use crate::support::stage::{Stage, are_paged, refusals};
use crate::support::tools::{Server, installed};
use crate::support::wait::eventually;

/// A daemon that has read, paged and taken a snapshot.
async fn busy() -> (Stage, Daemon) {
    let stage = Stage::new(1).await;
    let daemon = stage.daemon().await;
    let keys = [key("SCRAPE", 0), key("SCRAPE", 1)];
    stage.put(&refusals(&keys, 0..3)).await;
    stage.sns.until("pages", |all| are_paged(all, &keys)).await;
    daemon.until("geophone_snapshot_seconds_count", "", 1.0).await;
    (stage, daemon)
}

/// The series that a metric shows itself by.
fn series(name: MetricName) -> String {
    let (text, kind, ..) = name.spec();
    if kind == Kind::Histogram { format!("{text}_count") } else { text.to_owned() }
}

/// Values of an instant query, one for each series that it found.
async fn query(prometheus: &Server, expression: &str) -> Vec<f64> {
    let reply = http::get(&prometheus.address, &format!("/api/v1/query?query={expression}")).await.expect("an answer");
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(answer["status"], "success", "{answer}");
    let found = answer["data"]["result"].as_array().expect("a list");
    found.iter().map(|series| series["value"][1].as_str().expect("a text").parse().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_every_metric() {
    let (_stage, daemon) = busy().await;
    let Some(prometheus) = Server::prometheus(&daemon.page).await else { return };
    eventually("a scrape", async || (query(&prometheus, "up").await == [1.0]).then_some(())).await;
    for name in MetricName::ALL {
        let series = series(name);
        assert!(!query(&prometheus, &series).await.is_empty(), "{series} is not there");
    }
    assert_eq!(query(&prometheus, "geophone_events_total").await, [6.0]);
    assert_eq!(query(&prometheus, "sum(geophone_alerts_total)").await, [2.0]);
    assert_eq!(query(&prometheus, "sum(geophone_findings_total)").await, [6.0]);
}

/// Prometheus keeps what it can read; `promtool` also minds names, helps and units.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let Some(promtool) = installed("promtool") else {
        println!("skipped: promtool is not installed (make tools)");
        return;
    };
    let (_stage, daemon) = busy().await;
    let metrics = daemon.metrics().await;
    let mut check = Command::new(promtool);
    let check = check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().expect("promtool starts");
    child.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("read to its end");
    let output = child.wait_with_output().expect("our own child");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_page_answer() {
    let (_stage, daemon) = busy().await;
    let get = async |path: &str| http::get(&daemon.page, path).await.expect("an answer");
    let live = get("/livez").await;
    assert_eq!((live.status, live.body.as_str()), (200, "ok\n"));
    eventually("readiness", async || (get("/readyz").await.body == "ok\n").then_some(())).await;
    assert_eq!(get("/no/such/page").await.status, 404);

    let metrics = get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    // Nobody's name, key or address is a label.
    for private in ["ASIASCRAPE", "analyst", "10.0.0.7", "111122223333"] {
        assert!(!metrics.body.contains(private), "{private} is in the metrics");
    }

    let page = eventually("a page with both incidents", async || {
        Some(get("/").await).filter(|page| page.body.matches("href=\"/incidents/").count() == 2)
    })
    .await;
    let link = page.body.split("href=\"").find_map(|rest| rest.strip_prefix("/incidents/")?.split('"').next()).expect("a link");
    let incident = get(&format!("/incidents/{link}")).await;
    assert!(incident.status == 200 && incident.body.contains("ASIASCRAPE"), "{}", incident.body);
    assert_eq!(get("/incidents/0123").await.status, 404);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let body = page.body.to_ascii_lowercase().replace("<script src=\"/assets/app.js\" defer></script>", "");
    for script in ["<script", "javascript:", "onload=", "onclick=", "http-equiv=\"refresh\" content=\"0;"] {
        assert!(!body.contains(script), "{script} is in the page");
    }
}
