"""POST /orders/ID keeps an order; GET /orders counts them. It reaches its database as db:5432, by a pool of connections.

A database that is replaced ends connections, and is not there for a moment. What that takes is here, and nothing of it is about a
mesh: the pool looks at a connection before it hands it out; whoever waits for one waits up to `PATIENCE`; and a transaction whose
connection broke is done again, which is safe because the order's ID makes it the same order.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

PATIENCE = 13.0  # s; the mesh gives a request 15
PAUSE = 0.2  # s before a transaction is done again
TABLE = "CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, task text NOT NULL)"
KEEP = "INSERT INTO orders VALUES (%s, %s) ON CONFLICT DO NOTHING"
COUNT = "SELECT count(*) FROM orders"

logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it warns of each try to connect

DATABASE = {
    "host": "db",
    "port": 5432,
    "dbname": "postgres",
    "user": "shop",
    "password": os.environ["DB_PASSWORD"],
    "connect_timeout": 3,  # s
    "autocommit": True,
}
POOL = ConnectionPool(kwargs=DATABASE, min_size=2, max_size=8, check=ConnectionPool.check_connection, open=False)


def ask(statement, *values):
    """The rows of one statement, which may be done more than once."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with POOL.connection(timeout=max(0.1, end - time.monotonic())) as connection:
                found = connection.execute(statement, values)
                return found.fetchall() if found.description else []
        except PoolTimeout:
            raise
        except psycopg.OperationalError:
            if time.monotonic() + PAUSE > end:
                raise
            time.sleep(PAUSE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 330  # longer than the 5 minutes after which Envoy ends an idle connection
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        _, kind, order = self.path.split("/")
        self.answer(lambda: ask(KEEP, order, socket.gethostname()) or {"kept": order}, known=kind == "orders")

    def do_GET(self):
        self.answer(lambda: {"orders": ask(COUNT)[0][0], "task": socket.gethostname()}, known=self.path == "/orders")

    def answer(self, work, known):
        try:
            status, said = (200, work()) if known else (404, {"error": f"no {self.path} here"})
        except (psycopg.Error, PoolTimeout) as error:
            status, said = 503, {"error": f"{type(error).__name__}: {error}"}
        body = (json.dumps(said) + "\n").encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def main():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    POOL.open()
    ask(TABLE)
    server = Server(("0.0.0.0", 80), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print("listening on port 80", flush=True)
    stop.wait()
    server.shutdown()
    POOL.close()


if __name__ == "__main__":
    sys.exit(main())
