"""The two commands of deploy/README.md, against MiniStack."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Callable

from checks import Checks
from servers import Emulator, until
from template import load

Json = Any
DEPLOY = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("perimeter", "pipeline", "stores", "service", "audit")
# What MiniStack 1.5.33 cannot make, and what is not seen for it.
UNKNOWN_TYPES = {
    "AWS::CloudTrail::Trail": "the trail and its selectors are linted and guarded, never made",
    "AWS::Cognito::UserPoolIdentityProvider": "federation is linted, never made; the test deploys a pool with users of its own",
    "AWS::EC2::SecurityGroupIngress": "the rule that lets geophone reach its state is linted, never made",
}


class Stacks:
    """Deploys the templates, as far as MiniStack knows them."""

    def __init__(self, emulator: Emulator, folder: pathlib.Path, aws: pathlib.Path, geophone: pathlib.Path):
        self._emulator, self._folder, self._aws, self._geophone = emulator, folder, aws, geophone
        self._templates, self._parameters = folder / "templates", folder / "parameters.toml"
        self._templates.mkdir()
        self._queries = folder / "queries"
        self._queries.mkdir()
        ec2 = emulator.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        self.tables: dict[str, dict[str, Json]] = {
            "perimeter": {"DomainPrefix": "emulated", "CallbackUrl": "https://example.com", "VpcId": vpc, "SubnetIds": subnets},
            "pipeline": {"Delivery": "eventbridge", "StreamMode": "PROVISIONED", "Shards": 2},
            "stores": {"OnCallEmail": "security-on-call@example.com", "OnCallUrl": "https://127.0.0.1:1/nobody"},
            "service": {"Image": "geophone:emulated", "VpcId": vpc, "SubnetA": subnets[0], "SubnetB": subnets[1], "Tasks": 0},
            "audit": {"Accounts": ["000000000000"]},
        }

    def fit(self, checks: Checks, change: Callable[[dict[str, Json]], None] | None = None) -> None:
        """Writes the templates without what MiniStack does not know, each with its name; `change` is made to the perimeter."""
        is_first = not any(self._templates.iterdir())
        for name in NAMES:
            template = load(DEPLOY / f"cloudformation/{name}.yaml")
            if change and name == "perimeter":
                change(template)
            resources = template["Resources"]
            gone = {
                logical: f"{one['Type']}: {UNKNOWN_TYPES[one['Type']]}"
                for logical, one in resources.items()
                if one["Type"] in UNKNOWN_TYPES
            }
            gone |= {
                logical: "alarms over a query are linted, never made"
                for logical, one in resources.items()
                if one["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in one["Properties"]
            }
            for logical, why in gone.items():
                del resources[logical]
                if is_first:
                    checks.gap(f"{name}.{logical} left out: {why}")
            for one in resources.values():
                if isinstance(one.get("DependsOn"), list):
                    one["DependsOn"] = [logical for logical in one["DependsOn"] if logical not in gone]
                if one["Type"] == "AWS::ECS::Service":
                    # MiniStack takes a parameter for text here, and counts with it.
                    one["Properties"]["DesiredCount"] = 0
            if is_first and name == "audit":
                checks.gap("saved queries left out: AWS::Athena::NamedQuery: the template of deploy/athena is linted, never made")
            if is_first and name == "service":
                checks.gap("service.Service is made without tasks: MiniStack runs containers in Docker only")
            (self._templates / f"{name}.yaml").write_text(json.dumps(template), encoding="utf-8")

    def deploy(self, what: str) -> str:
        """One of the two commands; gives what it printed."""
        lines = ['region = "us-east-1"']
        for table, values in self.tables.items():
            lines += ["", f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self._parameters.write_text("\n".join(lines) + "\n", encoding="utf-8")
        environment = {
            **self._emulator.environment(),
            "PATH": f"{self._aws.parent}:{os.environ['PATH']}",
            "GEOPHONE_BIN": str(self._geophone),
            "AWS_PAGER": "",
        }
        command = [sys.executable, str(DEPLOY / "stack"), what, str(self._parameters), "--templates", str(self._templates), "--queries", str(self._queries)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(done.stdout + self._failures())
            sys.exit(f"deploy/stack {what} failed")
        return done.stdout

    def switch(self, delivery: str) -> None:
        """Changes the way of delivery by UpdateStack: MiniStack's change sets do not see that a condition has turned."""
        client = self._emulator.client("cloudformation")
        parameters = {**self.tables["pipeline"], "Delivery": delivery}
        client.update_stack(
            StackName="geophone-pipeline",
            TemplateBody=(self._templates / "pipeline.yaml").read_text(encoding="utf-8"),
            Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

        def done() -> bool:
            status = client.describe_stacks(StackName="geophone-pipeline")["Stacks"][0]["StackStatus"]
            if "ROLLBACK" in status or "FAILED" in status:
                sys.exit(f"the way of delivery was not switched: {status}\n{self._failures()}")
            return status == "UPDATE_COMPLETE"

        until("the other way of delivery", done, 60)
        self.tables["pipeline"]["Delivery"] = delivery

    def outputs(self, name: str) -> dict[str, str]:
        """The outputs of a stack."""
        stack = self._emulator.client("cloudformation").describe_stacks(StackName=f"geophone-{name}")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def resources(self, name: str) -> dict[str, str]:
        """Logical names of a stack's resources to their types."""
        told = self._emulator.client("cloudformation").describe_stack_resources(StackName=f"geophone-{name}")["StackResources"]
        return {one["LogicalResourceId"]: one["ResourceType"] for one in told}

    def wanted(self, name: str) -> set[str]:
        """Resources without a condition that the fitted template has."""
        template = json.loads((self._templates / f"{name}.yaml").read_text(encoding="utf-8"))
        return {logical for logical, one in template["Resources"].items() if "Condition" not in one}

    def _failures(self) -> str:
        client, lines = self._emulator.client("cloudformation"), []
        for stack in client.describe_stacks()["Stacks"]:
            events = client.describe_stack_events(StackName=stack["StackName"])["StackEvents"]
            lines += [
                f"{stack['StackName']}.{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
                for one in events
                if "FAILED" in one["ResourceStatus"]
            ]
        return "\n".join(lines) + "\n"
