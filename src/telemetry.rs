//! What is counted, and the log. The only module that knows Prometheus.
//!
//! **Invariant:** no person, ARN, address, access key or raw model id is ever a label. Departments come from the
//! configuration, families from a list of known ones; everything else is `other`.

pub mod metric_name;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram as Hdr;
use prometheus::{Encoder, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder};

use crate::alerting::Status;
use crate::alerting::paging::Held;
use crate::cloudtrail::Reason;
use crate::engine::{Counts, Gauges};
use crate::finding::{DetectorId, Severity};
use crate::identity::{DepartmentSource, Unknown};
use crate::policy::Decision;
use crate::sns::RetryClass;
use crate::state::{AccessRow, Shared};
use metric_name::{Kind, MetricName};

/// Families that may be a label; all others are `other`.
const FAMILIES: [&str; 24] = [
    "ai21.jamba",
    "ai21.jurassic",
    "amazon.nova",
    "amazon.rerank",
    "amazon.titan",
    "anthropic.claude",
    "cohere.command",
    "cohere.embed",
    "cohere.rerank",
    "deepseek.r1",
    "deepseek.v3",
    "google.gemma",
    "luma.ray",
    "meta.llama",
    "minimax.minimax",
    "mistral.ministral",
    "mistral.mistral",
    "mistral.mixtral",
    "mistral.pixtral",
    "moonshot.kimi",
    "openai.gpt",
    "qwen.qwen",
    "stability.stable",
    "writer.palmyra",
];
const OUTCOMES: [&str; 4] = ["success", "denied", "throttled", "failed"];
/// Why the page refuses a connection or a request.
const HTTP_REFUSALS: [&str; 6] = ["connections", "host", "limited", "no-credentials", "tls", "wrong-credentials"];
/// Where a table loses entries.
const TABLES: [&str; 6] = ["actors", "newcomers", "credentials", "grants", "alerts", "correlations"];
/// Upper bounds of durations, in seconds: CloudTrail's own delay is minutes, SNS's is milliseconds.
const LAG_BUCKETS: [f64; 12] = [1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];
const CALL_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Largest quantity whose quantiles are told: a hundred years in milliseconds.
const QUANTITY_MAX: u64 = 100 * 366 * 86_400 * 1_000;

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    counters: HashMap<MetricName, IntCounterVec>,
    gauges: HashMap<MetricName, GaugeVec>,
    histograms: HashMap<MetricName, Histogram>,
    departments: HashSet<Arc<str>>,
    /// Lag in seconds for the summary, which wants quantiles.
    lag: Mutex<Hdr<u64>>,
    paged: Mutex<Hdr<u64>>,
    evicted: Mutex<[u64; TABLES.len()]>,
    held: Mutex<Held>,
    shares: Mutex<Shares>,
}

/// Calls by what is known of them, fading: what the gauges of shares are computed from.
#[derive(Debug, Default)]
struct Shares {
    by_reason: BTreeMap<&'static str, f64>,
    calls: f64,
    verdicts: f64,
    unknown: f64,
}

impl Shares {
    /// What is left of a call after each look at the gauges, two a second: half after some ten minutes.
    const FADE: f64 = 0.9994;

    fn add(&mut self, counts: &Counts) {
        let known = counts.sources.iter().map(|(source, by)| (source.label(), *by));
        let reasons = known.chain(counts.unknown.iter().map(|(why, by)| (why.label(), *by)));
        for (reason, by) in reasons {
            *self.by_reason.entry(reason).or_default() += by as f64;
            self.calls += by as f64;
        }
        *self.by_reason.entry("person").or_default() += counts.person as f64;
        self.verdicts += counts.verdicts.values().sum::<u64>() as f64;
        self.unknown += counts.verdicts.get(&Decision::Unknown).copied().unwrap_or(0) as f64;
    }

