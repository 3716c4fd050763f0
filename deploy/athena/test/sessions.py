"""Ways to come by credentials, each with what an auditor should read out of it: the person and the department.

What is expected is written down beside each way as a person would say it; nothing here follows the SQL's or the daemon's
join."""

import json
from dataclasses import dataclass

from records import credentials, record, role_identity, stamp, tag_list, user_identity

HOUR = 3_600
DEPARTMENTS = ("legal", "Legal", "compliance", "marketing", "engineering", "research/emea")
ACCOUNTS = ("111122223333", "222233334444", "333344445555")
REGIONS = ("us-east-1", "us-west-2", "eu-central-1")


@dataclass
class Session:
    """Credentials in use."""

    identity: str
    key: str
    account: str
    region: str
    begin: int
    end: int
    department: str = ""
    person: str = ""
    reason: str = "no-department-tag"  # where there is none
    bearer: bool = False
    ip: str = "198.51.100.7"
    agent: str = "Boto3/1.40.61"


@dataclass
class Link:
    """One session of a chain, as far as the next one needs it."""

    identity: str
    key: str
    account: str


class Sessions:
    """Makes sessions of every kind. `put` writes a record into the trail."""

    def __init__(self, rng, ids, put, midnight):
        self.rng, self.ids, self.put, self.midnight = rng, ids, put, midnight
        self.people = [self.human(number) for number in range(240)]
        self.user_keys = {}
        self.kinds = (
            [self.cognito] * 24 + [self.saml] * 16 + [self.identity_center] * 12 + [self.assumed] * 10 + [self.chained] * 18
            + [self.federated] * 2 + [self.session_token, self.unseen, self.unseen, self.cognito_unseen, self.user, self.user, self.bearer, self.service]
            + [self.instance] * 4 + [self.function] * 2 + [self.untagged] * 2
        )

    def human(self, number):
        rng = self.rng
        name = f"p{number:03}.{rng.choice(('ada', 'li', 'omar', 'eva', 'jose', 'noor'))}"
        return {
            "name": name, "email": f"{name}@example.com", "department": DEPARTMENTS[number % len(DEPARTMENTS)], "account": rng.choice(ACCOUNTS),
            "region": rng.choice(REGIONS), "cognito": f"us-east-1:{self.ids.uuid()}", "ip": f"203.0.113.{number}",
            "key_name": rng.choice(("dept", "Dept", "DEPT")),
        }

    def some(self, begin):
        """A session of any kind that begins about then."""
        return self.rng.choice(self.kinds)(self.rng.choice(self.people), begin)

    def at(self, time):
        return stamp(time, self.midnight)

    def sts(self, time, who, name, asked, answered, account, *, error=None, more="", agent="aws-cli/2.31", identity=None):
        self.put(time, account, "us-east-1", record(
            self.ids.uuid(), self.at(time), "sts.amazonaws.com", name, account, "us-east-1", identity or who, asked=json.dumps(asked) if asked else "null",
            answered=answered, error=error, more=more, agent=agent))

    def tags(self, who, **others):
        return {"clearance": "2", who["key_name"]: who["department"], **others}

    def call_session(self, who, link, begin, length, **known):
        return Session(link.identity, link.key, link.account, who["region"], begin, begin + length, ip=who["ip"], **known)

    # ── first sessions: (link, person) ──

    def sign_in(self, who, begin, kind, transitive=(), tagged=True, seen=True):
        """A session of a web or enterprise identity. Its person is whom the provider names."""
        key, account, name = self.ids.key(), who["account"], who["email"]
        asked = {"durationSeconds": HOUR, "principalTags": self.tags(who) if tagged else {"clearance": "2"}}
        if transitive:
            asked["transitiveTagKeys"] = list(transitive)
        if kind == "cognito":
            role, session, person = "CognitoUsers", "CognitoIdentityCredentials", who["cognito"]
            caller = {"type": "WebIdentityUser", "principalId": f"cognito-identity.amazonaws.com:us-east-1:0aa0:{person}", "userName": person,
                      "identityProvider": "cognito-identity.amazonaws.com"}
            call, others = "AssumeRoleWithWebIdentity", {"subjectFromWebIdentityToken": person, "provider": "cognito-identity.amazonaws.com"}
        else:
            role, session, person = "Okta-Users", name, who["name"]
            caller = {"type": "SAMLUser", "principalId": f"abc=:{person}", "userName": person, "identityProvider": "abc="}
            call, others = "AssumeRoleWithSAML", {"subject": person, "subjectType": "persistent", "issuer": "http://idp.example.com/abc"}
            if kind == "transient":
                # The subject changes at each login; the session's name is the assertion's word, too.
                others |= {"subject": f"_{self.ids.uuid()}", "subjectType": "transient"}
                person = name
        asked |= {"roleArn": f"arn:aws:iam::{account}:role/people/{role}", "roleSessionName": session}
        user = {"assumedRoleId": f"AROA2N7TQQRGKJYPCLOG0:{session}", "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}"}
        if seen:
            self.sts(begin, json.dumps(caller), call, asked, credentials(key, assumedRoleUser=user, **others), account)
        shown = who["cognito"] if kind == "cognito" and self.rng.random() < 0.7 else None
        identity = role_identity(account, role, session, key, self.at(begin), path="people/", cognito=shown)
        if shown or not seen:
            person = shown or ""
        return Link(identity, key, account), person

    def cognito(self, who, begin):
        link, person = self.sign_in(who, begin, "cognito")
        if self.rng.random() < 0.5:
            # Cognito's own record of the same key: it knows the identity and no tags.
            answered = credentials(link.key, identityId=who["cognito"])
            self.put(begin, link.account, "us-east-1", record(
                self.ids.uuid(), self.at(begin), "cognito-identity.amazonaws.com", "GetCredentialsForIdentity", link.account, "us-east-1",
                '{"type":"Unknown"}', asked=json.dumps({"identityId": who["cognito"]}), answered=answered, category="Data"))
        return self.call_session(who, link, begin, HOUR, department=who["department"], person=person)

    def cognito_unseen(self, who, begin):
        """Issued where nobody looked; many calls of such sessions name the identity all the same."""
        link, person = self.sign_in(who, begin, "cognito", seen=False)
        return self.call_session(who, link, begin, HOUR, person=person, reason="no-sts-record")

    def saml(self, who, begin):
        kind = self.rng.choice(("persistent", "transient"))
        if self.rng.random() < 0.3:
            return self.with_source_identity(who, begin)
        link, person = self.sign_in(who, begin, kind)
        return self.call_session(who, link, begin, HOUR, department=who["department"], person=person)

    def with_source_identity(self, who, begin):
        """`sourceIdentity` stands on every call and comes before the subject."""
        key, account, source = self.ids.key(), who["account"], f"corp-{who['name']}"
        asked = {"roleArn": f"arn:aws:iam::{account}:role/Okta-Users", "sourceIdentity": source, "principalTags": self.tags(who)}
        others = {"subject": who["name"], "subjectType": "persistent"}
        self.sts(begin, '{"type":"SAMLUser","userName":"someone","identityProvider":"abc="}', "AssumeRoleWithSAML", asked, credentials(key, **others), account)
        link = Link(role_identity(account, "Okta-Users", who["name"], key, self.at(begin), source=source), key, account)
        return self.call_session(who, link, begin, 12 * HOUR, department=who["department"], person=source)

    def identity_center(self, who, begin):
        key, account, role = self.ids.key(), who["account"], "AWSReservedSSO_ModelUsers_0a1b2c3d4e5f6071"
        path, seen = "aws-reserved/sso.amazonaws.com/eu-central-1/", self.rng.random() < 0.9
        if seen:
            asked = {"roleArn": f"arn:aws:iam::{account}:role/{path}{role}", "principalTags": self.tags(who), "durationSeconds": 8 * HOUR}
            user = {"arn": f"arn:aws:sts::{account}:assumed-role/{role}/{who['email']}"}
            self.sts(begin, '{"type":"SAMLUser"}', "AssumeRoleWithSAML", asked, credentials(key, assumedRoleUser=user), account)
        link = Link(role_identity(account, role, who["email"], key, self.at(begin), path=path), key, account)
        # Identity Center names sessions after its users, so the person is known without the STS record, the tags are not.
        return self.call_session(who, link, begin, 8 * HOUR, department=who["department"] if seen else "", person=who["email"],
                                 reason="no-sts-record")

    def user_link(self, who):
        if who["name"] not in self.user_keys:
            self.user_keys[who["name"]] = self.ids.key("AKIA")
        key = self.user_keys[who["name"]]
        return Link(user_identity(who["account"], who["name"], key), key, who["account"])

    def assumed(self, who, begin):
        """An IAM user takes a role: tags in a list, and nobody vouches for the person but `sourceIdentity`."""
        source = f"src-{who['name']}" if self.rng.random() < 0.5 else None
        empty = self.rng.random() < 0.1
        tags = self.tags(who) | ({who["key_name"]: ""} if empty else {})
        link = self.hop(self.user_link(who), begin, "Analyst", source=source, tags=tags)
        return self.call_session(who, link, begin, HOUR, department="" if empty else who["department"], person=source or "")

    # ── chains of roles ──

    def hop(self, before, begin, role, *, source=None, tags=None, incoming=None, transitive=(), account=None, seen=True, twice=False):
        """AssumeRole by the session `before`."""
        key, account, session = self.ids.key(), account or before.account, "chained-session"
        asked = {"roleArn": f"arn:aws:iam::{account}:role/{role}", "roleSessionName": session, "durationSeconds": HOUR}
        if tags:
            asked["tags"] = tag_list(tags)
        if incoming:
            asked["incomingTransitiveTags"] = incoming
        if transitive:
            asked["transitiveTagKeys"] = list(transitive)
        if source:
            asked["sourceIdentity"] = source
        if seen:
            shared = f',"sharedEventID":"{self.ids.uuid()}"' if twice else ""
            self.sts(begin, before.identity, "AssumeRole", asked, credentials(key), before.account, more=shared)
            if twice:
                # The other account's view of it does not name the credentials that asked.
                foreign = f'{{"type":"AWSAccount","principalId":"AROA2N7TQQRGKJYPCLOG0:x","accountId":"{before.account}"}}'
                self.sts(begin, foreign, "AssumeRole", asked, credentials(key), account, more=shared)
        return Link(role_identity(account, role, session, key, self.at(begin), source=source), key, account)

    def chained(self, who, begin):
        way = self.rng.choice((self.chain_listed, self.chain_inherited, self.chain_lost, self.chain_overridden, self.chain_across,
                               self.chain_marked_late, self.chain_headless))
        link, begin, department, person = way(who, begin)
        return self.call_session(who, link, begin, HOUR, department=department, person=person)

    def chain_listed(self, who, begin):
        """The record of the second session lists what came along."""
        first, _ = self.sign_in(who, begin, "persistent", transitive=(who["key_name"],))
        tags = {who["key_name"]: who["department"]}
        return self.hop(first, begin + 60, "Reader", incoming=tags, tags={"cost": "7"}), begin + 60, who["department"], who["name"]

    def chain_inherited(self, who, begin):
        """Records of later sessions list nothing; the first marked the tag as transitive. Up to five sessions after it."""
        link, _ = self.sign_in(who, begin, "persistent", transitive=("DEPT",))
        for step in range(self.rng.choice((1, 1, 1, 2, 2, 3, 5))):
            begin += 50 * 60  # near the end of the one before: the calls come after the first ones are over
            link = self.hop(link, begin, f"Step{step}", tags={"cost": str(step)})
        return link, begin, who["department"], who["name"]

    def chain_lost(self, who, begin):
        """Nobody marked the tag: it ends with its session. Who it is stays known."""
        first, _ = self.sign_in(who, begin, "transient")
        return self.hop(first, begin + 90, "Reader"), begin + 90, "", who["email"]

    def chain_overridden(self, who, begin):
        """The second session has a department of its own and hands nothing to a third."""
        first, _ = self.sign_in(who, begin, "persistent")
        second = self.hop(first, begin + 90, "Reader", tags={"dept": "shared-services"})
        if self.rng.random() < 0.5:
            return second, begin + 90, "shared-services", who["name"]
        return self.hop(second, begin + 180, "Writer"), begin + 180, "", who["name"]

    def chain_across(self, who, begin):
        """Into another account, whose trail has a record of its own."""
        first, _ = self.sign_in(who, begin, "persistent", transitive=("dept",))
        other = ACCOUNTS[(ACCOUNTS.index(who["account"]) + 1) % len(ACCOUNTS)]
        return self.hop(first, begin + 30, "Guest", account=other, twice=True), begin + 30, who["department"], who["name"]

    def chain_marked_late(self, who, begin):
        """A second session brings the tag and marks it, a third has it."""
        first, _ = self.sign_in(who, begin, "persistent", tagged=False)
        second = self.hop(first, begin + 30, "Reader", tags=self.tags(who), transitive=("dept",))
        return self.hop(second, begin + 60, "Writer"), begin + 60, who["department"], who["name"]

    def chain_headless(self, who, begin):
        """The first session's record is missing. What the second lists is known all the same."""
        first, _ = self.sign_in(who, begin, "persistent", seen=False)
        if self.rng.random() < 0.5:
            return self.hop(first, begin + 60, "Reader", incoming={who["key_name"]: who["department"]}), begin + 60, who["department"], ""
        return self.hop(first, begin + 60, "Reader"), begin + 60, "", ""

    # ── nobody, or nobody's department ──

    def federated(self, who, begin):
        user, key = self.user_link(who), self.ids.key()
        self.sts(begin, user.identity, "GetFederationToken", {"name": "portal", "tags": tag_list(self.tags(who)), "durationSeconds": 36 * HOUR},
                 credentials(key), who["account"])
        identity = (f'{{"type":"FederatedUser","principalId":"{who["account"]}:portal","arn":"arn:aws:sts::{who["account"]}:federated-user/portal",'
                    f'"accountId":"{who["account"]}","accessKeyId":"{key}"}}')
        # The federated name is the caller's own text and names nobody.
        return self.call_session(who, Link(identity, key, who["account"]), begin, 36 * HOUR, department=who["department"])

    def session_token(self, who, begin):
        user, key = self.user_link(who), self.ids.key()
        self.sts(begin, user.identity, "GetSessionToken", {"durationSeconds": 36 * HOUR}, credentials(key), who["account"])
        return self.call_session(who, Link(user_identity(who["account"], who["name"], key), key, who["account"]), begin, 36 * HOUR)

    def unseen(self, who, begin):
        """Issued where nobody looked."""
        source = f"src-{who['name']}" if self.rng.random() < 0.3 else None
        link = self.hop(self.user_link(who), begin, "Analyst", source=source, tags=self.tags(who), seen=False)
        return self.call_session(who, link, begin, HOUR, person=source or "", reason="no-sts-record")

    def untagged(self, who, begin):
        key, account, subject = self.ids.key(), who["account"], f"repo:example/{who['name']}:ref:refs/heads/main"
        asked = {"roleArn": f"arn:aws:iam::{account}:role/Deploy", "roleSessionName": "GitHubActions", "durationSeconds": HOUR}
        caller = {"type": "WebIdentityUser", "userName": subject, "identityProvider": "token.actions.githubusercontent.com"}
        self.sts(begin, json.dumps(caller), "AssumeRoleWithWebIdentity", asked, credentials(key, subjectFromWebIdentityToken=subject), account)
        link = Link(role_identity(account, "Deploy", "GitHubActions", key, self.at(begin)), key, account)
        return self.call_session(who, link, begin, HOUR, person=subject)

    def user(self, who, begin):
        return self.call_session(who, self.user_link(who), begin, 2 * HOUR, reason="long-lived-key")

    def bearer(self, who, begin):
        identity = user_identity(who["account"], "BedrockAPIKey-7f3a", "").replace('"accessKeyId":"",', "")
        return self.call_session(who, Link(identity, "", who["account"]), begin, HOUR, bearer=True, reason="bearer-key")

    def service(self, who, begin):
        return self.call_session(who, Link('{"type":"AWSService","invokedBy":"q.amazonaws.com"}', "", who["account"]), begin, HOUR, reason="aws-service")

    def instance(self, who, begin):
        key, name = self.ids.key(), f"i-{self.rng.getrandbits(68):017x}"
        asked = {"roleArn": f"arn:aws:iam::{who['account']}:role/Batch", "roleSessionName": name}
        self.sts(begin, '{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}', "AssumeRole", asked, credentials(key), who["account"])
        identity = role_identity(who["account"], "Batch", name, key, self.at(begin), extra=',"ec2RoleDelivery":"2.0"')
        return self.call_session(who, Link(identity, key, who["account"]), begin, 6 * HOUR)

    def function(self, who, begin):
        """A Lambda function's record of issue is the service's own affair and not in the trail."""
        key = self.ids.key()
        identity = role_identity(who["account"], "Summarise", "summarise", key, self.at(begin))
        identity = identity[:-1] + ',"inScopeOf":{"issuerType":"AWS::Lambda::Function"}}'
        return self.call_session(who, Link(identity, key, who["account"]), begin, HOUR)
