"""`python -m benchmarks.xds.table`: puts the figures of benchmarks/results/xds.json into docs/performance.md.

Rule: between the two marks stands nothing that was written by hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.report import RESULTS
from benchmarks.xds.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by benchmarks/xds/table.py -->", "<!-- end of figures -->"
NAMES = {
    "tsunagu": "**tsunagu**",
    "revisions": "**tsunagu**, a scope per stream",
    "floor": "grpc.aio alone",
    "snapshot": "go-control-plane, one snapshot for all",
    "nodes": "go-control-plane, a snapshot per node",
    "linear": "go-control-plane, linear + mux",
}
PUSHED = ("server", "last ACK", "median ACK", "server CPU", "down", "up", "time", "CPU")
STARTED = ("server", "last ACK", "server CPU", "down", "memory per stream", "time", "CPU")


def main() -> None:
    figures = json.loads((RESULTS / "xds.json").read_text())
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{render(figures)}\n{END}{after}")


def render(figures: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    size = figures["size"]
    scale = f"{size['services']:,} services, {size['streams']:,} streams"
    parts = [
        _machine(figures),
        f"### (a) Delta: {scale} that ask for all, one endpoint changes\n\n" + _pushed(figures["delta"]),
        f"### (b) SotW: {scale} that ask for all, one endpoint changes\n\n" + _pushed(figures["sotw"]),
        *(_of_revisions(figures["revisions"], scale) if "revisions" in figures else ()),
        f"### Delta: {scale} that ask for {size['few']} each, the one that changes among them\n\n"
        + _pushed(figures["few"]),
        "### (c), (e) Cold start of these streams at once, and what each then weighs\n\n"
        + "\n\n".join(f"{what}:\n\n{_started(figures[key])}" for key, what in _COLD if key in figures),
        f"### (d) Churn: {size['churn_rate']:.0f} changes a second for {size['churn_seconds']:.0f} s, delta, all names\n\n"
        + _churned(figures["churn"]),
        "### (e) Memory of a resource\n\n"
        + _table(("server", "bytes"), ((NAMES[k], f"{v:,.0f}") for k, v in figures["bytes_per_resource"].items())),
        f"### (f) From a Put to the last ACK: {size['streams']:,} streams of {size['few']} names each\n\n"
        + _grown(figures["growth"]),
        "### A cold namespace\n\n" + _encoded(figures["encoding"], size["services"]),
    ]
    return "\n\n".join(parts)


_COLD = (
    ("delta", "Delta, all names"),
    ("sotw", "SotW, all names"),
    ("few", "Delta, few names"),
    ("envoy_node", "Delta, few names, each with a node of 61 KB, as Envoy's is"),
)


def _machine(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    return (
        f"{figures['at'][:10]}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, Linux "
        f"{machine['kernel']}; Python {machine['python']}, grpcio {machine['grpcio']}, protobuf {machine['protobuf']}. "
        f"Medians of {figures['size']['rounds']} rounds. *time* and *CPU* are tsunagu's share of that row's: below 1 "
        "tsunagu is the cheaper one."
    )


def _pushed(found: dict[str, Any]) -> str:
    return _table(PUSHED, (_push_row(kind, one["push"], found["tsunagu"]["push"]) for kind, one in found.items()))


def _of_revisions(found: dict[str, Any], scale: str) -> Iterator[str]:
    yield f"### Delta: {scale} in as many scopes, one for each service revision, one endpoint changes\n\n" + _pushed(
        found
    )
    yield "Their cold start:\n\n" + _started(found)


def _push_row(kind: str, one: dict[str, float], ours: dict[str, float]) -> Iterator[str]:
    yield NAMES[kind]
    yield f"{one['most'] * 1000:,.0f} ms"
    yield f"{one['median'] * 1000:,.0f} ms"
    yield f"{one['server_cpu'] * 1000:,.0f} ms"
    yield f"{one['in'] / 1e6:.2f} MB"
    yield f"{one['out'] / 1e6:.2f} MB"
    yield from _shares(ours, one)


def _shares(ours: dict[str, float], one: dict[str, float]) -> Iterator[str]:
    yield from (f"{ours[name] / one[name]:.2f}" for name in ("most", "server_cpu"))


def _started(found: dict[str, Any]) -> str:
    return _table(STARTED, (_start_row(kind, one, found["tsunagu"]["cold"]) for kind, one in found.items()))


def _start_row(kind: str, one: dict[str, Any], ours: dict[str, float]) -> Iterator[str]:
    cold = one["cold"]
    yield NAMES[kind]
    yield f"{cold['most']:.2f} s"
    yield f"{cold['server_cpu']:.2f} s"
    yield f"{cold['in'] / 1e6:,.0f} MB"
    yield f"{one['bytes_per_stream']['settled'] / 1024:,.0f} KiB"
    yield from _shares(ours, cold)


def _churned(found: dict[str, Any]) -> str:
    head = ("streams", "server", "changes made", "seen after, median", "p99", "behind at the end", "server CPU", "down")
    return _table(head, (_churn_row(streams, kind, one) for streams, row in found.items() for kind, one in row.items()))


def _churn_row(streams: str, kind: str, one: dict[str, float]) -> Iterator[str]:
    yield f"{int(streams):,}"
    yield NAMES[kind]
    yield f"{one['changes']:,}"
    yield f"{one['median'] * 1000:,.0f} ms"
    yield f"{one['p99'] * 1000:,.0f} ms"
    yield f"{one['behind'] * 1000:,.0f} ms"
    yield f"{one['server_cpu']:.1f} s"
    yield f"{one['in'] / 1e6:,.0f} MB"


def _grown(found: dict[str, Any]) -> str:
    first = next(iter(found.values()))
    head = (
        "services",
        "first ACK",
        "median ACK",
        "last ACK",
        "server CPU",
        "last ACK, of the first row",
        "worst round",
        "memory",
    )
    return _table(head, (_growth_row(services, one, first) for services, one in found.items()))


def _growth_row(services: str, one: dict[str, float], first: dict[str, float]) -> Iterator[str]:
    yield f"{int(services):,}"
    for name in ("least", "median", "most", "server_cpu"):
        yield f"{one[name] * 1000:,.0f} ms"
    yield f"{one['most'] / first['most']:.2f}"
    yield f"{max(each['most'] for each in one['rounds']) * 1000:,.0f} ms"
    yield f"{one['rss'] / 2**20:,.0f} MiB"


def _encoded(one: dict[str, float], services: int) -> str:
    return (
        f"{services:,} HTTP services with {one['resources']:,} resources: encoded in {one['encode']:.2f} s "
        f"({one['encode_cpu']:.2f} s of CPU), after {one['view']:.2f} s for the View. Encoded more than once: "
        f"{one['encoded_again']}."
    )


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
