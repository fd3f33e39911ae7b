"""Resources: what is served. A resource is bytes that were encoded once; its version is the hash of these bytes.

Rule: a version depends on the content alone. So it survives restarts and is the same on every replica, and a client that
reconnects is not sent what it already holds. Responses are assembled from the encoded entries kept here; no body is
encoded twice (docs/protocol.md 1; the numbers in brackets below are sections of that page).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING

from tsunagu.xds import wire

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "type.googleapis.com/"
CDS = _PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SDS = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
LDS = _PREFIX + "envoy.config.listener.v3.Listener"
RDS = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SRDS = _PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VHDS = _PREFIX + "envoy.config.route.v3.VirtualHost"
ECDS = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
RTDS = _PREFIX + "envoy.service.runtime.v3.Runtime"

PLACEHOLDERS = 500  # names without a resource that are answered at a time; between these others are served

WRAPPER = _PREFIX + "envoy.service.discovery.v3.Resource"  # of a SotW resource that says more than its body (10)

DIGEST_BITS = 64
_DIGITS = DIGEST_BITS // 4
SHORTEST_TTL = 1.0  # s; three heartbeats have to fit into it


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of the protocol: its short name, and whether a SotW response is the whole state of it."""

    url: str
    short: str
    full_state: bool = False  # SotW: what a response leaves out is deleted; an empty request is a wildcard (5, 6)
    removable: bool = True  # delta: removed_resources lists what is gone or missing (6: not where that does harm)
    always_answered: bool = False  # the first request of a stream is answered even when versions are equal (4)
    expires: bool = False  # Envoy drops a resource of this type whose TTL has passed; see BadTtl
    repaired: bool = False  # after a NACK the client has to be sent the last good content again (14)
    order: int = 99  # place in a flush: make before break (8)
    aliased: bool = False  # delta: what is missing is told as an alias without a body, for whoever waits for it (15)
    name_field: int | None = 1  # the field of its message that is its name; None: its message does not say it


TYPES: dict[str, ResourceType] = {
    kind.url: kind
    for kind in (
        ResourceType(CDS, "CDS", full_state=True, expires=True, order=0),
        ResourceType(EDS, "EDS", always_answered=True, order=1),
        ResourceType(SDS, "SDS", always_answered=True, removable=False, repaired=True, order=2),
        ResourceType(LDS, "LDS", full_state=True, expires=True, order=3),
        ResourceType(RDS, "RDS", order=4),
        ResourceType(SRDS, "SRDS", order=5),
        ResourceType(VHDS, "VHDS", aliased=True, order=6),
        ResourceType(ECDS, "ECDS", removable=False, repaired=True, order=7),
        ResourceType(RTDS, "RTDS", expires=True, order=8),
    )
}
SHORT: dict[str, str] = {kind.short: url for url, kind in TYPES.items()}


def type_of(url: str) -> ResourceType:
    """Return the type of a url. Of an unknown type requests are accepted, and no resource is ever said not to exist."""
    return TYPES.get(url) or ResourceType(url, url.rpartition(".")[2], removable=False, expires=True, name_field=None)


class BadResource(ValueError):
    """A resource that no client could take, or that would end the streams of all who are sent it."""


class NameMismatch(BadResource):
    """The body of a resource bears another name: Envoy would key it by the one and remove it by the other (6)."""


