"""Fifty changes of rules, policies and weights, under 200 requests/s each of HTTP, gRPC and TCP that nobody tries again.

Rule: each change is waited for until every proxy has it, and then called through; what is counted besides is how many listeners the
gateways' proxies have changed, which must be none.
"""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

from benchmarks import replaced, report
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh
from tsunagu.v1 import objects_pb2

CHANGES = 50
_HELD = 100  # requests of HTTP after each change
_LISTENERS = "listener_modified|listener_removed|listener_in_place_updated"
#: Manifests, each of which changes what the one before has said.
_TURNS = (
    (
        "{kind: Route, name: soak/turn, alias: inventory, match: {prefix: /items}, timeout: {perRequest: {unit: s, value: 9}},"
        " retryPolicy: {maxRetries: 0}, action: {weightedTargets: [{target: inventory}]}}"
    ),
    "{kind: TrafficPolicy, name: soak/inventory, loadBalancing: {algorithm: LEAST_REQUEST}, timeout: {perRequest: {unit: s, value: 8}}}",
    "{kind: Route, name: soak/turn, alias: inventory, action: {weightedTargets: [{target: inventory}], requestHeaders: {set: {x-turn: a}}}}",
    "{kind: TrafficPolicy, name: soak/greeter, connectionPool: {grpc: {maxRequests: 5000}}, retryPolicy: {maxRetries: 0}}",
    "{kind: TrafficPolicy, name: soak/stock, connectionPool: {tcp: {maxConnections: 5000}}, outlierDetection: {maxServerErrors: 9}}",
    "{kind: TrafficPolicy, name: soak/inventory, outlierDetection: {maxServerErrors: 7}}",
    "{kind: TrafficPolicy, name: soak/greeter, loadBalancing: {algorithm: LEAST_REQUEST, choices: 3}}",
    "{kind: TrafficPolicy, name: soak/stock, loadBalancing: {algorithm: RANDOM}}",
)


def traffic(changes: int = CHANGES) -> dict[str, Any]:
    """Fifty changes of Routes, TrafficPolicies and weights under load."""
    with replaced.called() as calls:
        before = _listener_updates(calls.mesh)
        for number, turn in enumerate(islice(cycle(_turns()), changes)):
            turn(calls.mesh)
            calls.mesh.wait_converged(replaced.PATIENCE)
            calls.loads["http"].wait_requests(_HELD)
            if number % 10 == 9:
                report.line(f"{number + 1} changes", calls.told())
        updates = _listener_updates(calls.mesh) - before
        report.line("listener updates", str(updates))
        return calls.figures(changes=changes, listener_updates=updates)


def _turns() -> Iterator[Callable[[Mesh], object]]:
    """The changes: a manifest, then another share of the one revision that serves each name, then none."""
    for number, text in enumerate(_TURNS):
        yield lambda mesh, text=text: mesh.apply(text=text)
        yield lambda mesh, share=(1000, 0)[number % 2]: _shift(mesh, share)


def _shift(mesh: Mesh, share: int) -> None:
    for service in replaced.SERVICES.values():

        def change(obj: objects_pb2.Object) -> None:
            made = [objects_pb2.RevisionWeight(revision=obj.service.status.revision, weight=share)] if share else []
            obj.service.status.traffic.CopyFrom(objects_pb2.ServiceTraffic(weights=made))

        mesh.apis.update("Service", f"default/{service}", change)


def _listener_updates(mesh: Mesh) -> int:
    gateways = (task for task in mesh.tasks() if task.task.spec.gateway)
    pages = (mesh.envoy(task_id(task), f"/stats?filter=^listener_manager.({_LISTENERS})$").text for task in gateways)
    return sum(int(line.rpartition(": ")[2]) for page in pages for line in page.splitlines())


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {"traffic": traffic}