    fn fade(&mut self) {
        self.by_reason.values_mut().chain([&mut self.calls, &mut self.verdicts, &mut self.unknown]).for_each(|sum| *sum *= Self::FADE);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All metrics at zero, with every label set that is known.
    ///
    /// # Errors
    /// A name or label that Prometheus refuses: a mistake in [`MetricName`], found by its test.
    pub fn new(departments: impl IntoIterator<Item = Arc<str>>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let (mut counters, mut gauges, mut histograms) = (HashMap::new(), HashMap::new(), HashMap::new());
        for name in MetricName::ALL {
            let (text, kind, labels, help) = name.spec();
            match kind {
                // Calls by department are read from the engine's own table at each scrape.
                Kind::Counter => {
                    let counter = IntCounterVec::new(Opts::new(text, help), labels)?;
                    registry.register(Box::new(counter.clone()))?;
                    counters.insert(name, counter);
                }
                Kind::Gauge => {
                    let gauge = GaugeVec::new(Opts::new(text, help), labels)?;
                    registry.register(Box::new(gauge.clone()))?;
                    gauges.insert(name, gauge);
                }
                Kind::Histogram => {
                    let buckets = if name == MetricName::EventLagSeconds { LAG_BUCKETS.to_vec() } else { CALL_BUCKETS.to_vec() };
                    let histogram = Histogram::with_opts(HistogramOpts::new(text, help).buckets(buckets))?;
                    registry.register(Box::new(histogram.clone()))?;
                    histograms.insert(name, histogram);
                }
            }
        }
        // A value beyond the bounds is lost to `saturating_record`, so they are given: seconds, or milliseconds, of decades.
        let hdr = || Hdr::new_with_bounds(1, QUANTITY_MAX, 3).unwrap_or_else(|_| unreachable!("bounds in order"));
        let (lag, paged) = (hdr(), hdr());
        let metrics = Self {
            registry,
            counters,
            gauges,
            histograms,
            departments: departments.into_iter().collect(),
            lag: Mutex::new(lag),
            paged: Mutex::new(paged),
            evicted: Mutex::new([0; TABLES.len()]),
            held: Mutex::default(),
            shares: Mutex::default(),
        };
        metrics.initialise();
        Ok(metrics)
    }

    fn initialise(&self) {
        for name in MetricName::ALL {
            let (_, kind, labels, _) = name.spec();
            if labels.is_empty() {
                match kind {
                    Kind::Counter => self.count(name, &[], 0),
                    Kind::Gauge => self.set(name, &[], 0.0),
                    Kind::Histogram => {}
                }
            }
        }
        for detector in DetectorId::ALL.map(DetectorId::label) {
            Severity::ALL.iter().for_each(|severity| self.count(MetricName::Findings, &[detector, severity.label()], 0));
            Status::ALL.iter().for_each(|status| self.count(MetricName::Alerts, &[detector, status.label()], 0));
        }
        Reason::ALL.iter().for_each(|reason| self.count(MetricName::Undecodable, &[reason.label()], 0));
        RetryClass::ALL.iter().for_each(|class| self.count(MetricName::SnsRetries, &[class.label()], 0));
        kinesis_lease::TroubleKind::ALL.iter().for_each(|kind| self.count(MetricName::KinesisTrouble, &[kind.as_str()], 0));
        ["person", "department"].iter().for_each(|to| self.count(MetricName::Attributed, &[to], 0));
        Unknown::ALL.iter().for_each(|why| self.count(MetricName::Attributed, &[why.label()], 0));
        let sources = DepartmentSource::ALL.map(DepartmentSource::label);
        let reasons = Unknown::ALL.map(Unknown::label).into_iter().chain(sources).chain(["person"]);
        reasons.for_each(|reason| self.set(MetricName::AttributionShare, &[reason], 0.0));
        Decision::ALL.iter().for_each(|decision| self.count(MetricName::PolicyVerdicts, &[decision.label()], 0));
        self.count(MetricName::PolicyVerdicts, &["no-document"], 0);
        for file in ["directory", "policy", "rules", "tls", "users"] {
            ["used", "refused"].iter().for_each(|outcome| self.count(MetricName::Reloads, &[file, outcome], 0));
        }
        HTTP_REFUSALS.iter().for_each(|reason| self.count(MetricName::HttpRefused, &[reason], 0));
        ["record", "message"].iter().for_each(|kind| self.count(MetricName::DeadLetters, &[kind], 0));
        TABLES.iter().for_each(|table| self.count(MetricName::Evicted, &[table], 0));
        ["silence", "budget"].iter().for_each(|reason| self.count(MetricName::PagesHeld, &[reason], 0));
        let departments = self.departments.iter().map(|name| &**name).chain(["unknown", "other"]);
        departments.for_each(|department| {
            OUTCOMES.iter().for_each(|outcome| self.count(MetricName::Invocations, &[department, "other", outcome], 0));
        });
        self.set(MetricName::MillisBehindLatest, &["none"], 0.0);
    }

    /// Adds to a counter.
    pub fn count(&self, name: MetricName, labels: &[&str], by: u64) {
        if let Some(counter) = self.counters.get(&name).and_then(|counter| counter.get_metric_with_label_values(labels).ok()) {
            counter.inc_by(by);
        }
    }

    /// Sets a gauge.
    pub fn set(&self, name: MetricName, labels: &[&str], value: f64) {
        if let Some(gauge) = self.gauges.get(&name).and_then(|gauge| gauge.get_metric_with_label_values(labels).ok()) {
            gauge.set(value);
        }
    }

    /// Notes a duration in seconds.
    pub fn observe(&self, name: MetricName, seconds: f64) {
        if let Some(histogram) = self.histograms.get(&name) {
            histogram.observe(seconds);
        }
    }

    /// Notes how long after an event it was decided, in seconds.
    pub fn lag(&self, seconds: i64) {
        let seconds = seconds.max(0);
        self.observe(MetricName::EventLagSeconds, seconds as f64);
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(seconds.unsigned_abs());
    }

    /// Quantiles of the lag in seconds: median, 99th percentile, largest.
    pub fn lag_quantiles(&self) -> [u64; 3] {
        quantiles(&self.lag)
    }

    /// Notes how long a new alert took to be paged.
    pub fn paged(&self, took: Duration) {
        self.observe(MetricName::PageSeconds, took.as_secs_f64());
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.paged.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(millis);
    }

    /// Quantiles of that time in milliseconds: median, 99th percentile, largest.
    pub fn paged_quantiles(&self) -> [u64; 3] {
        quantiles(&self.paged)
    }

    /// Takes over what an engine did.
    pub fn report(&self, counts: &Counts) {
        use MetricName as M;
        for (name, by) in [
            (M::Events, counts.events),
            (M::Duplicates, counts.duplicates),
            (M::Late, counts.late),
            (M::OutOfOrder, counts.out_of_order),
            (M::Future, counts.future),
            (M::Grants, counts.grants),
            (M::Removals, counts.removals),
            (M::Companions, counts.companions),
            (M::Unpaired, counts.unpaired),
            (M::HeldOverflow, counts.held_overflow),
        ] {
            self.count(name, &[], by);
        }
        self.count(M::Attributed, &["person"], counts.person);
        self.count(M::Attributed, &["department"], counts.department);
        counts.unknown.iter().for_each(|(why, by)| self.count(M::Attributed, &[why.label()], *by));
        self.count(M::PolicyVerdicts, &["no-document"], counts.unjudged);
        counts.verdicts.iter().for_each(|(decision, by)| self.count(M::PolicyVerdicts, &[decision.label()], *by));
        self.shares.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
        counts.findings.iter().for_each(|((detector, severity), by)| self.count(M::Findings, &[detector.label(), severity.label()], *by));
        counts.alerts.iter().for_each(|((detector, status), by)| self.count(M::Alerts, &[detector.label(), status.label()], *by));
    }

    /// Takes over how full an engine is.
    pub fn gauges(&self, gauges: &Gauges, outbox: usize) {
        use MetricName as M;
        self.set(M::TrackedActors, &[], gauges.tables.actors as f64);
        self.set(M::HeldCalls, &[], gauges.held as f64);
        self.set(M::KnownGrants, &[], gauges.grants as f64);
        self.set(M::UnlinkedPeople, &[], gauges.unlinked as f64);
        self.share_gauges();
        let (counted, needed) = gauges.baseline_days;
        self.set(M::BaselineRatio, &[], f64::from(counted.min(needed)) / f64::from(needed.max(1)));
        self.set(M::OpenAlerts, &[], gauges.open_alerts as f64);
        self.set(M::Outbox, &[], outbox as f64);
        self.set(M::WatermarkSeconds, &[], gauges.watermark.unix() as f64);
        self.set(M::DedupHorizonSeconds, &[], gauges.dedup_horizon as f64);
        let tables = &gauges.tables;
        let now = [
            tables.actors_evicted,
            tables.newcomers_evicted,
            tables.credentials_evicted,
            gauges.grants_evicted,
            gauges.resolved_early,
            gauges.correlations_evicted,
        ];
        let mut before = self.evicted.lock().unwrap_or_else(PoisonError::into_inner);
        for ((table, now), before) in TABLES.iter().zip(now).zip(before.iter_mut()) {
            self.count(M::Evicted, &[table], now.saturating_sub(*before));
            *before = now;
        }
    }

    /// Takes over what is silenced, and how much was held back.
    pub fn paging(&self, silences: usize, held: Held) {
        self.set(MetricName::Silences, &[], silences as f64);
        let mut before = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(MetricName::PagesHeld, &["silence"], held.silenced.saturating_sub(before.silenced));
        self.count(MetricName::PagesHeld, &["budget"], held.digested.saturating_sub(before.digested));
        *before = held;
    }

    fn share_gauges(&self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Too little to be a share of anything.
        let of = |part: f64, whole: f64| if whole < 0.5 { 0.0 } else { part / whole };
        for (reason, calls) in &shares.by_reason {
            self.set(MetricName::AttributionShare, &[reason], of(*calls, shares.calls));
        }
        self.set(MetricName::PolicyUnknownShare, &[], of(shares.unknown, shares.verdicts));
        shares.fade();
    }

    /// The text that Prometheus scrapes. Calls by department are read from `shared` now.
    pub fn expose(&self, shared: &Shared) -> String {
        if let Some(counter) = self.counters.get(&MetricName::Invocations) {
            let mut sums: BTreeMap<[&str; 3], u64> = BTreeMap::new();
            let rows = shared.access_rows();
            for row in &rows {
                let (department, family) = self.labels(row);
                for (outcome, count) in OUTCOMES.iter().zip(row.counts) {
                    *sums.entry([department, family, outcome]).or_default() += count;
                }
            }
            for (labels, sum) in sums {
                // The table's counts only grow, and this is their only reader here: the difference is never negative.
                let metric = counter.with_label_values(&labels);
                metric.inc_by(sum.saturating_sub(metric.get()));
            }
        }
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    fn labels<'a>(&'a self, row: &'a AccessRow) -> (&'a str, &'a str) {
        let department = match &*row.department {
            name if self.departments.contains(name) => name,
            name if name.starts_with('(') => "unknown",
            _ => "other",
        };
        let family = FAMILIES.into_iter().find(|family| **family == *row.family).unwrap_or("other");
        (department, family)
    }
}

/// Where the log goes: text for people on a terminal, JSON lines otherwise. `RUST_LOG` chooses levels.
pub fn start_log<W>(as_text: bool, writer: W)
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,geophone=info,kinesis_lease=info"));
    // A log that cannot be written (a full disk, a pipe whose reader is gone) must not end the daemon: where this is on it
    // is told by eprintln, which panics then.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false).log_internal_errors(false);
    // A second start (in tests) keeps the first one's log.
    let _ = if as_text { builder.compact().try_init() } else { builder.json().flatten_event(true).try_init() };
}

