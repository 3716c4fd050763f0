"""Asks the queries of this folder and compares every row with what the generator wrote down, and with `geophone audit`.

    compare.py FOLDER [--cold] [--mutate] [--audit rows.csv [--since T --until T --department D --model GLOB]]

FOLDER is generate.py's. --audit is the CSV of `geophone audit` for the same question (all of it, if nothing else is said).
--mutate breaks the SQL in one place after another: a mistake that no comparison notices is a failure."""

import argparse
import csv
import datetime
import fnmatch
import gzip
import json
import pathlib
import re
import shutil
import sys
import tempfile
import time as clock
from collections import Counter

from engine import FOLDER, Athena, text
from generate import COLUMNS, FIRST_DAY, GAP
from mutations import MUTATIONS

ALL = ("2026-09-01T00:00:00Z", "2026-12-01T00:00:00Z", "*", "*")
OCTOBER = ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
QUESTIONS = (
    ("every call", ALL),
    ("legal's Claude calls in October", (*OCTOBER, "legal", "anthropic.claude*")),
    ("Legal is not legal", (*OCTOBER, "Legal", "*")),
    ("a department with a slash", (*OCTOBER, "research/emea", "anthropic.claude-?-sonnet*")),
    ("no department", (*OCTOBER, "", "*")),
    ("an hour around midnight", ("2026-10-10T23:30:00Z", "2026-10-11T00:30:00Z", "*", "*")),
    ("a day's last hours", ("2026-10-10T18:00:00Z", "2026-10-10T23:59:59Z", "*", "*")),
    ("% in a pattern is no pattern", (*OCTOBER, "*", "%claude*")),
    ("_ in a pattern is no pattern", (*OCTOBER, "*", "anthropic_claude*")),
)
SHOWN = 5
failures = []


def say(is_right, line):
    print(("ok    " if is_right else "WRONG ") + line)
    if not is_right:
        failures.append(line)


def expected(truth, since, until, department, model):
    """The rows that answer a question, as the command gives them."""
    return [row[: len(COLUMNS)] for row in truth if since <= row[0] < until and department in ("*", row[2]) and fnmatch.fnmatchcase(row[4], model)]


def differences(left, right):
    """Rows that are in one and not in the other, as often as they are."""
    left, right = Counter(left), Counter(right)
    return sorted((left - right).elements()), sorted((right - left).elements())


def compare(title, wanted, found, names=("the generator", "SQL"), seconds=None):
    missing, extra = differences(wanted, found)
    took = "" if seconds is None else f", {seconds:.1f} s"
    say(not missing and not extra, f"{title}: {len(found):,} rows{took}" + (f", {len(missing)} missing, {len(extra)} too many" if missing or extra else ""))
    for name, rows in zip(names, (missing, extra), strict=True):
        for row in rows[:SHOWN]:
            print(f"        only {name}: {' | '.join(map(str, row))}")


def parameters(since, until, department, model):
    return since, until, since, until, department, model


def counted(truth):
    """counts.sql as a person would count."""
    table = {}
    for row in truth:
        line = table.setdefault((row[0][:10], row[2], row[3], row[4]), [0, 0, 0])
        line[("allowed", "denied", "error").index(row[6])] += 1
    return [(*key, *line) for key, line in table.items()]


def without_department(truth):
    table = Counter((row[9], row[11], row[12]) for row in truth if row[2] == "")
    return [(*key, number) for key, number in table.items()]


