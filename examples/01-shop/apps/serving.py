"""What the apps of the shop share: an HTTP server, a line server, a client, and a decent end at SIGTERM.

Nothing but the standard library, and nothing that knows of a mesh: the names are plain host names, the ports the
well-known ones.
"""

import http.client
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, dict]
Route = Callable[[Mapping[str, str]], Answer]

# Longer than the 5 minutes after which Envoy ends an idle connection, so that it is never the app which hangs up just
# when the next request comes.
IDLE_SECONDS = 330


def me() -> dict:
    """Which copy answers: the task's host name, its address and the version of its task definition."""
    return {"task": socket.gethostname(), "ip": _own_ip(), "version": os.environ.get("VERSION", "1")}


def _own_ip() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


class Work:
    """Counts what is being answered, so that the end can wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = 0

    @contextmanager
    def one(self):
        with self._changed:
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def wait_none(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, seconds)


WORK = Work()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class _Lines(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True


def http_server(port: int, routes: Mapping[str, Route]) -> socketserver.BaseServer:
    """Serves `routes` ("GET /path" -> function of the query, which answers a status and a JSON object)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keep-alive
        timeout = IDLE_SECONDS
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def answer(self) -> None:
            with WORK.one():
                self.rfile.read(int(self.headers.get("content-length") or 0))
                url = urlsplit(self.path)
                route = routes.get(f"{self.command} {url.path}")
                query = dict(parse_qsl(url.query))
                status, body = route(query) if route else (404, {"error": f"no {self.command} {url.path} here"})
                self.reply(status, (json.dumps(body) + "\n").encode())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_GET = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the library
            if os.environ.get("LOG"):
                super().log_message(format, *arguments)

    return _Http(("0.0.0.0", port), Handler)


def line_server(port: int, reply: Callable[[str], str]) -> socketserver.BaseServer:
    """Answers each line with a line, until the other side hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = IDLE_SECONDS
        disable_nagle_algorithm = True

        def handle(self) -> None:
            for line in self.rfile:
                with WORK.one():
                    self.wfile.write(f"{reply(line.decode().strip())}\n".encode())

    return _Lines(("0.0.0.0", port), Handler)


def serve(*servers: socketserver.BaseServer) -> None:
    """Runs `servers` until SIGTERM (or Ctrl-C), ends what is being answered, and exits with 0."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        print(f"listening on {server.server_address}", flush=True)
    stop.wait()
    for server in servers:
        server.shutdown()  # no new connections
    done = WORK.wait_none(20)
    print("bye" if done else "bye, with requests still open", flush=True)
    sys.exit(0 if done else 1)


class Unavailable(Exception):
    """Another service did not answer as it should."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


_CONNECTIONS = threading.local()


def get(host: str, path: str) -> dict:
    """The JSON object at http://HOST/PATH, over a connection that is kept. Raises Unavailable."""
    status, body = _request(host, path)
    if status != 200:
        raise Unavailable(
            status, f"http://{host}{path} answered {status}: {body[:200].decode(errors='replace').strip()}"
        )
    return json.loads(body)


def _request(host: str, path: str) -> tuple[int, bytes]:
    kept = _CONNECTIONS.__dict__.setdefault("by_host", {})
    reused = host in kept
    connection = kept.get(host) or kept.setdefault(host, http.client.HTTPConnection(host, 80, timeout=20))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        del kept[host]
        # A kept connection may have been ended since; nothing was answered on it, so ask once more.
        if reused and isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError):
            return _request(host, path)
        raise Unavailable(503, f"http://{host}{path}: {type(error).__name__}: {error}") from error


def ask(host: str, port: int, line: str) -> str:
    """The line that HOST:PORT answers to `line`. Raises Unavailable."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection, connection.makefile("rw") as file:
            file.write(f"{line}\n")
            file.flush()
            answer = file.readline()
    except OSError as error:
        raise Unavailable(503, f"{host}:{port}: {type(error).__name__}: {error}") from error
    if not answer:
        raise Unavailable(503, f"{host}:{port} hung up without an answer")
    return answer.strip()


def take_time(query: Mapping[str, str]) -> None:
    """Sleeps for the milliseconds that `?ms=` asks for (at most 10 s): work, for those who watch a task drain."""
    time.sleep(min(10_000, int(query.get("ms", "0"))) / 1000)
