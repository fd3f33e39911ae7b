"""What is kept, every reader can take: sizes of objects and of commits are bounded, and messages have one limit."""

from pathlib import Path

import pytest

from tsunagu.client import limits
from tsunagu.client.connection import channel
from tsunagu.client.registry import RegistryClient
from tsunagu.model import ids
from tsunagu.registry.objects import PutObject
from tsunagu.registry.store import InvalidCommit
from tsunagu.v1 import objects_pb2


def image(name, size):
    return ids.make("Image", name, objects_pb2.Image(pattern=name, environment={"LARGE": "x" * size}))


def task(name, size):
    return ids.make("Task", name, objects_pb2.Task(status=objects_pb2.TaskStatus(stopped_reason="x" * size)))


async def test_an_object_that_is_too_large_is_refused_whoever_writes_it(serve):
    async with serve() as served:
        for obj in (image("large", limits.OBJECT_BYTES), task("default/large", limits.OBJECT_BYTES)):
            with pytest.raises(InvalidCommit, match=r"large is 1,048,\d+ bytes; an object has 1,048,576 at most"):
                await served.client.put(obj)
        assert await served.client.list() == ([], 0)


async def test_a_commit_that_is_too_large_for_one_message_of_a_watch_is_refused(serve):
    many = [PutObject(task(f"default/{number}", 1_000_000)) for number in range(34)]
    async with serve() as served:
        with pytest.raises(InvalidCommit, match="commit them in parts"):
            await served.client.batch(many)
        async with channel(Path(served.address.removeprefix("unix:"))) as opened:
            client = RegistryClient(opened)
            assert await client.batch(many[:32]) == 1
            _, events = await anext(client.watch())
            assert len(events) == 32
            assert len((await client.list("Task"))[0]) == 32
