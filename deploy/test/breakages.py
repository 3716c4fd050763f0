"""Templates that are wrong on purpose: for every Guard rule at least one that it, and only it, must refuse."""

from __future__ import annotations

from typing import Any, Callable

Json = Any
Breakage = tuple[str, str, str, Callable[[dict[str, Json]], None]]


def _at(template: Json, path: str) -> tuple[Json, Json]:
    """The place of `path` ("Trail.Properties.IsLogging", numbers for places of lists) and its last word."""
    words: list[Json] = [int(word) if word.isdigit() else word.replace("~", ".") for word in path.split(".")]
    node = template["Resources"]
    for word in words[:-1]:
        node = node[word]
    return node, words[-1]


def put(path: str, value: Json) -> Callable[[Json], None]:
    """Puts something else there."""

    def change(template: Json) -> None:
        node, last = _at(template, path)
        node[last] = value

    return change


def cut(path: str) -> Callable[[Json], None]:
    """Takes away what is there, and fails where nothing is."""

    def change(template: Json) -> None:
        node, last = _at(template, path)
        del node[last]

    return change


def add(path: str, value: Json) -> Callable[[Json], None]:
    """Adds to a list."""

    def change(template: Json) -> None:
        node, last = _at(template, path)
        node[last].append(value)

    return change


def without(path: str, key: str, value: Json) -> Callable[[Json], None]:
    """Takes the entries away whose `key` is `value`."""

    def change(template: Json) -> None:
        node, last = _at(template, path)
        kept = [entry for entry in node[last] if entry.get(key) != value]
        assert len(kept) < len(node[last]), f"{path} has no entry with {key} {value}"
        node[last] = kept

    return change


TRUST = "LegalRole.Properties.AssumeRolePolicyDocument.Statement.0"
GRANTS = "BedrockByDepartment.Properties.PolicyDocument.Statement"
SELECTORS = "Trail.Properties.AdvancedEventSelectors"
TABLE = "LeaseTable.Properties"
GEOPHONE = "Task.Properties.ContainerDefinitions.1"
ALLOW_ALL = {"Effect": "Allow", "Action": ["kinesis:GetRecords"], "Resource": "*"}

