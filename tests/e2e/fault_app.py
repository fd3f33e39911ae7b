"""An app with a fault, for the tests of `tsunagu why`: python fault_app.py FAULT PORT [ARGUMENT].

ok         answers; /status/N with that status, /slow/SECONDS after that time, /sick and /well switch all other answers to 503
           and back, /leave stops listening, /nowhere is 404
hang       accepts and never answers            close, reset     ends a connection as soon as something came
status N   answers everything with N            own-address      listens at the task's own address alone
elsewhere  listens at ARGUMENT, not at PORT     silent           listens nowhere
http2      answers as an HTTP/2 server          tls, smtp        answers as a server of that protocol
crash      writes a line and ends with code 3
"""

import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
GREETINGS = {
    "http2": SETTINGS,
    "tls": b"\x15\x03\x01\x00\x02\x02\x46\x00\x00\x00",
    "smtp": b"500 unrecognized command\r\n",
}


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sick = False

    def do_GET(self):
        _, word, *rest = (*self.path.partition("?")[0].split("/"), "")
        status = 503 if App.sick else 200
        match word:
            case "status":
                status = int(rest[0])
            case "slow":
                time.sleep(float(rest[0]))
            case "sick" | "well":
                App.sick = word == "sick"
                status = 200
            case "nowhere":
                status = 404
            case "leave":
                threading.Thread(target=self.server.leave).start()
        self.answer(status)

    def answer(self, status):
        body = f"the app says {status}\n".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def leave(self):
        self.shutdown()
        self.server_close()


def http(port, address=""):
    Server((address, port), App).serve_forever()
    threading.Event().wait()


def accept(port, serve):
    with socket.create_server(("", port)) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def close(connection):
    with connection:
        connection.recv(9999)


def close_at_once(connection):
    connection.close()


def reset(connection):
    connection.recv(9)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def greets(greeting):
    def serve(connection):
        with connection:
            connection.recv(9)
            connection.sendall(greeting)
            connection.recv(9999)

    return serve


def main():
    fault, port, *more = sys.argv[1:]
    port = int(port)
    match fault:
        case "ok":
            http(port)
        case "status":
            App.do_GET = App.do_POST = lambda self: self.answer(int(more[0]))
            http(port)
        case "own-address":
            http(port, socket.gethostbyname(socket.gethostname()))
        case "elsewhere":
            http(int(more[0]))
        case "hang":
            accept(port, lambda connection: connection.recv(9999) and threading.Event().wait())
        case "close" | "close-at-once" | "reset":
            accept(port, {"close": close, "close-at-once": close_at_once, "reset": reset}[fault])
        case "silent":
            threading.Event().wait()
        case "crash":
            print("cannot open the ledger", flush=True)
            sys.exit(3)
        case _:
            accept(port, greets(GREETINGS[fault]))


if __name__ == "__main__":
    main()
