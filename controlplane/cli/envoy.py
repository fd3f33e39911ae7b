"""`tsunagu envoy`: the admin interface of a task's Envoy, which no port offers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from tsunagu.v1 import node_pb2

from controlplane.cli.errors import FAILED, CliError
from controlplane.cli.link import connected, node_agent, short, told
from controlplane.cli.options import command
from controlplane.settings import Home

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
    task: Annotated[str, typer.Argument(help="ID of a task; may be shortened.")],
    page: Annotated[str, typer.Argument(metavar="config_dump|clusters|stats|listeners|PATH")] = "clusters",
    post: Annotated[
        bool, typer.Option("--post", help="POST in place of GET, as pages that change something want.")
    ] = False,
) -> None:
    """Look into a task's Envoy: its configuration, endpoints, counters, listeners, or any page of its admin."""
    path = PAGES.get(page, page if page.startswith("/") else f"/{page}")
    async with connected(home) as link:
        found = await link.find("Task", task)
        request = node_pb2.EnvoyAdminRequest(task=found.meta.name, path=path, method="POST" if post else "GET")
        with told(home):
            async with node_agent(link, found) as agent:
                answer = await agent.EnvoyAdmin(request)
    if answer.status >= 400:
        words = answer.body.decode(errors="replace").strip().partition("\n")[0].partition(". admin commands")[0]
        raise CliError(
            f"the Envoy of {short(found.meta.name)} answers {path} with {answer.status}: {words}",
            FAILED,
            "its pages are listed by 'tsunagu envoy TASK /help'",
        )
    sys.stdout.buffer.write(answer.body)
    if not answer.body.endswith(b"\n"):
        typer.echo()
