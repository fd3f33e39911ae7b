"""A mesh of 50 tasks: how long a change takes to every Envoy, where that time goes, and what the mesh's processes cost."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from benchmarks import report
from tsunagu.testing import Mesh
from tsunagu.testing.processes import Process
from tsunagu.v1 import inspector_pb2

SERVICES = 20
TASKS = 50
CHANGES = 200
ROUND = 50  # changes after which the timeline is read: its ring holds the events of some 80
SETTLE_SECONDS = 5  # what starting leaves to do is done by then
WATCHED_SECONDS = 10

APP = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(86400)"
NAMESPACE = "kind: Namespace\nname: bench\n"
Groups = Mapping[str, Sequence[psutil.Process]]


def run() -> dict[str, Any]:
    """50 tasks of 20 services with real Envoys: Put's return to the last ACK; CPU and RSS of serve and node."""
    figures: dict[str, Any] = {"services": SERVICES, "tasks": TASKS}
    with Mesh() as mesh:
        figures["idle"] = _cost(mesh, "no task")
        begun = time.monotonic()
        mesh.apply(text=_manifests())
        mesh.wait_steady(300)
        figures["steady_seconds"] = time.monotonic() - begun
        report.line(f"{TASKS} tasks steady after", f"{figures['steady_seconds']:.1f} s")
        figures.update(_changes(mesh))
        figures["at_50_tasks"] = _cost(mesh, f"{TASKS} tasks")
    return figures


