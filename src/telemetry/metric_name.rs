//! Every metric: its name, what it means, and its labels. Dashboards and alert rules use only these.

use self::Kind::{Counter, Gauge, Histogram};
use self::MetricName as M;

/// Names a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is described by `help`, which is its documentation")]
pub enum MetricName {
    Records,
    Events,
    Invocations,
    Duplicates,
    Late,
    OutOfOrder,
    Future,
    Grants,
    Companions,
    Unpaired,
    Attributed,
    Undecodable,
    ControlMessages,
    Findings,
    Alerts,
    SnsPublishSeconds,
    PageSeconds,
    SnsRetries,
    DeadLetters,
    EventLagSeconds,
    MillisBehindLatest,
    KinesisTrouble,
    KinesisGaps,
    TrackedActors,
    HeldCalls,
    HeldOverflow,
    KnownGrants,
    OpenAlerts,
    Outbox,
    Evicted,
    Silences,
    PagesHeld,
    WatermarkSeconds,
    DedupHorizonSeconds,
    SnapshotSeconds,
    SnapshotPauseSeconds,
    SnapshotTime,
    AttributionShare,
    PolicyVerdicts,
    PolicyUnknownShare,
    Removals,
    UnlinkedPeople,
    BaselineRatio,
    Reloads,
    ArchivedCalls,
    ArchiveFailures,
    HttpRefused,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in seconds.
    Histogram,
}

impl MetricName {
    /// Every metric.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Records; TABLE.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = TABLE[index].0;
            index += 1;
        }
        all
    };

    /// Name, kind, labels and help.
    pub const fn spec(self) -> (&'static str, Kind, &'static [&'static str], &'static str) {
        let (_, name, kind, labels, help) = TABLE[self as usize];
        (name, kind, labels, help)
    }
}

