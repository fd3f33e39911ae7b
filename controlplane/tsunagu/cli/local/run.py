"""A mesh for as long as somebody wants it: the part of `up` that foreground and background share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tsunagu.cli.errors import CliError
from tsunagu.cli.local.children import failure, running
from tsunagu.cli.local.home_lock import locked
from tsunagu.cli.local.shutdown import before

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tsunagu.cli.local.children import Processes
    from tsunagu.cli.local.job import Job
    from tsunagu.cli.local.options import Options
    from tsunagu.cli.local.shutdown import Ending
    from tsunagu.settings import Home

_POLL_SECONDS = 0.01


async def hold(home: Home, ending: Ending, options: Options, job: Job) -> None:
    """Run a mesh in that home and the job in it, until the job fails or `ending` asks; then drain and end it.

    A mesh that has never answered has no task to drain: it ends at once, and its error is shown without delay.
    """
    with locked(home, options.asked) as resumed:
        if resumed:
            await _resume(home, job)
        if options.hooks:
            _map_hooks(home, options.hooks)
        async with running(home, job.notify, options) as processes:
            try:
                await before(ending.orderly, job(processes), "the mesh")
            finally:
                if processes.answered:
                    from tsunagu.cli.local.drain import drain  # noqa: PLC0415 - not on the way up

                    await drain(home, ending, options.stop_within, job)


async def _resume(home: Home, job: Job) -> None:
    """Go on with the registry of a mesh that was killed. One that cannot be used is deleted: the mesh begins anew."""
    from tsunagu.cli.local.home_lock import delete_registry  # noqa: PLC0415 - seldom needed
    from tsunagu.cli.local.resume import recover  # noqa: PLC0415
    from tsunagu.registry.store import StoreError  # noqa: PLC0415
    from tsunagu.registry.stores.sqlite_file import StoreDamaged, UnknownFile  # noqa: PLC0415

    try:
        await recover(home)
    except (StoreError, StoreDamaged, UnknownFile) as error:
        job.notify(f"the mesh that was killed in {home.root} cannot go on: {error}; it begins anew")
        delete_registry(home)
    else:
        job.notify(f"the mesh that was killed in {home.root} goes on; 'tsunagu down' before 'up' begins anew")


def _map_hooks(home: Home, words: tuple[str, ...]) -> None:
    """Add to what stands for functions. Raises CliError."""
    from tsunagu.serve.hooks import hook_map  # noqa: PLC0415 - only with --hook

    try:
        hook_map.save(home.hooks, map(hook_map.read_word, words))
    except hook_map.BadHook as error:
        raise CliError(str(error)) from error


async def answering(home: Home, processes: Processes) -> None:
    """`until_answering`, or a CliError when a child cannot run."""
    await unless_failing(processes, until_answering(home, len(await processes.runtimes)))
    processes.answered = True


async def unless_failing(processes: Processes, work: Coroutine[Any, Any, None]) -> None:
    """Does the work. Raises CliError when a child ends again and again before it is done."""
    if not await before(processes.failing, work, "the start of the mesh"):
        raise failure(processes)


async def until_answering(home: Home, count: int) -> None:
    """Returns when the control plane answers and knows `count` nodes that can run tasks."""
    while not home.api_socket.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(_POLL_SECONDS)
    from tsunagu.client.connection import channel  # noqa: PLC0415 - while the children start
    from tsunagu.client.nodes import is_ready  # noqa: PLC0415
    from tsunagu.client.registry import RegistryClient  # noqa: PLC0415
    from tsunagu.client.source import REMOTE_ERRORS, is_away  # noqa: PLC0415

    async with channel(home.api_socket) as opened:
        registry = RegistryClient(opened)
        while True:
            try:
                nodes, _ = await registry.list("Node")
            except REMOTE_ERRORS as error:
                if not is_away(error):
                    raise
            else:
                if sum(map(is_ready, nodes)) >= count:
                    return
            await asyncio.sleep(_POLL_SECONDS)
