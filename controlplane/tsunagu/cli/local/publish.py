"""`--publish HOSTPORT=ALIAS:PORT`: a port of this machine that leads to a name of a namespace.

The one rule: a port that could mean two namespaces, or none, is refused before anything starts.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.cli.errors import FAILED, USAGE, CliError
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.manifests.formats import Document, Place
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORM = re.compile(
    r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):)?(?P<host_port>\d+)=(?P<alias>[^:=\s]+):(?P<port>\d+)"
)
_REMEDIES = {
    errno.EADDRINUSE: "choose another port of this machine, or end who has it",
    errno.EACCES: "choose a port from 1024 on: those below are root's",
    errno.EADDRNOTAVAIL: "choose an address that this machine has, such as 127.0.0.1 or 0.0.0.0",
}
_PORTS = range(1, 65536)
_LOCAL = "127.0.0.1"
_PLACES = {"": Place(1, 1)}


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """One `--publish`: a port of this machine, and the alias and port of the mesh that it leads to."""

    text: str
    host: str
    host_port: int
    alias: str  # a DNS name, perhaps with its namespace behind it
    port: int


def parse(text: str) -> PublishedPort:
    """``8080=web:80`` or ``0.0.0.0:8080=web:80``. Raises CliError."""
    found = _FORM.fullmatch(text)
    right = "write [HOST:]HOSTPORT=ALIAS:PORT, e.g. --publish 8080=web:80"
    if found is None:
        raise CliError(f"--publish {text!r} is not understood", USAGE, right)
    host_port, port = int(found["host_port"]), int(found["port"])
    if host_port not in _PORTS or port not in _PORTS:
        raise CliError(f"--publish {text!r}: a port is from 1 to 65535", USAGE, right)
    host = (found["host"] or "").strip("[]").replace("localhost", "127.0.0.1")
    return PublishedPort(text, host, host_port, found["alias"], port)


def check_twice(published: Iterable[PublishedPort]) -> None:
    """Raises CliError when two options publish the same port of this machine."""
    seen: dict[tuple[str, int], str] = {}
    for entry in published:
        other = seen.setdefault((entry.host or _LOCAL, entry.host_port), entry.text)
        if other is not entry.text:
            raise CliError(
                f"--publish {entry.text!r}: port {entry.host_port} is taken by --publish {other!r}",
                USAGE,
                "give each its own port of this machine",
            )


def check_free(gateways: Iterable[Document]) -> None:
    """Raises CliError when a port of this machine that a gateway publishes is taken, before anything starts."""
    for document in gateways:
        gateway = document.message
        assert isinstance(gateway, objects_pb2.Gateway)
        for index, port in enumerate(gateway.ports):
            place = document.places.get(f"ports[{index}]") or document.places[""]
            where = document.file if document.places is _PLACES else f"{document.file}:{place.line}"
            _check_port(where, port.host or _LOCAL, port.host_port)


def take_free(gateways: Iterable[Document], taken: dict[tuple[str, int], int]) -> None:
    """Gives each published port any free port of this machine. `taken` keeps, from one reading of the manifests to the next,
    which port a wanted one became. Raises OSError where no port could be listened at.

    Not the wanted port where that is free: of many who start at the same time all would find it so.
    """
    for document in gateways:
        gateway = document.message
        assert isinstance(gateway, objects_pb2.Gateway)
        for port in gateway.ports:
            host = port.host or _LOCAL
            if (host, port.host_port) not in taken:
                taken[host, port.host_port] = _free_port(host)
            port.host_port = taken[host, port.host_port]


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=_family(host)) as probe:
        return int(probe.getsockname()[1])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _check_port(where: str, host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        # Not strerror: socket.create_server adds the address to it once more.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CliError(
            f"{where}: cannot listen at {host}:{port}: {why}",
            FAILED,
            _REMEDIES.get(error.errno or 0, _REMEDIES[errno.EADDRINUSE]),
        ) from error


#: (namespace, DNS name, port as text) of every alias, as `Facts.aliases` holds them
Offers = Iterable[tuple[str, ...]]


def documents(published: Sequence[PublishedPort], offers: Offers) -> list[Document]:
    """A Gateway, as if a manifest had asked for it, for each namespace that is published from. Raises CliError."""
    known = [(namespace, alias, int(port)) for namespace, alias, port in offers]
    gateways: dict[str, objects_pb2.Gateway] = {}
    texts: dict[str, list[str]] = {}
    for entry in published:
        namespace, alias = _resolve(entry, known)
        gateway = gateways.setdefault(namespace, objects_pb2.Gateway(namespace=namespace))
        gateway.ports.add(host=entry.host, host_port=entry.host_port, alias=alias, port=entry.port)
        texts.setdefault(namespace, []).append(entry.text)
    return [
        Document("Gateway", f"publish-{namespace}", gateway, "--publish " + " ".join(texts[namespace]), _PLACES)
        for namespace, gateway in gateways.items()
    ]


def _resolve(entry: PublishedPort, known: list[tuple[str, str, int]]) -> tuple[str, str]:
    found = [
        (namespace, alias)
        for namespace, alias, port in known
        if port == entry.port and entry.alias in (alias, f"{alias}.{namespace}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        both = ", ".join(f"{entry.host_port}={alias}.{namespace}:{entry.port}" for namespace, alias in found)
        raise CliError(f"--publish {entry.text!r}: several namespaces have that name", USAGE, f"say which: {both}")
    names = sorted(f"{alias}:{port}" for _, alias, port in known)
    raise CliError(
        f"--publish {entry.text!r}: no service offers {entry.alias}:{entry.port}",
        USAGE,
        did_you_mean(f"{entry.alias}:{entry.port}", names, "the names are " + (", ".join(names) or "none at all")),
    )
