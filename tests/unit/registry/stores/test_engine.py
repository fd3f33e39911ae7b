"""What a store answers while the disk takes its time: a journal that settles and fails when the test says so."""

import asyncio
import subprocess
import sys

import pytest

from tsunagu.registry.store import Conflict, LeaseNotFound, Put, StoreFailed
from tsunagu.registry.stores.engine import Engine, Recovered


class HeldJournal:
    """Nothing is durable before the test says so."""

    def __init__(self):
        self.held = []

    def start(self, settle, fail):
        self._settle, self._fail = settle, fail

    def append(self, record):
        self.held.append(record)

    async def close(self):
        pass

    def settle(self, count=None):
        records, self.held = self.held[:count], self.held[count:] if count else []
        self._settle(records)

    def fail(self):
        self.held.clear()
        self._fail("the disk is full")


class Seconds:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def journal():
    return HeldJournal()


@pytest.fixture
def store(journal, seconds):
    return Engine(journal, Recovered(leases={"lease": 10.0, "other": 10.0}), clock=seconds)


@pytest.fixture
def seconds():
    """A clock that stands still until a test moves it."""
    return Seconds()


async def turns():
    for _ in range(10):
        await asyncio.sleep(0)


async def begun(group, *calls):
    """Tasks of the calls, all of which wait now for the disk."""
    tasks = [group.create_task(outcome(call)) for call in calls]
    await turns()
    assert not any(task.done() for task in tasks)
    return tasks


async def outcome(call):
    try:
        return await call
    except (Conflict, LeaseNotFound, StoreFailed) as error:
        return error


async def test_what_changes_nothing_is_not_acknowledged_before_that_is_durable_nor_when_it_failed(store, journal):
    async with asyncio.TaskGroup() as group:
        first, second = await begun(group, store.commit([Put("a", b"1")]), store.commit([Put("a", b"1")]))
        journal.fail()

    assert [type(task.result()) for task in (first, second)] == [StoreFailed, StoreFailed]
    assert "the disk is full" in str(second.result())
    assert await store.get("a") is None


async def test_a_conflict_names_no_revision_that_did_not_come(store, journal):
    async with asyncio.TaskGroup() as group:
        calls = store.commit([Put("a", b"1")]), store.commit([Put("a", b"2", 0)]), store.commit([Put("a", b"3", 0)])
        tasks = await begun(group, *calls)
        journal.fail()
    assert [type(task.result()) for task in tasks] == [StoreFailed] * 3

    async with asyncio.TaskGroup() as group:
        tasks = await begun(group, store.commit([Put("a", b"1")]), store.commit([Put("a", b"2", 0)]))
        journal.settle()
    assert tasks[0].result() == 1
    assert isinstance(tasks[1].result(), Conflict)
    assert tasks[1].result().actual == store.revision == 1


async def test_a_failure_is_of_those_only_who_waited_for_it(store, journal):
    async with asyncio.TaskGroup() as group:
        tasks = await begun(group, store.commit([Put("a", b"1")]), store.commit([Put("a", b"1")]))
        later = group.create_task(outcome(store.commit([Put("b", b"1")])))
        await turns()
        journal.settle(1)
        journal.fail()

    assert [task.result() for task in tasks] == [1, 1]
    assert isinstance(later.result(), StoreFailed)


async def test_a_lease_is_not_said_to_be_over_because_of_a_revocation_that_failed(store, journal):
    async with asyncio.TaskGroup() as group:
        tasks = await begun(group, store.revoke("lease"), store.keep_alive("lease"), store.revoke("lease"))
        journal.fail()
    assert [type(task.result()) for task in tasks] == [StoreFailed] * 3
    assert await store.keep_alive("lease") == 10

    async with asyncio.TaskGroup() as group:
        tasks = await begun(group, store.revoke("lease"), store.keep_alive("lease"))
        journal.settle()
    assert tasks[0].result() == 0
    assert isinstance(tasks[1].result(), LeaseNotFound)


async def test_a_lease_that_was_renewed_is_not_ended_because_the_disk_was_slow_with_another(store, journal, seconds):
    """Whoever is told that its lease lives on has a full term."""
    for seconds.now in range(1, 10):
        await store.expire()
    seconds.now = 10
    async with asyncio.TaskGroup() as group:
        [expiring] = await begun(group, store.expire())
        renewing = group.create_task(outcome(store.keep_alive("other")))
        await turns()
        journal.settle()
        await turns()
        journal.settle()

    assert expiring.result() is None
    told_alive = not isinstance(renewing.result(), LeaseNotFound)
    assert told_alive == ("other" in store._leases)


async def test_leases_whose_end_failed_are_over_at_the_next_tick(store, journal, seconds):
    for seconds.now in range(1, 10):
        await store.expire()
    seconds.now = 10
    async with asyncio.TaskGroup() as group:
        [expiring] = await begun(group, store.expire())
        journal.fail()
    assert isinstance(expiring.result(), StoreFailed)

    async with asyncio.TaskGroup() as group:
        await begun(group, store.expire())
        journal.settle()
    for lease in ("lease", "other"):
        with pytest.raises(LeaseNotFound):
            await store.keep_alive(lease)


async def test_what_is_durable_is_no_longer_in_flight_under_python_O():
    """An assert does nothing there, so it must be nothing but a check."""
    script = """
import asyncio
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.registry.store import Put

async def main():
    store = MemoryStore()
    await store.commit([Put("a", b"1")])
    raise SystemExit(len(store._inflight))

asyncio.run(main())
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-O", "-c", script])
    assert done.returncode == 0