/// One row a metric, in the order of the names.
type Row = (MetricName, &'static str, Kind, &'static [&'static str], &'static str);

const TABLE: [Row; 47] = [
    (M::Records, "geophone_records_total", Counter, &[], "Kinesis records read."),
    (M::Events, "geophone_events_total", Counter, &[], "CloudTrail events decoded."),
    (
        M::Invocations,
        "geophone_invocations_total",
        Counter,
        &["department", "model_family", "outcome"],
        "Bedrock calls that spend a model's time, by department (configured ones, else other or unknown), model family and outcome.",
    ),
    (M::Duplicates, "geophone_duplicates_total", Counter, &[], "Events that were seen before and had no effect."),
    (M::Late, "geophone_late_events_total", Counter, &[], "Events later than lateness allows: judged, never learned from."),
    (M::OutOfOrder, "geophone_out_of_order_total", Counter, &[], "Events older than one before them on the same shard."),
    (M::Future, "geophone_future_events_total", Counter, &[], "Events whose time is more than ten minutes ahead."),
    (M::Grants, "geophone_grants_total", Counter, &[], "STS and Cognito records that issued credentials."),
    (M::Companions, "geophone_companions_total", Counter, &[], "Companion records of streaming calls."),
    (M::Unpaired, "geophone_unpaired_total", Counter, &[], "Streaming calls or companions whose other half never came."),
    (M::Attributed, "geophone_attributed_total", Counter, &["to"], "Calls attributed to a person, to a department, or to none, by reason."),
    (
        M::Undecodable,
        "geophone_undecodable_total",
        Counter,
        &["reason"],
        "Parts of records that could not be decoded; they are dead-lettered.",
    ),
    (M::ControlMessages, "geophone_control_messages_total", Counter, &[], "CloudWatch Logs health probes, dropped."),
    (M::Findings, "geophone_findings_total", Counter, &["detector", "severity"], "Findings."),
    (M::Alerts, "geophone_alerts_total", Counter, &["detector", "status"], "Alert messages decided."),
    (M::SnsPublishSeconds, "geophone_sns_publish_seconds", Histogram, &[], "Time of an accepted PublishBatch call."),
    (
        M::PageSeconds,
        "geophone_page_seconds",
        Histogram,
        &[],
        "Time from the arrival of the records that decided a new alert to SNS's accepting its message.",
    ),
    (M::SnsRetries, "geophone_sns_retries_total", Counter, &["class"], "SNS calls that failed and are made again."),
    (M::DeadLetters, "geophone_dead_letters_total", Counter, &["kind"], "Records and messages put aside as unprocessable."),
    (M::EventLagSeconds, "geophone_event_lag_seconds", Histogram, &[], "From an event's time to the decision about it."),
    (
        M::MillisBehindLatest,
        "geophone_kinesis_millis_behind_latest",
        Gauge,
        &["shard"],
        "How far reading is behind a shard's newest record, in milliseconds.",
    ),
    (M::KinesisTrouble, "geophone_kinesis_trouble_total", Counter, &["kind"], "Kinesis calls that failed and are made again."),
    (M::KinesisGaps, "geophone_kinesis_gaps_total", Counter, &[], "Times that records were lost to retention before they were read."),
    (M::TrackedActors, "geophone_tracked_actors", Gauge, &[], "Actors whose calls are counted."),
    (M::HeldCalls, "geophone_held_calls", Gauge, &[], "Calls that wait for the record that issued their key."),
    (
        M::HeldOverflow,
        "geophone_held_overflow_total",
        Counter,
        &[],
        "Calls that went on without their grant because too many were waiting.",
    ),
    (M::KnownGrants, "geophone_known_grants", Gauge, &[], "Access keys whose grant is known."),
    (M::OpenAlerts, "geophone_open_alerts", Gauge, &[], "Alerts that are open."),
    (M::Outbox, "geophone_outbox", Gauge, &[], "Alert messages that SNS has not accepted yet."),
    (M::Evicted, "geophone_evicted_total", Counter, &["table"], "Entries forgotten for want of room."),
    (M::Silences, "geophone_silences", Gauge, &[], "Silences in effect, or to come."),
    (M::PagesHeld, "geophone_pages_held_total", Counter, &["reason"], "Messages that a silence, or the hourly budget, kept back."),
    (
        M::WatermarkSeconds,
        "geophone_watermark_seconds",
        Gauge,
        &[],
        "Event time up to which everything has been seen, in seconds since the epoch.",
    ),
    (
        M::DedupHorizonSeconds,
        "geophone_dedup_horizon_seconds",
        Gauge,
        &[],
        "How far back duplicates are known at the present rate of events, in seconds; 0 while the rate is not known.",
    ),
    (M::SnapshotSeconds, "geophone_snapshot_seconds", Histogram, &[], "Time to write a snapshot."),
    (M::SnapshotPauseSeconds, "geophone_snapshot_pause_seconds", Histogram, &[], "Time for which a snapshot keeps events waiting."),
    (
        M::SnapshotTime,
        "geophone_snapshot_timestamp_seconds",
        Gauge,
        &[],
        "When the last snapshot was committed, in seconds since the epoch.",
    ),
    (
        M::AttributionShare,
        "geophone_attribution_share",
        Gauge,
        &["reason"],
        "Share of calls of the last ten minutes or so by where their department comes from, or why it is unknown; person: with a person.",
    ),
    (
        M::PolicyVerdicts,
        "geophone_policy_verdicts_total",
        Counter,
        &["verdict"],
        "What the policies said about calls; no-document: none is attached to the caller.",
    ),
    (
        M::PolicyUnknownShare,
        "geophone_policy_unknown_share",
        Gauge,
        &[],
        "Share of verdicts of the last ten minutes or so that cannot be told.",
    ),
    (M::Removals, "geophone_removals_total", Counter, &[], "Records that removed, disabled or signed out somebody."),
    (M::UnlinkedPeople, "geophone_unlinked_people", Gauge, &[], "People with calls whom the directory does not list."),
    (
        M::BaselineRatio,
        "geophone_baseline_ratio",
        Gauge,
        &[],
        "Share of learning_days that the baselines have counted; below 1 spikes and spending are not judged.",
    ),
    (
        M::Reloads,
        "geophone_reloads_total",
        Counter,
        &["file", "outcome"],
        "Directory, policy, rule, certificate and user files read again after a change.",
    ),
    (M::ArchivedCalls, "geophone_archived_calls_total", Counter, &[], "Model calls written to the enriched log."),
    (
        M::ArchiveFailures,
        "geophone_archive_failures_total",
        Counter,
        &[],
        "Times that the enriched log could not be written; nothing is committed meanwhile.",
    ),
    (M::HttpRefused, "geophone_http_refused_total", Counter, &["reason"], "Connections and requests to the page that were refused."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        for (index, (name, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*name as usize, index, "{name:?}");
        }
    }
}
