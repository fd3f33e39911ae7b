"""A control plane of one's own: put resources, serve them, see what each client makes of them.

    server = XdsServer(groups=lambda node: node.cluster, checks=[dangling])
    server.put(cluster, endpoints, listener, group="web")       # messages of envoy_data_plane, or of official protobuf
    await server.start("127.0.0.1:18000")
    await server.converged()
    server.put(other_endpoints, group="web")                    # on its way before this returns

Rule: this is a thin door in front of `serve.ads`, which has no idea of groups, messages or checks. All of it is called
on one event loop, and nothing but `start`, `stop`, `converged` and `events` waits.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Self, TypeAlias

from tsunagu.serve.library.messages import Message, NotAResource, resource
from tsunagu.serve.library.proposal import (
    Holdings,
    Inconsistent,
    Proposal,
    dangling,
    dangling_clusters,
    refused_by_grpc,
)
from tsunagu.serve.xds.ads import AdsServer, PermissionDenied, ProxyState, Scope, Unauthenticated
from tsunagu.serve.xds.streams import CallMetadata
from tsunagu.serve.xds.timeline import Event, Lagged, Timeline
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.decode import NodeInfo
from tsunagu.xds.references import Reference
from tsunagu.xds.resources import CDS, ECDS, EDS, LDS, RDS, RTDS, SDS, SRDS, VHDS, BadTtl, NameMismatch, Resource, same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType

    from grpc import ServerCredentials

    from tsunagu.serve.library.proposal import Check, Steps
    from tsunagu.serve.xds.ads import Missing

__all__ = [
    "CDS", "ECDS", "EDS", "LDS", "RDS", "RTDS", "SDS", "SRDS", "VHDS",
    "BadTtl", "CallMetadata", "Change", "Event", "Inconsistent", "Lagged", "NameMismatch", "NodeInfo", "NotAResource",
    "NotConverged", "PermissionDenied", "Proposal", "ProxyState", "Resource", "Unauthenticated", "XdsServer",
    "dangling", "dangling_clusters", "everyone", "node_id", "refused_by_grpc", "resource",
]  # fmt: skip

EVERYONE = "everyone"

#: Which groups of resources a client sees: one or several. Where two have a resource of one name, the first wins.
Groups: TypeAlias = "Callable[[NodeInfo], str | Sequence[str]]"
#: Who a client is: its name, or Unauthenticated or PermissionDenied.
Authenticate: TypeAlias = "Callable[[CallMetadata, NodeInfo], str]"


class NotConverged(Exception):
    """At the timeout some clients had not accepted everything; `missing` says who, and why."""

    def __init__(self, revision: int, missing: Sequence[Missing]) -> None:
        words = "; ".join(f"{one.proxy}: {one.reason}" for one in missing)
        super().__init__(f"not converged on revision {revision}: {words}")
        self.revision, self.missing = revision, tuple(missing)


def everyone(_node: NodeInfo) -> str:
    """One group for all."""
    return EVERYONE


def node_id(_metadata: CallMetadata, node: NodeInfo) -> str:
    """Believe a client that it is who it says: for a network in which everybody may be believed."""
    return node.id


class XdsServer:
    """An xDS server for Envoys and gRPC clients: both variants of the protocol, ADS and each type by itself.

    `groups` says which groups a client sees; `authenticate` who it is; `checks` look at every change before it is made;
    `identifier` is what clients are told of this server; `history` is how many events are kept.
    """

    def __init__(
        self,
        *,
        groups: Groups = everyone,
        authenticate: Authenticate = node_id,
        checks: Sequence[Check] = (),
        identifier: str = "",
        history: int = 8192,
    ) -> None:
        self._groups = groups
        self._authenticate = authenticate
        self._checks = tuple(checks)
        self._holdings = Holdings(referring=bool(checks))
        self.timeline = Timeline(history)
        self.ads = AdsServer(authenticate=self._admit, identifier=identifier, timeline=self.timeline)

    # What is served.

    @property
    def revision(self) -> int:
        """How many changes were made."""
        return self.ads.catalog.revision

    def put(self, *messages: Message, group: str = EVERYONE, ttl: float | None = None) -> int:
        """Add resources to a group, or change them; returns the revision that has them. With `ttl` a client drops them so
        many seconds (at least 1) after this server has gone; until then they are kept alive.

        Raises NotAResource, NameMismatch, BadTtl, Inconsistent: then nothing was changed.
        """
        with self.change() as change:
            change.put(*messages, group=group, ttl=ttl)
        return self.revision

    def remove(self, type_url: str, *names: str, group: str = EVERYONE) -> int:
        """Take resources out of a group; names that are not there do no harm. Raises Inconsistent."""
        with self.change() as change:
            change.remove(type_url, *names, group=group)
        return self.revision

    def replace(self, *messages: Message, group: str = EVERYONE) -> int:
        """Let a group have these resources and no others; what is the same is not sent again. Raises as `put`."""
        with self.change() as change:
            for held in self.resources(group):
                change.remove(held.type_url, held.name, group=group)
            change.put(*messages, group=group)
        return self.revision

    def change(self, cause: str = "") -> Change:
        """Several steps that are checked and offered as one, at the end of a `with` block; `cause` is for events."""
        return Change(lambda steps: self._make(steps, cause))

    def get(self, type_url: str, name: str, group: str = EVERYONE) -> Resource | None:
        """What a group has under a name."""
        return self._holdings.get(group, Reference(type_url, name))

    def resources(self, group: str = EVERYONE) -> list[Resource]:
        """Everything in a group, by type and name."""
        return self._holdings.group(group)

    # Who has it.

    def clients(self) -> list[ProxyState]:
        """Who is connected, and per type what became of what it was sent."""
        return self.ads.proxies()

    def move(self, client: str, *groups: str) -> None:
        """Let a connected client see these groups from now on. At its next connection `groups` is asked again."""
        self.ads.rescope(client, groups)

    def events(self, after: int = 0, client: str = "", type_url: str = "") -> AsyncIterator[Event]:
        """What clients said and were sent (connect, subscribe, send, ack, nack, stale, close): first what is kept of
        the events after number `after`, then what happens. Filters are exact. Raises Lagged in who reads too slowly.
        """
        return self.timeline.follow(after, client, type_url)

    async def converged(self, *clients: str, revision: int | None = None, timeout: float = 10.0) -> None:
        """Until these clients, or all that are connected, have accepted a state at or after `revision` (the present
        one). Raises NotConverged after `timeout` seconds.
        """
        wanted = self.revision if revision is None else revision
        missing = await self.ads.wait(wanted, lambda: clients or self.ads.connected(), timeout)
        if missing:
            raise NotConverged(wanted, missing)

    # Serving.

    async def start(self, address: str, credentials: ServerCredentials | None = None) -> int:
        """Serve at `HOST:PORT` or `unix:PATH`; returns the port. What was put before is what there is: clients are told
        that everything else does not exist. With `credentials` (grpc.ssl_server_credentials) over TLS. A Unix socket is for
        this user alone.
        """
        port = self.ads.listen(address, credentials)
        self.ads.mark_synced()
        await self.ads.start()
        return port

    async def stop(self, grace: float = 1.0) -> None:
        """End all streams, and the server; after `grace` seconds without ceremony."""
        await self.ads.stop(grace)

    # The rest is private.

    def _make(self, steps: Steps, cause: str) -> None:
        """What a `Change` ends in."""
        news = {key: new for key, new in steps.items() if not same(self.get(key[1], key[2], key[0]), new)}
        proposal = Proposal(self._holdings, news)
        problems = tuple(problem for check in self._checks for problem in check(proposal))
        if problems:
            raise Inconsistent(problems)
        self._holdings.make(news)
        self.ads.publish(_updates(proposal), self.revision + 1, cause or _words(proposal))

    def _admit(self, metadata: CallMetadata, node: NodeInfo) -> Scope:
        client = self._authenticate(metadata, node)
        groups = self._groups(node)
        bundles = (groups,) if isinstance(groups, str) else tuple(groups)
        return Scope(client, bundles, legacy_wildcard=not node.is_grpc, shared_identity=node.is_grpc)


class Change:
    """Several steps, made as one when its `with` block ends well; a later step on a name wins over an earlier one."""

    def __init__(self, make: Callable[[Steps], None]) -> None:
        self._make = make
        self._steps: dict[tuple[str, str, str], Resource | None] = {}

    def put(self, *messages: Message, group: str = EVERYONE, ttl: float | None = None) -> None:
        """As `XdsServer.put`. Raises NotAResource, NameMismatch, BadTtl: then nothing of this is in the change."""
        for one in [resource(message, ttl=ttl) for message in messages]:
            self._steps[group, one.type_url, one.name] = one

    def remove(self, type_url: str, *names: str, group: str = EVERYONE) -> None:
        """As `XdsServer.remove`."""
        for name in names:
            self._steps[group, type_url, name] = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._make(self._steps)


def _updates(proposal: Proposal) -> list[BundleUpdate]:
    upserts, removals = defaultdict(list), defaultdict(list)
    for group, one in proposal.upserts:
        upserts[group].append(one)
    for group, key in proposal.removals:
        removals[group].append((key.type_url, key.name))
    groups = sorted(upserts.keys() | removals.keys())
    return [BundleUpdate(group, tuple(upserts[group]), tuple(removals[group])) for group in groups]


def _words(proposal: Proposal) -> str:
    put, removed = len(proposal.upserts), len(proposal.removals)
    return ", ".join(f"{word} {count}" for word, count in (("put", put), ("removed", removed)) if count) or "the same"
