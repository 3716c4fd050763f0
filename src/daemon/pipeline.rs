//! The one owner of the engine: takes deliveries in, journals and sends what is decided, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinesis_lease::{Checkpoint, Delivery, Manifest, Record, ShardKey};

use super::Outcome;
use super::archiving::Archiver;
use super::committing::{Committing, Mark};
use super::keeper::Keeper;
use super::outbox::Outbox;
use super::showing::Shown;
use crate::alerting::{Alert, Digest, Page, Paging, PagingImage, Silence, Status};
use crate::archive::Batch;
use crate::cli::Failure;
use crate::clock::{Clock, moment};
use crate::cloudtrail::{Decoder, Limits};
use crate::config::Settings;
use crate::engine::{Engine, InputId, Report};
use crate::failpoint;
use crate::identity::Directory;
use crate::observation::{Observation, Observer};
use crate::sigma::RuleSet;
use crate::sns::{Published, RetryClass};
use crate::sources::Policies;
use crate::storage::DeadLetter;
use crate::telemetry::Metrics;
use crate::telemetry::metric_name::MetricName;
use crate::time::EventTime;
use crate::web::Evidence;

/// A shard that ended waits this long for its children to be listed.
const CHILDREN_WAIT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Pipeline {
    decoder: Decoder,
    observer: Observer,
    pub(super) engine: Engine,
    pub(super) outbox: Outbox,
    pub(super) shown: Shown,
    /// Records behind alerts.
    pub(super) evidence: Evidence,
    /// When the last delivery was taken in.
    arrived: Instant,
    /// Who is woken.
    pub(super) paging: Paging,
    pub(super) state: Keeper,
    /// Settled calls that are not archived yet, and where they go.
    pub(super) archive: Batch,
    pub(super) archiver: Option<Archiver>,
    pub(super) manifest: Manifest,
    clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) outcome: Outcome,
    /// Shards that are being read, with how far behind their ends that is, in milliseconds.
    pub(super) shards: BTreeMap<ShardKey, (InputId, i64)>,
    pub(super) troubles: BTreeMap<String, Instant>,
    /// Shards that were read to their end and whose children are not known yet.
    ended: Vec<(ShardKey, InputId, Instant)>,
    pub(super) last_commit: Option<Mark>,
    pub(super) committing: Option<Committing>,
    /// Records that arrived up to then may have been acted upon by another worker.
    pub(super) taken_at: Option<EventTime>,
    is_repeat: bool,
    /// Gaps whose end is not known yet, by when they begin.
    pub(super) gaps: BTreeMap<ShardKey, EventTime>,
    /// Wishes of people so far: what they ask for is committed at once.
    pub(super) commands: u64,
}

/// A decoder that gives what an observer needs.
fn decoder_for(observer: &Observer) -> Decoder {
    Decoder::new(Limits { keep_text: observer.wants_text(), ..Limits::default() })
}

impl Pipeline {
    pub(super) fn new(
        settings: &Settings,
        engine: Engine,
        outbox: Outbox,
        state: Keeper,
        manifest: Manifest,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let observer = crate::cli::observer(settings);
        let mut pipeline = Self {
            decoder: decoder_for(&observer),
            observer,
            engine,
            outbox,
            shown: Shown::default(),
            evidence: Evidence::default(),
            arrived: moment(),
            paging: Paging::new(settings.paging),
            state,
            archive: Batch::default(),
            archiver: None,
            manifest,
            clock,
            metrics,
            outcome: Outcome::default(),
            shards: BTreeMap::new(),
            troubles: BTreeMap::new(),
            ended: Vec::new(),
            last_commit: None,
            committing: None,
            taken_at: None,
            is_repeat: false,
            gaps: BTreeMap::new(),
            commands: 0,
        };
        pipeline.open_inputs();
        pipeline
    }

    /// Writes settled calls there.
    pub(super) fn archive_to(&mut self, archiver: Archiver) {
        self.archiver = Some(archiver);
    }

    /// Takes the silences of the configuration.
    pub(super) fn silence_configured(&mut self, silences: &[Silence]) {
        let now = self.clock.now().0;
        for silence in silences {
            if let Err(error) = self.paging.silence(silence.clone(), now) {
                tracing::warn!(reason = silence.reason, until = %silence.until, %error, "a silence of the configuration is not in effect");
            }
        }
    }

