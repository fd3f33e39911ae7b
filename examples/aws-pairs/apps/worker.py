"""Stands in for a worker: asks for orders every few seconds, puts what it got into the spool, tells what happened."""

import os
import signal
import sys
import threading
import urllib.request

PERIOD = 5  # seconds


def fetch(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data, timeout=5) as answer:
        return bytes(answer.read())


def round_trip() -> str:
    try:
        orders = fetch(os.environ["ORDERS_URL"])
        fetch(os.environ["SPOOL_URL"], orders)
    except OSError as error:
        return f"will try again: {error}"
    return f"spooled {len(orders)} bytes"


def main() -> None:
    if not os.environ.get("SMTP_PASSWORD"):
        sys.exit("SMTP_PASSWORD is missing")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    while not over.wait(PERIOD):
        print(round_trip(), flush=True)


if __name__ == "__main__":
    main()
