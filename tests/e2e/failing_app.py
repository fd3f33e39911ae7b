"""An HTTP server with a version, some of whose answers are failures: python failing_app.py PORT

Environment: VERSION, which it answers; FAILS: each so-manieth answer is a 500 (0: none); DEAF: so many seconds after its first
answer it listens no more, and lives on.
"""

import itertools
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION, FAILS = os.environ["VERSION"], int(os.environ.get("FAILS", "0"))
answers, answered = itertools.count(1), threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answered.set()
        body = f"version {VERSION}\n".encode()
        self.send_response(500 if FAILS and next(answers) % FAILS == 0 else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("", int(sys.argv[1])), Handler)
if after := os.environ.get("DEAF"):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answered.wait()
    time.sleep(float(after))
    server.socket.close()
    threading.Event().wait()
server.serve_forever()
