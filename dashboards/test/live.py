"""Real servers on loopback: geophone's demo, a Prometheus that scrapes it, an Alertmanager, and a webhook that hears from it.

Every panel's query must find something while the demo plays, every rule must evaluate, no alert may fire; then the demo ends,
and GeophoneDown must reach the webhook.
"""

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from common import ROOT, RULES, dashboards, panels, rules
from servers import Webhook, fetch, free_port, running, until

# The demo's day in so many seconds. Slow enough that Prometheus is there before the first attack.
DEMO_S = 90
STEP_S = 2
# What Grafana would put in; the range is known when it is over. All other variables stand for everything.
FIXED = {"__rate_interval": "10s", "job": "geophone"}
# (dashboard, panel) to the reason why its query finds nothing in a healthy demo.
EMPTY = {}
# The demo's sweep tries models that nobody of that department has tried, once each. The least number of cells that tell of it.
SWEPT = {("departments", "Refused: department by model family"): 6}


def binary():
    """GEOPHONE, or the newest build."""
    named = os.environ.get("GEOPHONE")
    built = [Path(named)] if named else [ROOT / "target" / profile / "geophone" for profile in ("release", "debug")]
    found = sorted((path for path in built if path.is_file()), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit("no geophone to look at: cargo build, or set GEOPHONE to a binary")
    return str(found[-1])


def start_geophone(stack, folder):
    """The demo, and where its metrics are."""
    log = folder / "demo.log"
    demo = running(stack, [binary(), "demo", "--duration", f"{DEMO_S}s"], folder, log)

    def address():
        found = re.search(r"Page and metrics: http://([\d.:]+)/", log.read_text(encoding="utf-8", errors="replace"))
        if not found and demo.poll() is not None:
            sys.exit(f"the demo ended before it began:\n{log.read_text()}")
        return found and found.group(1)

    return demo, until("the demo to go live", address, 180)


def start_alertmanager(stack, folder, webhook):
    address = f"127.0.0.1:{free_port()}"
    (folder / "alertmanager.yml").write_text(json.dumps({
        "route": {"receiver": "on-call", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
        "receivers": [{"name": "on-call", "webhook_configs": [{"url": webhook}]}]}))
    # No cluster address: Alertmanager would listen on every interface for its peers.
    running(stack, ["prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address=",
                    f"--web.listen-address={address}"], folder, folder / "alertmanager.log")
    until("Alertmanager", lambda: fetch(address, "/-/ready", text=True), 30)
    return address


def start_prometheus(stack, folder, geophone, alertmanager):
    address = f"127.0.0.1:{free_port()}"
    # The very rules, but that they do not wait.
    (folder / "rules.yml").write_text(re.sub(r"(?m)^(\s+for:) .*$", r"\1 2s", RULES.read_text(encoding="utf-8")))
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": "geophone", "static_configs": [{"targets": [geophone]}]}]}))
    running(stack, ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", f"--web.listen-address={address}"],
            folder, folder / "prometheus.log")
    until("Prometheus", lambda: fetch(address, "/-/ready", text=True), 30)
    return address


def put_in(expr):
    """An expression as Grafana would send it."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: FIXED.get(found.group(1), ".*"), expr)


def ask(prometheus, expr, is_instant):
    """Series with finite values; None where Prometheus refuses the expression."""
    now = time.time()
    wanted = {"query": put_in(expr)}
    path = "/api/v1/query" if is_instant else "/api/v1/query_range"
    wanted |= {"time": now} if is_instant else {"start": now - int(FIXED["__range"][:-1]), "end": now, "step": STEP_S}
    answer = fetch(prometheus, path, wanted)
    if answer["status"] != "success":
        return None
    found = []
    for series in answer["data"]["result"]:
        points = [(at, float(value)) for at, value in (series["values"] if "values" in series else [series["value"]])]
        points = [(at, value) for at, value in points if math.isfinite(value)]
        if points:
            found.append({"labels": series["metric"], "points": points})
    return found


def check_panels(prometheus, wrong):
    """Asks what every panel and variable asks. Gives the answers."""
    if ask(prometheus, "geophone_events_total > Inf", True) != [] or ask(prometheus, "sum(", True) is not None:
        wrong.append("an empty or a broken query was not noticed: this check is none")
    kept, queries, variables = {}, 0, 0
    for name, dashboard in dashboards().items():
        kept[name] = []
        for panel in panels(dashboard):
            answers = []
            for target in panel["targets"]:
                queries += 1
                place = f"{name}, {panel['title']}, {target['refId']}"
                found = ask(prometheus, target["expr"], target["instant"])
                answers.append({"legend": target["legendFormat"], "series": found or []})
                if found is None:
                    wrong.append(f"{place}: Prometheus refuses {put_in(target['expr'])}")
                elif not found and (name, panel["title"]) not in EMPTY:
                    wrong.append(f"{place}: nothing for {put_in(target['expr'])}")
                told = sum(any(value for _, value in series["points"]) for series in found or [])
                if told < SWEPT.get((name, panel["title"]), 0):
                    wrong.append(f"{place}: only {told} cells tell of the sweep over models")
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    if any(label not in series["labels"] for series in found or []):
                        wrong.append(f"{place}: series have no label {label} to be named by")
            kept[name].append({"panel": panel, "answers": answers})
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                variables += 1
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
                if not fetch(prometheus, f"/api/v1/label/{label}/values", {"match[]": put_in(series)})["data"]:
                    wrong.append(f"{name}: nothing to choose from for {variable['name']}")
    print(f"{queries} queries of {sum(map(len, kept.values()))} panels and {variables} variables asked")
    return kept


def check_rules(prometheus, wrong):
    """Every rule has been evaluated without an error, and a healthy geophone fires none."""
    groups = fetch(prometheus, "/api/v1/rules")["data"]["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    if set(found) != set(rules()):
        wrong.append(f"Prometheus has other rules: {set(found) ^ set(rules())}")
    for name, rule in found.items():
        if rule["health"] != "ok":
            wrong.append(f"{name}: {rule.get('lastError') or rule['health']}")
        if rule["state"] == "firing":
            wrong.append(f"{name} fires though geophone is well: {rule['alerts']}")
    firing = sum(rule["state"] == "firing" for rule in found.values())
    print(f"{len(found)} alert rules evaluated, {firing} firing")


def check_exposition(geophone, wrong):
    text = fetch(geophone, "/metrics", text=True)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    if done.returncode or done.stdout or done.stderr:
        wrong.append(f"promtool check metrics: {done.stdout}{done.stderr}")
    print(f"promtool has read {len(text.splitlines())} lines of /metrics")


def check_firing(webhook, wrong):
    """What Alertmanager tells when geophone is gone."""
    def told():
        return [alert for alert in webhook.alerts() if alert["labels"]["alertname"] == "GeophoneDown" and alert["status"] == "firing"]

    alert = until("GeophoneDown at the webhook", told, 60)[0]
    for part in ("summary", "description", "runbook"):
        if "{{" in alert["annotations"].get(part, "{{"):
            wrong.append(f"GeophoneDown came without {part}: {alert}")
    if alert["labels"]["severity"] != "critical":
        wrong.append(f"GeophoneDown came without its severity: {alert}")
    print(f"Alertmanager told the webhook: {alert['annotations']['summary']} ({alert['annotations']['runbook']})")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keep", help="file for the panels' data, for pictures")
    keep = arguments.parse_args().keep
    # So that what was started is ended, too, when somebody ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wrong = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geophone-dashboards-")))
        webhook = stack.enter_context(Webhook())
        alertmanager = start_alertmanager(stack, folder, webhook.url)
        demo, geophone = start_geophone(stack, folder)
        prometheus = start_prometheus(stack, folder, geophone, alertmanager)
        until("a scrape", lambda: fetch(prometheus, "/api/v1/query", {"query": "geophone_records_total"})["data"]["result"], 30)
        first = time.time()
        # As late as the demo allows: attacks come through the whole of its day.
        time.sleep(DEMO_S - 12)
        FIXED["__range"] = f"{int(time.time() - first)}s"
        check_exposition(geophone, wrong)
        kept = check_panels(prometheus, wrong)
        check_rules(prometheus, wrong)
        if demo.poll() is not None:
            wrong.append("the demo ended before its panels were looked at")
        until("the demo's end", lambda: demo.poll() is not None, 120)
        check_firing(webhook, wrong)
    if keep:
        Path(keep).write_text(json.dumps(kept))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
