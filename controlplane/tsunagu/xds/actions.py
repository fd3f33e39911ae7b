"""What a session asks its edge to do, or reports to have happened.

Rule: an action is stated in the words of the protocol. What follows from it (a write, an event of the timeline, a status)
is the edge's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tsunagu.xds.requests.decode import NodeInfo
    from tsunagu.xds.resources import Resource


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message has come. The edge authenticates the client and calls `Session.authorize`, or closes."""

    node: NodeInfo


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The client has asked for names, or unsubscribed from some."""

    type_url: str
    names: Collection[str]  # "*" for a wildcard, legacy or not
    dropped: Collection[str]
    cause: str  # subscribe, reconnect
    asked: Collection[str] = ()  # SotW: everything that the request asks for
    claims: str = ""  # of a first request: what the client says it holds, in words


@dataclass(frozen=True, slots=True)
class Sought:
    """The client has asked for names under which nobody has anything. Only where `Scope.lookup` says so: the edge may look
    for them and call `Session.looked_up`.
    """

    type_url: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """A complete response to write; it is outstanding from now on."""

    type_url: str
    payload: bytes
    nonce: str
    version: str  # SotW: version_info; delta: empty
    resources: Sequence[Resource]
    listing: Sequence[tuple[str, str]]  # their names and versions, as `Batch.listing`
    removed: Collection[str]
    cause: str
    revision: int  # of the newest change that it can bring


@dataclass(frozen=True, slots=True)
class Deferred:
    """Something that could be sent waits from now on, for the reason `why`, until the time `until` at the latest. `names`:
    some of what waits, `more`: how many others; none of both: all that the client is to be sent of the type.
    """

    type_url: str
    names: tuple[str, ...]
    more: int
    why: str
    until: float


@dataclass(frozen=True, slots=True)
class Acked:
    """The client has accepted a response. `latency` is in seconds since its Send."""

    type_url: str
    nonce: str
    version: str
    latency: float


@dataclass(frozen=True, slots=True)
class Nacked:
    """The client has refused the resources `names` of a response. They are not sent again until their content changes."""

    type_url: str
    nonce: str
    names: Collection[str]  # "*" for a response that held nothing
    error: str
    latency: float
    version: str = ""  # SotW: that which the client says it has accepted last


@dataclass(frozen=True, slots=True)
class Stale:
    """A request answered a response that is not the newest one (SotW) or not outstanding (delta)."""

    type_url: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the stream with a gRPC status, by its name (INVALID_ARGUMENT...)."""

    code: str
    message: str


Action: TypeAlias = Hello | Subscribed | Sought | Send | Deferred | Acked | Nacked | Stale | Close
