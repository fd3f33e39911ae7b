"""Which gateway publishes a name of a mesh, and where a published name is reached. Pure.

Rule: a name that nobody offers is answered with the nearest one that somebody does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids, references, revisions
from tsunagu.model.outside import external
from tsunagu.testing.errors import MeshError, UnknownName
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.references import State
    from tsunagu.testing.target import Target


def name_and_port(alias: str, port: int) -> tuple[str, int]:
    """A name and its port, which may be written as on the command line: ``stock:3306``."""
    name, _, written = alias.rpartition(":")
    return (name, int(written)) if name and written.isdecimal() else (alias, port)


def gateway(state: State, alias: str, port: int, namespace: str, host_port: int) -> objects_pb2.Object:
    """The gateway that leads from `host_port` of this machine to a name, in the cluster of the service that offers it.

    `namespace` may be empty where only one has the name. Raises UnknownName.
    """
    offers = list(_offers(state))
    found = [one for one in offers if one[:2] == (alias, port) and namespace in ("", one[2])]
    namespaces = {one[2] for one in found}
    if len(namespaces) > 1:
        raise UnknownName(f"{alias}:{port} is a name in {', '.join(sorted(namespaces))}: give `namespace`")
    if not found:
        known = sorted({f"{name}:{number}" for name, number, *_ in offers})
        hint = did_you_mean(f"{alias}:{port}", known, "the names are " + (", ".join(known) or "none at all"))
        where = f" in namespace {namespace}" if namespace else ""
        raise UnknownName(f"no service offers {alias}:{port}{where}; {hint}")
    _, _, namespace, cluster = found[0]
    made = objects_pb2.Gateway(namespace=namespace, cluster=cluster)
    made.ports.add(host="127.0.0.1", host_port=host_port, alias=alias, port=port)
    return ids.make("Gateway", f"test-{alias.replace('.', '-')}-{port}-{host_port}", made)


def _offers(state: State) -> Iterator[tuple[str, int, str, str]]:
    """(DNS name, port, namespace, cluster) of every alias."""
    for obj in references.objects(state, "Service").values():
        namespace = references.namespace_of(obj.service.spec, state)
        cluster = references.cluster_of(obj.service.spec)
        for alias, port in revisions.aliases_of(obj.service, state):
            yield alias, port, namespace, cluster
    for name, obj in references.objects(state, "External").items():
        for alias, port in external.aliases(name, obj.external):
            yield alias, port, name.partition("/")[0], references.DEFAULT_CLUSTER


def address(state: State, target: Target) -> tuple[str, int]:
    """Where a URL's name is published, or the URL's own address on this machine. Raises MeshError."""
    for gateway in references.objects(state, "Gateway").values():
        for port in gateway.gateway.ports:
            if (port.alias, port.port) == (target.host, target.port):
                return port.host or "127.0.0.1", port.host_port
    if target.host in ("localhost", "127.0.0.1"):
        return target.host, target.port
    raise MeshError(f"{target.host}:{target.port} is not published: call mesh.publish({target.host!r}), or `from_task`")
