"""The mesh at one revision of the registry: which tasks serve what, under which names, and which proxies may see it.

A View is frozen; `apply` makes the next one, which shares what did not change. `translate` reads from it what proxies get;
the Inspector answers from it too.

The one rule is for the time in which two revisions of a service are in force: the desired revision's settings apply to the
names that it provides; names that only an older revision provides keep that one's settings until none of its tasks is
alive. If several services provide one name, a desired revision precedes one that is not, then the older service precedes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.kit import grpc_bootstrap
from tsunagu.mesh import tls
from tsunagu.mesh.bundles import gateway_bundle, grpc_bundle, revision_bundle, shared_bundles
from tsunagu.mesh.changes import advance
from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.mesh.indexes import Indexes, Touched
from tsunagu.mesh.localities import Caller, Locality, divide
from tsunagu.mesh.places import by_place, marked, places_of
from tsunagu.mesh.traffic.model import CONNECT, Destination, Forward, Limits, Rule, Weighted
from tsunagu.mesh.traffic.reading import test_rule
from tsunagu.mesh.traffic.tables import Known, settle
from tsunagu.model.identity.modes import STRICT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.mesh.changes import Change
    from tsunagu.mesh.rows import GatewayRow, PortRow, RevisionRow, ServiceRow, TaskRow, TracingRow
    from tsunagu.mesh.traffic.model import Policy
    from tsunagu.mesh.traffic.reading import RouteRow


NEWEST: Final = 2**63 - 1  # later than any registry revision


@dataclass(frozen=True, slots=True)
class Port:
    """A discovery name of a namespace, with the settings (`row`) of the revision that defines it."""

    namespace: str
    discovery_name: str
    revision: str
    row: PortRow


@dataclass(frozen=True, slots=True)
class Alias:
    """A DNS name and port at which callers reach a discovery name; `ip` is empty until the name has a virtual IP.

    `born`: the registry revision since which there is such an alias; NEWEST as long as nobody has said it.
    """

    namespace: str
    dns_name: str
    port: int
    ip: str
    revision: str
    row: PortRow
    born: int = NEWEST


@dataclass(frozen=True, slots=True)
class View:
    """The mesh at registry revision `revision`. Read it through the methods; `tables` is the state that they share."""

    revision: int
    tables: Indexes

    @classmethod
    def empty(cls) -> View:
        return cls(0, Indexes())

    def apply(self, changes: Iterable[Change], revision: int) -> tuple[View, Touched]:
        """Return the View after `changes` (kind, name, old, new; `old` is not read), and what they touch."""
        tables, touched = advance(self.tables, changes)
        return View(revision, tables), touched

    # -- namespaces -----------------------------------------------------------------------------------------------

    def has_namespace(self, namespace: str) -> bool:
        """Whether proxies may be in it: it was declared, or it has a revision in force or a gateway's task."""
        return namespace in self.tables.referrers

    def namespaces(self) -> list[str]:
        return sorted(self.tables.referrers)

    def services(self, namespace: str) -> list[str]:
        """Names (CLUSTER/SERVICE) of the services with a revision in force there, including those that only call."""
        rows = self.tables.in_force.values()
        return sorted({row.service for row in rows if row.namespace == namespace and not row.registered})

    def ports(self, namespace: str) -> list[Port]:
        """Every discovery name of the namespace, by name."""
        names = sorted(self.tables.ports.get(namespace, FrozenMap()))
        return [port for name in names if (port := self.port(namespace, name)) is not None]

    def aliases(self, namespace: str) -> list[Alias]:
        """Every alias of the namespace, by DNS name and port."""
        table = self.tables.aliases.get(namespace, FrozenMap())
        keys = sorted({(name, provider.port) for name, providers in table.items() for provider in providers})
        return [alias for key in keys if (alias := self.alias(namespace, *key)) is not None]

    def addresses(self, namespace: str) -> dict[str, str]:
        """DNS name -> virtual IP of every name of the namespace that has one, whether or not it is an alias now."""
        table = self.tables.addresses.get(namespace, FrozenMap())
        return {dns_name: row.ip for dns_name, row in sorted(table.items())}

    # -- single things --------------------------------------------------------------------------------------------

    def port(self, namespace: str, discovery_name: str) -> Port | None:
        providers = self.tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset())
        if not providers:
            return None
        best = min(providers, key=lambda provider: (self._precedence(provider.revision), provider.slot))
        return Port(namespace, discovery_name, best.revision, self.tables.in_force[best.revision].ports[best.slot])

    def endpoints(self, namespace: str, discovery_name: str) -> tuple[tuple[str, int], ...]:
        """(IP, port) of every task that serves the name now, of all revisions in force; sorted."""
        spoken = bool(self.peers(namespace, discovery_name))
        return tuple(sorted(set().union(*by_place(self.tables, namespace, discovery_name, secured=spoken).values())))

    def localities(
        self, namespace: str, to: Destination, zone: str = "", *, secured: bool = False
    ) -> tuple[Locality, ...]:
        """The endpoints of a destination as a proxy in that zone prefers them; without a zone, as one that prefers none.

        `secured`: for callers that can speak TLS: a task that is ready for it is at its TLS ingress. Others do not see
        the tasks that take nothing else.
        """
        places = places_of(self.tables, namespace, to, secured=secured)
        shares = {} if to.revision else self._shares({place[1] for place in places})
        made = divide(places, shares, Caller(zone, self.tables.zones))
        return tuple(marked(self.tables, namespace, to, one) for one in made) if secured else made

    def prefers(self, namespace: str, to: Destination, zone: str, *, secured: bool = False) -> bool:
        """Whether a proxy in that zone has reason to prefer some endpoints: there are such in the zone, and elsewhere.

        `secured`: as in `localities`, since the two kinds of callers do not see the same tasks.
        """
        zones = {place[0] for place in places_of(self.tables, namespace, to, secured=secured)}
        return zone in zones and len(zones) > 1

    def zones(self) -> tuple[str, ...]:
        """The zones of all nodes, if there are several; a single zone is preferred to nothing."""
        return tuple(sorted(self.tables.zones)) if len(self.tables.zones) > 1 else ()

    def alias(self, namespace: str, dns_name: str, port: int) -> Alias | None:
        providers = self.tables.aliases.get(namespace, FrozenMap()).get(dns_name, frozenset())
        of_port = [provider for provider in providers if provider.port == port]
        if not of_port:
            return None
        best = min(of_port, key=lambda provider: (self._precedence(provider.revision), provider.slot))
        row = self.tables.in_force[best.revision].ports[best.slot]
        address = self.tables.addresses.get(namespace, FrozenMap()).get(dns_name)
        born = address.born(port) if address is not None else None
        if address is None or born is None:
            return Alias(namespace, dns_name, port, "", best.revision, row)
        return Alias(namespace, dns_name, port, address.ip, best.revision, row, born)

    def service_revision(self, name: str) -> RevisionRow | None:
        """The revision of that name if it is in force."""
        return self.tables.in_force.get(name)

    # -- traffic --------------------------------------------------------------------------------------------------

    def policy(self, namespace: str, discovery_name: str) -> Policy:
        """How callers treat a discovery name: what a TrafficPolicy says, else Service Connect's."""
        if not len(self.tables.policies):
            return CONNECT
        return self.tables.policies.get(namespace, FrozenMap()).get(discovery_name, CONNECT)

    def table(self, alias: Alias) -> tuple[Rule, ...]:
        """The rules for the requests to an alias, the first that matches wins: test traffic, Routes, Service Connect's own."""
        own = Destination(alias.row.discovery_name)
        rules = [*self._test_rules(alias), *(row.rule for row in self.routes(alias)), Rule(Forward((Weighted(own),)))]
        return tuple(settle(rule, lambda to: self._known(alias.namespace, to, alias)) for rule in rules)

    def gateway(self, name: str) -> GatewayRow | None:
        return self.tables.gateways.get(name)

    def gateway_routes(self, gateway: GatewayRow) -> tuple[tuple[tuple[str, ...], Rule], ...]:
        """The rules of a gateway in their order, each with its hosts (none: every host)."""
        names = self.tables.routes_at.get(gateway.name, FrozenMap[None]())
        rows = (self.tables.routes.get(gateway.namespace, FrozenMap()).get(name) for name in names)
        ordered = sorted((row for row in rows if row is not None), key=lambda row: row.order)
        return tuple(
            (row.front.hosts, settle(row.rule, lambda to: self._known(gateway.namespace, to))) for row in ordered
        )

    def routes(self, alias: Alias) -> list[RouteRow]:
        """The Routes of an alias, in their order."""
        if not len(self.tables.routes):
            return []
        names = self.tables.routes_of.get(alias.namespace, FrozenMap()).get(alias.dns_name, frozenset())
        rows = (self.tables.routes[alias.namespace][name] for name in names)
        return sorted((row for row in rows if row.front.port in {0, alias.port}), key=lambda row: row.order)

    def subsets(self, namespace: str, discovery_name: str) -> frozenset[Destination]:
        """The revisions of a name that something leads to by themselves: a Route, a mirror, test traffic."""
        shifting = self._services_of(namespace, discovery_name) if len(self.tables.shifting) else ()
        tested = {service.tested for service in shifting if service.tested}
        asked = {Destination(discovery_name, revision) for revision in tested}
        if len(self.tables.alone):
            alone = self.tables.alone.get(namespace, FrozenMap()).get(discovery_name, frozenset())
            asked.update(Destination(discovery_name, revision) for _, revision in alone)
        found = (self._whole(namespace, to) for to in asked)
        return frozenset(to for to in found if to is not None)

    def backends(self, namespace: str) -> frozenset[tuple[str, ...]]:
        """The backends of each revision in force that has some: what part of the namespace its tasks see."""
        if not len(self.tables.limited):
            return frozenset()
        return frozenset(self.tables.limited.get(namespace, FrozenMap()).values())

    def reachable(self, namespace: str, backends: tuple[str, ...]) -> frozenset[str]:
        """The discovery names to which requests of somebody with these backends may go: those, and where Routes lead."""
        found = set(backends)
        for name in backends:
            for provider in self.tables.ports.get(namespace, FrozenMap()).get(name, frozenset()):
                aliases = self.tables.in_force[provider.revision].ports[provider.slot].aliases
                for dns_name in {dns_name for dns_name, _ in aliases}:
                    for route in self.tables.routes_of.get(namespace, FrozenMap()).get(dns_name, frozenset()):
                        destinations = self.tables.routes[namespace][route].destinations()
                        found.update(to.discovery_name for to in destinations)
        return frozenset(found)

    def _known(self, namespace: str, to: Destination, alias: Alias | None = None) -> Known | None:
        """What is known of a destination. `alias`: the one whose requests go there; its own port says what holds."""
        whole, row = self._whole(namespace, to), alias.row if alias is not None else None
        if row is None or to.discovery_name != row.discovery_name:
            port = self.port(namespace, to.discovery_name)
            row = port.row if port is not None else None
        if whole is None or row is None:
            return None
        limits = Limits(row.request_timeout * 1000, row.idle_timeout * 1000)
        named = row.outside is not None and bool(row.outside.resolved)
        return Known(whole, row.protocol, limits, self.policy(namespace, to.discovery_name).requests, named)

    def _whole(self, namespace: str, to: Destination) -> Destination | None:
        """The destination with the whole name of its revision; None if that does not provide the name."""
        if not to.revision:
            return to
        providers = self.tables.ports.get(namespace, FrozenMap()).get(to.discovery_name, frozenset())
        names = sorted(
            one.revision for one in providers if to.revision in {one.revision, one.revision.rpartition("/")[2]}
        )
        return Destination(to.discovery_name, names[0]) if names else None

    def _test_rules(self, alias: Alias) -> Iterator[Rule]:
        if not len(self.tables.shifting):
            return
        service = self.tables.services.get(self.tables.in_force[alias.revision].service)
        if service is None or not service.tested:
            return
        tests = {(one.dns_name, one.port): one for one in alias.row.tests}
        test = tests.get((alias.dns_name, alias.port))
        header, value = (test.header, test.value) if test is not None else ("", None)
        yield test_rule(service.name, header, value, Destination(alias.row.discovery_name, service.tested))

    def _services_of(self, namespace: str, discovery_name: str) -> Iterator[ServiceRow]:
        providers = self.tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset())
        names = {self.tables.in_force[one.revision].service for one in providers}
        return (row for name in names if (row := self.tables.services.get(name)) is not None)

    def _shares(self, revisions: set[str]) -> dict[str, int]:
        """The shares of a weighted shift; none if there is no shift, or if several services provide the name."""
        if not len(self.tables.shifting):
            return {}
        services = {self.tables.in_force[revision].service for revision in revisions}
        row = self.tables.services.get(next(iter(services))) if len(services) == 1 else None
        return dict(row.shares) if row is not None else {}

    # -- TLS ------------------------------------------------------------------------------------------------------

    def strict(self, namespace: str, port: PortRow) -> bool:
        """Whether a port takes TLS alone, or will as soon as nobody has to do with its plain ingress."""
        return tls.mode(self.tables, namespace, port) == STRICT

    def secured(self, namespace: str, discovery_name: str) -> bool:
        """Whether callers of a name may have to speak TLS."""
        return tls.involved(self.tables, namespace, discovery_name)

    def peers(self, namespace: str, discovery_name: str) -> tuple[str, ...]:
        """The SPIFFE IDs of which a server has to prove one; none: callers of the name speak plaintext."""
        return tls.peers(self.tables, namespace, discovery_name)

    # -- tracing --------------------------------------------------------------------------------------------------

    def traces(self, namespace: str) -> bool:
        """Whether proxies of the namespace trace: a revision in force says so."""
        return len(self.tables.traced) > 0 and namespace in self.tables.traced  # nearly always there is none

    def sampling(self, namespace: str, discovery_name: str) -> float | None:
        """The percentage of requests to a discovery name that begin a trace; None if no proxy of the namespace traces.

        The calls of the collector itself never do.
        """
        if not self.traces(namespace):
            return None
        row = self.tables.tracing.get(namespace)
        return 0.0 if row is None or self._collecting(namespace, row) == discovery_name else row.percentage

    def collectors(self, namespace: str, *, secured: bool = False) -> tuple[Locality, ...] | None:
        """The localities of the tasks that take the namespace's spans, or of the collector; None if no proxy there traces.

        `secured`: as in `localities`; None if the spans are not sent with TLS.
        """
        if not self.traces(namespace):
            return None
        row = self.tables.tracing.get(namespace)
        if row is None:
            return None if secured else ()
        if row.ip:
            return None if secured else (Locality("", "", priority=0, weight=1, endpoints=((row.host, row.port),)),)
        name = self._collecting(namespace, row)
        if secured and not self.secured(namespace, name):
            return None
        return self.localities(namespace, Destination(name), secured=secured)

    def collector_peers(self, namespace: str) -> tuple[str, ...]:
        """The identities of the tasks that take the namespace's spans, if they are sent with TLS."""
        row = self.tables.tracing.get(namespace)
        return self.peers(namespace, self._collecting(namespace, row)) if row is not None else ()

    def _collecting(self, namespace: str, row: TracingRow) -> str:
        """The discovery name at which the collector is; empty if it is outside of the mesh, or nobody offers it."""
        alias = None if row.ip else self.alias(namespace, row.host, row.port)
        return alias.row.discovery_name if alias is not None else ""

    def task(self, name: str) -> TaskRow | None:
        return self.tables.tasks.get(name)

    def node_alive(self, name: str) -> bool:
        return name in self.tables.nodes

    # -- proxies --------------------------------------------------------------------------------------------------

    def scope(self, name: str) -> tuple[str, ...] | None:
        """The bundles that the proxy of that name may see, the one that wins first; None if no proxy may have the name.

        `name` is a task's, or one that `kit.grpc_bootstrap` makes for a gRPC client. A gateway's proxy has no revision
        bundle, and a proxy without a zone no zone bundle.
        """
        client = grpc_bootstrap.parse(name)
        if client is not None:
            return self._grpc_scope(*client)
        task = self.tables.tasks.get(name)
        if task is None or not task.alive:
            return None
        if task.gateway:
            override, *others = shared_bundles(task.namespace, task.zone)
            return override, gateway_bundle(task.gateway), *others
        revision = self.tables.revisions.get(task.revision)
        if revision is None or not revision.connect:
            return None
        shared = shared_bundles(revision.namespace, task.zone, traces=revision.tracing, backends=revision.backends)
        return *shared, revision_bundle(revision.name)

    def names_until(self, name: str) -> int | None:
        """The registry revision up to which a proxy (as in `scope`) sees the births of aliases; None: it sees live names."""
        client = grpc_bootstrap.parse(name)
        task = self.tables.tasks.get(client[1] if client is not None else name)
        revision = self.tables.revisions.get(task.revision) if task is not None else None
        return task.deployment if task is not None and revision is not None and revision.frozen else None

    def visible(self, task: str, dns_name: str, port: int) -> bool:
        """Whether a task's proxy sees this alias of its namespace: one that is born, before its deployment if that counts."""
        row = self.tables.tasks.get(task)
        alias = self.alias(row.namespace, dns_name, port) if row is not None else None
        until = self.names_until(task)
        return alias is not None and bool(alias.ip) and (until is None or alias.born <= until)

    def expected_proxies(self, namespace: str | None = None) -> list[str]:
        """Names of the tasks that have an Envoy by their last status: the convergence barrier waits for these."""
        tables = self.tables.proxies
        groups = tables.values() if not namespace else (tables.get(namespace, FrozenMap[None]()),)
        return sorted(name for group in groups for name in group if self.scope(name) is not None)

    def _grpc_scope(self, namespace: str, client: str) -> tuple[str, ...] | None:
        """A client in a task may be there while the task's proxy may; any other while the namespace exists."""
        task = self.tables.tasks.get(client)
        override, *others = shared_bundles(namespace, task.zone if task is not None else "")
        bundles = (override, grpc_bundle(namespace), *others)
        if "/" not in client:
            return bundles if self.has_namespace(namespace) else None
        of_task = self.scope(client)
        return bundles if of_task and of_task[0] == bundles[0] else None

    # -- which tasks and which provider ---------------------------------------------------------------------------

    def _precedence(self, revision: str) -> tuple[bool, int, str, int, str]:
        row = self.tables.in_force[revision]
        service = self.tables.services.get(row.service)
        desired = service is not None and service.desired == revision
        return not desired, service.created if service is not None else 0, row.service, -row.created, revision