/// Median, 99th percentile, largest.
fn quantiles(values: &Mutex<Hdr<u64>>) -> [u64; 3] {
    let values = values.lock().unwrap_or_else(PoisonError::into_inner);
    [values.value_at_quantile(0.5), values.value_at_quantile(0.99), values.max()]
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn every_metric_is_there_from_the_start() {
        let metrics = Metrics::new([Arc::from("legal")]).expect("valid names");
        let text = metrics.expose(&Shared::default());
        for name in MetricName::ALL {
            let (name, _, _, help) = name.spec();
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name} is missing");
        }
    }

    #[test]
    fn quantiles_are_told_however_late_events_are() {
        let metrics = Metrics::new([]).expect("valid names");
        assert_eq!(metrics.lag_quantiles(), [0, 0, 0]);
        metrics.lag(5 * 3_600);
        metrics.paged(Duration::from_secs(7_200));
        let near = |told: [u64; 3], wanted: u64| told.iter().all(|value| value.abs_diff(wanted) <= wanted / 500);
        assert!(near(metrics.lag_quantiles(), 18_000), "{:?}", metrics.lag_quantiles());
        assert!(near(metrics.paged_quantiles(), 7_200_000), "{:?}", metrics.paged_quantiles());
    }

    #[test]
    fn labels_are_never_somebody_elses_words() {
        let shared = Shared::default();
        for (department, family) in [("legal", "anthropic.claude"), ("evil\"}", "../x"), ("(root)", "anthropic.claude")] {
            shared.access(&department.into(), &family.into()).expect("room").success.fetch_add(2, Ordering::Relaxed);
        }
        let metrics = Metrics::new([Arc::from("legal")]).expect("valid names");
        for _ in 0..2 {
            let text = metrics.expose(&shared);
            assert!(
                text.contains(r#"geophone_invocations_total{department="legal",model_family="anthropic.claude",outcome="success"} 2"#),
                "{text}"
            );
            assert!(text.contains(r#"{department="unknown",model_family="anthropic.claude",outcome="success"} 2"#));
            assert!(!text.contains("evil") && !text.contains(".."));
        }
    }
}
