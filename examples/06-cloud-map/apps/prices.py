"""A program on this machine, outside of the mesh: python apps/prices.py PRICE. It prints its port, and ends after three minutes."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICE = int(sys.argv[1])


class Prices(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"price": PRICE}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Prices)
print(server.server_port, flush=True)
ending = threading.Timer(180, server.shutdown)
ending.daemon = True
ending.start()
server.serve_forever()
