"""`tsunagu envoy`: the admin interface of a task's Envoy, which no port offers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.output import notice
from tsunagu.client.connection import ask_envoy, connected
from tsunagu.client.tasks import all_tasks
from tsunagu.settings import Home

#: Words for the pages that one looks at most.
PAGES = {
    "config_dump": "/config_dump?include_eds",
    "clusters": "/clusters",
    "stats": "/stats",
    "listeners": "/listeners",
}


@command
async def envoy(
    home: Home,
    task: Annotated[str, typer.Argument(help="ID of a task, or a service: its oldest running task.")],
    page: Annotated[str, typer.Argument(metavar="config_dump|clusters|stats|listeners|PATH")] = "clusters",
    post: Annotated[
        bool, typer.Option("--post", help="POST in place of GET, as pages that change something want.")
    ] = False,
) -> None:
    """Look into a task's Envoy: its configuration, endpoints, counters, listeners, or any page of its admin."""
    path = PAGES.get(page, page if page.startswith("/") else f"/{page}")
    async with connected(home) as link:
        choice = (await all_tasks(link)).choose(task)
        if choice.why:
            notice(choice.why)
        body = await ask_envoy(link, choice.task, path, "POST" if post else "GET")
    sys.stdout.buffer.write(body)
    if not body.endswith(b"\n"):
        typer.echo()
