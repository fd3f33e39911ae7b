"""The references of a resource: the resources that its client will ask for, or send traffic to.

Rule: a reference is what the client asks for on the same stream (a config source of `ads` or `self`); a file, another
server or a secret of the bootstrap is not. Messages are read by field number, which is cheap and needs no Envoy classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.xds.bodies.peek import Peek
from tsunagu.xds.resources import CDS, ECDS, EDS, LDS, RDS, SDS, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsunagu.xds.resources import Resource

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_EDS_TYPE = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """A type and a name, as one resource refers to another."""

    type_url: str
    name: str

    def __str__(self) -> str:
        return f"{type_of(self.type_url).short} {self.name!r}"


def references(resource: Resource) -> tuple[Reference, ...]:
    """Return what a resource refers to, each once, in the order of its bytes."""
    read = _READERS.get(resource.type_url)
    return tuple(dict.fromkeys(read(Peek(resource.body)))) if read else ()


def over_ads(config_source: Peek) -> bool:
    """True for ConfigSource{3: ads, 5: self}: the client asks for it on the stream that it has."""
    return config_source.has(3, 5)


def _cluster(cluster: Peek) -> Iterator[Reference]:
    eds = cluster(3)
    if cluster.number(2) == _EDS_TYPE and over_ads(eds(1)):
        yield Reference(EDS, eds.text(2) or cluster.text(1))
    for name in cluster(38, 2).any(_AGGREGATE).every(1):
        yield Reference(CDS, name.string)
    for socket in (*cluster.every(24), *cluster.every(43, 3)):
        yield from _secrets(socket(3).any(_UPSTREAM_TLS)(1))


def _listener(listener: Peek) -> Iterator[Reference]:
    yield from _manager(listener(19, 1).any(HCM))
    for chain in (*listener.every(3), *listener.every(25)):
        for config in chain.every(3, 4):
            yield from _manager(config.any(HCM))
            yield from _proxy(config.any(_TCP_PROXY))
        tls = chain(6, 3).any(_DOWNSTREAM_TLS)
        yield from _secrets(tls(1))
        yield from _secret(tls.every(5))


def _manager(manager: Peek) -> Iterator[Reference]:
    rds = manager(3)
    if over_ads(rds(1)):
        yield Reference(RDS, rds.text(2))
    yield from _route(manager(4))
    for a_filter in manager.every(5):
        if over_ads(a_filter(5, 1)):
            yield Reference(ECDS, a_filter.text(1))


def _proxy(proxy: Peek) -> Iterator[Reference]:
    yield from _clusters([*proxy.every(2), *proxy.every(10, 1, 1)])


def _route(route: Peek) -> Iterator[Reference]:
    actions = route.every(2, 3, 2)
    for action in actions:
        yield from _clusters([*action.every(1), *action.every(3, 1, 1), *action.every(30, 1)])


def _clusters(names: Iterable[Peek]) -> Iterator[Reference]:
    return (Reference(CDS, name.string) for name in names if name.string)


def _secrets(tls: Peek) -> Iterator[Reference]:
    """Yield the secrets of a CommonTlsContext: certificates and validation contexts, alone or combined."""
    yield from _secret([*tls.every(6), *tls.every(7), *tls.every(8, 2)])


def _secret(configs: Iterable[Peek]) -> Iterator[Reference]:
    return (Reference(SDS, config.text(1)) for config in configs if over_ads(config(2)))


_READERS: dict[str, Callable[[Peek], Iterator[Reference]]] = {CDS: _cluster, LDS: _listener, RDS: _route}
