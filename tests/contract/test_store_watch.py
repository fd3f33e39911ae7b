"""What every store's watches tell: each commit once, in order, without a gap, or Compacted."""

import asyncio

import pytest

from tsunagu.registry.store import Compacted, Delete, Put, StoreClosed
from tsunagu.registry.stores import engine


async def taken(watch, count):
    async with asyncio.timeout(60):
        return [await anext(watch) for _ in range(count)]


def seen(commits):
    return [
        (commit.revision, [(change.key, change.entry and change.entry.value) for change in commit.changes])
        for commit in commits
    ]


async def test_a_watch_tells_the_past_then_what_comes(opened):
    store = await opened()
    await store.commit([Put("a", b"1")])
    await store.commit([Put("a", b"2")])
    watch = store.watch(after=1)

    past = await taken(watch, 1)
    await store.commit([Delete("a")])

    assert seen(past) == [(2, [("a", b"2")])]
    assert seen(await taken(watch, 1)) == [(3, [("a", None)])]


async def test_a_watch_begins_where_it_was_called(opened):
    store = await opened()
    watch = store.watch()
    await store.commit([Put("a", b"1")])
    await store.compact(0)

    assert seen(await taken(watch, 1)) == [(1, [("a", b"1")])]


async def test_a_watch_is_of_its_prefix_and_knows_how_far_it_is(opened):
    store = await opened()
    watch = store.watch("b/")
    await store.commit([Put("a/1", b"")])
    await store.commit([Put("a/2", b""), Put("b/1", b"1"), Put("b", b"")])
    await store.commit([Put("c/1", b"")])

    assert seen(await taken(watch, 1)) == [(2, [("b/1", b"1")])]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(watch)
    assert watch.position == 3

    await store.commit([Put("c/2", b"")])
    await store.commit([Put("b/2", b"2")])
    assert seen(await taken(watch, 1)) == [(5, [("b/2", b"2")])]


async def test_a_watch_wakes_up(opened):
    store = await opened()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(taken(store.watch("a"), 2))
        await asyncio.sleep(0)
        for key in ("b", "a1", "b", "a2"):
            await store.commit([Put(key, key.encode() + str(store.revision).encode())])

    assert [commit.changes[0].key for commit in waiting.result()] == ["a1", "a2"]


async def test_a_wait_that_is_given_up_loses_nothing(opened):
    store = await opened()
    watch = store.watch()
    for number in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(watch)
        await store.commit([Put("a", str(number).encode())])
        assert [commit.revision for commit in await taken(watch, 1)] == [number + 1]


async def test_a_reader_that_falls_behind_is_told(opened):
    store = await opened(history=10)
    slow, quick = store.watch(), store.watch()
    for number in range(100):
        await store.commit([Put("a", str(number).encode())])
        await taken(quick, 1)

    with pytest.raises(Compacted):
        await anext(slow)


async def test_a_reader_for_whom_there_was_nothing_never_falls_behind(opened):
    store = await opened(history=10)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(taken(store.watch("b"), 1))
        await asyncio.sleep(0)
        for number in range(100):
            await store.commit([Put("a", str(number).encode())])
        await store.commit([Put("b", b"1")])

    assert [commit.revision for commit in waiting.result()] == [101]


async def test_a_waiting_reader_keeps_up_whatever_is_compacted(opened):
    store = await opened()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(taken(store.watch(), 1))
        await asyncio.sleep(0)
        await store.commit([Put("a", b"1")])
        await store.compact(0)
    await store.compact(1)

    assert [commit.revision for commit in waiting.result()] == [1]


async def test_a_watch_from_the_future_is_refused(opened):
    """Its reader saw another store, or one whose last commits a power cut took."""
    store = await opened()

    with pytest.raises(Compacted, match="list again"):
        store.watch(after=1)


async def test_a_watch_can_be_closed(opened):
    store = await opened()
    watch = store.watch()

    async def close():
        watch.close()

    outcome, _ = await asyncio.gather(anext(watch), close(), return_exceptions=True)

    assert isinstance(outcome, StoreClosed)


async def test_the_history_is_bounded_in_bytes_too(opened, monkeypatch):
    """A watch that is up to date never notices; one that lies behind is told Compacted."""
    monkeypatch.setattr(engine, "HISTORY_BYTES", 100_000)
    store = await opened()
    current, behind = store.watch(), store.watch()
    for number in range(50):
        await store.commit([Put(f"tasks/{number % 3}", b"%d" % number + b"x" * 10_000)])
        assert seen(await taken(current, 1))[0][0] == number + 1
    assert store.compacted >= 38
    with pytest.raises(Compacted):
        await taken(behind, 1)
    assert len((await store.list()).entries) == 3
