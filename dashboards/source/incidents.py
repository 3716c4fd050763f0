"""What was found, how severe it is, and whether anybody heard of it."""

from .panels import (ANY_IS_BAD, bars, course, dashboard, in_range, label_variable, matrix, metric, only, per_step, quantile, stat, steps)

DETECTOR, SEVERITY = 'detector=~"$detector"', 'severity=~"$severity"'
# Each detector's page of the runbook has the detector's name; those of rules are all on sigma.md.
PAGE = [{"targetBlank": True, "title": "Runbook: ${__field.labels.detector}", "url": "${docs}/runbook/${__field.labels.detector}.md"}]

NOW = [
    stat("Open alerts",
         "Alerts that are open now, of all detectors. It falls by itself when stories have been quiet for resolve_after (6 h by default). A number that only "
         "rises: the same thing happens again and again, and nobody ends it.",
         f"sum({metric('open_alerts')})", "short", steps("green", ("yellow", 25), ("red", 200)), decimals=0),
    stat("Opened", "New stories of the chosen detectors in the time that is shown. More than on-call can look at in a day: raise severity_min of the topic, or set a "
         "noisy detector to report.",
         in_range("alerts_total", DETECTOR, only("status", "opened")), "short", decimals=0, instant=True),
    stat("Updated", "Messages that say a story has grown: ten times as much, a new kind, a higher severity, a department now known. Many for few stories: "
         "something is going on now.",
         in_range("alerts_total", DETECTOR, only("status", "updated")), "short", decimals=0, instant=True),
    stat("Resolved", "Stories that have been quiet for resolve_after. Far fewer than opened over a week: alerts stay open because they go on.",
         in_range("alerts_total", DETECTOR, only("status", "resolved")), "short", decimals=0, instant=True),
    stat("High and critical findings", "Findings of severity high or critical of the chosen detectors. Any of them is worth a person's look.",
         in_range("findings_total", DETECTOR, only("severity", "high", "critical")), "short", steps("green", ("orange", 1), ("red", 50)), decimals=0, instant=True),
    stat("People removed", "Records that removed, disabled or signed out somebody. offboarded can fire only after one of them. Zero for weeks in a company "
         "where people leave: Cognito, IAM or Identity Center records do not reach the stream.",
         in_range("removals_total"), "short", decimals=0, instant=True, see="offboarded"),
]

