"""A mesh of 50 tasks: how long a change takes to every Envoy, and what serve and node cost."""

import time
from typing import Any

import psutil

from benchmarks import report
from controlplane.testing import Mesh

SERVICES = 20
TASKS = 50
CHANGES = 200
WATCHED_SECONDS = 10

APP = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(86400)"


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
        figures["put_to_last_ack"] = _changes(mesh)
        report.line(
            f"Put's return -> last of {TASKS} ACKs, {CHANGES} changes", report.milliseconds(figures["put_to_last_ack"])
        )
        figures["at_50_tasks"] = _cost(mesh, f"{TASKS} tasks")
    return figures


def _manifests() -> str:
    counts = [TASKS // SERVICES + (number < TASKS % SERVICES) for number in range(SERVICES)]
    return "kind: Namespace\nname: bench\n" + "".join(_service(number, count) for number, count in enumerate(counts))


def _service(number: int, count: int) -> str:
    name = f"service-{number:02}"
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
"""


def _changes(mesh: Mesh) -> dict[str, float]:
    """Take one endpoint out of its assignment and put it back, again and again: seconds from Put to the last ACK."""
    names = [task.meta.name for task in mesh.tasks()]
    seconds = []
    for number in range(CHANGES):
        name, status = names[number // 2 % len(names)], ("ACTIVATING", "RUNNING")[number % 2]

        def change(obj: Any, status: str = status) -> None:
            obj.task.status.last_status = status

        revision = mesh.apis.update("Task", name, change)
        put = time.monotonic()
        mesh.wait_converged(revision=revision)
        seconds.append(time.monotonic() - put)
    return report.spread(seconds)


def _cost(mesh: Mesh, when: str) -> dict[str, dict[str, float]]:
    """Of serve and node, over some seconds in which nothing changes: share of a core, and memory."""
    found = mesh.processes()
    watched = {name: psutil.Process(getattr(found, name).pid) for name in ("serve", "node")}
    before = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
    time.sleep(WATCHED_SECONDS)
    cost = {}
    for name, process in watched.items():
        used = sum(process.cpu_times()[:2]) - before[name]
        memory = process.memory_full_info()
        cost[name] = {
            "cpu_percent": 100 * used / WATCHED_SECONDS,
            "rss_mib": memory.rss / 2**20,
            "uss_mib": memory.uss / 2**20,
        }
        report.line(
            f"{name}, {when}",
            "{cpu_percent:.1f} % of a core, RSS {rss_mib:.0f} MiB, private {uss_mib:.0f} MiB".format(**cost[name]),
        )
    return cost
