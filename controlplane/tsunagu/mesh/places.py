"""Where a discovery name is served: the endpoints of its tasks, by zone and revision.

The one rule: a task serves while its status says so and its node is there; at which of its ports depends on what the caller
can speak (`mesh.tls`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from tsunagu.mesh import tls
from tsunagu.mesh.frozenmap import FrozenMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.mesh.indexes import Indexes
    from tsunagu.mesh.localities import Endpoint, Locality, Place
    from tsunagu.mesh.rows import TaskRow
    from tsunagu.mesh.traffic.model import Destination


def by_place(
    tables: Indexes, namespace: str, discovery_name: str, *, secured: bool = False
) -> dict[Place, set[Endpoint]]:
    """(zone, revision) -> (IP, port) of every task (and of every registered instance, which has no node) that serves the name
    now, of all revisions in force. `secured`: as callers reach them that can speak TLS.
    """
    providers = tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset())
    found: dict[Place, set[Endpoint]] = defaultdict(set)
    for provider in providers:
        row = tables.in_force[provider.revision].ports[provider.slot]
        for task in _serving(tables, provider.revision):
            port = task.port or tls.port_of(task, row, secured=secured)
            if port:
                found[task.zone, provider.revision].add((task.ip, port))
    return found


def places_of(tables: Indexes, namespace: str, to: Destination, *, secured: bool = False) -> dict[Place, set[Endpoint]]:
    """As `by_place`; of a destination with a revision those of that revision alone."""
    places = by_place(tables, namespace, to.discovery_name, secured=secured)
    return {place: found for place, found in places.items() if place[1] == to.revision} if to.revision else places


def marked(tables: Indexes, namespace: str, to: Destination, locality: Locality) -> Locality:
    """Return the locality with what is known of its endpoints: at which of them TLS is spoken."""
    ports = {
        row.tls_port
        for revision, row in tls.providers(tables, namespace, to.discovery_name)
        if revision.name == locality.revision
    }
    return replace(locality, tls=frozenset(one for one in locality.endpoints if one[1] in ports))


def _serving(tables: Indexes, revision: str) -> Iterator[TaskRow]:
    tasks = tables.tasks_of.get(revision, FrozenMap())
    return (task for task in tasks.values() if task.serving and (not task.node or task.node in tables.nodes))
