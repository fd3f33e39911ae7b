"""Answers of Service Discovery's DNS: which records a name has, by the services of Cloud Map and their instances.

The one rule: pure. What is random (which 8 of more instances, in which order) is the caller's argument, so that an answer can be
computed anywhere: in the node agent, and in a command that says why.

Sources: Cloud Map API Reference (DnsConfig, RoutingPolicy: MULTIVALUE up to eight healthy ones, WEIGHTED one; all when none is
healthy), RFC 1035, RFC 2308 (an answer without records carries the zone's SOA, whose TTL bounds how long it may be kept), RFC 2782.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from tsunagu.mesh.discovery.instances import CNAME, IPV4, IPV6

if TYPE_CHECKING:
    from tsunagu.mesh.discovery.instances import Instance

MOST: Final = 8
"""How many instances an answer of MULTIVALUE has."""
DEFAULT_SOA_TTL: Final = 15
"""Seconds: Cloud Map's for a private DNS namespace."""
WEIGHTED: Final = "WEIGHTED"
_ADDRESSES: Final = ("A", "AAAA")

Pick = Callable[[Sequence["Instance"], int], Sequence["Instance"]]
"""Returns at most so many of the instances, in the order in which they are to be told."""


class Audience(Enum):
    """Who asks: a task of the mesh, or a program of the machine, which reaches tasks by their twins."""

    TASK = "task"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Zone:
    """A DNS namespace of Cloud Map. `name` has no dot at its end and no capitals."""

    name: str
    soa_ttl: int = DEFAULT_SOA_TTL


@dataclass(frozen=True, slots=True)
class Entry:
    """A service of Cloud Map with DNS: `label`.`zone`. `ttl`: seconds, by the types of record that it has."""

    label: str
    zone: Zone
    policy: str
    ttl: Mapping[str, int]
    instances: Sequence[Instance]

    @property
    def name(self) -> str:
        return f"{self.label}.{self.zone.name}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `value`: as a zone file has it, with names that have a dot at their end."""

    name: str
    type: str
    ttl: int
    value: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one instance: given in the answer, or why not."""

    instance: Instance
    given: bool
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with authority. `exists`: False is NXDOMAIN. Without `records` it carries `soa`."""

    exists: bool
    records: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    soa: Record | None = None
    told: Sequence[Told] = field(default=(), compare=False)


class Directory(Protocol):
    """What there is to be found."""

    def zone_of(self, name: str) -> Zone | None:
        """Return the zone in which a name lies, the longest."""
        ...

    def entry(self, zone: Zone, label: str) -> Entry | None: ...

    def has_below(self, zone: Zone, label: str) -> bool:
        """Return whether a service's name ends with `.label`: a name without records that exists all the same."""
        ...


def answer(directory: Directory, question: tuple[str, str], audience: Audience, pick: Pick) -> Answer | None:
    """Return the answer to `question`: a name without capitals and without a dot at its end, and a type; None when the name
    lies in no zone of the mesh.
    """
    name, kind = question
    zone = directory.zone_of(name)
    if zone is None:
        return None
    label = name.removesuffix(zone.name).removesuffix(".")
    if not label:
        return _apex(zone, kind)
    if (entry := directory.entry(zone, label)) is not None:
        return _of_service(entry, kind, audience, pick)
    instance, _, service = label.partition(".")
    parent = directory.entry(zone, service) if service else None
    if parent is not None and (one := _instance(parent, instance)) is not None:
        return _of_instance(parent, one, kind, audience)
    return Answer(exists=directory.has_below(zone, label), soa=soa(zone))


def soa(zone: Zone) -> Record:
    """Return the zone's SOA record. It has no serial that grows: nobody transfers the zone."""
    value = f"ns.{zone.name}. hostmaster.{zone.name}. 1 7200 900 1209600 {zone.soa_ttl}"
    return Record(zone.name, "SOA", zone.soa_ttl, value)


def _apex(zone: Zone, kind: str) -> Answer:
    own = soa(zone)
    if kind in ("SOA", "ANY"):
        return Answer(exists=True, records=(own,))
    if kind == "NS":
        return Answer(exists=True, records=(Record(zone.name, "NS", zone.soa_ttl, f"ns.{zone.name}."),))
    return Answer(exists=True, soa=own)


