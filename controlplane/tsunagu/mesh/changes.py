"""From one revision's tables to the next, at the cost of what changed.

A service revision is *in force* while it is the wanted one of its service or a task of it is alive; only then does it
claim discovery names and aliases. The one rule: facts are written first, for all changes, and force is judged after,
so the order of changes inside a commit cannot matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tsunagu.mesh import rows
from tsunagu.mesh.indexes import AliasClaim, Drafts, Indexes, PortClaim, Touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tsunagu.mesh.frozenmap import Draft
    from tsunagu.mesh.rows import RevisionFacts, TaskFacts
    from tsunagu.v1 import objects_pb2

    #: kind, name, the object before (not read: the tables know), the object now or None when it is deleted
    Change = tuple[str, str, objects_pb2.Object | None, objects_pb2.Object | None]

V = TypeVar("V")
C = TypeVar("C")


def advance(base: Indexes, changes: Iterable[Change]) -> tuple[Indexes, Touched]:
    """The tables after `changes`, and what they touch."""
    step = _Step(base)
    for kind, name, _, new in changes:
        write = _WRITERS.get(kind)
        if write is not None:
            write(step, name, new)
    step.judge()
    return step.drafts.seal(), step.touched


class _Step:
    """One advance: the tables under the pen, what is touched, and the revisions to be judged again."""

    def __init__(self, base: Indexes) -> None:
        self.drafts = Drafts(base)
        self.touched = Touched()
        self._suspects: set[str] = set()  # whether they are in force may have changed
        self._reordered: set[str] = set()  # who wins their names may have changed
        self._moved: set[str] = set()  # where their tasks are may have changed

    # -- facts ----------------------------------------------------------------------------------------------------

    def service(self, name: str, new: objects_pb2.Object | None) -> None:
        before = self.drafts.services.get(name)
        after = None if new is None else rows.of_service(new)
        if before == after:
            return
        _put(self.drafts.services, name, after)
        wanted = {row.wanted for row in (before, after) if row is not None and row.wanted}
        self._suspects |= wanted
        self._reordered |= wanted

    def revision(self, name: str, new: objects_pb2.Object | None) -> None:
        _put(self.drafts.revisions, name, None if new is None else rows.of_revision(new))
        self._suspects.add(name)

    def task(self, name: str, new: objects_pb2.Object | None) -> None:
        before = self.drafts.tasks.get(name)
        after = None if new is None else rows.of_task(new)
        if before == after:
            return
        _put(self.drafts.tasks, name, after)
        if before is not None:
            self._forget(before)
        if after is not None:
            self._remember(after)

    def node(self, name: str, new: objects_pb2.Object | None) -> None:
        if (new is not None) == (name in self.drafts.nodes):
            return
        if new is None:
            self.drafts.nodes.discard(name)
        else:
            self.drafts.nodes[name] = None
        self._moved.update(self.drafts.tasks_on.peek(name).values())

    def address(self, name: str, new: objects_pb2.Object | None) -> None:
        namespace, _, dns_name = name.partition("/")
        table = self.drafts.addresses.inner(namespace)
        before = table.get(dns_name)
        after = new.virtual_address.ip if new is not None else ""
        if (before or "") == after:
            return
        _put(table, dns_name, after or None)
        for claim in self.drafts.aliases.peek(namespace).get(dns_name) or ():
            self.touched.aliases.add((namespace, dns_name, claim.port))

    def namespace(self, name: str, new: objects_pb2.Object | None) -> None:
        self._refer(name, "Namespace", present=new is not None)

    def _remember(self, task: TaskFacts) -> None:
        if task.revision:
            self.drafts.tasks_of.inner(task.revision)[task.name] = task
            self.drafts.tasks_on.inner(task.node)[task.name] = task.revision
            self._suspects.add(task.revision)
            if task.serving:
                self._moved.add(task.revision)
        elif task.gateway and task.alive:
            self._refer(task.namespace, "Task/" + task.name, present=True)
        if task.proxied:
            self.drafts.proxies.inner(task.namespace)[task.name] = None

    def _forget(self, task: TaskFacts) -> None:
        if task.revision:
            self.drafts.tasks_of.inner(task.revision).discard(task.name)
            self.drafts.tasks_on.inner(task.node).discard(task.name)
            self._suspects.add(task.revision)
            if task.serving:
                self._moved.add(task.revision)
        elif task.gateway and task.alive:
            self._refer(task.namespace, "Task/" + task.name, present=False)
        if task.proxied:
            self.drafts.proxies.inner(task.namespace).discard(task.name)

    def _refer(self, namespace: str, who: str, *, present: bool) -> None:
        """A namespace exists for proxies while something refers to it: its object, a revision, a gateway's task."""
        if not namespace:
            return
        table = self.drafts.referrers.inner(namespace)
        if present:
            table[who] = None
        else:
            table.discard(who)
        self.touched.namespaces.add(namespace)

    # -- force ----------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        for name in self._suspects:
            before = self.drafts.claimed.get(name)
            after = self.drafts.revisions.get(name) if self._in_force(name) else None
            if before != after:
                self._withdraw(before)
                self._claim(after)
        for revision in self._claimed(self._reordered):
            self._touch_names(revision)
        for revision in self._claimed(self._moved):
            self._touch_endpoints(revision)

    def _claimed(self, names: Iterable[str]) -> Iterator[RevisionFacts]:
        return (row for name in names if (row := self.drafts.claimed.get(name)) is not None)

    def _in_force(self, name: str) -> bool:
        revision = self.drafts.revisions.get(name)
        if revision is None or not revision.connect:
            return False
        service = self.drafts.services.get(revision.service)
        if service is not None and service.wanted == name:
            return True
        return any(task.alive for task in self.drafts.tasks_of.peek(name).values())

    def _claim(self, revision: RevisionFacts | None) -> None:
        if revision is None:
            return
        self.drafts.claimed[revision.name] = revision
        ports, aliases = self.drafts.ports.inner(revision.namespace), self.drafts.aliases.inner(revision.namespace)
        for slot, port in enumerate(revision.ports):
            _include(ports, port.discovery_name, PortClaim(revision.name, slot))
            for dns_name, number in port.aliases:
                _include(aliases, dns_name, AliasClaim(number, revision.name, slot))
        self._refer(revision.namespace, "ServiceRevision/" + revision.name, present=True)
        self._touch_all(revision)

    def _withdraw(self, revision: RevisionFacts | None) -> None:
        if revision is None:
            return
        self.drafts.claimed.discard(revision.name)
        ports, aliases = self.drafts.ports.inner(revision.namespace), self.drafts.aliases.inner(revision.namespace)
        for slot, port in enumerate(revision.ports):
            _exclude(ports, port.discovery_name, PortClaim(revision.name, slot))
            for dns_name, number in port.aliases:
                _exclude(aliases, dns_name, AliasClaim(number, revision.name, slot))
        self._refer(revision.namespace, "ServiceRevision/" + revision.name, present=False)
        self._touch_all(revision)

    # -- what is touched ------------------------------------------------------------------------------------------

    def _touch_all(self, revision: RevisionFacts) -> None:
        self.touched.revisions.add(revision.name)
        self._touch_names(revision)
        self._touch_endpoints(revision)

    def _touch_names(self, revision: RevisionFacts) -> None:
        for port in revision.ports:
            self.touched.ports.add((revision.namespace, port.discovery_name))
            for dns_name, number in port.aliases:
                self.touched.aliases.add((revision.namespace, dns_name, number))

    def _touch_endpoints(self, revision: RevisionFacts) -> None:
        for port in revision.ports:
            self.touched.endpoints.add((revision.namespace, port.discovery_name))


def _put(table: Draft[V], name: str, row: V | None) -> None:
    if row is None:
        table.discard(name)
    else:
        table[name] = row


def _include(table: Draft[frozenset[C]], name: str, claim: C) -> None:
    table[name] = (table.get(name) or frozenset()) | {claim}


def _exclude(table: Draft[frozenset[C]], name: str, claim: C) -> None:
    rest = (table.get(name) or frozenset()) - {claim}
    _put(table, name, rest or None)


_WRITERS: Final[Mapping[str, Callable[[_Step, str, objects_pb2.Object | None], None]]] = {
    "Service": _Step.service,
    "ServiceRevision": _Step.revision,
    "Task": _Step.task,
    "Node": _Step.node,
    "VirtualAddress": _Step.address,
    "Namespace": _Step.namespace,
}
