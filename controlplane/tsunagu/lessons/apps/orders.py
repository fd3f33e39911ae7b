"""The service of the lessons: GET / says which copy answers, and its version; POST /fail?on=1 lets this copy answer 500.

Nothing but the standard library, and nothing that knows of a mesh.
"""

import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAILING = threading.Event()
LAST = [time.monotonic()]  # when the last request came


class Answer(BaseHTTPRequestHandler):
    """One connection, kept alive longer than Envoy keeps it."""

    protocol_version = "HTTP/1.1"
    timeout = 330

    def do_GET(self) -> None:
        """Say who answers."""
        LAST[0] = time.monotonic()
        text = f"{socket.gethostname()} version {os.environ.get('VERSION', '1')}\n"
        self._answer(500 if FAILING.is_set() else 200, text)

    def do_POST(self) -> None:
        """Begin to fail, or stop."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.endswith("on=1"):
            FAILING.set()
        else:
            FAILING.clear()
        self._answer(200, f"failing: {FAILING.is_set()}\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Write nothing: a load would fill the log."""


class Server(ThreadingHTTPServer):
    """Ends at once at SIGTERM: by then no request is under way."""

    daemon_threads = True


def main() -> None:
    """Serve on port 80 until SIGTERM."""
    server = Server(("127.0.0.1", 80), Answer)
    signal.signal(signal.SIGTERM, lambda *_: end(server))
    server.serve_forever(poll_interval=0.05)


def end(server: Server) -> None:
    """Say how long there has been no request, and end."""
    print(f"SIGTERM at {time.time():.3f}, {time.monotonic() - LAST[0]:.3f} s after the last request", flush=True)
    threading.Thread(target=server.shutdown).start()


if __name__ == "__main__":
    main()
