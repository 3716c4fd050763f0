"""geophone's own role: what it may, and what it must not."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable

import access
from checks import Checks
from servers import ACCOUNT, REGION, Emulator

Call = Callable[[], Any]


def allow_batches(checks: Checks, emulator: Emulator, credentials: dict[str, str], role: str, topic: str) -> None:
    """AWS asks for sns:Publish where a batch is published, and knows no other action; MiniStack asks for sns:PublishBatch."""
    batch = [{"Id": "1", "Message": "hello"}]
    sns = emulator.client("sns", credentials)
    checks.equal(
        "MiniStack still asks for sns:PublishBatch",
        access.is_allowed(partial(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=batch)),
        False,
    )
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sns:PublishBatch", "Resource": topic.rsplit("-", 2)[0] + "-*"}],
    }
    emulator.client("iam").put_role_policy(RoleName=role, PolicyName="ForMiniStack", PolicyDocument=json.dumps(document))
    checks.gap(
        "MiniStack asks for sns:PublishBatch, which AWS does not know (sns:Publish covers batches): added to the role for what follows"
    )


def check(checks: Checks, emulator: Emulator, credentials: dict[str, str], pipeline: dict[str, str], stores: dict[str, str]) -> None:
    """Every action that geophone needs, and its neighbours."""
    kinesis, sns, dynamodb, s3 = (emulator.client(name, credentials) for name in ("kinesis", "sns", "dynamodb", "s3"))
    table, bucket, item = stores["LeaseTableName"], stores["StateBucketName"], {"leaseKey": {"S": "shardId-000000000000"}}
    root = {name: emulator.client(name) for name in ("kinesis", "sns", "dynamodb", "s3")}
    root["kinesis"].create_stream(StreamName="somebody-elses", ShardCount=1)
    strange = root["kinesis"].describe_stream_summary(StreamName="somebody-elses")["StreamDescriptionSummary"]["StreamARN"]
    strange_topic = root["sns"].create_topic(Name="somebody-elses")["TopicArn"]
    root["dynamodb"].create_table(
        TableName="somebody-elses",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
    )
    root["s3"].put_object(Bucket=bucket, Key="elsewhere/secret", Body=b"x")
    root["s3"].put_object(Bucket=pipeline["TrailBucketName"], Key="AWSLogs/x", Body=b"x")
    shard = "shardId-000000000000"

    def iterator(arn: str) -> str:
        return root["kinesis"].get_shard_iterator(StreamARN=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]

    allowed: dict[str, Call] = {}
    for arn in (pipeline["StreamArn"], pipeline["IdentityStreamArn"]):
        name = arn.rsplit("/", 1)[-1]
        allowed |= {
            f"ListShards of {name}": partial(kinesis.list_shards, StreamARN=arn),
            f"DescribeStreamSummary of {name}": partial(kinesis.describe_stream_summary, StreamARN=arn),
            f"GetShardIterator of {name}": partial(kinesis.get_shard_iterator, StreamARN=arn, ShardId=shard, ShardIteratorType="LATEST"),
            f"GetRecords of {name}": partial(kinesis.get_records, StreamARN=arn, ShardIterator=iterator(arn)),
        }
    for name in ("OnCall", "Chat", "Findings"):
        topic = stores[f"{name}TopicArn"]
        allowed |= {
            f"Publish to {name}": partial(sns.publish, TopicArn=topic, Message="hello"),
            f"GetTopicAttributes of {name}": partial(sns.get_topic_attributes, TopicArn=topic),
        }
    allowed |= {
        "DescribeTable": partial(dynamodb.describe_table, TableName=table),
        "PutItem": partial(dynamodb.put_item, TableName=table, Item=item),
        "GetItem": partial(dynamodb.get_item, TableName=table, Key=item),
        "UpdateItem": partial(
            dynamodb.update_item,
            TableName=table,
            Key=item,
            UpdateExpression="SET leaseCounter = :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        ),
        "Scan": partial(dynamodb.scan, TableName=table),
        "DeleteItem": partial(dynamodb.delete_item, TableName=table, Key=item),
        "PutObject of state": partial(s3.put_object, Bucket=bucket, Key="state/a", Body=b"x"),
        "GetObject of state": partial(s3.get_object, Bucket=bucket, Key="state/a"),
        "DeleteObject of state": partial(s3.delete_object, Bucket=bucket, Key="state/a"),
        "GetObject of configuration": partial(s3.get_object, Bucket=bucket, Key="config/geophone.toml"),
        "ListBucket of state": partial(s3.list_objects_v2, Bucket=bucket, Prefix="state/"),
        "ListBucket of configuration": partial(s3.list_objects_v2, Bucket=bucket, Prefix="config/"),
    }
    denied: dict[str, Call] = {
        "PutRecord": partial(kinesis.put_record, StreamARN=pipeline["StreamArn"], Data=b"x", PartitionKey="x"),
        "DeleteStream": partial(kinesis.delete_stream, StreamARN=pipeline["StreamArn"]),
        "StopStreamEncryption": partial(
            kinesis.stop_stream_encryption, StreamARN=pipeline["StreamArn"], EncryptionType="KMS", KeyId="alias/x"
        ),
        "ListStreams": kinesis.list_streams,
        "another's ListShards": partial(kinesis.list_shards, StreamARN=strange),
        "another's GetRecords": partial(kinesis.get_records, StreamARN=strange, ShardIterator=iterator(strange)),
        "Publish to the pipeline's alarms": partial(sns.publish, TopicArn=stores["PipelineTopicArn"], Message="all is well"),
        "another's Publish": partial(sns.publish, TopicArn=strange_topic, Message="hello"),
        "Subscribe": partial(sns.subscribe, TopicArn=stores["OnCallTopicArn"], Protocol="http", Endpoint="http://127.0.0.1:1/"),
        "DeleteTopic": partial(sns.delete_topic, TopicArn=stores["OnCallTopicArn"]),
        "SetTopicAttributes": partial(
            sns.set_topic_attributes, TopicArn=stores["OnCallTopicArn"], AttributeName="DisplayName", AttributeValue="x"
        ),
        "Query": partial(
            dynamodb.query,
            TableName=table,
            KeyConditionExpression="leaseKey = :key",
            ExpressionAttributeValues={":key": {"S": "x"}},
        ),
        "DeleteTable": partial(dynamodb.delete_table, TableName=table),
        "UpdateTable": partial(dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False),
        "another's PutItem": partial(dynamodb.put_item, TableName="somebody-elses", Item=item),
        "PutObject of configuration": partial(s3.put_object, Bucket=bucket, Key="config/geophone.toml", Body=b""),
        "DeleteObject of configuration": partial(s3.delete_object, Bucket=bucket, Key="config/geophone.toml"),
        "GetObject of something else": partial(s3.get_object, Bucket=bucket, Key="elsewhere/secret"),
        "GetObject of the trail": partial(s3.get_object, Bucket=pipeline["TrailBucketName"], Key="AWSLogs/x"),
        "ListBucket of everything": partial(s3.list_objects_v2, Bucket=bucket),
        "DeleteBucket": partial(s3.delete_bucket, Bucket=bucket),
        "ListUsers": emulator.client("iam", credentials).list_users,
        "AttachRolePolicy": partial(
            emulator.client("iam", credentials).attach_role_policy,
            RoleName=stores["GeophoneRoleName"],
            PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess",
        ),
        "AssumeRole": partial(access.session, emulator_as(emulator, credentials), f"arn:aws:iam::{ACCOUNT}:role/departments/bedrock-legal"),
        "InvokeModel": partial(emulator.client("bedrock-runtime", credentials).invoke_model, modelId="amazon.nova-pro-v1:0", body=b"{}"),
        "ListSecrets": emulator.client("secretsmanager", credentials).list_secrets,
        "DescribeInstances": emulator.client("ec2", credentials).describe_instances,
        "ListKeys": emulator.client("kms", credentials).list_keys,
    }
    for name, call in allowed.items():
        checks.equal(f"geophone's role may: {name}", access.is_allowed(call), True)
    for name, call in denied.items():
        checks.equal(f"geophone's role may not: {name}", access.is_allowed(call), False)
    checks.section(f"geophone's role in {REGION}: {len(allowed)} calls allowed, {len(denied)} refused")


def emulator_as(emulator: Emulator, credentials: dict[str, str]) -> Any:
    """The emulator, for somebody who is not root."""

    class Theirs:
        """Clients with these credentials."""

        def client(self, service: str) -> Any:
            return emulator.client(service, credentials)

    return Theirs()
