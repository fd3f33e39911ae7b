"""An app that fails as it is asked to, over HTTP and gRPC: python moody_app.py HTTPPORT GRPCPORT

GET /status/CODE answers with it. /x.Y/NAME of gRPC answers with the status NAME (OK, NOT_FOUND, ...). GET /deaf is
answered when nothing listens at either port any more; the app lives on.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc


class Moods(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        name = details.method.rpartition("/")[2]

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            if name != "OK":
                context.abort(grpc.StatusCode[name], "as you like")
            return b"ok"

        return grpc.unary_unary_rpc_method_handler(answer)


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        code = int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200
        if self.path == "/deaf":
            close()
        self.send_response(code)
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def close() -> None:
    calls.stop(None).wait()
    web.shutdown()
    web.server_close()


web = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Http)
calls = grpc.server(ThreadPoolExecutor(4), handlers=[Moods()])
calls.add_insecure_port(f"127.0.0.1:{sys.argv[2]}")
calls.start()
web.serve_forever()
threading.Event().wait()
