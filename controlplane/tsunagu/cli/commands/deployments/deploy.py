"""`tsunagu deploy`, `deployments`, `rollback`, `deployment continue` and `deployment stop`."""

from __future__ import annotations

import asyncio
import enum
import time
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import columns, errors, output
from tsunagu.cli.command import command
from tsunagu.cli.display import deployment as display
from tsunagu.cli.durations import parse_duration
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client import deployments as client
from tsunagu.client.connection import connected
from tsunagu.client.errors import NotConverged
from tsunagu.model.statuses import DeploymentStatus
from tsunagu.settings import Home
from tsunagu.signals import windows
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_SEEN_SECONDS = 10.0  # of traffic that the live view tells of
_BEGINS_WITHIN = 10.0


class StrategyName(enum.StrEnum):
    """How a deployment goes; ECS's names."""

    ROLLING = "ROLLING"
    BLUE_GREEN = "BLUE_GREEN"
    LINEAR = "LINEAR"
    CANARY = "CANARY"


Service = Annotated[str, typer.Argument(help="Name of the service, or CLUSTER/SERVICE; may be shortened.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show how it goes until it is over.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to follow it; 0: until it is over.")]

deployment = typer.Typer(
    help="Steer a deployment that is in progress.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@command
async def deploy(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    service: Service,
    task_definition: Annotated[
        str, typer.Option("--task-definition", metavar="FAMILY[:REVISION]", help="Default: the service's own, anew.")
    ] = "",
    strategy: Annotated[
        StrategyName | None, typer.Option("--strategy", case_sensitive=False, help="In place of the service's.")
    ] = None,
    bake: Annotated[str, typer.Option("--bake", help="In place of every bake time, e.g. 5s, for trying.")] = "",
    follow: Follow = True,
    timeout: Timeout = 0.0,
) -> None:
    """Deploy a service: another task definition, or the same one anew."""
    seconds = parse_duration(bake, "--bake") if bake else None
    async with connected(home) as link:
        name = (await link.find("Service", service)).meta.name
        wanted = (await link.find("TaskDefinition", task_definition)).meta.name if task_definition else ""
        before = await client.begin(link, name, client.Wish(wanted, strategy or "", seconds))
        found = await client.begun(link, name, before, _BEGINS_WITHIN)
        typer.echo(f"deployment {found.meta.name} has begun")
        if follow:
            _end(await _follow(link, found, timeout))


@command
async def deployments(
    home: Home,
    service: Annotated[str, typer.Argument(help="Of one service; without it: of all.")] = "",
    output_as: Output = Format.table,
) -> None:
    """List deployments, the newest first."""
    async with connected(home) as link:
        name = (await link.find("Service", service)).meta.name if service else ""
        found, _ = await link.registry.list("ServiceDeployment", f"{name}/" if name else "")
    found.sort(key=lambda one: (-one.service_deployment.created_at.ToNanoseconds(), one.meta.name))
    titles, cells = columns.of_kind("ServiceDeployment", found)
    output.listing(output_as, [output.object_dict(one) for one in found], titles, cells)


@command
async def rollback(home: Home, service: Service, follow: Follow = True, timeout: Timeout = 0.0) -> None:
    """Take back the deployment of a service that is in progress: the old weights at once, then the old tasks alone."""
    await _turn(home, service, DeploymentStatus.ROLLBACK_REQUESTED, timeout if follow else None)


@command
async def stop(home: Home, service: Service) -> None:
    """Stop a service's deployment where it is: both revisions stay, with the weights that they have."""
    await _turn(home, service, DeploymentStatus.STOP_REQUESTED, None)


@command
async def resume(
    home: Home,
    service: Service,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back instead.")] = False,
    hook: Annotated[str, typer.Option("--hook", metavar="ID", help="Of several PAUSE hooks, the one to answer.")] = "",
    follow: Follow = True,
    timeout: Timeout = 0.0,
) -> None:
    """Let a service's deployment that a PAUSE hook holds go on, or back."""
    async with connected(home) as link:
        found = await _present(link, service)
        paused = await client.resume(link, found, hook, back=rollback)
        typer.echo(
            f"deployment {found.meta.name}: {'ROLLBACK' if rollback else 'CONTINUE'} at {paused.lifecycle_stage}"
        )
        if follow:
            over = await _follow(link, found, timeout)
            if not rollback or over.service_deployment.status != DeploymentStatus.ROLLBACK_SUCCESSFUL:
                _end(over)


async def _present(link: Link, service: str) -> Object:
    """The present deployment of a service. Raises CliError."""
    obj = await link.find("Service", service)
    found = await client.present(link, obj)
    if found is None:
        raise CliError(f"service {obj.meta.name} has no deployment", errors.NOT_FOUND)
    return found


async def _turn(home: Home, service: str, status: DeploymentStatus, timeout: float | None) -> None:
    async with connected(home) as link:
        found = await _present(link, service)
        await client.turn(link, found, status)
        typer.echo(f"deployment {found.meta.name}: {status}")
        if timeout is not None:
            over = await _follow(link, found, timeout)
            if over.service_deployment.status != DeploymentStatus.ROLLBACK_SUCCESSFUL:
                _end(over)


async def _follow(link: Link, found: Object, timeout: float) -> Object:
    """Print a line whenever the deployment has changed, until it is over."""
    told, latest = "", found
    try:
        async with asyncio.timeout(timeout or None):
            async for latest in client.until_over(link, found.meta.name):
                line = await _line(link, latest)
                if (shown := line.partition("  ")[2]) != told:
                    told = shown
                    typer.echo(line)
    except TimeoutError:
        raise NotConverged(f"deployment {found.meta.name} is not over after {timeout:g} s; it goes on") from None
    return latest


async def _line(link: Link, found: Object) -> str:
    name = found.meta.name.rpartition("/")[0]
    service = await link.registry.get("Service", name)
    if service is None:
        return f"service {name} is gone"
    cluster, _, short = name.rpartition("/")
    tasks, _ = await link.registry.list("Task", f"{cluster}/")
    ours = [task for task in tasks if task.task.spec.service == short]
    source, target = display.sides(service, found, ours)
    both = await _seen(link, name, source), await _seen(link, name, target)
    names = found.service_deployment.configuration.alarms.alarm_names
    watched = [await link.registry.get("Alarm", one) for one in names]
    return display.line(found, both, time.time(), [one for one in watched if one is not None])


async def _seen(link: Link, service: str, side: display.Side) -> display.Side:
    """The side with what came in to its tasks lately."""
    if not side.name:
        return side
    request = signals_pb2.WindowsRequest(since=_SEEN_SECONDS, service=service, revision=side.name)
    answer = await link.signals.Windows(request)
    mine = [one for one in answer.windows if one.flow.direction == "ingress"]
    return display.Side(side.name, side.running, side.pending, side.weight, windows.together(mine))


def _end(over: Object) -> None:
    """End the command with the code that says how the deployment has ended."""
    body = over.service_deployment
    if body.status == DeploymentStatus.ROLLBACK_SUCCESSFUL:
        raise CliError(f"deployment {over.meta.name} was rolled back: {body.status_reason}", errors.ROLLED_BACK)
    if body.status == DeploymentStatus.ROLLBACK_FAILED:
        raise CliError(f"deployment {over.meta.name} failed: {body.status_reason}", errors.DEPLOYMENT_STOPPED)
    if body.status == DeploymentStatus.STOPPED:
        raise CliError(f"deployment {over.meta.name} was stopped: {body.status_reason}", errors.DEPLOYMENT_STOPPED)


@deployment.callback()
def _group() -> None:
    """Steer a deployment that is in progress."""


deployment.command("continue")(resume)
deployment.command("stop")(stop)
