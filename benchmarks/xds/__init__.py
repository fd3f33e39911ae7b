"""tsunagu's xDS server beside go-control-plane: run by `python -m benchmarks xds`; docs/performance.md explains it."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import report
from benchmarks.xds import processes
from benchmarks.xds.scenarios import QUICK, Comparison, Size, encoding, growth

PEERS = ("snapshot", "linear")  # of go-control-plane; what each is stands in peers/gcp/caches.go
EXTENSIONS = 520  # in the first request of each stream: they make it the 61 KB that Envoy 1.40 sends
NOTHING = float("nan")


def run(*, quick: bool = False) -> dict[str, Any]:
    """tsunagu's xDS server and go-control-plane under the same simulated proxies, from a change to the last ACK."""
    size = QUICK if quick else Size()
    processes.build()
    figures: dict[str, Any] = {"size": {name: getattr(size, name) for name in Size.__dataclass_fields__}}
    with TemporaryDirectory(prefix="tsunagu-bench-") as folder:
        compared = Comparison(size, Path(folder))
        figures["delta"] = _pushes(compared, "delta", ("tsunagu", "snapshot", "linear", "nodes", "floor"))
        figures["sotw"] = _pushes(compared, "sotw", ("tsunagu", "snapshot", "linear", "floor"))
        figures["revisions"] = _revisions(compared, figures["delta"]["tsunagu"])
        figures["few"] = _few(compared, 0)
        figures["envoy_node"] = _few(compared, EXTENSIONS)
        figures["churn"] = {str(streams): _churn(compared, streams) for streams in (size.streams // 10, size.streams)}
        figures["bytes_per_resource"] = {
            kind: compared.weight(kind, Path(folder)) for kind in ("tsunagu", "snapshot", "linear")
        }
    _weights(figures["bytes_per_resource"])
    figures["growth"] = growth(size)
    _grown(figures["growth"])
    figures["encoding"] = encoding(size.services)
    report.line("cold namespace", str(figures["encoding"]))
    return figures


def _pushes(compared: Comparison, variant: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in kinds:
        found[kind] = compared.pushes(kind, compared.everything(variant))
        _show(f"{variant}, all names", kind, found)
    return found


def _revisions(compared: Comparison, one_scope: dict[str, Any]) -> dict[str, Any]:
    """What a mesh is: each stream has a scope of its own, that of its service revision, beside what all share."""
    found = {"tsunagu": one_scope, "revisions": compared.pushes("revisions", compared.in_revisions("delta"))}
    _show("delta, a scope per stream", "revisions", found)
    return found


def _few(compared: Comparison, extensions: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("tsunagu", *PEERS):
        found[kind] = compared.pushes(kind, compared.few("delta", extensions))
        _show("delta, few names, Envoy's node" if extensions else "delta, few names", kind, found)
    return found


def _show(what: str, kind: str, found: dict[str, Any]) -> None:
    push, cold = found[kind]["push"], found[kind]["cold"]
    report.line(
        f"{what}: {kind}: a change to the last ACK",
        f"{push['most'] * 1000:.0f} ms, server CPU {push['server_cpu'] * 1000:.0f} ms, {push['in'] / 1e6:.2f} MB down, "
        f"{push['out'] / 1e6:.2f} MB up",
    )
    report.line(
        f"{what}: {kind}: cold start",
        f"{cold['most']:.2f} s, server CPU {cold['server_cpu']:.2f} s, "
        f"{found[kind]['bytes_per_stream']['settled'] / 1024:.0f} KiB per stream",
    )
    if kind in PEERS:
        ours = found["tsunagu"]["push"]
        ratios = {name: ours[name] / push[name] for name in ("most", "server_cpu")}
        report.line(f"{what}: tsunagu / {kind}", "time {most:.2f}, server CPU {server_cpu:.2f}".format(**ratios))


def _churn(compared: Comparison, streams: int) -> dict[str, Any]:
    found = {}
    for kind in ("tsunagu", *PEERS):
        found[kind] = one = compared.churn(kind, streams)
        report.line(
            f"churn, {streams} streams: {kind}",
            f"{one['changes']} changes in {one['seconds']:.1f} s, seen after {one['median'] * 1000:.0f} ms (p99 "
            f"{one['p99'] * 1000:.0f} ms), server CPU {one['server_cpu']:.1f} s",
        )
    return found


def _weights(found: dict[str, float]) -> None:
    for kind, weight in found.items():
        report.line(f"memory of a resource: {kind}", f"{weight:.0f} bytes")


def _grown(found: dict[str, Any]) -> None:
    least = NOTHING
    for services, one in found.items():
        least = one["most"] if math.isnan(least) else least
        report.line(
            f"Put to the last ACK, {services} services",
            f"{one['most'] * 1000:.0f} ms ({one['most'] / least:.2f} of the first), server CPU "
            f"{one['server_cpu'] * 1000:.0f} ms",
        )
