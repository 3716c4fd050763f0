#!/usr/bin/env python3
"""What the stacks cost a month, by a table of prices and of volumes. Prints the table of deploy/README.md.

    deploy/cost.py [--calls 1000000] [--other-gigabytes 3]

PRICES are list prices of us-east-1 in US dollars, written down from memory on 2026-11-23 and not looked up: put in those of your region and
contract, from https://aws.amazon.com/pricing/, before you rely on a sum. Perpetual free tiers are counted where they are named.
"""

from __future__ import annotations

import argparse

HOURS = 730
DAYS = 30.4
PRICES = {
    "shard hour": 0.015,
    "shard hour of retention beyond a day": 0.02,
    "stream hour on demand": 0.04,
    "GB into a stream on demand": 0.08,
    "GB out of a stream on demand": 0.04,
    "GB month of retention beyond a day": 0.10,
    "GB into CloudWatch Logs": 0.50,
    "GB month of S3": 0.023,
    "vCPU hour": 0.04048,
    "GB hour of memory": 0.004445,
    "GB month of EFS": 0.30,
    "endpoint hour": 0.01,
    "key month": 1.00,
    "alarm month": 0.10,
}
# What is known of records: CloudTrail's of a call is about 1.2 KB (median of 2,900 real records), EventBridge's envelope adds about 0.4 KB,
# and eight of them fit into the space of one when compressed.
RECORD_KB, ENVELOPE_KB, COMPRESSION = 1.2, 0.4, 8
GRANTS_PER_CALL, RETENTION_DAYS, TRAIL_MONTHS = 0.2, 3, 13


def rows(calls: float, other: float) -> list[tuple[str, str, str, float, float]]:
    """(what, how it is counted, volume, by CloudWatch Logs, by EventBridge)."""
    p = PRICES
    records = calls * (1 + GRANTS_PER_CALL) * DAYS / 1e6  # millions a month
    trail = records * RECORD_KB + other * DAYS  # GB a month; a million records of a KB are a GB
    # On demand each record counts as whole KB.
    stream = HOURS * p["stream hour on demand"]
    by_logs = records * RECORD_KB / COMPRESSION
    by_events = records * 2  # 1.6 KB count as 2
    volumes = f"{records:.1f} million records"
    kept = (RETENTION_DAYS - 1) / DAYS * p["GB month of retention beyond a day"]
    per_gb = p["GB into a stream on demand"] + p["GB out of a stream on demand"] + kept
    identity = HOURS * (p["shard hour"] + p["shard hour of retention beyond a day"])
    service = HOURS * (p["vCPU hour"] + 4 * p["GB hour of memory"])
    logs = trail * p["GB into CloudWatch Logs"]
    bucket = trail / COMPRESSION * TRAIL_MONTHS * p["GB month of S3"]
    endpoint = 2 * HOURS * p["endpoint hour"]
    rest = p["key month"] + 4 * p["alarm month"] + p["GB month of EFS"]
    return [
        (
            "Kinesis: bedrock, on demand",
            "730 h × 0.04 + GB × (0.08 in + 0.04 out + retention)",
            f"{by_logs:.1f} / {by_events:.1f} GB",
            stream + by_logs * per_gb,
            stream + by_events * per_gb,
        ),
        ("Kinesis: identity, one shard", "730 h × (0.015 + 0.02 retention)", "1 shard", identity, identity),
        ("CloudWatch Logs, the whole trail", "GB × 0.50", f"{trail:.0f} GB", logs, 0.0),
        ("CloudTrail, first copy of management events", "free", volumes, 0.0, 0.0),
        ("S3, the trail's files", f"GB ÷ {COMPRESSION} × {TRAIL_MONTHS} months × 0.023", f"{trail:.0f} GB", bucket, bucket),
        ("Fargate, 1 vCPU and 4 GB", "730 h × (0.04048 + 4 × 0.004445)", "1 task", service, service),
        ("VPC endpoint for Bedrock, two zones", "2 × 730 h × 0.01", "without its GB", endpoint, endpoint),
        ("Key, four alarms, 1 GB of EFS", "1.00 + 4 × 0.10 + 0.30", "", rest, rest),
    ]


def table(calls: float, other: float) -> str:
    """The same as Markdown."""
    listed = rows(calls, other)
    lines = ["| what | how | volume | cloudwatch-logs | eventbridge |", "|---|---|---|---:|---:|"]
    lines += [f"| {what} | {how} | {volume} | {logs:.2f} | {events:.2f} |" for what, how, volume, logs, events in listed]
    lines.append(f"| **a month** | | | **{sum(row[3] for row in listed):.2f}** | **{sum(row[4] for row in listed):.2f}** |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=float, default=1e6, help="Bedrock calls a day (default: a million)")
    parser.add_argument("--other-gigabytes", type=float, default=3, help="GB a day of other records in the trail (default: 3)")
    given = parser.parse_args()
    print(table(given.calls, given.other_gigabytes), end="")


if __name__ == "__main__":
    main()
