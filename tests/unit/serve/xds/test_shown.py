"""What is shown of a server at work, and done to it by hand: holds, what waits by a rule, messages."""

from __future__ import annotations

import pytest

from tests.unit.serve.xds.delta_edge import PATIENCE, resource, running
from tsunagu.serve.xds.history.superseded import ENTRY_BYTES
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, LDS

pytestmark = pytest.mark.variant("delta")


@pytest.fixture
async def edge():
    async with running() as edge:
        edge.server.publish([BundleUpdate("b", (resource(CDS, "c"), resource(LDS, "l")))], 1, "start")
        yield edge


@pytest.mark.case(161)
async def test_a_hold_is_an_event_is_shown_and_ends_with_its_stream(edge):
    proxy = edge.proxy()
    await proxy.boot()
    assert edge.server.hold("p", CDS, 30.0) == 1
    assert edge.server.hold("nobody", CDS, 30.0) == 0
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "c changed")

    [state] = [kind for kind in edge.server.proxies()[0].types if kind.type == "CDS"]
    assert (state.state, 29 < state.held <= 30) == ("STALE", True)
    [missing] = await edge.server.wait(2, lambda: ["p"], 0.0)
    assert missing.reason.startswith("CDS held back for ")
    proxy.call.cancel()
    await edge.until("close")
    again = edge.proxy()
    await again.boot()
    assert await edge.server.wait(2, lambda: ["p"], PATIENCE) == []
    [held] = [event for event in edge.server.timeline.events() if event.kind == "hold"]
    assert (held.proxy, held.type, held.latency) == ("p", "CDS", 30.0)


@pytest.mark.case(161)
async def test_a_hold_ends_when_it_is_released_or_its_time_is_over(edge):
    proxy = edge.proxy()
    await proxy.boot()
    edge.server.hold("p", CDS, 30.0)
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "c changed")
    edge.server.hold("p", CDS, 0.0)
    assert (await proxy.ack()).resources[0].name == "c"
    edge.server.hold("p", CDS, 0.2)
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "3"),))], 3, "c changed again")
    assert (await proxy.ack()).resources[0].name == "c"
    kinds = [(event.kind, event.type) for event in edge.server.timeline.events() if event.revision == 3]
    assert kinds == [("publish", "CDS"), ("send", "CDS")]


async def test_what_waits_by_a_rule_is_an_event_with_the_rule(edge):
    proxy = edge.proxy()
    await proxy.boot()
    edge.server.publish([BundleUpdate("b", (resource(CDS, "new"), resource(LDS, "to-new")))], 2, "new")
    await proxy.read()  # the cluster; it is not answered
    await edge.until("defer")
    [waits] = [event for event in edge.server.timeline.events() if event.kind == "defer"]

    assert (waits.type, waits.names, waits.cause) == ("LDS", ["to-new"], "new clusters come before what leads to them")
    assert 0 < waits.latency <= 1.0
    assert (waits.stream, waits.variant) == ("1", "delta")


async def test_a_message_can_be_shown_after_what_it_brought_was_replaced(edge):
    proxy = edge.proxy()
    await proxy.boot()
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "c changed")
    await proxy.ack()
    await edge.server.wait(2, lambda: ["p"], PATIENCE)
    sends = [event.sequence for event in edge.server.timeline.events() if (event.kind, event.type) == ("send", "CDS")]
    first, second = (edge.server.message(sequence).parts[0] for sequence in sends)

    assert first.now.content == resource(CDS, "c").body
    assert (second.before, second.since) == (first.now, sends[0])
    assert second.now.content == resource(CDS, "c", "2").body


async def test_a_body_that_is_replaced_is_kept_once_whatever_the_number_of_streams(edge):
    for number in range(20):
        await edge.proxy(f"p{number}").boot()
    before = resource(CDS, "c")
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "c changed")
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 3, "the same again")
    assert edge.server.history.superseded.bytes == ENTRY_BYTES + len(before.body)
