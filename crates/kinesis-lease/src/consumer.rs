//! Starting and stopping.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::calls::StreamCalls;
use crate::checkpoint::{Lease, Manifest};
use crate::delivery::Delivery;
use crate::discovery::StreamTask;
use crate::fan_out::StreamConsumer;
use crate::settings::{ConsumerSettings, SettingsError, StreamSettings, validate};
use crate::shard::Shared;

/// Reads streams; see the [crate]'s tour.
#[derive(Debug)]
pub struct Consumer;

impl Consumer {
    /// Starts one task for each stream, on the current tokio runtime, and returns what they say
    /// together with the handle that stops them. Dropping either stops them, too. A receiver that
    /// gives `None` before that means that a task panicked, which is a bug and stops all of them.
    ///
    /// Each stream comes with its client, so that streams may lie in different regions and
    /// accounts; clones of one client are cheap. [`client_config_defaults`] gives a client the
    /// time-outs that a reader needs.
    ///
    /// `resume` is the manifest as last committed; an empty one for a first start. Its leases of
    /// streams that are not in `streams` are ignored.
    ///
    /// # Errors
    /// Settings that cannot work. Nothing is started then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// [`client_config_defaults`]: crate::client_config_defaults
    pub fn start(
        streams: Vec<(Client, StreamSettings)>,
        settings: ConsumerSettings,
        resume: Manifest,
    ) -> Result<(mpsc::Receiver<Delivery>, ConsumerHandle), SettingsError> {
        validate(streams.iter().map(|(_, stream)| stream), &settings)?;
        let (deliveries, receiver) = mpsc::channel(settings.pages_in_flight);
        let (stop, stopping) = watch::channel(false);
        let stop = Arc::new(stop);
        let fetches = Arc::new(Semaphore::new(settings.concurrent_fetches));
        let backoff = Backoff::new(settings.backoff_base, settings.backoff_max);
        let mut leases = by_stream(resume);
        let mut tasks = JoinSet::new();
        for (client, stream) in streams {
            let key = stream.key();
            let calls = StreamCalls::new(client, &stream, settings.call_timeout);
            let shared = Shared {
                consumer: StreamConsumer::of(&calls, &stream),
                calls,
                settings: Arc::new(stream),
                deliveries: deliveries.clone().into(),
                fetches: fetches.clone(),
                suspects: Arc::new(Semaphore::new(1)),
            };
            let leases = leases.remove(&key).unwrap_or_default();
            let task = StreamTask::new(key, shared, leases, backoff.clone());
            let mut stopping = stopping.clone();
            let all_or_none = StopOnPanic(stop.clone());
            tasks.spawn(async move {
                let _all_or_none = all_or_none;
                // An error means that the handle is gone, which is a reason to stop as well.
                task.run(async { _ = stopping.wait_for(|stop| *stop).await }).await;
            });
        }
        let handle = ConsumerHandle { stop, tasks, stop_timeout: settings.stop_timeout };
        Ok((receiver, handle))
    }
}

/// Stops every stream when the task that holds it panics. To read on without one stream would be
/// blindness that nobody notices; a receiver that gives `None` is noticed.
struct StopOnPanic(Arc<watch::Sender<bool>>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

fn by_stream(manifest: Manifest) -> BTreeMap<Arc<str>, BTreeMap<Arc<str>, Lease>> {
    let mut streams: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Lease>> = BTreeMap::new();
    for (key, lease) in manifest.checkpoints {
        streams.entry(key.stream).or_default().insert(key.shard, lease);
    }
    streams
}

/// Keeps a [`Consumer`]'s tasks running; dropping it ends them.
#[derive(Debug)]
#[must_use = "the consumer stops when its handle is dropped"]
pub struct ConsumerHandle {
    stop: Arc<watch::Sender<bool>>,
    tasks: JoinSet<()>,
    stop_timeout: Duration,
}

impl ConsumerHandle {
    /// Stops reading and waits until every task has ended, at most
    /// [`ConsumerSettings::stop_timeout`]; what is left then is aborted.
    ///
    /// Calls under way are dropped, as is a page that has no place in the channel yet: neither was
    /// handed over, so both come again. What is in the channel can still be received; after that
    /// the receiver gives `None`.
    pub async fn stop(self) {
        let Self { stop, mut tasks, stop_timeout } = self;
        stop.send_replace(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(stop_timeout, all).await.is_err() {
            tracing::warn!(?stop_timeout, "consumer did not stop in time, aborting it");
            tasks.shutdown().await;
        }
    }
}
