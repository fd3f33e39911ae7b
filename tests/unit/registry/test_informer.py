"""The informer: synced, in step, never a gap for its followers, and proof against readers that change things."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsunagu.model import ids
from tsunagu.registry.indexes import Index
from tsunagu.registry.informer import Informer, MutatedError, SourceAway, SourceRefuses
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.store import Compacted, StoreClosed
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import objects_pb2


def task(name, status=""):
    return ids.make("Task", name, objects_pb2.Task(status=objects_pb2.TaskStatus(last_status=status)))


@asynccontextmanager
async def synced(source, **options):
    """An informer that is synced."""
    informer = Informer(source, detect_mutations=True, **options)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        await informer.wait_synced()
        yield informer
        running.cancel()


@pytest.fixture
def registry():
    return Registry(MemoryStore(history=5))


async def test_it_shows_what_was_there_and_what_comes(registry):
    await registry.put(task("default/a"))
    async with synced(registry) as informer:
        assert list(informer.objects("Task")) == ["default/a"]

        revision = await registry.put(task("default/b"))
        await registry.delete("Task", "default/a")
        await informer.wait_revision(revision + 1)

        assert list(informer.objects("Task")) == ["default/b"]
        assert informer.get("Task", "default/b").meta.revision == 2
        assert informer.get("Task", "default/a") is None
        assert informer.revision == 3
        assert set(informer.state) == set(ids.KINDS)


async def test_before_it_is_synced_it_says_so(registry):
    informer = Informer(registry)

    assert not informer.synced
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await informer.wait_revision(0)


async def test_a_mapping_that_was_handed_out_is_live_and_cannot_be_written(registry):
    await registry.put(task("default/a"))
    async with synced(registry) as informer:
        tasks = informer.objects("Task")
        await informer.wait_revision(await registry.put(task("default/b")))
        await informer.wait_revision(await registry.delete("Task", "default/a"))

        assert list(tasks) == ["default/b"]
        with pytest.raises(TypeError):
            tasks["default/c"] = task("default/c")


async def test_an_informer_of_one_kind_has_no_other(registry):
    await registry.batch([PutObject(task("default/a")), PutObject(ids.make("Node", "one", objects_pb2.Node()))])
    async with synced(registry, kind="Task") as informer:
        assert set(informer.state) == {"Task"}
        await informer.wait_revision(await registry.put(task("default/b")))
        assert sorted(informer.objects("Task")) == ["default/a", "default/b"]


BY_STATUS = Index("tasks by status", "Task", lambda obj: {obj.task.status.last_status} - {""})


async def test_an_index_follows_its_objects(registry):
    await registry.put(task("default/a", "PENDING"))
    async with synced(registry) as informer:
        informer.add_index(BY_STATUS)
        pending = informer.by_index("tasks by status", "PENDING")
        assert list(pending) == ["default/a"]  # what was there before the index
        await informer.wait_revision(await registry.put(task("default/b", "PENDING")))
        assert sorted(pending) == ["default/a", "default/b"]
        await informer.wait_revision(await registry.put(task("default/a", "RUNNING")))
        assert list(pending) == ["default/b"]
        assert list(informer.by_index("tasks by status", "RUNNING")) == ["default/a"]
        await informer.wait_revision(await registry.delete("Task", "default/a"))
        assert not informer.by_index("tasks by status", "RUNNING")


async def test_an_object_without_keys_is_in_no_index(registry):
    await registry.put(task("default/a"))
    async with synced(registry) as informer:
        informer.add_index(BY_STATUS)
        assert not informer.by_index("tasks by status", "")


async def test_a_change_costs_an_index_of_its_kind_two_keys_and_others_nothing(registry):
    await registry.batch([PutObject(task(f"default/{number}", "RUNNING")) for number in range(100)])
    asked = []

    def keys(obj):
        asked.append(obj.meta.name)
        return (obj.task.status.last_status,)

    async with synced(registry) as informer:
        informer.add_index(Index("tasks by status", "Task", keys))
        asked.clear()
        await informer.wait_revision(await registry.put(task("default/7", "STOPPED")))
        assert asked == ["default/7", "default/7"]  # where it was, and where it is
        await informer.wait_revision(await registry.put(ids.make("Node", "one", objects_pb2.Node())))
        assert len(asked) == 2
        assert list(informer.by_index("tasks by status", "STOPPED")) == ["default/7"]


async def test_two_indexes_cannot_have_one_name(registry):
    informer = Informer(registry)
    informer.add_index(BY_STATUS)
    informer.add_index(BY_STATUS)  # the same: a second reader that needs it
    with pytest.raises(ValueError, match="another index 'tasks by status'"):
        informer.add_index(Index("tasks by status", "Task", lambda obj: ()))


class Flaky:
    """A source that raises each of ``errors`` once, from `list` or at the end of a watch, before it is as it should be."""

    def __init__(self, registry, *errors, of="list"):
        self.registry, self.errors, self.of = registry, list(errors), of
        self.lists = 0

    async def list(self, kind="", prefix=""):
        self.lists += 1
        if self.of == "list" and self.errors:
            raise self.errors.pop(0)
        return await self.registry.list(kind, prefix)

    async def watch(self, kind="", prefix="", after=0):
        if self.of == "watch" and self.errors:
            raise self.errors.pop(0)
        async for events in self.registry.watch(kind, prefix, after):
            yield events
            if self.of == "events" and self.errors:
                raise self.errors.pop(0)


@pytest.mark.parametrize("of", ["list", "watch", "events"])
async def test_a_source_that_is_away_is_asked_again(registry, of):
    await registry.put(task("default/a"))
    source = Flaky(registry, SourceAway("it restarts"), SourceAway("it restarts"), of=of)
    async with synced(source) as informer:
        for number in range(3):
            await informer.wait_revision(await registry.put(task("default/b", str(number))))
        assert sorted(informer.objects("Task")) == ["default/a", "default/b"]
        assert source.errors == []


@pytest.mark.parametrize("of", ["list", "watch"])
async def test_a_source_that_refuses_is_told_and_asked_again(registry, of):
    """One that is merely away is not: whoever reads it can say so itself."""
    await registry.put(task("default/a"))
    told = []
    source = Flaky(registry, SourceAway("it restarts"), *[SourceRefuses("too large")] * 2, of=of)
    informer = Informer(source, report=told.append)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        async with asyncio.timeout(60):
            await informer.wait_synced()
            while source.errors:  # noqa: ASYNC110 - the watch that follows is not announced
                await asyncio.sleep(0.01)
            while told[-1:] != [""]:  # a list alone does not show that its watch works
                await informer.wait_revision(await registry.put(task("default/b", str(registry.revision))))
        running.cancel()
    assert told == ["too large", ""]


async def test_while_the_source_is_away_the_last_state_stays(registry):
    await registry.put(task("default/a"))
    source = Flaky(registry)
    async with synced(source) as informer:
        follower = informer.follow()
        await anext(follower)
        source.of, source.errors = "events", [SourceAway("it ends")]
        await informer.wait_revision(await registry.put(task("default/b")))
        source.of, source.errors = "list", [SourceAway("it is away")] * 2
        lists = source.lists
        while source.lists == lists:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0)
        assert sorted(informer.objects("Task")) == ["default/a", "default/b"]
        assert [change.name for change in (await anext(follower)).changes] == ["default/b"]


async def test_an_error_of_the_source_that_will_not_pass_ends_the_informer(registry):
    informer = Informer(Flaky(registry, StoreClosed("the store was closed")))
    with pytest.raises(StoreClosed):
        async with asyncio.timeout(60):
            await informer.run()


class RecordingBackoff:
    """Delays nothing, and keeps the number of failures that it was asked about."""

    def __init__(self):
        self.failures = []

    def delay(self, failures, jitter=0.0):
        self.failures.append(failures)
        return 0.0


async def test_to_fall_behind_once_is_no_failure_and_ever_again_is_one(registry):
    source, retry = Flaky(registry, *[Compacted(1, 5, 9)] * 4, of="watch"), RecordingBackoff()
    informer = Informer(source, retry=retry)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        while source.lists < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
        running.cancel()

    assert retry.failures == [0, 1, 2, 3]


async def test_a_follower_gets_everything_then_changes(registry):
    await registry.put(task("default/a", "PENDING"))
    async with synced(registry) as informer:
        follower = informer.follow()
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
        assert change.new is informer.get("Task", "default/a")


async def test_a_follower_of_an_empty_registry_is_told_that_it_is_empty(registry):
    informer = Informer(registry)
    follower = informer.follow()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        first = await anext(follower)
        running.cancel()

    assert (first.revision, first.changes) == (0, ())


async def test_what_a_slow_follower_missed_is_merged(registry):
    await registry.put(task("default/a", "PENDING"))
    async with synced(registry) as informer:
        follower = informer.follow()
        first = await anext(follower)
        for status in ("ACTIVATING", "RUNNING"):
            await informer.wait_revision(await registry.put(task("default/a", status)))
        await registry.put(task("default/b"))
        await informer.wait_revision(await registry.delete("Task", "default/b"))

        missed = await anext(follower)
        [change] = missed.changes
        assert missed.revision == 5
        assert change.old is first.changes[0].new
        assert change.new.task.status.last_status == "RUNNING"


async def test_after_compaction_it_lists_again_and_followers_get_the_difference():
    registry = Registry(MemoryStore(history=2))
    for name in ("kept", "changed", "deleted"):
        await registry.put(task(name))
    async with synced(registry) as informer:
        follower = informer.follow()
        await anext(follower)
        # All in one turn of the loop, so that the informer sees none of it in time.
        for name in ("changed", "new"):
            await registry.put(task(name, "RUNNING"))
        await registry.delete("Task", "deleted")
        for number in range(10):
            await registry.put(task("noise", str(number)))
        await informer.wait_revision(registry.revision)

        assert sorted(informer.objects("Task")) == ["changed", "kept", "new", "noise"]
        told = {change.name: (bool(change.old), bool(change.new)) for change in (await anext(follower)).changes}
        assert told == {"changed": (True, True), "deleted": (True, False), "new": (False, True), "noise": (False, True)}


async def test_a_reader_that_changes_a_shared_object_is_found_out(registry):
    await registry.put(task("default/a"))
    async with synced(registry) as informer:
        informer.check_mutations()
        informer.get("Task", "default/a").task.status.last_status = "RUNNING"

        with pytest.raises(MutatedError, match="Task 'default/a'"):
            informer.check_mutations()


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
    async with synced(registry) as informer:
        reader = Reader(informer.follow())
        for name, status, read in [*steps, ("end", "", True)]:
            await (registry.delete("Task", name) if status is None else registry.put(task(name, status)))
            if read:
                await informer.wait_revision(registry.revision)
                await reader.catch_up(registry.revision)

        assert reader.state == dict(informer.objects("Task"))
        assert reader.state == {obj.meta.name: obj for obj in (await registry.list("Task"))[0]}
        informer.check_mutations()


async def test_who_cannot_wait_is_told_first(registry):
    async with synced(registry) as informer:
        told = []

        async def read(name, follower):
            async for item in follower:
                told.append((name, item.revision))
                if item.revision:
                    return

        others = [informer.follow(), informer.follow()]
        async with asyncio.TaskGroup() as group:
            for name, follower in (("a", others[0]), ("b", others[1]), ("first", informer.follow(first=True))):
                group.create_task(read(name, follower))
            await asyncio.sleep(0)
            await registry.put(task("default/a"))

        assert [name for name, revision in told if revision] == ["first", "a", "b"]


async def test_a_follower_says_whether_there_is_something_to_tell(registry):
    async with synced(registry) as informer:
        follower = informer.follow()
        await anext(follower)
        assert not follower.waiting
        await informer.wait_revision(await registry.put(task("default/a")))
        assert follower.waiting
        assert (await anext(follower)).revision == 1
        assert not follower.waiting
