"""The apps of tests/e2e/test_access*.py.

python access_apps.py serve    http at 8080, gRPC at 9000, tcp at 7000, where the server speaks first
python access_apps.py serve-plain   the same without gRPC, which needs more than Python
python access_apps.py ask      reads calls as JSON from its standard input, makes them one after the other, and writes what became of
                               each: "taken", "refused" (403, PERMISSION_DENIED, an end of the connection before a byte), or why neither
python access_apps.py answer  the same for each line of its standard input, which are calls, too
python access_apps.py hold     keeps one tcp connection, asks over it again and again, and writes a line for each answer and each end
"""

import contextlib
import http.client
import http.server
import json
import signal
import socket
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

GREETING = b"220 ready\n"
LONG = 10.0  # s that one call may take


class Http(http.server.BaseHTTPRequestHandler):
    """Takes every method, at every path."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = answer

    def log_message(self, *_: object) -> None:
        pass


class Greeter(socketserver.StreamRequestHandler):
    """Greets, then answers each line with itself. Every connection that it sees is a line of its log."""

    def handle(self) -> None:
        print("CONNECTED", flush=True)
        with contextlib.suppress(OSError):
            self.wfile.write(GREETING)
            for line in self.rfile:
                self.wfile.write(line)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


class HttpThreads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def serve() -> None:
    _rpc = serve_grpc()
    serve_plain()


def serve_grpc() -> object:
    """A server of gRPC that serves as long as somebody holds it."""
    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)

    rpc = grpc.server(ThreadPoolExecutor(4), handlers=[Echo()])
    rpc.add_insecure_port("127.0.0.1:9000")
    rpc.start()
    return rpc


def serve_plain() -> None:
    for server in (HttpThreads(("127.0.0.1", 8080), Http), Threads(("127.0.0.1", 7000), Greeter)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()


def ask() -> None:
    print(json.dumps(asked(json.load(sys.stdin))))


def answer() -> None:
    for line in sys.stdin:
        print(json.dumps(asked(json.loads(line))), flush=True)


def asked(calls: list[dict[str, str]]) -> list[str]:
    return [ASK[call["kind"]](call) for call in calls]


def ask_http(call: dict[str, str]) -> str:
    connection = http.client.HTTPConnection(call["host"], int(call.get("port", 80)), timeout=LONG)
    try:
        connection.putrequest(call["method"], call["path"], skip_accept_encoding=True)
        connection.putheader("content-length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    refused = answer.status == http.client.FORBIDDEN and (call["method"] == "HEAD" or body == "RBAC: access denied")
    return {True: "refused"}.get(refused, "taken" if answer.status == http.client.OK else f"{answer.status} {body}")


def ask_grpc(call: dict[str, str]) -> str:
    import grpc

    with grpc.insecure_channel(f"{call['host']}:9000", options=[("grpc.enable_retries", 0)]) as channel:
        try:
            channel.unary_unary(call["path"])(b"", timeout=LONG)
        except grpc.RpcError as error:
            denied = error.code() is grpc.StatusCode.PERMISSION_DENIED
            return "refused" if denied else f"{error.code().name} {error.details()}"
    return "taken"


def ask_tcp(call: dict[str, str]) -> str:
    """Say nothing and listen: the greeting comes, or the connection ends."""
    try:
        with socket.create_connection((call["host"], 7000), timeout=LONG) as connection:
            found = connection.recv(len(GREETING))
    except ConnectionResetError:
        return "refused"
    except OSError as error:
        return repr(error)
    return {b"": "refused", GREETING: "taken"}.get(found, repr(found))


ASK = {"http": ask_http, "grpc": ask_grpc, "tcp": ask_tcp}


def hold() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("orders", 7000), timeout=LONG) as connection:
            stream = connection.makefile("rb")
            if stream.readline() != GREETING:
                continue
            while True:
                connection.sendall(b"again\n")
                if not stream.readline():
                    print("END", flush=True)
                    break
                print("ANSWER", flush=True)
                time.sleep(0.2)
        time.sleep(0.2)


if __name__ == "__main__":
    {"serve": serve, "serve-plain": serve_plain, "ask": ask, "answer": answer, "hold": hold}[sys.argv[1]]()
