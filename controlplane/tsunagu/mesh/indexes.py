"""The tables that a View is made of, and what a change of them touches.

Every table is a FrozenMap, so two Views share what did not change between them. The one rule: tables hold facts and
claims; who wins when several claim one name is decided on reading (`view.py`), so no order of changes can show.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from tsunagu.mesh.frozenmap import FrozenMap, NestedDraft

if TYPE_CHECKING:
    from tsunagu.mesh.rows import RevisionFacts, ServiceFacts, TaskFacts


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A revision in force serves a discovery name with its port number `slot`."""

    revision: str
    slot: int


@dataclass(frozen=True, slots=True)
class AliasClaim:
    """A revision in force is called at a DNS name and `port`; its port number `slot` answers."""

    port: int
    revision: str
    slot: int


@dataclass(frozen=True, slots=True)
class Indexes:
    """Outer key first: `ports` is namespace -> discovery name -> claims, `addresses` is namespace -> DNS name -> IP."""

    services: FrozenMap[ServiceFacts] = field(default_factory=FrozenMap)
    revisions: FrozenMap[RevisionFacts] = field(default_factory=FrozenMap)
    tasks: FrozenMap[TaskFacts] = field(default_factory=FrozenMap)
    nodes: FrozenMap[None] = field(default_factory=FrozenMap)
    claimed: FrozenMap[RevisionFacts] = field(default_factory=FrozenMap)  # revisions in force
    tasks_of: FrozenMap[FrozenMap[TaskFacts]] = field(default_factory=FrozenMap)  # revision -> task
    tasks_on: FrozenMap[FrozenMap[str]] = field(default_factory=FrozenMap)  # node -> task -> revision
    addresses: FrozenMap[FrozenMap[str]] = field(default_factory=FrozenMap)
    ports: FrozenMap[FrozenMap[frozenset[PortClaim]]] = field(default_factory=FrozenMap)
    aliases: FrozenMap[FrozenMap[frozenset[AliasClaim]]] = field(default_factory=FrozenMap)
    referrers: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # namespace -> what makes it exist
    proxies: FrozenMap[FrozenMap[None]] = field(default_factory=FrozenMap)  # namespace -> task in a PROXIED state


class Drafts:
    """The next Indexes while they are written."""

    def __init__(self, base: Indexes) -> None:
        self.services = base.services.draft()
        self.revisions = base.revisions.draft()
        self.tasks = base.tasks.draft()
        self.nodes = base.nodes.draft()
        self.claimed = base.claimed.draft()
        self.tasks_of = NestedDraft(base.tasks_of)
        self.tasks_on = NestedDraft(base.tasks_on)
        self.addresses = NestedDraft(base.addresses)
        self.ports = NestedDraft(base.ports)
        self.aliases = NestedDraft(base.aliases)
        self.referrers = NestedDraft(base.referrers)
        self.proxies = NestedDraft(base.proxies)

    def seal(self) -> Indexes:
        return Indexes(**{table.name: getattr(self, table.name).seal() for table in fields(Indexes)})


@dataclass(slots=True)
class Touched:
    """Whose inputs may differ between two Views. A superset: translation compares before it encodes anything."""

    namespaces: set[str] = field(default_factory=set)
    revisions: set[str] = field(default_factory=set)
    ports: set[tuple[str, str]] = field(default_factory=set)  # (namespace, discovery name): its settings
    endpoints: set[tuple[str, str]] = field(default_factory=set)  # (namespace, discovery name): who serves it
    aliases: set[tuple[str, str, int]] = field(default_factory=set)  # (namespace, DNS name, port)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __len__(self) -> int:
        return sum(len(getattr(self, part.name)) for part in fields(self))

    def add(self, other: Touched) -> None:
        for part in fields(self):
            getattr(self, part.name).update(getattr(other, part.name))
