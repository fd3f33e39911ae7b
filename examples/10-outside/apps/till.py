"""Sells one thing, at the price that http://prices/ says."""

import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Till(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            with urllib.request.urlopen("http://prices/", timeout=5) as answer:
                said, status = json.load(answer), 200
        except (OSError, urllib.error.URLError) as error:
            said, status = {"error": str(error)}, 503
        body = json.dumps({**said, "till": os.environ["HOSTNAME"]}).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 80), Till).serve_forever()
