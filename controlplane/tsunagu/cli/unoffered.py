"""Calls of a task to what nobody offers: ports of names, as its Envoy counts connections; names, as the node agent counts look-ups."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tsunagu.client.connection import ask_envoy, client_errors, node_agent, short
from tsunagu.client.errors import ClientError
from tsunagu.client.tasks import has_stopped
from tsunagu.translate import names
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_LIVE = "LIVE"
_SECONDS = 3.0
_PAGE = f"/stats?format=json&usedonly&filter=^{names.UNOFFERED}[.]"


async def rows(link: Link, tasks: Iterable[Object]) -> list[list[str]]:
    """TASK, CALLED, TIMES of those of the tasks that run; of one that cannot be asked, why."""
    running = [task for task in tasks if task.task.status.proxy.state == _LIVE and not has_stopped(task)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_of_task(link, task), name=f"calls of {task.meta.name}") for task in running]
    return [row for one in asked for row in one.result()]


async def _of_task(link: Link, task: Object) -> list[list[str]]:
    who = short(task.meta.name)
    try:
        async with asyncio.timeout(_SECONDS):
            counts = await calls_to_nobody(link, task)
            looked_up = await unknown_lookups(link, task)
    except ClientError as error:
        return [[who, f"not known: {error}", ""]]
    except TimeoutError:
        return [[who, f"not known: no answer for {_SECONDS:g} s", ""]]
    calls = [[who, to, f"{count} connections"] for to, count in counts.items()]
    return calls + [[who, name, f"{count} look-ups"] for name, count in looked_up.items()]


async def unknown_lookups(link: Link, task: Object) -> dict[str, int]:
    """Names that the task looked up and that nobody has -> how often, most first. Raises ClientError."""
    with client_errors(link.home):
        async with node_agent(link, task) as agent:
            seen = await agent.TaskNetwork(node_pb2.TaskNetworkRequest(task=task.meta.name))
    return _most_first(seen.unknown_names)


async def calls_to_nobody(link: Link, task: Object) -> dict[str, int]:
    """NAME:PORT -> connections since its Envoy started, most first. Raises ClientError."""
    answer = json.loads(await ask_envoy(link, task, _PAGE))
    addresses, _ = await link.registry.list("VirtualAddress")
    namespace = task.task.spec.namespace
    called = {one.virtual_address.ip: one.virtual_address.dns_name for one in addresses if _of(one, namespace)}
    return named(answer.get("stats", ()), called)


def named(stats: Iterable[Mapping[str, Any]], called: Mapping[str, str]) -> dict[str, int]:
    """The counts by name. `called`: virtual IP -> DNS name; an address without a name stands for itself."""
    found: dict[str, int] = {}
    for stat in stats:
        ip, _, port = names.unoffered_destination(str(stat["name"])).rpartition(":")
        if ip and stat.get("value"):
            found[f"{called.get(ip, ip)}:{port}"] = int(stat["value"])
    return _most_first(found)


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _of(address: Object, namespace: str) -> bool:
    return not namespace or address.virtual_address.namespace == namespace
