"""Who may still call a task that stops: the barrier is asked until it answers, and nothing that it says ends the agent."""

import asyncio

import pytest

from tsunagu.v1 import inspector_pb2, objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.task import drain
from tsunagu_node.task.status_writer import StatusWriter

YES = inspector_pb2.WaitResponse(converged=True)
NO = inspector_pb2.WaitResponse(missing=[inspector_pb2.Unconverged(proxy="default/web-1", reason="not connected")])
UNKNOWN = Refused("there is no namespace 'shop'; there are: none")


class Control:
    """Gives `answers`, the last of them for ever, and keeps what it was asked."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []

    async def write_status(self, name, status):
        return 7

    async def wait(self, revision, namespace, timeout):
        self.asked.append((revision, namespace, timeout))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Refused):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(drain, "_RETRY", 0.001)


async def drained(control, directory, timeout, notify=lambda _: None):
    writer = StatusWriter(control, "default/web-1", directory)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        writing = group.create_task(writer.run())
        writer.set(objects_pb2.TaskStatus(last_status="DEACTIVATING"))
        await drain.acknowledged_by_all(control, writer, "shop", timeout, notify)
        writing.cancel()


async def test_a_refusal_is_asked_again_since_the_control_plane_may_have_just_started(tmp_path):
    control = Control(UNKNOWN, UNKNOWN, YES)
    await drained(control, tmp_path, 30.0)
    assert [(revision, namespace) for revision, namespace, _ in control.asked] == [(7, "shop")] * 3


async def test_a_refusal_that_stays_costs_the_drain_timeout_and_no_more(tmp_path):
    control = Control(UNKNOWN)
    await drained(control, tmp_path, 0.1)
    assert len(control.asked) > 1


async def test_it_is_asked_in_pieces_and_says_between_them_who_is_waited_for(tmp_path):
    control, told = Control(NO, NO, YES), []
    await drained(control, tmp_path, 3600.0, told.append)
    assert [timeout for _, _, timeout in control.asked] == [2.0] * 3
    assert told == ["web-1: not connected"] * 2


async def test_of_many_that_are_waited_for_three_are_named(tmp_path):
    missing = [inspector_pb2.Unconverged(proxy=f"default/web-{n}", reason="stale") for n in range(5)]
    control, told = Control(inspector_pb2.WaitResponse(missing=missing), YES), []
    await drained(control, tmp_path, 30.0, told.append)
    assert told == ["web-0: stale, web-1: stale, web-2: stale and 2 more"]


async def test_the_last_piece_is_what_is_left(tmp_path):
    control = Control(YES)
    await drained(control, tmp_path, 1.0)
    ((_, _, timeout),) = control.asked
    assert 0.0 < timeout <= 1.0
