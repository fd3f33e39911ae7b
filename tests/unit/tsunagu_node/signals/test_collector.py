"""The collector: who is read, what is pushed, and that an Envoy that hangs or a control plane that is away harms nobody."""

import asyncio

import pytest

from tsunagu.v1 import objects_pb2, signals_pb2
from tsunagu_node.signals.collector import Collector
from tsunagu_node.signals.reader import Place
from tsunagu_sidecar.admin import AdminUnreachable

PORT = objects_pb2.ServicePort(port_name="http", discovery_name="api", app_protocol="http", ingress_port=15100)


class Envoy:
    """Counts requests; `started`: when its process began, None while there is none."""

    def __init__(self):
        self.requests, self.started, self.hangs = 0, 1000.0, False

    async def flushed(self, flush, target):
        if self.hangs:
            raise AdminUnreachable("no answer")
        return {"stats": [{"name": "http.ingress.http.downstream_rq_total", "value": self.requests}]}

    def place(self, task="default/api-1"):
        source = signals_pb2.Source(task=task, cluster="default", service="api", namespace="shop")
        return Place(source, (PORT,), self, lambda: self.started)


class ControlPlane:
    """Takes pushes while it is `there`; knows the tasks of which it got everything."""

    def __init__(self):
        self.there, self.known, self.got = True, set(), []

    async def push(self, request):
        if not self.there:
            return None
        wanted = [one.source.task for one in request.tasks if not one.whole and one.source.task not in self.known]
        self.known |= {one.source.task for one in request.tasks if one.whole}
        self.got += [
            (one.source.task, len(one.readings), one.whole) for one in request.tasks if one.source.task in self.known
        ]
        return signals_pb2.PushResponse(wanted=wanted)


class Clock:
    def __init__(self):
        self.time = 900.0

    def __call__(self):
        self.time += 1
        return self.time


@pytest.fixture
def parts():
    control = ControlPlane()
    return Collector(control.push, Clock()), control, Envoy()


async def round_of(collector):
    await collector._round()
    await collector.push()


async def test_a_control_plane_that_knows_nothing_gets_everything_and_then_what_is_new(parts):
    collector, control, envoy = parts
    collector.begin(envoy.place())
    await round_of(collector)
    await round_of(collector)
    assert control.got == [("default/api-1", 1, True), ("default/api-1", 1, False)]


async def test_what_nobody_took_is_sent_later(parts):
    collector, control, envoy = parts
    collector.begin(envoy.place())
    await round_of(collector)
    control.there = False
    await round_of(collector)
    await round_of(collector)
    control.there = True
    await round_of(collector)
    assert control.got[-1] == ("default/api-1", 3, False)


async def test_a_restarted_control_plane_gets_everything_again(parts):
    collector, control, envoy = parts
    collector.begin(envoy.place())
    await round_of(collector)
    await round_of(collector)
    control.known.clear()
    await round_of(collector)
    assert control.got[-1] == ("default/api-1", 3, True)


async def test_an_envoy_that_ends_in_order_is_read_once_more(parts):
    collector, control, envoy = parts
    collector.begin(envoy.place())
    await round_of(collector)
    envoy.requests = 5
    await collector.end("default/api-1")
    await collector.push()
    assert control.got[-1] == ("default/api-1", 1, False)
    await round_of(collector)
    assert len(control.got) == 2  # nothing is left of it


async def test_an_envoy_that_does_not_answer_has_no_reading_and_others_have(parts):
    collector, control, envoy = parts
    dead = Envoy()
    dead.hangs = True
    collector.begin(dead.place("default/api-2"))
    collector.begin(envoy.place())
    await round_of(collector)
    assert [task for task, _, _ in control.got] == ["default/api-1"]


async def test_numbers_of_a_process_that_ended_meanwhile_are_not_kept(parts):
    collector, control, envoy = parts
    answer = envoy.flushed

    async def and_dies(flush, target):
        found = await answer(flush, target)
        envoy.started = 2000.0
        return found

    envoy.flushed = and_dies
    collector.begin(envoy.place())
    await round_of(collector)
    assert control.got == []


async def test_no_more_than_some_envoys_are_read_at_once(parts):
    collector, _, _ = parts
    reading, most = 0, 0

    class Slow(Envoy):
        async def flushed(self, flush, target):
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0.2)
            reading -= 1
            return {"stats": []}

    for number in range(12):
        collector.begin(Slow().place(f"default/api-{number}"))
    await collector._round()
    assert most <= 4
