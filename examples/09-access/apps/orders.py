"""Orders: GET /orders lists them, POST /orders places one, DELETE /orders forgets all."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    orders: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.answer(f"{len(self.orders)} orders\n")

    def do_POST(self) -> None:
        self.orders.append(self.rfile.read(int(self.headers.get("content-length") or 0)).decode())
        self.answer("placed\n")

    def do_DELETE(self) -> None:
        self.orders.clear()
        self.answer("forgotten\n")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", 8000), Orders).serve_forever()
