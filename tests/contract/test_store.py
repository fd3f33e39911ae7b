"""What every store does with commits: expectations, batches, revisions, compaction, the end."""

import asyncio

import pytest

from tsunagu.registry.store import (
    Change,
    Commit,
    Compacted,
    Conflict,
    Delete,
    Entry,
    InvalidCommit,
    LeaseNotFound,
    Put,
    StoreClosed,
)


async def state(store):
    return {entry.key: entry.value for entry in (await store.list()).entries}


async def taken(watch, count):
    async with asyncio.timeout(60):
        return [await anext(watch) for _ in range(count)]


async def test_a_new_store_is_empty_at_revision_0(opened):
    store = await opened()

    assert await store.get("a") is None
    assert store.revision == 0
    assert (await store.list()).entries == ()


async def test_each_commit_makes_the_next_revision(opened):
    store = await opened()

    assert [await store.commit([Put("a", value)]) for value in (b"1", b"2", b"3")] == [1, 2, 3]
    assert await store.get("a") == Entry("a", b"3", revision=3, created=1)
    assert store.revision == 3


async def test_a_key_that_was_deleted_is_created_anew(opened):
    store = await opened()
    for op in (Put("a", b"1"), Delete("a"), Put("a", b"1")):
        await store.commit([op])

    assert await store.get("a") == Entry("a", b"1", revision=3, created=3)


@pytest.mark.parametrize("expected", [None, 0])
async def test_what_is_not_there_can_be_put(opened, expected):
    store = await opened()

    assert await store.commit([Put("a", b"", expected)]) == 1


@pytest.mark.parametrize(
    "operation", [lambda expected: Put("a", b"new", expected), lambda expected: Delete("a", expected)]
)
@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_an_expectation_that_does_not_hold_is_a_conflict(opened, operation, expected):
    store = await opened()
    await store.commit([Put("a", b"1")])
    await store.commit([Put("a", b"2")])

    with pytest.raises(Conflict) as caught:
        await store.commit([operation(expected)])

    assert (caught.value.key, caught.value.expected, caught.value.actual) == ("a", expected, 2)
    assert await state(store) == {"a": b"2"}
    assert store.revision == 2


async def test_a_key_that_is_not_there_has_revision_0(opened):
    store = await opened()

    with pytest.raises(Conflict) as caught:
        await store.commit([Delete("a", 7)])

    assert caught.value.actual == 0


@pytest.mark.parametrize("operation", [Put("a", b"same"), Put("a", b"same", 1), Delete("b"), Delete("b", 0)])
async def test_what_changes_nothing_makes_no_revision(opened, operation):
    store = await opened()
    await store.commit([Put("a", b"same")])

    assert await store.commit([operation]) == 1
    assert await store.commit([]) == 1
    assert store.revision == 1


async def test_a_batch_is_one_revision_and_holds_only_what_changed(opened):
    store = await opened()
    await store.commit([Put("a", b"1"), Put("b", b"1")])
    watch = store.watch(after=1)

    assert await store.commit([Put("a", b"1"), Delete("b"), Put("c", b"1"), Delete("d")]) == 2
    assert await taken(watch, 1) == [Commit(2, (Change("b", None), Change("c", Entry("c", b"1", 2, 2))))]


async def test_a_batch_is_applied_whole_or_not_at_all(opened):
    store = await opened()
    await store.commit([Put("a", b"1")])

    with pytest.raises(Conflict):
        await store.commit([Put("b", b"1"), Delete("a", 9), Put("c", b"1")])
    with pytest.raises(LeaseNotFound):
        await store.commit([Put("b", b"1"), Put("c", b"1", lease="nobody's")])

    assert await state(store) == {"a": b"1"}
    assert store.revision == 1


@pytest.mark.parametrize("ops", [[Put("a", b"1"), Delete("a")], [Put("", b"1")]])
async def test_a_commit_that_makes_no_sense_is_refused(opened, ops):
    store = await opened()

    with pytest.raises(InvalidCommit):
        await store.commit(ops)