class BadTtl(BadResource):
    """A TTL too short for heartbeats, or on a type whose resources clients do not drop.

    Measured with Envoy 1.40: clusters, listeners and runtime layers are dropped. Assignments and routes stay in delta, and
    in SotW Envoy dies of a segmentation fault when one expires; the others were not tried.
    """


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one type; `body` is the encoded message, `version` the hash of it (16 hex digits) or the caller's
    own. A client that has not heard of it for `ttl` seconds drops it, if that is given. `aliases` are other names by which
    clients may ask for it (VHDS: ROUTE/HOST). `born`: the caller's revision at which the name came to be, for masks that
    end at one (`Mask.until`); it never reaches a client. 0: it was always there.
    """

    type_url: str
    name: str
    version: str
    body: bytes = field(repr=False)
    ttl: float | None = None
    aliases: tuple[str, ...] = ()
    alias_of: str = ""  # the name that is told: this is the resource of that name, as found under an alias
    born: int = 0
    _delta_entry: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _sotw_entry: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _eds_name: str | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        type_url: str | ResourceType,
        name: str,
        body: bytes,
        *,
        ttl: float | None = None,
        version: str | None = None,
        aliases: Iterable[str] = (),
    ) -> Resource:
        """The resource `name` with this content. `type_url`: also a short name (CDS), or a ResourceType; `version`: the
        caller's, which has to change with the content. Raises BadResource, of which NameMismatch and BadTtl are kinds.
        """
        kind = type_url if isinstance(type_url, ResourceType) else type_of(SHORT.get(type_url, type_url))
        also = tuple(dict.fromkeys(aliases))
        check(kind, name, body, also)
        if ttl is not None:
            _check_ttl(kind, ttl)
        if version is None:
            version = _content_version(body, ttl, also)
        elif not version or not _encodable(version):
            raise BadResource(f"{kind.short} {name!r}: {version!r} is no version; it is a text, and not empty")
        return cls(kind.url, name, version, body, ttl, also)

    @property
    def digest(self) -> int:
        """The version as a number, the summand of a type's SotW version."""
        try:
            return int(self.version, 16) if len(self.version) == _DIGITS else _digest_of(self)
        except ValueError:
            return _digest_of(self)

    @property
    def delta_entry(self) -> bytes:
        """Field 2 of a DeltaDiscoveryResponse: Resource{1: version, 2: Any{1: type_url, 2: value}, 3: name, 4: aliases,
        6: ttl}.
        """
        if self._delta_entry is None:
            entry = wire.text(1, self.version) + wire.delimited(2, self._any()) + self._named()
            object.__setattr__(self, "_delta_entry", wire.delimited(2, entry))
        return self._delta_entry  # type: ignore[return-value]  # set above

    @property
    def sotw_entry(self) -> bytes:
        """Field 2 of a DiscoveryResponse: Any{1: type_url, 2: value}; with a time to live, in a Resource of delta's."""
        if self._sotw_entry is None:
            entry = self._any() if self.ttl is None else _wrapped(wire.delimited(2, self._any()) + self._named())
            object.__setattr__(self, "_sotw_entry", wire.delimited(2, entry))
        return self._sotw_entry  # type: ignore[return-value]  # set above

    @property
    def delta_heartbeat(self) -> bytes:
        """Field 2 of a DeltaDiscoveryResponse that refreshes the TTL of the resource: an entry without a body."""
        return wire.delimited(2, wire.text(1, self.version) + self._named())

    @property
    def eds_name(self) -> str:
        """The name by which a cluster of type EDS asks for its endpoints; empty for every other resource."""
        if self._eds_name is None:
            object.__setattr__(self, "_eds_name", _eds_name(self))
        return self._eds_name  # type: ignore[return-value]  # set above

    def since(self, born: int) -> Resource:
        """Return the same, of a name that came to be at that revision."""
        return replace(self, born=born) if born != self.born else self

    def under(self, alias: str) -> Resource:
        """Return what is found under one of its aliases: the same, told to clients by its own name."""
        return replace(self, name=alias, alias_of=self.name)

    def _any(self) -> bytes:
        return wire.text(1, self.type_url) + wire.delimited(2, self.body)

    def _named(self) -> bytes:
        """Resource{3: name, 4: aliases, 6: ttl}."""
        named = b"".join([wire.text(3, self.alias_of or self.name), *(wire.text(4, alias) for alias in self.aliases)])
        return named if self.ttl is None else named + _ttl_field(self.ttl)


def empty_endpoints(name: str) -> Resource:
    """Return a ClusterLoadAssignment{1: cluster_name} without endpoints. It empties a cluster: Envoy ignores the removal
    of an assignment (6) and warms for 15 s without one (9).
    """
    return Resource.of(EDS, name, wire.text(1, name))


