"""Who is connected, as the user of a server sees it: a client with its groups, and each of its streams.

Rule: what a client holds is told by the streams that count (docs/adr/0014-whose-acks-count.md); the others are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.serve.xds.proxies import ProxyState, StreamState
    from tsunagu.xds.inspection.status import TypeState
    from tsunagu.xds.requests.decode import NodeInfo
    from tsunagu.xds.type_table import TypeTable


@dataclass(frozen=True, slots=True)
class ClientStream:
    """A stream of a client. `since` is in seconds since the epoch, `peer` the address as gRPC writes it. `counts`: whether
    the client has converged only when this stream has.
    """

    type: str  # the short name of the one type that its service serves; ADS: all of them
    variant: str  # delta, sotw
    since: float
    peer: str
    counts: bool
    types: tuple[TypeState, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """A connected client, under the name that `authenticate` gave it. `types` has the worst state of each type; `connected_at`,
    `variant`, `version` (of its user agent), `peer`, `node` and `groups` are those of its newest stream that counts.
    """

    proxy: str
    groups: tuple[str, ...]
    node: NodeInfo
    peer: str
    connected_at: float
    variant: str
    version: str
    types: tuple[TypeState, ...]
    streams: tuple[ClientStream, ...]


def client(state: ProxyState, streams: list[StreamState], types: TypeTable) -> Client:
    """Return what is known of a client. `streams`: in the order of connecting, at least one counts."""
    newest = [one for one in streams if one.counts][-1]
    return Client(
        proxy=state.proxy,
        groups=newest.bundles,
        node=newest.node,
        peer=newest.peer,
        connected_at=state.connected_at,
        variant=state.variant,
        version=state.version,
        types=state.types,
        streams=tuple([_stream(one, types) for one in streams]),
    )


def _stream(state: StreamState, types: TypeTable) -> ClientStream:
    short = types.of(state.type_url).short if state.type_url else "ADS"
    return ClientStream(short, state.variant, state.opened_at, state.peer, state.counts, state.types)
