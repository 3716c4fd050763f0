//! Streams of records about people (Cognito, IAM, Identity Center): few, and read whole by every machine, because they tell
//! of callers of any shard.
//!
//! They are read from their oldest record at every start. What they said is remembered, so that a shard that is taken later
//! is told of it, too; engines know what they were told before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use kinesis_lease::{ConsumerHandle, Delivery};
use tokio::sync::mpsc;

use super::Base;
use crate::cloudtrail::{Decoder, Limits};
use crate::observation::{Body, Observation};
use crate::telemetry::metric_name::MetricName;
use crate::time::EventTime;

/// Records that are remembered; beyond it a shard that is taken later is not told of the oldest.
const KEPT_MAX: usize = 200_000;

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    kept: VecDeque<Observation>,
    /// How many were forgotten.
    before: u64,
}

/// Hears everything once.
#[derive(Debug)]
pub(super) struct Follower {
    said: Identity,
    next: u64,
}

impl Identity {
    /// Hears everything from the beginning on.
    pub(super) fn follow(&self) -> Follower {
        Follower { said: self.clone(), next: 0 }
    }

    fn say(&self, observation: Observation) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.kept.len() >= KEPT_MAX {
            said.kept.pop_front();
            said.before += 1;
        }
        said.kept.push_back(observation);
    }
}

impl Follower {
    /// The next that was not heard yet.
    pub(super) fn next(&mut self) -> Option<Observation> {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.next = self.next.max(said.before);
        let place = usize::try_from(self.next - said.before).ok()?;
        let found = said.kept.get(place).cloned();
        self.next += u64::from(found.is_some());
        found
    }
}

/// Reads the streams as long as the handle lives.
pub(super) async fn listen(base: Arc<Base>, mut deliveries: mpsc::Receiver<Delivery>, _reading: ConsumerHandle) {
    let mut observer = crate::cli::observer(&base.settings);
    let mut decoder = Decoder::new(Limits::default());
    while let Some(delivery) = deliveries.recv().await {
        match delivery {
            Delivery::Page { records, .. } => {
                base.metrics.count(MetricName::Records, &[], records.len() as u64);
                for record in &records {
                    let arrival = record.arrival_ms.map_or(base.now(), |ms| EventTime::from_unix(ms.div_euclid(1_000)));
                    decoder.decode(&record.data, &mut |item| match item {
                        Ok(decoded) => {
                            let observation = observer.observe(decoded, arrival);
                            if matches!(observation.body, Body::Grant { .. } | Body::Notice(_)) {
                                base.identity.say(observation);
                            }
                        }
                        Err(error) => base.metrics.count(MetricName::Undecodable, &[error.reason.label()], 1),
                    });
                }
            }
            Delivery::Trouble { stream, kind, message, .. } => {
                base.metrics.count(MetricName::KinesisTrouble, &[kind.as_str()], 1);
                if base.board.trouble(format!("{stream}: {}", kind.as_str()), base.now()) {
                    tracing::warn!(%stream, kind = kind.as_str(), message, "Kinesis call failed, will be made again");
                }
            }
            Delivery::Discovered { .. } | Delivery::ShardOpened { .. } | Delivery::ShardEnded { .. } | Delivery::Gap { .. } | _ => {}
        }
    }
}
