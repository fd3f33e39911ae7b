"""The scenarios (a) to (f) of the comparison with go-control-plane, and the cold encoding.

Rule: every server of a scenario is driven by the same client in the same run, so that their ratios mean something on a
machine that is not quiet; debounce is off everywhere; nothing is asserted of a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.xds import content
from benchmarks.xds.processes import ROOT, ours
from benchmarks.xds.rounds import Bench, Fleet, middle, over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is."""

    services: int = 1000
    streams: int = 1000
    few: int = 10  # names of a stream that asks for few
    rounds: int = 5
    churn_seconds: float = 30.0
    churn_rate: float = 100.0
    growth: tuple[int, ...] = (100, 1000, 10_000)
    growth_rounds: int = 21  # a Put each; more than elsewhere, for they are short


QUICK = Size(100, 50, 5, 2, 2.0, 50.0, (20, 200), 3)


class Comparison:
    """All scenarios over one set of resources."""

    def __init__(self, size: Size, folder: Path) -> None:
        self._size = size
        self._resources = content.resources(size.services)
        self._path = folder / "resources.jsonl"
        content.write(self._path, self._resources)
        self._names = [content.name(number) for number in range(size.services)]
        self._hot = self._names[size.services // 2]

    def everything(self, variant: str) -> Fleet:
        """Proxies that ask for all services, as Envoy does: clusters by wildcard, endpoints by name."""
        return Fleet(self._size.streams, variant, [self._names], wildcard=self._size.services)

    def in_revisions(self, variant: str) -> Fleet:
        """The same of proxies that have a cluster of their own besides."""
        return Fleet(self._size.streams, variant, [self._names], wildcard=self._size.services + 1)

    def few(self, variant: str, extensions: int = 0) -> Fleet:
        """Proxies that ask for few names each; the one that changes is among them."""
        sets = few_names(self._names, self._hot, self._size)
        return Fleet(self._size.streams, variant, sets, extensions=extensions)

    def pushes(self, kind: str, fleet: Fleet) -> dict[str, Any]:
        """Connect several times (c), weigh (e), then change one endpoint several times (a, b)."""
        with over(kind, self._path, fleet.streams) as bench:
            bench.server.ask("settle")
            empty = bench.memory()
            cold = [bench.connect(fleet)]
            held = bench.memory()
            for _ in range(self._size.rounds - 1):
                bench.disconnect()
                cold.append(bench.connect(fleet))
            pushes = [bench.push(name=self._hot) for _ in range(self._size.rounds + 1)][1:]
        per_stream = {name: (held[name] - empty[name]) / fleet.streams for name in held}
        return {"cold": middle(cold), "push": middle(pushes), "bytes_per_stream": per_stream}

    def churn(self, kind: str, streams: int) -> dict[str, Any]:
        """(d) A change after the other, whether or not the proxies keep up."""
        fleet = Fleet(streams, "delta", [self._names], wildcard=self._size.services)
        with over(kind, self._path, streams) as bench:
            bench.connect(fleet)
            return bench.churn(self._size.churn_rate, self._size.churn_seconds)

    def weight(self, kind: str, folder: Path) -> float:
        """(e) Bytes of memory for each resource: what a tenth of them weighs less."""
        part = folder / "part.jsonl"
        few = [one for one in self._resources if one.name < content.name(self._size.services // 10)]
        content.write(part, few)
        return (self._resident(kind, self._path) - self._resident(kind, part)) / (len(self._resources) - len(few))

    def _resident(self, kind: str, path: Path) -> int:
        """Of a server that has sent everything once."""
        names = [line["name"] for line in map(json.loads, path.read_text().splitlines()) if line["type"] == "EDS"]
        with over(kind, path, 1) as bench:
            bench.connect(Fleet(1, "delta", [names], wildcard=len(names)))
            bench.disconnect()
            return bench.memory()["settled"]


def few_names(names: Sequence[str], hot: str, size: Size) -> list[list[str]]:
    """For each stream other names, and the one that changes."""
    others = [name for name in names if name != hot]
    step = size.few - 1
    return [
        [hot, *(others[(stream * step + at) % len(others)] for at in range(step))] for stream in range(size.streams)
    ]


def growth(size: Size) -> dict[str, Any]:
    """(f) From a Put over the registry's API to the last ACK, with ever more services and the same names per stream."""
    return {str(services): _grown(services, size) for services in size.growth}


def _grown(services: int, size: Size) -> dict[str, Any]:
    names = [content.name(number) for number in range(services)]
    hot = services // 2
    with Bench(ours("benchmarks.xds.mesh")) as bench:
        bench.server.ask("load", services=services)
        bench.address = bench.server.ask("serve")["address"]
        bench.connect(Fleet(size.streams, "delta", few_names(names, names[hot], size)))
        pushes = [bench.push(number=hot) for _ in range(size.growth_rounds + 1)][1:]
        return {**middle(pushes), "rss": bench.memory()["as_is"]}


def encoding(services: int) -> dict[str, Any]:
    """A cold namespace, encoded in a process of its own."""
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.cold", str(services)], cwd=ROOT, check=True, capture_output=True
    ).stdout
    figures: dict[str, Any] = json.loads(output)
    return figures
