//! Commits: the state is taken between two events, and written while detection goes on.
//!
//! ```text
//! begin ── state, positions and pages under way, at one moment; a new journal ──┐
//!   │                                                       written in the background:
//!   │ events, alerts, pages go on                           archive → snapshot → positions
//!   ▼                                                                           │
//! finish ◀──────────────────────────────────────────────────────────────────────┘
//! ```
//! One is under way at a time. What fails is made again with the state of then: nothing is lost by it, since positions
//! have not moved.

use std::time::{Duration, Instant};

use kinesis_lease::Manifest;
use tokio::task::JoinHandle;

use super::archiving::Archiver;
use super::keeper::KeeperWriting;
use super::pipeline::Pipeline;
use crate::archive::Batch;
use crate::cli::{Exit, Failure};
use crate::clock::moment;
use crate::failpoint;
use crate::snapshot::Snapshot;
use crate::telemetry::metric_name::MetricName;
use crate::time::EventTime;

/// A commit that takes longer is told.
const SLOW: Duration = Duration::from_secs(60);
/// One that takes longer will not end.
const STUCK: Duration = Duration::from_secs(600);

/// What a commit is about: where none of it has changed, there is nothing to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    events: u64,
    alerts: u64,
    outbox: usize,
    watermark: EventTime,
    commands: u64,
    manifest: Manifest,
}

/// A commit that is being written.
#[derive(Debug)]
pub(super) struct Committing {
    task: JoinHandle<Written>,
    number: u64,
    mark: Mark,
    started: Instant,
}

/// What became of a commit.
#[derive(Debug)]
pub(super) struct Written {
    result: Result<KeeperWriting, Trouble>,
    /// What was to be archived with it.
    batch: Batch,
}

/// Why a commit was not written.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Storage(String),
    #[error("the archive: {0}")]
    Archive(String),
}

impl Pipeline {
    /// Whether a commit hangs: only a new process gets rid of it.
    pub(super) fn is_stuck(&self) -> bool {
        self.committing.as_ref().is_some_and(|committing| committing.started.elapsed() > STUCK)
    }

    /// Takes the state and begins to write it; nothing where nothing changed or a commit is under way.
    pub(super) fn begin_commit(&mut self) {
        if let Some(committing) = &self.committing {
            if committing.started.elapsed() > SLOW {
                let text = "the state has been being written for over a minute; positions stay where they are until it is";
                if self.trouble(text.to_owned()) {
                    tracing::error!("{text}");
                }
            }
            return;
        }
        let mark = self.mark();
        if self.last_commit.as_ref() == Some(&mark) {
            return;
        }
        let started = moment();
        let writing = match self.state.begin() {
            Ok(writing) => writing,
            Err(error) => return self.cannot_commit(&Trouble::Storage(error.to_string())),
        };
        let outbox = if failpoint::reached("no-outbox") { Vec::new() } else { self.outbox.undelivered() };
        let snapshot = Snapshot { engine: self.engine.image(), paging: self.paging.image(), outbox, positions: Vec::new() };
        let batch = std::mem::take(&mut self.archive);
        let number = writing.number();
        let task = tokio::spawn(write(writing, snapshot, mark.manifest.clone(), batch, self.archiver.clone()));
        self.committing = Some(Committing { task, number, mark, started });
        self.metrics.observe(MetricName::SnapshotPauseSeconds, started.elapsed().as_secs_f64());
    }

