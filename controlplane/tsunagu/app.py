"""The composition root of `serve`: which parts the control plane is made of, and in which order they start and stop.

The one rule: parts meet only here. Each runs in a named task of one group, and the end of any of them that nobody asked
for ends the process; `up` starts it again, and nothing that runs in the mesh is touched by that.

The registry answers first, and proxies are let in. What makes Envoy's resources (`envoy_data_plane`: most of a second) is
imported in a thread meanwhile; until it has offered the first state, no proxy is answered anything.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from tsunagu.controllers.runtime import run_controllers
from tsunagu.kit import grpc_bootstrap, log
from tsunagu.kit.clock import SystemClock
from tsunagu.kit.supervise import continue_at_parents_death
from tsunagu.kit.tokens import BadToken, load_key, verify
from tsunagu.kit.version import __version__
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.serve.api.inspector import NAME as INSPECTOR
from tsunagu.serve.api.inspector import About, Inspector
from tsunagu.serve.api.registry import NAME as REGISTRY
from tsunagu.serve.api.registry import RegistryService
from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.sockets import OwnedSocket
from tsunagu.serve.xds.ads import AdsServer, NodeInfo, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.csds import NAME as CSDS
from tsunagu.serve.xds.csds import ClientStatus, described
from tsunagu.serve.xds.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsunagu.mesh.changes import Change
    from tsunagu.serve.publisher import Publisher
    from tsunagu.settings import ServeSettings

_LOG = log.get("serve")
# Little of what a push makes is garbage in cycles. Python's own thresholds (700, 10, 10) look for it several times in
# each push, and now and then through everything, in the middle of one.
_GARBAGE_COLLECTION = (10_000, 20, 20)
_XDS_SOCKET_MODE = 0o666  # a task's proxy has another uid; its token says who it is


async def serve(settings: ServeSettings) -> None:
    """Runs the control plane of a home until SIGTERM, SIGINT, or the end of the mesh's life.

    Raises LockedError or SocketInUseError when another one serves that home, StoreDamaged when its registry cannot be
    trusted.
    """
    gc.set_threshold(*_GARBAGE_COLLECTION)
    log.configure(file=settings.home.log("serve"), console=sys.stderr.isatty(), level=settings.log_level)
    store = await SqliteStore.open(settings.home.database)
    try:
        stop = asyncio.Event()
        listen_for_the_end(stop, settings.life_fd)
        await ControlPlane(settings, Registry(store)).run(stop)
    finally:
        await store.close()
    _LOG.info("stopped")


def listen_for_the_end(stop: asyncio.Event, life_fd: int | None) -> None:
    """Sets ``stop`` on SIGTERM, on SIGINT, and when the life pipe ends: its end is the end of the mesh."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if life_fd is None:
        return

    def over() -> None:
        loop.remove_reader(life_fd)
        stop.set()

    os.set_inheritable(life_fd, False)
    loop.add_reader(life_fd, over)
    continue_at_parents_death()