PERIMETER: list[Breakage] = [
    ("people_need_a_second_factor", "perimeter", "MFA is optional", put("UserPool.Properties.MfaConfiguration", "OPTIONAL")),
    (
        "people_need_a_second_factor",
        "perimeter",
        "people sign up",
        put("UserPool.Properties.AdminCreateUserConfig.AllowAdminCreateUserOnly", False),
    ),
    (
        "clients_cannot_rewrite_their_tags",
        "perimeter",
        "the scope that writes attributes",
        add("UserPoolClient.Properties.AllowedOAuthScopes", "aws.cognito.signin.user.admin"),
    ),
    (
        "clients_cannot_rewrite_their_tags",
        "perimeter",
        "SDK sign-in",
        add("UserPoolClient.Properties.ExplicitAuthFlows", "ALLOW_USER_SRP_AUTH"),
    ),
    ("clients_cannot_rewrite_their_tags", "perimeter", "Cognito's default flows", cut("UserPoolClient.Properties.ExplicitAuthFlows")),
    ("identities_are_authenticated", "perimeter", "guests", put("IdentityPool.Properties.AllowUnauthenticatedIdentities", True)),
    ("identities_are_authenticated", "perimeter", "the classic flow", put("IdentityPool.Properties.AllowClassicFlow", True)),
    (
        "identities_are_authenticated",
        "perimeter",
        "tokens of people who were signed out",
        put("IdentityPool.Properties.CognitoIdentityProviders.0.ServerSideTokenCheck", False),
    ),
    (
        "whoever_has_no_group_gets_no_role",
        "perimeter",
        "the default role for people without a group",
        put("IdentityPoolRoles.Properties.RoleMappings.UserPool.AmbiguousRoleResolution", "AuthenticatedRole"),
    ),
    ("tags_are_mapped", "perimeter", "a misspelt tag", put("PrincipalTags.Properties.PrincipalTags", {"department": "custom:dept"})),
    ("department_roles_take_tags", "perimeter", "no sts:TagSession", put(f"{TRUST}.Action", ["sts:AssumeRoleWithWebIdentity"])),
    ("department_roles_trust_one_pool", "perimeter", "any identity pool of anybody", cut(f"{TRUST}.Condition.StringEquals")),
    ("department_roles_trust_one_pool", "perimeter", "guests of the pool", cut(f"{TRUST}.Condition.ForAnyValue:StringLike")),
    ("department_roles_are_bounded", "perimeter", "no boundary", cut("MarketingRole.Properties.PermissionsBoundary")),
    ("department_roles_are_bounded", "perimeter", "twelve hours", put("MarketingRole.Properties.MaxSessionDuration", 43200)),
    (
        "department_roles_are_bounded",
        "perimeter",
        "any department's tag in the role",
        cut("LegalRole.Properties.Policies.0.PolicyDocument.Statement.0.Condition"),
    ),
    ("models_are_granted_whole", "perimeter", "no streaming", put(f"{GRANTS}.1.Action", ["bedrock:InvokeModel"])),
    (
        "models_are_granted_whole",
        "perimeter",
        "no inference profiles",
        put(f"{GRANTS}.0.Resource", [{"Fn::Sub": "arn:aws:bedrock:*::foundation-model/anthropic.*"}]),
    ),
    ("models_need_a_department", "perimeter", "a model for everybody", cut(f"{GRANTS}.0.Condition")),
    ("models_need_a_department", "perimeter", "bearer keys", without(GRANTS, "Sid", "NoKeysAndNoSideDoor")),
    ("models_need_a_department", "perimeter", "all regions", without(GRANTS, "Sid", "OnlyInAllowedRegions")),
    ("models_need_a_department", "perimeter", "plain HTTP", without(GRANTS, "Sid", "OnlyByTls")),
    (
        "endpoints_let_in_department_roles_only",
        "perimeter",
        "everybody's credentials",
        cut("BedrockEndpoint.Properties.PolicyDocument.Statement.0.Condition.ArnLike"),
    ),
    (
        "endpoints_let_in_department_roles_only",
        "perimeter",
        "every action",
        put("BedrockEndpoint.Properties.PolicyDocument.Statement.0.Action", ["bedrock:*"]),
    ),
]

