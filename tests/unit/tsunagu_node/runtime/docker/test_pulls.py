"""How far a pull is, for whoever waits for it."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.images import pulls
from tsunagu_node.runtime.docker.settings import Pull

IMAGE = "shop/web:1"


def line(**message) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Engine:
    """Pulls an image in the steps of a test."""

    def __init__(self) -> None:
        self.steps = asyncio.Queue()

    @asynccontextmanager
    async def stream(self, *_):
        yield self

    async def pieces(self):
        while (piece := await self.steps.get()) is not None:
            yield piece


@pytest.fixture
def engine(monkeypatch):
    async def missing(_engine, _reference):
        return False

    monkeypatch.setattr(pulls.images, "exists", missing)
    monkeypatch.setattr(pulls, "_TOLD_EVERY", 0.0)
    return Engine()


def definition():
    made = ecs_pb2.RegisterTaskDefinitionRequest()
    made.container_definitions.add(name="app", image=IMAGE)
    return made


async def told(pulled, text: str) -> None:
    async with asyncio.timeout(60):
        while pulled.states.get(IMAGE) != text:  # noqa: ASYNC110 - it is told to whoever looks
            await asyncio.sleep(0)


async def test_it_is_told_while_it_lasts(engine):
    pulled = pulls.Pulls(engine, Pull.MISSING, {})
    async with asyncio.TaskGroup() as group:
        group.create_task(pulled.ensure(definition()))
        await told(pulled, f"image {IMAGE} is pulled")
        detail = {"current": 12_000_000, "total": 40_000_000}
        engine.steps.put_nowait(
            line(id="a", status="Already exists") + line(id="b", status="Downloading", progressDetail=detail)
        )
        await told(pulled, f"image {IMAGE} is pulled: 1 layers done, 12 of 40 MB")
        engine.steps.put_nowait(None)
    assert pulled.states == {}


async def test_of_a_pull_that_failed_nothing_is_told_any_more(engine):
    pulled = pulls.Pulls(engine, Pull.MISSING, {})
    engine.steps.put_nowait(line(error="no space left on device"))
    engine.steps.put_nowait(None)
    with pytest.raises(RuntimeFailed, match="CannotPullContainerError: shop/web:1: no space left on device"):
        await pulled.ensure(definition())
    assert pulled.states == {}