def placeholder(kind: ResourceType, name: str) -> Resource | None:
    """Return the resource that says that there is none: an assignment without endpoints, by which a cluster that waits for
    one is warm at once. None: the type has none, or nothing can bear this name.
    """
    return empty_endpoints(name) if kind.url == EDS and name and name != "*" and _encodable(name) else None


def same(one: Resource | None, other: Resource | None) -> bool:
    """True when both are absent, or have the same version."""
    return one is other or (one is not None and other is not None and one.version == other.version)


def sum_version(total: int) -> str:
    """Return a SotW version: the commutative sum of the digests of its resources, which changes in O(1)."""
    return f"{total % (1 << DIGEST_BITS):016x}"


def _check_ttl(kind: ResourceType, seconds: float) -> None:
    if not kind.expires:
        able = ", ".join(one.short for one in TYPES.values() if one.expires)
        raise BadTtl(
            f"{kind.short} resources have no time to live: of Envoy's types only {able} are dropped in the end"
        )
    if not (isfinite(seconds) and seconds >= SHORTEST_TTL):
        raise BadTtl(f"a time to live of {seconds:g} s: it takes at least {SHORTEST_TTL:g} s, or None for no end")


def _ttl_field(seconds: float) -> bytes:
    """Resource{6: ttl}, a Duration{1: seconds, 2: nanos}."""
    whole = int(seconds)
    nanos = int((seconds - whole) * 1e9)
    return wire.delimited(6, wire.number(1, whole) + wire.number(2, nanos))


def _wrapped(entry: bytes) -> bytes:
    """Any{1: type_url, 2: value} of a Resource."""
    return wire.text(1, WRAPPER) + wire.delimited(2, entry)


def _content_version(body: bytes, ttl: float | None, aliases: tuple[str, ...]) -> str:
    """The hash of all that reaches the client: another time to live, or other aliases, are another version."""
    more = [] if ttl is None else [_ttl_field(ttl)]
    return _hash(body, *more, *(wire.text(4, alias) for alias in aliases))


def _digest_of(resource: Resource) -> int:
    """Of a version that the caller chose: other resources may bear the same."""
    return int(_hash(f"{resource.name}\0{resource.version}".encode()), 16)


def _hash(*parts: bytes) -> str:
    digest = blake2b(digest_size=DIGEST_BITS // 8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def check(kind: ResourceType, name: str, body: bytes, aliases: tuple[str, ...]) -> None:
    """Refuse what could not be written to a client, or be asked for by one. What is no message at all is left to the
    client to refuse.
    """
    names: tuple[object, ...] = (name, *aliases)
    for one in names:
        if not isinstance(one, str) or not _encodable(one):
            raise BadResource(f"a {kind.short} resource cannot be called {one!r}: a name is text that UTF-8 can write")
        if one in ("", "*"):
            raise BadResource(f"a {kind.short} resource cannot be called {one!r}: to ask for that is to ask for all")
    if not isinstance(body, bytes):
        raise BadResource(f"{kind.short} {name!r}: its body is {type(body).__name__}, and has to be encoded: bytes")
    if kind.name_field is None:
        return
    if not body:
        raise BadResource(f"{kind.short} {name!r} has an empty body; its message bears at least its name")
    inner = wire.first(body, kind.name_field)
    if isinstance(inner, bytes) and inner != name.encode():
        raise NameMismatch(f"{kind.short} resource {name!r} calls itself {inner!r}: the two must be equal")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _eds_name(cluster: Resource) -> str:
    """Cluster{2: type (3 = EDS), 3: EdsClusterConfig{2: service_name}}; service_name falls back to the name."""
    if cluster.type_url != CDS or wire.first(cluster.body, 2) != 3:
        return ""
    config = wire.first(cluster.body, 3)
    service = wire.first(config, 2) if isinstance(config, bytes) else None
    return service.decode(errors="replace") if isinstance(service, bytes) and service else cluster.name
