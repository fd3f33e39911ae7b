"""`tsunagu connect`: a command of the user's as a member of a namespace, with its names and a proxy of its own.

The one rule: nothing of it outlives us. The command runs in the place of a task that is made for it; the task's service hangs on a
lease that we keep alive, so that it goes within `LEASE_SECONDS` even when we are killed, and at once when we end by ourselves.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tsunagu.cli.command import command
from tsunagu.cli.commands.execute import attended, terminal, wanted
from tsunagu.cli.errors import FAILED, CliError
from tsunagu.client import lookup
from tsunagu.client.connection import client_errors, connected, node_agent
from tsunagu.client.wait_converged import Deadline
from tsunagu.model import ids, references
from tsunagu.model.statuses import NodeState, Status
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.settings import Home
from tsunagu.v1 import ecs_pb2, node_pb2, objects_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.client.connection import Link

LEASE_SECONDS: Final = 10
_RENEW: Final = 3.0
_POLL: Final = 0.05
_CONTAINER: Final = "command"
_PLACE: Final = ("/bin/sh", "-c", "while :; do sleep 3600; done")
_USAGE: Final = "tsunagu connect NAMESPACE -- COMMAND..."
_PASSED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@command
async def connect(
    home: Home,
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Whose names the command is to find.")],
    program: Annotated[list[str], typer.Argument(metavar="[--] COMMAND...", help="What to run, with its arguments.")],
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until it gives up waiting for its place.")] = 30.0,
) -> None:
    """Run a command as a member of a namespace: its names, and a proxy; ends with the command's exit code."""
    program = wanted(program, _USAGE)
    async with connected(home) as link:
        await _check(link, namespace)
        async with _place(link, namespace) as service:
            task = await _task(link, service, Deadline(timeout))
            start = node_pb2.ExecStart(task=task.meta.name, container=_CONTAINER, command=program)
            start.environment.update(os.environ)
            start.directory = str(Path.cwd())
            with client_errors(home), terminal(start):
                async with node_agent(link, task) as agent:
                    code = await attended(agent, start, _PASSED)
    raise typer.Exit(code)


async def _check(link: Link, namespace: str) -> None:
    """Raises UnknownName when there is no such namespace, CliError when no node could run the command as it is."""
    known, _ = await link.registry.list("Namespace")
    lookup.find("Namespace", namespace, [obj.meta.name for obj in known], whole=True)
    nodes, _ = await link.registry.list("Node")
    if not any(one.node.runtime == "linux" and one.node.state == NodeState.READY for one in nodes):
        hint = "in a mesh of containers the command can be a container of a service: 'tsunagu exec SERVICE -- COMMAND'"
        raise CliError("no node of the linux runtime is READY, which alone runs programs of this machine", FAILED, hint)


@asynccontextmanager
async def _place(link: Link, namespace: str) -> AsyncIterator[str]:
    """Make a service of one task in the namespace, for the time of the block; its name."""
    name = f"connect-{secrets.token_hex(4)}"
    cluster = await _cluster(link)
    service = ids.service_name(cluster, name)
    await link.registry.grant(name, LEASE_SECONDS)
    objects = [*_objects(name, cluster, namespace)]
    for obj in objects:
        obj.meta.lease = name
    await link.registry.batch([PutObject(obj, 0) for obj in objects])
    try:
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(_renew(link, name), name="lease")
            yield service
            renewing.cancel()
    finally:
        gone = [DeleteObject(ids.kind_of(obj), obj.meta.name) for obj in reversed(objects)]
        with suppress(Exception):  # whatever it is, the lease ends, too, and what counts is how the command did
            await link.registry.batch(gone)


async def _renew(link: Link, lease: str) -> None:
    while True:
        await asyncio.sleep(_RENEW)
        await link.registry.keep_alive(lease)


async def _cluster(link: Link) -> str:
    """The default cluster, else any; it is made when there is none."""
    names = [obj.meta.name for obj in (await link.registry.list("Cluster"))[0]]
    if not names:
        body = objects_pb2.Cluster(spec=ecs_pb2.CreateClusterRequest(cluster_name=references.DEFAULT_CLUSTER))
        await link.registry.put(ids.make("Cluster", references.DEFAULT_CLUSTER, body))
    return references.DEFAULT_CLUSTER if not names or references.DEFAULT_CLUSTER in names else names[0]


def _objects(name: str, cluster: str, namespace: str) -> tuple[objects_pb2.Object, objects_pb2.Object]:
    """The task definition of a place to run in, and the service that only calls, as this machine."""
    container = ecs_pb2.ContainerDefinition(name=_CONTAINER, image="tsunagu/connect", command=_PLACE, stop_timeout=2)
    definition = ecs_pb2.RegisterTaskDefinitionRequest(family=name, container_definitions=[container], memory="64")
    connects = ecs_pb2.ServiceConnectConfiguration(enabled=True, namespace=namespace)
    spec = ecs_pb2.CreateServiceRequest(
        cluster=cluster, service_name=name, task_definition=name, service_connect_configuration=connects
    )
    spec.desired_count = 1
    settings = objects_pb2.ServiceSettings(drain_timeout_seconds=0)
    return (
        ids.make(
            "TaskDefinition",
            ids.task_definition_name(name, 1),
            objects_pb2.TaskDefinition(spec=definition, revision=1),
        ),
        ids.make(
            "Service", ids.service_name(cluster, name), objects_pb2.Service(spec=spec, settings=settings, host=True)
        ),
    )


async def _task(link: Link, service: str, deadline: Deadline) -> objects_pb2.Object:
    """The service's task, once it is RUNNING. Raises CliError with what it waits for."""
    cluster, _, name = service.partition("/")
    while True:
        tasks, _ = await link.registry.list("Task", ids.task_name(cluster, name))
        if running := [one for one in tasks if one.task.status.last_status == Status.RUNNING]:
            return running[0]
        if not deadline.left():
            found = await link.registry.get("Service", service)
            why = found.service.status.reason if found else "its service is gone"
            raise CliError(f"there is no place for the command after {deadline.seconds:g} s: {why}", FAILED)
        await asyncio.sleep(_POLL)
