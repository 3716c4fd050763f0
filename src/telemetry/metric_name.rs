//! Every metric: its name, what it means, and its labels. Dashboards and alert rules use only these.

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
    WatermarkSeconds,
    DedupHorizonSeconds,
    SnapshotSeconds,
    SnapshotTime,
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
    pub const ALL: [Self; 33] = [
        Self::Records,
        Self::Events,
        Self::Invocations,
        Self::Duplicates,
        Self::Late,
        Self::OutOfOrder,
        Self::Future,
        Self::Grants,
        Self::Companions,
        Self::Unpaired,
        Self::Attributed,
        Self::Undecodable,
        Self::ControlMessages,
        Self::Findings,
        Self::Alerts,
        Self::SnsPublishSeconds,
        Self::SnsRetries,
        Self::DeadLetters,
        Self::EventLagSeconds,
        Self::MillisBehindLatest,
        Self::KinesisTrouble,
        Self::KinesisGaps,
        Self::TrackedActors,
        Self::HeldCalls,
        Self::HeldOverflow,
        Self::KnownGrants,
        Self::OpenAlerts,
        Self::Outbox,
        Self::Evicted,
        Self::WatermarkSeconds,
        Self::DedupHorizonSeconds,
        Self::SnapshotSeconds,
        Self::SnapshotTime,
    ];

    /// Name, kind, labels and help.
    pub const fn spec(self) -> (&'static str, Kind, &'static [&'static str], &'static str) {
        use Kind::{Counter, Gauge, Histogram};
        match self {
            Self::Records => ("geophone_records_total", Counter, &[], "Kinesis records read."),
            Self::Events => ("geophone_events_total", Counter, &[], "CloudTrail events decoded."),
            Self::Invocations => (
                "geophone_invocations_total",
                Counter,
                &["department", "model_family", "outcome"],
                "Bedrock calls that spend a model's time, by department (configured ones, else other or unknown), model family and outcome.",
            ),
            Self::Duplicates => ("geophone_duplicates_total", Counter, &[], "Events that were seen before and had no effect."),
            Self::Late => ("geophone_late_events_total", Counter, &[], "Events later than lateness allows: judged, never learned from."),
            Self::OutOfOrder => ("geophone_out_of_order_total", Counter, &[], "Events older than one before them on the same shard."),
            Self::Future => ("geophone_future_events_total", Counter, &[], "Events whose time is more than ten minutes ahead."),
            Self::Grants => ("geophone_grants_total", Counter, &[], "STS and Cognito records that issued credentials."),
            Self::Companions => ("geophone_companions_total", Counter, &[], "Companion records of streaming calls."),
            Self::Unpaired => ("geophone_unpaired_total", Counter, &[], "Streaming calls or companions whose other half never came."),
            Self::Attributed => {
                ("geophone_attributed_total", Counter, &["to"], "Calls attributed to a person, to a department, or to none, by reason.")
            }
            Self::Undecodable => {
                ("geophone_undecodable_total", Counter, &["reason"], "Parts of records that could not be decoded; they are dead-lettered.")
            }
            Self::ControlMessages => ("geophone_control_messages_total", Counter, &[], "CloudWatch Logs health probes, dropped."),
            Self::Findings => ("geophone_findings_total", Counter, &["detector", "severity"], "Findings."),
            Self::Alerts => ("geophone_alerts_total", Counter, &["detector", "status"], "Alert messages decided."),
            Self::SnsPublishSeconds => ("geophone_sns_publish_seconds", Histogram, &[], "Time of an accepted PublishBatch call."),
            Self::SnsRetries => ("geophone_sns_retries_total", Counter, &["class"], "SNS calls that failed and are made again."),
            Self::DeadLetters => ("geophone_dead_letters_total", Counter, &["kind"], "Records and messages put aside as unprocessable."),
            Self::EventLagSeconds => ("geophone_event_lag_seconds", Histogram, &[], "From an event's time to the decision about it."),
            Self::MillisBehindLatest => (
                "geophone_kinesis_millis_behind_latest",
                Gauge,
                &["shard"],
                "How far reading is behind a shard's newest record, in milliseconds.",
            ),
            Self::KinesisTrouble => ("geophone_kinesis_trouble_total", Counter, &["kind"], "Kinesis calls that failed and are made again."),
            Self::KinesisGaps => {
                ("geophone_kinesis_gaps_total", Counter, &[], "Times that records were lost to retention before they were read.")
            }
            Self::TrackedActors => ("geophone_tracked_actors", Gauge, &[], "Actors whose calls are counted."),
            Self::HeldCalls => ("geophone_held_calls", Gauge, &[], "Calls that wait for the record that issued their key."),
            Self::HeldOverflow => {
                ("geophone_held_overflow_total", Counter, &[], "Calls that went on without their grant because too many were waiting.")
            }
            Self::KnownGrants => ("geophone_known_grants", Gauge, &[], "Access keys whose grant is known."),
            Self::OpenAlerts => ("geophone_open_alerts", Gauge, &[], "Alerts that are open."),
            Self::Outbox => ("geophone_outbox", Gauge, &[], "Alert messages that SNS has not accepted yet."),
            Self::Evicted => ("geophone_evicted_total", Counter, &["table"], "Entries forgotten for want of room."),
            Self::WatermarkSeconds => {
                ("geophone_watermark_seconds", Gauge, &[], "Event time up to which everything has been seen, in seconds since the epoch.")
            }
            Self::DedupHorizonSeconds => (
                "geophone_dedup_horizon_seconds",
                Gauge,
                &[],
                "How far back duplicates are known at the present rate of events, in seconds; 0 while the rate is not known.",
            ),
            Self::SnapshotSeconds => ("geophone_snapshot_seconds", Histogram, &[], "Time to write a snapshot."),
            Self::SnapshotTime => {
                ("geophone_snapshot_timestamp_seconds", Gauge, &[], "When the last snapshot was committed, in seconds since the epoch.")
            }
        }
    }
}
