"""A Lambda function behind a URL of this machine, as a lifecycle hook calls it."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Function:
    """Keeps its events, and replies what a test says."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        self.events = []
        self.reply = {"hookStatus": "SUCCEEDED"}


@contextmanager
def function():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            made.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = json.dumps(made.reply).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Function(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
