"""How much of the event loop a client may use that asks for much, over real gRPC."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.serve.xds.hostile_clients import PATIENCE, resource, serving
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.requests.limits import RequestLimits
from tsunagu.xds.resources import CDS
from tsunagu.xds.session import Session


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        yield served


async def test_who_asks_without_end_is_read_later_and_others_at_once(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("tsunagu.serve.xds.allowance.Allowance.pause", lambda _self, _now: waits.append(1) or 0.001)
    async with serving(tmp_path, work_burst=0.0) as served, served.proxy() as proxy:
        for number in range(5):
            await proxy.subscribe("EDS", [f"a{number}"])
            await proxy.ack(await proxy.receive())
        await served.until(lambda: served.server.counters.paused > 0)

    assert len(waits) >= 5


async def test_between_slices_of_a_large_request_others_are_served(served):
    order = []
    proceed = Session.proceed

    async with served.proxy("other") as other, served.proxy() as proxy:
        await other.boot()
        publishing = False

        def counted(session, now):
            nonlocal publishing
            order.append("slice")
            if not publishing:
                publishing = True
                served.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "push")
            return proceed(session, now)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "proceed", counted)
            record = served.server.timeline.record
            patch.setattr(
                served.server.timeline,
                "record",
                lambda event: (order.append(f"{event.kind} {event.proxy}"), record(event)),
            )
            await proxy.subscribe("EDS", [str(number) for number in range(large(slices=5))])
            assert (await other.receive(PATIENCE)).resources.keys() == {"c"}
            while order.count("slice") < 5:
                await proxy.receive(PATIENCE)

    assert order.index("send other") < len(order) - order[::-1].index("slice"), "before the last slice"


def large(slices):
    """How many names the first request of a type has that is handled in so many slices."""
    return RequestLimits().first_slice + (slices - 1) * RequestLimits().slice


async def test_of_the_slices_of_all_streams_one_is_handled_at_a_time(served, monkeypatch):
    rounds, seen = 0, []
    proceed = Session.proceed

    def counted(session, now):
        if session.held:  # or it is the first slice, which comes with the request
            seen.append(rounds)
        return proceed(session, now)

    async def count():
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Session, "proceed", counted)
    counting = asyncio.create_task(count())
    async with served.proxy() as one, served.proxy() as two, served.proxy() as three:
        for proxy in (one, two, three):
            await proxy.subscribe("EDS", [str(number) for number in range(large(slices=4))])
        await served.until(lambda: len(seen) == 9)
    counting.cancel()

    assert len(set(seen)) == 9, "never two in one round of the event loop"
