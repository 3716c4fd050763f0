"""The rules of the house for dashboards and alert rules. Needs nothing but Python."""

import re
import sys

from common import FOLDER, ROOT, RULES, SELECTOR, dashboards, metrics, panels, rules, series

UNITS = {"short", "none", "s", "ms", "percentunit", "reqps", "eps", "dtdurations", "dateTimeFromNow"}
VARIABLE = {"type": "prometheus", "uid": "${datasource}"}
RUNBOOK = ROOT / "docs/runbook"
wrong = []


def check(is_right, *words):
    if not is_right:
        wrong.append(" ".join(map(str, words)))


def anchors(page):
    """Sections of a runbook page, as a web page names them."""
    return {heading.strip().lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.M)}


def check_runbook(place, url):
    path, _, section = url.partition("#")
    page = ROOT / path
    check(page.is_file(), place, "links to a page that is not there:", path)
    if page.is_file() and section:
        check(section in anchors(page), place, "links to a section that is not there:", url)


def check_query(place, expr, known):
    """Names and labels are geophone's own. Gives the metrics that are used."""
    used = set()
    for name, selectors in SELECTOR.findall(expr):
        check(name in known, place, "asks for a metric that geophone does not have:", name)
        if name not in known:
            continue
        metric, labels = known[name]
        used.add(metric)
        for label in re.findall(r"(\w+)\s*[=!]~?", selectors):
            check(label in labels | {"job", "instance"}, place, f"asks {name} for a label that it does not have:", label)
    labels = set().union(*(known[name][1] for name, _ in SELECTOR.findall(expr) if name in known), {"job", "instance"})
    for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expr):
        for label in filter(None, map(str.strip, group.split(","))):
            check(label in labels, place, "groups by a label that nothing has:", label)
    return used


def check_panel(place, panel, variables, known):
    defaults = panel["fieldConfig"]["defaults"]
    description = panel.get("description", "")
    check(panel.get("title"), place, "has no title")
    check(len(description) > 60, place, "says too little about what its values mean")
    check(defaults.get("unit") in UNITS, place, "has no unit of", sorted(UNITS))
    check(panel["datasource"] == VARIABLE, place, "does not use the data-source variable")
    check(defaults["thresholds"]["steps"][0]["value"] is None, place, "has no colour for low values")
    levels = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
    check(levels == sorted(set(levels)), place, "has thresholds out of order")
    if panel["type"] == "timeseries":
        check(panel["options"]["legend"]["showLegend"], place, "has no legend")
    if panel["type"] in ("timeseries", "bargauge"):
        check(all(target["legendFormat"] for target in panel["targets"]), place, "has a series without a name")
    used = set()
    for target in panel["targets"]:
        check(target["datasource"] == VARIABLE, place, "has a query that does not use the data-source variable")
        check('job=~"$job", instance=~"$instance"' in target["expr"], place, "does not heed job and instance")
        for variable in re.findall(r"\$\{?(\w+)", target["expr"]):
            check(variable in variables or variable.startswith("__"), place, "uses a variable that is not there:", variable)
        for variable in re.findall(r'"\$(\w+)"', target["expr"]):
            check(f'=~"${variable}"' in target["expr"], place, f"compares {variable}, which may be several, without a pattern")
        used |= check_query(place, target["expr"], known)
    for link in panel["links"]:
        check(link["url"].startswith("${docs}/"), place, "links to a place that is not the docs variable's")
        check_runbook(place, link["url"].replace("${docs}", "docs"))
    return used


def check_layout(name, dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    check(len(ids) == len(set(ids)), name, "has two panels of one id")
    taken = {}
    for panel in dashboard["panels"]:
        box = panel["gridPos"]
        check(box["x"] + box["w"] <= 24, name, panel["title"], "stands beyond the right edge")
        for x in range(box["x"], box["x"] + box["w"]):
            for y in range(box["y"], box["y"] + box["h"]):
                check((x, y) not in taken, name, panel["title"], "covers", taken.get((x, y)))
                taken[x, y] = panel["title"]


def check_dashboard(name, dashboard, known):
    check(dashboard["uid"] == f"geophone-{name}", name, "has another uid")
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    check({"datasource", "job", "instance", "docs"} <= set(variables), name, "lacks a variable")
    check(variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus", name, "has another data source")
    used = set()
    for variable in variables.values():
        if variable["type"] == "query":
            check(variable["datasource"] == VARIABLE and variable["multi"] and variable["includeAll"], name, variable["name"], "does not take several")
            used |= check_query(f"{name}, variable {variable['name']}", variable["query"]["query"], known)
    for panel in panels(dashboard):
        used |= check_panel(f"{name}, {panel['title']}:", panel, variables, known)
    check(any(link["type"] == "dashboards" and link["tags"] == ["geophone"] for link in dashboard["links"]), name, "does not link to the others")
    check("geophone" in dashboard["tags"], name, "is not found by the others")
    for link in dashboard["links"]:
        if link["type"] == "link":
            check_runbook(name, link["url"].replace("${docs}", "docs"))
    check_layout(name, dashboard)
    return used


def check_rules(known):
    text = RULES.read_text(encoding="utf-8")
    tests = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("alerts.test.yml", "alerts.days.test.yml"))
    for name, block in rules().items():
        for part in ("expr:", "for:", "summary:", "description:", "runbook:"):
            check(re.search(rf"^\s+{part}", block, re.M), name, "has no", part)
        check(re.search(r"^\s+severity: (critical|warning)$", block, re.M), name, "has no severity")
        check_query(name, re.search(r"expr:(.*?)\n\s+for:", block, re.S).group(1), known)
        url = re.search(r"runbook: (\S+)", block).group(1)
        check(url == f"docs/runbook/pipeline.md#{name.lower()}", name, "has another runbook:", url)
        check_runbook(name, url)
        check(re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tests), name, "has no test in which it fires")
        check(re.search(rf"alertname: {name}\n\s+exp_alerts: \[\]", tests), name, "has no test in which it does not fire")
    stray = anchors(RUNBOOK / "pipeline.md") - {name.lower() for name in rules()}
    check(not stray, "docs/runbook/pipeline.md has sections of no alert:", stray)
    check(not re.search(r"https?://", text), "the rules name a host")


def main():
    known = series(metrics())
    check(len(metrics()) > 30, "the table of metrics was not understood")
    used, shown = set(), 0
    for name, dashboard in dashboards().items():
        used |= check_dashboard(name, dashboard, known)
        shown += len(panels(dashboard))
    unused = set(metrics()) - used
    check(not unused, "no dashboard shows", sorted(unused))
    check_rules(known)
    for line in wrong:
        print(line)
    print(f"{shown} panels, {len(used)} of {len(metrics())} metrics, {len(rules())} alert rules: {len(wrong)} mistakes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
