//! The report: one table for people, between two marks of a document, and the same as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::scenario::Outcome;

const BEGIN: &str = "<!-- begin: made by `make reliability` -->";
const END: &str = "<!-- end -->";

/// What a control came to.
pub struct Controlled {
    pub name: &'static str,
    pub without: &'static str,
    pub broke: Vec<String>,
}

/// What a run came to.
pub struct Report {
    pub seed: u64,
    pub form: &'static str,
    pub took: Duration,
    /// By the scenario's name, in the order of the suite.
    pub groups: Vec<(String, Vec<Outcome>)>,
    pub controls: Vec<Controlled>,
    /// Histories of the simulation of leases, by its test.
    pub simulated: Option<u64>,
    /// The machine and the build, in words.
    pub place: String,
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).map_or(0.0, Duration::as_secs_f64)
}

/// Median, 99th percentile and largest, in seconds.
fn spread(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    [quantile(&times, 0.5), quantile(&times, 0.99), quantile(&times, 1.0)]
}

impl Report {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.groups.iter().flat_map(|(_, outcomes)| outcomes)
    }

    fn total(&self) -> Ledger {
        let mut total = Ledger::default();
        self.outcomes().for_each(|outcome| total.add(&outcome.ledger));
        total
    }

    fn faults(&self) -> BTreeMap<&str, u64> {
        let mut faults = BTreeMap::new();
        for (kind, times) in self.outcomes().flat_map(|outcome| &outcome.faults) {
            *faults.entry(kind.as_str()).or_default() += times;
        }
        faults
    }

    fn poisons(&self) -> BTreeMap<&str, u64> {
        let mut poisons = BTreeMap::new();
        for (kind, times) in self.outcomes().flat_map(|outcome| &outcome.poisons) {
            *poisons.entry(*kind).or_default() += times;
        }
        poisons
    }

    /// How long shards were without a reader beyond the lease time of their worker, in words.
    fn failovers(&self) -> Option<String> {
        let all: Vec<_> = self.outcomes().flat_map(|outcome| &outcome.failovers).collect();
        let beyond = spread(all.iter().map(|(lease, took)| took.saturating_sub(*lease)).collect());
        let (count, text) = (all.len(), format!("{:.1} s / {:.1} s / {:.1} s", beyond[0], beyond[1], beyond[2]));
        (count > 0).then(|| format!("{text}, {count} shards"))
    }

    /// What went wrong, each with its seed.
    pub fn wrong(&self) -> Vec<String> {
        let of_outcomes = self.groups.iter().flat_map(|(name, outcomes)| {
            let wrong = outcomes.iter().filter(|outcome| !outcome.wrong().is_empty());
            wrong.map(move |outcome| format!("{name}: {}", outcome.wrong().join(", ")))
        });
        let passed = self.controls.iter().filter(|control| control.broke.is_empty());
        of_outcomes.chain(passed.map(|control| format!("the control \"{}\" broke nothing", control.name))).collect()
    }

    /// The table.
    pub fn markdown(&self) -> String {
        let total = self.total();
        let calm = self.groups.first().map(|(_, outcomes)| outcomes.as_slice()).unwrap_or_default();
        let calm_latencies = spread(calm.iter().flat_map(|outcome| outcome.ledger.latencies.clone()).collect());
        let latencies = spread(total.latencies.clone());
        let restores = spread(self.outcomes().flat_map(|outcome| outcome.restores.clone()).collect());
        let memory = self.outcomes().map(|outcome| outcome.memory_kib).max().unwrap_or(0) / 1_024;
        let calm_seconds: f64 = calm.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
        let calm_events: u64 = calm.iter().map(|outcome| outcome.ledger.events).sum();
        let scenarios = self.outcomes().count();
        let held: f64 = self.outcomes().map(|outcome| outcome.took.as_secs_f64()).sum();
        let mut text = format!(
            "{BEGIN}\n\n`make reliability{}` with seed {}, {}, in {:.0} minutes.\n\n| | |\n|---|---|\n",
            if self.form == "short" { " FORM=short" } else { "" },
            self.seed,
            self.place,
            self.took.as_secs_f64() / 60.0,
        );
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("scenarios, each with a seed of its own", scenarios.to_string());
        row("hours of scenarios, several at once", format!("{:.1}", held / 3_600.0));
        if let Some(simulated) = self.simulated {
            row("simulated histories of leases", simulated.to_string());
        }
        row("load where nothing goes wrong", format!("{:.0} events a second", calm_events as f64 / calm_seconds.max(1.0)));
        row(
            "events expected / seen / **lost** / **repeated**",
            format!("{} / {} / **{}** / **{}**", total.events, total.seen, total.lost, total.repeated),
        );
        row(
            "incidents expected / paged / **not paged** / **false**",
            format!("{} / {} / **{}** / **{}**", total.incidents, total.paged, total.incidents - total.paged, total.fictitious),
        );
        row("messages that came again under the same id", total.duplicated.to_string());
        row("records that cannot be read: sent / kept as dead letters", format!("{} / {}", total.poisoned, total.kept));
        row(
            "event to page, nothing wrong: median / 99th / most",
            format!("{:.1} s / {:.1} s / {:.1} s", calm_latencies[0], calm_latencies[1], calm_latencies[2]),
        );
        row(
            "event to page, all scenarios, outages included",
            format!("{:.1} s / {:.1} s / {:.1} s", latencies[0], latencies[1], latencies[2]),
        );
        row(
            "start with state, to listening: median / 99th / most",
            format!("{:.2} s / {:.2} s / {:.2} s", restores[0], restores[1], restores[2]),
        );
        if let Some(text) = self.failovers() {
            row("from `kill -9` of a worker to another's reading of its shards, beyond the lease time: median / 99th / most", text);
        }
        row("largest resident memory", format!("{memory} MiB"));
        self.faults_table(&mut text);
        self.scenario_table(&mut text);
        self.control_table(&mut text);
        let _ = write!(text, "\n{END}");
        text
    }

    fn faults_table(&self, text: &mut String) {
        text.push_str("\n| what was done | times |\n|---|--:|\n");
        for (kind, times) in self.faults() {
            let _ = writeln!(text, "| {kind} | {times} |");
        }
        for (kind, times) in self.poisons() {
            let _ = writeln!(text, "| records: {kind} | {times} |");
        }
    }

    fn scenario_table(&self, text: &mut String) {
        text.push_str("\n| scenario | times | events | incidents | again, same id | wrong |\n|---|--:|--:|--:|--:|--:|\n");
        for (name, outcomes) in &self.groups {
            let mut sum = Ledger::default();
            outcomes.iter().for_each(|outcome| sum.add(&outcome.ledger));
            let wrong = outcomes.iter().filter(|outcome| !outcome.wrong().is_empty()).count();
            let _ = writeln!(text, "| {name} | {} | {} | {} | {} | {wrong} |", outcomes.len(), sum.events, sum.incidents, sum.duplicated);
        }
    }

    fn control_table(&self, text: &mut String) {
        text.push_str("\n| control: the guard that is taken away | what broke |\n|---|---|\n");
        for control in &self.controls {
            let broke = if control.broke.is_empty() { "**nothing**".to_owned() } else { control.broke.join(", ") };
            let _ = writeln!(text, "| {}: {} | {broke} |", control.name, control.without);
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let total = self.total();
        let latencies = spread(total.latencies.clone());
        let scenarios = self.groups.iter().flat_map(|(name, outcomes)| {
            outcomes.iter().map(move |outcome| {
                let ledger = &outcome.ledger;
                json!({"name": name, "events": ledger.events, "seen": ledger.seen, "lost": ledger.lost, "repeated": ledger.repeated,
                    "incidents": ledger.incidents, "paged": ledger.paged, "duplicated": ledger.duplicated, "false": ledger.fictitious,
                    "seconds": outcome.took.as_secs_f64(), "memory_kib": outcome.memory_kib, "failovers": outcome.failovers.iter().map(|(lease, took)| [lease.as_secs_f64(), took.as_secs_f64()]).collect::<Vec<_>>(), "faults": outcome.faults,
                    "wrong": outcome.wrong(), "details": ledger.wrong})
            })
        });
        let controls = self.controls.iter().map(|control| json!({"name": control.name, "broke": control.broke}));
        json!({
            "seed": self.seed, "form": self.form, "seconds": self.took.as_secs_f64(), "simulated_histories": self.simulated,
            "events": {"expected": total.events, "seen": total.seen, "lost": total.lost, "repeated": total.repeated},
            "incidents": {"expected": total.incidents, "paged": total.paged, "duplicated": total.duplicated, "false": total.fictitious},
            "event_to_page_seconds": {"p50": latencies[0], "p99": latencies[1], "max": latencies[2]},
            "faults": self.faults(), "bad_inputs": self.poisons(),
            "scenarios": scenarios.collect::<Vec<_>>(), "controls": controls.collect::<Vec<_>>(),
        })
    }

    /// Puts the table between the marks of a document.
    ///
    /// # Errors
    /// The document cannot be read or written, or has no marks.
    pub fn write_into(&self, document: &Path) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("{}: {error}", document.display());
        let text = fs::read_to_string(document).map_err(cannot)?;
        let marks = || format!("{}: no marks {BEGIN} and {END}", document.display());
        let (before, rest) = text.split_once(BEGIN).ok_or_else(marks)?;
        let (_, after) = rest.split_once(END).ok_or_else(marks)?;
        fs::write(document, format!("{before}{}{after}", self.markdown())).map_err(cannot)
    }
}
