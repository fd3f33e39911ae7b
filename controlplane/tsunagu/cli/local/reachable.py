"""Where a mesh can be reached from this machine: what to say of it when it is steady.

The one rule: it is read from what the registry has, so it is the same whoever published a port, a manifest or `--publish`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tsunagu.v1.objects_pb2 import Object, PublishedPort

_HTTP = frozenset({"http", "http2"})
#: Names of what people look at first.
_FRONTS = frozenset({"web", "www", "frontend", "front", "ui", "gateway", "app"})


def lines(gateways: Sequence[Object], services: Sequence[Object], revisions: Sequence[Object]) -> list[str]:
    """A line for each published port; without one, how to publish a name. Empty when there is no name to publish."""
    protocols = dict(_names(services, revisions))
    published = [
        _line(port.host or "127.0.0.1", port.host_port, (port.alias, port.port), protocols)
        if port.alias
        else _routed(gateway, port)
        for gateway in gateways
        for port in gateway.gateway.ports
    ]
    if published or not protocols:
        return published
    alias, port = min(protocols, key=lambda name: (protocols[name] not in _HTTP, name[0] not in _FRONTS))
    hint = f"--publish {8080 if port < 1024 else port}={alias}:{port}"
    return [f"nothing of this mesh is reachable from this machine: {hint} would publish {alias}"]


def _routed(gateway: Object, port: PublishedPort) -> str:
    scheme = "https" if port.HasField("tls") else "http"
    shown = _address(port.host or "127.0.0.1", port.host_port)
    return f"{scheme}://{shown}/ leads where the routes of gateway {gateway.meta.name} say"


def _line(host: str, host_port: int, name: tuple[str, int], protocols: Mapping[tuple[str, int], str]) -> str:
    address = _address(host, host_port)
    shown = f"http://{address}/" if protocols.get(name) in _HTTP else address
    return f"{shown} leads to {name[0]}:{name[1]}"


def _address(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to be shown, not listened at
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(services: Sequence[Object], revisions: Sequence[Object]) -> Iterator[tuple[tuple[str, int], str]]:
    """Each alias, with its namespace and without, and its protocol."""
    current = {service.service.status.revision for service in services}
    for obj in revisions:
        for port in obj.service_revision.ports if obj.meta.name in current else ():
            for alias in port.aliases:
                yield (alias.dns_name, alias.port), port.app_protocol
                yield (f"{alias.dns_name}.{obj.service_revision.namespace}", alias.port), port.app_protocol
