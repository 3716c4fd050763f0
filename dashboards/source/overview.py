"""Is geophone working, is something going on, can its answers be trusted?"""

from .panels import (ANY_IS_BAD, KNOWN, SCOPE, course, dashboard, in_range, metric, only, per_second, per_step, quantile, stat, steps, values)

NOW = [
    stat("geophone",
         "Whether Prometheus reaches geophone. Down: nothing is read and nobody is paged. Kinesis keeps the records while it lasts; "
         "start geophone again before the stream's retention ends.",
         f"min(up{{{SCOPE}}})", "none", steps("red", ("green", 1)), see="pipeline#GeophoneDown",
         mappings=values((0, "down", "red"), (1, "up", "green")), graph=False),
    stat("Open alerts",
         "Alerts that are open now, of all severities. Zero to a few tens is usual. A jump is either an attack or a change of policy that "
         "many people meet at once: see the incidents dashboard.",
         f"sum({metric('open_alerts')})", "short", steps("green", ("yellow", 25), ("red", 200)), decimals=0),
    stat("High and critical findings",
         "Findings of severity high or critical in the time that is shown. Each one deserves a look; several findings of one story are one alert.",
         in_range("findings_total", only("severity", "high", "critical")), "short", steps("green", ("orange", 1), ("red", 50)), decimals=0, instant=True),
    stat("Calls",
         "Bedrock calls that spend a model's time. Far above what is usual for the hour: see departments and models. Zero in working hours: the "
         "trail may be off, or reading has stopped.",
         per_second("invocations_total"), "reqps", see="pipeline#GeophoneSilent"),
    stat("Behind the stream",
         "How far reading is behind the newest record of the slowest shard. Below a second is usual. Above five minutes alerts are late by as "
         "much; at the stream's retention records are lost.",
         f"max({metric('kinesis_millis_behind_latest')})", "ms", steps("green", ("orange", 300_000), ("red", 3_600_000)), see="pipeline#GeophoneBehind"),
    stat("Waiting for SNS",
         "Messages that SNS has not accepted yet. Zero, or gone within seconds. A number that stays means nobody is being paged; at 10,000 "
         "reading stops.",
         f"sum({metric('outbox')})", "short", steps("green", ("orange", 20), ("red", 1000)), see="pipeline#GeophoneSnsFailing", decimals=0),
]

USE = [
    course("Calls by outcome",
           "Bedrock calls by how they ended. Denied calls are a person's mistake or a probe; throttled ones hit a quota; failed ones are "
           "malformed or the service's fault. A rising share of denied calls deserves a look at the incidents dashboard.",
           [(per_second("invocations_total", by="outcome"), "{{outcome}}")], "reqps", stacked=True, size=(8, 8)),
    course("Calls by department",
           "Bedrock calls by the caller's department. A department that rises alone is a campaign, a batch job or a stolen session. unknown: no tag, "
           "directory or map says the department.",
           [(per_second("invocations_total", by="department"), "{{department}}")], "reqps", stacked=True, size=(8, 8)),
    course("Calls by model family",
           "Bedrock calls by model family. A family that nobody used before appears here first. other: a family that is not in geophone's list.",
           [(per_second("invocations_total", by="model_family"), "{{model_family}}")], "reqps", stacked=True, size=(8, 8)),
]

FOUND = [
    course("Findings by detector",
           "Findings in each step of the graph, by detector; about one a refused call for access-denied. A wall of one colour is one loud story "
           "or a detector that needs a setting. Nothing for weeks: test that detectors still see events.",
           [(per_step("findings_total", by="detector"), "{{detector}}")], "short", bars=True, stacked=True, size=(8, 8), decimals=0,
           calcs=["sum"]),
    course("Findings by severity",
           "The same findings by severity. high and critical are what on-call is woken for. Many informational ones cost nothing but attention.",
           [(per_step("findings_total", by="severity"), "{{severity}}")], "short", bars=True, stacked=True, size=(8, 8), decimals=0, calcs=["sum"]),
    course("Alert messages",
           "Messages in each step of the graph: opened is a new story, updated is the same one grown, resolved is over. Many opened at once "
           "tire on-call: look which detector, and at its mode or budget.",
           [(per_step("alerts_total", by="status"), "{{status}}")], "short", bars=True, stacked=True, size=(8, 8), decimals=0, calcs=["sum"]),
]

TRUST = [
    course("From event to decision",
           "Time from a call to geophone's decision about it. CloudTrail itself takes about five to fifteen minutes, so a median of some minutes is "
           "good. Above half an hour: reading is behind, or CloudTrail is late.",
           [(quantile(0.5, "event_lag_seconds"), "median"), (quantile(0.95, "event_lag_seconds"), "95 %")], "s",
           steps("green", ("red", 1800)), line=True, size=(8, 8), see="pipeline#GeophoneDecisionsLate"),
    course("Who and which department",
           "Share of calls of the last ten minutes or so whose person and whose department are known. A fall means that STS or Cognito records no longer "
           "reach the stream, or that tags or the directory have changed: detectors then judge by credential only.",
           [(f"min({metric('attribution_share', only('reason', 'person'))})", "person"),
            (f"min(sum by (job, instance) ({metric('attribution_share', KNOWN)}))",
             "department")], "percentunit", steps("red", ("green", 0.5)), high=1, size=(8, 8), calcs=["lastNotNull", "min"],
           see="pipeline#GeophoneAttributionFalling"),
    stat("Baselines learned",
         "Share of learning_days that the baselines have counted. Below 100 % invocation-spike and token-spend are silent: run geophone warm over "
         "old logs, or wait.",
         f"min({metric('baseline_ratio')})", "percentunit", steps("orange", ("green", 1))),
    stat("Policy cannot tell",
         "Share of verdicts of the last ten minutes or so that are unknown. Above 20 % cross-department sees little: documents, tags or context keys are "
         "missing.",
         f"max({metric('policy_unknown_share')})", "percentunit", steps("green", ("orange", 0.2)), see="pipeline#GeophonePolicyUnknown"),
    stat("Dead letters",
         "Records and messages put aside in the time that is shown. Zero is usual. Any: something could not be read, or an alert could not be sent. "
         "They are in dead-letters.ndjson with the reason.",
         in_range("dead_letters_total"), "short", ANY_IS_BAD, see="pipeline#GeophoneDeadLetters", decimals=0, instant=True),
    stat("Forgotten for want of room",
         "Entries that tables had to drop in the time that is shown. Zero is usual. Any: limits are too low for this company, or somebody floods geophone "
         "with invented names.",
         in_range("evicted_total"), "short", ANY_IS_BAD, see="pipeline#GeophoneEvicting", decimals=0, instant=True),
]

DASHBOARD = dashboard(
    "overview", "geophone / Overview",
    "Start here: whether geophone works, what Bedrock is used for, what is found, and whether the answers can be trusted.",
    [("Now", NOW), ("What is used", USE), ("What is found", FOUND), ("Can it be trusted?", TRUST)])
