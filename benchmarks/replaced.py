"""What has to be shown many times of tasks that go while they are called: replaced in order, or killed.

Three services, of HTTP, gRPC and plain TCP, stand beside each other in one mesh; each is called 200 times a second through the
proxy of a gateway by a client that tries nothing again. Rule: every request is counted. Apart are told those that the client
itself did not send in time, and those that no proxy can try again: of a TCP connection that a killed task had accepted, and of
a stream that had begun.
"""

import asyncio
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from benchmarks import report
from tsunagu.model.ids import task_id
from tsunagu.testing import Load, Mesh, Plan, Report
from tsunagu.testing.load import NOT_SENT
from tsunagu.v1 import objects_pb2

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE = 200
ROUNDS, KILLS = 100, 20
STREAMS = 8  # open at any time
PATIENCE = 90.0  # s; for what takes one or two
TASKS = 3
TARGETS = {
    "http": ("inventory:80", "http://inventory/items", b""),
    "grpc": (
        "greeter:50051",
        "grpc://greeter:50051/examples.Greeter/Say",
        StringValue(value="soak").SerializeToString(),
    ),
    "tcp": ("stock:3306", "tcp://stock:3306", b"GET apples\n"),
}
SERVICES = {"http": "inventory", "grpc": "greeter", "tcp": "stock"}
LOST = "connection lost"


def replacements(rounds: int = ROUNDS) -> dict[str, Any]:
    """Rolling replacements, 100 of each, of an HTTP, a gRPC and a TCP service under 200 requests/s each without retries."""
    with called() as calls:
        for number in range(rounds):
            calls.mesh.apply(text=manifests(number + 2))
            calls.mesh.wait_steady(PATIENCE)
            if number % 10 == 9:
                report.line(f"{number + 1} replacements of each", calls.told())
        return calls.figures(replacements=rounds)


def kills(times: int = KILLS) -> dict[str, Any]:
    """SIGKILL to all processes of a task, 20 times for each protocol, under 200 requests/s of each without retries."""
    with called() as calls:
        for number in range(times):
            for service in SERVICES.values():
                _kill(calls.mesh, service, number)
            if number % 5 == 4:
                report.line(f"{number + 1} tasks of each killed", calls.told())
        return calls.figures(kills=times)


def _kill(mesh: Mesh, service: str, number: int) -> None:
    """Kill one task of a service with all that is in it, and wait until another one has taken its place."""
    before = running(mesh, service)
    mesh.kill(f"init:{task_id(before[number % len(before)])}")
    mesh.wait_until(lambda: _replaced(mesh, service, before), PATIENCE, "another task")
    mesh.wait_steady(PATIENCE)


def _replaced(mesh: Mesh, service: str, before: list[objects_pb2.Object]) -> bool:
    now = {task.meta.name for task in running(mesh, service)}
    return len(now) == TASKS and not {task.meta.name for task in before} >= now


def running(mesh: Mesh, service: str) -> list[objects_pb2.Object]:
    return [
        task
        for task in mesh.tasks(service)
        if task.task.status.last_status == "RUNNING" and task.task.spec.desired_status == "RUNNING"
    ]


@dataclass
class Calls:
    """A mesh, a load on each of its services, and streams that are opened again and again."""

    mesh: Mesh
    loads: dict[str, Load]
    streams: "Streams"

    def told(self) -> str:
        words = [f"{name} {self.judged(name, load.report())}" for name, load in self.loads.items()]
        return "; ".join([*words, f"streams {self.streams.told()}"])

    def judged(self, name: str, seen: Report) -> "Judgement":
        """A TCP connection that was lost had been accepted by a task, unless the gateway's proxy says that none did."""
        not_sent, accepted = seen.failures.get(NOT_SENT, 0), 0
        if name == "tcp":
            accepted = max(0, seen.failures.get(LOST, 0) - self._nowhere())
        return Judgement(seen.requests, seen.failed - accepted - not_sent, not_sent, accepted)

    def _nowhere(self) -> int:
        """TCP connections for which the gateway's proxy found no task: every attempt failed, or there was nobody to try."""
        gateway = next(task for task in self.mesh.tasks() if "stock" in task.task.spec.gateway)
        names = "upstream_cx_connect_attempts_exceeded|upstream_cx_none_healthy"
        stats = self.mesh.envoy(task_id(gateway), f"/stats?filter=^cluster.svc/soak/stock.({names})$").text
        found = [int(line.rpartition(": ")[2]) for line in stats.splitlines()]
        if len(found) != 2:
            raise RuntimeError(f"Envoy's counters are others than expected: {stats!r}")
        return sum(found)

    def figures(self, **more: int) -> dict[str, Any]:
        """End the loads and return what was counted."""
        ended = {name: load.stop() for name, load in self.loads.items()}
        self.streams.stop()
        judged = {name: self.judged(name, seen) for name, seen in ended.items()}
        for name, seen in ended.items():
            report.line(name, f"{judged[name]}; {seen}")
            if seen.failed:
                report.line("", seen.first_failure)
        report.line("streams", self.streams.told())
        return {
            **more,
            **{name: asdict(found) for name, found in judged.items()},
            "streams": dict(self.streams.counts),
        }


