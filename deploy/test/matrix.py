"""Department by model: what is wanted, what MiniStack does, what geophone's evaluator says, each by itself."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import access
import documents
from servers import ACCOUNT, REGION, Emulator

Json = Any
MODELS = {
    "claude": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "opus": "anthropic.claude-opus-4-1-20250805-v1:0",
    "nova": "amazon.nova-pro-v1:0",
    "stability": "stability.sd3-5-large-v1:0",
    "llama": "meta.llama3-3-70b-instruct-v1:0",
    "mistral": "mistral.mistral-large-2407-v1:0",
}
# The decision, written down once more by hand: nothing here is read from the template.
GRANTED = {
    "legal": {"claude"},
    "compliance": {"claude"},
    "marketing": {"nova", "stability"},
    "engineering": {"claude", "nova", "llama"},
}
# Where a profile us.… may lead to.
US_PROFILE = ("us-east-1", "us-east-2", "us-west-2")
CLEARED = {"legal", "compliance", "engineering"}
ACTIONS = {"bedrock:InvokeModel": "invoke_model", "bedrock:InvokeModelWithResponseStream": "invoke_model_with_response_stream"}


@dataclass(frozen=True)
class Case:
    """A call of a department's role, and whether it is to be let through."""

    name: str
    role: str
    tags: tuple[tuple[str, str], ...]
    model: str
    action: str
    region: str
    wanted: bool


def cases() -> list[Case]:
    """The matrix, and what goes round it."""
    out = []

    def case(
        what: str, role: str, tags: dict[str, str], model: str, wanted: bool, region: str = REGION, action: str = "bedrock:InvokeModel"
    ) -> None:
        name = f"{what}: {role} with {tags or 'no tags'}, {action.removeprefix('bedrock:')} of {model} in {region}"
        out.append(Case(name, f"bedrock-{role}", tuple(tags.items()), MODELS[model], action, region, wanted))

    for dept, model, action in itertools.product(GRANTED, MODELS, ACTIONS):
        case("matrix", dept, {"dept": dept}, model, model in GRANTED[dept], action=action)
    for dept, clearance in itertools.product(GRANTED, ("high", "low", "High")):
        case("clearance", dept, {"dept": dept, "clearance": clearance}, "opus", dept in CLEARED and clearance == "high")
    for role, tag in itertools.permutations(GRANTED, 2):
        for model in ("claude", "nova"):
            case("another's tag", role, {"dept": tag}, model, False)
    for dept in GRANTED:
        best = sorted(GRANTED[dept])[0]
        case("no tag", dept, {}, best, False)
        case("a star", dept, {"dept": "*"}, best, False)
        case("another case", dept, {"dept": dept.title()}, best, False)
        for area, region, wanted in (
            ("eu", "eu-central-1", True),
            ("eu", "us-east-1", False),
            ("us", "us-west-2", True),
            ("us", "eu-west-1", False),
        ):
            case("residency", dept, {"dept": dept, "region": area}, best, wanted, region)
        case("region", dept, {"dept": dept}, best, False, "ap-northeast-1")
    return out


def emulated(emulator: Emulator, every: list[Case]) -> set[str]:
    """Names of the cases that MiniStack lets through, by a real session and a real call each."""
    sessions: dict[Any, dict[str, str]] = {}
    clients: dict[Any, Any] = {}
    out = set()
    for case in every:
        who = (case.role, case.tags)
        if who not in sessions:
            sessions[who] = access.session(emulator, f"arn:aws:iam::{ACCOUNT}:role/departments/{case.role}", dict(case.tags))
        if (*who, case.region) not in clients:
            clients[*who, case.region] = emulator.client("bedrock-runtime", sessions[who], case.region)
        call = getattr(clients[*who, case.region], ACTIONS[case.action])
        if access.is_allowed(lambda call=call, case=case: call(modelId=case.model, body=b'{"inputText":"hello"}')):
            out.add(case.name)
    return out


class Evaluator:
    """geophone's own evaluator over the documents of a perimeter."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, given: dict[str, Json]):
        self._program, self._folder, self._documents = program, folder, given

    def asked(self, case: Case, resource: str, context: dict[str, str] | None = None) -> dict[str, Json]:
        """A case for `geophone policy test`, without what is expected."""
        about = {f"aws:PrincipalTag/{key}": value for key, value in case.tags}
        about |= {"aws:RequestedRegion": case.region, "aws:SecureTransport": "true"} | (context or {})
        return {
            "name": case.name,
            "action": case.action,
            "resource": resource,
            "ctx": about,
            "policies": [self._documents[documents.PERIMETER], self._documents[documents.own(case.role)]],
            "boundaries": [self._documents[documents.BOUNDARY]],
        }

    def verdicts(self, asked: list[dict[str, Json]]) -> list[str]:
        """A verdict for each. `policy test` tells what it got in the place of what was expected, so Unknown is said to be."""
        path = self._folder / "cases.json"
        numbered = [{**one, "name": f"case-{place}", "expect": "Unknown"} for place, one in enumerate(asked)]
        path.write_text(json.dumps(numbered), encoding="utf-8")
        done = subprocess.run(
            [str(self._program), "policy", "test", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"geophone policy test: {done.stdout}")
        told = {int(place): verdict for place, verdict in re.findall(r"case-(\d+): expected Unknown, got (\w+)", done.stdout)}
        return [told.get(place, "Unknown") for place in range(len(asked))]

    def allowed(self, every: list[Case], context: dict[str, str] | None = None) -> set[str]:
        """Names of the cases that geophone takes for allowed."""
        asked = [self.asked(case, f"arn:aws:bedrock:{case.region}::foundation-model/{case.model}", context) for case in every]
        return {case.name for case, verdict in zip(every, self.verdicts(asked)) if verdict == "Allow"}

    def through_profiles(self, every: list[Case]) -> set[str]:
        """The same through cross-region profiles: the profile, and the model in every region behind it."""
        asked, owners = [], []
        for case in every:
            resources = {f"arn:aws:bedrock:{case.region}:{ACCOUNT}:inference-profile/us.{case.model}": case.region}
            resources |= {f"arn:aws:bedrock:{region}::foundation-model/{case.model}": region for region in US_PROFILE}
            for resource, region in resources.items():
                asked.append(self.asked(case, resource, {"aws:RequestedRegion": region}))
                owners.append(case.name)
        refused = {name for name, verdict in zip(owners, self.verdicts(asked)) if verdict != "Allow"}
        return {case.name for case in every} - refused

    def matrix(self, config: pathlib.Path) -> dict[tuple[str, str], str]:
        """`geophone policy matrix`: (department, family) to verdict."""
        done = subprocess.run(
            [str(self._program), "policy", "matrix", "--config", str(config), "--format", "ndjson"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        cells = [json.loads(line) for line in done.stdout.splitlines()]
        return {(cell["department"], cell["family"]): cell["verdict"] for cell in cells}
