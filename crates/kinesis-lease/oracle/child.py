"""The record processor of KCL's MultiLangDaemon: writes each record into a ledger, then checkpoints.

One process for each shard, started by the daemon. Messages are lines of JSON, both ways.
"""

import base64
import json
import sys

ledger = open(sys.argv[1], "a", buffering=1)


def say(message):
    print("\n" + json.dumps(message), flush=True)


def checkpoint(number=None, sub=None):
    say({"action": "checkpoint", "sequenceNumber": number, "subSequenceNumber": sub})
    # Refused if the lease is lost; then the next owner has the records again.
    while json.loads(sys.stdin.readline())["action"] != "checkpoint":
        pass


for line in sys.stdin:
    if not line.strip():
        continue
    message = json.loads(line)
    action = message["action"]
    if action == "processRecords" and message["records"]:
        for record in message["records"]:
            ledger.write(base64.b64decode(record["data"]).decode() + "\n")
        last = message["records"][-1]
        checkpoint(last["sequenceNumber"], last.get("subSequenceNumber"))
    elif action in ("shardEnded", "shutdownRequested"):
        checkpoint()
    say({"action": "status", "responseFor": action})