COURSE = [
    course("Findings by detector",
           "Findings in each step of the graph. Read it with the matrix below: a burst of one detector is one story, several detectors in the same "
           "minutes are often one attack seen from several sides. Click a series for its runbook.",
           [(per_step("findings_total", DETECTOR, SEVERITY, by="detector"), "{{detector}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"],
           data_links=PAGE),
    course("Findings by severity",
           "The same by severity. high and critical rise in an attack; a rise of low or informational alone is usually a program that asks for "
           "what it may not have.",
           [(per_step("findings_total", DETECTOR, SEVERITY, by="severity"), "{{severity}}")], "short", bars=True, stacked=True, decimals=0,
           calcs=["sum"]),
    course("Open alerts over time",
           "How many stories were open. Steps up are new stories; a slope down six hours later is their end. A plateau that never falls: stories that go on.",
           [(f"sum by (instance) ({metric('open_alerts')})", "{{instance}}")], "short", decimals=0),
    course("Messages by status",
           "Messages decided in each step of the graph, of the chosen detectors. opened without updated: short stories. Many updated: a story that grows.",
           [(per_step("alerts_total", DETECTOR, by="status"), "{{status}}")], "short", bars=True, stacked=True, decimals=0, calcs=["sum"]),
]

WHICH = [
    matrix("Findings: detector by severity",
           "Findings in the time that is shown. Read the high and critical columns first. A detector with thousands of low findings and none above: "
           "consider mode report.",
           in_range("findings_total", DETECTOR, SEVERITY, by="detector, severity"), "detector", "severity", "short",
           steps("transparent", ("yellow", 1), ("orange", 100)), decimals=0),
    bars("Alerts opened by detector",
         "Stories opened in the time that is shown. This is what on-call has to read. One detector far ahead of all others over weeks needs its setting "
         "looked at. Click a bar for its runbook.",
         f"sort_desc({in_range('alerts_total', DETECTOR, only('status', 'opened'), by='detector')})", "{{detector}}", "short", decimals=0,
         size=(12, 9), data_links=PAGE),
]

REFUSED = [
    course("Refused calls by department",
           "Calls that IAM refused, in each step of the graph. One person's loop, a new policy or a thief who looks around. A department that is never "
           "refused and now is: look at access-denied.",
           [(per_step("invocations_total", only("outcome", "denied"), by="department"), "{{department}}")], "short", bars=True, stacked=True,
           size=(8, 8), decimals=0, calcs=["sum"], see="access-denied"),
    course("Refused calls by model family",
           "The same by model family. Many families in a few minutes is a sweep: somebody who does not know what the credential may do.",
           [(per_step("invocations_total", only("outcome", "denied"), by="model_family"), "{{model_family}}")], "short", bars=True, stacked=True,
           size=(8, 8), decimals=0, calcs=["sum"], see="access-denied"),
    course("What the policies say against",
           "Calls that the policy documents deny, in each step of the graph, whether or not IAM let them through. More of them than refused calls: IAM has drifted "
           "from the documents, and cross-department tells of it.",
           [(per_step("policy_verdicts_total", only("verdict", "explicit-deny", "implicit-deny"), by="verdict"), "{{verdict}}")], "short", bars=True, stacked=True,
           size=(8, 8), decimals=0, calcs=["sum"], see="cross-department"),
]

HEARD = [
    course("Waiting for SNS",
           "Messages that SNS has not accepted yet. Back at zero within seconds is good. A number that stays: nobody is paged. At 10,000 reading stops.",
           [(f"sum by (instance) ({metric('outbox')})", "{{instance}}")], "short", steps("green", ("red", 1000)), size=(8, 7), decimals=0,
           see="pipeline#GeophoneSnsFailing"),
    course("Time to publish",
           "Time of a PublishBatch call that SNS accepted. Tens of milliseconds is usual. Above a second: the network, the region or throttling. No line: "
           "nothing was published in that time.",
           [(quantile(0.5, "sns_publish_seconds"), "median"), (quantile(0.95, "sns_publish_seconds"), "95 %")], "s", steps("green", ("orange", 1)),
           size=(8, 7)),
    course("Arrival to page",
           "From the arrival of the records that decided a new alert to SNS's accepting its message. Below a second is good. Above: SNS is slow, or the "
           "daemon is busy; what CloudTrail itself takes is not in it.",
           [(quantile(0.5, "page_seconds"), "median"), (quantile(0.99, "page_seconds"), "99 %")], "s", steps("green", ("orange", 1), ("red", 10)),
           size=(8, 7)),
    stat("SNS calls made again", "Calls to SNS that failed and were made again in the time that is shown. A few throttled ones pass. permission never passes by "
         "itself: somebody must act.",
         in_range("sns_retries_total"), "short", steps("green", ("orange", 1), ("red", 100)), decimals=0, instant=True, size=(4, 7),
         see="pipeline#GeophoneSnsFailing"),
    stat("Messages refused for good", "Messages that SNS will never accept, in the time that is shown; each is an alert that nobody received. Read "
         "dead-letters.ndjson and tell on-call by hand.",
         in_range("dead_letters_total", only("kind", "message")), "short", ANY_IS_BAD, decimals=0, instant=True, size=(4, 7),
         see="pipeline#GeophoneMessageRefused"),
    course("Kept back from on-call",
           "Messages that a silence kept back, and alerts beyond the hourly budget that went into a digest, in each step of the graph. budget for hours: too many "
           "alerts below high; set noisy detectors to report. silence: read what it is on the page before it ends.",
           [(per_step("pages_held_total", by="reason"), "{{reason}}")], "short", bars=True, stacked=True, size=(16, 7), decimals=0, calcs=["sum"]),
    stat("Silences", "Silences in effect, or to come. Each has an author, a reason and an end. Many: somebody silences what should be mended.",
         f"sum({metric('silences')})", "short", steps("green", ("orange", 5)), decimals=0, size=(8, 7)),
]

DASHBOARD = dashboard(
    "incidents", "geophone / Incidents",
    "What was found, by which detector and how severe; what was refused; and whether the messages about it were delivered. Who it was is in the alerts: no person "
    "is ever a label.",
    [("Now", NOW), ("Over time", COURSE), ("Which detectors", WHICH), ("Refused and denied", REFUSED), ("Was anybody told?", HEARD)],
    [label_variable("detector", "Detector", 'geophone_findings_total{job=~"$job"}'),
     label_variable("severity", "Severity", 'geophone_findings_total{job=~"$job"}')],
    runbooks=("access-denied", "pipeline"))
