"""Gathers the facts about one call from the control plane, the node agents, both sides' Envoys, and a call.

The one rule: what does not answer is a fact, too (`Facts.missing`), and ends nothing; everything has a limit of time.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tsunagu.cli.compare import config_dump
from tsunagu.cli.unoffered import calls_to_nobody
from tsunagu.cli.why import facts
from tsunagu.cli.why.gather import envoy_facts, probe
from tsunagu.cli.why.gather.access_facts import access
from tsunagu.cli.why.gather.registry_facts import Registry, alias_of
from tsunagu.cli.why.rules.proxying import AGENT, ENVOY
from tsunagu.client.connection import ask_envoy, client_errors, node_agent
from tsunagu.client.errors import ClientError
from tsunagu.client.tasks import has_stopped
from tsunagu.mesh.traffic.model import Destination
from tsunagu.model import ids
from tsunagu.translate import names
from tsunagu.v1 import inspector_pb2, node_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from tsunagu.cli.why.target import Target
    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

T = TypeVar("T")
_SECONDS: Final = 6.0
_MOST_SERVERS: Final = 5
_HTTP2: Final = frozenset({"http2", "grpc"})


@dataclass(slots=True)
class Gathering:
    """One question while its facts are gathered. `patience`: seconds that a call may take; 0: no call is made."""

    link: Link
    task: Object
    target: Target
    patience: float = 5.0
    missing: dict[str, str] = field(default_factory=dict)

    async def gathered(self) -> facts.Facts:
        """All that is to be known. Raises ClientError when the control plane does not answer."""
        registry = Registry(*await self.link.registry.list())
        caller = registry.caller(self.task)
        offered = registry.names(self.task, caller.namespace)
        alias = alias_of(self.target, offered)
        known: dict[str, Any] = {}
        if caller.connect and caller.status == "RUNNING":
            known = await self._caller(alias)
        if alias:
            known |= await self._behind(registry, alias, known.get("held"))
        if self.missing:
            caller = await self._caller_now(registry, caller)
        return facts.Facts(
            target=self.target,
            caller=caller,
            alias=alias,
            names=offered,
            elsewhere=registry.elsewhere(self.task, caller.namespace, self.target.name),
            services=registry.services(),
            addresses={
                obj.task.status.ip: ids.task_id(obj) for obj in registry.of_kind("Task") if not has_stopped(obj)
            },
            tls_alone=registry.tls_alone(),
            records=None if alias else registry.records(self.target.name),
            zone=registry.zone(self.target.name),
            missing=self.missing,
            **known,
        )

    async def _behind(self, registry: Registry, alias: facts.Alias, held: facts.Held | None) -> dict[str, Any]:
        """Who serves the name, as the control plane means it and as it is."""
        leads = names.parse(held.cluster_name) if held and held.cluster_name else None
        name = leads.discovery_name if leads and leads.discovery_name else alias.discovery_name
        providers = registry.providers(alias, name)
        servers = await self._servers(registry, alias, name, providers)
        tls = any(one.tls for one in providers)
        seen = {
            "policy": registry.policy(alias.namespace, name),
            "access": access(registry.view, self.task, alias, self.target),
            "providers": providers,
            "servers": servers,
            "identities": await self._identities(registry, [one.task for one in servers]) if tls else (),
        }
        return seen | (await self._control_plane(alias, providers) if registry.caller(self.task).connect else {})

    async def _tried(self, what: str, work: Awaitable[T]) -> T | None:
        """The result, or None: why there is none stands in `missing`."""
        try:
            with client_errors(self.link.home):
                async with asyncio.timeout(_SECONDS + 2 * self.patience):
                    return await work
        except ClientError as error:
            self.missing[what] = str(error)
        except TimeoutError:
            self.missing[what] = f"no answer for {_SECONDS + 2 * self.patience:g} s"
        return None

    async def _caller_now(self, registry: Registry, before: facts.Caller) -> facts.Caller:
        """The caller as it is after something was not there: a task that ends meanwhile takes its Envoy with it."""
        now = await self.link.registry.get("Task", self.task.meta.name)
        return registry.caller(now) if now is not None else replace(before, status="STOPPED")

    # -- the caller's side --------------------------------------------------------------------------------------------

    async def _caller(self, alias: facts.Alias | None) -> dict[str, Any]:
        seen = await self._tried(AGENT, self._network(self.task))
        if seen is None:
            return {}
        known: dict[str, Any] = {"hosts_file": dict(seen.names), "unknown_lookups": dict(seen.unknown_names)}
        known["refused_outside"] = {f"{one.ip}:{one.port}": one.reason for one in seen.outside.places}
        if alias is None:
            return {**known, "unoffered": await self._tried(ENVOY, calls_to_nobody(self.link, self.task)) or {}}
        known["held"] = await self._tried(ENVOY, self._held(alias))
        if alias.ip and self.patience and ENVOY not in self.missing:
            known["answer"] = await self._tried("a call", self._call(alias))
            before = known["held"]
            if before and (alias.external or before.peers):  # of a handshake that fails, only what Envoy counts tells
                after = await self._tried(ENVOY, self._held(alias))
                known["held"] = after and envoy_facts.grown(before, after)
        return known

    async def _network(self, task: Object) -> Any:
        async with asyncio.timeout(_SECONDS), node_agent(self.link, task) as agent:
            return await agent.TaskNetwork(node_pb2.TaskNetworkRequest(task=task.meta.name), timeout=_SECONDS / 2)

    async def _held(self, alias: facts.Alias) -> facts.Held:
        dump = config_dump.read(await self._page(config_dump.PAGE))
        on = envoy_facts.way(self.target, alias, dump)
        stats = await self._page(envoy_facts.stats_page(on.cluster))
        return envoy_facts.held(alias, on, dump, await self._page(envoy_facts.LIVE), stats)

    async def _page(self, path: str) -> Any:
        return json.loads(await ask_envoy(self.link, self.task, path))

    async def _call(self, alias: facts.Alias) -> facts.Answer:
        """A call to the virtual address, as an app would make it that has looked the name up."""
        as_http = alias.is_http or self.target.scheme in {"http", "ws"}
        talk = probe.Conversation.tcp(probe.CONNECTED_BY)
        if as_http:
            talk = probe.Conversation.http(self.target, alias.protocol, self.patience)
        return await self._dialed(self.task, alias.ip, alias.port, talk)

    async def _dialed(self, task: Object, ip: str, port: int, talk: probe.Conversation) -> facts.Answer:
        start = node_pb2.DialStart(task=task.meta.name, ip=ip, port=port, timeout_seconds=self.patience)
        async with node_agent(self.link, task) as agent:
            return await probe.call(agent, start, talk)

    # -- the control plane --------------------------------------------------------------------------------------------

    async def _control_plane(self, alias: facts.Alias, providers: Sequence[facts.Provider]) -> dict[str, Any]:
        found = await self._tried("the control plane's view of the proxy", self._stream(alias))
        if found is None:
            return {}
        stream, lag = found
        empty = stream.resources.get("EDS")
        nobody = not any(one.serving for one in providers)
        return {"stream": stream, "lag": lag, "empty_for": empty.age if empty and nobody else None}

    async def _stream(self, alias: facts.Alias) -> tuple[facts.Stream, int]:
        inspector, name = self.link.inspector, self.task.meta.name
        info = await inspector.Info(inspector_pb2.InfoRequest(), timeout=_SECONDS)
        shown = await inspector.Proxies(inspector_pb2.ProxiesRequest(proxy=name), timeout=_SECONDS)
        request = inspector_pb2.ResourcesRequest(proxy=name, without_bodies=True)
        resources = (await inspector.Resources(request, timeout=_SECONDS)).resources
        proxy = next(iter(shown.proxies), None)
        types = tuple(_type_state(one) for one in proxy.types) if proxy else ()
        wanted = _needed(alias)
        own = {one.type: _resource_state(one) for one in resources if wanted.get(one.type) == one.name}
        # Who can speak TLS to a name has its endpoints in an assignment of their own, and only of names that take TLS there is one.
        secured = names.secured_assignment(alias.namespace, Destination(alias.discovery_name))
        own |= {one.type: _resource_state(one) for one in resources if (one.type, one.name) == ("EDS", secured)}
        connected = bool(proxy and proxy.connected)
        return facts.Stream(connected, types, own), max(0, info.revision - info.published_revision)

    # -- the other side -----------------------------------------------------------------------------------------------

    async def _servers(
        self, registry: Registry, alias: facts.Alias, name: str, providers: Sequence[facts.Provider]
    ) -> tuple[facts.Server, ...]:
        """Look at the tasks that serve, and at those that are about to, a few at most."""
        by_id = {ids.task_id(obj): obj for obj in registry.of_kind("Task")}
        there = [one for one in providers if one.ip and one.status != "STOPPED" and not one.stopping]
        chosen = sorted((one for one in there if one.task in by_id), key=lambda one: not one.serving)[:_MOST_SERVERS]
        async with asyncio.TaskGroup() as group:
            looks = [
                group.create_task(self._server(registry, alias, name, by_id[one.task]), name=f"look at {one.task}")
                for one in chosen
            ]
        return tuple(look.result() for look in looks)

    async def _server(self, registry: Registry, alias: facts.Alias, name: str, task: Object) -> facts.Server:
        ident = ids.task_id(task)
        port = registry.port_of(task, alias.namespace, name)
        container_port = port.container_port if port else 0
        seen = await self._tried(f"the network of {ident}", self._network(task))
        if seen is None:
            return facts.Server(ident, ingress=None, container_port=container_port)
        listening = tuple((one.address, one.port) for one in seen.listening)
        envoy, ingress = await self._ingress(
            task, f"{task.task.spec.service_revision}/{port.port_name if port else ''}"
        )
        app = http2 = tls = None
        if self.patience and any(at == container_port for _, at in listening):
            app, http2, tls = await self._asked(alias, task, container_port)
        return facts.Server(ident, envoy, ingress, container_port, listening, app, http2, tls)

    async def _ingress(self, task: Object, port: str) -> tuple[str, bool | None]:
        """Why its Envoy does not answer, and whether it has the ingress listener."""
        try:
            with client_errors(self.link.home):
                page = json.loads(await ask_envoy(self.link, task, "/listeners?format=json"))
        except ClientError as error:
            return str(error), None
        revision, _, name = port.rpartition("/")
        wanted = {names.ingress_listener(revision, name), names.tls_ingress(revision, name)}
        return "", any(one.get("name") in wanted for one in page.get("listener_statuses", ()))

    async def _identities(self, registry: Registry, servers: Sequence[str]) -> tuple[facts.Identity, ...]:
        """How the caller and these tasks prove who they are; whose Envoy does not answer is left out, which is said elsewhere."""
        by_id = {ids.task_id(obj): obj for obj in registry.of_kind("Task")}
        found = []
        for task in (self.task, *(by_id[one] for one in servers)):
            try:
                with client_errors(self.link.home):
                    page = json.loads(await ask_envoy(self.link, task, envoy_facts.CERTIFICATES))
            except ClientError:
                continue
            found.append(registry.identity(task, envoy_facts.certificate(page, time.time())))
        return tuple(found)

    async def _asked(
        self, alias: facts.Alias, task: Object, port: int
    ) -> tuple[facts.Answer | None, facts.Answer | None, facts.Answer | None]:
        """The app asked directly, in the protocol of its port, and in HTTP/2 and TLS when that gets no answer."""
        what = f"a direct call to {ids.task_id(task)}"

        async def ask(talk: probe.Conversation) -> facts.Answer | None:
            return await self._tried(what, self._dialed(task, "127.0.0.1", port, talk))

        if not alias.is_http:
            return await ask(probe.Conversation.tcp()), None, None
        if alias.protocol in _HTTP2:
            http2 = await ask(probe.Conversation.http2(self.patience))
            silent = http2 is not None and bool(http2.ended)
            return None, http2, await ask(probe.Conversation.tls(1.0)) if silent else None
        app = await ask(probe.Conversation.http(self.target, "http", self.patience))
        if app is None or app.status or app.refused:
            return app, None, None
        http2 = await ask(probe.Conversation.http2(1.0))
        return app, http2, await ask(probe.Conversation.tls(1.0)) if app.ended else None


def _needed(alias: facts.Alias) -> Mapping[str, str]:
    """What a call needs, by type -> name."""
    listener = names.alias_listener(alias.namespace, alias.name, alias.port)
    cluster = names.service_cluster(alias.namespace, alias.discovery_name)
    needed = {"LDS": listener, "CDS": cluster, "EDS": cluster}
    return needed | ({"RDS": listener} if alias.is_http else {})


def _type_state(one: Any) -> facts.TypeState:
    return facts.TypeState(one.type, one.state, one.age_seconds, " ".join(one.error.split()), one.held_seconds)


def _resource_state(one: Any) -> facts.TypeState:
    return facts.TypeState(one.type, one.state, one.age_seconds, " ".join(one.error.split()))