def _of_service(entry: Entry, kind: str, audience: Audience, pick: Pick) -> Answer:
    chosen, told = choose(entry, audience, pick)
    if "CNAME" in entry.ttl:
        kind = "CNAME"  # whatever is asked for, that is what the name has
    records = tuple(record for one in chosen if (record := _record(entry, entry.name, one, kind, audience)) is not None)
    if kind not in entry.ttl or not records:
        return Answer(exists=True, soa=soa(entry.zone), told=told)
    more = [_record(entry, target(entry, one), one, each, audience) for one in chosen for each in _ADDRESSES]
    additional = tuple(record for record in more if record is not None) if kind == "SRV" else ()
    return Answer(exists=True, records=records, additional=additional, told=told)


def choose(entry: Entry, audience: Audience, pick: Pick) -> tuple[Sequence[Instance], Sequence[Told]]:
    """Return the instances that an answer gives, and what became of each."""
    told = [Told(one, given=False, why=why) for one in entry.instances if (why := _unfit(one, audience))]
    fit = [one for one in entry.instances if not _unfit(one, audience)]
    healthy = [one for one in fit if one.healthy]
    told += [Told(one, given=False, why="UNHEALTHY") for one in fit if healthy and not one.healthy]
    most = 1 if entry.policy == WEIGHTED else MOST
    chosen = pick(healthy or fit, most)
    why = "HEALTHY" if healthy else "UNHEALTHY, as all are"
    for one in healthy or fit:
        given = one in chosen
        told.append(Told(one, given, why if given else f"{why}, and an answer has {most} at most"))
    return chosen, told


def target(entry: Entry, instance: Instance) -> str:
    """Return the name of one instance, to which SRV records lead."""
    return f"{instance.id}.{entry.name}"


def _instance(entry: Entry, wanted: str) -> Instance | None:
    """Return the instance of that ID. A task that stops is one: who was led to its name a moment ago may ask where it is."""
    if "SRV" not in entry.ttl:
        return None
    there = (one for one in entry.instances if not one.absent or one.attributes.get(IPV4))
    return next((one for one in there if one.id.lower() == wanted), None)


def _of_instance(entry: Entry, one: Instance, kind: str, audience: Audience) -> Answer:
    record = _record(entry, target(entry, one), one, kind, audience) if kind in _ADDRESSES else None
    return Answer(exists=True, records=(record,)) if record else Answer(exists=True, soa=soa(entry.zone))


def _unfit(one: Instance, audience: Audience) -> str:
    """Return why an instance is never given to this audience; empty if it may be."""
    if one.absent:
        return one.absent
    if audience is Audience.MACHINE and one.outside is None and one.task:
        return "it has no twin on this machine"
    return ""


def _record(entry: Entry, name: str, one: Instance, kind: str, audience: Audience) -> Record | None:
    """Return the record of a type that an instance gives a name; None when its attributes do not say it."""
    ttl = entry.ttl.get(kind, entry.ttl.get("SRV", 0))
    value = _VALUES[kind](entry, one, audience) if kind in _VALUES else ""
    return Record(name, kind, ttl, value) if value else None


def _ipv4(_: Entry, one: Instance, audience: Audience) -> str:
    if audience is Audience.MACHINE and one.outside is not None:
        return one.outside.ip
    return one.attributes.get(IPV4, "")


def _ipv6(_: Entry, one: Instance, __: Audience) -> str:
    return one.attributes.get(IPV6, "")


def _srv(entry: Entry, one: Instance, audience: Audience) -> str:
    outside = one.outside if audience is Audience.MACHINE else None
    port = outside.port(one.port) if outside is not None else one.port
    return f"1 1 {port} {target(entry, one)}." if port else ""


def _cname(_: Entry, one: Instance, __: Audience) -> str:
    name = one.attributes.get(CNAME, "").rstrip(".")
    return f"{name}." if name else ""


_VALUES: Mapping[str, Callable[[Entry, Instance, Audience], str]] = {
    "A": _ipv4,
    "AAAA": _ipv6,
    "SRV": _srv,
    "CNAME": _cname,
}
