"""The IAM documents of the perimeter, as files that geophone reads: from a template, or from the deployed stack."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Callable

Json = Any
# Asks AWS: ("iam", "get-role-policy", {"role-name": …}) → what the AWS CLI would print.
Ask = Callable[[str, str, dict[str, str]], dict[str, Json]]

PERIMETER, BOUNDARY = "BedrockByDepartment.json", "DepartmentBoundary.json"
OWN_POLICY = "OwnDepartment"


def own(role: str) -> str:
    """The file of a role's own statement."""
    return f"{OWN_POLICY}-{role}.json"


def of_template(resources: dict[str, dict[str, Json]]) -> dict[str, Json]:
    """File name to document, from a template's resources with their functions worked out."""
    out = {
        PERIMETER: resources["BedrockByDepartment"]["Properties"]["PolicyDocument"],
        BOUNDARY: resources["DepartmentBoundary"]["Properties"]["PolicyDocument"],
    }
    for resource in resources.values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Role" and properties.get("Path") == "/departments/":
            attached = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties["Policies"]}
            out[own(properties["RoleName"])] = attached[OWN_POLICY]
    return out


def of_stack(outputs: dict[str, str], ask: Ask) -> dict[str, Json]:
    """The same from IAM, right after the deployment: what is attached later, by whomever, shall not be in it."""
    out = {}
    for name, arn in ((PERIMETER, outputs["BedrockPolicyArn"]), (BOUNDARY, outputs["BoundaryArn"])):
        version = ask("iam", "get-policy", {"policy-arn": arn})["Policy"]["DefaultVersionId"]
        out[name] = ask("iam", "get-policy-version", {"policy-arn": arn, "version-id": version})["PolicyVersion"]["Document"]
    for role in outputs["DepartmentRoles"].split(","):
        out[own(role)] = ask("iam", "get-role-policy", {"role-name": role, "policy-name": OWN_POLICY})["PolicyDocument"]
    return out


def write(documents: dict[str, Json], folder: pathlib.Path) -> None:
    """Puts documents into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