@dataclass(frozen=True)
class Judgement:
    """The requests of one load, the failures of the mesh, and those told apart."""

    requests: int
    failed: int
    not_sent: int
    accepted: int

    def __str__(self) -> str:
        apart = {"not sent in time": self.not_sent, "lost with the task that had accepted": self.accepted}
        words = ", ".join(f"{count} {what}" for what, count in apart.items() if count)
        return f"{self.failed} of {self.requests} failed" + (f" ({words})" if words else "")


@contextmanager
def called() -> Iterator[Calls]:
    with (
        Mesh(environment={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}) as mesh,
        ExitStack() as stack,
    ):
        mesh.apply(text=manifests(1))
        mesh.wait_steady(PATIENCE)
        loads = {}
        for name, (alias, url, send) in TARGETS.items():
            address = mesh.publish(alias)
            loads[name] = stack.enter_context(mesh.load(url, Plan(rps=RATE, connections=100, seconds=3600, send=send)))
            if name == "grpc":
                streams = stack.enter_context(Streams(address))
        yield Calls(mesh, loads, streams)


def manifests(version: int) -> str:
    """The shop's inventory and stock, and the greeter, three tasks each, of the given version."""
    parts = [
        *_parts("01-shop", "shop.yaml", r"inventory|stock|shop-inventory|shop-stock"),
        *_parts("04-grpc", "greeter.yaml", r"greeter"),
    ]
    text = "\n---\n".join(["kind: Namespace\nname: soak", *parts])
    text = re.sub(r"desiredCount: \d+", f"desiredCount: {TASKS}", text)
    text = re.sub(r"namespace: \w+", "namespace: soak", text)
    return text.replace('VERSION, value: "1"', f'VERSION, value: "{version}"')


def _parts(example: str, file: str, wanted: str) -> Iterator[str]:
    folder = EXAMPLES / example
    for part in (folder / file).read_text().split("\n---\n"):
        if re.search(rf"^(family|serviceName|name): ({wanted})$", part, re.MULTILINE) and "kind: Namespace" not in part:
            yield part.replace("workingDirectory: apps", f"workingDirectory: {folder / 'apps'}")


class Streams:
    """Server streams of a second each over one channel, some always open; counts how they ended. A thread of its own."""

    def __init__(self, address: str) -> None:
        self.counts: Counter[str] = Counter()
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="streams", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def told(self) -> str:
        return ", ".join(f"{count} {how}" for how, count in sorted(self.counts.items()))

    async def _main(self) -> None:
        async with grpc.aio.insecure_channel(self._address) as channel, asyncio.TaskGroup() as group:
            for number in range(STREAMS):
                group.create_task(self._again(channel), name=f"stream {number}")

    async def _again(self, channel: grpc.aio.Channel) -> None:
        count = channel.unary_stream(
            "/examples.Greeter/Count",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        while not self._stop.is_set():
            seen = 0
            try:
                async for _ in count(StringValue(value="soak"), timeout=20):
                    seen += 1
            except grpc.aio.AioRpcError as error:
                self.counts[f"{'cut in the middle' if seen else 'refused'} ({error.code().name})"] += 1
                await asyncio.sleep(0.1)
            else:
                self.counts["whole"] += 1


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {"replacements": replacements, "kills": kills}