async def test_a_list_is_sorted_and_of_its_prefix(opened):
    store = await opened()
    await store.commit([Put(key, b"") for key in ("b/2", "a/1", "b/10", "b", "c/1", "b0")])

    assert [entry.key for entry in (await store.list("b/")).entries] == ["b/10", "b/2"]
    assert [entry.key for entry in (await store.list()).entries] == ["a/1", "b", "b/10", "b/2", "b0", "c/1"]
    assert (await store.list("none")).revision == 1


async def test_of_writers_that_race_one_wins(opened):
    store = await opened()
    await store.commit([Put("a", b"0")])

    outcomes = await asyncio.gather(
        *(store.commit([Put("a", str(n).encode(), 1)]) for n in range(1, 20)), return_exceptions=True
    )

    assert outcomes[0] == 2
    assert all(isinstance(outcome, Conflict) and outcome.actual == 2 for outcome in outcomes[1:])


async def test_after_a_conflict_the_winner_is_there_to_be_read(opened):
    """The refusal waits for the commit in flight that it is due to, or else reading again would loop."""
    store = await opened()

    async def compare_and_put(number):
        for attempt in range(1, 30):
            before = await store.get("counter")
            count = int(before.value) if before else 0
            try:
                await store.commit([Put("counter", str(count + 1).encode(), before.revision if before else 0)])
            except Conflict:
                continue
            return attempt
        raise AssertionError(f"writer {number} never won")

    attempts = await asyncio.gather(*map(compare_and_put, range(20)))

    assert (await store.get("counter")).value == b"20"
    assert max(attempts) <= 20


async def test_what_changes_nothing_is_answered_when_it_is_durable(opened):
    store = await opened()

    first, second = await asyncio.gather(store.commit([Put("a", b"1")]), store.commit([Put("a", b"1")]))

    assert (first, second) == (1, 1)


async def test_a_caller_that_gives_up_harms_nobody(opened):
    store = await opened()
    async with asyncio.TaskGroup() as group:
        hasty = group.create_task(store.commit([Put("a", b"1")]))
        patient = group.create_task(store.commit([Put("b", b"1")]))
        await asyncio.sleep(0)
        hasty.cancel()

    assert patient.result() == 2
    assert await state(store) == {"a": b"1", "b": b"1"}


async def test_compaction_keeps_entries_and_forgets_history(opened):
    store = await opened()
    for value in (b"1", b"2", b"3"):
        await store.commit([Put("a", value)])

    await store.compact(2)

    assert await store.get("a") == Entry("a", b"3", 3, 1)
    assert [commit.revision for commit in await taken(store.watch(after=2), 1)] == [3]
    with pytest.raises(Compacted) as caught:
        store.watch(after=1)
    assert (caught.value.revision, caught.value.oldest, caught.value.newest) == (1, 2, 3)


@pytest.mark.parametrize("revision", [0, 1, 99])
async def test_compaction_beyond_either_end_is_harmless(opened, revision):
    store = await opened()
    await store.commit([Put("a", b"1")])
    await store.commit([Put("a", b"2")])
    await store.compact(1)

    await store.compact(revision)

    assert await state(store) == {"a": b"2"}
    assert await store.commit([Put("a", b"3")]) == 3


async def test_history_is_bounded(opened):
    store = await opened(history=10)
    for number in range(200):
        await store.commit([Put("a", str(number).encode())])

    with pytest.raises(Compacted):
        store.watch(after=100)
    assert len(await taken(store.watch(after=190), 10)) == 10


async def test_a_closed_store_says_so(opened):
    store = await opened()
    watch = store.watch()
    await store.close()
    await store.close()

    with pytest.raises(StoreClosed):
        await store.commit([Put("a", b"1")])
    with pytest.raises(StoreClosed):
        await anext(watch)


async def test_closing_waits_for_the_commits_in_flight(opened):
    store = await opened()
    async with asyncio.TaskGroup() as group:
        commits = [group.create_task(store.commit([Put(str(n), b"")])) for n in range(50)]
        await asyncio.sleep(0)
        await store.close()

    assert [commit.result() for commit in commits] == list(range(1, 51))
