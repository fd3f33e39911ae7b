"""The ring: bounded, followed without queues, and a reader that falls behind is told."""

from __future__ import annotations

import asyncio

import pytest

from tsunagu.serve.xds import timeline as timelines
from tsunagu.serve.xds.timeline import Event, Lagged, Timeline
from tsunagu.xds import wire
from tsunagu.xds.resources import CDS, EDS, Resource


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


def test_an_event_reads_names_and_versions_out_of_resources():
    resources = [Resource.of(EDS, name, wire.text(1, name)) for name in ("b", "a")]
    event = Event(1, 1.0, "p", EDS, "send", resources=resources)

    assert (event.type, event.names) == ("EDS", ["a", "b"])
    assert event.versions == {one.name: one.version for one in resources}
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


def test_what_events_hold_on_to_is_bounded_too(monkeypatch):
    monkeypatch.setattr(timelines, "RESOURCES", 10)
    timeline = Timeline()
    whole = [Resource.of(CDS, name, wire.text(1, name)) for name in "abcd"]
    for _ in range(5):
        record(timeline, resources=whole)
    assert [event.sequence for event in timeline.events()] == [4, 5]
    record(timeline, resources=whole * 5)  # the newest is kept, whatever it holds
    record(timeline)
    assert [event.sequence for event in timeline.events()] == [7]


async def test_a_number_of_another_servers_timeline_is_told_not_waited_for():
    timeline = Timeline()
    record(timeline)
    with pytest.raises(Lagged, match="event 5000 never was: the newest is 1; read again from the start"):
        await anext(timeline.follow(5000))
