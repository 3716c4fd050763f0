//! Events of CloudTrail on their whole way: decoded, observed, judged, told.

use geophone::alerting::Alert;
use geophone::alerting::message::render;
use geophone::engine::{Engine, Report};
use geophone::observation::Observation;
use geophone::snapshot::{self, Snapshot};
use geophone::time::{EventTime, Now};

use super::watch::{FORMS, check, links, observe, settings};

/// Enough for every window and table of the small company, and quick.
const EVENTS_MAX: usize = 64;

/// A record of events: every one is counted, every alert can be sent in every form, and a restart from a snapshot in the
/// middle changes nothing that is told.
pub fn event(bytes: &[u8]) {
    let mut observations = observe(bytes);
    observations.truncate(EVENTS_MAX);
    if observations.is_empty() {
        return;
    }
    let mut whole = Run::new(Engine::new(settings()));
    whole.feed(&observations);
    whole.finish();
    assert_eq!(whole.report.counts.events, observations.len() as u64);
    for alert in &whole.report.alerts {
        assert!(alert.onset <= alert.last_event && alert.event_count > 0, "{alert:?}");
        for form in FORMS {
            check(form, &render(alert, form, &links()));
        }
    }

    let (before, after) = observations.split_at(observations.len() / 2);
    let mut first = Run::new(Engine::new(settings()));
    first.feed(before);
    let bytes = image(&first.engine);
    let kept = snapshot::decode(&bytes).expect("what was written is read").engine;
    let mut second = Run { engine: Engine::restore(settings(), kept), report: first.report, now: first.now };
    second.engine.input("fuzz");
    assert_eq!(image(&second.engine), bytes, "an image of the image");
    second.feed(after);
    second.finish();
    assert_eq!(lines(&second.report.alerts), lines(&whole.report.alerts), "a restart changes nothing");
}

struct Run {
    engine: Engine,
    report: Report,
    now: EventTime,
}

impl Run {
    fn new(engine: Engine) -> Self {
        Self { engine, report: Report::default(), now: EventTime::MIN }
    }

    fn feed(&mut self, observations: &[Observation]) {
        let input = self.engine.input("fuzz");
        for observation in observations {
            self.now = self.now.max(observation.time);
            self.engine.handle(input, observation.clone(), Now(self.now), &mut self.report);
        }
    }

    fn finish(&mut self) {
        self.engine.finish(&mut self.report);
    }
}

fn image(engine: &Engine) -> Vec<u8> {
    snapshot::encode(&Snapshot { engine: engine.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() })
        .expect("encodes")
}

fn lines(alerts: &[Alert]) -> Vec<String> {
    alerts.iter().map(Alert::to_ndjson).collect()
}
