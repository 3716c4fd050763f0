"""What the checks share: the dashboards and rules as they are on disk, and what geophone says it exposes."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "dashboards"
NAMES = ("overview", "incidents", "departments", "pipeline")
RULES = FOLDER / "alerts.prom.yml"
SELECTOR = re.compile(r"\b(geophone_\w+)(?:\{([^}]*)\})?")


def dashboards():
    """Every dashboard by name."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}


def panels(dashboard):
    """Panels that show something: rows only divide."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def metrics():
    """Every metric that geophone has: name to (kind, labels), from the table in the source."""
    text = (ROOT / "src/telemetry/metric_name.rs").read_text(encoding="utf-8")
    rows = re.findall(r'M::\w+,\s*"(geophone_\w+)",\s*(Counter|Gauge|Histogram),\s*&\[([^\]]*)\]', text)
    return {name: (kind, set(re.findall(r'"(\w+)"', labels))) for name, kind, labels in rows}


def series(known):
    """Every series name that may be written in a query, to (metric, labels)."""
    names = {}
    for name, (kind, labels) in known.items():
        if kind == "Histogram":
            names |= {name + "_bucket": (name, labels | {"le"}), name + "_sum": (name, labels), name + "_count": (name, labels)}
        else:
            names[name] = (name, labels)
    return names


def rules():
    """Every alert rule as written: name to its block of text."""
    return dict(re.match(r"(\w+)\n(.*)", block, re.S).groups() for block in re.split(r"\n\s+- alert: ", RULES.read_text(encoding="utf-8"))[1:])
