"""One app that listens on ports of every protocol, for the tests of what Service Connect's fields do.

python echo_app.py PROTOCOL:PORT...    http and http2 answer with what they were asked, as JSON; grpc with its task's name;
                                       raw writes back the lines that it reads, each behind its task's name

A path /slow/SECONDS is answered after that time, /status/CODE with that status.
"""

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TASK = socket.gethostname()


def answer(port: int, protocol: str, path: str, headers: dict[str, str]) -> bytes:
    parts = path.partition("?")[0].split("/")
    if parts[1:2] == ["slow"]:
        time.sleep(float(parts[2]))
    return json.dumps({"task": TASK, "port": port, "protocol": protocol, "path": path, "headers": headers}).encode()


def status(path: str) -> int:
    parts = path.partition("?")[0].split("/")
    return int(parts[2]) if parts[1:2] == ["status"] else 200


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = answer(self.server.server_address[1], self.request_version, self.path, headers)
        self.send_response(status(self.path))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def http(port: int) -> None:
    ThreadingHTTPServer(("", port), Http).serve_forever()


def connections(port: int, serve: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("", port)) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def raw(port: int) -> None:
    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                connection.sendall(f"{TASK} ".encode() + line)

    connections(port, serve)


def http2(port: int) -> None:
    """Speaks HTTP/2 alone, from the first byte on."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import RequestReceived

    def serve(connection: socket.socket) -> None:
        state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        state.initiate_connection()
        with connection:
            connection.sendall(state.data_to_send())
            while received := connection.recv(65536):
                for event in state.receive_data(received):
                    if isinstance(event, RequestReceived):
                        headers = dict(event.headers)
                        body = answer(port, "HTTP/2", headers[":path"], headers)
                        state.send_headers(event.stream_id, [(":status", "200")])
                        state.send_data(event.stream_id, body, end_stream=True)
                connection.sendall(state.data_to_send())

    connections(port, serve)


def grpc(port: int) -> None:
    import grpc as library

    class Echo(library.GenericRpcHandler):
        def service(self, _details: library.HandlerCallDetails) -> library.RpcMethodHandler:
            return library.unary_unary_rpc_method_handler(lambda _request, _context: TASK.encode())

    server = library.server(ThreadPoolExecutor(4), handlers=[Echo()])
    server.add_insecure_port(f"127.0.0.1:{port}")  # its Envoy comes to it from inside the task
    server.start()
    server.wait_for_termination()


PROTOCOLS = {"http": http, "http2": http2, "grpc": grpc, "raw": raw}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for word in sys.argv[1:]:
        protocol, _, port = word.partition(":")
        threading.Thread(target=PROTOCOLS[protocol], args=(int(port),), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
