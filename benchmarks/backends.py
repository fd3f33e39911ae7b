"""What a change costs when each service has said which ten names it calls, beside services that see all of the namespace.

Two meshes of 50 services with a real Envoy each stand at once, and changes are made in one and the other by turns: so both
are measured on the machine as it is at that time.
"""

import time
from collections.abc import Iterator
from typing import Any

from benchmarks import fleet, report
from tsunagu.testing import Mesh

SERVICES = 50
BACKENDS = 10
ROUNDS = 6
CHANGES = 40  # of a round in one mesh
SETTLE_SECONDS = 5
NAMES = ("all names", "ten backends")


def run() -> dict[str, Any]:
    """50 real Envoys: Put's return to the last ACK, and CPU per change of serve and of the Envoys, both ways in one run."""
    with Mesh() as everything, Mesh() as ten:
        meshes = dict(zip(NAMES, (everything, ten), strict=True))
        for name, mesh in meshes.items():
            mesh.apply(text=fleet.NAMESPACE + "".join(_services(0 if mesh is everything else BACKENDS)))
            mesh.wait_steady(300)
            report.line(f"{SERVICES} tasks, {name}", "steady")
        time.sleep(SETTLE_SECONDS)
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        used = {name: dict.fromkeys(("serve", "envoys"), 0.0) for name in NAMES}
        for _ in range(ROUNDS):
            for name, mesh in meshes.items():
                _round(mesh, seconds[name], used[name])
    figures = {name: _figures(seconds[name], used[name]) for name in NAMES}
    for name in NAMES:
        _tell(name, figures[name])
    return {"services": SERVICES, "backends": BACKENDS, **figures}


def _services(backends: int) -> Iterator[str]:
    for number in range(SERVICES):
        called = [f"service-{(number + step) % SERVICES:02}" for step in range(1, backends + 1)]
        yield fleet.service(number, 1, called)


def _round(mesh: Mesh, seconds: list[float], used: dict[str, float]) -> None:
    """Take one endpoint out of its assignment and put it back, again and again."""
    names = [task.meta.name for task in mesh.tasks()]
    groups = fleet.processes_of(mesh)
    before = fleet.cpu(groups)
    for number in range(CHANGES):
        status = ("ACTIVATING", "RUNNING")[number % 2]
        seconds.append(fleet.change(mesh, names[number // 2 % len(names)], status)[2])
    after = fleet.cpu(groups)
    for name in used:
        used[name] += after[name] - before[name]


def _figures(seconds: list[float], used: dict[str, float]) -> dict[str, Any]:
    changes = ROUNDS * CHANGES
    return {
        "put_to_last_ack": report.spread(seconds),
        "cpu_seconds_per_change": {name: spent / changes for name, spent in used.items()},
    }


def _tell(name: str, figures: dict[str, Any]) -> None:
    cost = figures["cpu_seconds_per_change"]
    report.line(f"{name}: Put's return -> last ACK", report.milliseconds(figures["put_to_last_ack"]))
    report.line(f"{name}: CPU per change", ", ".join(f"{one} {spent * 1000:.1f} ms" for one, spent in cost.items()))
