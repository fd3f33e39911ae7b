"""The apps of tests/e2e/test_traffic_*.py.

python traffic_apps.py serve                http at 8080, gRPC at 9000, tcp at 7000; each answers with $VERSION
python traffic_apps.py http|grpc|tcp N URL  N calls over a few connections; what came, as JSON {answer: count}
python traffic_apps.py grpc-together|tcp-together N URL  N calls that are all open at once

A task whose HOLD is set does not listen if another of its version answers at that URL: it holds a roll-out in the middle.
"""

import http.client
import http.server
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("VERSION", "")
THREADS = 4


class Http(http.server.BaseHTTPRequestHandler):
    """GET /slow?ms=N waits, /host answers with the task's name, /status?code=N answers so, /flaky fails with 503 until it was asked twice with the same ?key."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one piece: two would wait 40 ms for each other (Nagle, delayed ACK)
    asked: Counter[str] = Counter()
    answers = {"/host": socket.gethostname()}

    def do_GET(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        self.rfile.read(size)
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.asked[split.path + query.get("key", "")] += 1
        if split.path.endswith("/slow"):
            time.sleep(int(query["ms"]) / 1000)
        status = int(query.get("code", "200"))
        if split.path.endswith("/flaky") and self.asked[split.path + query.get("key", "")] < 2:
            status = 503
        told = {
            "version": VERSION,
            "path": self.path,
            "method": self.command,
            "headers": dict(self.headers),
            "host": socket.gethostname(),
        }
        body = (json.dumps(told) if query.get("tell") else self.answers.get(split.path, VERSION)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-app", "yes")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *words: object) -> None:
        """Say nothing of each request."""


class Tcp(socketserver.BaseRequestHandler):
    """Speaks first, and closes after its caller."""

    def handle(self) -> None:
        self.request.sendall(VERSION.encode() + b"\n")
        self.request.recv(1)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128


def serve_grpc() -> None:
    import grpc

    class Echo(grpc.GenericRpcHandler):
        """Answers each method at once, and Wait after the seconds that its request is."""

        def service(self, details):
            wait = details.method.endswith("/Wait")
            return grpc.unary_unary_rpc_method_handler(self.answer_later if wait else self.answer)

        def answer(self, _request, _context):
            return VERSION.encode()

        def answer_later(self, request, context):
            time.sleep(float(request))
            return self.answer(request, context)

    server = grpc.server(ThreadPoolExecutor(16), handlers=[Echo()])
    server.add_insecure_port("0.0.0.0:9000")
    server.start()
    server.wait_for_termination()


def serve() -> None:
    hold = os.environ.get("HOLD")
    if hold and VERSION in {urllib.request.urlopen(hold, timeout=10).read().decode() for _ in range(100)}:
        signal.pause()
    threading.Thread(target=serve_grpc, daemon=True).start()
    threading.Thread(target=TcpServer(("", 7000), Tcp).serve_forever, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("", 8080), Http)
    server.serve_forever()


# -- calls ------------------------------------------------------------------------------------------------------------


def call_http(count: int, url: str) -> Counter[str]:
    split = urlsplit(url)
    connection = http.client.HTTPConnection(split.hostname or "", split.port or 80, timeout=60)
    found: Counter[str] = Counter()
    for _ in range(count):
        connection.request("GET", split.path or "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        found[body if answer.status == 200 else str(answer.status)] += 1
    return found


def call_grpc(count: int, target: str) -> Counter[str]:
    import grpc

    say = grpc.insecure_channel(target).unary_unary("/test.Echo/Say")
    return Counter(say(b"", timeout=60, wait_for_ready=True).decode() for _ in range(count))


def call_tcp(count: int, address: str) -> Counter[str]:
    host, _, port = address.partition(":")
    found: Counter[str] = Counter()
    for _ in range(count):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            found[connection.makefile().readline().strip()] += 1
    return found


def call_grpc_together(count: int, target: str) -> Counter[str]:
    import grpc

    wait = grpc.insecure_channel(target).unary_unary("/test.Echo/Wait")
    calls = [wait.future(b"1.5", timeout=60, wait_for_ready=True) for _ in range(count)]
    return Counter(call.result().decode() if call.exception() is None else call.code().name for call in calls)


def call_tcp_together(count: int, address: str) -> Counter[str]:
    """A connection that is closed without a word counts as ''."""
    host, _, port = address.partition(":")
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(count)]
        return Counter(connection.makefile().readline().strip() for connection in made)


CALLS = {"http": call_http, "grpc": call_grpc, "tcp": call_tcp}
TOGETHER = {"grpc-together": call_grpc_together, "tcp-together": call_tcp_together}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] in TOGETHER:
        print(json.dumps(TOGETHER[sys.argv[1]](int(sys.argv[2]), sys.argv[3])))
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            parts = pool.map(CALLS[sys.argv[1]], [int(sys.argv[2]) // THREADS] * THREADS, [sys.argv[3]] * THREADS)
            print(json.dumps(sum(parts, Counter())))