class ControlPlane:
    """The parts of one control plane, over a registry that somebody else opens and closes."""

    def __init__(self, settings: ServeSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._informer = Informer(registry)
        self._offers = Offers(self._informer)
        self._timeline = Timeline()
        self._door = Door(load_key(settings.home.key), self._offers)
        self._ads = AdsServer(authenticate=self._door.admit, identifier=settings.identifier, timeline=self._timeline)
        self._proxies_socket = OwnedSocket(settings.home.xds_socket, _XDS_SOCKET_MODE)

    async def run(self, stop: asyncio.Event) -> None:
        """Starts everything, returns in order after ``stop`` is set."""
        api = self._api()
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(self._informer.run(), name="informer"),
                group.create_task(self._registry.store.run(), name="leases"),
                group.create_task(run_controllers(self._registry, self._informer), name="controllers"),
                group.create_task(self._publish(), name="publisher"),
            ]
            await api.start()
            await self._informer.wait_synced()
            await api.mark_serving()
            _LOG.info("serving", home=str(self._settings.home.root), revision=self._informer.revision)
            try:
                await stop.wait()
            finally:
                for part in parts:
                    part.cancel()
                await api.stop(self._settings.stop_seconds)
                await self._ads.stop(self._settings.stop_seconds)
                self._proxies_socket.release()

    def _api(self) -> ApiServer:
        api = ApiServer(self._settings.home.api_socket)
        records = RegistryService(self._registry, self._informer, check_batch)
        api.add(REGISTRY, records.register, records.close)
        about = About(__version__, f"sqlite:{self._settings.home.database}", time.time())
        inspector = Inspector(
            about,
            ads=self._ads,
            offers=self._offers,
            timeline=self._timeline,
            revision=lambda: self._registry.revision,
            synced=lambda: self._informer.synced,
        )
        api.add(INSPECTOR, inspector.register)
        api.add(CSDS, ClientStatus(self._ads).register, file=described())
        return api

    async def _publish(self) -> None:
        """Offers every revision to the proxies, once what makes Envoy's resources is imported."""
        await self._informer.wait_synced()
        self._proxies_socket.bind(self._ads.listen)
        await self._ads.start()
        make: type[Publisher] = await asyncio.to_thread(_publisher)
        synced = asyncio.Event()

        def offered(changes: Sequence[Change]) -> None:
            synced.set()
            see_out(self._ads, self._offers, changes)

        publisher = make(
            self._informer,
            self._ads.publish,
            clock=SystemClock(),
            answered=self._ads.answered,
            on_offered=offered,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(publisher.run(), name="offers")
            await synced.wait()
            gc.freeze()  # the first state: with 10,000 services each look through it would stop everything for 0.4 s
            self._offers.publisher = publisher
            self._ads.mark_synced()
            _LOG.info("offering", revision=publisher.published_revision)


def see_out(ads: AdsServer, offers: Offers, changes: Sequence[Change]) -> None:
    """Who was let in for a task goes with it: what the namespace has from then on is not for them."""
    changed = {name for kind, name, _, _ in changes if kind == "Task"}
    for proxy in ads.connected() if changed else ():
        name = proxy.partition("#")[0]  # of a crowd, as its token has it
        concerned = name in changed or name.startswith(grpc_bootstrap.PREFIX)
        if concerned and offers.scope(name) is None:
            ads.dismiss(proxy, f"{name!r} was let in for a task that is no more")


def _publisher() -> type[Publisher]:
    """Imports it. Its many objects stay for good: collecting garbage among them would only cost, now and later."""
    gc.disable()
    try:
        lean = importlib.import_module("tsunagu.translate.lean")
        with lean.lean_messages():
            made: type[Publisher] = importlib.import_module("tsunagu.serve.publisher").Publisher
    finally:
        gc.enable()
        gc.freeze()
    return made


class Offers:
    """What the inspector and the proxies' door see of the publisher, and what they see before it is there."""

    def __init__(self, informer: Informer) -> None:
        self.publisher: Publisher | None = None
        self._informer = informer
        self._nothing = self._early = View.empty()

    @property
    def view(self) -> View:
        """The mesh as it was last offered."""
        return self.publisher.view if self.publisher else self._nothing

    def scope(self, task: str) -> tuple[str, ...] | None:
        """The bundles of a task's proxy, as `View.scope`; known before anything is offered."""
        if self.publisher:
            return self.publisher.view.scope(task)
        if self._early.revision != self._informer.revision:
            everything = [
                (kind, name, None, obj) for kind in ids.KINDS for name, obj in self._informer.objects(kind).items()
            ]
            self._early, _ = View.empty().apply(everything, self._informer.revision)
        return self._early.scope(task)

    @property
    def published_revision(self) -> int:
        return self.publisher.published_revision if self.publisher else 0

    def override(self, namespace: str, type_url: str, name: str, body: bytes) -> int:
        """As `Publisher.override`. Who asks has found the namespace in `view`, so there is a publisher."""
        assert self.publisher is not None
        return self.publisher.override(namespace, type_url, name, body)


class Door:
    """Says which proxy a stream is, and what it may see: the token of its task decides, not what it claims to be."""

    def __init__(self, key: bytes, offers: Offers) -> None:
        self._key = key
        self._offers = offers

    def admit(self, call: Mapping[str, str], node: NodeInfo) -> Scope:
        """Raises Unauthenticated without a good token, PermissionDenied when its task may have no proxy (any more)."""
        try:
            name = verify(self._key, _token(call, node))
        except BadToken as error:
            raise Unauthenticated(str(error)) from error
        bundles = self._offers.scope(name)
        if grpc_bootstrap.parse(name):
            if bundles is None:
                raise PermissionDenied(f"there is no namespace, or no task in it, for the gRPC client {name!r}")
            return Scope(name, bundles, legacy_wildcard=False, crowd=True)
        if node.is_grpc:  # what it accepts must not count as its task's Envoy's
            raise PermissionDenied(f"{name!r} is a proxy's name: a gRPC client has a token of its own")
        if bundles is None:
            raise PermissionDenied(f"there is no task {name!r} that has a proxy")
        return Scope(name, bundles)


def _token(call: Mapping[str, str], node: NodeInfo) -> str:
    """Envoys bear it in the call's metadata; gRPC's own clients, which cannot, in their node's. Raises Unauthenticated."""
    scheme, _, token = call.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    said = node.metadata.get(grpc_bootstrap.TOKEN) if node.is_grpc else None
    if not isinstance(said, str):
        raise Unauthenticated(
            "a proxy needs `authorization: Bearer TOKEN` with the token of its task, "
            f"a gRPC client node.metadata with {grpc_bootstrap.TOKEN!r}: see 'tsunagu grpc-bootstrap'"
        )
    return said
