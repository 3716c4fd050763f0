"""Templates as they are written: cfn-lint, cloudformation-validate with our Guard rules, and that each of those can fail."""

from __future__ import annotations

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

from cloudformation_validate import CompositeEngine, CompositeEngineConfig, TemplateContent, file_to_external_rule_source

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parent
sys.path[:0] = [str(HERE), str(DEPLOY / "tools")]

import queries  # noqa: E402
from breakages import PERIMETER, PIPELINE  # noqa: E402
from checks import Checks  # noqa: E402
from template import load  # noqa: E402

NAMES = ("perimeter", "pipeline", "stores", "service", "audit")
TEMPLATES = {name: DEPLOY / f"cloudformation/{name}.yaml" for name in NAMES}
GUARD = sorted((DEPLOY / "guard").glob("*.guard"))
# aws cloudformation deploy takes larger ones only from a bucket.
TEMPLATE_BYTES_MAX = 51_200
LINES_MAX = 500
# The regions where it is most likely deployed; not every property exists everywhere.
REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-1")


def findings(engine: CompositeEngine, content: str) -> dict[str, list[str]]:
    """What is more than information, by rule."""
    out: dict[str, list[str]] = {}
    for told in engine.validate_template(TemplateContent(content, "template")).diagnostics:
        if told.severity.name != "INFO":
            out.setdefault(told.rule_id, []).append(str(told.message))
    return out


def written(checks: Checks, engine: CompositeEngine) -> None:
    """The templates as they are."""
    linter = str(pathlib.Path(sys.executable).with_name("cfn-lint"))
    with tempfile.TemporaryDirectory() as name:
        saved = pathlib.Path(name, "queries.json")
        # Without queries of our own, one that is made up, so that the template is looked at in any case.
        made = queries.template(DEPLOY / "athena")
        if made is None:
            pathlib.Path(name, "one.sql").write_text("-- One.\nSELECT 1\n", encoding="utf-8")
            made = queries.template(pathlib.Path(name))
        saved.write_text(json.dumps(made), encoding="utf-8")
        paths = [str(path) for path in (*TEMPLATES.values(), saved)]
        done = subprocess.run(
            [linter, "--regions", *REGIONS, "--", *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        checks.that("cfn-lint finds nothing", done.returncode == 0, done.stdout)
    for name, path in TEMPLATES.items():
        text = path.read_text(encoding="utf-8")
        checks.equal(f"{name}: cloudformation-validate and Guard find nothing", findings(engine, text), {})
        checks.that(f"{name}: fits into a request", len(text.encode()) < TEMPLATE_BYTES_MAX, len(text.encode()))
        lines = text.splitlines()
        bare = [
            number
            for number, line in enumerate(lines, 1)
            if re.search(r'Resource: "\*"$', line) and not lines[number - 2].lstrip().startswith("#")
        ]
        checks.equal(f'{name}: each Resource "*" says why', bare, [])


def broken(checks: Checks, engine: CompositeEngine) -> None:
    """Each Guard rule refuses what breaks it."""
    templates: dict[str, Any] = {name: load(path) for name, path in TEMPLATES.items()}
    for name, template in templates.items():
        # The long forms that breakages are written in must mean the same.
        checks.equal(f"{name}: nothing is found in its long form", findings(engine, json.dumps(template)), {})
    ours = {match for path in GUARD for match in re.findall(r"^rule (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)}
    for rule, name, what, change in (*PERIMETER, *PIPELINE):
        wrong = copy.deepcopy(templates[name])
        change(wrong)
        found = set(findings(engine, json.dumps(wrong))) & ours
        checks.equal(f"{name} with {what} is refused by {rule} alone", sorted(found), [rule])
    checks.equal("every Guard rule is broken once", sorted({rule for rule, *_ in (*PERIMETER, *PIPELINE)}), sorted(ours))


def table(checks: Checks) -> None:
    """The Glue table is the one that the queries are written for."""
    definition = DEPLOY / "athena/raw_table.sql"
    if not definition.is_file():
        print("   skipped  deploy/athena/raw_table.sql is not there: the table is not compared with it")
        return
    sql = re.sub(r"--.*", "", definition.read_text(encoding="utf-8"))
    given = load(TEMPLATES["audit"])["Resources"]["CloudTrailTable"]["Properties"]["TableInput"]

    def columns(text: str) -> list[list[str]]:
        flat = re.sub(r"\s*([<>:,])\s*", r"\1", " ".join(text.split()))
        split = re.findall(r"(\w+) ((?:\w+<(?:[^<>]|<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>)*>)|\w+)", flat)
        return [[name, kind] for name, kind in split]

    head = re.search(r"\bcloudtrail\s*\((.*)\)\s*PARTITIONED BY\s*\((.*?)\)", sql, re.DOTALL | re.IGNORECASE)
    assert head, "raw_table.sql makes no table cloudtrail"
    stored = given["StorageDescriptor"]
    checks.equal("the table's columns", [[column["Name"], column["Type"]] for column in stored["Columns"]], columns(head[1]))
    checks.equal("the table's partitions", [[column["Name"], column["Type"]] for column in given["PartitionKeys"]], columns(head[2]))
    properties = dict(re.findall(r"'(projection\.[\w.]+)'\s*=\s*'([^']*)'", sql))
    fixed = {key: value for key, value in properties.items() if not key.endswith((".values", ".range"))}
    checks.equal("the table's projection", {key: given["Parameters"].get(key) for key in fixed}, fixed)
    for name in (stored["SerdeInfo"]["SerializationLibrary"], stored["InputFormat"], stored["OutputFormat"]):
        checks.that(f"the table is read with {name}", f"'{name}'" in sql)


def papers(checks: Checks) -> None:
    """What the guide shows is what the programs say."""
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    sums = subprocess.run([sys.executable, str(DEPLOY / "cost.py")], stdout=subprocess.PIPE, text=True, check=True).stdout
    checks.that("the guide's costs are those of cost.py", sums in guide)
    drawn = subprocess.run([sys.executable, str(DEPLOY / "picture.py"), "--check"], check=False).returncode
    checks.equal("the picture is as picture.py draws it", drawn, 0)
    dry = [
        subprocess.run(
            [sys.executable, str(DEPLOY / "stack"), what, str(DEPLOY / "example.toml"), "--dry-run"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for what in ("perimeter", "pipeline")
    ]
    example = set(re.findall(r"([A-Z]\w+)=", "".join(dry)))
    declared = {name for path in TEMPLATES.values() for name in load(path)["Parameters"]}
    declared.add("AuditStack")  # of the saved queries
    checks.that("the example's parameters are the templates'", example and example <= declared, sorted(example - declared))
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".yaml", ".guard", ".md", ""):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            checks.that(f"{path.relative_to(DEPLOY)}: under {LINES_MAX} lines", lines < LINES_MAX, lines)


def main() -> None:
    checks = Checks("lint")
    engine = CompositeEngine(CompositeEngineConfig(guard_rules=[file_to_external_rule_source(str(path)) for path in GUARD]))
    written(checks, engine)
    checks.section("templates are valid")
    broken(checks, engine)
    checks.section("every Guard rule refuses what breaks it")
    table(checks)
    papers(checks)
    checks.end()


main()
