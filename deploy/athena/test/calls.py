"""Bedrock calls of a session: every form of a model's id, every way to be refused, and what only looks like a call."""

import json

from records import record
from sessions import ACCOUNTS

CLAUDE = ("anthropic.claude-sonnet-4-6", "anthropic.claude-3-sonnet-20240229-v1:0", "anthropic.claude-opus-4-7")
OTHERS = ("amazon.nova-pro-v1:0", "meta.llama3-70b-instruct-v1:0", "mistral.mixtral-8x7b-instruct-v0:1")
# What hides its base model: the name behind the kind, and what the map says. The last two are in no map.
OPAQUE = (
    ("application-inference-profile", "k7legal0", "us.anthropic.claude-sonnet-4-6"),
    ("application-inference-profile", "k7mktg00", "amazon.nova-pro-v1:0"),
    ("provisioned-model", "pm4711", "anthropic.claude-3-sonnet-20240229-v1:0"),
    ("application-inference-profile", "zz-unmapped", None),
    ("imported-model", "zz-imported", None),
)
MODEL_MAP = {name: base for _, name, base in OPAQUE if base}
OPERATIONS = ("InvokeModel",) * 4 + ("Converse",) * 4 + ("InvokeModelWithResponseStream", "ConverseStream", "ConverseStream")


def without_area(model):
    """As the map's values may be written with their area."""
    return model.removeprefix("us.")


