"""geophone's configuration, from what the stacks say of themselves."""

from __future__ import annotations

import json

from documents import BOUNDARY, PERIMETER, own

Outputs = dict[str, str]


def _text(value: str) -> str:
    # A JSON string of plain characters is a basic string of TOML.
    return json.dumps(value, ensure_ascii=True)


def _list(values: list[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def toml(
    perimeter: Outputs,
    pipeline: Outputs,
    stores: Outputs,
    *,
    has_directory: bool = False,
    state: str = "/var/lib/geophone",
    endpoint: str | None = None,
    listen: str = "127.0.0.1:9464",
) -> str:
    """geophone.toml. `endpoint` is for emulators; without it the SDK finds AWS's."""
    roles = perimeter["DepartmentRoles"].split(",")
    lines = [
        "# Made by deploy/stack from the outputs of the stacks. Change parameters or deploy/tools/settings.py, not this copy.",
        "[identity]",
        'department_tag = "dept"',
        'person_tags = ["sub"]',
        *(['directory = "people.csv"'] if has_directory else []),
        "",
        "[identity.roles]",
        *(f"{_text(role)} = {_text(role.removeprefix('bedrock-'))}" for role in roles),
        "",
        "[policy]",
        "# The roles of the perimeter have no tags of their own.",
        'role_tags = "none"',
        "",
        "[policy.roles]",
        f'"bedrock-*" = {_list([f"policies/{PERIMETER}"])}',
        *(f"{_text(role)} = {_list([f'policies/{own(role)}'])}" for role in roles),
        "",
        "[policy.role_boundaries]",
        f'"bedrock-*" = {_list([f"policies/{BOUNDARY}"])}',
        "",
        "[policy.context]",
        f'"aws:SourceVpce" = {_text(perimeter["BedrockEndpointId"])}',
        "",
        "[detect.perimeter]",
        f"vpc_endpoints = {_list([perimeter['BedrockEndpointId']])}",
        'tls_min = "1.2"',
        "",
        "[rules]",
        'paths = ["builtin"]',
        "",
        "[state]",
        f"folder = {_text(state)}",
        "# A file system over the network is written to less often; after a crash two minutes are read again.",
        'snapshot_every = "2m"',
        "",
        "[http]",
        f"listen = {_text(listen)}",
    ]
    where = [f"endpoint = {_text(endpoint)}"] if endpoint else []
    for name in ("Stream", "IdentityStream"):
        lines += ["", "[[streams]]", f"name = {_text(pipeline[f'{name}Name'])}", f"arn = {_text(pipeline[f'{name}Arn'])}", *where]
    for name, form, severity in (("OnCall", "text", "medium"), ("Chat", "chatbot", "medium"), ("Findings", "ocsf", "informational")):
        lines += [
            "",
            "[[topics]]",
            f"arn = {_text(stores[f'{name}TopicArn'])}",
            f"form = {_text(form)}",
            f"severity_min = {_text(severity)}",
            *where,
        ]
    return "\n".join(lines) + "\n"
