"""Calls as somebody, and whether they were let through."""

from __future__ import annotations

import base64
import json
from typing import Any, Callable

from botocore.exceptions import ClientError

from servers import Emulator

Json = Any
DENIALS = ("AccessDenied", "AuthorizationError", "UnauthorizedOperation", "NotAuthorized", "Forbidden", "403")


def admit_root(emulator: Emulator, role: str) -> Callable[[], None]:
    """Lets the root user take a role, beside whom the template trusts. Gives what takes that back.

    MiniStack's AssumeRoleWithWebIdentity passes no tags on and it runs no ECS: AssumeRole is the one way to a session with tags.
    """
    iam = emulator.client("iam")
    document = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    before = json.dumps(document) if isinstance(document, dict) else document
    trust = json.loads(before)
    trust["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    )
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    return lambda: iam.update_assume_role_policy(RoleName=role, PolicyDocument=before)


def session(emulator: Emulator, role_arn: str, tags: dict[str, str] | None = None) -> dict[str, str]:
    """Credentials of a session with tags."""
    listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    told = emulator.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="emulated", Tags=listed)["Credentials"]
    return {
        "aws_access_key_id": told["AccessKeyId"],
        "aws_secret_access_key": told["SecretAccessKey"],
        "aws_session_token": told["SessionToken"],
    }


def token(audience: str, *methods: str) -> str:
    """What Cognito would give an identity. Nobody signs it: MiniStack reads it, and does not verify it."""
    claims = {"iss": "https://cognito-identity.amazonaws.com", "aud": audience, "sub": f"{audience}:1", "amr": list(methods)}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)]
    return f"{parts[0]}.{parts[1]}.x"


def outcome(call: Callable[[], Any]) -> str:
    """ "allow", "explicit-deny" or "deny"; what goes wrong otherwise is raised."""
    try:
        call()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if any(code.startswith(denial) for denial in DENIALS):
            return "explicit-deny" if "explicit deny" in message else "deny"
        raise
    return "allow"


def is_allowed(call: Callable[[], Any]) -> bool:
    """Whether a call is let through."""
    return outcome(call) == "allow"
