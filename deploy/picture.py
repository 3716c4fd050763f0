#!/usr/bin/env python3
"""Draws architecture.svg. `--check` says whether it is as this file would draw it."""

from __future__ import annotations

import html
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEIGHT = 1060, 640
STYLE = """
  .ground { fill: #ffffff } .zone { fill: #f3f5f8; stroke: #c3cad5 } .box { fill: #ffffff; stroke: #4a5568 } .ours { fill: #e3f1ec; stroke: #12715b }
  text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1a202c } .small { font-size: 11px; fill: #4a5568 }
  .title { font-weight: 600 } .line { fill: none; stroke: #4a5568; stroke-width: 1.4 } .tip { fill: #4a5568 } .either { stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0f141a } .zone { fill: #171e27; stroke: #364152 } .box { fill: #1f2833; stroke: #94a3b8 } .ours { fill: #15382f; stroke: #4cc3a5 }
    text { fill: #e8edf3 } .small { fill: #a9b6c6 } .line { stroke: #94a3b8 } .tip { fill: #94a3b8 }
  }
"""
TITLE = "The perimeter, the pipeline and geophone"
DESCRIPTION = (
    "A person signs in through the identity provider to a Cognito user pool; the identity pool turns attributes into session tags and gives the "
    "department's role, which may call Amazon Bedrock through one VPC endpoint. CloudTrail records every call in all regions. Its records come "
    "through CloudWatch Logs or EventBridge into two Kinesis streams. geophone, on ECS Fargate, reads both and publishes to SNS topics for people, "
    "chat and programs. Beside it are its state, its configuration and a lease table; the trail's bucket is asked with Athena, and CloudWatch alarms "
    "watch the pipeline itself."
)
# name: (x, y, width, title, lines below, class)
BOXES = {
    "person": (30, 60, 105, "Person", ["and application"], "box"),
    "idp": (160, 60, 140, "Identity provider", ["SAML, MFA"], "box"),
    "pool": (320, 60, 140, "User pool", ["groups, dept,", "clearance, region"], "box"),
    "identities": (490, 60, 140, "Identity pool", ["attributes become", "session tags"], "box"),
    "role": (660, 60, 150, "Department role", ["policy on", "aws:PrincipalTag/dept"], "box"),
    "endpoint": (840, 60, 80, "Endpoint", ["one way in"], "box"),
    "bedrock": (945, 60, 85, "Bedrock", ["models"], "box"),
    "trail": (30, 270, 140, "CloudTrail", ["all regions, also", "the organization"], "box"),
    "logs": (215, 225, 165, "CloudWatch Logs", ["subscription, Random"], "box"),
    "rules": (215, 320, 165, "EventBridge rules", ["key: role; dead letters"], "box"),
    "stream": (430, 225, 150, "Kinesis: bedrock", ["Bedrock and STS"], "box"),
    "identity": (430, 320, 150, "Kinesis: identity", ["Cognito, IAM, pipeline"], "box"),
    "geophone": (635, 265, 130, "geophone", ["ECS Fargate,", "its own role"], "ours"),
    "oncall": (830, 215, 200, "SNS: on-call", ["text: e-mail, pager"], "box"),
    "chat": (830, 280, 200, "SNS: chat", ["Amazon Q Developer"], "box"),
    "findings": (830, 345, 200, "SNS: findings", ["OCSF: SIEM"], "box"),
    "bucket": (30, 500, 140, "Trail's bucket", ["files, verified"], "box"),
    "athena": (215, 500, 165, "Glue, Athena", ["the auditor's question"], "box"),
    "alarms": (430, 500, 150, "CloudWatch alarms", ["nobody reads, nothing", "arrives, shards are full"], "box"),
    "state": (635, 500, 185, "State and configuration", ["EFS, S3, lease table"], "box"),
    "pipeline": (870, 500, 160, "SNS: pipeline", ["alarms, without geophone"], "box"),
}
ZONES = [
    (15, 20, 1030, 125, 12, 20, "perimeter.yaml: who is which department, and what it may call"),
    (15, 180, 580, 225, 100, 20, "pipeline.yaml: the record of it, by one of two ways"),
    (610, 180, 435, 225, 12, 20, "service.yaml and stores.yaml: who reads, and who is told"),
    (15, 460, 380, 120, 12, 112, "audit.yaml"),
    (410, 460, 635, 120, 205, 112, "stores.yaml: what is kept, and what watches the watcher"),
]
ARROWS = [
    ("M135 85H156", ""),
    ("M300 85H316", ""),
    ("M460 85H486", ""),
    ("M630 85H656", ""),
    ("M810 85H836", ""),
    ("M920 85H941", ""),
    ("M987 110V160H100V266", ""),
    ("M170 285H192V250H211", " either"),
    ("M170 305H192V345H211", " either"),
    ("M380 245H426", " either"),
    ("M380 260H405V335H426", " either"),
    ("M380 350H426", " either"),
    ("M380 338H395V268H426", " either"),
    ("M580 250H608V282H631", ""),
    ("M580 345H608V310H631", ""),
    ("M765 280H797V240H826", ""),
    ("M765 295H797V305H826", ""),
    ("M765 310H797V370H826", ""),
    ("M100 335V496", ""),
    ("M170 525H211", ""),
    ("M700 331V496", ""),
    ("M505 370V496", ""),
    ("M580 560H600V592H950V558", ""),
]


def text(x: float, y: float, words: str, kind: str = "", middle: bool = True) -> str:
    """A line of text."""
    anchor = ' text-anchor="middle"' if middle else ""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{anchor}{named}>{html.escape(words)}</text>'


def drawn() -> str:
    """The picture."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title description">',
        f'<title id="title">{html.escape(TITLE)}</title>',
        f'<desc id="description">{html.escape(DESCRIPTION)}</desc>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8Z"/></marker></defs>',
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    for x, y, width, height, right, down, title in ZONES:
        out += [
            f'<rect class="zone" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>',
            text(x + right, y + down, title, "small", middle=False),
        ]
    out += [f'<path class="line{kind}" d="{path}" marker-end="url(#tip)"/>' for path, kind in ARROWS]
    for x, y, width, title, lines, kind in BOXES.values():
        height = 50 if len(lines) == 1 else 66
        out.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        out.append(text(x + width / 2, y + 21, title, "title"))
        out += [text(x + width / 2, y + 38 + 15 * place, line, "small") for place, line in enumerate(lines)]
    out += [
        text(
            30,
            622,
            "Dashed: one of the two ways, by parameter. Streams, topics, tables, buckets and logs are encrypted with one key of KMS.",
            "small",
            middle=False,
        ),
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def main() -> None:
    path = HERE / "architecture.svg"
    if sys.argv[1:] == ["--check"]:
        if path.read_text(encoding="utf-8") != drawn():
            sys.exit("architecture.svg is not as deploy/picture.py draws it: run it")
    else:
        path.write_text(drawn(), encoding="utf-8")


main()
