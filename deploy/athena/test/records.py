"""CloudTrail records as text, in the shapes of real ones. Text, since a million of them must be quick to make."""

import json

SECRET = "TRIMMED"
BOTO = "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.12.8"


class Ids:
    """Ids and keys, the same for one seed."""

    def __init__(self, rng):
        self.bits, self.key_count = rng.getrandbits, 0

    def uuid(self):
        text = f"{self.bits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def key(self, kind="ASIA"):
        self.key_count += 1
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        number, text = self.key_count * 0x9E3779B97F4A7C15 % (1 << 80), ""
        for _ in range(16):
            number, letter = divmod(number, 32)
            text += letters[letter]
        return kind + text


def stamp(time, midnight):
    """ISO time of `time`, seconds since the first day; `midnight` gives that day's date."""
    day, second = divmod(time, 86_400)
    hour, second = divmod(second, 3_600)
    minute, second = divmod(second, 60)
    return f"{midnight(day)}T{hour:02}:{minute:02}:{second:02}Z"


def role_identity(account, role, session, key, created, *, path="", source=None, cognito=None, extra=""):
    """userIdentity of a role's session; the ARN of its issuer has the path, its own has not."""
    federation = "{}"
    if cognito:
        federation = (
            '{"federatedProvider":"cognito-identity.amazonaws.com","attributes":{"cognito-identity.amazonaws.com:aud":'
            f'"us-east-1:0aa0","cognito-identity.amazonaws.com:sub":{json.dumps(cognito)}}}}}'
        )
    source = f',"sourceIdentity":{json.dumps(source)}' if source else ""
    return (
        f'{{"type":"AssumedRole","principalId":"AROA2N7TQQRGKJYPCLOG0:{session}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{session}",'
        f'"accountId":"{account}","accessKeyId":"{key}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROA2N7TQQRGKJYPCLOG0",'
        f'"arn":"arn:aws:iam::{account}:role/{path}{role}","accountId":"{account}","userName":"{role}"}},"webIdFederationData":{federation},'
        f'"attributes":{{"creationDate":"{created}","mfaAuthenticated":"false"}}{source}{extra}}}}}'
    )


def user_identity(account, name, key):
    """userIdentity of an IAM user."""
    return (
        f'{{"type":"IAMUser","principalId":"AIDATFQR7NSC5AU2ZV3IE","arn":"arn:aws:iam::{account}:user/{name}","accountId":"{account}",'
        f'"accessKeyId":"{key}","userName":"{name}"}}'
    )


def record(event_id, time, source, name, account, region, identity, *, asked="null", answered="null", more="", kind="AwsApiCall",
           category="Management", ip="198.51.100.7", agent=BOTO, request=None, error=None):
    """One record. `more` is further members, each with a comma before it."""
    failed = ""
    if error:
        code, message = error
        failed = f',"errorCode":{json.dumps(code)}' if code else ""
        failed += f',"errorMessage":{json.dumps(message)}' if message else ""
    host = source.replace("bedrock.", "bedrock-runtime.", 1).replace("amazonaws", f"{region}.amazonaws")
    return (
        f'{{"eventVersion":"1.11","userIdentity":{identity},"eventTime":"{time}","eventSource":"{source}","eventName":"{name}",'
        f'"awsRegion":"{region}","sourceIPAddress":"{ip}","userAgent":"{agent}"{failed},"requestParameters":{asked},'
        f'"responseElements":{answered},"requestID":"{request or event_id[::-1]}","eventID":"{event_id}","readOnly":true{more},'
        f'"eventType":"{kind}","managementEvent":{"true" if category == "Management" else "false"},"recipientAccountId":"{account}",'
        f'"eventCategory":"{category}","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
        f'"clientProvidedHostHeader":"{host}"}}}}'
    )


def credentials(key, **others):
    """responseElements of a call that issues credentials."""
    issued = {"accessKeyId": key, "sessionToken": SECRET, "expiration": "Oct 25, 2026, 2:21:21 AM"}
    return json.dumps({"credentials": issued, **others})


def tag_list(tags):
    """AssumeRole's shape of tags. AWS's own sample writes the value before the key."""
    return [{"value": value, "key": key} for key, value in tags.items()]
