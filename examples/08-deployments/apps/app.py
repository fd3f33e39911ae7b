"""Answers with its version. Version 3 cannot start; of version 4 every fifth answer is an error."""

import itertools
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ["VERSION"]
if VERSION == "3":
    sys.exit("version 3 does not find its configuration")


answers = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"version {VERSION}\n".encode()
        self.send_response(500 if VERSION == "4" and next(answers) % 5 == 0 else 200)
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
