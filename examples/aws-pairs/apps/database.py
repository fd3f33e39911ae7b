"""Stands in for a database: a line comes in, a line goes out, and the connection stays open."""

import argparse
import os
import signal
import socketserver
import sys


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for number, line in enumerate(self.rfile, 1):
            self.wfile.write(b"%d %s\n" % (number, line.strip()))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    if not os.environ.get("POSTGRES_PASSWORD"):
        sys.exit("POSTGRES_PASSWORD is missing")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", options.port), Session).serve_forever()


if __name__ == "__main__":
    main()
