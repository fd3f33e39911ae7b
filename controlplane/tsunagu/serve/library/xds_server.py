"""A control plane of one's own: put resources, serve them, see what each client makes of them.

    async with XdsServer(groups=lambda node: node.cluster, checks=[dangling]) as server:
        server.put(cluster, endpoints, listener, group="web")   # messages of envoy_data_plane, or of official protobuf
        await server.start("127.0.0.1:18000")
        await server.converged()
        server.put(other_endpoints, group="web")                # on its way before this returns

Rule: this is a thin door in front of `serve.xds`, which has no idea of groups, messages or checks. All of it is called
on one event loop, and nothing but `start`, `stop`, `converged` and `events` waits.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

from tsunagu.serve.library.addresses import CannotListen, check_address, refused
from tsunagu.serve.library.alias_check import check_aliases
from tsunagu.serve.library.changes import EVERYONE, Change
from tsunagu.serve.library.checks import dangling, dangling_clusters, no_dangling, refused_by_grpc
from tsunagu.serve.library.connected import Client, ClientStream, client
from tsunagu.serve.library.messages import Message, NotAResource, resource
from tsunagu.serve.library.proposal import Holdings, Inconsistent, Proposal
from tsunagu.serve.library.resource_files import Problem, UnreadableResources, resources_from
from tsunagu.serve.library.signals import EndedBySignal
from tsunagu.serve.library.versions import Versions, check_contents
from tsunagu.serve.xds.ads import AdsServer, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.call_metadata import CallMetadata
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.timeline import Event, Lagged, Timeline
from tsunagu.v1.endpoint_pb2 import ClusterLoadAssignment
from tsunagu.xds.bodies.references import Reference
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.requests.decode import NodeInfo
from tsunagu.xds.resources import (
    CDS,
    ECDS,
    EDS,
    LDS,
    RDS,
    RTDS,
    SDS,
    SRDS,
    VHDS,
    BadResource,
    BadTtl,
    NameMismatch,
    Resource,
    ResourceType,
    same,
)
from tsunagu.xds.type_table import TypeTable, UnknownType
from tsunagu.xds.waits import Waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from types import TracebackType

    from grpc import ServerCredentials

    from tsunagu.serve.library.proposal import Check
    from tsunagu.serve.library.versions import Labels
    from tsunagu.serve.xds.ads import Missing
    from tsunagu.serve.xds.look_up import Wanted
    from tsunagu.xds.type_table import TypeName

__all__ = [
    "CDS", "ECDS", "EDS", "LDS", "RDS", "RTDS", "SDS", "SRDS", "VHDS",
    "BadResource", "BadTtl", "CallMetadata", "CannotListen", "Change", "Client", "ClientStream", "ClusterLoadAssignment", "Event", "Inconsistent", "Lagged", "Limits", "MissingName",
    "NameMismatch", "NodeInfo", "NotAResource", "NotConverged", "PermissionDenied", "Problem", "Proposal", "Reference",
    "Resource", "ResourceType", "Unauthenticated", "UnknownType", "UnreadableResources", "Waits", "XdsServer",
    "dangling", "dangling_clusters", "everyone", "no_dangling", "node_id", "refused_by_grpc", "resource", "resources_from",
]  # fmt: skip

#: Which groups of resources a client sees: one or several. Where two have a resource of one name, the first wins.
Groups: TypeAlias = "Callable[[NodeInfo], str | Sequence[str]]"
#: Who a client is: its name, or Unauthenticated or PermissionDenied.
Authenticate: TypeAlias = "Callable[[CallMetadata, NodeInfo], str]"
#: What to do about a name that nobody has: put it, if that can be done.
OnMissing: TypeAlias = "Callable[[MissingName], Awaitable[None] | None]"

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class MissingName:
    """A name that a client has asked for, and that none of its `groups` has. `type` is the short name of its type."""

    proxy: str
    node: NodeInfo
    groups: tuple[str, ...]
    type: str
    type_url: str
    name: str


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
    `types` are types of resources beside xDS's own; `on_missing` is called for names that nobody has; `identifier` is what clients are told of this server; `limits` bound
    what clients may take of it, `waits` for how long one type waits for another. `signals` end an `async with` block
    quietly.
    """

    def __init__(  # noqa: PLR0913  # the options of a server, by keyword
        self,
        *,
        groups: Groups = everyone,
        authenticate: Authenticate = node_id,
        checks: Sequence[Check] = (),
        types: Iterable[ResourceType] = (),
        on_missing: OnMissing | None = None,
        identifier: str = "",
        history: int = 8192,
        limits: Limits | None = None,
        waits: Waits | None = None,
        signals: Sequence[signal.Signals] = SIGNALS,
    ) -> None:
        self._groups = groups
        self._authenticate = authenticate
        self._checks = tuple(checks)
        self._types = TypeTable(types)
        self._holdings = Holdings(self._types, referring=bool(checks))
        self._versions = Versions(self._types)
        self._signals = EndedBySignal(signals)
        self.timeline = Timeline(history)
        self.ads = AdsServer(authenticate=self._admit, identifier=identifier, timeline=self.timeline, limits=limits)
        self._on_missing = on_missing
        self.ads.look_up = self._look_up if on_missing is not None else None
        self.ads.catalog = Catalog(self._types, waits)  # before anything is published, or anybody connects

    # What is served.

    @property
    def revision(self) -> int:
        """How many changes were made."""
        return self.ads.catalog.revision

    def put(
        self,
        *messages: Message,
        group: str = EVERYONE,
        ttl: float | None = None,
        version: str | None = None,
        cause: str = "",
    ) -> int:
        """Add resources to a group, or change them; returns the revision that has them. With `ttl` a client drops them so
        many seconds (at least 1) after this server has gone; until then they are kept alive. With `version` they bear
        that instead of the hash of their content. `cause` is told in events.

        Raises NotAResource, BadResource, Inconsistent: then nothing was changed.
        """
        with self.change(cause) as change:
            change.put(*messages, group=group, ttl=ttl, version=version)
        return self.revision

    def remove(
        self, type_url: TypeName, *names: str, group: str = EVERYONE, version: str | None = None, cause: str = ""
    ) -> int:
        """Take resources out of a group; names that are not there do no harm. Raises UnknownType, Inconsistent."""
        with self.change(cause) as change:
            change.remove(type_url, *names, group=group, version=version)
        return self.revision

    def replace(
        self,
        *messages: Message,
        group: str = EVERYONE,
        ttl: float | None = None,
        version: str | None = None,
        cause: str = "",
    ) -> int:
        """Let a group have these resources and no others; what is the same is not sent again. Raises as `put`."""
        with self.change(cause) as change:
            change.replace(*messages, group=group, ttl=ttl, version=version)
        return self.revision

    def clear(self, group: str = EVERYONE, *, version: str | None = None, cause: str = "") -> int:
        """Take everything out of a group. Raises Inconsistent."""
        with self.change(cause) as change:
            change.clear(group, version=version)
        return self.revision

    def change(self, cause: str = "") -> Change:
        """Several steps that are checked and offered as one, at the end of a `with` block; `cause` is for events."""
        return Change(self._types, lambda change: self._make(change, cause))

    def get(self, type_url: TypeName, name: str, group: str = EVERYONE) -> Resource | None:
        """What a group has under a name. Raises UnknownType."""
        return self._holdings.get(group, Reference(self._types.find(type_url).url, name))

    def resources(self, group: str = EVERYONE, type_url: TypeName | None = None) -> list[Resource]:
        """Everything in a group, or of one type, by type and name. Raises UnknownType."""
        url = self._types.find(type_url).url if type_url is not None else ""
        return [one for one in self._holdings.group(group) if not url or one.type_url == url]

    def groups(self) -> list[str]:
        """The groups in which there is something."""
        return self._holdings.groups()

    # Who has it.

    def clients(self) -> list[Client]:
        """Who is connected, by name: its groups, its streams, and per type what became of what it was sent."""
        found = ((state, self.ads.streams(state.proxy)) for state in self.ads.proxies())
        return [client(state, streams, self._types) for state, streams in found if any(one.counts for one in streams)]

    def move(self, client: str, *groups: str) -> None:
        """Let a connected client see these groups from now on. At its next connection `groups` is asked again."""
        self.ads.rescope(client, groups)

    def events(self, after: int = 0, client: str = "", type_url: TypeName = "") -> AsyncIterator[Event]:
        """What clients said and were sent, and what led to it (`timeline.KINDS`): first what is kept of
        the events after number `after`, then what happens. Filters are exact. Raises Lagged in who reads too slowly.
        """
        url = self._types.find(type_url).url if type_url else ""
        return self.timeline.follow(after, client, url)

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
        this user alone. Raises CannotListen.
        """
        await check_address(address)
        try:
            port = self.ads.listen(address, credentials)
        except RuntimeError as error:
            raise refused(address) from error
        self.ads.mark_synced()
        await self.ads.start()
        return port

    async def stop(self, grace: float = 5.0) -> None:
        """End all streams with UNAVAILABLE, and the server; after `grace` seconds without ceremony."""
        await self.ads.stop(grace)

    async def __aenter__(self) -> Self:
        self._signals.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._signals.give_back()
        ended = self._signals.is_the_end(error)
        await self.stop()
        return ended

    # The rest is private.

    def _make(self, change: Change, cause: str) -> None:
        """What a `Change` ends in."""
        steps = change.whole(self._holdings.group)
        news = {key: new for key, new in steps.items() if not same(self._held(key), new)}
        check_contents(steps, self._held)
        check_aliases(news, self._holdings)
        labels = self._versions.labels(change, news)
        proposal = Proposal(self._holdings, news)
        problems = tuple(dict.fromkeys(problem for check in self._checks for problem in check(proposal)))
        if problems:
            raise Inconsistent(problems)
        self._holdings.make(news)
        self._versions.keep(labels)
        self.ads.publish(_updates(proposal, labels), self.revision + 1, cause or _words(proposal))

    def _held(self, key: tuple[str, str, str]) -> Resource | None:
        group, url, name = key
        return self._holdings.get(group, Reference(url, name))

    def _admit(self, metadata: CallMetadata, node: NodeInfo) -> Scope:
        client = self._authenticate(metadata, node)
        groups = self._groups(node)
        bundles = (groups,) if isinstance(groups, str) else tuple(groups)
        return Scope(
            client,
            bundles,
            legacy_wildcard=not node.is_grpc,
            shared_identity=node.is_grpc,
            lookup=self.ads.limits.lookup if self._on_missing is not None else 0.0,
        )

    async def _look_up(self, wanted: Wanted) -> None:
        assert self._on_missing is not None, "nobody else sets the time for it"
        kind = self._types.of(wanted.type_url)
        missing = MissingName(wanted.proxy, wanted.node, wanted.bundles, kind.short, kind.url, wanted.name)
        answer = self._on_missing(missing)
        if answer is not None:
            await answer


def _updates(proposal: Proposal, labels: Labels) -> list[BundleUpdate]:
    upserts, removals, versions = defaultdict(list), defaultdict(list), defaultdict(list)
    for group, one in proposal.upserts:
        upserts[group].append(one)
    for group, key in proposal.removals:
        removals[group].append((key.type_url, key.name))
    for (group, url), version in labels.items():
        versions[group].append((url, version))
    groups = sorted(upserts.keys() | removals.keys() | versions.keys())
    return [BundleUpdate(one, tuple(upserts[one]), tuple(removals[one]), tuple(versions[one])) for one in groups]


def _words(proposal: Proposal) -> str:
    put, removed = len(proposal.upserts), len(proposal.removals)
    return ", ".join(f"{word} {count}" for word, count in (("put", put), ("removed", removed)) if count) or "the same"
