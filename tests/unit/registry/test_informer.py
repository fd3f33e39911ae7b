"""The mirror: synced, in step, never a gap for its followers, and proof against readers that change things."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsunagu.model import ids
from tsunagu.registry.informer import Mirror, MutatedError
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import objects_pb2


def task(name, status=""):
    return ids.make("Task", name, objects_pb2.Task(status=objects_pb2.TaskStatus(last_status=status)))


@asynccontextmanager
async def mirrored(registry):
    """A mirror that is synced."""
    mirror = Mirror(registry, detect_mutations=True)
    async with asyncio.timeout(3), asyncio.TaskGroup() as group:
        running = group.create_task(mirror.run())
        await mirror.wait_synced()
        yield mirror
        running.cancel()


@pytest.fixture
def registry():
    return Registry(MemoryStore(history=5))


async def test_it_shows_what_was_there_and_what_comes(registry):
    await registry.put(task("default/a"))
    async with mirrored(registry) as mirror:
        assert list(mirror.objects("Task")) == ["default/a"]

        revision = await registry.put(task("default/b"))
        await registry.delete("Task", "default/a")
        await mirror.wait_revision(revision + 1)

        assert list(mirror.objects("Task")) == ["default/b"]
        assert mirror.get("Task", "default/b").meta.revision == 2
        assert mirror.get("Task", "default/a") is None
        assert mirror.revision == 3
        assert set(mirror.state) == set(ids.KINDS)


async def test_before_it_is_synced_it_says_so(registry):
    mirror = Mirror(registry)

    assert not mirror.synced
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await mirror.wait_revision(0)


async def test_a_mapping_that_was_handed_out_never_changes(registry):
    await registry.put(task("default/a"))
    async with mirrored(registry) as mirror:
        before = mirror.objects("Task")
        await mirror.wait_revision(await registry.put(task("default/b")))
        await mirror.wait_revision(await registry.delete("Task", "default/a"))

        assert list(before) == ["default/a"]
        with pytest.raises(TypeError):
            before["default/c"] = task("default/c")


async def test_a_follower_gets_everything_then_changes(registry):
    await registry.put(task("default/a", "PENDING"))
    async with mirrored(registry) as mirror:
        follower = mirror.follow()
        first = await anext(follower)
        await registry.put(task("default/a", "RUNNING"))
        second = await anext(follower)

        assert (first.revision, [(one.kind, one.name, one.old) for one in first.changes]) == (
            1,
            [("Task", "default/a", None)],
        )
        [change] = second.changes
        assert second.revision == 2
        assert change.old is first.changes[0].new
        assert change.new is mirror.get("Task", "default/a")


async def test_a_follower_of_an_empty_registry_is_told_that_it_is_empty(registry):
    mirror = Mirror(registry)
    follower = mirror.follow()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(mirror.run())
        first = await anext(follower)
        running.cancel()

    assert (first.revision, first.changes) == (0, ())


async def test_what_a_slow_follower_missed_is_merged(registry):
    await registry.put(task("default/a", "PENDING"))
    async with mirrored(registry) as mirror:
        follower = mirror.follow()
        first = await anext(follower)
        for status in ("ACTIVATING", "RUNNING"):
            await mirror.wait_revision(await registry.put(task("default/a", status)))
        await registry.put(task("default/b"))
        await mirror.wait_revision(await registry.delete("Task", "default/b"))

        missed = await anext(follower)
        [change] = missed.changes
        assert missed.revision == 5
        assert change.old is first.changes[0].new
        assert change.new.task.status.last_status == "RUNNING"


async def test_after_compaction_it_lists_again_and_followers_get_the_difference():
    registry = Registry(MemoryStore(history=2))
    for name in ("kept", "changed", "deleted"):
        await registry.put(task(name))
    async with mirrored(registry) as mirror:
        follower = mirror.follow()
        await anext(follower)
        # All in one turn of the loop, so that the mirror sees none of it in time.
        for name in ("changed", "new"):
            await registry.put(task(name, "RUNNING"))
        await registry.delete("Task", "deleted")
        for number in range(10):
            await registry.put(task("noise", str(number)))
        await mirror.wait_revision(registry.revision)

        assert sorted(mirror.objects("Task")) == ["changed", "kept", "new", "noise"]
        told = {change.name: (bool(change.old), bool(change.new)) for change in (await anext(follower)).changes}
        assert told == {"changed": (True, True), "deleted": (True, False), "new": (False, True), "noise": (False, True)}


async def test_a_reader_that_changes_a_shared_object_is_found_out(registry):
    await registry.put(task("default/a"))
    async with mirrored(registry) as mirror:
        mirror.check_mutations()
        mirror.get("Task", "default/a").task.status.last_status = "RUNNING"

        with pytest.raises(MutatedError, match="Task 'default/a'"):
            mirror.check_mutations()


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2", None]), st.booleans()), max_size=25)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.integers(1, 6))
def test_changes_always_add_up_to_the_state(steps, history):
    asyncio.run(added_up(steps, Registry(MemoryStore(history=history))))


class Reader:
    """Adds up what a follower tells; each change must begin where the one before ended."""

    def __init__(self, follower):
        self.follower, self.state, self.told = follower, {}, -1

    async def catch_up(self, revision):
        while self.told < revision:
            changes = await anext(self.follower)
            self.told = changes.revision
            for change in changes.changes:
                assert self.state.pop(change.name, None) == change.old
                if change.new is not None:
                    self.state[change.name] = change.new


async def added_up(steps, registry):
    """However commits, compaction and the follower's pace interleave. `status` None deletes."""
    async with mirrored(registry) as mirror:
        reader = Reader(mirror.follow())
        for name, status, read in [*steps, ("end", "", True)]:
            await (registry.delete("Task", name) if status is None else registry.put(task(name, status)))
            if read:
                await mirror.wait_revision(registry.revision)
                await reader.catch_up(registry.revision)

        assert reader.state == dict(mirror.objects("Task"))
        assert reader.state == {obj.meta.name: obj for obj in (await registry.list("Task"))[0]}
        mirror.check_mutations()


async def test_who_cannot_wait_is_told_first(registry):
    async with mirrored(registry) as mirror:
        told = []

        async def read(name, follower):
            async for item in follower:
                told.append((name, item.revision))
                if item.revision:
                    return

        others = [mirror.follow(), mirror.follow()]
        async with asyncio.TaskGroup() as group:
            for name, follower in (("a", others[0]), ("b", others[1]), ("first", mirror.follow(first=True))):
                group.create_task(read(name, follower))
            await asyncio.sleep(0)
            await registry.put(task("default/a"))

        assert [name for name, revision in told if revision] == ["first", "a", "b"]


async def test_a_follower_says_whether_there_is_something_to_tell(registry):
    async with mirrored(registry) as mirror:
        follower = mirror.follow()
        await anext(follower)
        assert not follower.waiting
        await mirror.wait_revision(await registry.put(task("default/a")))
        assert follower.waiting
        assert (await anext(follower)).revision == 1
        assert not follower.waiting
