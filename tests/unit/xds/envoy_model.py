"""A model of Envoy 1.40 as a client of xDS, with `initial_fetch_timeout: 0` everywhere (docs/protocol.md 8, 12).

- A new or changed cluster warms until an answer about its endpoints has come, and its secret, if it has one.
- No response of clusters is acknowledged while one warms, and clusters are not asked for on a new stream either.
- A listener that leads to a cluster which is not there is refused.
- What it holds outlives its streams.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.resources import CDS, EDS, LDS, SDS, Resource
from tsunagu.xds.sotw import SOTW

if TYPE_CHECKING:
    from tsunagu.xds.actions import Send

ORDER = (CDS, EDS, SDS, LDS)  # in which Envoy asks on a new stream
SECRET = "s"
PLAIN, CHANGED, SECRETIVE = 1, 2, 3  # contents of a cluster; the last one needs the secret


def cluster(name: str, content: int) -> Resource:
    return Resource.of(CDS, name, wire.text(1, name) + b"\x10\x03" + wire.text(99, str(content)))


def plain(url: str, name: str, content: object) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, str(content)))


def content_of(resource: Resource) -> str:
    return dict(wire.fields(resource.body)).get(99, b"").decode()


class Envoy:
    """What outlives a stream: clusters that serve, clusters that warm, listeners."""

    def __init__(self, variant) -> None:
        self.variant = variant
        self.active: dict[str, Resource] = {}
        self.warming: dict[str, Resource] = {}
        self.answered: set[str] = set()  # warming clusters of whose endpoints something was heard
        self.endpoints: dict[str, str] = {}  # name -> version, of clusters that there are
        self.listeners: dict[str, Resource] = {}
        self.secret = ""  # its version
        self.knows_clusters = False  # a response of clusters has come
        self.listening = False  # listeners were asked for, on any stream
        self.inbox: deque[Send] = deque()
        self.outbox: deque = deque()
        self.new_stream()

    def new_stream(self) -> None:
        self.inbox.clear()
        self.outbox.clear()
        self.nonces: dict[str, str] = {}
        self.withheld: list[tuple[str, str]] = []  # (nonce, error) of responses of clusters
        self.asked: dict[str, set[str]] = {}
        self.spoke = False

    # Requests.

    def begin(self) -> None:
        """The first requests of a stream, in Envoy's order; clusters only when none warms."""
        for url in ORDER:
            if url == LDS and not self.may_listen():
                continue
            self.ask_first(url)

    def ask_first(self, url: str) -> None:
        if url in self.asked or (url == CDS and self.warming):
            return
        names = self.wants(url)
        if url in (EDS, SDS) and not names:
            return
        self.asked[url] = names
        self.listening = self.listening or url == LDS
        self.say(url, add=names, first=True)

    def may_listen(self) -> bool:
        return self.listening or (self.knows_clusters and not self.warming)

    @property
    def waits_for_a_secret(self) -> bool:
        return any(content_of(one) == str(SECRETIVE) for one in self.warming.values()) and not self.secret

    def wants(self, url: str) -> set[str]:
        if url == EDS:
            return {*self.active, *self.warming}
        if url == SDS:
            clusters = (*self.active.values(), *self.warming.values())
            return {SECRET} if any(content_of(one) == str(SECRETIVE) for one in clusters) else set()
        return set()

    def follow(self, url: str, *, repeated: bool = False) -> None:
        """Ask for what clusters need now. SotW asks again, be it the same, when a cluster warms anew."""
        wanted = self.wants(url)
        if url not in self.asked:
            self.ask_first(url)
            return
        before, self.asked[url] = self.asked[url], wanted
        if wanted != before or (repeated and self.variant is SOTW and wanted):
            self.say(url, add=wanted - before, drop=before - wanted)

    def say(self, url: str, *, add=(), drop=(), nonce: str = "", error: str = "", first: bool = False) -> None:
        node = None if self.spoke else discovery_pb2.Node(id="p")
        self.spoke = True
        if self.variant is SOTW:
            request = discovery_pb2.DiscoveryRequest(
                type_url=url, node=node, resource_names=sorted(self.asked.get(url, ())),
                response_nonce=nonce or self.nonces.get(url, ""),
            )  # fmt: skip
        else:
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=url, node=node, resource_names_subscribe=sorted(add), resource_names_unsubscribe=sorted(drop),
                response_nonce=nonce, initial_resource_versions=self.held(url) if first else {},
            )  # fmt: skip
        if error:
            request.error_detail.message = error
        self.outbox.append(request)

    def held(self, url: str) -> dict[str, str]:
        if url == CDS:
            return {name: one.version for name, one in {**self.active, **self.warming}.items()}
        if url == LDS:
            return {name: one.version for name, one in self.listeners.items()}
        if url == EDS:
            return {name: version for name, version in self.endpoints.items() if version}
        return {SECRET: self.secret} if self.secret else {}

    # Responses.

    def hear(self) -> None:
        """Take the next response."""
        send = self.inbox.popleft()
        self.nonces[send.type_url] = send.nonce
        {CDS: self.clusters, EDS: self.assignments, SDS: self.secrets, LDS: self.lds}[send.type_url](send)
        self.warm_up()
        if self.may_listen():
            self.ask_first(LDS)

    def clusters(self, send: Send) -> None:
        whole = {one.name for one in send.resources} if self.variant is SOTW else None
        gone = ({*self.active, *self.warming} - whole) if whole is not None else set(send.removed)
        for name in gone:
            self.active.pop(name, None)
            self.warming.pop(name, None)
            self.endpoints.pop(name, None)
        self.knows_clusters = True
        changed = False
        for one in send.resources:
            now = self.warming.get(one.name) or self.active.get(one.name)
            if now is not None and now.version == one.version:
                continue
            self.warming[one.name] = one
            self.answered.discard(one.name)
            changed = True
        self.follow(EDS, repeated=changed)
        self.follow(SDS)
        self.withheld.append((send.nonce, ""))

    def assignments(self, send: Send) -> None:
        for one in send.resources:
            if one.name in self.active or one.name in self.warming:
                self.endpoints[one.name] = one.version
                self.answered.add(one.name)
        for name in send.removed:
            self.answered.add(name)  # warming ends; of a cluster that serves nothing changes
        if self.wants(EDS):
            self.say(EDS, nonce=send.nonce)

    def secrets(self, send: Send) -> None:
        for one in send.resources:
            self.secret = one.version
        if self.wants(SDS):
            self.say(SDS, nonce=send.nonce)

    def lds(self, send: Send) -> None:
        errors = []
        whole = {one.name for one in send.resources} if self.variant is SOTW else None
        for name in (self.listeners.keys() - whole) if whole is not None else send.removed:
            self.listeners.pop(name, None)
        for one in send.resources:
            if content_of(one) in self.active:
                self.listeners[one.name] = one
            else:
                errors.append(f"{one.name}: unknown cluster '{content_of(one)}'")
        listed = ", ".join(errors)
        self.say(LDS, nonce=send.nonce, error=f"Error adding/updating listener(s) {listed}" if errors else "")

    def warm_up(self) -> None:
        for name, one in list(self.warming.items()):
            if name in self.answered and (content_of(one) != str(SECRETIVE) or self.secret):
                self.active[name] = self.warming.pop(name)
        self.follow(SDS)  # the cluster whose place it took needs its secret no more
        if self.warming:
            return
        for nonce, error in self.withheld:
            self.say(CDS, nonce=nonce, error=error)
        self.withheld.clear()
        self.ask_first(CDS)
