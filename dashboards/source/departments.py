"""Which department uses which models, how it ends, and how well callers and policies are known."""

from .panels import (KNOWN, bars, course, dashboard, in_range, label_variable, matrix, metric, only, per_second, per_step, stat,
                     steps)

CHOSEN = ('department=~"$department"', 'model_family=~"$model_family"')

NOT_PERSON = 'reason!="person"'
BY_REASON = f"avg by (reason) ({metric('attribution_share', NOT_PERSON)})"


def share(outcome):
    """Share of the chosen calls that ended so."""
    return f"{in_range('invocations_total', *CHOSEN, only('outcome', outcome))} / {in_range('invocations_total', *CHOSEN)}"


NOW = [
    stat("Calls", "Bedrock calls of the chosen departments and families. Compare with the same hour of other days; a multiple of it is either a job that "
         "somebody started or a session that somebody stole.",
         per_second("invocations_total", *CHOSEN), "reqps"),
    stat("Calls in this time", "How many calls there were in the time that is shown. The whole that the shares beside it are of.",
         in_range("invocations_total", *CHOSEN), "short", instant=True, decimals=0),
    stat("Refused", "Share of calls that IAM refused. Below 1 % is usual. Above 5 %: a program that asks for what it may not have, a policy that was "
         "changed, or a probe.",
         share("denied"), "percentunit", steps("green", ("orange", 0.01), ("red", 0.05)), instant=True, see="access-denied"),
    stat("Throttled", "Share of calls over a quota. Above 5 %: raise the quota or slow the caller. With a spike of one department: somebody uses up what "
         "all need.",
         share("throttled"), "percentunit", steps("green", ("orange", 0.05), ("red", 0.2)), instant=True),
    stat("Departments seen", "How many of the chosen departments made calls in the time that is shown; other and unknown count as one each. Fewer than usual "
         "in working hours: their tags or their accounts no longer reach the stream.",
         f"count({in_range('invocations_total', *CHOSEN, by='department')} > 0)", "short", instant=True, decimals=0),
    stat("Department unknown", "Share of all calls whose department nobody can tell. Machines without a tag are part of it. A rise: see why, below.",
         f"{in_range('invocations_total', only('department', 'unknown'))} / {in_range('invocations_total')}", "percentunit",
         steps("green", ("orange", 0.3), ("red", 0.6)), instant=True, see="pipeline#GeophoneAttributionFalling"),
]

COURSE = [
    course("Calls by department",
           "Calls by department. Usual is the same shape every working day. One that rises alone, or rises at night, deserves a look at its alerts.",
           [(per_second("invocations_total", *CHOSEN, by="department"), "{{department}}")], "reqps", stacked=True, size=(12, 9), calcs=["mean", "max"]),
    course("Calls by model family",
           "Calls by model family. A family that appears or triples costs money at once; ask whose it is with the matrix below.",
           [(per_second("invocations_total", *CHOSEN, by="model_family"), "{{model_family}}")], "reqps", stacked=True, size=(12, 9),
           calcs=["mean", "max"]),
    course("Refused by department and family",
           "Refused calls in each step of the graph. Nothing is good. Several families of one department at once is a sweep.",
           [(per_step("invocations_total", *CHOSEN, only("outcome", "denied"), by="department, model_family"), "{{department}} {{model_family}}")], "short",
           bars=True, stacked=True, decimals=0, see="access-denied", calcs=["sum"], size=(12, 9)),
    course("Throttled and failed",
           "Calls over a quota, and calls that failed for another reason. A plateau of throttled calls is a quota that is too small or a loop that does "
           "not wait.",
           [(per_second("invocations_total", *CHOSEN, only("outcome", "throttled", "failed"), by="outcome, model_family"), "{{outcome}} {{model_family}}")],
           "reqps", calcs=["max"], size=(12, 9)),
]

