"""The mesh at one revision of the registry: who serves what, under which names, and which proxy may see it.

A View is frozen; `apply` makes the next one, which shares what did not change. What proxies get is read from it by
`translate`, and the same answers serve DNS, metrics and the Inspector.

The one rule, for the time in which two revisions of a service live: the wanted revision's settings define the names
that it has; names that only an older revision has stay, with the older one's settings, until no task of it is alive.
Between services that claim one name, a wanted revision comes before one that is not, then the older service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.kit import grpc_bootstrap
from tsunagu.mesh.bundles import grpc_bundle, namespace_bundle, revision_bundle
from tsunagu.mesh.changes import advance
from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.mesh.indexes import Indexes, Touched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.mesh.changes import Change
    from tsunagu.mesh.rows import PortFacts, RevisionFacts, TaskFacts


@dataclass(frozen=True, slots=True)
class Port:
    """A discovery name of a namespace, with the settings of the revision that defines it."""

    namespace: str
    discovery_name: str
    revision: str
    facts: PortFacts


@dataclass(frozen=True, slots=True)
class Alias:
    """A name and port at which callers reach a discovery name; `ip` is empty until the name has an address."""

    namespace: str
    dns_name: str
    port: int
    ip: str
    revision: str
    facts: PortFacts


@dataclass(frozen=True, slots=True)
class View:
    revision: int
    tables: Indexes

    @classmethod
    def empty(cls) -> View:
        return cls(0, Indexes())

    def apply(self, changes: Iterable[Change], revision: int) -> tuple[View, Touched]:
        """The View after `changes` (kind, name, old, new; `old` is not read), and what they touch."""
        tables, touched = advance(self.tables, changes)
        return View(revision, tables), touched

    # -- namespaces -----------------------------------------------------------------------------------------------

    def has_namespace(self, namespace: str) -> bool:
        """Whether proxies may be in it: it was declared, or a revision in force or a gateway's task is in it."""
        return namespace in self.tables.referrers

    def namespaces(self) -> list[str]:
        return sorted(self.tables.referrers)

    def services(self, namespace: str) -> list[str]:
        """Names (CLUSTER/SERVICE) of the services with a revision in force there, servers and pure clients."""
        rows = self.tables.claimed.values()
        return sorted({row.service for row in rows if row.namespace == namespace})

    def ports(self, namespace: str) -> list[Port]:
        """Every discovery name of the namespace, by name."""
        names = sorted(self.tables.ports.get(namespace, FrozenMap()))
        return [port for name in names if (port := self.port(namespace, name)) is not None]

    def aliases(self, namespace: str) -> list[Alias]:
        """Every alias of the namespace, by DNS name and port."""
        table = self.tables.aliases.get(namespace, FrozenMap())
        keys = sorted({(name, claim.port) for name, claims in table.items() for claim in claims})
        return [alias for key in keys if (alias := self.alias(namespace, *key)) is not None]

    def addresses(self, namespace: str) -> dict[str, str]:
        """DNS name -> virtual IP of every name of the namespace that has one, whether or not it is an alias now."""
        return dict(sorted(self.tables.addresses.get(namespace, FrozenMap()).items()))

    # -- one thing ------------------------------------------------------------------------------------------------

    def port(self, namespace: str, discovery_name: str) -> Port | None:
        claims = self.tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset())
        if not claims:
            return None
        best = min(claims, key=lambda claim: (self._precedence(claim.revision), claim.slot))
        return Port(namespace, discovery_name, best.revision, self.tables.claimed[best.revision].ports[best.slot])

    def endpoints(self, namespace: str, discovery_name: str) -> tuple[tuple[str, int], ...]:
        """(IP, port) of every task that serves the name now, of all revisions in force; sorted."""
        claims = self.tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset())
        found: set[tuple[str, int]] = set()
        for claim in claims:
            port = self.tables.claimed[claim.revision].ports[claim.slot].endpoint_port
            found.update((task.ip, port) for task in self._serving(claim.revision))
        return tuple(sorted(found))

    def alias(self, namespace: str, dns_name: str, port: int) -> Alias | None:
        claims = self.tables.aliases.get(namespace, FrozenMap()).get(dns_name, frozenset())
        wanted = [claim for claim in claims if claim.port == port]
        if not wanted:
            return None
        best = min(wanted, key=lambda claim: (self._precedence(claim.revision), claim.slot))
        facts = self.tables.claimed[best.revision].ports[best.slot]
        ip = self.tables.addresses.get(namespace, FrozenMap()).get(dns_name, "")
        return Alias(namespace, dns_name, port, ip, best.revision, facts)

    def service_revision(self, name: str) -> RevisionFacts | None:
        """The revision while it is in force."""
        return self.tables.claimed.get(name)

    def task(self, name: str) -> TaskFacts | None:
        return self.tables.tasks.get(name)

    def node_alive(self, name: str) -> bool:
        return name in self.tables.nodes

    # -- proxies --------------------------------------------------------------------------------------------------

    def scope(self, name: str) -> tuple[str, ...] | None:
        """The bundles that a task's proxy sees (a gateway's has no revision bundle), or a gRPC client of the name that
        `kit.grpc_bootstrap` mints. None: nobody of that name may be there.
        """
        client = grpc_bootstrap.parse(name)
        if client is not None:
            return self._grpc_scope(*client)
        task = self.tables.tasks.get(name)
        if task is None or not task.alive:
            return None
        if task.gateway:
            return (namespace_bundle(task.namespace),)
        revision = self.tables.revisions.get(task.revision)
        if revision is None or not revision.connect:
            return None
        return namespace_bundle(revision.namespace), revision_bundle(revision.name)

    def expected_proxies(self, namespace: str | None = None) -> list[str]:
        """Names of the tasks that have an Envoy now, by their last status: whom the barrier waits for."""
        tables = self.tables.proxies
        groups = tables.values() if not namespace else (tables.get(namespace, FrozenMap[None]()),)
        return sorted(name for group in groups for name in group if self.scope(name) is not None)

    def _grpc_scope(self, namespace: str, client: str) -> tuple[str, ...] | None:
        """In a task: while the task may have a proxy; outside of any: while the namespace is there."""
        bundles = (namespace_bundle(namespace), grpc_bundle(namespace))
        if "/" not in client:
            return bundles if self.has_namespace(namespace) else None
        of_task = self.scope(client)
        return bundles if of_task and of_task[0] == bundles[0] else None

    # -- how ------------------------------------------------------------------------------------------------------

    def _serving(self, revision: str) -> Iterator[TaskFacts]:
        tasks = self.tables.tasks_of.get(revision, FrozenMap())
        return (task for task in tasks.values() if task.serving and task.node in self.tables.nodes)

    def _precedence(self, revision: str) -> tuple[bool, int, str, int, str]:
        row = self.tables.claimed[revision]
        service = self.tables.services.get(row.service)
        wanted = service is not None and service.wanted == revision
        return not wanted, service.created if service is not None else 0, row.service, -row.created, revision
