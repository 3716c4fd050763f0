"""Athena's saved queries: a template of the files in deploy/athena."""

from __future__ import annotations

import pathlib
import re
from typing import Any

# audit.yaml makes the table of the trail itself, and none of geophone's archive.
NOT_SAVED = ("_table", "_enriched")


def template(folder: pathlib.Path) -> dict[str, Any] | None:
    """A template with a named query for each `*.sql`; nothing where there is none."""
    resources = {}
    for path in sorted(folder.glob("*.sql")):
        if path.stem.endswith(NOT_SAVED):
            continue
        text = path.read_text(encoding="utf-8")
        first = text.splitlines()[0].removeprefix("--").strip()
        resources[re.sub(r"[^A-Za-z0-9]", "", path.stem.title())] = {
            "Type": "AWS::Athena::NamedQuery",
            "Properties": {
                "Name": path.stem.replace("_", "-"),
                "Description": first[:1024],
                "Database": {"Fn::ImportValue": {"Fn::Sub": "${AuditStack}:DatabaseName"}},
                "WorkGroup": {"Fn::ImportValue": {"Fn::Sub": "${AuditStack}:WorkGroupName"}},
                "QueryString": text,
            },
        }
    if not resources:
        return None
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Saved queries, made of deploy/athena by deploy/stack",
        "Parameters": {"AuditStack": {"Type": "String", "Default": "geophone-audit", "Description": "The stack of audit.yaml."}},
        "Resources": resources,
    }
