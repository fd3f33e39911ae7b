"""`tsunagu ps`, `scale` and `stop`: the tasks that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import columns, errors, notices, output
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected, short
from tsunagu.client.restart import restart
from tsunagu.client.tasks import all_tasks
from tsunagu.model import ids
from tsunagu.model.statuses import Status, StopCode
from tsunagu.settings import Home

if TYPE_CHECKING:
    from tsunagu.client.connection import Link
    from tsunagu.v1 import objects_pb2

_MOST = 2**31 - 1  # what ECS's desiredCount holds
All = Annotated[bool, typer.Option("-a", "--all", help="Also those that have stopped.")]


@command
async def ps(
    home: Home, service: Annotated[str, typer.Argument()] = "", every: All = False, output_as: Output = Format.table
) -> None:
    """List the tasks, of one service or of all."""
    async with connected(home) as link:
        wanted = (await link.find("Service", service)).meta.name if service else ""
        found, _ = await link.registry.list("Task")
        await notices.show(link)
    tasks = [
        task
        for task in found
        if (every or task.task.status.last_status != Status.STOPPED) and (not wanted or ids.service_of(task) == wanted)
    ]
    tasks = columns.newest_first(tasks)
    titles, cells = columns.of_kind("Task", tasks)
    output.listing(output_as, [output.object_dict(task) for task in tasks], titles, cells)


@command
async def scale(home: Home, counts: Annotated[list[str], typer.Argument(metavar="SERVICE=N...")]) -> None:
    """Set how many tasks services have. Waits for nothing; 'tsunagu wait --steady' does."""
    wanted = [parse_count(text) for text in counts]
    async with connected(home) as link:
        named = [
            ((await link.find("Service", word)).meta.name, count) for word, count in wanted
        ]  # all, or none is done
        for name, count in named:
            await _scale_one(link, name, count)


async def _scale_one(link: Link, name: str, count: int) -> None:
    before: list[int] = []

    def set_count(obj: objects_pb2.Object) -> bool:
        before[:] = [obj.service.spec.desired_count]
        obj.service.spec.desired_count = count
        return before[0] != count

    await link.registry.update("Service", name, set_count)
    done = f"{before[0]} -> {count} tasks" if before[0] != count else f"has {count} tasks already"
    typer.echo(f"service {name}: {done}")


def parse_count(text: str) -> tuple[str, int]:
    """``web=3`` as (web, 3). Raises CliError."""
    service, equals, count = text.rpartition("=")
    if not equals or not service or not count.isdecimal() or int(count[:11]) > _MOST:
        raise CliError(
            f"{text!r} does not say how many",
            errors.USAGE,
            f"write SERVICE=N, N up to {_MOST}, e.g. tsunagu scale web=3",
        )
    return service, int(count)


@command
async def restart_services(home: Home, services: Annotated[list[str], typer.Argument(metavar="SERVICE...")]) -> None:
    """Replace the tasks of services in order: new ones start, then the old ones drain. 'tsunagu wait --steady' waits."""
    async with connected(home) as link:
        named = [(await link.find("Service", word)).meta.name for word in services]  # all, or none is done
        for name in named:
            await restart(link, name)
            typer.echo(f"service {name}: new tasks take the place of the old ones")


@command
async def stop(
    home: Home,
    task: Annotated[str, typer.Argument(help="ID of a task; may be shortened.")],
    reason: Annotated[str, typer.Option("--reason", help="Shown in the task's status.")] = "",
) -> None:
    """Stop one task: it leaves its callers' endpoints, is idle, then is ended. Its service starts another."""
    async with connected(home) as link:
        name = (await all_tasks(link)).by_id(task).meta.name

        def mark(obj: objects_pb2.Object) -> bool:
            spec = obj.task.spec
            if spec.desired_status == Status.STOPPED:
                return False
            spec.desired_status, spec.stop_code = Status.STOPPED, StopCode.USER
            spec.stop_reason = reason or "Task stopped by user"
            return True

        await link.registry.update("Task", name, mark)
    typer.echo(f"task {short(name)} is to stop")
