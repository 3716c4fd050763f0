//! What the page shows of the daemon.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pipeline::Pipeline;
use crate::alerting::Alert;
use crate::alerting::acknowledged::Acknowledgement;
use crate::cli::Failure;
use crate::clock::moment;
use crate::engine::Engine;
use crate::web::{Attributed, View, Web};

/// A trouble is shown on the page for this long after it was last told.
const TROUBLE_SHOWN: Duration = Duration::from_secs(60);
const ALERTS_SHOWN: usize = 20_000;
/// The rate of events is that of the last minute.
const RATE_OVER: Duration = Duration::from_secs(60);

/// What is exported only when it has changed, and what the rate is worked out from.
#[derive(Debug, Default)]
pub(super) struct Shown {
    revision: Option<u64>,
    alerts: Arc<Vec<Alert>>,
    acknowledged: Arc<Vec<Acknowledgement>>,
    /// How many events there were by then.
    counted: VecDeque<(Instant, u64)>,
}

impl Shown {
    fn update(&mut self, engine: &Engine, events: u64, now: Instant) {
        let revision = engine.alerts_revision();
        if self.revision != Some(revision) {
            self.revision = Some(revision);
            self.alerts = Arc::new(engine.open_alerts(ALERTS_SHOWN));
            self.acknowledged = Arc::new(engine.acknowledged().cloned().collect());
        }
        self.counted.push_back((now, events));
        // One of before the minute stays: it is where the minute begins.
        while self.counted.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= RATE_OVER) {
            self.counted.pop_front();
        }
    }

    /// Events a second.
    fn rate(&self) -> f64 {
        let (Some((start, before)), Some((end, after))) = (self.counted.front(), self.counted.back()) else { return 0.0 };
        let seconds = end.duration_since(*start).as_secs_f64();
        if seconds > 0.0 { (after - before) as f64 / seconds } else { 0.0 }
    }
}

impl Pipeline {
    /// Brings page and gauges up to date.
    pub(super) fn show(&mut self, web: &Web) -> Result<(), Failure> {
        let view = self.view()?;
        self.metrics.gauges(&view.gauges, view.outbox);
        self.metrics.paging(view.silences.len(), self.paging.held());
        web.publish(view);
        Ok(())
    }

    /// What there is to show, after a look at what time alone changes.
    pub(super) fn view(&mut self) -> Result<View, Failure> {
        self.close_ended()?;
        let (now, mut pages) = (self.now(), Vec::new());
        self.paging.handle_time(now, &mut pages);
        self.page_out(pages)?;
        self.troubles.retain(|_, told| told.elapsed() < TROUBLE_SHOWN);
        let gauges = self.engine.gauges();
        let silences = self.paging.silences();
        self.shown.update(&self.engine, self.outcome.counts.events, moment());
        Ok(View {
            alerts: Arc::clone(&self.shown.alerts),
            acknowledged: Arc::clone(&self.shown.acknowledged),
            shards: self.shards.iter().map(|(shard, (_, behind))| (shard.to_string(), *behind)).collect(),
            rate: self.shown.rate(),
            attributed: Attributed {
                person: self.outcome.counts.person,
                department: self.outcome.counts.department,
                unknown: self.outcome.counts.unknown.iter().map(|(why, calls)| (why.label(), *calls)).collect(),
            },
            gauges,
            events: self.outcome.counts.events,
            invocations: self.outcome.counts.invocations,
            outbox: self.outbox.len(),
            now,
            silences,
            is_ready: !self.shards.is_empty(),
            troubles: self.troubles.keys().cloned().collect(),
            policy: Arc::clone(self.engine.policy()),
        })
    }

    /// Notes a trouble for the page; `true` where it was not known.
    pub(super) fn trouble(&mut self, text: String) -> bool {
        const TROUBLES_MAX: usize = 50;
        if self.troubles.len() >= TROUBLES_MAX && !self.troubles.contains_key(&text) {
            return false;
        }
        self.troubles.insert(text, moment()).is_none()
    }
}
