"""Proxies and types of xDS, as commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.cli.errors import USAGE, CliError
from tsunagu.client import lookup
from tsunagu.client.tasks import all_tasks
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import SHORT

if TYPE_CHECKING:
    from tsunagu.client.connection import Link


def type_named(word: str) -> str:
    """The short name of a type, in any case; an empty word stays one. Raises CliError."""
    if word and word.upper() not in SHORT:
        raise CliError(f"{word!r} is no type of xDS", USAGE, f"the types are {', '.join(SHORT)}")
    return word.upper()


async def proxy_named(link: Link, word: str) -> str:
    """The proxy that a word means: a task's ID, which may be shortened, or a service, whose oldest running task it is."""
    answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
    tasks = await all_tasks(link)
    if tasks.owner(word):
        return tasks.choose(word).task.meta.name
    return lookup.find("Task", word, {proxy.name for proxy in answer.proxies} | {one.meta.name for one in tasks.tasks})