WHO_WHAT = [
    matrix("Calls: department by model family",
           "Calls in the time that is shown. An unexpected cell that is not zero is a department on a model that is not its own; geophone policy matrix says "
           "what the documents allow.",
           in_range("invocations_total", *CHOSEN, by="department, model_family"), "department", "model_family", "short",
           steps("transparent", ("blue", 1)), decimals=0, size=(24, 9), see="cross-department"),
    matrix("Refused: department by model family",
           "Refused calls in the time that is shown. A row with many cells is a sweep over models; a single loud cell is a misconfigured program.",
           in_range("invocations_total", *CHOSEN, only("outcome", "denied"), by="department, model_family"), "department", "model_family", "short",
           steps("transparent", ("orange", 1), ("red", 20)), decimals=0, size=(24, 9), see="access-denied"),
    bars("Departments by calls", "Calls in the time that is shown. Who pays for Bedrock, roughly: families differ in price by a hundred times.",
         f"sort_desc({in_range('invocations_total', *CHOSEN, by='department')})", "{{department}}", "short", decimals=0),
    bars("Model families by calls", "Calls in the time that is shown. A family that nobody decided on is worth a question.",
         f"sort_desc({in_range('invocations_total', *CHOSEN, by='model_family')} > 0)", "{{model_family}}", "short", decimals=0),
]

KNOWN_BY = [
    course("Where the department comes from",
           "Share of calls of the last ten minutes or so by the source of their department, or the reason why it is unknown. no-sts-record rising: STS "
           "records do not reach the stream. no-department-tag rising: sessions lost their tag.",
           [(BY_REASON, "{{reason}}")], "percentunit", stacked=True, high=1,
           see="pipeline#GeophoneAttributionFalling", calcs=["lastNotNull", "min", "max"], size=(12, 10)),
    course("Calls by attribution",
           "Calls a second with a person, with a department, and with neither by reason. root, bearer-key and long-lived-key should be rare: see unattributed.",
           [(per_second("attributed_total", by="to"), "{{to}}")], "reqps", see="unattributed", size=(12, 10)),
    course("What the policies say",
           "Verdicts a second. no-document: no policy is configured for the caller's role, so nothing is checked. unknown: what decides is not logged. Both "
           "make cross-department blind for these calls.",
           [(per_second("policy_verdicts_total", by="verdict"), "{{verdict}}")], "reqps", stacked=True, see="cross-department", size=(8, 8)),
    course("Policy cannot tell",
           "Share of verdicts of the last ten minutes or so that are unknown. Above 20 %: geophone policy eval on one call says which key or document is missing.",
           [(f"max by (instance) ({metric('policy_unknown_share')})", "{{instance}}")], "percentunit", steps("green", ("orange", 0.2)), line=True, high=1,
           see="pipeline#GeophonePolicyUnknown", size=(8, 8)),
    stat("People not in the directory",
         "People with calls whom the directory does not list. Zero is good where a directory is configured. A rise: the directory is stale, or somebody "
         "calls who is no employee. /api/v1/unlinked lists them.",
         f"sum({metric('unlinked_people')})", "short", steps("green", ("orange", 1)), decimals=0, size=(4, 8)),
    stat("Department known",
         "Share of calls of the last ten minutes or so whose department is known. What is usual depends on how many machines carry no tag; a fall by a "
         "fifth is what the alert minds.",
         f"min(sum by (job, instance) ({metric('attribution_share', KNOWN)}))", "percentunit", steps("red", ("orange", 0.4), ("green", 0.6)), size=(4, 8),
         see="pipeline#GeophoneAttributionFalling"),
]

DASHBOARD = dashboard(
    "departments", "geophone / Departments and models",
    "Which department uses which model families and how it ends; how well callers and policies are known.",
    [("Now", NOW), ("Over time", COURSE), ("Who uses what", WHO_WHAT), ("How well it is known", KNOWN_BY)],
    [label_variable("department", "Department", 'geophone_invocations_total{job=~"$job"}'),
     label_variable("model_family", "Model family", 'geophone_invocations_total{job=~"$job"}')],
    runbooks=("cross-department", "invocation-spike", "token-spend", "pipeline"))
