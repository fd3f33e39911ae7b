"""`--publish HOSTPORT=ALIAS:PORT`: a port of this machine that leads to a name of a namespace.

The one rule: a wish that could mean two namespaces, or none, is refused before anything starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.v1 import objects_pb2

from controlplane.cli.errors import USAGE, CliError, nearest
from controlplane.model import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORM = re.compile(
    r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):)?(?P<host_port>\d+)=(?P<alias>[^:=\s]+):(?P<port>\d+)"
)
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Wish:
    """One `--publish`."""

    text: str
    host: str
    host_port: int
    alias: str  # a DNS name, perhaps with its namespace behind it
    port: int


def parse(text: str) -> Wish:
    """``8080=web:80`` or ``0.0.0.0:8080=web:80``. Raises CliError."""
    found = _FORM.fullmatch(text)
    right = "write [HOST:]HOSTPORT=ALIAS:PORT, e.g. --publish 8080=web:80"
    if found is None:
        raise CliError(f"--publish {text!r} is not understood", USAGE, right)
    host_port, port = int(found["host_port"]), int(found["port"])
    if host_port not in _PORTS or port not in _PORTS:
        raise CliError(f"--publish {text!r}: a port is from 1 to 65535", USAGE, right)
    host = (found["host"] or "").strip("[]").replace("localhost", "127.0.0.1")
    return Wish(text, host, host_port, found["alias"], port)


#: namespace -> the aliases (DNS name, port) that its services offer
Offers = "Mapping[str, set[tuple[str, int]]]"


def gateways(wishes: Iterable[Wish], offers: Mapping[str, set[tuple[str, int]]]) -> list[objects_pb2.Object]:
    """One Gateway for each namespace that is published from. Raises CliError."""
    by_namespace: dict[str, objects_pb2.Gateway] = {}
    taken: dict[tuple[str, int], str] = {}
    for wish in wishes:
        if (first := taken.setdefault((wish.host, wish.host_port), wish.text)) != wish.text:
            raise CliError(f"--publish {wish.text!r} and {first!r} want the same port of this machine", USAGE)
        namespace, alias = _resolve(wish, offers)
        gateway = by_namespace.setdefault(namespace, objects_pb2.Gateway(namespace=namespace, cluster="default"))
        gateway.ports.add(host=wish.host, host_port=wish.host_port, alias=alias, port=wish.port)
    return [ids.make("Gateway", f"publish-{namespace}", gateway) for namespace, gateway in by_namespace.items()]


def _resolve(wish: Wish, offers: Mapping[str, set[tuple[str, int]]]) -> tuple[str, str]:
    found = [
        (namespace, alias)
        for namespace, aliases in offers.items()
        for alias, port in sorted(aliases)
        if port == wish.port and wish.alias in (alias, f"{alias}.{namespace}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{wish.host_port}={alias}.{namespace}:{wish.port}" for namespace, alias in found)
        raise CliError(f"--publish {wish.text!r}: several namespaces have that name", USAGE, f"say which: {names}")
    known = [f"{alias}:{port}" for aliases in offers.values() for alias, port in sorted(aliases)]
    raise CliError(
        f"--publish {wish.text!r}: no service offers {wish.alias}:{wish.port}",
        USAGE,
        nearest(f"{wish.alias}:{wish.port}", known, "the names are " + (", ".join(known) or "none at all")),
    )
