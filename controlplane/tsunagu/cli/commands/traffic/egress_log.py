"""`tsunagu egress-log`: lets the Envoys of tasks log the calls that their apps make, at run time.

The one rule: what is switched stands in the Task, so the node agent keeps it, whatever is restarted; here it is only said, and
waited for.
"""

from __future__ import annotations

import asyncio
import enum
import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import FAILED, USAGE, CliError
from tsunagu.client.connection import ask_envoy, connected, short
from tsunagu.client.tasks import all_tasks, has_stopped
from tsunagu.model import ids
from tsunagu.settings import Home
from tsunagu.translate import names

if TYPE_CHECKING:
    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_SECONDS: Final = 10.0
_POLL: Final = 0.05


class Switch(enum.StrEnum):
    """Which calls are logged."""

    on = "on"
    errors = "errors"
    off = "off"


#: Switch -> `TaskSpec.egress_log`, and the runtime key that is then 100.
_MODES: Final = {
    Switch.on: ("all", names.EGRESS_LOG),
    Switch.errors: ("errors", names.EGRESS_ERRORS),
    Switch.off: ("", ""),
}
_KEYS: Final = (names.EGRESS_LOG, names.EGRESS_ERRORS)


@command
async def egress_log(
    home: Home,
    task: Annotated[
        str, typer.Argument(metavar="TASK|SERVICE", help="A task, or a service: all of its running tasks.")
    ],
    switch: Annotated[Switch, typer.Argument(help="on: every call; errors: those that fail; off.")],
) -> None:
    """Log the calls that a task's apps make, with Envoy's response flags; 'tsunagu logs -c envoy' shows the lines."""
    async with connected(home) as link:
        known = await all_tasks(link)
        owner = known.owner(task)
        chosen = [one for one in known.of_owner(owner) if not has_stopped(one)] if owner else [known.choose(task).task]
        if not chosen:
            raise CliError(f"{owner} has no task that runs", FAILED, "switch it on when it has one")
        revisions = {obj.meta.name: obj for obj in (await link.registry.list("ServiceRevision"))[0]}
        without = [one for one in chosen if not _has_proxy(one, revisions)]
        if without:
            raise CliError(
                f"{short(without[0].meta.name)} has no Envoy that could log", USAGE, "it has no Service Connect"
            )
        for one in chosen:
            await _switch(link, one, switch)
    what = {Switch.on: "logs its calls", Switch.errors: "logs its calls that fail", Switch.off: "logs no calls"}[switch]
    for one in chosen:
        typer.echo(f"{short(one.meta.name)} {what}")
    if switch is not Switch.off:
        typer.echo(f"tsunagu logs -c envoy -f {task} shows them; tasks that start later log none", err=True)


def _has_proxy(task: Object, revisions: dict[str, Object]) -> bool:
    revision = revisions.get(task.task.spec.service_revision)
    return bool(task.task.spec.gateway) or (revision is not None and revision.service_revision.connect)


async def _switch(link: Link, task: Object, switch: Switch) -> None:
    """Write it, and wait until the Envoy has it. Raises RequestFailed when that does not answer, CliError at the deadline."""
    mode, key = _MODES[switch]

    def change(obj: Object) -> None:
        obj.task.spec.egress_log = mode

    await link.registry.update("Task", task.meta.name, change)
    try:
        async with asyncio.timeout(_SECONDS):
            while await _mode(link, task) != key:  # noqa: ASYNC110 - nothing of Envoy's tells of a change
                await asyncio.sleep(_POLL)
    except TimeoutError:
        who = ids.task_id(task)
        raise CliError(
            f"the Envoy of {who} has not been switched for {_SECONDS:g} s", FAILED, "its node agent goes on trying"
        ) from None


async def _mode(link: Link, task: Object) -> str:
    """The runtime key that is on in a task's Envoy; empty when none is."""
    entries = json.loads(await ask_envoy(link, task, "/runtime?format=json")).get("entries", {})
    return next((key for key in _KEYS if entries.get(key, {}).get("final_value") == "100"), "")
