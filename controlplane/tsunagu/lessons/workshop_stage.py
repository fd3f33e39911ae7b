"""A stage for a control plane of one's own: a program of the learner's, an Envoy on it, and two servers behind that.

The one rule: the program is run as it is, in a copy of its folder in which only the ports are others, so that many can work
on one machine.
"""

from __future__ import annotations

import re
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsunagu.lessons import ending, envoy_process
from tsunagu.lessons.envoy_process import wait_for
from tsunagu.lessons.shown import LessonFailed, Shown
from tsunagu.testing import call
from tsunagu.testing.ports import free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import ExitStack

    from tsunagu.kit.http import Response
    from tsunagu.testing import Load, Plan
    from tsunagu.v1.inspector_pb2 import TimelineEvent

EXERCISE = Path(__file__).with_name("exercise")
_FILES = ("edge.yaml", "envoy.yaml")
_SECONDS = 2.0
_START_SECONDS = 30.0


class NameServer:
    """Says its name to whoever connects."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, name=f"server {name}", daemon=True).start()

    @property
    def address(self) -> str:
        """As a line of the file has it."""
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    connection.sendall(self.name.encode())

    def close(self) -> None:
        """Serve nobody any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class WorkshopStage:
    """A folder with a copy of the program and its Envoy's files, and two servers, `one` and `two`."""

    invites = ""

    def __init__(self, folder: Path, program: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._program: subprocess.Popen[bytes] | None = None
        self.started_in = 0.0  # seconds that the program took to listen: how fast this machine is just now
        self._ports = {"10000": str(free_port()), "18000": str(free_port()), "19000": str(free_port())}
        self.servers = {name: NameServer(name) for name in ("one", "two")}
        for server in self.servers.values():
            stack.callback(server.close)
        shutil.copy(program, folder / "control_plane.py")
        for name in _FILES:
            beside = program.with_name(name)
            text = (beside if beside.exists() else EXERCISE / name).read_text(encoding="utf-8")
            text = re.sub("|".join(self._ports), lambda fixed: self._ports[fixed[0]], text)
            (folder / name).write_text(text, encoding="utf-8")

    def write(self, *lines: str) -> None:
        """Put lines into the file of the servers; `one` and `two` stand for their addresses."""
        words = self.words()
        text = "".join(line.replace("one", words["one"]).replace("two", words["two"]) + "\n" for line in lines)
        (self.folder / "new.txt").write_text(text, encoding="utf-8")
        (self.folder / "new.txt").replace(self.folder / "servers.txt")

    def start(self) -> None:
        """Start the program, and an Envoy once the program listens (or has ended): an Envoy that finds nobody waits longer
        and longer before it tries again. Both end with the stage.
        """
        log = self.folder / "control_plane.log"
        command = (sys.executable, "control_plane.py", "servers.txt", self._ports["18000"])
        begun = time.monotonic()
        self._program = self._stack.enter_context(envoy_process.program(self.folder, *command, log=log))
        wait_for(lambda: self._listens() or self.ended, "a control plane that listens", _START_SECONDS)
        self.started_in = time.monotonic() - begun
        self._stack.enter_context(envoy_process.running(self.folder, self.folder / "envoy.yaml"))

    @property
    def ended(self) -> bool:
        """Whether the program has been started and has ended."""
        return self._program is not None and self._program.poll() is not None

    def said_last(self) -> str:
        """The last line of words that the program has printed."""
        lines = [line.strip(" |") for line in self.output().splitlines() if any(map(str.isalnum, line))]
        return lines[-1] if lines else ""

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(self._ports["18000"])), _SECONDS):
            return True
        return False

    def output(self) -> str:
        """What the program has printed so far."""
        path = self.folder / "control_plane.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def ask(self) -> str:
        """The name of the server to which a new connection leads; empty when it leads nowhere."""
        address = ("127.0.0.1", int(self._ports["10000"]))
        with suppress(OSError), socket.create_connection(address, _SECONDS) as connection:
            connection.settimeout(_SECONDS)
            return connection.recv(100).decode()
        return ""

    def asked(self, count: int = 20) -> Counter[str]:
        """How often each server answered, of so many new connections."""
        return Counter(self.ask() for _ in range(count))

    def admin(self, path: str) -> Response:
        """One request to the admin port of the Envoy. Raises CallFailed."""
        port = int(self._ports["19000"])
        return call.direct(call.Call(f"http://127.0.0.1:{port}{path}", timeout=_SECONDS), ("127.0.0.1", port))

    def words(self) -> Mapping[str, str]:
        """The addresses of the two servers, and the ports."""
        addresses = {name: server.address for name, server in self.servers.items()}
        return {**addresses, "xds": self._ports["18000"], "front": self._ports["10000"]}

    def messages(self, after: int) -> Sequence[TimelineEvent]:
        """The program prints its own messages."""
        return []

    def run(self, command: str, expected: int) -> Sequence[Shown]:
        """Nothing is run here but what the lesson's steps do."""
        raise LessonFailed(f"the workshop runs no {command!r}")

    def load(self, plan: Plan) -> Load:
        """What is served is not HTTP."""
        raise LessonFailed("the servers of the workshop speak no HTTP")


@contextmanager
def workshop(program: Path = EXERCISE / "control_plane.py") -> Iterator[WorkshopStage]:
    """A stage with a program that is not started yet."""
    with ending.folder() as (path, stack):
        yield WorkshopStage(path, program, stack)


def drained(stage: WorkshopStage, name: str) -> bool:
    """Whether the Envoy knows a server, and that it is to be drained."""
    port = stage.servers[name].port
    return any(_is_draining(host) for host in _hosts(stage) if _port_of(host) == port)


def _hosts(stage: WorkshopStage) -> list[Any]:
    clusters = stage.admin("/clusters?format=json").json()["cluster_statuses"]
    return [host for cluster in clusters if cluster["name"] == "app" for host in cluster.get("host_statuses", [])]


def _port_of(host: Any) -> int:
    return int(host["address"]["socket_address"]["port_value"])


def _is_draining(host: Any) -> bool:
    return bool(host["health_status"].get("eds_health_status") == "DRAINING")
