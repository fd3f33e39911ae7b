"""Answers the queries of tasks, and of programs of this machine: the mesh's own names here, all others by the machine's servers.

Rule: the mesh's names win: what lies in a DNS namespace, or is a name of Service Connect in the asking task's namespace, is never
asked for elsewhere. A record of Service Discovery precedes a name of Service Connect, which a task's /etc/hosts already has. An
answer is rendered once and sent again until what it was made of changes; of more than one order, several are kept.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from tsunagu.mesh.discovery.instances import Instance
from tsunagu.mesh.discovery.records import Answer, Audience, Directory, Record, Zone, answer, soa
from tsunagu.model.outside.egress import HOST_NAME
from tsunagu_node.dns import packets
from tsunagu_node.dns.packets import Query, Unanswerable
from tsunagu_node.dns.unknown_names import UnknownNames
from tsunagu_node.dns.upstream import NoUpstream, Upstream
from tsunagu_node.outside.relay.destinations import HOST
from tsunagu_node.task.names import Seen
from tsunagu_node.task.spec import task_id

CONNECT_TTL: Final = 5
"""Seconds that a name of Service Connect may be kept; its virtual address does not change while it is used."""
HOST_TTL: Final = 60
"""Seconds; its address never changes."""
_VARIANTS: Final = 16
_CACHED: Final = 4096
_CHAIN: Final = 8


class Known(Directory, Protocol):
    """What there is to be found; `version` grows with every change of it."""

    @property
    def version(self) -> int: ...

    def address(self, names: "Connected", name: str) -> str:
        """Return the virtual address of a name of Service Connect; empty when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Connected:
    """The names of Service Connect that a task sees: of those of `namespace` (empty: none) the `seen` ones."""

    namespace: str = ""
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a task, or (`task` is empty) any program of this machine. `unknown`: notes names that are not there."""

    task: str = ""
    names: Connected = Connected()
    unknown: UnknownNames = field(default_factory=UnknownNames)

    @property
    def audience(self) -> Audience:
        return Audience.TASK if self.task else Audience.MACHINE


_Key: TypeAlias = tuple[bytes, Connected, Audience, bool]


class Elsewhere(Exception):
    """The name is not the mesh's."""

    def __init__(self, query: Query) -> None:
        super().__init__(query.name)
        self.query = query


class Judge(Protocol):
    """What a task may reach outside of the mesh. `task`: its ID."""

    def refusal(self, task: str, name: str) -> str:
        """Return why it is not told of a name; empty when it is."""
        ...

    async def heard(self, task: str, name: str, answer: bytes) -> None:
        """It is about to be told this answer for the name."""
        ...


class Resolver:
    """`upstream`: the machine's servers, for names that are not the mesh's and that `judge` lets a task ask for."""

    def __init__(self, known: Known, upstream: Upstream, judge: Judge) -> None:
        self._known = known
        self._upstream = upstream
        self._judge = judge
        self._version = -1
        self._rendered: dict[_Key, list[bytes]] = {}

    def local(self, raw: bytes, asker: Asker, *, tcp: bool) -> bytes | None:
        """Return the answer, or None when nothing is to be sent. Raises Elsewhere: what a task may be told is not the same for all."""
        if self._version != self._known.version:
            self._version = self._known.version
            self._rendered.clear()
        key = raw[2:], asker.names, asker.audience, tcp
        kept = self._rendered.get(key, [])
        if len(kept) == _VARIANTS:
            return raw[:2] + random.choice(kept)  # noqa: S311 - which instances come first is no secret
        return self._answered(raw, asker, (key, kept), tcp=tcp)

    async def forwarded(self, raw: bytes, asker: Asker, query: Query, *, tcp: bool) -> bytes:
        """Return what the machine's servers answer."""
        limit = packets.LONGEST if tcp else query.payload
        if not asker.task:  # the machine has name servers of its own
            return packets.failure(query, "no name of this mesh", limit, refused=True)
        if "." not in query.name:  # no name of the internet: a misspelled one of the mesh
            asker.unknown.note(query.name)
        task = task_id(asker.task)
        if refusal := self._judge.refusal(task, query.name):
            return packets.failure(query, refusal, limit, refused=True)
        if query.name == HOST_NAME:
            return packets.render(query, _this_machine(query), limit)
        try:
            answer = await self._upstream.ask(raw, asker.task, tcp=tcp)
        except NoUpstream as error:
            return packets.failure(query, str(error), limit)
        await self._judge.heard(task, query.name, answer)
        return packets.shortened(answer, limit)

    def _answered(self, raw: bytes, asker: Asker, place: tuple[_Key, list[bytes]], *, tcp: bool) -> bytes | None:
        try:
            query = packets.parse(raw)
        except Unanswerable as error:
            return error.reply
        found = self.find(query, asker)
        if not found.exists:
            asker.unknown.note(query.name)
        reply = packets.render(query, found, packets.LONGEST if tcp else query.payload)
        key, kept = place
        if found.exists:  # names that are not there are many
            if len(self._rendered) >= _CACHED:
                self._rendered.clear()
            self._rendered[key] = [*kept, reply[2:]] if found.shuffled else [reply[2:]] * _VARIANTS
        return reply

    def find(self, query: Query, asker: Asker) -> "Found":
        """Return what the mesh knows of the name. Raises Elsewhere."""
        if query.name == HOST_NAME:
            raise Elsewhere(query)
        found = answer(self._known, (query.name, query.type), asker.audience, _shuffled)
        if (found is None or not found.exists) and asker.names.namespace:
            found = self._connected(query, asker.names) or found
        if found is None:
            raise Elsewhere(query)
        shuffled = len(found.told) > 1
        return Found(found.exists, self._chased(found, query, asker), found.additional, found.soa, shuffled=shuffled)

    def _connected(self, query: Query, names: Connected) -> Answer | None:
        ip = self._known.address(names, query.name)
        if not ip:
            return None
        if query.type in ("A", "ANY"):
            return Answer(exists=True, records=(Record(query.name, "A", CONNECT_TTL, ip),))
        return Answer(exists=True, soa=soa(Zone(query.name, CONNECT_TTL)))

    def _chased(self, found: Answer, query: Query, asker: Asker) -> Sequence[Record]:
        """Return its records, and those of the names to which they lead, since the askers follow no CNAME themselves."""
        records = list(found.records)
        for _ in range(_CHAIN):
            if not records or records[-1].type != "CNAME" or query.type == "CNAME":
                break
            name = records[-1].value.removesuffix(".").lower()
            following = answer(self._known, (name, query.type), asker.audience, _shuffled)
            if following is None or not following.records:
                break
            records += following.records
        return records


@dataclass(frozen=True, slots=True)
class Found(Answer):
    """An answer with the records of the names that it leads to. `shuffled`: the next one may be in another order."""

    shuffled: bool = False


def _this_machine(query: Query) -> Answer:
    """Return what host.tsunagu.internal is for a task."""
    if query.type in ("A", "ANY"):
        return Answer(exists=True, records=(Record(HOST_NAME, "A", HOST_TTL, HOST),))
    return Answer(exists=True, soa=soa(Zone(HOST_NAME, HOST_TTL)))


def _shuffled(instances: Sequence[Instance], most: int) -> Sequence[Instance]:
    return random.sample(instances, min(most, len(instances)))
