"""Stands in for an HTTP API with a database: /orders tells whether the database answers, /healthz is its own health."""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REQUIRED = ("DATABASE_HOST", "DATABASE_PASSWORD", "PAYMENT_TOKEN")


def ask_database() -> str:
    """The answer of the database to one line, or why there is none."""
    try:
        with socket.create_connection((os.environ["DATABASE_HOST"], 5432), timeout=2) as link:
            link.sendall(b"SELECT count FROM orders\n")
            return link.makefile().readline().strip() or "no answer"
    except OSError as error:
        return f"unreachable: {error}"


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.reply(200, {"healthy": True})
        elif self.path.startswith("/orders"):
            self.reply(200, {"orders": ask_database(), "timeout": self.headers.get("x-envoy-expected-rq-timeout-ms")})
        else:
            self.reply(404, {"error": "there are only /orders and /healthz"})

    def reply(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Metrics(Api):
    def do_GET(self) -> None:
        self.reply(200, {"threads": threading.active_count()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--metrics", type=int, required=True)
    options = parser.parse_args()
    missing = [name for name in REQUIRED if not os.environ.get(name)]
    if missing:
        sys.exit(f"missing in the environment: {', '.join(missing)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    metrics = ThreadingHTTPServer(("", options.metrics), Metrics)
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", options.port), Api).serve_forever()


if __name__ == "__main__":
    main()
