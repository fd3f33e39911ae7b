"""The ring: bounded, followed without queues, and a reader that falls behind is told."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tsunagu.serve.xds import timeline as timelines
from tsunagu.serve.xds.timeline import Event, Lagged, Timeline
from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds import wire
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.resources import CDS, EDS, SDS, Resource
from tsunagu.xds.session import Session


def record(timeline: Timeline, proxy: str = "p", type_url: str = CDS, **fields) -> None:
    timeline.record(Event(timeline.next_sequence, 1.0, proxy, type_url, "send", **fields))


def test_keeps_the_newest():
    timeline = Timeline(capacity=3)
    for _ in range(5):
        record(timeline)

    assert [event.sequence for event in timeline.events()] == [3, 4, 5]
    assert [event.sequence for event in timeline.events(after=4)] == [5]
    assert timeline.events(after=5) == timeline.events(after=9) == []
    assert timeline.last == 5


def test_an_event_tells_names_and_versions():
    event = Event(1, 1.0, "p", EDS, "send", sent=(("b", "1"), ("a", "2")))

    assert (event.type, event.names) == ("EDS", ["a", "b"])
    assert event.versions == {"b": "1", "a": "2"}
    assert Event(1, 1.0, "p", "", "connect").type == ""
    assert Event(1, 1.0, "p", CDS, "subscribe", subscribed=frozenset({"z", "y"})).names == ["y", "z"]


async def test_a_reader_gets_what_is_kept_and_then_what_happens():
    timeline = Timeline()
    record(timeline)
    reader = timeline.follow()
    assert (await anext(reader)).sequence == 1
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    record(timeline)
    record(timeline)

    assert [(await waiting).sequence, (await anext(reader)).sequence] == [2, 3]
    await reader.aclose()
    assert timeline._wakers == set()


async def test_a_reader_chooses_its_proxy_and_its_type():
    timeline = Timeline()
    record(timeline, "q")
    record(timeline, "p", EDS)
    record(timeline, "p", CDS)

    assert (await anext(timeline.follow(0, "p", CDS))).sequence == 3


async def test_a_reader_that_falls_behind_ends():
    timeline = Timeline(capacity=4)
    record(timeline)
    reader = timeline.follow()
    await anext(reader)
    for _ in range(10):
        record(timeline)

    with pytest.raises(Lagged, match="event 2 is gone: the oldest kept is 8"):
        await anext(reader)


async def test_one_who_comes_late_gets_what_there_is_but_a_resumed_reader_is_told():
    timeline = Timeline(capacity=2)
    for _ in range(5):
        record(timeline)

    assert (await anext(timeline.follow())).sequence == 4
    with pytest.raises(Lagged):
        await anext(timeline.follow(after=1))


async def test_readers_do_not_touch_each_other():
    timeline = Timeline()
    readers = [asyncio.ensure_future(anext(timeline.follow())) for _ in range(3)]
    await asyncio.sleep(0)
    readers[0].cancel()
    record(timeline)

    assert [(await reader).sequence for reader in readers[1:]] == [1, 1]


def test_what_events_hold_is_bounded_too():
    timeline = Timeline(limit=4 * timelines.EVENT_BYTES)
    for number in range(8):
        record(timeline, sent=((f"resource {number}", "1"),))
    assert len(timeline.events()) == 2  # of four that name nothing
    assert timeline.bytes <= 4 * timelines.EVENT_BYTES
    record(timeline, subscribed=frozenset(f"name {number}" for number in range(900)))
    assert [event.sequence for event in timeline.events()] == [9]  # the newest is kept, whatever it holds
    record(timeline)
    assert [event.sequence for event in timeline.events()] == [10]
    assert timeline.bytes == timelines.EVENT_BYTES


def test_names_that_many_streams_share_count_once():
    timeline, names, sent = Timeline(), frozenset(f"name {number}" for number in range(900)), (("c", "1"),) * 900
    record(timeline, subscribed=names)
    record(timeline, sent=sent)
    once = timeline.bytes
    for _ in range(100):
        record(timeline, subscribed=names)
        record(timeline, sent=sent)

    assert timeline.bytes - once == 200 * timelines.EVENT_BYTES


def test_of_many_names_the_first_are_kept_and_how_many_more_there_were():
    timeline = Timeline()
    names = frozenset(str(number) for number in range(5000))
    record(timeline, subscribed=names, removed=["gone"])
    (event,) = timeline.events()

    assert len(event.names) == 1000
    assert names.issuperset(event.names)
    assert (event.more, event.removed) == (4000, ["gone"])


def test_what_a_client_makes_long_is_cut():
    timeline = Timeline()
    long = "x" * 100_000
    for field in ("nonce", "version", "error", "detail"):
        record(timeline, **{field: long})
    for field in ("subscribed", "refused", "removed"):
        record(timeline, **{field: {long}})
    kept = [
        max(event.nonce, event.version, event.error, event.detail, *event.names, *event.removed)
        for event in timeline.events()
    ]

    assert {len(text) for text in kept} <= {256, 4096}
    assert timeline.bytes < 10_000


def test_an_event_does_not_keep_a_body_alive():
    """A removed secret's key would be readable in memory for as long as its event."""
    catalog = Catalog()
    catalog.mark_synced()
    session = Session(catalog, DELTA)
    session.receive(xds.DeltaDiscoveryRequest(node=xds.Node(id="p"), type_url=SDS).SerializeToString(), 0.0)
    session.authorize(Scope("p", ("b",)), 0.0)
    catalog.publish(
        [BundleUpdate("b", (Resource.of(SDS, "key", wire.text(1, "key") + wire.text(2, "secret")),))], 1, "put"
    )
    asked = xds.DeltaDiscoveryRequest(type_url=SDS, resource_names_subscribe=["key"]).SerializeToString()
    (send,) = [action for action in session.receive(asked, 0.0) if isinstance(action, Send)]
    timeline = Timeline()
    record(timeline, sent=send.listing)
    catalog.publish([BundleUpdate("b", removals=((SDS, "key"),))], 2, "remove")
    session.close()
    del send, session

    assert [event.names for event in timeline.events()] == [["key"]]
    assert not [one for one in gc.get_objects() if isinstance(one, Resource) and b"secret" in one.body]


async def test_a_number_of_another_servers_timeline_is_told_not_waited_for():
    timeline = Timeline()
    record(timeline)
    with pytest.raises(Lagged, match="event 5000 never was: the newest is 1; read again from the start"):
        await anext(timeline.follow(5000))
