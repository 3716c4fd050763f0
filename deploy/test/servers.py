"""Servers on loopback: MiniStack over TLS, and a subscriber of SNS."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any, Callable, Iterator

import boto3
from botocore.config import Config

Json = Any
ACCOUNT, REGION = "000000000000", "us-east-1"
# MiniStack's root user.
ROOT = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """Looks again and again until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"waited {seconds} s for {what} in vain")


@contextlib.contextmanager
def running(
    command: list[str], folder: pathlib.Path, environment: dict[str, str], log: pathlib.Path, patience: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, by its own handle."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class Emulator:
    """MiniStack with IAM switched on."""

    def __init__(self, folder: pathlib.Path):
        self.port = free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "certificate.pem"
        self._folder = folder

    @contextlib.contextmanager
    def started(self) -> Iterator[Emulator]:
        """TLS, because policies that refuse plain HTTP are part of what is tested."""
        key = self._folder / "key.pem"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                str(key),
                "-out",
                str(self.certificate),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self.certificate),
            "MINISTACK_SSL_KEY": str(key),
            "LOG_LEVEL": "WARNING",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
        log = self._folder / "ministack.log"
        program = str(pathlib.Path(sys.executable).with_name("ministack"))
        # It has nothing to finish, and waits for clients that keep their connections.
        with running([program], self._folder, environment, log, patience=1) as process:

            def healthy() -> bool:
                if process.poll() is not None:
                    sys.exit(f"MiniStack ended:\n{log.read_text(encoding='utf-8', errors='replace')}")
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return True

            until("MiniStack", healthy, 60)
            yield self

    def client(self, service: str, credentials: dict[str, str] | None = None, region: str = REGION) -> Any:
        """A client of a service, of the root user unless told otherwise."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
        return boto3.client(
            service, region_name=region, endpoint_url=self.endpoint, verify=str(self.certificate), config=config, **(credentials or ROOT)
        )

    def environment(self, credentials: dict[str, str] | None = None) -> dict[str, str]:
        """What a program must know to take MiniStack for AWS."""
        keys = credentials or ROOT
        out = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.certificate),
            "SSL_CERT_FILE": str(self.certificate),
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(self._folder),
        }
        if "aws_session_token" in keys:
            out["AWS_SESSION_TOKEN"] = keys["aws_session_token"]
        return out


class Subscriber:
    """An HTTP endpoint that SNS delivers to."""

    def __init__(self) -> None:
        self._posts: list[dict[str, Json]] = []

    def __enter__(self) -> Subscriber:
        posts = self._posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def subscribe(self, sns: Any, topic: str) -> None:
        """Subscribes, and confirms as SNS asks."""
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=self.url)
        token = until(
            "a request for confirmation",
            lambda: next(
                (post["Token"] for post in self._posts if post["Type"] == "SubscriptionConfirmation" and post["TopicArn"] == topic), None
            ),
            20,
        )
        sns.confirm_subscription(TopicArn=topic, Token=token)

    def notifications(self, topic: str) -> list[dict[str, Json]]:
        """What was delivered of a topic by now."""
        return [post for post in list(self._posts) if post["Type"] == "Notification" and post["TopicArn"] == topic]


def page(address: str, path: str) -> str:
    """The body of a GET on loopback, past every proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}{path}", timeout=10) as reply:
        return reply.read().decode()
