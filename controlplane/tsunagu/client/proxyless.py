"""Which programs a change of TLS shuts out: gRPC's own xDS clients have no identity, so a name that takes TLS alone does not exist for
them (docs/identity.md).

The one rule: the registry knows tasks, and not what their programs are. So those are meant that are connected now.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from tsunagu.kit.grpc_bootstrap import parse
from tsunagu.model import references, revisions
from tsunagu.model.identity.modes import STRICT
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.model.plan import Change
    from tsunagu.model.references import State
    from tsunagu.v1 import objects_pb2

_NAMED: Final = 5  # of the callers
_MOST: Final = 200  # of whom it is asked what they call
_REMEDY: Final = (
    "let a task call the alias without xds:///, so that its proxy calls, and a program outside call a Gateway"
)


class Client(NamedTuple):
    """A channel of a program. `owner`: its task, or the name that `grpc-bootstrap` was given; `names`: what it asks for."""

    namespace: str
    owner: str
    names: frozenset[str]


class Taken(NamedTuple):
    """What takes TLS alone by a change. `names`: NAME:PORT; None: all of the namespace."""

    what: str
    namespace: str
    names: frozenset[str] | None


async def shut_out(link: Link, changes: Sequence[Change], state: State) -> tuple[str, ...]:
    """Return a warning for each change after which programs that are connected now do not find what they call any more."""
    taken = list(stricter(changes, state))
    return tuple(warnings(taken, await _clients(link, {one.namespace for one in taken}))) if taken else ()


def stricter(changes: Iterable[Change], state: State) -> Iterator[Taken]:
    """Yield what takes TLS alone by these changes, and has not until now."""
    for change in changes:
        after, before = change.object, change.before
        if after is None:
            continue
        if change.kind == "Namespace" and after.namespace.tls == STRICT:
            if before is None or before.namespace.tls != STRICT:
                yield Taken(f"namespace {change.name}", change.name, None)
        elif change.kind == "Service" and (ports := _secured(after) - _secured(before)):
            namespace = references.namespace_of(after.service.spec, state)
            names = {f"{name}:{port}" for one in ports for name, port in _aliases(after, one, namespace)}
            yield Taken(f"service {change.name}", namespace, frozenset(names))


def warnings(taken: Iterable[Taken], clients: Sequence[Client]) -> Iterator[str]:
    for one in taken:
        callers: dict[str, set[str]] = defaultdict(set)
        for client in clients:
            found = client.names if one.names is None else client.names & one.names
            if client.namespace == one.namespace and found:
                callers[client.owner] |= found
        if callers:
            yield (
                f"{one.what} takes TLS alone, and gRPC clients without a proxy have no identity, so the names that they "
                f"call do not exist for them any more: {_listed(callers)}; {_REMEDY}"
            )


def _listed(callers: Mapping[str, set[str]]) -> str:
    said = [f"{owner} ({', '.join(f'xds:///{name}' for name in sorted(callers[owner]))})" for owner in sorted(callers)]
    more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return ", ".join(said[:_NAMED]) + more


def _secured(obj: objects_pb2.Object | None) -> frozenset[str]:
    """The names of the ports with `tls` of a service."""
    if obj is None:
        return frozenset()
    offered = obj.service.spec.service_connect_configuration.services
    return frozenset(one.port_name for one in offered if one.HasField("tls"))


def _aliases(obj: objects_pb2.Object, port_name: str, namespace: str) -> Iterator[tuple[str, int]]:
    for offered in obj.service.spec.service_connect_configuration.services:
        if offered.port_name == port_name:
            yield from ((alias.dns_name, alias.port) for alias in revisions.aliases(offered, 0, namespace))


async def _clients(link: Link, namespaces: set[str]) -> list[Client]:
    """The gRPC clients that are connected in these namespaces, with the names of the listeners that they were given."""
    answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
    named = [(one.name, parse(one.name)) for one in answer.proxies if one.connected]
    found = [(name, *parsed) for name, parsed in named if parsed is not None and parsed[0] in namespaces]
    made = []
    for name, namespace, channel in found[:_MOST]:
        request = inspector_pb2.ResourcesRequest(proxy=name, type="LDS", without_bodies=True)
        resources = (await link.inspector.Resources(request)).resources
        asked = frozenset(one.name for one in resources if one.version)
        made.append(Client(namespace, channel.partition("#")[0], asked))
    return made
