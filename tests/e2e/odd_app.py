"""An app with an uncommon fault, for the tests of `tsunagu why`: python odd_app.py FAULT PORT.

loopback6  listens at ::1 alone                     unix       listens at a UNIX socket alone
backlog    never accepts, and its backlog is full   frozen     accepts one connection, then stops its own process (SIGSTOP)
single     serves one connection at a time, and keeps it open
partial    ends in the middle of a response's head  cut        ends in the middle of a body
large      answers with 1 MiB                       endless    answers at once, and its body never ends
many       answers with 200 headers                 huge       answers with a header of 100 KiB
malformed  answers with a header without a name     lengths    answers with two lengths
early      answers with 103 before its 200          old        answers as an HTTP/1.0 server does
greets     speaks first, as SMTP servers do         binary     speaks first, in bytes
go-tls, nginx-tls  answer plaintext as TLS servers of Go and nginx do
openssl    is a TLS server                          mimics     answers 503 with Envoy's own words
alternates answers each second request with 503     only-name  answers 421 unless it is called by its own name
path       answers 500 for /old and 200 for /new
grpc, grpc-unavailable, grpc-sick  a gRPC server: with health checks; that answers everything with UNAVAILABLE; NOT_SERVING
"""

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"content-length: 3\r\n\r\nok\n"
#: fault -> (what is sent before the request, what after it, whether the connection stays open)
SCRIPTS = {
    "partial": (b"", HEAD + b"content-le", False),
    "cut": (b"", HEAD + b"content-length: 100\r\n\r\nten bytes\n", False),
    "large": (b"", HEAD + b"content-length: 1048576\r\n\r\n" + bytes(1048576), True),
    "many": (b"", HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(200)) + b"content-length: 0\r\n\r\n", True),
    "huge": (b"", HEAD + b"x-huge: " + b"y" * 102400 + b"\r\ncontent-length: 0\r\n\r\n", True),
    "malformed": (b"", HEAD + b": nameless\r\ncontent-length: 0\r\n\r\n", True),
    "lengths": (b"", HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nok\n", True),
    "early": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n" + OK, True),
    "old": (b"", b"HTTP/1.0 200 OK\r\n\r\nok\n", False),
    "greets": (b"220 mail.example.com ESMTP\r\n", b"502 unrecognized command\r\n", True),
    "binary": (b"J\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00", b"", True),
    "go-tls": (b"", b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", False),
    "nginx-tls": (
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>",
        False,
    ),
    "mimics": (
        b"",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 26\r\n\r\nupstream connect error or ",
        True,
    ),
}


def script(fault):
    before, after, stays = SCRIPTS[fault]

    def serve(connection):
        with connection:
            connection.sendall(before)
            while connection.recv(9999):
                connection.sendall(after)
                if not stays:
                    return

    return serve


def endless(connection):
    with connection:
        connection.recv(9999)
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"5\r\ntick\n\r\n")
            time.sleep(0.2)


def accept(port, serve, address="", family=socket.AF_INET):
    with socket.create_server((address, port), family=family) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def backlog(port):
    with socket.socket() as listening:
        listening.bind(("", port))
        listening.listen(0)
        mine = [socket.socket() for _ in range(3)]
        for one in mine:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        threading.Event().wait()


def frozen(port):
    with socket.create_server(("", port)) as listening:
        kept = listening.accept()
        os.kill(os.getpid(), signal.SIGSTOP)
        del kept


def unix():
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tempfile.mkdtemp()}/app.sock")
        listening.listen()
        threading.Event().wait()


def openssl(port):
    folder = tempfile.mkdtemp()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/crt", f"{folder}/key")

    def serve(connection):
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(9999)
                secure.sendall(OK)
        except OSError:
            connection.close()

    accept(port, serve)


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = itertools.count()
    fault = ""

    def status(self):
        match App.fault:
            case "alternates":
                return 503 if next(App.count) % 2 else 200
            case "only-name":
                return 200 if self.headers["host"].startswith("only-name") else 421
            case "path":
                return 500 if self.path.startswith("/old") else 200
        return 200

    def do_GET(self):
        body = b"hello\n"
        self.send_response(self.status())
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def http(port, fault):
    App.fault = fault
    (HTTPServer if fault == "single" else ThreadingHTTPServer)(("", port), App).serve_forever()


def grpc_server(port, fault):
    import grpc  # only these need it

    answers = {"grpc": b"\x08\x01", "grpc-sick": b"\x08\x02"}

    def answer(_request, context):
        if fault == "grpc-unavailable":
            context.abort(grpc.StatusCode.UNAVAILABLE, "no ledger")
        return answers[fault]

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details):
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def main():
    fault, port = sys.argv[1], int(sys.argv[2])
    match fault:
        case "loopback6":
            accept(port, script("old"), "::1", socket.AF_INET6)
        case "unix":
            unix()
        case "backlog":
            backlog(port)
        case "frozen":
            frozen(port)
        case "endless":
            accept(port, endless)
        case "openssl":
            openssl(port)
        case "grpc" | "grpc-unavailable" | "grpc-sick":
            grpc_server(port, fault)
        case "single" | "alternates" | "only-name" | "path":
            http(port, fault)
        case _:
            accept(port, script(fault))


if __name__ == "__main__":
    main()