    /// Waits for the commit that is under way; for ever where none is.
    pub(super) async fn written(&mut self) -> Written {
        let Some(committing) = &mut self.committing else { return std::future::pending().await };
        match (&mut committing.task).await {
            Ok(written) => written,
            // A bug in writing must not look like a commit that takes long.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Takes in what became of a commit. `false` where it has to be made again.
    pub(super) fn finish_commit(&mut self, written: Written) -> bool {
        let Some(committing) = self.committing.take() else { return false };
        let Written { result, batch } = written;
        match result {
            Ok(writing) => {
                self.state.committed(&writing);
                self.manifest.tidy();
                self.metrics.count(MetricName::ArchivedCalls, &[], batch.lines);
                self.metrics.observe(MetricName::SnapshotSeconds, committing.started.elapsed().as_secs_f64());
                self.metrics.set(MetricName::SnapshotTime, &[], self.now().unix() as f64);
                let mut mark = committing.mark;
                mark.manifest.tidy();
                self.last_commit = Some(mark);
                true
            }
            Err(trouble) => {
                let objects = self.archiver.as_ref().map(|archiver| archiver.names(&batch, committing.number));
                self.state.failed(committing.number, objects.unwrap_or_default());
                // Its calls come before those that were settled since.
                let since = std::mem::replace(&mut self.archive, batch);
                self.archive.add(since);
                self.cannot_commit(&trouble);
                false
            }
        }
    }

    /// Commits what there is and waits for it, at the end.
    ///
    /// # Errors
    /// It cannot be written: what was decided since the last commit comes again after the next start.
    pub(super) async fn commit_all(&mut self) -> Result<(), Failure> {
        if self.committing.is_some() {
            let written = self.written().await;
            self.finish_commit(written);
        }
        self.begin_commit();
        if self.committing.is_some() {
            let written = self.written().await;
            self.finish_commit(written);
        }
        if self.last_commit.as_ref() == Some(&self.mark()) {
            return Ok(());
        }
        Err(Failure::new(Exit::CannotWrite, "the last state could not be written (see the log); its records are read again after a start"))
    }

    fn mark(&self) -> Mark {
        Mark {
            events: self.outcome.counts.events,
            alerts: self.outcome.counts.alerts.values().sum(),
            outbox: self.outbox.len(),
            watermark: self.engine.gauges().watermark,
            commands: self.commands,
            manifest: self.manifest.clone(),
        }
    }

    fn cannot_commit(&mut self, trouble: &Trouble) {
        let text = match trouble {
            Trouble::Storage(_) => "the state cannot be written; positions stay where they are until it can",
            Trouble::Archive(_) => {
                self.metrics.count(MetricName::ArchiveFailures, &[], 1);
                "the archive cannot be written; nothing is committed until it can"
            }
        };
        if self.trouble(text.to_owned()) {
            tracing::error!(why = %trouble, "{text}");
        }
    }
}

async fn write(mut writing: KeeperWriting, snapshot: Snapshot, manifest: Manifest, batch: Batch, archiver: Option<Archiver>) -> Written {
    let result = async {
        if let Some(archiver) = archiver.as_ref().filter(|_| !batch.is_empty()) {
            failpoint::reached("before-archive");
            archive(&mut writing, archiver, &batch).await?;
            failpoint::reached("after-archive");
        }
        let number = writing.number();
        let mut written = match writing.write(snapshot, manifest).await {
            Ok(written) => written,
            Err(unwritten) => {
                if let Some(archiver) = archiver.as_ref().filter(|_| unwritten.is_in_vain) {
                    // Whoever goes on has looked for it already, maybe before it was written.
                    archiver.remove(&archiver.names(&batch, number)).await.map_err(Trouble::Archive)?;
                }
                return Err(Trouble::Storage(unwritten.why));
            }
        };
        if let Some(archiver) = archiver.filter(|_| !written.in_vain().is_empty())
            && archiver.remove(written.in_vain()).await.is_ok()
        {
            written.forget().await;
        }
        Ok(written)
    };
    let result = result.await;
    Written { result, batch }
}

/// Writes the calls that were settled since the last commit: noted first, so that a crash leaves nothing twice.
async fn archive(writing: &mut KeeperWriting, archiver: &Archiver, batch: &Batch) -> Result<(), Trouble> {
    let number = writing.number();
    if !failpoint::reached("no-intent") {
        writing.intend(&archiver.names(batch, number)).await.map_err(Trouble::Storage)?;
        failpoint::reached("after-note");
    }
    let parts = tokio::task::block_in_place(|| batch.parts());
    archiver.write(parts, number).await.map_err(Trouble::Archive)
}
