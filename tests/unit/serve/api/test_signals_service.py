"""The Signals API: pushes, windows, totals in parts, and what it refuses."""

import grpc
import pytest

from tests.unit.signals.specimens import NOW, given, inward, reading
from tsunagu.serve.api.signals_service import SignalsService
from tsunagu.signals.store import SignalStore
from tsunagu.testing import ManualClock
from tsunagu.v1 import signals_pb2


class Aborted(Exception):
    pass


class Context:
    async def abort(self, code, details):
        raise Aborted(code, details)


@pytest.fixture
def service():
    return SignalsService(SignalStore(), ManualClock(epoch=NOW + 20))


async def push(service, *tasks):
    return await service.Push(signals_pb2.PushRequest(tasks=tasks), Context())


async def test_what_was_pushed_is_in_the_windows(service):
    first = reading(10, from_start=True, started=NOW + 5)
    answer = await push(service, given(first, reading(15, inward(requests=4, responses_2xx=4)), whole=True))
    assert list(answer.wanted) == []
    found = await service.Windows(signals_pb2.WindowsRequest(since=60), Context())
    [window] = found.windows
    assert (window.source.service, window.flow.requests, window.tasks) == ("api", 4, 1)


async def test_a_task_that_is_not_known_is_asked_for(service):
    answer = await push(service, given(reading(20)))
    assert list(answer.wanted) == ["default/api-1"]


@pytest.mark.parametrize(
    ("since", "step", "why"),
    [
        (0, 0, "since is 0 s"),
        (7200, 0, "since is 7200 s"),
        (60, 90, "step is 90 s"),
        (3600, 1, "more than 720 windows"),
    ],
)
async def test_windows_are_bounded(service, since, step, why):
    with pytest.raises(Aborted) as refused:
        await service.Windows(signals_pb2.WindowsRequest(since=since, step=step), Context())
    code, details = refused.value.args
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert why in details


async def test_totals_come_in_parts(service):
    for number in range(450):
        await push(service, given(reading(20), task=f"default/api-{number}", whole=True))
    parts = [len(part.tasks) async for part in service.Totals(signals_pb2.TotalsRequest(), Context())]
    assert parts == [200, 200, 50]


async def test_it_counts_itself(service):
    await push(service, given(reading(20, from_start=True), whole=True))
    counted = {metric.name: metric.value for metric in service.metrics()}
    assert (counted["signals_tasks"], counted["signals_samples"]) == (1, 1)
    assert counted["signals_bytes"] > 0
