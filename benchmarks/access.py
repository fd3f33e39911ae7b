"""What access policies cost: the time until every proxy has acknowledged a change of one, with few of them and with a thousand.

Twenty services with a real Envoy each; first each has one policy, then fifty, and one service a thousand more. Rule: a change is
measured from Put's return to the answer of the barrier, so that of the proxies that it does not concern nothing is waited for but that
they have nothing to do.
"""

import time
from collections.abc import Iterator
from typing import Any

from benchmarks import fleet, report
from tsunagu.model import ids
from tsunagu.testing import Mesh
from tsunagu.v1 import access_pb2, objects_pb2

SERVICES = 20
POLICIES = 1000
CHANGES = 100
SETTLE_SECONDS = 3


def run(policies: int = POLICIES, changes: int = CHANGES) -> dict[str, Any]:
    """1,000 policies: the time to the last ACK of all of them at once, of a change of one, and the CPU of such a change."""
    figures: dict[str, Any] = {"services": SERVICES, "policies": policies}
    with Mesh() as mesh:
        secured = fleet.NAMESPACE + "tls: strict\n"
        mesh.apply(text=secured + "".join(fleet.service(number, 1) for number in range(SERVICES)))
        mesh.wait_steady(300)
        time.sleep(SETTLE_SECONDS)
        figures["one_each"] = _measured(mesh, [_policy(number, 0) for number in range(SERVICES)], changes)
        spread = [_policy(number % SERVICES, number) for number in range(policies)]
        figures["all_spread"] = _measured(mesh, spread, changes)
        figures["all_at_one"] = _measured(mesh, [_policy(0, number) for number in range(policies)], changes)
    return figures


def _policy(service: int, number: int, callers: int = 1) -> objects_pb2.Object:
    """A policy of a service with some callers, which are told apart by `number`."""
    body = access_pb2.AccessPolicy(to=access_pb2.AccessTarget(service=f"service-{service:02}"))
    rule = body.allow.add()
    for caller in range(callers):
        rule.callers.add(service=f"caller-{number:04}-{caller}")
    rule.requests.add(method="GET", prefix=f"/items/{number}")
    return ids.make("AccessPolicy", f"bench/policy-{service:02}-{number:04}", body)


def _measured(mesh: Mesh, policies: list[objects_pb2.Object], changes: int) -> dict[str, Any]:
    """Put all of these at once, then change one after the other."""
    figures: dict[str, Any] = {"all_at_once_seconds": _until_acknowledged(mesh, policies)}
    report.line(
        f"{len(policies)} policies at once: Put's return -> last ACK", f"{figures['all_at_once_seconds']:.2f} s"
    )
    before = fleet.cpu(groups := fleet.processes_of(mesh))
    seconds = [_until_acknowledged(mesh, [changed]) for changed in _changes(policies, changes)]
    after = fleet.cpu(groups)
    figures["change"] = report.spread(seconds)
    figures["cpu_seconds_per_change"] = {name: (after[name] - before[name]) / changes for name in ("serve", "envoys")}
    cost = figures["cpu_seconds_per_change"]
    report.line("one policy: Put's return -> last ACK", report.milliseconds(figures["change"]))
    report.line("CPU per change", ", ".join(f"{name} {spent * 1000:.1f} ms" for name, spent in cost.items()))
    return figures


def _changes(policies: list[objects_pb2.Object], changes: int) -> Iterator[objects_pb2.Object]:
    """Policies with one caller more, and without it again."""
    for number in range(changes):
        of = policies[number // 2 % len(policies)].meta.name
        service, index = (int(part) for part in of.rpartition("/")[2].split("-")[1:])
        yield _policy(service, index, callers=2 - number % 2)


def _until_acknowledged(mesh: Mesh, policies: list[objects_pb2.Object]) -> float:
    revision = mesh.apis.batch(policies)
    begun = time.monotonic()
    mesh.wait_converged(60, revision=revision)
    return time.monotonic() - begun
