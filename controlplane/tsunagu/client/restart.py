"""Forces a new deployment: every task of a service is replaced in order, though nothing of it has changed.

The one rule: a forced deployment is a number in the service, so it makes a service revision like any other change, and is
rolled out, waited for and shown like one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsunagu.model import plan
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.client.connection import Link
    from tsunagu.model.plan import Plan
    from tsunagu.model.references import State


async def restart(link: Link, service: str) -> None:
    """Replace the tasks of the service of that whole name. Raises NotFound."""

    def force(obj: objects_pb2.Object) -> None:
        obj.service.forced_deployments += 1

    await link.registry.update("Service", service, force)


def forced(made: Plan, services: Iterable[str], state: State) -> Plan:
    """The plan with a forced deployment of these services, which the plan changes, makes or leaves as they are."""
    changes = list(made.changes)
    places = {change.name: at for at, change in enumerate(changes) if change.kind == "Service"}
    unchanged = list(made.unchanged)
    for name in services:
        known = state.get("Service", {}).get(name)
        if known is None:
            continue
        obj = objects_pb2.Object()
        at = places.get(name)
        obj.CopyFrom(known if at is None else changes[at].object or known)
        obj.service.forced_deployments += 1
        if at is None:
            unchanged.remove(f"Service {name}")
            changes.append(
                plan.Change(plan.UPDATE, "Service", name, known.meta.revision, obj, "a deployment is forced")
            )
        else:
            changes[at] = replace(changes[at], object=obj)
    return replace(made, changes=tuple(changes), unchanged=tuple(unchanged))
