"""A company's CloudTrail over 40 days in the layout of S3, and truth.csv: what an auditor should read out of it.

    generate.py --out FOLDER [--events 1050000] [--seed 7]

Beside the trail come models.csv (the map of opaque model ids) and geophone.toml (the same, for `geophone audit --config`).
Only the standard library; the same seed gives the same bytes."""

import argparse
import csv
import datetime
import gzip
import pathlib
import random
import shutil
import time as clock
from collections import defaultdict

from calls import MODEL_MAP, Calls
from records import Ids, record, stamp
from sessions import ACCOUNTS, DEPARTMENTS, REGIONS, Sessions

FIRST_DAY = datetime.date(2026, 9, 25)
DAYS = 40
DAY = 86_400
# The region and day in which the trail of one account wrote no file: what coverage.sql is to find.
GAP = (ACCOUNTS[2], "us-west-2", FIRST_DAY + datetime.timedelta(days=17))
CALLS_A_SESSION = 7
NOISE_A_SESSION = 13
COLUMNS = "time event_id department person model operation outcome error_code region account source_ip access_key_id".split()

_MIDNIGHTS = [(FIRST_DAY + datetime.timedelta(days=number)).isoformat() for number in range(DAYS + 4)]


def midnight(day):
    return _MIDNIGHTS[day]


class Trail:
    """Files of one account, region and part of a day, by when their records were delivered."""

    def __init__(self, folder, rng, files_a_day):
        self.folder, self.rng, self.files_a_day, self.written, self.bytes, self.files = folder, rng, files_a_day, 0, 0, 0
        self.days = defaultdict(lambda: defaultdict(list))

    def put(self, time, account, region, text):
        """A record that happened at `time`: minutes late and in no order, one in 500 by hours, one in 100 twice."""
        rng = self.rng
        chance = rng.random()
        self._deliver(time + (rng.randrange(3_600, 20 * 3_600) if chance < 0.002 else rng.randrange(60, 600)), account, region, text)
        if chance > 0.99:
            self._deliver(time + rng.randrange(60, 8 * 3_600), account, region, text)

    def _deliver(self, time, account, region, text):
        day, second = divmod(time, DAY)
        if (account, region, FIRST_DAY + datetime.timedelta(days=day)) == GAP:
            # What would have stood in the gap comes a day later: a trail that was stopped and caught up.
            day += 1
        if day < DAYS:
            self.days[day][account, region, second * self.files_a_day // DAY].append((time, text))

    def flush(self, day):
        for (account, region, part), records in sorted(self.days.pop(day, {}).items()):
            records.sort(key=lambda pair: pair[0])
            date = FIRST_DAY + datetime.timedelta(days=day)
            folder = self.folder / f"AWSLogs/{account}/CloudTrail/{region}/{date:%Y/%m/%d}"
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{account}_CloudTrail_{region}_{date:%Y%m%d}T{part * 24 // self.files_a_day:02}00Z_{self.rng.getrandbits(64):016x}.json.gz"
            packed = gzip.compress(f'{{"Records":[{",".join(text for _, text in records)}]}}'.encode(), 1, mtime=0)
            (folder / name).write_bytes(packed)
            self.written += len(records)
            self.bytes += len(packed)
            self.files += 1


class Noise:
    """What else is in a trail: other services, Bedrock's calls that spend no model's time, refused logins."""

    def __init__(self, rng, ids, trail, at):
        self.rng, self.ids, self.trail, self.at = rng, ids, trail, at
        self.identity = '{"type":"AWSService","invokedBy":"config.amazonaws.com"}'

    def some(self, time):
        rng, account, region = self.rng, self.rng.choice(ACCOUNTS), self.rng.choice(REGIONS)
        kind, event_id, when = rng.randrange(12), self.ids.uuid(), self.at(time)
        source, name, asked, others = "s3.amazonaws.com", "GetObject", '{"bucketName":"legal-bedrock","key":"InvokeModel/dept"}', {}
        if kind < 4:
            source, name, asked = "ec2.amazonaws.com", "DescribeInstances", '{"instancesSet":{},"filterSet":{"items":[{"name":"tag:dept"}]}}'
        elif kind < 6:
            source, name, asked = "kms.amazonaws.com", "Decrypt", '{"encryptionContext":{"modelId":"anthropic.claude-opus-4-7"}}'
        elif kind == 6:
            source, name, asked = "bedrock.amazonaws.com", rng.choice(("ListFoundationModels", "ApplyGuardrail", "Retrieve", "CountTokens")), "null"
        elif kind == 7:
            source, name, asked = "sts.amazonaws.com", "AssumeRoleWithWebIdentity", '{"principalTags":{"dept":"legal"}}'
            others["error"] = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        elif kind == 8:
            source, name, asked = "sts.amazonaws.com", "GetCallerIdentity", "null"
        self.trail.put(time, account, region, record(event_id, when, source, name, account, region, self.identity, asked=asked, **others))


def generate(folder, events, seed):
    rng = random.Random(seed)
    # CloudTrail writes a file in five minutes; what matters here is that a day has several, and that few are tiny.
    ids, trail = Ids(rng), Trail(folder, rng, 1 if events < 100_000 else 4)
    truth = []
    end = (DAYS - 1) * DAY  # so that what is delivered late still has a file
    sessions = Sessions(rng, ids, trail.put, midnight)
    calls = Calls(rng, ids, trail.put, lambda time, row: truth.append(row), sessions.at)
    noise = Noise(rng, ids, trail, sessions.at)
    a_day = max(1, round(events / DAYS / (CALLS_A_SESSION + NOISE_A_SESSION + 2.5)))
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow([*COLUMNS, "reason"])
        for day in range(DAYS - 1):
            for _ in range(a_day):
                session = sessions.some(day * DAY + rng.randrange(DAY))
                for _ in range(rng.randrange(1, 2 * CALLS_A_SESSION)):
                    time = rng.randrange(session.begin, session.end)
                    if time < end:
                        calls.some(session, time)
            for _ in range(a_day * NOISE_A_SESSION):
                noise.some(day * DAY + rng.randrange(DAY))
            trail.flush(day)
            table.writerows(truth)
            truth.clear()
        for day in range(DAYS - 1, DAYS):
            trail.flush(day)
    return trail


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--events", type=int, default=1_050_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    shutil.rmtree(asked.out / "AWSLogs", ignore_errors=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    began = clock.monotonic()
    trail = generate(asked.out, asked.events, asked.seed)
    with (asked.out / "models.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("name", "model"), *MODEL_MAP.items()])
    settings = "".join(f'"{name}" = "{model}"\n' for name, model in MODEL_MAP.items())
    (asked.out / "geophone.toml").write_text(f"[models]\n{settings}", encoding="utf-8")
    print(f"{trail.written:,} records in {trail.files:,} files, {trail.bytes / 1e6:.1f} MB, departments {', '.join(DEPARTMENTS)}, "
          f"{clock.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
