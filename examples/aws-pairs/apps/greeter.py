"""Stands in for a gRPC service, with nothing but sockets: HTTP/2 without TLS, the same greeting to every call.

It answers whatever it is asked, so it need not decode header blocks, and its own use no table (RFC 7541, 6.2.2).
"""

import argparse
import os
import signal
import socketserver
import struct
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(*pairs: tuple[str, str]) -> bytes:
    """A header block of literals without indexing; every text is shorter than 127 bytes."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in pairs)


def text(value: str) -> bytes:
    return bytes([len(value.encode())]) + value.encode()


def reply(message: str) -> bytes:
    """A gRPC message that holds `string message = 1`."""
    body = b"\x0a" + text(message)
    return b"\x00" + struct.pack(">I", len(body)) + body


class Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.rfile.read(len(PREFACE)) != PREFACE:
            return
        self.wfile.write(frame(SETTINGS, 0, 0))
        while head := self.rfile.read(9):
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            if not self.take(kind, flags, stream & 0x7FFFFFFF, self.rfile.read(length)):
                return

    def take(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        """Answers one frame; False ends the connection."""
        if kind == SETTINGS and not flags & ACK:
            self.wfile.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.wfile.write(frame(PING, ACK, 0, payload))
        elif kind == DATA and payload:
            grant = struct.pack(">I", len(payload))
            self.wfile.write(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, stream, grant))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.wfile.write(self.answer(stream))
        return kind != GOAWAY

    def answer(self, stream: int) -> bytes:
        start = headers((":status", "200"), ("content-type", "application/grpc"))
        message = reply(os.environ.get("GREETING", "Hello"))
        end = headers(("grpc-status", "0"))
        return (
            frame(HEADERS, END_HEADERS, stream, start)
            + frame(DATA, 0, stream, message)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, end)
        )


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", options.port), Connection).serve_forever()


if __name__ == "__main__":
    main()
