"""geophone itself against the deployed stack, under its own role: golden events in, an alert at a subscriber of the topic."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import re
from typing import Any, Iterator

import documents
import golden
import settings
from checks import Checks
from servers import Emulator, Subscriber, free_port, page, running, until

Json = Any
WAIT = 60


class Daemon:
    """A running geophone."""

    def __init__(self, address: str, log: pathlib.Path):
        self.address, self._log = address, log

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = page(self.address, "/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{| )", line))

    def log(self) -> str:
        """What it logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def geophone(
    program: pathlib.Path,
    folder: pathlib.Path,
    emulator: Emulator,
    credentials: dict[str, str],
    outputs: dict[str, dict[str, str]],
    policies: dict[str, Json],
) -> Iterator[Daemon]:
    """`geophone run` with the configuration that deploy/stack makes, and nothing but the role's credentials."""
    folder.mkdir()
    documents.write(policies, folder / "policies")
    address = f"127.0.0.1:{free_port()}"
    text = settings.toml(
        outputs["perimeter"],
        outputs["pipeline"],
        outputs["stores"],
        state=str(folder / "state"),
        endpoint=emulator.endpoint,
        listen=address,
    )
    (folder / "geophone.toml").write_text(text, encoding="utf-8")
    log = folder / "log"
    environment = {**emulator.environment(credentials), "RUST_BACKTRACE": "1"}
    del environment["AWS_ENDPOINT_URL"]  # the configuration says it
    with running([str(program), "run", "--config", str(folder / "geophone.toml")], folder, environment, log) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"geophone ended:\n{log.read_text(encoding='utf-8', errors='replace')}")
            return bool(page(address, "/readyz"))

        until("geophone to read its streams", ready, WAIT)
        yield Daemon(address, log)


def put(emulator: Emulator, stream: str, records: list[tuple[str, bytes]]) -> None:
    """Records, each with its key, as EventBridge or CloudWatch Logs would put them."""
    listed = [{"PartitionKey": key, "Data": data} for key, data in records]
    emulator.client("kinesis").put_records(StreamARN=stream, Records=listed)


def logs_record(events: list[dict[str, Json]], subscription: str) -> bytes:
    """One record of a CloudWatch Logs subscription."""
    lines = [{"id": str(place), "timestamp": 0, "message": json.dumps(event)} for place, event in enumerate(events)]
    return gzip.compress(
        json.dumps(
            {
                "messageType": "DATA_MESSAGE",
                "owner": golden.ACCOUNT,
                "logGroup": "/geophone/geophone-pipeline/trail",
                "logStream": f"{golden.ACCOUNT}_CloudTrail_us-east-1",
                "subscriptionFilters": [subscription],
                "logEvents": lines,
            }
        ).encode()
    )


def check(checks: Checks, emulator: Emulator, daemon: Daemon, subscriber: Subscriber, outputs: dict[str, dict[str, str]]) -> None:
    """Both ways of delivery, to alerts at both topics."""
    pipeline, stores = outputs["pipeline"], outputs["stores"]
    for topic in ("OnCallTopicArn", "FindingsTopicArn"):
        subscriber.subscribe(emulator.client("sns"), stores[topic])

    def story(topic: str, *words: str) -> dict[str, Json] | None:
        for one in subscriber.notifications(stores[topic]):
            if all(word in one["Message"] for word in words):
                return one
        return None

    # EventBridge: each event where the template's own rules bring it, which patterns.py has proven.
    sent = [one for one in golden.events(outputs["perimeter"]["BedrockEndpointId"]) if one.rule]
    for stream, is_identity in ((pipeline["StreamArn"], False), (pipeline["IdentityStreamArn"], True)):
        chosen = [one for one in sent if (one.rule in ("IdentityRule", "SurroundingsRule", "ApiKeyUserRule")) == is_identity]
        put(
            emulator,
            stream,
            [
                (one.event["eventID"] if one.key == golden.BY_ID else str(one.key), json.dumps(golden.envelope(one)).encode())
                for one in chosen
            ],
        )
    until("all golden events", lambda: daemon.metric("geophone_events_total") >= len(sent), WAIT)
    alert = until("the refused call at the on-call topic", lambda: story("OnCallTopicArn", "marketing", golden.CLAUDE), WAIT)
    attributes = {name: one["Value"] for name, one in alert["MessageAttributes"].items()}
    checks.equal("the alert's detector and department", (attributes["detector"], attributes["department"]), ("access-denied", "marketing"))
    checks.that("another department's model is at least high", attributes["severity"] in ("high", "critical"), attributes)
    checks.that("the alert names the document that decides", "implicit-deny" in alert["Message"], alert["Message"])
    checks.that("the subject is fit for e-mail", 0 < len(alert["Subject"]) <= 100 and alert["Subject"].isascii(), alert["Subject"])
    finding = until("the same at the findings topic", lambda: story("FindingsTopicArn", golden.CLAUDE), WAIT)
    checks.equal("it is an OCSF detection finding", json.loads(finding["Message"])["class_uid"], 2004)
    stopped = until("the stopped trail, by a shipped rule", lambda: story("OnCallTopicArn", "StopLogging"), WAIT)
    checks.that("which is a rule's", stopped["MessageAttributes"]["detector"]["Value"].startswith("sigma"), stopped["MessageAttributes"])
    # Two calls of marketing succeeded, one directly and one through a profile: as the documents say, so nothing is told of them.
    checks.equal(
        "what looks like drift",
        [
            one["Subject"]
            for one in subscriber.notifications(stores["OnCallTopicArn"])
            if one["MessageAttributes"]["detector"]["Value"] == "cross-department"
        ],
        [],
    )
    checks.equal("events that were counted", daemon.metric("geophone_events_total"), float(len(sent)))

    # CloudWatch Logs: gzip, several events a record, any key.
    key = "ASIAEXAMPLELEGALYY"
    more = [golden.granted(golden.LEGAL, key, "legal", "77aa"), golden.refused(golden.LEGAL, key, golden.NOVA)]
    put(emulator, pipeline["StreamArn"], [("4711", logs_record(more, "bedrock"))])
    alert = until("a refused call by way of CloudWatch Logs", lambda: story("OnCallTopicArn", "legal", golden.NOVA), WAIT)
    checks.equal("its department", alert["MessageAttributes"]["department"]["Value"], "legal")
    for metric in ("geophone_undecodable_total", "geophone_dead_letters_total"):
        checks.equal(metric, daemon.metric(metric), 0.0)
    checks.that(
        "nothing was refused to geophone",
        "AccessDenied" not in daemon.log() and "not authorized" not in daemon.log().lower(),
        daemon.log()[-2000:],
    )
