"""Which events reach which stream, and under which key: the template's own patterns over golden events and over those of the rules.

EventBridge's patterns are evaluated by moto, CloudWatch Logs' by filter_pattern.py, because no emulator evaluates them.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from moto.events.models import EventPattern

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import golden  # noqa: E402
from checks import Checks  # noqa: E402
from filter_pattern import FilterPattern  # noqa: E402
from template import Known, Resolver, load  # noqa: E402

Json = Any
PIPELINE = HERE.parent / "cloudformation/pipeline.yaml"
# A pattern may have 1,024 characters, a partition key 256.
FILTER_MAX, KEY_MAX = 1024, 256


def resources(delivery: str) -> dict[str, dict[str, Json]]:
    """The pipeline's resources for one way of delivery."""
    return Resolver(load(PIPELINE), Known(parameters={"Delivery": delivery}, stack="geophone-pipeline")).resources()


class Rules:
    """EventBridge's rules of the template."""

    def __init__(self, every: dict[str, dict[str, Json]]):
        self.rules = {name: one["Properties"] for name, one in every.items() if one["Type"] == "AWS::Events::Rule"}
        self._patterns = {name: EventPattern.load(json.dumps(rule["EventPattern"])) for name, rule in self.rules.items()}

    def matching(self, event: dict[str, Json]) -> list[str]:
        """Rules that take an event."""
        return [name for name, pattern in self._patterns.items() if pattern.matches_event(event)]

    def key(self, rule: str, event: dict[str, Json]) -> str | None:
        """The partition key: what the path says, or EventBridge's own, the event's id."""
        path = self.rules[rule]["Targets"][0].get("KinesisParameters", {}).get("PartitionKeyPath")
        if path is None:
            return golden.BY_ID
        node: Json = event
        for part in path.removeprefix("$.").split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return node if isinstance(node, str) else None


def rule_events() -> list[tuple[str, dict[str, Json]]]:
    """Events on which a shipped Sigma rule fires."""
    out = []
    for path in sorted((ROOT / "rules/bedrock").glob("*.test.json")):
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            if case["expect"] == "match":
                # Lake Formation stands for "some other service": such an event must not change what the rule says.
                meant = [event for event in case["events"] if event["eventSource"] != "lakeformation.amazonaws.com"]
                out += [(f"{path.name.removesuffix('.test.json')}: {case['name']}", event) for event in meant]
    return out


def main() -> None:
    checks = Checks("patterns")
    rules = Rules(resources("eventbridge"))
    everything = golden.events()
    for one in everything:
        event = golden.envelope(one)
        matching = rules.matching(event)
        checks.equal(f"rules that take {one.name}", matching, [one.rule] if one.rule else [])
        for rule in matching:
            key = rules.key(rule, event)
            checks.equal(f"the key of {one.name}", key, one.key)
            checks.that(f"the key of {one.name} is short enough", key and len(key) <= KEY_MAX)
    grants = {one.key for one in everything if one.rule == "StsByRoleRule"}
    calls = {one.key for one in everything if one.rule == "BedrockByIssuerRule"}
    checks.that("a role's calls and grants share a key", grants and grants <= calls, (grants, calls))
    checks.equal("rules without a golden event", sorted(set(rules.rules) - {one.rule for one in everything}), [])
    checks.section(f"EventBridge: {len(everything)} golden events over {len(rules.rules)} rules")

    logs = resources("cloudwatch-logs")
    filters = {name: one["Properties"]["FilterPattern"] for name, one in logs.items() if one["Type"] == "AWS::Logs::SubscriptionFilter"}
    checks.equal("a log group has room for two", sorted(filters), ["BedrockSubscription", "IdentitySubscription"])
    parsed = {name: FilterPattern(text) for name, text in filters.items()}
    for name, text in filters.items():
        checks.that(f"{name} is short enough", len(text) <= FILTER_MAX, len(text))

    def subscriptions(record: dict[str, Json]) -> list[str]:
        return [name for name, pattern in parsed.items() if pattern.matches(record)]

    def stream(rule: str) -> str:
        return "BedrockSubscription" if rule.startswith(("Bedrock", "Sts")) else "IdentitySubscription"

    for one in everything:
        checks.equal(f"subscriptions that take {one.name}", subscriptions(one.event), [stream(one.rule)] if one.rule else [])
    checks.section(f"CloudWatch Logs: the same events over {len(filters)} subscriptions")

    fired = rule_events()
    checks.that("the rule pack has events", len(fired) > 400, len(fired))
    for name, record in fired:
        service = record.get("eventType") == "AwsServiceEvent"
        event = golden.envelope(golden.Golden(name, record, None, detail_type=golden.SERVICE if service else golden.API))
        what = f"{record['eventSource']} {record['eventName']} ({name})"
        taken = {rules.rules[rule]["Targets"][0]["Arn"] for rule in rules.matching(event)}
        checks.equal(f"streams that EventBridge brings {what} to", len(taken), 1)
        checks.equal(f"subscriptions that take {what}", len(subscriptions(record)), 1)
    checks.section(f"both: {len(fired)} events on which a shipped rule fires")
    checks.end()


main()
