"""`tsunagu envoy`: a task's Envoy, by the admin interface that no port offers: as tables, or any page as it is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.display.envoy_tables import DUMP, TABLES
from tsunagu.cli.errors import FAILED, USAGE, CliError
from tsunagu.cli.output import Cell, Format, Output, notice
from tsunagu.client.connection import ask_envoy, connected
from tsunagu.client.tasks import all_tasks
from tsunagu.settings import Home

if TYPE_CHECKING:
    from tsunagu.client.connection import Link

#: Words for the pages that one looks at most.
PAGES = {"config_dump": DUMP, "stats": "/stats"}


@command
async def envoy(
    home: Home,
    task: Annotated[str, typer.Argument(help="ID of a task, or a service: its oldest running task.")],
    page: Annotated[
        str, typer.Argument(metavar="|".join([*TABLES, *PAGES, "PATH"]), help="A table, or a page as it is.")
    ] = "clusters",
    post: Annotated[
        bool, typer.Option("--post", help="POST in place of GET, as pages that change something want.")
    ] = False,
    output_as: Output = Format.table,
) -> None:
    """Look into a task's Envoy: its listeners, routes, clusters and endpoints as tables, or any page of its admin."""
    if page not in TABLES and output_as is not Format.table:
        raise CliError(f"{page} is shown as it is", USAGE, f"-o is for {', '.join(TABLES)}")
    async with connected(home) as link:
        choice = (await all_tasks(link)).choose(task)
        if choice.why:
            notice(choice.why)
        if page in TABLES and not post:
            await _table(link, choice.task, page, output_as)
            return
        path = PAGES.get(page, page if page.startswith("/") else f"/{page}")
        body = await ask_envoy(link, choice.task, path, "POST" if post else "GET")
    sys.stdout.buffer.write(body)
    if not body.endswith(b"\n"):
        typer.echo()


async def _table(link: Link, task: Any, page: str, form: Format) -> None:
    titles, pages, rows_of = TABLES[page]
    answers = [_parsed(path, await ask_envoy(link, task, path)) for path in pages]
    try:
        rows = list(rows_of(*answers))
    except (KeyError, TypeError, AttributeError) as error:
        raise CliError(f"Envoy's {' and '.join(pages)} is not as expected: {error!r}", FAILED) from error
    names = [title.lower().replace(" ", "_") for title in titles]
    values = [dict(zip(names, (_text(value) for value in row), strict=True)) for row in rows]
    output.listing(form, values, titles, rows)


def _parsed(path: str, page: bytes) -> Any:
    try:
        return json.loads(page)
    except ValueError as error:
        raise CliError(f"Envoy's {path} is no JSON: {error}", FAILED) from error


def _text(value: Any) -> str:
    return value.text if isinstance(value, Cell) else str(value)
