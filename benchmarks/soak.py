"""What has to be shown many times: a shop under 200 requests/s whose node agent hangs, crashes, or dies at any moment.

Rule: a scenario counts and asserts nothing of time. `failed`: requests without a good answer; `wrong`: what ended, or did not
end, otherwise than it was asked to. Each scenario has a bound of rounds and, in each, of time. The small forms are in
tests/e2e/test_lost_agent.py.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from tsunagu.model.ids import task_id
from tsunagu.testing import Load, Mesh, Plan
from tsunagu.v1 import objects_pb2

SHOP = Path(__file__).parents[1] / "examples" / "01-shop" / "shop.yaml"
RATE = 200
HUNG_SECONDS = 60
CRASHES = 10
MOMENTS = 40
PATIENCE = 90.0  # s; for what takes one or two
LONGEST = 2.5  # s from the begin of a change until the kill
SEED = 20
ASKED = {"ServiceSchedulerInitiated", "UserInitiated"}
"""Stop codes of tasks that ended because somebody wanted it; here nothing else ends any."""


def run() -> dict[str, Any]:
    """A node agent that hangs for a minute, crashes ten times in a row, is killed at 40 random moments: failed, wrong ends."""
    return {name: scenario() for name, scenario in SCENARIOS.items()}


@dataclass
class Soak:
    """A mesh, the load on it, and what went wrong."""

    mesh: Mesh
    load: Load
    wrong: list[str] = field(default_factory=list)

    @property
    def node(self) -> objects_pb2.Node:
        (node,) = self.mesh.objects("Node")
        return node.node

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the agent proper; the process outside of the sandbox is its parent."""
        os.kill(self.node.pid, number)

    def another_agent(self, than: int) -> None:
        self.mesh.wait_until(lambda: self._ready_but(than), PATIENCE, "another node agent that is READY")

    def _ready_but(self, pid: int) -> bool:
        node = self.node
        return node.pid != pid and node.state == "READY"

    def steady(self, what: str) -> None:
        """Wait until everything is as it should be; what is not in time is wrong."""
        try:
            self.mesh.wait_steady(PATIENCE)
        except Exception as error:  # noqa: BLE001 - a soak goes on, and tells
            self.wrong.append(f"{what}: {error}")

    def standing(self) -> set[tuple[str, int]]:
        """Each task's init, by pid."""
        return {(task, init.pid) for task, init in self.mesh.processes().inits.items()}

    def ends(self, what: str) -> None:
        """Note every task that ended for another reason than that somebody asked for it."""
        for task in self.mesh.tasks(stopped=True):
            status = task.task.status
            if status.last_status == "STOPPED" and status.stop_code not in ASKED:
                line = f"{what}: {task_id(task)} ended by {status.stop_code}: {status.stopped_reason}"
                if line.partition(": ")[2] not in {known.partition(": ")[2] for known in self.wrong}:
                    self.wrong.append(line)


@contextmanager
def soaked() -> Iterator[Soak]:
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        with mesh.load("http://web/", Plan(rps=RATE, connections=RATE, seconds=3600)) as load:
            yield Soak(mesh, load)


def hung() -> dict[str, Any]:
    """The agent is stopped (SIGSTOP) for a minute; `up` has long started another when it would go on."""
    with soaked() as soak:
        before, hung = soak.standing(), soak.node.pid
        soak.kill_agent(signal.SIGSTOP)
        began = time.monotonic()
        soak.another_agent(hung)
        healed = time.monotonic() - began
        soak.load.wait_requests(int(RATE * max(0.0, HUNG_SECONDS - healed)) or 1, timeout=HUNG_SECONDS + PATIENCE)
        return told("hung", soak, before, healed_seconds=healed)


def crashing() -> dict[str, Any]:
    """The agent is killed ten times in a row, each time before it has been there for a second."""
    with soaked() as soak:
        before = soak.standing()
        for _ in range(CRASHES):
            pid = soak.node.pid
            soak.kill_agent()
            soak.mesh.wait_until(lambda pid=pid: soak.node.pid != pid, PATIENCE, "another node agent")
        soak.load.wait_requests(RATE)
        return told("crashing", soak, before)


def moments() -> dict[str, Any]:
    """The agent is killed at 40 random moments of roll-out, drain, scale and apply."""
    chance = random.Random(SEED)
    with soaked() as soak:
        for number in range(MOMENTS):
            name, change = list(CHANGES.items())[number % len(CHANGES)]
            pid, wait = soak.node.pid, chance.uniform(0, LONGEST)
            change(soak.mesh, number)
            time.sleep(wait)
            soak.kill_agent()
            soak.another_agent(pid)
            what = f"round {number}, {name}, {wait:.2f} s"
            soak.steady(what)
            soak.ends(what)
            report.line(what, f"{soak.load.report().failed} failed, {len(soak.wrong)} wrong so far")
        return told("moments", soak)


def roll_out(mesh: Mesh, number: int) -> None:
    """A new revision of `orders` replaces its tasks."""
    mesh.apply(str(_shop(mesh, orders=number + 2)))


def drain(mesh: Mesh, number: int) -> None:
    """A task is stopped by hand, and replaced."""
    mesh.stop(task_id(min(_running(mesh, "orders"), key=lambda task: task.meta.name)), f"round {number}")


def scale(mesh: Mesh, number: int) -> None:
    """More tasks, or fewer again."""
    mesh.scale("inventory", 5 if number % 8 == 2 else 3)


def apply(mesh: Mesh, number: int) -> None:
    """Two services change at once."""
    mesh.apply(str(_shop(mesh, orders=number + 2, inventory=number + 2)))


CHANGES: dict[str, Callable[[Mesh, int], None]] = {"roll-out": roll_out, "drain": drain, "scale": scale, "apply": apply}
SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {"hung": hung, "crashing": crashing, "moments": moments}


def _running(mesh: Mesh, service: str) -> list[objects_pb2.Object]:
    return [
        task
        for task in mesh.tasks(service)
        if task.task.status.last_status == "RUNNING" and task.task.spec.desired_status == "RUNNING"
    ]


def _shop(mesh: Mesh, **versions: int) -> Path:
    """The shop's manifest with other versions of some of its apps, which are what their environment says."""
    parts = []
    for part in SHOP.read_text().split("\n---\n"):
        text = part.replace("workingDirectory: apps", f"workingDirectory: {SHOP.parent / 'apps'}")
        for family, version in versions.items():
            if f"\nfamily: {family}\n" in f"\n{text}\n":
                text = text.replace('VERSION, value: "1"', f'VERSION, value: "{version}"')
        parts.append(text)
    file = mesh.folder / "shop.yaml"
    file.write_text("\n---\n".join(parts))
    return file


def told(name: str, soak: Soak, before: set[tuple[str, int]] | None = None, **more: float) -> dict[str, Any]:
    """The figures of a scenario, printed as well. `before`: the inits that had to stay."""
    if before is not None:
        soak.steady(name)
        soak.ends(name)
        if before != (now := soak.standing()):
            soak.wrong.append(f"{name}: tasks were replaced: {sorted(before ^ now)}")
    seen = soak.load.stop()
    report.line(name, f"{seen}; {len(soak.wrong)} wrong ends")
    for line in (*soak.wrong, *([seen.first_failure] if seen.failed else [])):
        report.line("", line)
    return {
        "requests": seen.requests,
        "failed": seen.failed,
        "failures": dict(seen.failures),
        "wrong": soak.wrong,
        **more,
    }
