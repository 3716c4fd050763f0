"""Starting, asking and ending servers on loopback."""

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Nothing here is to go through a proxy.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def running(stack, command, folder, log):
    """Starts a process that ends with the stack, by its own handle."""
    output = stack.enter_context(open(log, "w", encoding="utf-8"))
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def end():
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    stack.callback(end)
    return process


def until(what, look, seconds):
    """Looks twice a second until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    sys.exit(f"waited {seconds} s for {what} in vain")


def fetch(address, path, parameters=None, text=False):
    """The body of a GET: JSON, or text. A refused query is an answer, too."""
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    try:
        with OPENER.open(f"http://{address}{path}{query}", timeout=10) as reply:
            body = reply.read().decode()
    except urllib.error.HTTPError as error:
        if text:
            raise
        body = error.read().decode()
    return body if text else json.loads(body)


class Webhook:
    """Keeps what Alertmanager posts."""

    def __enter__(self):
        posts = self._posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def alerts(self):
        return [alert for post in list(self._posts) for alert in post["alerts"]]
