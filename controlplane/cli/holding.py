"""A mesh for as long as somebody wants it: the part of `up` that foreground and background share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from controlplane.cli.claim import claimed
from controlplane.cli.ending import before
from controlplane.cli.processes import failure, running

if TYPE_CHECKING:
    from controlplane.cli.ending import Ending
    from controlplane.cli.processes import Processes
    from controlplane.settings import Home

_LOOK_SECONDS = 0.01


class Job(Protocol):
    """What is done while the mesh runs; it is cancelled when the mesh is to end."""

    def tell(self, text: str) -> None:
        """Shows or logs one thing that happened."""
        ...

    async def __call__(self, processes: Processes) -> None: ...


async def hold(home: Home, ending: Ending, stop_within: float, job: Job) -> None:
    """Runs a mesh in that home and the job in it, until the job fails or ``ending`` asks; then drains and ends it."""
    with claimed(home):
        async with running(home, job.tell) as processes:
            await before(ending.orderly, job(processes), "the mesh")
            from controlplane.cli.draining import drain  # noqa: PLC0415 - not on the way up

            await drain(home, ending, stop_within, job.tell)


async def answering(home: Home, processes: Processes) -> None:
    """Returns when the control plane answers and is synced. Raises CliError when a child cannot run."""
    if not await before(processes.failing, until_answering(home), "the start of the control plane"):
        raise failure(processes)


async def until_answering(home: Home) -> None:
    """Returns when the control plane answers and is synced."""
    while not home.api_socket.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(_LOOK_SECONDS)
    import grpc.aio  # noqa: PLC0415 - while the children start
    from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc  # noqa: PLC0415

    from controlplane.cli.link import channel  # noqa: PLC0415

    async with channel(home.api_socket) as opened:
        inspector = inspector_pb2_grpc.InspectorStub(opened)
        while True:
            try:
                answer = await inspector.Info(inspector_pb2.InfoRequest(), wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED):
                    raise
            else:
                if answer.synced:
                    return
            await asyncio.sleep(_LOOK_SECONDS)
