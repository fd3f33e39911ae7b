"""Calls of a task to addresses and ports that nobody offers, as its Envoy counts them, with the names that they mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tsunagu.client.connection import ask_envoy, short
from tsunagu.client.errors import ClientError
from tsunagu.client.tasks import has_stopped
from tsunagu.translate import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_LIVE = "LIVE"
_PAGE = f"/stats?format=json&usedonly&filter=^{names.UNOFFERED}[.]"


async def rows(link: Link, tasks: Iterable[Object]) -> list[list[str]]:
    """TASK, CALLED, CONNECTIONS of those of the tasks that run; of one whose Envoy does not answer, why."""
    found = []
    for task in tasks:
        if task.task.status.proxy.state != _LIVE or has_stopped(task):
            continue
        counts = await calls_to_nobody(link, task)
        shown = [(counts, "")] if isinstance(counts, str) else list(counts.items())
        found += [[short(task.meta.name), to, str(count)] for to, count in shown]
    return found


async def calls_to_nobody(link: Link, task: Object) -> dict[str, int] | str:
    """NAME:PORT -> connections since its Envoy started, most first; or why that cannot be told."""
    try:
        answer = json.loads(await ask_envoy(link, task, _PAGE))
    except ClientError as error:
        return str(error)
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
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _of(address: Object, namespace: str) -> bool:
    return not namespace or address.virtual_address.namespace == namespace