    /// Takes over what on-call knows, and sends what a former process had decided and not delivered.
    pub(super) fn resume(&mut self, paging: PagingImage, pages: Vec<Page>) -> Result<(), Failure> {
        self.paging.restore(paging);
        let marked = pages.into_iter().map(|page| match page {
            Page::Alert(alert) => Page::Alert(Box::new(Alert { possible_duplicate: true, ..*alert })),
            Page::Record(alert) => Page::Record(Box::new(Alert { possible_duplicate: true, ..*alert })),
            Page::Digest(digest) => Page::Digest(Box::new(Digest { possible_duplicate: true, ..*digest })),
        });
        let marked = marked.collect();
        self.page_out(marked)
    }

    /// Takes in what every engine of a fleet is told.
    pub(super) fn tell(&mut self, observation: Observation) -> Result<(), Failure> {
        let mut report = Report::default();
        self.engine.tell(observation, &mut report);
        self.take(report)
    }

    /// Takes one delivery in.
    pub(super) fn deliver(&mut self, delivery: Delivery) -> Result<(), Failure> {
        self.arrived = moment();
        self.manifest.apply(&delivery);
        if let Delivery::Discovered { .. } = &delivery {
            self.open_inputs();
            self.close_ended()?;
        }
        match delivery {
            Delivery::ShardOpened { shard, .. } => {
                let input = self.engine.input(&shard.to_string());
                self.shards.insert(shard, (input, 0));
                Ok(())
            }
            Delivery::Page { shard, records, end, millis_behind_latest, caught_up } => {
                let behind = millis_behind_latest.unwrap_or(0);
                self.metrics.set(MetricName::MillisBehindLatest, &[&shard.to_string()], behind as f64);
                if let Some((_, shown)) = self.shards.get_mut(&shard) {
                    *shown = behind;
                }
                self.page(&shard, records, caught_up)?;
                self.manifest.advance(&shard, end);
                Ok(())
            }
            Delivery::ShardEnded { shard } => {
                self.manifest.end(&shard);
                if let Some((input, _)) = self.shards.remove(&shard) {
                    self.ended.push((shard, input, moment()));
                }
                self.open_inputs();
                self.close_ended()
            }
            Delivery::Gap { shard, lost_from, kind, message } => {
                self.metrics.count(MetricName::KinesisGaps, &[], 1);
                tracing::error!(%shard, %lost_from, message, "records were lost to retention before they were read; going on at the oldest one");
                self.trouble(format!("{shard}: records were lost to retention"));
                self.gap(&shard, &lost_from, kind)
            }
            Delivery::Trouble { stream, shard, kind, message, retry_in } => {
                self.metrics.count(MetricName::KinesisTrouble, &[kind.as_str()], 1);
                let place = shard.map_or_else(|| stream.to_string(), |shard| shard.to_string());
                let text = format!("{place}: {}", kind.as_str());
                if self.trouble(text) {
                    tracing::warn!(place, kind = kind.as_str(), message, ?retry_in, "Kinesis call failed, will be made again");
                }
                Ok(())
            }
            // Shapes of the stream are taken over by `apply` above; what a later version of the reader adds is only counted there.
            Delivery::Discovered { .. } | _ => Ok(()),
        }
    }

    /// Opens the input of every shard that is read or about to be, before any page of it comes: the watermark must wait
    /// for the slowest shard, not only for those that have spoken.
    fn open_inputs(&mut self) {
        let leases = &self.manifest.checkpoints;
        let is_over = |stream: &Arc<str>, parent: &Arc<str>| {
            leases.get(&ShardKey::new(stream.clone(), parent.clone())).is_none_or(|lease| lease.checkpoint == Checkpoint::ShardEnd)
        };
        for (shard, lease) in leases {
            if lease.checkpoint != Checkpoint::ShardEnd && lease.parents.iter().all(|parent| is_over(&shard.stream, parent)) {
                self.engine.input(&shard.to_string());
            }
        }
    }

    /// Closes the inputs of ended shards whose children are known (and so open by now). A shard that ends without
    /// children, with its stream, is closed after a while.
    pub(super) fn close_ended(&mut self) -> Result<(), Failure> {
        let mut report = Report::default();
        let (leases, engine) = (&self.manifest.checkpoints, &mut self.engine);
        self.ended.retain(|(shard, input, since)| {
            let has_children = leases.get(shard).is_none_or(|lease| !lease.children.is_empty());
            let is_done = has_children || since.elapsed() > CHILDREN_WAIT;
            if is_done {
                engine.handle_closed(*input, &mut report);
            }
            !is_done
        });
        self.take(report)
    }

