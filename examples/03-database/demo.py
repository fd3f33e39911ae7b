"""Replaces the database, and kills it, while orders come in; counts what failed, and whether every order that was confirmed is there once.

The exit code is 0 only if none failed and none is missing.
"""

import itertools
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tsunagu.model import envfile
from tsunagu.model.manifests.formats import Source
from tsunagu.testing import Mesh

HERE = Path(__file__).parent
BEGUN = time.monotonic()
CLIENTS = 8
PAUSE = 0.05  # s between two orders of a client
ROUNDS = int(os.environ.get("ROUNDS", "3"))


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


class Clients:
    """Threads that send orders, each after its last one was answered. Nothing is sent again."""

    def __init__(self, address: str) -> None:
        self.kept: set[str] = set()
        self.failures: list[str] = []
        self.longest = 0.0
        self._address = address
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def go_on(self, mesh: Mesh) -> None:
        """Wait until orders are confirmed again."""
        enough = len(self.kept) + 10 * CLIENTS
        mesh.wait_until(lambda: len(self.kept) >= enough, 60, "orders that are confirmed again")

    def _send(self) -> None:
        while not self._stop.wait(PAUSE):
            order = f"order-{next(self._numbers)}"
            begun = time.monotonic()
            try:
                request = urllib.request.Request(f"http://{self._address}/orders/{order}", data=b"", method="POST")
                with urllib.request.urlopen(request, timeout=20):
                    self.kept.add(order)
            except urllib.error.HTTPError as error:
                self.failures.append(f"{order}: {error.code} {error.read().decode().strip()}")
            except OSError as error:
                self.failures.append(f"{order}: {error}")
            self.longest = max(self.longest, time.monotonic() - begun)


def running(mesh: Mesh) -> set[str]:
    return {task.meta.name for task in mesh.tasks("db") if task.task.status.last_status == "RUNNING"}


def another(mesh: Mesh, before: set[str]) -> None:
    mesh.wait_until(lambda: running(mesh) - before, 60, "another database task")
    mesh.wait_steady()


def replaced(mesh: Mesh, number: int) -> None:
    """Apply a new version of the task definition: the old task ends, then a new one starts on the same data."""
    before = running(mesh)
    text = (HERE / "shop.yaml").read_text().replace("workingDirectory: apps", f"workingDirectory: {HERE / 'apps'}")
    mesh.apply(text=text.replace('VERSION, value: "1"', f'VERSION, value: "{number + 2}"'))
    another(mesh, before)


def killed(mesh: Mesh, _number: int) -> None:
    """Kill everything in the database's task at once, as when a machine is lost."""
    before = running(mesh)
    mesh.kill("init:db")
    another(mesh, before)


def main() -> int:
    secrets = envfile.read_env(Source("env", (HERE / "env").read_text()))
    # Tasks find the Python that runs this: it has psycopg.
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with Mesh(HERE / "shop.yaml", secrets=secrets, environment=path, runtime="linux") as mesh:
        mesh.wait_steady()
        address = mesh.publish("orders")
        before = json.load(urllib.request.urlopen(f"http://{address}/orders", timeout=20))["orders"]
        say(f"{CLIENTS} clients send orders to {address}; each order is one transaction at db:5432")
        with Clients(address) as clients:
            for what, change in (("replaced", replaced), ("killed (SIGKILL)", killed)):
                for number in range(ROUNDS):
                    change(mesh, number)
                    clients.go_on(mesh)
                    say(
                        f"the database was {what}: {len(clients.kept)} orders confirmed, {len(clients.failures)} failed"
                    )
        there = json.load(urllib.request.urlopen(f"http://{address}/orders", timeout=20))["orders"] - before
    for failure in clients.failures[:5]:
        say(f"  {failure}")
    say(f"{len(clients.kept)} orders confirmed, {len(clients.failures)} failed, {there} in the database")
    say(f"The longest took {clients.longest:.1f} s: it waited for the database to come back")
    return 0 if not clients.failures and there == len(clients.kept) else 1


if __name__ == "__main__":
    sys.exit(main())