def questions_of(truth):
    """And one that begins with a call and ends with another: the first belongs to it, the last does not."""
    times = sorted(row[0] for row in truth)
    return *QUESTIONS, ("from a call to a call", (times[len(times) // 3], times[len(times) // 2], "*", "*"))


def check_questions(athena, truth, questions):
    for title, asked in questions:
        began = clock.monotonic()
        rows = athena.ask("invocations.sql", parameters(*asked))
        compare(title, expected(truth, *asked), rows, seconds=clock.monotonic() - began)


def check_counts(athena, truth):
    asked = (*OCTOBER, "*", "anthropic.*")
    compare("counts", counted(expected(truth, *asked)), athena.ask("counts.sql", parameters(*asked)))
    rows = athena.ask("no_department.sql", (*OCTOBER, *OCTOBER, "*"))
    totals = Counter()
    for row in rows:
        totals[row[0], row[3], row[5]] += sum(row[6:9])
    compare("no department, by key and reason", without_department([row for row in truth if OCTOBER[0] <= row[0] < OCTOBER[1]]), [(*key, number) for key, number in totals.items()])


def check_coverage(athena, folder):
    first, last = FIRST_DAY + datetime.timedelta(days=1), FIRST_DAY + datetime.timedelta(days=37)
    days = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
    pairs = [(path.parents[1].name, path.name) for path in (folder / "AWSLogs").glob("*/CloudTrail/*")]
    gaps = [(account, region, f"{day:%Y/%m/%d}") for account, region in pairs for day in days
            if not (folder / f"AWSLogs/{account}/CloudTrail/{region}/{day:%Y/%m/%d}").is_dir()]
    say((GAP[0], GAP[1], f"{GAP[2]:%Y/%m/%d}") in gaps, "the trail has a gap to find")
    asked = [str(first), str(last)]
    compare("coverage", gaps, [row[:3] for row in athena.ask("coverage.sql", asked * 2)])


def write_archive(folder, truth):
    """geophone's archive of these calls, one line in a hundred twice."""
    shutil.rmtree(folder, ignore_errors=True)
    lines = {}
    for number, row in enumerate(truth):
        line = dict(zip(COLUMNS, row, strict=False)) | {
            "clearance": "2", "department_source": "session-tag" if row[2] else "", "family": ".".join(re.findall(r"[a-z]+", row[4])[:2]),
            "input_tokens": number % 1000, "output_tokens": number % 300}
        place = lines.setdefault((row[2].replace("/", "%2F") or "unknown", row[0][:10]), [])
        place += [json.dumps(line)] * (1 + (number % 100 == 0))
    for (department, date), texts in lines.items():
        place = folder / f"invocations/dept={department}/date={date}"
        place.mkdir(parents=True)
        (place / "part-0.json.gz").write_bytes(gzip.compress("\n".join(texts).encode(), 1))


def check_archive(athena, truth):
    for department, model in (("legal", "anthropic.claude*"), ("*", "*"), ("unknown", "*")):
        asked = (*OCTOBER, department, *OCTOBER, model)
        wanted = expected(truth, *OCTOBER, {"unknown": ""}.get(department, department), model)
        rows = athena.ask("invocations_enriched.sql", asked)
        compare(f"archive, {department}", wanted, [row[: len(COLUMNS)] for row in rows])
        counts = athena.ask("counts_enriched.sql", asked)
        compare(f"archive's counts, {department}", counted(wanted), [row[:7] for row in counts])
        say(sum(row[7] for row in counts) == sum(row[15] for row in rows), "tokens of counts and rows are the same")


def check_audit(athena, path, asked):
    """Row by row with the command. It may name more columns; it must name these."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [tuple(row[name] for name in COLUMNS) for row in csv.DictReader(file)]
    compare("geophone audit", rows, athena.ask("invocations.sql", parameters(*asked)), names=("geophone audit", "SQL"))


def check_common_part():
    part = re.compile(r"^-- ── from here .*?^-- ── to here ──$", re.S | re.M)
    parts = {name: part.search(text(name)).group() for name in ("invocations.sql", "counts.sql", "no_department.sql")}
    say(len(set(parts.values())) == 1, "the common part is the same in " + ", ".join(parts))


def check_mutations(athena, truth):
    """Each mistake must be noticed by at least one question."""
    for name, old, new in MUTATIONS:
        noticed = None
        for title, asked in questions_of(truth):
            rows = athena.ask("invocations.sql", parameters(*asked), (old, new))
            if any(differences(expected(truth, *asked), rows)):
                noticed = title
                break
        say(noticed is not None, f"mistake noticed: {name}" + (f" ({noticed})" if noticed else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cold", action="store_true", help="first ask one question straight over the files, to time it")
    parser.add_argument("--mutate", action="store_true")
    parser.add_argument("--audit", type=pathlib.Path, metavar="ROWS.CSV")
    for name, value in zip(("--since", "--until", "--department", "--model"), ALL, strict=True):
        parser.add_argument(name, default=value)
    asked = parser.parse_args()
    check_common_part()
    with (asked.folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = [tuple(row) for row in csv.reader(file)][1:]
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        archive = pathlib.Path(scratch) / "archive"
        write_archive(archive, truth)
        athena = Athena(asked.folder, asked.folder / "models.csv", archive, pathlib.Path(scratch) / "trail.duckdb")
        if asked.cold:
            check_questions(athena, truth, QUESTIONS[1:2])
        athena.keep()
        check_questions(athena, truth, questions_of(truth))
        check_counts(athena, truth)
        check_coverage(athena, asked.folder)
        check_archive(athena, truth)
        if asked.audit:
            check_audit(athena, asked.audit, (asked.since, asked.until, asked.department, asked.model))
        if asked.mutate:
            check_mutations(athena, truth)
    print(f"{FOLDER.name}: {len(failures)} wrong")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
