"""A write that is on its way goes before the end of its call; one that hangs does not delay it."""

import asyncio

import grpc.aio
import pytest

from tsunagu.serve.xds import writer
from tsunagu.serve.xds.writer import Writer

PATIENCE = 10.0


class Call:
    """A context whose writes take as long as the test says."""

    def __init__(self, error=None):
        self.begun, self.may_end, self.written = asyncio.Event(), asyncio.Event(), []
        self._error = error

    async def write(self, data):
        self.begun.set()
        await self.may_end.wait()
        if self._error:
            raise self._error
        self.written.append(data)


async def owner(writes):
    """The task of a call: writes, then reads until it is cancelled."""
    failed = await writes.write(b"one")
    if not failed:
        await asyncio.Event().wait()
    return failed


async def test_a_write_on_its_way_goes_first():
    call = Call()
    writes = Writer(call)
    task = asyncio.create_task(owner(writes), name="owner")
    await call.begun.wait()
    writes.cancel(task)
    await asyncio.sleep(0)
    assert (task.cancelling(), call.written) == (0, [])
    call.may_end.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([task])
    assert (task.cancelled(), task.cancelling(), call.written) == (True, 1, [b"one"])


async def test_a_write_that_hangs_is_cut(monkeypatch):
    monkeypatch.setattr(writer, "LAST_WRITE", 0.01)
    call = Call()
    writes = Writer(call)
    task = asyncio.create_task(owner(writes), name="owner")
    await call.begun.wait()
    writes.cancel(task)
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([task])
    assert (task.cancelled(), task.cancelling(), call.written) == (True, 1, [])


async def test_without_a_write_the_end_is_at_once():
    writes = Writer(Call())
    task = asyncio.create_task(asyncio.Event().wait(), name="owner")
    writes.cancel(task)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_is_gone_is_told_and_no_error():
    call = Call(grpc.aio.UsageError("RPC already finished."))
    call.may_end.set()
    assert await owner(Writer(call)) == "cannot write: RPC already finished."
