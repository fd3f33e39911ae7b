"""The registry behind the API as a source: what passes is waited for, and everything else is told."""

import asyncio

import grpc
import pytest

from tests.unit.serve.conftest import serving
from tsunagu.client.source import ApiSource, is_away, is_passing, registry_informer, retried
from tsunagu.client.status_errors import NotSynced, TooManyWatches
from tsunagu.model import ids
from tsunagu.registry.informer import SourceAway, SourceRefuses
from tsunagu.registry.store import Compacted, Conflict, StoreClosed, StoreFailed
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import objects_pb2


def status(code):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="")


@pytest.mark.parametrize(
    ("error", "away", "passing"),
    [
        (status(grpc.StatusCode.UNAVAILABLE), True, True),
        (status(grpc.StatusCode.CANCELLED), True, True),
        (NotSynced("still reading"), True, True),
        (StoreFailed("disk full"), True, True),
        (StoreClosed("stopping"), True, True),
        (TooManyWatches("256 are open"), False, True),
        (status(grpc.StatusCode.DEADLINE_EXCEEDED), False, True),
        (status(grpc.StatusCode.UNKNOWN), False, True),
        (status(grpc.StatusCode.INVALID_ARGUMENT), False, False),
        (Conflict("services/default/web", 1, 2), False, False),
    ],
    ids=lambda value: value.code().name if isinstance(value, grpc.aio.AioRpcError) else None,
)
def test_what_passes_by_itself(error, away, passing):
    assert (is_away(error), is_passing(error)) == (away, passing)


async def test_a_call_is_made_again_until_it_is_answered():
    answers = [NotSynced("in a moment"), status(grpc.StatusCode.UNAVAILABLE), 7]

    async def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await retried(call) == 7


async def test_an_answer_that_would_be_the_same_again_is_raised():
    async def call():
        raise Conflict("services/default/web", 1, 2)

    with pytest.raises(Conflict):
        await retried(call)


class Raising:
    """A registry that raises ``error`` whatever it is asked."""

    def __init__(self, error):
        self.error = error

    async def list(self, kind="", prefix=""):
        raise self.error

    async def watch(self, kind="", prefix="", after=0):
        raise self.error
        yield


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (StoreClosed("stopping"), SourceAway),
        (TooManyWatches("256 are open"), SourceRefuses),
        (status(grpc.StatusCode.RESOURCE_EXHAUSTED), SourceRefuses),
        (Compacted(1, 5, 9), Compacted),
        (Conflict("services/default/web", 1, 2), Conflict),
    ],
)
async def test_only_what_passes_is_a_source_that_is_away(error, raised):
    source = ApiSource(Raising(error), is_passing)
    with pytest.raises(raised):
        await source.list()
    with pytest.raises(raised):
        await anext(source.watch())


async def test_an_informer_outlives_a_restart_of_the_control_plane(tmp_path):
    def node(name):
        return ids.make("Node", name, objects_pb2.Node(runtime="linux"))

    async with serving(tmp_path, MemoryStore()) as served, asyncio.timeout(60), asyncio.TaskGroup() as group:
        informer = registry_informer(served.client, "Node")
        running = group.create_task(informer.run())
        await informer.wait_revision(await served.registry.put(node("one")))
        await served.api.stop(0)
        assert list(informer.objects("Node")) == ["one"]
        async with serving(tmp_path, served.registry.store) as again:
            await informer.wait_revision(await again.registry.put(node("two")))
            assert sorted(informer.objects("Node")) == ["one", "two"]
            running.cancel()
