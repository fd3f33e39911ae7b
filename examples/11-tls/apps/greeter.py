"""Greets its caller by the name that its proxy has verified; without TLS there is none."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        proven = self.headers.get("x-forwarded-client-cert", "")
        body = (proven.partition("URI=")[2].partition(";")[0] or "nobody").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", 8000), Greeter).serve_forever()
