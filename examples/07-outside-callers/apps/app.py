"""Answers with its own name, and with what the URL in its argument answers, if there is one."""

import json
import signal
import socket
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NEXT = sys.argv[1] if len(sys.argv) > 1 else ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        below = json.load(urllib.request.urlopen(NEXT, timeout=5)) if NEXT else None
        body = json.dumps({"task": socket.gethostname(), "calls": below, "caller": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """One line for each call would be too many."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("", 8080), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
