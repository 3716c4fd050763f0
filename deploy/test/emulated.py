"""The stacks in MiniStack with IAM switched on, and geophone against them.

emulated.py --aws PATH-OF-AWS-CLI --geophone PATH-OF-GEOPHONE
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import tempfile
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import access  # noqa: E402
import documents  # noqa: E402
import end_to_end  # noqa: E402
import golden  # noqa: E402
import matrix  # noqa: E402
import role  # noqa: E402
from checks import Checks  # noqa: E402
from servers import ACCOUNT, Emulator, Subscriber  # noqa: E402
from stacks import NAMES, Stacks  # noqa: E402
from template import Known, Resolver, load  # noqa: E402

Json = Any
ROLES = [f"bedrock-{department}" for department in matrix.GRANTED]


def deployed(emulator: Emulator, stacks: Stacks) -> dict[str, Json]:
    """The documents of the deployed perimeter, as deploy/stack fetches them."""
    iam = emulator.client("iam")

    def ask(_service: str, operation: str, options: dict[str, str]) -> dict[str, Json]:
        named = {"".join(word.title() for word in key.split("-")): value for key, value in options.items()}
        return getattr(iam, operation.replace("-", "_"))(**named)

    return documents.of_stack(stacks.outputs("perimeter"), ask)


def whole(checks: Checks, stacks: Stacks) -> None:
    """Everything was made."""
    for name in NAMES:
        made = stacks.resources(name)
        checks.equal(f"{name}: resources that were not made", sorted(stacks.wanted(name) - set(made)), [])
    count = sum(len(stacks.resources(name)) for name in NAMES)
    checks.section(f"two commands have made {len(NAMES)} stacks with {count} resources")


def sign_in(checks: Checks, emulator: Emulator, stacks: Stacks) -> None:
    """From a person to a session: pool, client, identity pool, trust."""
    outputs = stacks.outputs("perimeter")
    idp, identity = emulator.client("cognito-idp"), emulator.client("cognito-identity")
    pool = outputs["UserPoolId"]
    checks.equal("MFA", idp.describe_user_pool(UserPoolId=pool)["UserPool"]["MfaConfiguration"], "ON")
    client = idp.describe_user_pool_client(UserPoolId=pool, ClientId=outputs["UserPoolClientId"])["UserPoolClient"]
    checks.equal("what tokens of the client may do", sorted(client["AllowedOAuthScopes"]), ["email", "openid"])
    checks.equal("how the client signs people in", client["ExplicitAuthFlows"], ["ALLOW_REFRESH_TOKEN_AUTH"])
    groups = {group["GroupName"]: group["RoleArn"] for group in idp.list_groups(UserPoolId=pool)["Groups"]}
    checks.equal(
        "roles of the groups", groups, {name: f"arn:aws:iam::{ACCOUNT}:role/departments/bedrock-{name}" for name in matrix.GRANTED}
    )
    mapping = identity.get_identity_pool_roles(IdentityPoolId=outputs["IdentityPoolId"])["RoleMappings"]
    checks.equal("how roles are chosen", [(one["Type"], one["AmbiguousRoleResolution"]) for one in mapping.values()], [("Token", "Deny")])
    checks.gap(
        "MiniStack keeps a role mapping under its name in the template, not under its IdentityProvider: which client it is for is not seen"
    )
    provider = f"cognito-idp.us-east-1.amazonaws.com/{pool}"
    tags = identity.get_principal_tag_attribute_map(IdentityPoolId=outputs["IdentityPoolId"], IdentityProviderName=provider)
    checks.equal(
        "tags of sessions",
        (tags["UseDefaults"], tags["PrincipalTags"]),
        (False, {"dept": "custom:dept", "clearance": "custom:clearance", "region": "custom:region", "sub": "sub"}),
    )

    sts = emulator.client("sts")
    for name in ROLES:

        def take(audience: str, *methods: str, name: str = name) -> Any:
            return sts.assume_role_with_web_identity(
                RoleArn=f"arn:aws:iam::{ACCOUNT}:role/departments/{name}",
                RoleSessionName="CognitoIdentityCredentials",
                WebIdentityToken=access.token(audience, *methods),
            )

        ours, theirs = outputs["IdentityPoolId"], "us-east-1:00000000-0000-4000-8000-000000000000"
        for what, audience, methods, wanted in (
            ("our pool", ours, ("authenticated",), True),
            ("somebody's pool", theirs, ("authenticated",), False),
            ("our guests", ours, ("unauthenticated",), False),
            ("no method", ours, (), False),
        ):
            found = access.is_allowed(lambda take=take, audience=audience, methods=methods: take(audience, *methods))
            checks.equal(f"{name} trusts {what}", found, wanted)
        checks.equal(
            f"{name} trusts the account's own users",
            access.is_allowed(
                lambda name=name: access.session(emulator, f"arn:aws:iam::{ACCOUNT}:role/departments/{name}", {"dept": "legal"})
            ),
            False,
        )
    checks.gap(
        "MiniStack's AssumeRoleWithWebIdentity passes no tags on, and its GetCredentialsForIdentity maps neither roles nor tags: "
        "below, sessions with tags are made by AssumeRole, with root added to each role's trust"
    )
    checks.gap("MiniStack does not ask for sts:TagSession with a web identity: a Guard rule does")
    checks.section("sign-in, tags and trust")


class Perimeter:
    """The department × model matrix, three times over."""

    def __init__(self, checks: Checks, emulator: Emulator, stacks: Stacks, program: pathlib.Path, folder: pathlib.Path):
        self._checks, self._emulator, self._stacks, self._program, self._folder = checks, emulator, stacks, program, folder
        self.cases = matrix.cases()
        self.wanted = {case.name for case in self.cases if case.wanted}

    def evaluator(self) -> matrix.Evaluator:
        """geophone over the documents as they are deployed now."""
        return matrix.Evaluator(self._program, self._folder, deployed(self._emulator, self._stacks))

    def written(self, required: str) -> None:
        """What deploy/policies makes of the template is what IAM got."""
        outputs = self._stacks.outputs("perimeter")
        parameters = {**self._stacks.tables["perimeter"], "RequireEndpoint": required}
        known = Known(
            parameters=parameters, account=ACCOUNT, stack="geophone-perimeter", resources={"BedrockEndpoint": outputs["BedrockEndpointId"]}
        )
        template = load(HERE.parent / "cloudformation/perimeter.yaml")
        made = documents.of_template(Resolver(template, known).resources())
        self._checks.equal(
            f"documents of the template and of IAM, RequireEndpoint {required}", made, deployed(self._emulator, self._stacks)
        )

    def through_the_endpoint(self) -> None:
        """As shipped: nothing but through the endpoint."""
        self.written("true")
        endpoint = self._stacks.outputs("perimeter")["BedrockEndpointId"]
        self._checks.equal("what MiniStack lets through without the endpoint", sorted(matrix.emulated(self._emulator, self.cases)), [])
        evaluator = self.evaluator()
        self._checks.equal("what geophone allows without the endpoint", sorted(evaluator.allowed(self.cases)), [])
        self._same("geophone, through the endpoint", evaluator.allowed(self.cases, {"aws:SourceVpce": endpoint}))
        self._checks.equal(
            "geophone, through another endpoint", sorted(evaluator.allowed(self.cases, {"aws:SourceVpce": "vpce-00000000000000001"})), []
        )
        self._checks.gap("MiniStack's requests come through no endpoint: the matrix below is deployed with RequireEndpoint=false")
        self._checks.section(f"as shipped, only the endpoint lets through: {len(self.cases)} calls")

    def agrees(self) -> None:
        """Decision, emulator and evaluator are one."""
        self.written("false")
        evaluator = self.evaluator()
        self._same("MiniStack", matrix.emulated(self._emulator, self.cases))
        self._same("geophone's evaluator", evaluator.allowed(self.cases))
        self._checks.equal("geophone, in the clear", sorted(evaluator.allowed(self.cases, {"aws:SecureTransport": "false"})), [])
        direct = [case for case in self.cases if case.name.startswith("matrix") and case.wanted]
        self._checks.equal(
            "geophone, through inference profiles", sorted(evaluator.through_profiles(direct)), sorted(case.name for case in direct)
        )
        held = [case for case in self.cases if not case.wanted]
        self._checks.equal("geophone, refused ones through inference profiles", sorted(evaluator.through_profiles(held)), [])
        self._gaps()
        self._checks.section(f"department by model: {len(self.cases)} calls, {len(self.wanted)} of them allowed, said three times")

    def agrees_as_matrix(self, config: pathlib.Path) -> None:
        """`geophone policy matrix` over the configuration that deploy/stack makes."""
        families = {"claude": "anthropic.claude", "nova": "amazon.nova", "llama": "meta.llama"}
        found = matrix.Evaluator(self._program, self._folder, {}).matrix(config)
        for department, granted in matrix.GRANTED.items():
            for model, family in families.items():
                # Some of Claude is Opus, which needs clearance.
                allowed = "partly" if model == "claude" else "allow"
                wanted = allowed if model in granted else "implicit-deny"
                self._checks.equal(f"policy matrix: {department} and {family}", found.get((department, family)), wanted)

    def loses(self, what: str, change: Any, lost: set[str]) -> None:
        """With a grant taken away, emulator and evaluator both lose exactly that: these tests can fail."""
        self._stacks.fit(self._checks, change)
        self._stacks.deploy("perimeter")
        self._checks.equal(f"MiniStack without {what}", sorted(self.wanted - matrix.emulated(self._emulator, self.cases)), sorted(lost))
        self._checks.equal(f"geophone without {what}", sorted(self.wanted - self.evaluator().allowed(self.cases)), sorted(lost))

    def gains(self, what: str, change: Any, gained: set[str]) -> None:
        """With a guard taken away, both let exactly that through."""
        self._stacks.fit(self._checks, change)
        self._stacks.deploy("perimeter")
        self._checks.equal(f"MiniStack without {what}", sorted(matrix.emulated(self._emulator, self.cases) - self.wanted), sorted(gained))
        self._checks.equal(f"geophone without {what}", sorted(self.evaluator().allowed(self.cases) - self.wanted), sorted(gained))

    def _same(self, who: str, allowed: set[str]) -> None:
        for case in self.cases:
            self._checks.equal(f"{who}: {case.name}", case.name in allowed, case.wanted)

    def _gaps(self) -> None:
        """What MiniStack refuses though AWS would not. Held, so that a MiniStack that learns it is noticed."""
        credentials = access.session(self._emulator, f"arn:aws:iam::{ACCOUNT}:role/departments/bedrock-legal", {"dept": "legal"})
        client, claude = self._emulator.client("bedrock-runtime", credentials), matrix.MODELS["claude"]
        hello = [{"role": "user", "content": [{"text": "hello"}]}]
        for what, call in (
            ("Converse, which it takes for an action of its own", lambda: client.converse(modelId=claude, messages=hello)),
            (
                "cross-region profiles, which it takes for foundation models",
                lambda: client.invoke_model(modelId=f"us.{claude}", body=b"{}"),
            ),
        ):
            self._checks.equal(f"MiniStack still refuses {what}", access.is_allowed(call), False)
            self._checks.gap(f"MiniStack refuses {what}; geophone's evaluator covers it")


def grants(template: dict[str, Json]) -> list[dict[str, Json]]:
    """Statements of the department policy."""
    return template["Resources"]["BedrockByDepartment"]["Properties"]["PolicyDocument"]["Statement"]


def without_legal(template: dict[str, Json]) -> None:
    """Claude for compliance only."""
    grants(template)[0]["Condition"]["StringEquals"]["aws:PrincipalTag/dept"] = ["compliance"]


def without_clearance(template: dict[str, Json]) -> None:
    """Opus for everybody who has Claude."""
    statements = grants(template)
    statements[:] = [one for one in statements if one.get("Sid") != "OpusNeedsClearance"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aws", type=pathlib.Path, required=True)
    parser.add_argument("--geophone", type=pathlib.Path, required=True)
    given = parser.parse_args()
    checks = Checks("emulated")
    with tempfile.TemporaryDirectory() as name, Emulator(pathlib.Path(name)).started() as emulator:
        folder = pathlib.Path(name)
        stacks = Stacks(emulator, folder, given.aws.resolve(), given.geophone.resolve())
        stacks.fit(checks)
        stacks.deploy("perimeter")
        told = stacks.deploy("pipeline")
        checks.that("geophone takes the configuration that deploy/stack makes", "no mistakes" in told, told)
        checks.that("the pager's address is not printed", "127.0.0.1:1/nobody" not in told)
        whole(checks, stacks)
        sign_in(checks, emulator, stacks)
        for one in ROLES:
            access.admit_root(emulator, one)

        perimeter = Perimeter(checks, emulator, stacks, given.geophone.resolve(), folder)
        perimeter.through_the_endpoint()
        outputs = {one: stacks.outputs(one) for one in NAMES}
        shipped = deployed(emulator, stacks)
        stacks.tables["perimeter"]["RequireEndpoint"] = "false"
        stacks.deploy("perimeter")
        perimeter.agrees()
        cases = perimeter.cases
        perimeter.loses(
            "the grant to legal",
            without_legal,
            {case.name for case in cases if case.wanted and case.role == "bedrock-legal" and "anthropic" in case.model},
        )
        perimeter.gains(
            "the need of clearance",
            without_clearance,
            {
                case.name
                for case in cases
                if not case.wanted
                and case.name.startswith(("matrix", "clearance"))
                and case.model == matrix.MODELS["opus"]
                and case.role.removeprefix("bedrock-") in matrix.CLEARED
            },
        )
        checks.section("a grant less and a guard less are both noticed")

        role_name = outputs["stores"]["GeophoneRoleName"]
        arn = outputs["stores"]["GeophoneRoleArn"]
        checks.gap(
            "MiniStack has no KMS permissions on streams, topics, tables and buckets: kms:Decrypt and kms:GenerateDataKey are not seen at work"
        )
        access.admit_root(emulator, role_name)
        role.check(checks, emulator, access.session(emulator, arn), outputs["pipeline"], outputs["stores"])
        role.allow_batches(checks, emulator, access.session(emulator, arn), role_name, outputs["stores"]["OnCallTopicArn"])

        checks.gap(
            "MiniStack delivers nothing from EventBridge or CloudWatch Logs to Kinesis: patterns.py evaluates the patterns, records are put by hand"
        )
        events = emulator.client("events")
        for one in golden.events():
            event = json.dumps(golden.envelope(one))
            taking = [
                rule
                for rule in events.list_rules(NamePrefix="geophone-pipeline-")["Rules"]
                if events.test_event_pattern(EventPattern=rule["EventPattern"], Event=event)["Result"]
            ]
            checks.equal(f"deployed rules that take {one.name}", len(taking), 1 if one.rule else 0)
            checks.that(
                "in the state that sees reads",
                all(rule["State"] == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" for rule in taking),
                taking,
            )
        checks.section("the deployed rules, by MiniStack's own evaluation")

        with (
            Subscriber() as subscriber,
            end_to_end.geophone(
                given.geophone.resolve(), folder / "daemon", emulator, access.session(emulator, arn), outputs, shipped
            ) as daemon,
        ):
            perimeter.agrees_as_matrix(folder / "daemon/geophone.toml")
            end_to_end.check(checks, emulator, daemon, subscriber, outputs)
        checks.section("geophone run: golden events in, alerts at a subscriber")

        stacks.switch("cloudwatch-logs")
        checks.gap("MiniStack's change sets do not see that a condition has turned: the way of delivery is switched by UpdateStack")
        filters = emulator.client("logs").describe_subscription_filters(logGroupName=stacks.outputs("pipeline")["TrailLogName"])[
            "subscriptionFilters"
        ]
        checks.equal(
            "the other way",
            sorted((one["filterName"], one["distribution"]) for one in filters),
            [("bedrock", "Random"), ("identity", "Random")],
        )
        checks.equal("rules that are left", emulator.client("events").list_rules(NamePrefix="geophone-pipeline-")["Rules"], [])
        whole(checks, stacks)
    checks.end()


main()