class Calls:
    """Writes the calls of sessions into the trail and what an auditor should read into the truth."""

    def __init__(self, rng, ids, put, tell, at):
        self.rng, self.ids, self.put, self.tell, self.at = rng, ids, put, tell, at
        self.ways = [self.plain] * 180 + [self.streamed] * 40 + [self.refused] * 14 + [self.not_enabled] * 2 + [self.failed] * 8
        self.ways += [self.vpc_endpoint, self.mantle, self.mantle, self.agent, self.asynchronous, self.seen_twice, self.agent_core, self.custom]

    def some(self, session, time):
        self.rng.choice(self.ways)(session, time)

    def written(self, session):
        """A model as the caller writes it, and its base id."""
        rng, region, account = self.rng, session.region, session.account
        if rng.random() < 0.06:
            kind, name, base = rng.choice(OPAQUE)
            return f"arn:aws:bedrock:{region}:{account}:{kind}/{name}", without_area(base) if base else f"{kind}/{name}"
        model = rng.choice(CLAUDE if rng.random() < 0.7 else OTHERS)
        form = rng.randrange(6)
        area = ("us", "eu", "us-gov", "global", "apac", "jp")[rng.randrange(6)]
        if form < 2:
            return model, model
        if form < 4:
            return f"{area}.{model}", model
        if form == 4:
            return f"arn:aws:bedrock:{region}::foundation-model/{model}", model
        return f"arn:aws:bedrock:{region}:{account}:inference-profile/{area}.{model}", model

    def call(self, session, time, name, model, *, outcome="allowed", error=None, source="bedrock.amazonaws.com", asked="null", **others):
        event_id = self.ids.uuid()
        when = self.at(time)
        if session.bearer:
            others["more"] = others.get("more", "") + ',"additionalEventData":{"callWithBearerToken":true}'
        self.put(time, session.account, session.region, record(
            event_id, when, source, name, session.account, session.region, session.identity, asked=asked, error=error, ip=session.ip,
            agent=session.agent, **others))
        code = (error or ("", ""))[0]
        self.tell(time, (when, event_id, session.department, session.person, model, name, outcome, code, session.region, session.account,
                         session.ip, session.key, "" if session.department else session.reason))
        return event_id, when

    def plain(self, session, time):
        written, model = self.written(session)
        more = "" if session.bearer else f',"additionalEventData":{{"inputTokens":{self.rng.randrange(4000)},"outputTokens":{self.rng.randrange(900)}}}'
        self.call(session, time, self.rng.choice(OPERATIONS), model, more=more, asked=f'{{"modelId":"{written}","inferenceConfig":{{"maxTokens":512}}}}')

    def streamed(self, session, time):
        """The call and its companion, which is no call. The companion may come first."""
        written, model = self.written(session)
        request, name = self.ids.uuid(), self.rng.choice(("ConverseStream", "InvokeModelWithResponseStream"))
        self.call(session, time, name, model, asked=f'{{"modelId":"{written}"}}', request=request)
        details = {"parentRequestId": request, "AdditionalEventData": {"additionalEntries": {"inputTokens": 123, "outputTokens": 45}}}
        listed = f'[{{"type":"AWS::Bedrock::Model","ARN":"arn:aws:bedrock:{session.region}::foundation-model/{model}"}}]'
        self.put(time, session.account, session.region, record(
            self.ids.uuid(), self.at(time), "bedrock.amazonaws.com", name, session.account, session.region,
            f'{{"accountId":"{session.account}","invokedBy":"bedrock.amazonaws.com"}}', kind="AwsServiceEvent",
            more=f',"resources":{listed},"serviceEventDetails":{json.dumps(details)}'))

    def refused(self, session, time):
        """By a policy. Most such records have no parameters: the model is in the message alone."""
        rng, model = self.rng, self.rng.choice(CLAUDE)
        tail = rng.choice((
            "because no identity-based policy allows the bedrock:InvokeModel action", "with an explicit deny in an identity-based policy",
            "because no session policy allows the bedrock:InvokeModel action", "with an explicit deny in a permissions boundary",
            "with an explicit deny in a service control policy: arn:aws:organizations::111122223333:policy/o-1/service_control_policy/p-1"))
        region = rng.choice((session.region, ""))
        message = (f"User: arn:aws:sts::{session.account}:assumed-role/R/x is not authorized to perform: bedrock:InvokeModel on resource: "
                   f"arn:aws:bedrock:{region}::foundation-model/{model} {tail}")
        code = rng.choice(("AccessDenied", "AccessDenied", "AccessDeniedException"))
        asked = f'{{"modelId":"global.{model}"}}' if rng.random() < 0.15 else "null"
        self.call(session, time, rng.choice(OPERATIONS), model, outcome="denied", error=(code, message), asked=asked)

    def not_enabled(self, session, time):
        written, model = self.written(session)
        error = ("AccessDenied", "You don't have access to the model with the specified model ID.")
        self.call(session, time, "InvokeModel", model, outcome="denied", error=error, asked=f'{{"modelId":"{written}"}}')

    def failed(self, session, time):
        """Not refused: what says nothing about permission."""
        written, model = self.written(session)
        error = self.rng.choice((
            ("ThrottlingException", "Rate exceeded"), ("ValidationException", "max_tokens_to_sample: range: 1..1,000,000"),
            ("ResourceNotFoundException", "Access denied. This Model is marked by provider as Legacy"), ("ModelErrorException", None),
            (None, "The system encountered an unexpected error")))
        self.call(session, time, "InvokeModel", model, outcome="error", error=(error[0] or "", error[1]), asked=f'{{"modelId":"{written}"}}')

    def vpc_endpoint(self, session, time):
        """The endpoint's own account of a call counts only where it refused it; else the call has a record of its own."""
        model = self.rng.choice(CLAUDE)
        activity = {"kind": "AwsVpceEvents", "category": "NetworkActivity"}
        self.call(session, time, "InvokeModel", model, outcome="denied", error=("VpceAccessDenied", "Access denied by the VPC endpoint policy"),
                  asked=f'{{"modelId":"{model}"}}', **activity)
        self.put(time, session.account, session.region, record(
            self.ids.uuid(), self.at(time), "bedrock.amazonaws.com", "Converse", session.account, session.region, session.identity, **activity))

    def mantle(self, session, time):
        self.call(session, time, "CreateInference", CLAUDE[2], source="bedrock-mantle.amazonaws.com", category="Data",
                  asked=f'{{"model":"{CLAUDE[2]}","stream":true}}')

    def agent(self, session, time):
        """An agent chooses its models itself: its calls name none."""
        name = self.rng.choice(("InvokeAgent", "InvokeFlow", "RetrieveAndGenerate"))
        self.call(session, time, name, "", category="Data", asked='{"agentId":"AGENT1","agentAliasId":"ALIAS1"}')

    def asynchronous(self, session, time):
        """The model is among the resources alone."""
        model = OTHERS[0]
        listed = (f'[{{"type":"AWS::Bedrock::AsyncInvoke","ARN":"arn:aws:bedrock:{session.region}:{session.account}:async-invoke/a1"}},'
                  f'{{"type":"AWS::Bedrock::Model","ARN":"arn:aws:bedrock:{session.region}::foundation-model/{model}"}}]')
        self.call(session, time, "StartAsyncInvoke", model, category="Data", asked='{"clientRequestToken":"t"}', more=f',"resources":{listed}')

    def seen_twice(self, session, time):
        """Two accounts see one call under two ids; only the caller's own view names the caller."""
        model, shared = self.rng.choice(CLAUDE), self.ids.uuid()
        asked, more = f'{{"modelId":"{model}"}}', f',"sharedEventID":"{shared}"'
        _, when = self.call(session, time, "Converse", model, asked=asked, more=more)
        other = next(account for account in ACCOUNTS if account != session.account)
        foreign = f'{{"type":"AWSAccount","principalId":"AROA2N7TQQRGKJYPCLOG0:x","accountId":"{session.account}"}}'
        event_id = self.ids.uuid()
        self.put(time, other, session.region, record(
            event_id, when, "bedrock.amazonaws.com", "Converse", other, session.region, foreign, asked=asked, more=more))

    def agent_core(self, session, time):
        self.call(session, time, "InvokeAgentRuntime", "", source="bedrock-agentcore.amazonaws.com", category="Data")

    def custom(self, session, time):
        written = f"arn:aws:bedrock:{session.region}:{session.account}:custom-model/amazon.titan-text-express-v1:0:8k/abc123"
        self.call(session, time, "InvokeModel", "amazon.titan-text-express-v1:0:8k", asked=f'{{"modelId":"{written}"}}')
