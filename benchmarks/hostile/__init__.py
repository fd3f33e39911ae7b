"""Hostile clients of a mesh's xds.sock: what serve keeps of their attacks, whether the CLI answers, how long others wait."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.xds.processes import Process, ours
from tsunagu.kit import tokens
from tsunagu.testing import Mesh
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLE_SECONDS = (
    32.0  # after an attack, until what it left is looked at: serve gives back what it has freed within thirty
)
REST_SECONDS = 5.0  # between rounds of the same attack
SOFT_NOFILE = 1024  # what a shell gives its programs
CHANGE_EVERY = 0.05  # s
ATTACKED_AT = 0.5  # s after the churn began
CLI_SECONDS = 3.0  # s; for which the attack goes on while the CLI is asked

APP = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(86400)"


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is: in full, or to see that it works."""

    tasks: int
    strangers: int
    stranger_bytes: int
    members: int
    member_bytes: int
    connections: int
    names: int
    seconds: float
    rounds: int


FULL = Size(10, 30, 50_000_000, 20, 6_000_000, 2500, 10_000, 10.0, 3)
QUICK = Size(2, 5, 50_000_000, 5, 6_000_000, 1200, 2000, 2.0, 1)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Attacks on xds.sock: memory that serve keeps, answers of the CLI, push to ACK of the others."""
    size = QUICK if quick else FULL
    with _few_descriptors(), Mesh() as mesh, ours("benchmarks.hostile.attacker") as attacker:
        mesh.apply(text=_manifests(size.tasks))
        mesh.wait_steady(120)
        scene = Scene(mesh, attacker, size)
        figures: dict[str, Any] = {"size": {name: getattr(size, name) for name in Size.__slots__}}
        figures["strangers"] = scene.requests(
            f"{size.strangers} strangers", size.strangers, size.stranger_bytes, token=""
        )
        figures["members"] = scene.requests(
            f"{size.members} with a token", size.members, size.member_bytes, scene.token
        )
        figures["connections"] = scene.connections()
        figures["names"] = scene.names()
    return figures


class Scene:
    """A mesh and its attacker, who has the token of one task; the other tasks' Envoys are those who must not suffer."""

    def __init__(self, mesh: Mesh, attacker: Process, size: Size) -> None:
        self._mesh = mesh
        self._attacker = attacker
        self._size = size
        names = sorted(task.meta.name for task in mesh.tasks())
        self._own, self._others = names[0], names[1:]
        self.token = tokens.mint(tokens.load_key(mesh.home.key), self._own)
        self._pid = mesh.processes().named("serve").pid
        self._moves = 0

    def requests(self, name: str, count: int, size: int, token: str) -> dict[str, Any]:
        before = self._memory()
        ends = self._attack("requests", count=count, bytes=size, token=token)
        cli = self._cli()
        figures = {**ends, "cli_seconds": cli, "kept_mib": self._kept(before), "peak_mib": self._peak() - before}
        report.line(f"{name} of {size / 1e6:.0f} MB", f"{figures['ends']}, CLI {cli:.2f} s, {_kept(figures)}")
        return figures

    def connections(self) -> dict[str, Any]:
        """Connections without streams."""
        before = self._memory()
        made = self._attack("connect", count=self._size.connections)
        cli = self._cli()
        begun = time.monotonic()
        while left := self._attacker.ask("open")["open"]:
            if time.monotonic() - begun > 60:
                break
            time.sleep(0.2)
        figures = {**made, "cli_seconds": cli, "left": left, "closed_after": time.monotonic() - begun}
        self._attacker.ask("disconnect")
        figures["kept_mib"] = self._kept(before)
        words = (
            f"CLI {cli:.2f} s, {left} left after {figures['closed_after']:.0f} s, kept {figures['kept_mib']:.0f} MiB"
        )
        report.line(f"{self._size.connections} idle connections, nofile {SOFT_NOFILE}", words)
        return figures

    def names(self) -> dict[str, Any]:
        """New names without end, while others are pushed changes. Calm rounds before, between and after: their spread is
        that of the machine.
        """
        before = self._memory()
        calm, attacked, outcomes, cli = [self._pushes(self._size.seconds)], [], [], []
        for _ in range(self._size.rounds):
            seconds = self._size.seconds + ATTACKED_AT + CLI_SECONDS
            attack = {"streams": 3, "names": self._size.names, "every": 0.2, "seconds": seconds}
            self._attack("churn", token=self.token, **attack)
            time.sleep(ATTACKED_AT)
            attacked.append(self._pushes(self._size.seconds - 1))
            cli.append(self._cli())
            outcomes.append(self._attacker.ask("churned"))
            time.sleep(REST_SECONDS)
            calm.append(self._pushes(self._size.seconds))
        figures = {"rounds": outcomes, "cli_seconds": cli, "kept_mib": self._kept(before)}
        figures |= {"peak_mib": self._peak() - before}
        for name, rounds in (("calm", calm), ("attacked", attacked)):
            spreads = [report.spread(one) for one in rounds]
            figures[name] = {"rounds": spreads, **report.spread([one for each in rounds for one in each])}
            shown = ", ".join(f"{one['p99'] * 1000:.0f}" for one in spreads)
            report.line(f"push to last ACK, {name}", f"{report.milliseconds(figures[name])}; p99 of rounds {shown} ms")
        words = f"{outcomes[0]}, CLI {max(cli):.2f} s, {_kept(figures)}"
        report.line(f"3 x {self._size.names} names every 0.2 s", words)
        return figures

    def _attack(self, do: str, **fields: Any) -> dict[str, Any]:
        return self._attacker.ask(do, path=str(self._mesh.home.xds_socket), node=self._own, **fields)

    def _pushes(self, seconds: float) -> list[float]:
        """Seconds from Put's return to the last ACK of the other tasks' Envoys, of changes one after the other."""
        over = time.monotonic() + seconds
        known = max((event.sequence for event in self._events(0)), default=0)
        puts: dict[int, float] = {}
        while time.monotonic() < over:
            puts[self._change()] = time.time()
            time.sleep(CHANGE_EVERY)
        time.sleep(1.0)
        return self._last_acks(self._events(known), puts)

    def _change(self) -> int:
        self._moves += 1
        name, status = self._others[self._moves // 2 % len(self._others)], ("ACTIVATING", "RUNNING")[self._moves % 2]

        def change(obj: Any) -> None:
            obj.task.status.last_status = status

        return self._mesh.apis.update("Task", name, change)

    def _events(self, after: int) -> list[Any]:
        return list(self._mesh.apis.timeline(inspector_pb2.TimelineRequest(after=after, type="EDS")))

    def _last_acks(self, events: list[Any], puts: dict[int, float]) -> list[float]:
        caused: dict[tuple[str, str], int] = {}
        last: dict[int, float] = {}
        for event in events:
            if event.proxy not in self._others:
                continue
            answer = (event.proxy, event.nonce)
            if event.kind == "send" and event.revision in puts:
                caused[answer] = event.revision
            elif event.kind == "ack" and answer in caused:
                last[caused[answer]] = event.time.ToNanoseconds() / 1e9
        return [at - puts[revision] for revision, at in last.items()]

    def _cli(self) -> float:
        """Seconds that `tsunagu proxies` takes; infinity when it fails."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "tsunagu.cli", "proxies", "--home", str(self._mesh.home.root)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.monotonic() - begun if done.returncode == 0 else float("inf")

    def _kept(self, before: float) -> float:
        time.sleep(SETTLE_SECONDS)
        return self._memory() - before

    def _memory(self) -> float:
        return self._status("VmRSS")

    def _peak(self) -> float:
        return self._status("VmHWM")

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


@contextmanager
def _few_descriptors() -> Iterator[None]:
    """The mesh's processes begin with the soft limit that a shell gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_NOFILE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _kept(figures: dict[str, Any]) -> str:
    return f"kept {figures['kept_mib']:.0f} MiB, peak {figures['peak_mib']:.0f} MiB"


def _manifests(tasks: int) -> str:
    return f"""kind: Namespace
name: hostile
---
kind: TaskDefinition
family: app
networkMode: awsvpc
memory: "64"
containerDefinitions:
- name: app
  image: bench
  command: [python3, -S, -c, "{APP}"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
---
kind: Service
serviceName: app
taskDefinition: app
desiredCount: {tasks}
serviceConnectConfiguration:
  enabled: true
  namespace: hostile
  services: [{{portName: http, discoveryName: app, clientAliases: [{{port: 80, dnsName: app}}]}}]
"""
