"""Calls http://greeter/ fifty times a second, and tells how that went."""

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = {"calls": 0, "failed": 0, "greeted as": ""}


def call() -> None:
    while True:
        try:
            with urllib.request.urlopen("http://greeter/", timeout=20) as answer:
                seen["greeted as"] = answer.read().decode()
        except OSError:
            seen["failed"] += bool(seen["calls"])  # before the first answer the greeter was not there yet
        seen["calls"] += bool(seen["greeted as"])
        time.sleep(0.02)


class Told(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(seen).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


threading.Thread(target=call, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", 8000), Told).serve_forever()
