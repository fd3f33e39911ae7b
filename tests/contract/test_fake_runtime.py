"""The contract of runtimes, held by the fake runtime."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.contract.fake_runtime import FakeMachine, FakeRuntime
from tests.contract.runtime_insides import *  # noqa: F403 - the contract's tests
from tests.contract.runtime_suite import *  # noqa: F403
from tests.contract.runtime_suite import SLEEP, end_of, free_port, log, python, serve, until
from tsunagu_node.runtime.contract import Image, Network, Process, PublishedPort, RuntimeFailed


@pytest.fixture
async def opened():
    """Opens a runtime over one machine, whose folder's name leaves room for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        async with FakeMachine(Path(folder), images={"shop/hello:1": ("echo", "hello")}) as machine:
            yield lambda: FakeRuntime(machine)


async def test_an_image_runs_what_it_is_made_for(runtime, task):
    await task.start(Process("app", Image("shop/hello:1"), {"PATH": "/usr/bin:/bin"}))
    assert await end_of(task, "app") == 0
    await until(lambda: log(runtime, task) == ["hello"])


async def test_an_image_that_is_not_there_is_refused_before_anything_is_made(runtime):
    runtime.validate("app", Image("shop/hello:1"))
    with pytest.raises(RuntimeFailed, match="there is no image 'shop/nosuch:1'"):
        runtime.validate("app", Image("shop/nosuch:1"))


async def test_connections_to_a_published_port_go_to_the_address_of_its_alias(runtime):
    port, inside = free_port(), free_port()
    task = await runtime.create("front-1", Network(published=[PublishedPort("127.0.0.1", port, "web", inside)]))
    await serve(task, inside, "hello", host="127.0.0.1")
    await task.set_hosts({"web": "127.0.0.1"})
    relay = await task.start_relay()
    await relay.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b"hello"
    writer.close()
    await task.start(python(SLEEP))
