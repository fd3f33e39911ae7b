"""Servers outside of the mesh for the tests of Externals, and certificates of an authority of our own."""

import http.server
import json
import socket
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager

HOST = "host.tsunagu.internal"


class _Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        told = {"name": self.server.name, "host": self.headers["host"], "tls": isinstance(self.request, ssl.SSLSocket)}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class _Banner(socketserver.BaseRequestHandler):
    """Speaks first, as databases and mail servers do, and repeats what it is told."""

    def handle(self):
        self.request.sendall(f"{self.server.name}\n".encode())
        while piece := self.request.recv(4096):
            self.request.sendall(piece)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
    context = None

    def get_request(self):
        taken, address = super().get_request()
        if self.context is not None:  # the handshake is the handler's, in its thread
            taken = self.context.wrap_socket(taken, server_side=True, do_handshake_on_connect=False)
        return taken, address

    def handle_error(self, *_):
        pass  # a handshake that the caller ends is what some tests want


@contextmanager
def serving(name, *, kind="http", host="127.0.0.1", port=0, certificate=None):
    """A server outside of the mesh, called `name`; yields its port. `certificate`: (chain, key) of one that speaks TLS."""
    handler = {"http": _Http, "banner": _Banner}[kind]
    with _Server((host, port), handler) as server:
        server.name = name
        if certificate is not None:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(*certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def refusing():
    """A port at which nobody listens, and nobody else can; yields it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class Authority:
    """A certificate authority in a folder. `file`: its certificate."""

    def __init__(self, folder):
        self._folder = folder
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=outside", "-keyout", self._key, "-out", self.file)

    @property
    def pem(self):
        return self.file.read_text()

    def sign(self, name, *, expired=False):
        """(chain, key) of a certificate for a DNS name."""
        made = self._folder / f"{name}{'-expired' if expired else ''}"
        chain, key, request, names = (made.with_name(f"{made.name}.{end}") for end in ("pem", "key", "csr", "ext"))
        names.write_text(f"subjectAltName=DNS:{name}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed = ("-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-extfile", names)
        until = ("-days", "-1" if expired else "2")
        _openssl("x509", *signed, *until, "-out", chain)
        return chain, key


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def external(name, addresses, members=""):
    listed = ", ".join(addresses)
    return f"{{kind: External, name: lab/{name}, addresses: [{listed}]{', ' + members if members else ''}}}"


def here(*ports):
    """Addresses of programs of this machine."""
    return [f"{HOST}:{port}" for port in ports]
