"""Who is connected, by name, and what an operator and the convergence barrier have to know of each.

Rule: which streams count is decided in `clients.py`; everybody else is shown beside them, and waited for by nobody.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.serve.xds.clients import clients, counted
from tsunagu.xds.inspection.inventory import ResourceState, inventory
from tsunagu.xds.inspection.status import TypeState, merged, silent, type_states, unconverged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsunagu.serve.xds.streams import Stream
    from tsunagu.xds.bundle import Scope
    from tsunagu.xds.requests.decode import NodeInfo


@dataclass(frozen=True, slots=True)
class ClientState:
    """Streams of one connection. `peer` is its address as gRPC writes it, `connected_at` that of its newest stream."""

    counts: bool  # False: whatever it does or does not answer, nobody waits for it
    connected_at: float
    variant: str  # delta, sotw
    version: str
    peer: str
    streams: int
    types: tuple[TypeState, ...]


@dataclass(frozen=True, slots=True)
class ProxyState:
    """A connected proxy. `connected_at` is in seconds since the epoch, `version` that of its user agent. All but `clients`
    tells of the clients that count; `types` has the worst of them.
    """

    proxy: str
    connected_at: float
    variant: str  # delta, sotw
    version: str
    types: tuple[TypeState, ...]
    clients: tuple[ClientState, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream of a proxy. `opened_at` is in seconds since the epoch; `bundles` are those that it sees."""

    type_url: str  # of its service; empty: the aggregated one
    variant: str  # delta, sotw
    opened_at: float
    peer: str
    counts: bool
    node: NodeInfo
    bundles: tuple[str, ...]
    types: tuple[TypeState, ...]


class Proxies:
    """The authorized streams, by the name of their proxy."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Stream]] = {}  # each in the order of connecting. Invariant: no empty list

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def add(self, stream: Stream, scope: Scope) -> Scope:
        """Add a stream; returns its scope, with a name of its own if it shares an identity."""
        if scope.shared_identity:
            free = next(number for number in itertools.count(1) if f"{scope.proxy}#{number}" not in self._streams)
            scope = replace(scope, proxy=f"{scope.proxy}#{free}")
        self._streams.setdefault(scope.proxy, []).append(stream)
        return scope

    def remove(self, stream: Stream) -> bool:
        """Remove a stream; returns whether it was there."""
        streams = self._streams.get(stream.proxy, [])
        if stream not in streams:
            return False
        streams.remove(stream)
        if not streams:
            del self._streams[stream.proxy]
        return True

    def streams(self, proxy: str) -> list[Stream]:
        """All streams of a name, in the order of connecting."""
        return list(self._streams.get(proxy, ()))

    def stream_states(self, proxy: str, now: float) -> list[StreamState]:
        """What is known of each stream of a name, in the order of connecting. One that is about to see its scope is left
        out.
        """
        chosen = {id(stream) for stream in self.counted(proxy)}
        return [
            StreamState(
                type_url=stream.session.type_url,
                variant=stream.session.variant.name,
                opened_at=stream.opened_at,
                peer=stream.peer,
                counts=id(stream) in chosen,
                node=stream.session.node,
                bundles=stream.session.scope.bundles,
                types=type_states(stream.session, now),
            )
            for stream in self._streams.get(proxy, ())
            if stream.session.scope is not None and stream.session.node is not None
        ]

    def counted(self, proxy: str) -> list[Stream]:
        """The streams that count."""
        streams = self._streams.get(proxy)
        if not streams:
            return []
        return list(itertools.chain.from_iterable(counted(streams, sole=streams[0].sole)))

    def node(self, proxy: str) -> NodeInfo | None:
        """What a connected proxy claims to be; None if it is not connected."""
        streams = self.counted(proxy)
        return streams[-1].session.node if streams else None

    def resources(self, proxy: str, now: float) -> list[ResourceState]:
        """What a connected proxy is to hold and how far it is with each, by type and name. Where several of its clients
        ask for a resource, as far as the one is that is the furthest behind.
        """
        found: dict[tuple[str, str], ResourceState] = {}
        watches = [watch for stream in self.counted(proxy) for watch in stream.session.watches.values()]
        for watch in sorted(watches, key=lambda watch: watch.type.order):
            for state in inventory(watch, now):
                key = (state.type_url, state.name)
                if key not in found or state.rank > found[key].rank:
                    found[key] = state
        return list(found.values())

    def why(self, proxy: str, revision: int, now: float) -> str:
        """Why a proxy has not ACKed everything of a published revision; empty when it has."""
        streams = self.counted(proxy)
        return unconverged([stream.session for stream in streams], revision, now) if streams else "not connected"

    def silent(self, proxy: str, now: float) -> float:
        """For how many seconds a proxy has owed an answer."""
        return max((silent(stream.session, now) for stream in self.counted(proxy)), default=0.0)

    def state(self, proxy: str, now: float) -> ProxyState:
        """What is known of a connected proxy."""
        everyone = self._streams[proxy]
        chosen = {id(stream) for stream in self.counted(proxy)}
        states = [_client(streams, counts=id(streams[0]) in chosen, now=now) for streams in clients(everyone)]
        of_note = [state for state in states if state.counts]
        newest = of_note[-1]
        types = merged([state.types for state in of_note])
        return ProxyState(proxy, newest.connected_at, newest.variant, newest.version, types, tuple(states))


def _client(streams: Sequence[Stream], *, counts: bool, now: float) -> ClientState:
    newest = streams[-1]
    node = newest.session.node
    types = [type_states(stream.session, now) for stream in streams]
    return ClientState(
        counts=counts,
        connected_at=newest.opened_at,
        variant=newest.session.variant.name,
        version=node.version if node else "",
        peer=newest.peer,
        streams=len(streams),
        types=merged(types, added_up=True),
    )
