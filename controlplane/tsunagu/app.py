"""The composition root of `serve`: which parts the control plane is made of, and in which order they start and stop.

The one rule: parts meet only here. Each runs in a named task of one group, and when one ends that was not asked to, the
process ends; `up` starts it again, and nothing that runs in the mesh is touched by that.

The registry answers first, and proxies may connect. What makes Envoy's resources (`envoy_data_plane`: most of a second) is
imported in a thread meanwhile; until it has published the first state, no proxy is answered anything.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from typing import TYPE_CHECKING

from tsunagu.ca.parts import CaSettings, CertificateAuthority
from tsunagu.controllers.alarms.watch import AlarmWatch, mark_unknown
from tsunagu.controllers.former_agents import mark_former
from tsunagu.controllers.runtime import run_controllers
from tsunagu.kit import log
from tsunagu.kit.clock import SystemClock
from tsunagu.kit.ending import listen_for_the_end
from tsunagu.kit.process_limits import keep_returning_memory, raise_descriptors
from tsunagu.kit.tokens import load_key
from tsunagu.kit.version import __version__
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.serve.api.certificates import NAME as IDENTITIES
from tsunagu.serve.api.certificates import IdentitiesService
from tsunagu.serve.api.inspector import NAME as INSPECTOR
from tsunagu.serve.api.inspector import About, Inspector
from tsunagu.serve.api.registry import NAME as REGISTRY
from tsunagu.serve.api.registry import RegistryService
from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.api.signals_service import NAME as SIGNALS
from tsunagu.serve.api.signals_service import SignalsService
from tsunagu.serve.hooks.call import Caller
from tsunagu.serve.hooks.calling import HookCalls
from tsunagu.serve.published import Overrides, PublishedState, Scopes
from tsunagu.serve.sockets import OwnedSocket
from tsunagu.serve.xds.ads import AdsServer
from tsunagu.serve.xds.authentication import Authenticator, evict
from tsunagu.serve.xds.csds import NAME as CSDS
from tsunagu.serve.xds.csds import ClientStatus, described
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.signals.store import SignalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tsunagu.mesh.changes import Change
    from tsunagu.serve.publisher import Publisher
    from tsunagu.serve.xds.metrics import Metric
    from tsunagu.settings import ServeSettings

_LOG = log.get("serve")
# Little of what a push makes is garbage in cycles. Python's own thresholds (700, 10, 10) look for it several times in
# each push, and now and then through everything, in the middle of one.
_GARBAGE_COLLECTION = (10_000, 20, 20)
_RESERVED_FILES = 512  # for the API, the registry and logs: clients of xds.sock must not take the last descriptor
_CONNECTIONS = 256  # that proxies may open, if the system allows no more files than that


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
        registry = Registry(store)
        await mark_former(registry)
        await mark_unknown(registry, time.time())
        await ControlPlane(settings, registry).run(stop)
    finally:
        await store.close()
    _LOG.info("stopped")


def limits() -> Limits:
    """What proxies may take, where a mesh knows more of its clients than the library does: an Envoy says in the call's
    metadata who it is, so only gRPC's small first requests are read of strangers.
    """
    return Limits(
        connections=min(Limits().connections, max(_CONNECTIONS, raise_descriptors() - _RESERVED_FILES)),
        first_message=5.0,
        first_reads=8,
        strangers=1024,
        first_request_bytes=256 << 10,
        streams_per_client=128,
    )


class ControlPlane:
    """The parts of one control plane, over a registry that its caller opens and closes."""

    def __init__(self, settings: ServeSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._informer = Informer(registry)
        self._published = PublishedState()
        self._scopes = Scopes(self._published, self._informer)
        self._signals = SignalStore()
        key = load_key(settings.home.key)
        authenticator = Authenticator(key, self._scopes.of, self._scopes.mask)
        wanted = settings.identity
        authority = CaSettings(settings.home.authorities, wanted.authorities, wanted.trust_domain, wanted.leaf_seconds)
        self._authority = CertificateAuthority(authority, key, SystemClock())
        self._ads = AdsServer(
            authenticate=authenticator.authorize, identifier=settings.identifier, timeline=Timeline(), limits=limits()
        )
        self._ads.recognize = authenticator.recognize
        settings.home.xds_directory.mkdir(mode=0o700, exist_ok=True)
        self._proxies_socket = OwnedSocket(settings.home.xds_socket, place=settings.home.xds_directory / "sock")

    async def run(self, stop: asyncio.Event) -> None:
        """Starts every part; when ``stop`` is set, stops them in order and returns. Raises BadAuthority before that."""
        await self._authority.check(self._registry)
        signals = SignalsService(self._signals, SystemClock())
        identities = IdentitiesService(self._authority, self._informer)
        inspector = self._inspector(lambda: (*signals.metrics(), *identities.metrics()))
        api = self._api(inspector, signals, identities)
        alarms = AlarmWatch(self._registry, self._informer, self._signals, SystemClock())
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(self._informer.run(), name="informer"),
                group.create_task(self._registry.store.run(), name="leases"),
                group.create_task(run_controllers(self._registry, self._informer), name="controllers"),
                group.create_task(alarms.run(), name="alarms"),
                group.create_task(self._hooks().run(), name="hooks"),
                group.create_task(self._publish(), name="publishing"),
                group.create_task(
                    self._authority.run(self._registry, self._informer, inspector.lacking), name="certificate authority"
                ),
                group.create_task(keep_returning_memory(), name="memory"),
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

    def _api(self, inspector: Inspector, signals: SignalsService, identities: IdentitiesService) -> ApiServer:
        api = ApiServer(self._settings.home.api_socket)
        records = RegistryService(self._registry, self._informer, check_batch)
        api.add(REGISTRY, records.register, records.close)
        api.add(SIGNALS, signals.register)
        api.add(IDENTITIES, identities.register)
        api.add(INSPECTOR, inspector.register)
        api.add(CSDS, ClientStatus(self._ads).register, file=described())
        return api

    def _inspector(self, more: Callable[[], Iterable[Metric]]) -> Inspector:
        about = About(
            __version__,
            f"sqlite:{self._settings.home.database}",
            time.time(),
            lambda: self._registry.store.problem,
            more,
        )
        return Inspector(
            about,
            ads=self._ads,
            published=self._published,
            overrides=Overrides(self._published, self._ads.publish),
            revision=lambda: self._registry.revision,
            synced=lambda: self._informer.synced,
        )

    def _hooks(self) -> HookCalls:
        caller = Caller(self._settings.hook_environment)
        return HookCalls(self._registry, self._informer, self._settings.home.hooks, caller, SystemClock())

    async def _publish(self) -> None:
        """Publishes every revision to the proxies, once what makes Envoy's resources is imported."""
        await self._informer.wait_synced()
        self._proxies_socket.bind(self._ads.listen)
        await self._ads.start()
        make: type[Publisher] = await asyncio.to_thread(_publisher)
        synced = asyncio.Event()

        def published(changes: Sequence[Change]) -> None:
            synced.set()
            evict(self._ads, self._scopes.of, {name for kind, name, _, _ in changes if kind == "Task"})

        publisher = make(self._informer, self._published, self._ads, clock=SystemClock(), on_published=published)
        async with asyncio.TaskGroup() as group:
            group.create_task(publisher.run(), name="publisher")
            await synced.wait()
            gc.freeze()  # the first state: with 10,000 services each look through it would stop everything for 0.4 s
            self._ads.mark_synced()
            _LOG.info("publishing", revision=self._published.revision)


def _publisher() -> type[Publisher]:
    """Imports the publisher. Its many objects stay for good: collecting garbage among them would only cost, now and later."""
    gc.disable()
    try:
        lean = importlib.import_module("tsunagu.translate.lean")
        with lean.lean_messages():
            made: type[Publisher] = importlib.import_module("tsunagu.serve.publisher").Publisher
    finally:
        gc.enable()
        gc.freeze()
    return made
