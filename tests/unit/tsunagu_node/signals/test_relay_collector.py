"""What left the mesh: who has readings, that a restarted relay or control plane costs no count, and that a relay that is away harms nobody."""

import asyncio

import pytest

from tests.unit.tsunagu_node.signals.test_collector import Clock, ControlPlane
from tsunagu.signals.store import SignalStore
from tsunagu.v1 import signals_pb2
from tsunagu_node.runtime.outside import RelayCounts
from tsunagu_node.signals.relay_collector import RelayCollector

WEB = "default/web-1"


class Relay:
    """Tells what it is given; `began`: when it was started, None while there is none."""

    def __init__(self):
        self.began, self.told, self.hangs = 100.0, {}, False

    def carried(self, task, opened, refused=None):
        self.told[task] = {"opened": opened, "active": 1, "sent": 10, "received": 20, "refused": refused or {}}

    async def counts(self):
        if self.hangs:
            await asyncio.Event().wait()
        return None if self.began is None else RelayCounts(self.began, self.told)


class Stored(ControlPlane):
    """A control plane with a store."""

    def __init__(self):
        super().__init__()
        self.store = SignalStore()

    async def push(self, request):
        if not self.there:
            return None
        wanted = [one.source.task for one in request.tasks if self.store.accept(one, 1000.0)]
        return signals_pb2.PushResponse(wanted=wanted)

    def total(self):
        """Connections and refusals in all, and how many of the connections are in the hour."""
        [task] = self.store.totals(1000.0, 1e9)
        [view] = self.store.views()
        hour = sum(flow.connections for span in view.spans for flow in span.flows())
        return task.flows[0].connections, dict(task.flows[0].refused), hour


@pytest.fixture
def parts():
    control, relay = Stored(), Relay()
    return RelayCollector(control.push, relay.counts, Clock()), control, relay


def source(task=WEB):
    return signals_pb2.Source(task=task, cluster="default", service="web", namespace="shop", relay=True)


async def round_of(collector):
    await collector._read()
    await collector.push()


async def test_a_task_that_never_calls_outside_is_in_no_sample(parts):
    collector, control, relay = parts
    collector.begin(source(), new=True)
    relay.carried("other-1", 1)  # of another node agent's time
    await round_of(collector)
    assert len(control.store) == 0


async def test_its_first_call_counts_from_when_there_was_none(parts):
    collector, control, relay = parts
    collector.begin(source(), new=True)
    await round_of(collector)
    relay.carried("web-1", 3, {"unreachable": 2})
    await round_of(collector)
    assert control.total() == (3, {"unreachable": 2}, 3)
    [view] = control.store.views()
    assert view.source.relay
    assert 900 < view.spans[0].start < view.spans[0].end


async def test_a_task_that_was_adopted_may_have_called_before(parts):
    collector, control, relay = parts
    relay.carried("web-1", 3)
    collector.begin(source(), new=False)
    await round_of(collector)
    relay.carried("web-1", 5)
    await round_of(collector)
    assert control.total() == (5, {}, 2)


async def test_another_relay_counts_from_zero_and_another_control_plane_gets_everything(parts):
    collector, control, relay = parts
    collector.begin(source(), new=True)
    relay.carried("web-1", 3, {"own-port": 1})
    await round_of(collector)
    relay.began = None
    await round_of(collector)
    relay.began, relay.told = 900.0, {}
    await round_of(collector)
    relay.carried("web-1", 4, {"own-port": 1})
    await round_of(collector)
    assert control.total() == (7, {"own-port": 2}, 7)
    control.store = SignalStore()
    await round_of(collector)
    assert control.total() == (7, {"own-port": 2}, 7)


async def test_a_task_that_ends_is_read_once_more_and_forgotten_when_that_was_taken(parts):
    collector, control, relay = parts
    collector.begin(source(), new=True)
    relay.carried("web-1", 3)
    control.there = False
    await collector.end(WEB)
    await collector.push()
    relay.told = {}
    control.there = True
    await round_of(collector)
    assert control.total() == (3, {}, 3)
    assert not collector._ended


async def test_a_relay_that_hangs_holds_up_no_task_that_ends(parts, monkeypatch):
    monkeypatch.setattr("tsunagu_node.signals.relay_collector._LAST", 0.01)
    collector, control, relay = parts
    collector.begin(source(), new=True)
    relay.hangs = True
    async with asyncio.timeout(30):
        await collector.end(WEB)
    await collector.push()
    assert len(control.store) == 0
