"""The tables that a View consists of, and the record of what a change of them touches.

Every table is a FrozenMap, so two Views share what did not change between them. The one rule: a table lists all providers
of a name; which of them wins is decided on reading (`view.py`), so the order in which they came makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from tsunagu.mesh.frozenmap import FrozenMap, NestedDraft

if TYPE_CHECKING:
    from tsunagu.mesh.access.words import PolicyRow
    from tsunagu.mesh.registered import RegisteredRow
    from tsunagu.mesh.rows import AddressRow, GatewayRow, RevisionRow, ServiceRow, TaskRow, TracingRow, TrustRow
    from tsunagu.mesh.traffic.model import Policy
    from tsunagu.mesh.traffic.reading import RouteRow


@dataclass(frozen=True, slots=True)
class PortProvider:
    """A revision in force that serves a discovery name with its `slot`-th port (from 0)."""

    revision: str
    slot: int


@dataclass(frozen=True, slots=True)
class AliasProvider:
    """A revision in force that callers reach at a DNS name and `port`; its `slot`-th port (from 0) answers."""

    port: int
    revision: str
    slot: int


@dataclass(frozen=True, slots=True)
class Indexes:
    """All tables of one View. Those with two keys have the outer one first: `ports` is namespace -> discovery name ->
    providers, `aliases` is namespace -> DNS name -> providers, `addresses` is namespace -> DNS name -> its address.
    """

    services: FrozenMap[ServiceRow] = field(default_factory=FrozenMap)
    revisions: FrozenMap[RevisionRow] = field(default_factory=FrozenMap)
    tasks: FrozenMap[TaskRow] = field(default_factory=FrozenMap)
    nodes: FrozenMap[tuple[str, ...]] = field(default_factory=FrozenMap)  # node -> its zones
    zones: FrozenMap[int] = field(default_factory=FrozenMap)  # zone -> number of nodes that have it
    in_force: FrozenMap[RevisionRow] = field(default_factory=FrozenMap)
    tasks_of: FrozenMap[FrozenMap[TaskRow]] = field(default_factory=FrozenMap)  # revision -> task's name -> task
    tasks_on: FrozenMap[FrozenMap[str]] = field(default_factory=FrozenMap)  # node -> task's name -> revision
    addresses: FrozenMap[FrozenMap[AddressRow]] = field(default_factory=FrozenMap)
    ports: FrozenMap[FrozenMap[frozenset[PortProvider]]] = field(default_factory=FrozenMap)
    aliases: FrozenMap[FrozenMap[frozenset[AliasProvider]]] = field(default_factory=FrozenMap)
    referrers: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # namespace -> objects that make it exist
    proxies: FrozenMap[FrozenMap[None]] = field(
        default_factory=FrozenMap
    )  # namespace -> names of tasks in a PROXIED state
    tracing: FrozenMap[TracingRow] = field(default_factory=FrozenMap)  # by namespace
    registered: FrozenMap[RegisteredRow] = field(default_factory=FrozenMap)  # NAMESPACE/NAME -> service of Cloud Map
    traced: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # namespace -> revisions in force that trace
    trust: FrozenMap[TrustRow] = field(default_factory=FrozenMap)  # certificate authority -> whom proxies trust
    gateways: FrozenMap[GatewayRow] = field(default_factory=FrozenMap)
    routes_at: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # gateway -> names of its Routes
    limited: FrozenMap[FrozenMap[tuple[str, ...]]] = field(
        default_factory=FrozenMap
    )  # namespace -> revisions in force with backends -> these
    shifting: FrozenMap[None] = field(default_factory=FrozenMap)  # services in a weighted shift, or with test traffic
    policies: FrozenMap[FrozenMap[Policy]] = field(default_factory=FrozenMap)  # namespace -> discovery name -> policy
    routes: FrozenMap[FrozenMap[RouteRow]] = field(default_factory=FrozenMap)  # namespace -> Route's name -> route
    routes_of: FrozenMap[FrozenMap[frozenset[str]]] = field(
        default_factory=FrozenMap
    )  # namespace -> DNS name -> Routes
    routes_to: FrozenMap[FrozenMap[frozenset[str]]] = field(
        default_factory=FrozenMap
    )  # namespace -> discovery name -> Routes that lead there
    alone: FrozenMap[FrozenMap[frozenset[tuple[str, str]]]] = field(
        default_factory=FrozenMap
    )  # namespace -> discovery name -> (Route, revision) of those that lead to one revision alone
    tls: FrozenMap[str] = field(default_factory=FrozenMap)  # namespace -> its mode, unless that is off
    secured: FrozenMap[FrozenMap[None]] = field(
        default_factory=FrozenMap
    )  # namespace -> revisions in force with a strict port, and tasks that say something of TLS
    access_policies: FrozenMap[PolicyRow] = field(default_factory=FrozenMap)
    access: FrozenMap[FrozenMap[PolicyRow]] = field(
        default_factory=FrozenMap
    )  # service -> names of the AccessPolicies that select it -> policy
    revisions_of: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # service -> its revisions in force

    def trusted(self) -> str:
        """The certificates that all proxies trust, PEM: of every authority all in force; empty if there is none."""
        return "".join(row.certificates for _, row in sorted(self.trust.items()))


class Drafts:
    """The next Indexes while they are written. Invariant: `base` is never changed; `seal` ends the draft."""

    def __init__(self, base: Indexes) -> None:
        self.services = base.services.draft()
        self.revisions = base.revisions.draft()
        self.tasks = base.tasks.draft()
        self.nodes = base.nodes.draft()
        self.zones = base.zones.draft()
        self.in_force = base.in_force.draft()
        self.tasks_of = NestedDraft(base.tasks_of)
        self.tasks_on = NestedDraft(base.tasks_on)
        self.addresses = NestedDraft(base.addresses)
        self.ports = NestedDraft(base.ports)
        self.aliases = NestedDraft(base.aliases)
        self.referrers = NestedDraft(base.referrers)
        self.proxies = NestedDraft(base.proxies)
        self.tracing = base.tracing.draft()
        self.traced = NestedDraft(base.traced)
        self.registered = base.registered.draft()
        self.trust = base.trust.draft()
        self.gateways = base.gateways.draft()
        self.routes_at = NestedDraft(base.routes_at)
        self.limited = NestedDraft(base.limited)
        self.shifting = base.shifting.draft()
        self.policies = NestedDraft(base.policies)
        self.routes = NestedDraft(base.routes)
        self.routes_of = NestedDraft(base.routes_of)
        self.routes_to = NestedDraft(base.routes_to)
        self.alone = NestedDraft(base.alone)
        self.tls = base.tls.draft()
        self.secured = NestedDraft(base.secured)
        self.access_policies = base.access_policies.draft()
        self.access = NestedDraft(base.access)
        self.revisions_of = NestedDraft(base.revisions_of)

    def seal(self) -> Indexes:
        return Indexes(**{table.name: getattr(self, table.name).seal() for table in fields(Indexes)})


@dataclass(slots=True)
class Touched:
    """Names of everything whose resources may differ between two Views.

    It may list more than what does differ: translation compares inputs before it encodes anything.
    """

    namespaces: set[str] = field(default_factory=set)
    revisions: set[str] = field(default_factory=set)
    ports: set[tuple[str, str]] = field(default_factory=set)  # (namespace, discovery name) whose settings may differ
    endpoints: set[tuple[str, str]] = field(
        default_factory=set
    )  # (namespace, discovery name) whose serving tasks may differ
    aliases: set[tuple[str, str, int]] = field(default_factory=set)  # (namespace, DNS name, port)
    gateways: set[str] = field(default_factory=set)  # whose ports or Routes may differ
    access: set[str] = field(default_factory=set)  # services whose AccessPolicies may differ
    trust: set[str] = field(default_factory=set)  # certificate authorities of which others may be trusted
    zones: set[str] = field(default_factory=set)  # that came or went: what prefers a zone may differ everywhere

    def __bool__(self) -> bool:
        return len(self) > 0

    def __len__(self) -> int:
        return sum(len(getattr(self, part.name)) for part in fields(self))

    def add(self, other: Touched) -> None:
        for part in fields(self):
            getattr(self, part.name).update(getattr(other, part.name))

    def add_everything(self, tables: Indexes) -> None:
        """Have every assignment and every route compared: how many zones there are decides what a zone prefers."""
        for namespace, names in tables.ports.items():
            self.endpoints.update((namespace, name) for name in names)
        self.gateways.update(tables.gateways)
        for namespace, aliases in tables.aliases.items():
            self.aliases.update(
                (namespace, name, provider.port) for name, providers in aliases.items() for provider in providers
            )
