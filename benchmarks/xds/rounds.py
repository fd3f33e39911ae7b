"""One server and one fleet of simulated proxies, and what can be measured of them.

Rule: one clock (CLOCK_MONOTONIC) on both sides; a time is from before the change is handed to the server's code to when
the ACK has been written by the client. CPU is the server's own, until it is quiet again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from benchmarks.xds import content
from benchmarks.xds.processes import Process, client, gcp, ours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

QUIET = 0.002  # s of CPU in a LOOK: less is nothing
LOOK = 0.1  # s
TIMEOUT = 600  # s; for what an overloaded peer may take

SERVERS: dict[str, Callable[[], Process]] = {
    "tsunagu": lambda: ours("benchmarks.xds.server"),
    "revisions": lambda: ours("benchmarks.xds.server"),
    "floor": lambda: ours("benchmarks.xds.floor"),
    "snapshot": gcp,
    "nodes": gcp,
    "linear": gcp,
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Simulated proxies: how many, and which names each asks for (stream i takes set i modulo their number)."""

    streams: int
    variant: str
    sets: Sequence[Sequence[str]]
    wildcard: int = 0  # how many clusters come by wildcard; 0: they are asked for by name
    extensions: int = 0  # entries in the node of the first request


@dataclass(slots=True)
class Bench:
    """A server under a fleet; enter it, `connect`, then `push` and the rest."""

    server: Process
    client: Process = field(default_factory=client)
    address: str = ""
    sequence: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.__exit__(kind, error, trace)
        self.server.__exit__(kind, error, trace)

    def connect(self, fleet: Fleet) -> dict[str, float]:
        """Everybody at once, until each has ACKed all that it asked for."""
        before = self.server.ask("usage")
        begun = self.client.ask(
            "connect",
            address=self.address,
            variant=fleet.variant,
            streams=fleet.streams,
            sets=fleet.sets,
            wildcard=fleet.wildcard > 0,
            clusters=fleet.wildcard,
            extensions=fleet.extensions,
        )["at"]
        return self._await(begun, before)

    def disconnect(self) -> None:
        self.client.ask("close")
        self._quiet()

    def push(self, **change: Any) -> dict[str, float]:
        """One change, until each stream has ACKed a response that brings it."""
        self.sequence += 1
        self.client.ask("arm", needle=content.needle(self.sequence))
        before = self.server.ask("usage")
        begun = self.server.ask("change", sequence=self.sequence, **change)["at"]
        return self._await(begun, before)

    def churn(self, rate: float, seconds: float) -> dict[str, float]:
        """Changes of one service after the other, until every stream has the last one."""
        first = self.sequence + 1
        self.client.ask("arm", needle=" nothing ")
        self.client.ask("track")
        before = self.server.ask("usage")
        times = self.server.ask("churn", first=first, rate=rate, seconds=seconds)["times"]
        self.sequence += len(times)
        last = self.client.ask("reached", sequence=self.sequence, timeout=TIMEOUT)
        used = self._quiet()["cpu"] - before["cpu"]
        seen = self.client.ask("latencies", first=first, times=times)
        return {
            "changes": len(times),
            "seconds": (times[-1] - times[0]) / 1e9,
            "server_cpu": used,
            "behind": (last["at"] - times[-1]) / 1e9,  # from the last change to the last stream that has it
            "in": last["in"],
            "out": last["out"],
            **{name: seen[name] for name in ("median", "p99", "most", "count")},
        }

    def memory(self) -> dict[str, int]:
        """Resident bytes: as it is, and when what is garbage was given back."""
        as_is = self.server.ask("usage")["rss"]
        self.server.ask("settle")
        return {"as_is": as_is, "settled": self.server.ask("usage")["rss"]}

    def _await(self, begun: int, before: dict[str, Any]) -> dict[str, float]:
        used_before = self.client.ask("usage")["cpu"]
        seen: dict[str, float] = self.client.ask("wait", since=begun, timeout=TIMEOUT)
        used = self._quiet()["cpu"] - before["cpu"]
        return {**seen, "server_cpu": used, "client_cpu": self.client.ask("usage")["cpu"] - used_before}

    def _quiet(self) -> dict[str, Any]:
        """Until the server uses no CPU."""
        usage = self.server.ask("usage")
        while True:
            time.sleep(LOOK)
            usage, last = self.server.ask("usage"), usage
            if usage["cpu"] - last["cpu"] < QUIET:
                return usage


def over(kind: str, path: Path, nodes: int) -> Bench:
    """A bench over the resources in a file, served by one of SERVERS."""
    bench = Bench(SERVERS[kind]())
    bench.server.ask("load", path=str(path))
    bench.address = bench.server.ask("serve", cache=kind, nodes=[f"proxy-{number}" for number in range(nodes)])[
        "address"
    ]
    return bench


def middle(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The median of each figure, and the rounds themselves."""
    return {**{name: median(one[name] for one in rounds) for name in rounds[0]}, "rounds": list(rounds)}
