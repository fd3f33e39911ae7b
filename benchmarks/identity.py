"""What mutual TLS costs a call: ports that take TLS alone beside ports without, of the same app, through the same two Envoys.

Each protocol has three ports in one task: two without TLS, whose difference says what is chance, and one whose service has `tls`, which is
strict by itself. So the arms share both Envoys, and take turns in slices without a change of any mode between them. Rule: that
the figures are those of TLS is counted, not assumed: each connection between the Envoys had a handshake in one arm, and none in the others.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import report
from benchmarks.datapath import HOPS, PATIENCE, SECONDS, Arm, Load, measured, told
from benchmarks.xds.processes import build
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

SLICES, QUICK_SLICES = 12, 2
OFF, AGAIN, STRICT = "off", "off-again", "strict"
MODES = (OFF, AGAIN, STRICT)
#: Protocol -> the port of the first mode's app; those of the others follow.
PROTOCOLS = {"http": 8080, "tcp": 7000}
#: What is measured of which protocol. New connections are tcp's: with http the Envoys keep theirs, whatever the client does.
LOADS = {
    "http, 1 connection": ("http", Load(1)),
    "http, 16 connections": ("http", Load(16)),
    "tcp, 1 connection": ("tcp", Load(1)),
    "tcp, new connections": ("tcp", Load(1, anew=True)),
}


class NotWhatItSays(RuntimeError):
    """An arm's connections had TLS where it has none, or none where it has TLS."""


@dataclass(frozen=True)
class Connections:
    """Of one arm, between the Envoys since they started: the caller's connections, handshakes on them, sessions taken up again."""

    opened: int
    handshakes: int
    resumed: int


def run(slices: int = SLICES) -> dict[str, Any]:
    """Latency and both Envoys' CPU with mutual TLS and without, in turns: http at 1 and 16 connections, tcp, new connections."""
    build()
    figures: dict[str, Any] = {"slices": slices, "seconds": SECONDS}
    with _mesh() as mesh:
        processes = mesh.processes()
        envoys = tuple(processes.envoys[task_id(mesh.task(task))].pid for task in ("caller", "callee"))
        for name, (protocol, load) in LOADS.items():
            report.line(name, "p50, p99, CPU per request; ratios to the same slice's first arm")
            arms = [Arm(mode, f"{_name(protocol, mode)}:80", envoys) for mode in MODES]
            figures[name] = told(measured(mesh, arms, load, slices), OFF)
        figures["between the Envoys"] = {protocol: _counted(mesh, protocol) for protocol in PROTOCOLS}
    return figures


# -- what the Envoys counted -------------------------------------------------------------------------------------------


def _counted(mesh: Mesh, protocol: str) -> dict[str, dict[str, int]]:
    """What became of the connections of each arm. Raises NotWhatItSays where that is not what the arm claims."""
    found = {mode: _connections(mesh, _name(protocol, mode)) for mode in MODES}
    for mode, seen in found.items():
        if seen.opened == 0 or seen.handshakes != (seen.opened if mode == STRICT else 0):
            raise NotWhatItSays(f"{protocol}, {mode}: {seen}")
        report.line(
            f"{protocol}, {mode}: between the Envoys", ", ".join(f"{n} {what}" for what, n in asdict(seen).items())
        )
    return {mode: asdict(seen) for mode, seen in found.items()}


def _connections(mesh: Mesh, discovery_name: str) -> Connections:
    prefix = f"cluster.svc/bench/{discovery_name}."
    lines = mesh.envoy("caller", f"/stats?filter=^{prefix}").text.splitlines()
    counters = {name.removeprefix(prefix): value for name, _, value in (line.partition(": ") for line in lines)}
    names = ("upstream_cx_total", "ssl.handshake", "ssl.session_reused")
    return Connections(*(int(counters.get(name, 0)) for name in names))


# -- the mesh ----------------------------------------------------------------------------------------------------------


@contextmanager
def _mesh() -> Iterator[Mesh]:
    """A mesh with a task that calls, and one with an app that listens at the ports of all arms."""
    with Mesh() as mesh:
        mesh.apply(text="\n---\n".join(map(json.dumps, _manifests())))
        mesh.wait_steady(PATIENCE)
        mesh.wait_converged()
        yield mesh


def _manifests() -> list[dict[str, Any]]:
    return [
        {"kind": "Namespace", "name": "bench"},
        *_service("caller", ["sleep", "infinity"], [], []),
        *_service(
            "callee", [str(HOPS), "serve", *(str(port["containerPort"]) for port in _ports())], _ports(), _offers()
        ),
    ]


def _ports() -> list[dict[str, Any]]:
    return [
        {"name": _name(protocol, mode), "containerPort": first + number}
        | ({"appProtocol": protocol} if protocol != "tcp" else {})
        for protocol, first in PROTOCOLS.items()
        for number, mode in enumerate(MODES)
    ]


def _offers() -> list[dict[str, Any]]:
    """The members of `services` in serviceConnectConfiguration."""
    return [
        {"portName": (name := _name(protocol, mode)), "clientAliases": [{"port": 80, "dnsName": name}]}
        | ({"tls": {"issuerCertificateAuthority": {}}} if mode == STRICT else {})
        for protocol in PROTOCOLS
        for mode in MODES
    ]


def _name(protocol: str, mode: str) -> str:
    return f"{protocol}-{mode}"


def _service(
    name: str, command: list[str], ports: list[dict[str, Any]], offers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    container = {"name": "app", "image": "hops", "command": command, "portMappings": ports}
    definition = {"family": name, "networkMode": "awsvpc", "containerDefinitions": [container]}
    connect = {"enabled": True, "namespace": "bench", "services": offers}
    service = {"serviceName": name, "taskDefinition": name, "desiredCount": 1, "serviceConnectConfiguration": connect}
    return [{"kind": "TaskDefinition", **definition}, {"kind": "Service", **service}]
