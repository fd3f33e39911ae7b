"""Stands in for Envoy where a test wants its admin interface and no proxy: `scripted_envoy.py --config-path FILE ...`.

It answers at the admin socket of its bootstrap: LIVE at once, with the listeners and stats that the JSON files
`listeners.json` and `stats.json` of the mesh's directory hold at that moment; what is posted goes to `posts.jsonl`. Standard
library only.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

HOME = Path.cwd().parents[1]


def read(name: str, otherwise):
    path = HOME / name
    return json.loads(path.read_text()) if path.exists() else otherwise


class Admin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/listeners"):
            self.answer({"listener_statuses": [{"name": name} for name in read("listeners.json", [])]})
        elif self.path.startswith("/stats"):
            self.answer({"stats": [{"name": name, "value": value} for name, value in read("stats.json", {}).items()]})
        else:
            self.answer({})

    def do_POST(self):
        with (HOME / "posts.jsonl").open("a") as file:
            file.write(json.dumps(self.path) + "\n")
        self.answer({})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


def main() -> None:
    bootstrap = json.loads(Path(sys.argv[sys.argv.index("--config-path") + 1]).read_text())
    path = Path(bootstrap["admin"]["address"]["pipe"]["path"])
    path.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with Server(str(path), Admin) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