def _manifests() -> str:
    counts = [TASKS // SERVICES + (number < TASKS % SERVICES) for number in range(SERVICES)]
    return NAMESPACE + "".join(service(number, count) for number, count in enumerate(counts))


def service(number: int, count: int, backends: Sequence[str] = ()) -> str:
    """The manifests of one service with so many tasks; `backends`: the discovery names that it calls, none: all."""
    name = f"service-{number:02}"
    settings = f"tsunagu: {{backends: [{', '.join(backends)}]}}" if backends else ""
    return f"""---
kind: TaskDefinition
family: {name}
networkMode: awsvpc
memory: "64"
containerDefinitions:
- name: app
  image: bench
  command: [python3, -S, -c, "{APP}"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
---
kind: Service
serviceName: {name}
taskDefinition: {name}
desiredCount: {count}
serviceConnectConfiguration:
  enabled: true
  namespace: bench
  services: [{{portName: http, discoveryName: {name}, clientAliases: [{{port: 80, dnsName: {name}}}]}}]
{settings}
"""


# -- changes -----------------------------------------------------------------------------------------------------------


def _changes(mesh: Mesh) -> dict[str, Any]:
    """Take one endpoint out of its assignment and put it back, again and again."""
    names = [task.meta.name for task in mesh.tasks()]
    seconds: list[float] = []
    steps: list[dict[str, float]] = []
    used: dict[str, float] = {}
    for first in range(0, CHANGES, ROUND):
        known, groups = _newest_event(mesh), processes_of(mesh)
        before = cpu(groups)
        puts = {}
        for number in range(first, first + ROUND):
            revision, at, took = change(mesh, names[number // 2 % len(names)], ("ACTIVATING", "RUNNING")[number % 2])
            puts[revision] = at
            seconds.append(took)
        for name, spent in cpu(groups).items():
            used[name] = used.get(name, 0.0) + spent - before[name]
        steps += _steps(mesh, known, puts)
    figures = {
        "put_to_last_ack": report.spread(seconds),
        "steps": {name: report.spread([step[name] for step in steps]) for name in steps[0]},
        "cpu_seconds_per_change": {name: spent / CHANGES for name, spent in used.items()},
    }
    _tell(figures)
    return figures


def change(mesh: Mesh, name: str, status: str) -> tuple[int, float, float]:
    """Its revision, when Put returned (seconds since the epoch), and the seconds from then to the last ACK."""

    def change(obj: Any) -> None:
        obj.task.status.last_status = status

    revision = mesh.apis.update("Task", name, change)
    at, put = time.time(), time.monotonic()
    mesh.wait_converged(revision=revision)
    return revision, at, time.monotonic() - put


def _newest_event(mesh: Mesh) -> int:
    return max((event.sequence for event in _events(mesh, 0)), default=0)


def _events(mesh: Mesh, after: int) -> list[Any]:
    return list(mesh.apis.timeline(inspector_pb2.TimelineRequest(after=after)))


def _steps(mesh: Mesh, known: int, puts: Mapping[int, float]) -> list[dict[str, float]]:
    """Of each change, in seconds from Put's return as serve saw it: first and last response made, first and last ACK.

    A response is made before Put returns when serve is quicker with that: then the step is below zero.
    """
    caused: dict[tuple[str, str], int] = {}
    sent: dict[int, list[float]] = {}
    acked: dict[int, list[float]] = {}
    for event in _events(mesh, known):
        at, answer = event.time.ToNanoseconds() / 1e9, (event.proxy, event.nonce)
        if event.kind == "send" and event.revision in puts:
            caused[answer] = event.revision
            sent.setdefault(event.revision, []).append(at)
        elif event.kind == "ack" and answer in caused:
            acked.setdefault(caused[answer], []).append(at)
    return [
        {
            "first_send": min(sent[revision]) - put,
            "last_send": max(sent[revision]) - put,
            "first_ack": min(acked[revision]) - put,
            "last_ack": max(acked[revision]) - put,
        }
        for revision, put in puts.items()
        if revision in sent and revision in acked
    ]


def _tell(figures: Mapping[str, Any]) -> None:
    report.line(
        f"Put's return -> last of {TASKS} ACKs, {CHANGES} changes", report.milliseconds(figures["put_to_last_ack"])
    )
    steps = figures["steps"]
    words = (f"{name.replace('_', ' ')} {steps[name]['median'] * 1000:.1f} ms" for name in steps)
    report.line("of that, after Put's return (median)", ", ".join(words))
    cost = figures["cpu_seconds_per_change"]
    report.line("CPU per change", ", ".join(f"{name} {cost[name] * 1000:.1f} ms" for name in cost))


# -- cost --------------------------------------------------------------------------------------------------------------


def processes_of(mesh: Mesh) -> Groups:
    """The mesh's processes by what they belong to. The node agent is several: its outer half, the one inside of the
    sandbox that does the work, the janitor, and the sandbox's first process.
    """
    found = mesh.processes()
    node = [one for one in found.everything if "tsunagu_node.main" in one.command]
    node += [one for one in (found.node, found.janitor, found.sandbox) if one is not None and one not in node]
    named: dict[str, list[Process | None]] = {
        "serve": [found.serve],
        "node": [*node],
        "up": [found.up],
        "inits": [*found.inits.values()],
        "envoys": [*found.envoys.values()],
    }
    return {name: [psutil.Process(one.pid) for one in members if one] for name, members in named.items() if members}


def cpu(groups: Groups) -> dict[str, float]:
    """Seconds of CPU, user and system, that each group has used so far."""
    return {name: sum(sum(one.cpu_times()[:2]) for one in members) for name, members in groups.items()}


def _cost(mesh: Mesh, when: str) -> dict[str, dict[str, float]]:
    """While nothing changes: share of a core, and memory. Of several processes the sum, in which RSS counts what they
    share once for each.
    """
    time.sleep(SETTLE_SECONDS)
    groups = processes_of(mesh)
    before = cpu(groups)
    time.sleep(WATCHED_SECONDS)
    after = cpu(groups)
    cost = {}
    for name, members in groups.items():
        memory = [one.memory_full_info() for one in members]
        cost[name] = {
            "processes": len(members),
            "cpu_percent": 100 * (after[name] - before[name]) / WATCHED_SECONDS,
            "rss_mib": sum(one.rss for one in memory) / 2**20,
            "uss_mib": sum(one.uss for one in memory) / 2**20,
        }
        words = "{cpu_percent:.1f} % of a core, RSS {rss_mib:.0f} MiB, private {uss_mib:.0f} MiB".format(**cost[name])
        report.line(f"{name} ({len(members)}), {when}", words)
    return cost
