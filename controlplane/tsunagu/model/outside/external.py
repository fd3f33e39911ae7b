"""What `kind: External` means: its addresses, where apps call it, which names its certificate may have.

The one rule: a default follows from the object alone, so that validation, the mesh, node agents and displays say the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.model import cloud_map, revisions

if TYPE_CHECKING:
    from tsunagu.v1 import external_pb2

#: The name by which tasks call programs of their machine, and its address there.
HOST: Final = "host.tsunagu.internal"
_LOOPBACK: Final = "127.0.0.1"
_HTTP: Final = 80
_IPV4: Final = re.compile(r"[0-9.]+")
_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?):(?P<port>[1-9][0-9]{0,4})")
_LAST_PORT: Final = 65535
MOST_ADDRESSES: Final = 64


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where an External answers. `host`: a DNS name, or an IPv4 address as this machine sees it."""

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        return _IPV4.fullmatch(self.host) is not None

    @property
    def from_tasks(self) -> str:
        """The IP or DNS name by which proxies call it, with the same port."""
        return cloud_map.Address(self.host, self.port).from_tasks if self.is_ip else self.host


def address(text: str) -> Address:
    """Parse HOST:PORT; `host.tsunagu.internal` is this machine's 127.0.0.1. Raises ValueError, which says what is wrong."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not valid; it must be HOST:PORT with a DNS name or an IPv4 address")
    host, port = found["host"].lower(), int(found["port"])
    if port > _LAST_PORT:
        raise ValueError(f"{port} is not a port from 1 to {_LAST_PORT}")
    if host == HOST:
        return Address(_LOOPBACK, port)
    made = Address(host, port)
    if made.is_ip and (why := _refused(host)):
        raise ValueError(why)
    return made


def _refused(ip: str) -> str:
    """Why an External may not have that IP; empty if it may."""
    if ip.startswith(("127.", "169.254.", "0.")):
        return f"{ip} is of each task's own network; a program of this machine is at {HOST}:PORT"
    return cloud_map.unreachable(ip)


def addresses(body: external_pb2.External) -> tuple[Address, ...]:
    """Return the valid addresses, each once, in order."""
    found = []
    for text in body.addresses:
        try:
            found.append(address(text))
        except ValueError:
            continue
    return tuple(sorted(set(found)))


def names(body: external_pb2.External) -> frozenset[str]:
    """Return the DNS names among its addresses."""
    return frozenset(one.host for one in addresses(body) if not one.is_ip)


def protocol(body: external_pb2.External) -> str:
    """Return http, http2, grpc or tcp."""
    return body.app_protocol or "tcp"


def aliases(name: str, body: external_pb2.External) -> tuple[tuple[str, int], ...]:
    """Return (DNS name, port) of where apps call the External `name` (NAMESPACE/NAME).

    Without aliases of its own, these are NAME and NAME.NAMESPACE: at port 80 if proxies turn HTTP into TLS, else at the
    port that all its addresses have. If they have several, there is none.
    """
    if body.aliases:
        return tuple((one.dns_name, one.port) for one in body.aliases)
    ports = {one.port for one in addresses(body)}
    if body.HasField("tls") and protocol(body) != "tcp":
        ports = {_HTTP}
    namespace, _, called = name.lower().partition("/")
    return (
        tuple((dns_name, port) for port in ports for dns_name in (called, f"{called}.{namespace}"))
        if len(ports) == 1
        else ()
    )


def timeouts(body: external_pb2.External) -> tuple[int, int]:
    """Return (idle, per request) in seconds, 0: none. Of tcp there are none: a connection ends when one of its ends closes it."""
    if protocol(body) == "tcp":
        return 0, 0
    given = body.timeout
    idle = given.idle_timeout_seconds if given.HasField("idle_timeout_seconds") else revisions.IDLE_TIMEOUT_HTTP
    request = (
        given.per_request_timeout_seconds
        if given.HasField("per_request_timeout_seconds")
        else revisions.PER_REQUEST_TIMEOUT
    )
    return idle, request


def certificate_names(body: external_pb2.External) -> tuple[str, ...]:
    """Return the names of which the certificate must have one; empty: the DNS name of the address that is called."""
    return tuple(body.tls.subject_alt_names) or ((body.tls.server_name,) if body.tls.server_name else ())
