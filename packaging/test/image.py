#!/usr/bin/env python3
"""Runs what is in the image, as a container would and without one: image.py BUNDLE, which umoci has unpacked.

The program is static, and three things of a static glibc must be shown, not believed: names from /etc/hosts, names from DNS,
and TLS against the image's own bundle of authorities. Kinesis and DNS are played here, on loopback.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

USER = 65532
# An address of loopback that no resolver of the machine has.
RESOLVER = "127.83.1.53"
HOST = "kinesis.geophone.test"
PATIENCE = 90


def fail(what: object) -> None:
    sys.exit(f"FAILED: {what}")


class Resolver(socketserver.BaseRequestHandler):
    """Every name is 127.0.0.1, and has no IPv6."""

    asked: list[str] = []

    def handle(self) -> None:
        query, out = self.request
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += query[at] + 1
        question = query[12 : at + 5]
        is_v4 = question[-4:-2] == b"\0\1"
        self.asked.append(".".join(labels))
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton("127.0.0.1") if is_v4 else b""
        out.sendto(query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_v4 else b"\0\0") + b"\0\0\0\0" + question + answer, self.client_address)


class Kinesis(http.server.BaseHTTPRequestHandler):
    """Knows no stream, and who asked for one."""

    asked: list[tuple[str, str]] = []

    def do_POST(self) -> None:  # noqa: N802, as http.server wants it
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.headers["host"], self.headers.get("x-amz-target", "")))
        body = b'{"__type":"ResourceNotFoundException","message":"no such stream"}'
        self.send_response(400)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """A client that does not trust us is no error of ours."""

    def handle_error(self, *_: object) -> None:
        pass


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority of the test's own, and a certificate of it for HOST with its key."""
    authority, key, request, certificate = (folder / name for name in ("ca.pem", "key.pem", "request.pem", "certificate.pem"))
    extension = folder / "extension"
    extension.write_text(f"subjectAltName=DNS:{HOST},DNS:localhost\n")

    def openssl(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", authority, "-days", 2, "-subj", "/CN=test authority")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={HOST}")
    sign = ["-CA", authority, "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 2, "-extfile", extension]
    openssl("x509", "-req", "-in", request, *sign, "-out", certificate)
    return authority, certificate, key


class Image:
    """The files of the image, with a user and an environment of its own."""

    def __init__(self, bundle: Path):
        self.root = bundle / "rootfs"
        # What runs containers gives these to each; a static program cannot look up getrandom() and asks them.
        (self.root / "dev").mkdir(exist_ok=True)
        for name, minor in (("null", 3), ("random", 8), ("urandom", 9)):
            os.mknod(self.root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            (self.root / "dev" / name).chmod(0o666)
        self.process = json.loads((bundle / "config.json").read_text(encoding="utf-8"))["process"]

    def start(self, *args: str) -> subprocess.Popen[str]:
        words = ["/usr/sbin/chroot", "--userspec", f"{USER}:{USER}", str(self.root), "/usr/bin/geophone", *args]
        environment = {"GEOPHONE_EMULATOR": "1", "AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def run(self, *args: str) -> tuple[int, str]:
        program = self.start(*args)
        said, _ = program.communicate(timeout=PATIENCE)
        return program.returncode, said


def check_form(image: Image) -> None:
    """What the image is, before anything runs."""
    user = image.process["user"]
    if (user["uid"], user["gid"]) != (USER, USER) or image.process["args"][0] != "/usr/bin/geophone" or image.process["cwd"] != "/var/lib/geophone":
        fail(image.process)
    programs = [path for path in image.root.rglob("*") if path.is_file() and os.access(path, os.X_OK) and path.stat().st_mode & 0o111]
    if [str(path.relative_to(image.root)) for path in programs] != ["usr/bin/geophone"]:
        fail(f"more than one program: {programs}")
    told = subprocess.run(["readelf", "--program-headers", "--dynamic", "--wide", programs[0]], check=True, capture_output=True, text=True).stdout
    if "INTERP" in told or "NEEDED" in told:
        fail("the program is not static")
    state = (image.root / "var/lib/geophone").stat()
    if (state.st_uid, state.st_mode & 0o777) != (USER, 0o700):
        fail("the state folder is not the user's")
    print(f"   one static program of {programs[0].stat().st_size / 1e6:.1f} MB, for user {USER}, no shell")


def check_demo(image: Image) -> None:
    """The whole job, and the health check beside it."""
    program = image.start("demo", "--duration", "15s")
    said, health = "", None
    for line in program.stdout:
        said += line
        if page := re.search(r"Page and metrics: (http://[0-9.:]+)/", line):
            end = time.monotonic() + 12
            while health != (0, "ok\n") and time.monotonic() < end:
                health = image.run("health", "--url", page[1])
                time.sleep(0.1)
    if program.wait(PATIENCE) != 0 or not re.search(r"attacks were played; [1-9]", said):
        fail(f"geophone demo: {said}")
    if health != (0, "ok\n"):
        fail(f"geophone health: {health}")
    if (nobody := image.run("health", "--url", "http://127.0.0.1:9"))[0] != 69:
        fail(f"geophone health where nobody is: {nobody}")
    print("   geophone demo and geophone health run in it")


def ask_kinesis(image: Image, host: str, port: int, until: bool) -> str:
    """Runs the daemon until the server was asked (or, where that is not expected, for ten seconds or to its end)."""
    (image.root / "etc/geophone/geophone.toml").write_text(
        f'[state]\nfolder = "/var/lib/geophone"\n[http]\nlisten = "127.0.0.1:0"\n[[streams]]\nname = "trail"\nregion = "us-east-1"\nendpoint = "https://{host}:{port}"\n'
    )
    Kinesis.asked.clear()
    program = image.start("run", "--config", "/etc/geophone/geophone.toml")
    end = time.monotonic() + (PATIENCE if until else 10)
    while not Kinesis.asked and program.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    program.terminate()
    said, _ = program.communicate(timeout=PATIENCE)
    return said


def check_names_and_tls(image: Image, folder: Path) -> None:
    """Asks a server by a name that only DNS has, and by one of /etc/hosts, and only with an authority that the bundle has."""
    authority, certificate, key = certificates(folder)
    resolver = socketserver.ThreadingUDPServer((RESOLVER, 53), Resolver)
    server = Quiet(("127.0.0.1", 0), Kinesis)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    for each in (resolver, server):
        threading.Thread(target=each.serve_forever, daemon=True).start()
    port = server.server_address[1]
    # What runs containers writes both.
    (image.root / "etc/resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    (image.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    bundle = image.root / "etc/ssl/certs/ca-certificates.crt"
    shipped = bundle.read_text(encoding="utf-8")
    if shipped.count("BEGIN CERTIFICATE") < 100:
        fail("the bundle has hardly any authorities")

    said = ask_kinesis(image, HOST, port, until=False)
    if Kinesis.asked or HOST not in Resolver.asked:
        fail(f"a server of an unknown authority was trusted, or DNS was not asked ({Resolver.asked}): {Kinesis.asked} {said}")
    bundle.write_text(shipped + authority.read_text(encoding="utf-8"), encoding="utf-8")
    said = ask_kinesis(image, HOST, port, until=True)
    if not Kinesis.asked or Kinesis.asked[0][0] != f"{HOST}:{port}" or not Kinesis.asked[0][1].startswith("Kinesis_"):
        fail(f"by DNS and TLS: {Kinesis.asked} {said}")
    by_dns = len(Resolver.asked)
    said = ask_kinesis(image, "localhost", port, until=True)
    if not Kinesis.asked or len(Resolver.asked) != by_dns:
        fail(f"by /etc/hosts and TLS: {Kinesis.asked} {Resolver.asked} {said}")
    print(f"   names by DNS and by /etc/hosts, TLS by the image's {shipped.count('BEGIN CERTIFICATE')} authorities and by no other")


def main() -> None:
    image = Image(Path(sys.argv[1]))
    folder = Path(sys.argv[1]) / "test"
    folder.mkdir()
    check_form(image)
    check_demo(image)
    check_names_and_tls(image, folder)


if __name__ == "__main__":
    main()
