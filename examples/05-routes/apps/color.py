"""A server of one colour, with the moods that routes and policies are for.

GET /        answers COLOR.
GET /flaky   answers 500 to every second request, which Service Connect does not try again.
GET /slow    takes half a second.
GET /seen    how many GET / it has answered.
"""

import http.server
import itertools
import os
import signal
import sys
import threading
import time

COLOR = os.environ["COLOR"]
flaky = itertools.count(1)
counting = threading.Lock()
answered = 0


class Color(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global answered
        path = self.path.partition("?")[0]
        status, body = 200, COLOR
        if path == "/flaky" and next(flaky) % 2:
            status, body = 500, "not now"
        elif path == "/slow":
            time.sleep(0.5)
        elif path == "/seen":
            body = str(answered)
        elif path == "/":
            with counting:
                answered += 1
        self.answer(status, f"{body}\n".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("", 8000), Color)
server.daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
sys.exit(0)