    fn page(&mut self, shard: &ShardKey, records: Vec<Record>, caught_up: bool) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some((input, _)) = self.shards.get(shard).copied() else { return Ok(()) };
        self.end_gap(shard, &records, caught_up)?;
        let mut report = Report::default();
        let is_empty = records.is_empty();
        for record in &records {
            self.record(shard, input, record, &mut report)?;
        }
        if caught_up && is_empty {
            self.engine.handle_idle(input, now, &mut report);
        }
        self.outcome.records += records.len() as u64;
        self.metrics.count(MetricName::Records, &[], records.len() as u64);
        self.take(report)
    }

    fn record(&mut self, shard: &ShardKey, input: InputId, record: &Record, report: &mut Report) -> Result<(), Failure> {
        let (now, arrival) = (self.clock.now(), self.arrival(record));
        self.is_repeat = self.taken_at.is_some_and(|taken| arrival <= taken);
        let (mut first, mut errors) = (None, 0u64);
        let (engine, observer, metrics, evidence) = (&mut self.engine, &mut self.observer, &self.metrics, &mut self.evidence);
        let outcome = self.decoder.decode(&record.data, &mut |item| match item {
            Ok(decoded) => {
                let mut observation = observer.observe(decoded, arrival);
                if failpoint::reached("no-dedup") {
                    observation.fingerprint = fastrand::u64(..);
                }
                metrics.lag(now.0.since(observation.time));
                let waiting = engine.waiting();
                engine.handle(input, observation, now, report);
                let waits = engine.waiting() > waiting;
                if let Some(text) = decoded.text.filter(|_| waits || !report.cited.is_empty()) {
                    evidence.note(decoded.event.event_id.as_str(), text, &report.cited, waits);
                }
                report.cited.clear();
            }
            Err(error) => {
                errors += 1;
                metrics.count(MetricName::Undecodable, &[error.reason.label()], 1);
                first.get_or_insert(error);
            }
        });
        self.metrics.count(MetricName::ControlMessages, &[], outcome.control_messages);
        self.outcome.undecodable += outcome.errors;
        self.engine.note_record(arrival, first.is_some(), report);
        let Some(first) = first else { return Ok(()) };
        // The whole record is kept once: its good events are known by their ids when it is replayed.
        let place = shard.to_string();
        tracing::warn!(%shard, sequence = record.sequence_number, errors, first = %first, "part of a record cannot be decoded; kept as a dead letter");
        self.dead_letter(&DeadLetter {
            time: now.0.to_string(),
            kind: "record",
            place: &place,
            id: &record.sequence_number,
            reason: &first.to_string(),
            data: base64_simd::STANDARD.encode_to_string(&record.data),
            page: None,
        })
    }

    /// When the stream took a record.
    pub(super) fn arrival(&self, record: &Record) -> EventTime {
        record.arrival_ms.map_or_else(|| self.now(), |ms| EventTime::from_unix(ms.div_euclid(1_000)))
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), Failure> {
        self.metrics.count(MetricName::DeadLetters, &[letter.kind], 1);
        match self.state.dead_letter(letter) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.trouble("the dead-letter file is full; further letters are only counted".to_owned());
                self.letter_lost(true)
            }
            Err(error) => {
                if self.trouble("the dead-letter file cannot be written; letters are only counted".to_owned()) {
                    tracing::error!(%error, "the dead-letter file cannot be written; letters are only counted");
                }
                self.letter_lost(false)
            }
        }
    }

    /// Counts what the engine did and sends what it decided.
    pub(super) fn take(&mut self, report: Report) -> Result<(), Failure> {
        self.metrics.report(&report.counts);
        self.outcome.counts.add(&report.counts);
        self.archive.add(report.archive);
        self.send(report.alerts)
    }

    fn send(&mut self, alerts: Vec<Alert>) -> Result<(), Failure> {
        for alert in &alerts {
            tracing::info!(
                alert = %alert.alert_id, incident = %alert.incident_id, status = alert.status.label(), detector = alert.detector.label(),
                severity = alert.severity.label(), events = alert.event_count, "alert"
            );
        }
        let (now, mut pages) = (self.clock.now().0, Vec::new());
        let mut for_people = Vec::new();
        for mut alert in alerts.into_iter().filter(|alert| self.outbox.is_sent(alert)) {
            alert.possible_duplicate |= self.is_repeat;
            if self.outbox.has_takers(&alert, false) {
                pages.push(Page::Record(Box::new(alert.clone())));
            }
            if self.outbox.has_takers(&alert, true) {
                for_people.push(alert);
            }
        }
        self.paging.take_all(for_people, now, &mut pages);
        self.page_out(pages)
    }

    /// Sends pages. What was decided is written down before it is published.
    pub(super) fn page_out(&mut self, pages: Vec<Page>) -> Result<(), Failure> {
        if pages.is_empty() {
            return Ok(());
        }
        let alerts = pages.iter().filter_map(|page| match page {
            Page::Alert(alert) | Page::Record(alert) => Some(&**alert),
            Page::Digest(_) => None,
        });
        failpoint::reached("before-journal");
        // Without the note a crash may send one of them again without saying so: better than not to be told at all.
        if let Err(error) = self.state.journal(alerts)
            && self.trouble("the alert journal cannot be written; pages go out all the same".to_owned())
        {
            tracing::error!(%error, "the alert journal cannot be written; pages go out all the same");
        }
        failpoint::reached("before-publish");
        pages.into_iter().for_each(|page| self.outbox.send(page, self.arrived));
        Ok(())
    }

    /// Takes in what became of a message.
    pub(super) fn published(&mut self, topic: &str, result: Published) -> Result<(), Failure> {
        match result {
            Published::Sent { sequence, seconds } => {
                failpoint::reached("before-settle");
                self.metrics.observe(MetricName::SnsPublishSeconds, seconds);
                if let Some((Page::Alert(alert) | Page::Record(alert), since)) = self.outbox.settle(sequence)
                    && alert.status == Status::Opened
                {
                    self.metrics.paged(since.elapsed());
                }
                Ok(())
            }
            Published::Refused { sequence, why } => {
                let Some((page, _)) = self.outbox.settle(sequence) else { return Ok(()) };
                tracing::error!(topic, alert = %page.id(), why, "SNS refuses a message for good; kept as a dead letter");
                let data = base64_simd::STANDARD.encode_to_string(page.to_ndjson());
                let (time, id) = (self.now().to_string(), page.id().to_string());
                self.dead_letter(&DeadLetter { time, kind: "message", place: topic, id: &id, reason: &why, data, page: Some(&page) })
            }
            Published::Retrying { class, why, retry_in } => {
                self.metrics.count(MetricName::SnsRetries, &[class.label()], 1);
                let is_new = self.trouble(format!("{topic}: SNS {}", class.label()));
                if is_new && class == RetryClass::Permission {
                    tracing::error!(topic, why, ?retry_in, "SNS refuses the topic; alerts wait until that is cured");
                } else if is_new {
                    tracing::warn!(topic, why, ?retry_in, "SNS call failed, will be made again");
                }
                Ok(())
            }
        }
    }

    /// Uses a directory that was read again.
    ///
    /// # Errors
    /// Why it is not used.
    pub(super) fn use_directory(&mut self, directory: Directory) -> Result<(), Vec<String>> {
        let people = directory.people();
        self.engine.set_directory(Arc::new(directory), self.clock.now()).map_err(|refused| vec![refused.to_string()])?;
        self.metrics.count(MetricName::Reloads, &["directory", "used"], 1);
        tracing::info!(people, "the directory changed and is in use");
        Ok(())
    }

    /// Uses policies that were read again.
    pub(super) fn use_policies(&mut self, policies: Policies) {
        let documents = policies.book.attached().documents().count();
        self.engine.set_policy(policies.book);
        self.metrics.count(MetricName::Reloads, &["policy", "used"], 1);
        tracing::info!(documents, "the policy documents changed and are in use");
        policies.notices.iter().for_each(|notice| tracing::warn!(%notice, "a policy is not understood in part"));
    }

    /// Uses rules that were read again.
    pub(super) fn use_rules(&mut self, rules: RuleSet) {
        let rules = Arc::new(rules);
        let alerting = rules.alerting().count();
        self.observer.set_rules(Arc::clone(&rules));
        self.decoder = decoder_for(&self.observer);
        self.engine.set_rules(rules);
        self.metrics.count(MetricName::Reloads, &["rules", "used"], 1);
        tracing::info!(alerting, "the rules changed and are in use");
    }

    /// A changed file is broken: the one before it stays in use.
    pub(super) fn refuse_reload(&mut self, file: &'static str, errors: &[String]) {
        self.metrics.count(MetricName::Reloads, &[file, "refused"], 1);
        errors.iter().for_each(|error| tracing::error!(file, error, "a changed file is broken and not used; the one before it stays"));
    }

    /// The page says so as long as a changed file is not used.
    pub(super) fn keep_refused(&mut self, file: &'static str) {
        self.trouble(format!("the changed {file} file is not used; see the log"));
    }

    /// What time it is.
    pub(super) fn now(&self) -> EventTime {
        self.clock.now().0
    }

    /// Whether so much is settled that it should be committed now.
    pub(super) fn is_full(&self) -> bool {
        self.archiver.is_some() && self.archive.is_full()
    }

    /// Whether further pages may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room() && !self.is_full()
    }

    /// Whether everything decided is delivered.
    pub(super) fn is_delivered(&self) -> bool {
        self.outbox.len() == 0
    }

    /// What was done.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome { lag: self.metrics.lag_quantiles(), paged: self.metrics.paged_quantiles(), ..self.outcome.clone() }
    }
}
