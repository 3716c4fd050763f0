"""The way of a record through geophone: where it waits, where it is lost, what is forgotten."""

from .panels import (ANY_IS_BAD, course, dashboard, heatmap, in_range, label_variable, metric, only, per_second, per_step, quantile, stat, steps)

SHARD = 'shard=~"$shard"'

READING = [
    course("Records and events",
           "Kinesis records read, and the CloudTrail events in them. A record may hold many events. Both at zero in working hours: the trail, the subscription or "
           "the stream is broken. Records without events: what arrives is not CloudTrail.",
           [(per_second("records_total"), "records"), (per_second("events_total"), "events")], "eps", see="pipeline#GeophoneSilent", size=(8, 8)),
    course("Behind the newest record",
           "How far reading is behind each shard's newest record. Below a second is usual. One shard alone: a hot key. All shards: geophone is too slow, or "
           "it has just started. The shard none is always zero.",
           [(f"max by (shard) ({metric('kinesis_millis_behind_latest', SHARD)})", "{{shard}}")], "ms",
           steps("green", ("orange", 300_000), ("red", 3_600_000)), see="pipeline#GeophoneBehind", size=(8, 8)),
    course("Kinesis calls made again",
           "Calls to Kinesis that failed, in each step of the graph, by kind. throttled, expired and not-ready pass by themselves. access-denied, credentials, "
           "not-found and encryption are for an administrator.",
           [(per_step("kinesis_trouble_total", by="kind"), "{{kind}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneKinesisFailing", size=(8, 8)),
    stat("Records lost to retention",
         "Times that records were gone from the stream before they were read, in the time that is shown. Must be zero. Any: replay the trail's files of that time.",
         in_range("kinesis_gaps_total"), "short", ANY_IS_BAD, decimals=0, instant=True, see="pipeline#GeophoneRecordsLost"),
    stat("Events in a record",
         "Events in each record, on average. One with a subscription filter per event, tens with batches. A fall to zero: records hold nothing that can be used.",
         f"{in_range('events_total')} / {in_range('records_total')}", "short", instant=True, decimals=1),
    stat("Health probes",
         "CloudWatch Logs probes that were dropped, in the time that is shown. A few are usual with a subscription filter; they carry no events.",
         in_range("control_messages_total"), "short", decimals=0, instant=True),
    stat("Deduplication reaches back",
         "How far back duplicates are known at the present rate of events. Days are good. Less than a day: a repeated delivery counts twice; raise limits.dedup. "
         "Zero: the rate is not known yet.",
         f"min({metric('dedup_horizon_seconds')})", "dtdurations", steps("blue", ("red", 1), ("green", 86_400)), see="pipeline#GeophoneDedupShort"),
    stat("Event time is behind by",
         "The clock less the event time up to which everything has been seen. About CloudTrail's delay plus lateness is usual, half an hour at most. "
         "Growing minute by minute: no events arrive, or one shard stands still.",
         f"max(time() - {metric('watermark_seconds')})", "dtdurations", steps("green", ("orange", 3600), ("red", 21_600)), see="pipeline#GeophoneBehind"),
    stat("Dead letters",
         "Records and messages put aside in the time that is shown. Zero is usual. They are in dead-letters.ndjson of the state folder, with the reason.",
         in_range("dead_letters_total"), "short", ANY_IS_BAD, decimals=0, instant=True, see="pipeline#GeophoneDeadLetters"),
]

ORDER = [
    course("Repeated, late, out of order",
           "Events a second that were seen before, that were older than lateness allows, older than one before them on their shard, or more than ten minutes "
           "ahead. Out of order is CloudTrail's usual way. Late events are judged and never learned from: raise lateness if there are many.",
           [(per_second("duplicates_total"), "repeated"), (per_second("late_events_total"), "late"),
            (per_second("out_of_order_total"), "out of order"), (per_second("future_events_total"), "ahead of the clock")], "eps"),
    course("Not decodable",
           "Parts of records that could not be decoded, in each step of the graph, by reason. Each is kept as a dead letter. not-cloudtrail: something else writes to the "
           "stream. damaged-gzip or invalid-json: a producer is broken.",
           [(per_step("undecodable_total", by="reason"), "{{reason}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneDeadLetters"),
    course("Put aside",
           "Dead letters in each step of the graph. record: it could not be read. message: SNS refused an alert for good, and nobody received it.",
           [(per_step("dead_letters_total", by="kind"), "{{kind}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneMessageRefused"),
    course("Halves of streaming calls",
           "Companion records of streaming calls, and halves whose other half never came. Unpaired calls are judged without their tokens: token-spend sees "
           "less. A steady unpaired share: companions are filtered out on their way.",
           [(per_second("companions_total"), "companions"), (per_second("unpaired_total"), "unpaired")], "eps", see="token-spend"),
]

JOINING = [
    course("Calls that wait for their grant",
           "Calls held until the STS or Cognito record of their key comes. A few are usual. A number that climbs to limits.held: STS records no longer "
           "reach the stream.",
           [(f"sum by (instance) ({metric('held_calls')})", "{{instance}}")], "short", see="pipeline#GeophoneGrantsMissing", size=(8, 8), decimals=0),
    course("Grants",
           "STS and Cognito records that issued credentials, a second. Zero while there are calls: the trail of STS's region is not in the stream, and nobody can "
           "be named.",
           [(per_second("grants_total"), "grants")], "eps", see="pipeline#GeophoneGrantsMissing", size=(8, 8)),
    stat("Known grants", "Access keys whose grant is known. It follows the number of sessions of the last day or two. At limits.grants the oldest are forgotten.",
         f"sum({metric('known_grants')})", "short", decimals=0, size=(4, 8), see="pipeline#GeophoneEvicting"),
    stat("Went on without grant", "Calls that went on without their grant because too many were waiting, in the time that is shown. Must be zero. Any: raise "
         "limits.held, or find out why grants do not come.",
         in_range("held_overflow_total"), "short", ANY_IS_BAD, decimals=0, instant=True, size=(4, 8), see="pipeline#GeophoneGrantsMissing"),
]

DECIDING = [
    heatmap("From event to decision: spread",
            "How many events were decided how long after they happened. A band between two and fifteen minutes is CloudTrail's own delay. A second band far "
            "above it: one source is late. All of it rising: reading is behind.",
            f"sum by (le) (increase({metric('event_lag_seconds_bucket')}[$__rate_interval]))", "s", see="pipeline#GeophoneDecisionsLate"),
    course("From event to decision",
           "The same as quantiles. CloudTrail is most of it. The 95th percentile above half an hour: alerts come too late to stop anything.",
           [(quantile(0.5, "event_lag_seconds"), "median"), (quantile(0.95, "event_lag_seconds"), "95 %"), (quantile(0.99, "event_lag_seconds"), "99 %")],
           "s", steps("green", ("red", 1800)), line=True, see="pipeline#GeophoneDecisionsLate"),
]

DELIVERING = [
    course("Time to publish",
           "Time of a PublishBatch call that SNS accepted. Tens of milliseconds is usual; above a second SNS or the network is slow. No line: nothing was "
           "published in that time.",
           [(quantile(0.5, "sns_publish_seconds"), "median"), (quantile(0.95, "sns_publish_seconds"), "95 %")], "s",
           steps("green", ("orange", 1)), size=(8, 8)),
    course("SNS calls made again",
           "Calls to SNS that failed, in each step of the graph, by class. throttled and network pass. permission does not: topic gone, access denied or key disabled.",
           [(per_step("sns_retries_total", by="class"), "{{class}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneSnsRefused", size=(8, 8)),
    course("Waiting for SNS",
           "Messages that SNS has not accepted yet. Back at zero within seconds is good. At 10,000 no further records are taken in.",
           [(f"sum by (instance) ({metric('outbox')})", "{{instance}}")], "short", steps("green", ("orange", 1000), ("red", 10_000)),
           see="pipeline#GeophoneSnsFailing", size=(8, 8), decimals=0),
]

STATE = [
    course("Actors",
           "Actors whose calls are counted. It follows the number of people and machines. A sudden rise: invented session names, which fill the table for newcomers only.",
           [(f"sum by (instance) ({metric('tracked_actors')})", "{{instance}}")], "short", see="pipeline#GeophoneEvicting", size=(8, 8), decimals=0),
    course("Forgotten for want of room",
           "Entries dropped in each step of the graph, by table. Flat zero is good. newcomers alone: a flood of new names. Any other: raise the limit of that name.",
           [(per_step("evicted_total", by="table"), "{{table}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneEvicting", size=(8, 8)),
    course("Time to write a snapshot",
           "Time to write and sync the state, while detection goes on. It grows with the number of actors. Above ten seconds: the disk is slow.",
           [(quantile(0.5, "snapshot_seconds"), "median"), (quantile(0.95, "snapshot_seconds"), "95 %")], "s", steps("green", ("orange", 10)), size=(8, 8),
           see="pipeline#GeophoneSnapshotsStopped"),
    course("Time that a snapshot keeps events waiting",
           "Time to take the state as of one moment; writing it comes after. It grows with actors, grants and open alerts. Above 50 ms: events wait noticeably.",
           [(quantile(0.5, "snapshot_pause_seconds"), "median"), (quantile(0.95, "snapshot_pause_seconds"), "95 %")], "s", steps("green", ("orange", 0.05)), size=(8, 8),
           see="pipeline#GeophoneSnapshotsStopped"),
    stat("Last snapshot", "When state and positions were committed last. About snapshot_every ago while events arrive. Older: a crash reads all since then again.",
         f"min({metric('snapshot_timestamp_seconds')}) * 1000", "dateTimeFromNow", see="pipeline#GeophoneSnapshotsStopped", graph=False, size=(6, 4)),
    stat("Snapshots", "Snapshots written in the time that is shown. None are written while nothing changes. Zero while events arrive: the disk stands still.",
         in_range("snapshot_seconds_count"), "short", decimals=0, instant=True, see="pipeline#GeophoneSnapshotsStopped", size=(6, 4)),
    course("Calls archived",
           "Model calls written to the enriched log in each step of the graph, and times that it could not be written. Without [archive] there are none. A failure: nothing is committed until it can be written again.",
           [(per_step("archived_calls_total"), "calls"), (per_step("archive_failures_total"), "failures")], "short", bars=True, decimals=0, calcs=["sum"],
           see="pipeline#GeophoneArchiveFailing", size=(8, 8)),
    stat("Baselines learned", "Share of learning_days that the baselines have counted. Below 100 % invocation-spike and token-spend are silent: run geophone warm, or wait.",
         f"min({metric('baseline_ratio')})", "percentunit", steps("orange", ("green", 1)), size=(6, 4)),
    stat("Files refused", "Changed files (directory, policies, rules, certificate, users) that were refused, in the time that is shown; the file before stays in use. Any: the log names the line.",
         in_range("reloads_total", only("outcome", "refused")), "short", ANY_IS_BAD, decimals=0, instant=True, size=(6, 4), see="pipeline#GeophoneReloadRefused"),
    course("Refused by the page",
           "Connections and requests that the page refused in each step of the graph, by reason. wrong-credentials and limited: somebody guesses, or a client has an "
           "old password. tls: no handshake; a client that does not know the certificate, or a scanner. connections: more at once than there may be.",
           [(per_step("http_refused_total", by="reason"), "{{reason}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"], size=(8, 8)),
]

DASHBOARD = dashboard(
    "pipeline", "geophone / Pipeline health",
    "Watching the watcher: where records wait, where they are lost, what is forgotten, and whether messages get out. Each panel links to its part of the runbook.",
    [("Reading", READING), ("Order and decoding", ORDER), ("Joining", JOINING), ("Deciding", DECIDING), ("Delivering", DELIVERING), ("State", STATE)],
    [label_variable("shard", "Shard", 'geophone_kinesis_millis_behind_latest{job=~"$job"}')])
