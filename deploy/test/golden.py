"""Events in the shape of real CloudTrail records, each with where the pipeline must bring it.

Invented people and accounts; shapes after AWS's documentation and published records.
"""

from __future__ import annotations

import copy
import datetime
import itertools
from dataclasses import dataclass
from typing import Any

Json = Any
ACCOUNT = "000000000000"
CLAUDE, NOVA = "anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"
MARKETING = f"arn:aws:iam::{ACCOUNT}:role/departments/bedrock-marketing"
LEGAL = f"arn:aws:iam::{ACCOUNT}:role/departments/bedrock-legal"
BY_ID = "event id"
API, SERVICE = "AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"


@dataclass(frozen=True)
class Golden:
    """An event, the rule of pipeline.yaml that takes it (None: nothing does), and its partition key."""

    name: str
    event: dict[str, Json]
    rule: str | None
    key: str | None = BY_ID
    detail_type: str = API


_numbers = itertools.count(1)


def event(source: str, name: str, identity: dict[str, Json], **more: Json) -> dict[str, Json]:
    """A record that happened `seconds` ago."""
    number = next(_numbers)
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=more.pop("ago", 60))
    return {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "Boto3/1.43.0 md/Botocore#1.43.0",
        "requestParameters": None,
        "responseElements": None,
        "requestID": f"00000000-0000-4000-8000-{number:012d}",
        "eventID": f"00000000-0000-4000-9000-{number:012d}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        **more,
    }


def session(role: str, key: str, name: str = "CognitoIdentityCredentials") -> dict[str, Json]:
    """userIdentity of a role's session."""
    short = role.rsplit("/", 1)[-1]
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLE{short.upper()}:{name}",
        "accountId": ACCOUNT,
        "accessKeyId": key,
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{short}/{name}",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": f"AROAEXAMPLE{short.upper()}",
                "arn": role,
                "accountId": ACCOUNT,
                "userName": short,
            },
            "attributes": {"creationDate": "2026-06-02T08:00:00Z", "mfaAuthenticated": "false"},
        },
    }


def user(name: str) -> dict[str, Json]:
    """userIdentity of an IAM user: it has no issuer."""
    return {
        "type": "IAMUser",
        "principalId": f"AIDAEXAMPLE{name.upper()}",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "accessKeyId": f"AKIAEXAMPLE{name.upper()}",
        "userName": name,
    }


def granted(role: str, key: str, dept: str, person: str) -> dict[str, Json]:
    """The STS record behind a Cognito sign-in: the only one with the tags."""
    return event(
        "sts",
        "AssumeRoleWithWebIdentity",
        {
            "type": "WebIdentityUser",
            "principalId": "cognito-identity.amazonaws.com:us-east-1:0a1b:us-east-1:2c3d",
            "userName": "us-east-1:2c3d",
            "identityProvider": "cognito-identity.amazonaws.com",
        },
        ago=120,
        requestParameters={
            "roleArn": role,
            "roleSessionName": "CognitoIdentityCredentials",
            "durationSeconds": 3600,
            "principalTags": {"dept": dept, "clearance": "low", "region": "us", "sub": person},
        },
        responseElements={
            "credentials": {"accessKeyId": key, "expiration": "Jun 2, 2026, 9:00:00 AM", "sessionToken": "TRIMMED"},
            "subjectFromWebIdentityToken": "us-east-1:2c3d",
            "provider": "cognito-identity.amazonaws.com",
        },
    )


def refused(role: str, key: str, model: str, **more: Json) -> dict[str, Json]:
    """A call that IAM refused; like most of these it has no requestParameters."""
    short = role.rsplit("/", 1)[-1]
    resource = f"arn:aws:bedrock:us-east-1::foundation-model/{model}"
    return event(
        "bedrock",
        "InvokeModel",
        session(role, key),
        errorCode="AccessDenied",
        errorMessage=f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{short}/CognitoIdentityCredentials is not authorized to perform: "
        f"bedrock:InvokeModel on resource: {resource} because no identity-based policy allows the bedrock:InvokeModel action",
        **more,
    )