PIPELINE: list[Breakage] = [
    ("rules_see_reads", "pipeline", "a rule that is only ENABLED", put("BedrockByIssuerRule.Properties.State", "ENABLED")),
    ("rules_keep_what_they_cannot_deliver", "pipeline", "no dead-letter queue", cut("StsByRoleRule.Properties.Targets.0.DeadLetterConfig")),
    ("the_trail_sees_everything", "pipeline", "one region", put("Trail.Properties.IsMultiRegionTrail", False)),
    ("the_trail_sees_everything", "pipeline", "files that nobody can verify", put("Trail.Properties.EnableLogFileValidation", False)),
    (
        "the_trail_sees_everything",
        "pipeline",
        "writes only",
        add(f"{SELECTORS}.0.FieldSelectors", {"Field": "readOnly", "Equals": ["false"]}),
    ),
    (
        "the_trail_sees_everything",
        "pipeline",
        "STS left out",
        add(f"{SELECTORS}.0.FieldSelectors", {"Field": "eventSource", "NotEquals": ["sts.amazonaws.com"]}),
    ),
    ("the_trail_sees_everything", "pipeline", "no mantle", without(SELECTORS, "Name", "mantle")),
    ("subscriptions_spread", "pipeline", "by log stream", put("BedrockSubscription.Properties.Distribution", "ByLogStream")),
    ("streams_are_encrypted", "pipeline", "a stream in the clear", cut("IdentityStream.Properties.StreamEncryption")),
    (
        "buckets_are_encrypted_and_closed",
        "pipeline",
        "S3's own key",
        put(
            "TrailBucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault",
            {"SSEAlgorithm": "AES256"},
        ),
    ),
    (
        "buckets_are_encrypted_and_closed",
        "stores",
        "a bucket that may become public",
        cut("StateBucket.Properties.PublicAccessBlockConfiguration"),
    ),
    ("topics_are_encrypted", "stores", "a topic in the clear", cut("ChatTopic.Properties.KmsMasterKeyId")),
    ("log_groups_are_encrypted_and_forget", "pipeline", "a log group in the clear", cut("TrailLog.Properties.KmsKeyId")),
    ("log_groups_are_encrypted_and_forget", "service", "logs for ever", cut("Log.Properties.RetentionInDays")),
    ("queues_are_encrypted", "pipeline", "a queue in the clear", put("Undelivered.Properties.SqsManagedSseEnabled", False)),
    ("leases_are_shaped_as_kcl_does", "stores", "another key", put(f"{TABLE}.KeySchema.0.AttributeName", "shardId")),
    (
        "leases_are_shaped_as_kcl_does",
        "stores",
        "no way back in time",
        put(f"{TABLE}.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", False),
    ),
    ("files_are_encrypted", "service", "state in the clear", put("StateFiles.Properties.Encrypted", False)),
    ("keys_rotate", "pipeline", "one key for ever", put("Key.Properties.EnableKeyRotation", False)),
    ("data_outlives_its_stack", "pipeline", "the trail's files go with the stack", put("TrailBucket.DeletionPolicy", "Delete")),
    ("data_outlives_its_stack", "stores", "leases go when the table is renamed", cut("LeaseTable.UpdateReplacePolicy")),
    ("data_outlives_its_stack", "perimeter", "people go with the stack", cut("UserPool.DeletionPolicy")),
    (
        "only_by_tls",
        "stores",
        "publishing in the clear",
        without("AlertTopicsPolicy.Properties.PolicyDocument.Statement", "Sid", "OnlyByTls"),
    ),
    ("only_by_tls", "audit", "results in the clear", put("ResultBucketPolicy.Properties.PolicyDocument.Statement.0.Condition", {})),
    (
        "services_act_for_this_account_only",
        "stores",
        "tasks of anybody",
        cut("GeophoneRole.Properties.AssumeRolePolicyDocument.Statement.0.Condition"),
    ),
    ("roles_name_what_they_may", "stores", "every stream", add("GeophoneRole.Properties.Policies.0.PolicyDocument.Statement", ALLOW_ALL)),
    (
        "roles_name_what_they_may",
        "stores",
        "every stream, in a list",
        add("GeophoneRole.Properties.Policies.0.PolicyDocument.Statement", {**ALLOW_ALL, "Resource": ["*"]}),
    ),
    (
        "roles_name_what_they_may",
        "stores",
        "every action",
        put("GeophoneRole.Properties.Policies.0.PolicyDocument.Statement.0.Action", ["kinesis:*"]),
    ),
    ("one_geophone_at_a_time", "service", "two for a while", put("Service.Properties.DeploymentConfiguration.MaximumPercent", 200)),
    ("geophone_is_confined", "service", "root", put(f"{GEOPHONE}.User", "0:0")),
    ("geophone_is_confined", "service", "a writable system", put(f"{GEOPHONE}.ReadonlyRootFilesystem", False)),
    ("geophone_is_confined", "service", "killed after two seconds", put(f"{GEOPHONE}.StopTimeout", 2)),
    ("questions_are_bounded", "audit", "no bound", cut("WorkGroup.Properties.WorkGroupConfiguration.BytesScannedCutoffPerQuery")),
    (
        "questions_are_bounded",
        "audit",
        "clients choose where results go",
        put("WorkGroup.Properties.WorkGroupConfiguration.EnforceWorkGroupConfiguration", False),
    ),
]
