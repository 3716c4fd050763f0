"""Reads each dashboard with Grafana's Foundation SDK and writes it again: what is not there afterwards, Grafana does not know.

The SDK is that of Grafana 11.6, the oldest that the dashboards are meant for. Keys that are newer than it are named here.
"""

import json
import sys

from common import dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# Key to reason. A key that the SDK loses and that is not here is a mistake.
NEWER = {}


def leaves(value, path=""):
    """Every value with its path. Lists by index: order is kept."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def again(dashboard):
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def lost(dashboard):
    """Paths whose value is gone or another one. What the SDK adds are defaults."""
    before, after = dict(leaves(dashboard)), dict(leaves(again(dashboard)))
    return [path for path, value in before.items() if path not in after or after[path] != value]


def main():
    register_default_plugins()
    mistakes = 0
    count = 0
    for name, dashboard in dashboards().items():
        count += sum(1 for _ in leaves(dashboard))
        gone = lost(dashboard)
        for path in gone:
            if path.rsplit(".", 1)[-1] not in NEWER:
                print(f"{name}: Grafana would lose {path}")
                mistakes += 1
        # A misspelt key must be noticed, or this check is none.
        panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
        panel["targets"][0]["legendFormt"] = "x"
        panel["options"]["legend"]["plcement"] = "bottom"
        if len(lost(dashboard)) != len(gone) + 2:
            print(f"{name}: misspelt keys were not noticed")
            mistakes += 1
    print(f"{count} values of 4 dashboards read and written again: {mistakes} lost")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
