//! Events in, alerts out: runs records through decoder, observer and engine as the daemon does.

use std::sync::Arc;

use geophone::alerting::{Alert, Status};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Counts, Engine, EngineSettings, Report};
use geophone::identity::Directory;
use geophone::observation::{Observation, Observer};
use geophone::policy::{DepartmentTable, PolicyBook};
use geophone::time::{EventTime, Now};
use geophone_company::{Company, Event};

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub alerts: Vec<Alert>,
    pub counts: Counts,
}

impl Told {
    /// Alerts that were opened.
    pub fn opened(&self) -> Vec<&Alert> {
        self.alerts.iter().filter(|alert| alert.status == Status::Opened).collect()
    }

    /// Detector and actor of every alert that was opened, sorted: the set of stories.
    pub fn stories(&self) -> Vec<String> {
        let mut stories: Vec<String> = self.opened().iter().map(|alert| alert.fingerprint.0.to_string()).collect();
        stories.sort();
        stories
    }
}

/// Settings that know a company's departments and people.
pub fn settings(company: &Company) -> EngineSettings {
    let rows = company.departments().iter().map(|department| (department.name.clone(), department.models.clone()));
    EngineSettings {
        policy: Arc::new(PolicyBook::of_table(DepartmentTable::new(rows))),
        directory: Arc::new(Directory::parse(&company.directory_csv()).expect("the company's own directory")),
        dedup_capacity: 1 << 18,
        ..EngineSettings::default()
    }
}

/// The observations of `bytes`, whatever the envelope.
pub fn observe(bytes: &[u8]) -> Vec<Observation> {
    let mut observer = Observer::new(Arc::default());
    let mut observations = Vec::new();
    Decoder::new(Limits::default()).decode(bytes, &mut |item| {
        if let Ok(decoded) = item {
            observations.push(observer.observe(decoded, EventTime::from_unix(0)));
        }
    });
    observations
}

/// Observations of a company's events, in their order.
pub fn observations(events: &[Event]) -> Vec<Observation> {
    let texts: Vec<&str> = events.iter().map(|event| event.json.as_str()).collect();
    observe(&geophone_company::wire::ndjson(&texts))
}

/// Feeds observations to an engine in their order; `now` is the largest time so far.
pub fn feed(engine: &mut Engine, observations: impl IntoIterator<Item = Observation>) -> Told {
    let input = engine.input("test");
    let (mut report, mut now) = (Report::default(), EventTime::MIN);
    for observation in observations {
        now = now.max(observation.time);
        engine.handle(input, observation, Now(now), &mut report);
    }
    Told { alerts: report.alerts, counts: report.counts }
}

/// [`feed`], and then the end of input.
pub fn play(settings: &EngineSettings, observations: impl IntoIterator<Item = Observation>) -> Told {
    let mut engine = Engine::new(settings.clone());
    let mut told = feed(&mut engine, observations);
    let mut report = Report::default();
    engine.finish(&mut report);
    told.alerts.extend(report.alerts);
    told.counts.add(&report.counts);
    told
}