def events(endpoint: str = "vpce-00000000000000000") -> list[Golden]:
    """All of them, of a minute ago; sessions of departments come through this VPC endpoint."""
    inside = {
        "vpcEndpointId": endpoint,
        "vpcEndpointAccountId": ACCOUNT,
        "sourceIPAddress": "10.20.0.7",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": "bedrock-runtime.us-east-1.amazonaws.com",
        },
    }
    key = "ASIAEXAMPLEMARKETING"
    denied_sts = event("sts", "AssumeRole", user("dana"), errorCode="AccessDenied", errorMessage="User is not authorized")
    companion = event(
        "bedrock",
        "ConverseStream",
        {"type": "AWSService", "invokedBy": "bedrock.amazonaws.com"},
        eventType="AwsServiceEvent",
        resources=[{"type": "AWS::Bedrock::Model", "ARN": f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}"}],
    )
    mantle = event(
        "bedrock-mantle",
        "CreateInference",
        user("kim"),
        readOnly=False,
        managementEvent=False,
        eventCategory="Data",
        requestParameters={"model": "anthropic.claude-opus-4-7", "callWithBearerToken": True, "bearerTokenType": "ABSK"},
    )
    write = {"readOnly": False}
    return [
        Golden("a sign-in with tags", granted(MARKETING, key, "marketing", "9c1f"), "StsByRoleRule", MARKETING),
        Golden(
            "an inference",
            event("bedrock", "InvokeModel", session(MARKETING, key), requestParameters={"modelId": NOVA}, **inside),
            "BedrockByIssuerRule",
            MARKETING,
        ),
        Golden(
            "a streaming inference",
            event("bedrock", "ConverseStream", session(MARKETING, key), requestParameters={"modelId": f"us.{NOVA}"}, **inside),
            "BedrockByIssuerRule",
            MARKETING,
        ),
        Golden("a refused inference without parameters", refused(MARKETING, key, CLAUDE, **inside), "BedrockByIssuerRule", MARKETING),
        Golden("the companion of a stream", companion, "BedrockWithoutIssuerRule", detail_type=SERVICE),
        Golden(
            "an inference of an IAM user",
            event("bedrock", "InvokeModel", user("lee"), requestParameters={"modelId": NOVA}),
            "BedrockWithoutIssuerRule",
        ),
        Golden("an inference with a bearer key, through mantle", mantle, "BedrockWithoutIssuerRule"),
        Golden(
            "an inference of a role, through mantle",
            {
                **copy.deepcopy(mantle),
                "userIdentity": session(LEGAL, "ASIAEXAMPLELEGALXX"),
                "eventID": "00000000-0000-4000-9000-0000000000ff",
            },
            "BedrockByIssuerRule",
            LEGAL,
        ),
        Golden(
            "an agent's data event",
            event("bedrock", "InvokeAgent", session(LEGAL, "ASIAEXAMPLELEGALXX"), eventCategory="Data", **inside),
            "BedrockByIssuerRule",
            LEGAL,
        ),
        Golden("a refused sign-in without parameters", denied_sts, "StsWithoutRoleRule"),
        Golden(
            "a session token of an IAM user",
            event("sts", "GetSessionToken", user("lee"), requestParameters={"durationSeconds": 900}),
            "StsWithoutRoleRule",
        ),
        Golden(
            "credentials from Cognito",
            event("cognito-identity", "GetCredentialsForIdentity", {"type": "Unknown"}, eventCategory="Data", **write),
            "IdentityRule",
        ),
        Golden("a disabled person", event("cognito-idp", "AdminDisableUser", user("root-admin"), **write), "IdentityRule"),
        Golden("somebody out of Identity Center", event("identitystore", "DeleteUser", user("root-admin"), **write), "IdentityRule"),
        Golden("a changed role", event("iam", "PutRolePolicy", user("root-admin"), **write), "IdentityRule"),
        Golden("logging is stopped", event("cloudtrail", "StopLogging", user("root-admin"), **write), "IdentityRule"),
        Golden("a topic is looked at", event("sns", "GetTopicAttributes", user("root-admin")), "IdentityRule"),
        Golden("a key is disabled", event("kms", "DisableKey", user("root-admin"), **write), "SurroundingsRule"),
        Golden("a key is used", event("kms", "Decrypt", user("root-admin")), None),
        Golden("who am I", event("sts", "GetCallerIdentity", user("lee")), "StsWithoutRoleRule"),
        Golden("the user of an API key elsewhere", event("lambda", "Invoke", user("BedrockAPIKey-x1y2"), **write), "ApiKeyUserRule"),
        Golden("instances are listed", event("ec2", "DescribeInstances", user("lee")), None),
        Golden("a function is called", event("lambda", "Invoke", user("lee"), **write), None),
    ]


def envelope(golden: Golden) -> dict[str, Json]:
    """The event as EventBridge brings it."""
    record = golden.event
    return {
        "version": "0",
        "id": record["eventID"],
        "detail-type": golden.detail_type,
        "source": f"aws.{record['eventSource'].removesuffix('.amazonaws.com')}",
        "account": ACCOUNT,
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": record,
    }
