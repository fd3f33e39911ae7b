"""Brings the tables of a View from one registry revision to the next, at the cost of what changed.

A service revision is *in force* while new tasks of its service are made from it, or while a task of it is alive; only then
does it provide discovery names and aliases. The one rule: all changes are written to the tables first, and only then is it
decided which revisions are in force, so the order of changes within a commit makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.mesh import externals, registered, rows
from tsunagu.mesh.access import policies as access
from tsunagu.mesh.frozenmap import exclude, include, mark, put
from tsunagu.mesh.indexes import AliasProvider, Drafts, Indexes, PortProvider, Touched
from tsunagu.mesh.traffic import reading
from tsunagu.model import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tsunagu.mesh.rows import RevisionRow, TaskRow
    from tsunagu.mesh.traffic.reading import RouteRow
    from tsunagu.v1 import objects_pb2

    #: kind, name, the object before (not read: the tables have it), the object now, or None if it was deleted
    Change = tuple[str, str, objects_pb2.Object | None, objects_pb2.Object | None]


def advance(base: Indexes, changes: Iterable[Change]) -> tuple[Indexes, Touched]:
    """Return the tables after `changes`, and what the changes may have affected."""
    step = _Step(base)
    for kind, name, _, new in changes:
        write = _WRITERS.get(kind)
        if write is not None:
            write(step, name, new)
    step.decide_force()
    tables = step.drafts.seal()
    if step.touched.zones and tables.zones.keys() != base.zones.keys():
        step.touched.add_everything(tables)
    return tables, step.touched


class _Step:
    """One advance: the next tables while they are written, what is touched, and which revisions to decide on again.

    Invariant: after each change the tables hold its rows; `in_force`, `ports`, `aliases` and `touched` are right for a
    revision in one of the three sets only after `decide_force`.
    """

    def __init__(self, base: Indexes) -> None:
        self.drafts = Drafts(base)
        self.touched = Touched()
        self._undecided: set[str] = set()  # revisions that may have come into force, or may no longer be
        self._reordered: set[str] = set()  # revisions whose precedence over others of the same names may have changed
        self._replaced: set[str] = (
            set()
        )  # services that came, went, or came anew: so do all their revisions' precedences
        self._moved: set[str] = set()  # revisions whose serving tasks may have changed
        self._reregistered: set[str] = set()  # services of Cloud Map that may offer something else
        self._remoded: set[str] = set()  # namespaces whose mode has changed
        self._distrusted = False  # whether other authorities are trusted
        self._secured = {*base.tls, *base.secured}  # namespaces in which TLS may be spoken
        self._routed = len(base.routes_to) > 0  # whether there may be a Route
        self._ruled: set[tuple[str, str]] = set()  # discovery names whose policy has changed
        self._retraced: set[str] = set()  # namespaces in which other requests may be traced, or elsewhere
        self._resecured: set[str] = set()  # revisions whose ports may be secured otherwise

    # -- rows -----------------------------------------------------------------------------------------------------

    def service(self, name: str, new: objects_pb2.Object | None) -> None:
        before = self.drafts.services.get(name)
        after = None if new is None else rows.of_service(new)
        if before == after:
            return
        put(self.drafts.services, name, after)
        both = [row for row in (before, after) if row is not None]
        desired = {row.desired for row in both if row.desired}
        self._undecided |= desired
        self._reordered |= desired
        self._reordered.update(row.tested for row in both if row.tested)
        if {row.shares for row in both} != {()}:
            self._moved |= desired.union(revision for row in both for revision, _ in row.shares)
        if (before is not None and before.shifting) or (after is not None and after.shifting):
            mark(self.drafts.shifting, name, present=after is not None and after.shifting)
        if before is None or after is None or before.created != after.created:
            self._replaced.add(name)

    def revision(self, name: str, new: objects_pb2.Object | None) -> None:
        put(self.drafts.revisions, name, None if new is None else rows.of_revision(new))
        self._undecided.add(name)

    def task(self, name: str, new: objects_pb2.Object | None) -> None:
        self._put_task(name, None if new is None else rows.of_task(new))

    def registered(self, name: str, new: objects_pb2.Object | None) -> None:
        put(self.drafts.registered, name, None if new is None else registered.of_service(new))
        self._reregistered.add(name)

    def instance(self, name: str, new: objects_pb2.Object | None) -> None:
        self._put_task(registered.PREFIX + name, None if new is None else registered.of_instance(name, new))
        self._reregistered.add(ids.cloud_map_service_of(name)[0])

    def external(self, name: str, new: objects_pb2.Object | None) -> None:
        revision = externals.revision_name(name)
        rows_now = externals.of_addresses(new) if new is not None else {}
        for gone in {row.name for row in self.drafts.tasks_of.peek(revision).values()} - rows_now.keys():
            self._put_task(gone, None)
        for row in rows_now.values():
            self._put_task(row.name, row)
        put(self.drafts.revisions, revision, None if new is None else externals.of_external(new))
        self._undecided.add(revision)

    def _put_task(self, name: str, after: TaskRow | None) -> None:
        before = self.drafts.tasks.get(name)
        if before == after:
            return
        put(self.drafts.tasks, name, after)
        if before is not None:
            self._list_task(before, present=False)
        if after is not None:
            self._list_task(after, present=True)

    def node(self, name: str, new: objects_pb2.Object | None) -> None:
        before, after = self.drafts.nodes.get(name), None if new is None else tuple(new.node.zones)
        if before == after:
            return
        put(self.drafts.nodes, name, after)
        for zone in before or ():
            self._count_zone(zone, -1)
        for zone in after or ():
            self._count_zone(zone, +1)
        if (before is None) != (after is None):
            self._moved.update(self.drafts.tasks_on.peek(name).values())

    def _count_zone(self, zone: str, change: int) -> None:
        count = (self.drafts.zones.get(zone) or 0) + change
        put(self.drafts.zones, zone, count or None)
        self.touched.zones.add(zone)

    def address(self, name: str, new: objects_pb2.Object | None) -> None:
        namespace, _, dns_name = name.partition("/")
        table = self.drafts.addresses.inner(namespace)
        before = table.get(dns_name)
        after = rows.of_address(new) if new is not None else None
        if before == after:
            return
        put(table, dns_name, after)
        self._touch_alias(namespace, dns_name)

    def route(self, name: str, new: objects_pb2.Object | None) -> None:
        namespace = name.partition("/")[0]
        table = self.drafts.routes.inner(namespace)
        before, after = table.get(name), None if new is None else reading.route(name, new.route)
        if before == after:
            return
        self._routed = True
        put(table, name, after)
        for row, edit in ((before, exclude), (after, include)):
            if row is not None:
                if row.front.gateway:
                    mark(self.drafts.routes_at.inner(row.front.gateway), name, present=edit is include)
                else:
                    edit(self.drafts.routes_of.inner(namespace), row.front.dns_name, name)
                for to in row.destinations():
                    edit(self.drafts.routes_to.inner(namespace), to.discovery_name, name)
                    if to.revision:
                        edit(self.drafts.alone.inner(namespace), to.discovery_name, (name, to.revision))
                self._touch_route(row)

    def gateway(self, name: str, new: objects_pb2.Object | None) -> None:
        before, after = self.drafts.gateways.get(name), None if new is None else rows.of_gateway(new)
        if before != after:
            put(self.drafts.gateways, name, after)
            self.touched.gateways.add(name)

    def policy(self, name: str, new: objects_pb2.Object | None) -> None:
        namespace, _, discovery_name = name.partition("/")
        table = self.drafts.policies.inner(namespace)
        before, after = table.get(discovery_name), None if new is None else reading.policy(new.traffic_policy)
        if before != after:
            put(table, discovery_name, after)
            self.touched.ports.add((namespace, discovery_name))
            self._ruled.add((namespace, discovery_name))

    def access_policy(self, name: str, new: objects_pb2.Object | None) -> None:
        """List a policy under the service that it selects."""
        after = None if new is None else access.policy(name, new.access_policy)
        before = self.drafts.access_policies.get(name)
        if before == after:
            return
        put(self.drafts.access_policies, name, after)
        for row, present in ((before, False), (after, True)):
            if row is not None:
                put(self.drafts.access.inner(row.service), name, row if present else None)
                self.touched.access.add(row.service)

    def namespace(self, name: str, new: objects_pb2.Object | None) -> None:
        self._refer(name, "Namespace", present=new is not None)
        tracing = rows.of_tracing(new) if new is not None else None
        if tracing != self.drafts.tracing.get(name):
            put(self.drafts.tracing, name, tracing)
            self._retraced.add(name)
        mode = rows.of_mode(new) if new is not None else None
        if mode != self.drafts.tls.get(name):
            put(self.drafts.tls, name, mode)
            self._remoded.add(name)

    def trust(self, name: str, new: objects_pb2.Object | None) -> None:
        before, after = self.drafts.trust.get(name), None if new is None else rows.of_trust(new)
        if before != after:
            put(self.drafts.trust, name, after)
            self.touched.trust.add(name)
            self._distrusted = True

    def _list_task(self, task: TaskRow, *, present: bool) -> None:
        """Add a task to the tables that list tasks, or take it out."""
        if task.revision:
            put(self.drafts.tasks_of.inner(task.revision), task.name, task if present else None)
            put(self.drafts.tasks_on.inner(task.node), task.name, task.revision if present else None)
            self._undecided.add(task.revision)
            if task.serving:
                self._moved.add(task.revision)
            if task.namespace in self._secured or task.ready or task.alone:
                self._resecured.add(task.revision)
                self.touched.namespaces.add(task.namespace)
                mark(
                    self.drafts.secured.inner(task.namespace),
                    "Task/" + task.name,
                    present=present and task.alive and bool(task.ready or task.alone),
                )
        elif task.gateway and task.alive:
            self._refer(task.namespace, "Task/" + task.name, present=present)
        if task.proxied:
            mark(self.drafts.proxies.inner(task.namespace), task.name, present=present)

    def _refer(self, namespace: str, referrer: str, *, present: bool) -> None:
        """A namespace exists for proxies while something refers to it: its object, a revision, a gateway's task."""
        if namespace:
            mark(self.drafts.referrers.inner(namespace), referrer, present=present)
            self.touched.namespaces.add(namespace)

    # -- which revisions are in force -----------------------------------------------------------------------------

    def decide_force(self) -> None:
        """Update `in_force` and the tables of names, and add to `touched` what the revisions in question provide."""
        for service in self._reregistered:
            self._register(service)
        for name in self._undecided:
            before = self.drafts.in_force.get(name)
            after = self.drafts.revisions.get(name) if self._is_in_force(name) else None
            if before != after:
                put(self.drafts.in_force, name, after)
                self._list_revision(before, present=False)
                self._list_revision(after, present=True)
        if self._replaced:  # seldom enough to look at every revision
            self._reordered.update(row.name for row in self.drafts.in_force.values() if row.service in self._replaced)
        for revision in self._those_in_force(self._reordered):
            self._touch_names(revision)
        for revision in self._those_in_force(self._moved):
            self._touch_endpoints(revision)
        for namespace in self._retraced:
            self._touch_traced(namespace)
        if self._distrusted:
            self._remoded.update(self._secured)
        for namespace in self._remoded:
            self._touch_secured(namespace)
        for revision in self._those_in_force(self._resecured):
            self._touch_all(revision)
        for namespace, discovery_name in self._ruled:
            self._touch_what_leads_to(namespace, discovery_name)

    def _register(self, service: str) -> None:
        """Make a service of Cloud Map what it is with the instances that it has now."""
        name, row = registered.revision_name(service), self.drafts.registered.get(service)
        instances = self.drafts.tasks_of.peek(name).values()
        put(self.drafts.revisions, name, None if row is None else registered.revision(row, instances))
        self._undecided.add(name)

    def _those_in_force(self, names: Iterable[str]) -> Iterator[RevisionRow]:
        return (row for name in names if (row := self.drafts.in_force.get(name)) is not None)

    def _is_in_force(self, name: str) -> bool:
        revision = self.drafts.revisions.get(name)
        if revision is None or not revision.connect:
            return False
        service = self.drafts.services.get(revision.service)
        if service is not None and service.desired == name:
            return True
        return any(task.alive for task in self.drafts.tasks_of.peek(name).values())

    def _list_revision(self, revision: RevisionRow | None, *, present: bool) -> None:
        """Add a revision to the providers of its names, or take it out."""
        if revision is None:
            return
        edit = include if present else exclude
        ports, aliases = self.drafts.ports.inner(revision.namespace), self.drafts.aliases.inner(revision.namespace)
        for slot, port in enumerate(revision.ports):
            edit(ports, port.discovery_name, PortProvider(revision.name, slot))
            for dns_name, number in port.aliases:
                edit(aliases, dns_name, AliasProvider(number, revision.name, slot))
        self._refer(revision.namespace, "ServiceRevision/" + revision.name, present=present)
        mark(self.drafts.revisions_of.inner(revision.service), revision.name, present=present)
        if revision.backends:
            put(self.drafts.limited.inner(revision.namespace), revision.name, revision.backends if present else None)
        if any(port.strict for port in revision.ports):
            mark(self.drafts.secured.inner(revision.namespace), "ServiceRevision/" + revision.name, present=present)
        if revision.tracing:
            traced = self.drafts.traced.inner(revision.namespace)
            before = len(traced)
            mark(traced, revision.name, present=present)
            if not before or not len(traced):
                self._retraced.add(revision.namespace)
        self._touch_all(revision)

    # -- what is touched ------------------------------------------------------------------------------------------

    def _touch_all(self, revision: RevisionRow) -> None:
        if not revision.registered:
            self.touched.revisions.add(revision.name)
        self._touch_names(revision)
        self._touch_endpoints(revision)

    def _touch_names(self, revision: RevisionRow) -> None:
        for port in revision.ports:
            self.touched.ports.add((revision.namespace, port.discovery_name))
            for dns_name, number in port.aliases:
                self.touched.aliases.add((revision.namespace, dns_name, number))
            self._touch_routes_to(revision.namespace, port.discovery_name)

    def _touch_what_leads_to(self, namespace: str, discovery_name: str) -> None:
        """The aliases of a discovery name, and those of which a Route leads there."""
        for provider in self.drafts.ports.peek(namespace).get(discovery_name) or ():
            revision = self.drafts.in_force[provider.revision]
            for dns_name, number in revision.ports[provider.slot].aliases:
                self.touched.aliases.add((namespace, dns_name, number))
        self._touch_routes_to(namespace, discovery_name)

    def _touch_routes_to(self, namespace: str, discovery_name: str) -> None:
        if not self._routed:  # nearly always there is none
            return
        for name in self.drafts.routes_to.peek(namespace).get(discovery_name) or ():
            row = self.drafts.routes.peek(namespace).get(name)
            if row is not None:
                self._touch_route(row)

    def _touch_route(self, row: RouteRow) -> None:
        """Where the requests of a Route come in, and where they go: a destination may need a cluster of its own."""
        if row.front.gateway:
            self.touched.gateways.add(row.front.gateway)
        else:
            self._touch_alias(row.namespace, row.front.dns_name)
        self.touched.ports.update((row.namespace, to.discovery_name) for to in row.destinations())

    def _touch_alias(self, namespace: str, dns_name: str) -> None:
        for provider in self.drafts.aliases.peek(namespace).get(dns_name) or ():
            self.touched.aliases.add((namespace, dns_name, provider.port))

    def _touch_traced(self, namespace: str) -> None:
        """All names of a namespace, since each alias's listener and route say something of tracing; and who traces."""
        self.touched.namespaces.add(namespace)
        self.touched.revisions.update(name for name, _ in self.drafts.traced.peek(namespace).items())
        for dns_name, providers in self.drafts.aliases.peek(namespace).items():
            self.touched.aliases.update((namespace, dns_name, provider.port) for provider in providers)

    def _touch_secured(self, namespace: str) -> None:
        """Everything that says how the namespace's tasks speak with each other."""
        self.touched.namespaces.add(namespace)
        for providers in self.drafts.ports.peek(namespace).values():
            for revision in self._those_in_force({provider.revision for provider in providers}):
                self._touch_all(revision)

    def _touch_endpoints(self, revision: RevisionRow) -> None:
        for port in revision.ports:
            self.touched.endpoints.add((revision.namespace, port.discovery_name))


_WRITERS: Final[Mapping[str, Callable[[_Step, str, objects_pb2.Object | None], None]]] = {
    "Service": _Step.service,
    "ServiceRevision": _Step.revision,
    "Task": _Step.task,
    "Node": _Step.node,
    "VirtualAddress": _Step.address,
    "Namespace": _Step.namespace,
    "CloudMapService": _Step.registered,
    "CloudMapInstance": _Step.instance,
    "External": _Step.external,
    "Gateway": _Step.gateway,
    "Route": _Step.route,
    "TrafficPolicy": _Step.policy,
    "AccessPolicy": _Step.access_policy,
    "TrustBundle": _Step.trust,
}
