"""The typed registry: copies, revisions, batches, watches, and the loop of update."""

import pytest

from tsunagu.model import ids
from tsunagu.model.ids import UnknownKindError
from tsunagu.registry.objects import DeleteObject, NotFound, Object, PutObject, Registry
from tsunagu.registry.store import Conflict, InvalidCommit
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import objects_pb2


@pytest.fixture
def registry():
    return Registry(MemoryStore())


def task(name, status=""):
    return ids.make("Task", name, objects_pb2.Task(status=objects_pb2.TaskStatus(last_status=status)))


async def test_an_object_comes_back_with_its_revisions(registry):
    await registry.put(task("default/a"))
    await registry.put(task("default/a", "RUNNING"))

    found = await registry.get("Task", "default/a")
    assert (found.meta.revision, found.meta.created_revision) == (2, 1)
    assert found.task.status.last_status == "RUNNING"


async def test_what_was_read_can_be_put_again_and_changes_nothing(registry):
    await registry.put(task("default/a"))

    assert await registry.put(await registry.get("Task", "default/a")) == 1


async def test_readers_and_writers_have_their_own_copies(registry):
    mine = task("default/a", "PENDING")
    await registry.put(mine)
    mine.task.status.last_status = "changed by its writer"
    (await registry.get("Task", "default/a")).task.status.last_status = "changed by a reader"

    assert (await registry.get("Task", "default/a")).task.status.last_status == "PENDING"


async def test_there_may_be_none(registry):
    assert await registry.get("Task", "default/a") is None
    assert await registry.delete("Task", "default/a") == 0


async def test_lists_are_of_a_kind_and_a_prefix(registry):
    for name in ("other/a", "default/b", "default/a"):
        await registry.put(task(name))
    await registry.put(ids.make("Namespace", "shop", objects_pb2.Namespace()))

    assert [obj.meta.name for obj in (await registry.list("Task"))[0]] == ["default/a", "default/b", "other/a"]
    assert [obj.meta.name for obj in (await registry.list("Task", "default/"))[0]] == ["default/a", "default/b"]
    found, revision = await registry.list()
    assert [ids.kind_of(obj) for obj in found] == ["Namespace", "Task", "Task", "Task"]
    assert revision == 4
    with pytest.raises(InvalidCommit, match="needs a kind"):
        await registry.list("", "default/")


async def test_an_empty_body_keeps_its_kind(registry):
    await registry.put(ids.make("Namespace", "shop", objects_pb2.Namespace()))

    assert ids.kind_of(await registry.get("Namespace", "shop")) == "Namespace"


@pytest.mark.parametrize("obj", [Object(), Object(meta=objects_pb2.Meta(name="a")), Object(task=objects_pb2.Task())])
async def test_an_object_needs_a_name_and_a_body(registry, obj):
    with pytest.raises(InvalidCommit, match=r"meta\.name and a body"):
        await registry.put(obj)


async def test_there_are_no_other_kinds(registry):
    with pytest.raises(UnknownKindError):
        await registry.get("Pod", "a")


async def test_a_batch_is_one_revision(registry):
    await registry.put(task("default/a"))

    assert await registry.batch([PutObject(task("default/b"), 0), DeleteObject("Task", "default/a", 1)]) == 2
    with pytest.raises(Conflict):
        await registry.batch([PutObject(task("default/c")), DeleteObject("Task", "default/b", 9)])
    assert [obj.meta.name for obj in (await registry.list("Task"))[0]] == ["default/b"]


async def test_a_watch_shows_objects_and_tombstones(registry):
    watch = registry.watch("Task", "default/")
    await registry.put(task("default/a", "RUNNING"))
    await registry.put(task("other/a"))
    await registry.delete("Task", "default/a")

    revision, [(obj, deleted)] = await anext(watch)
    assert (revision, obj.task.status.last_status, obj.meta.revision, deleted) == (1, "RUNNING", 1, False)
    revision, [(obj, deleted)] = await anext(watch)
    assert (revision, obj.meta.name, obj.meta.revision, ids.kind_of(obj), deleted) == (3, "default/a", 3, "Task", True)
    assert not obj.task.HasField("status")


async def test_an_object_lives_by_the_lease_in_its_meta(registry):
    await registry.grant("lease", 10)
    node = ids.make("Node", "here", objects_pb2.Node())
    node.meta.lease = "lease"
    await registry.put(node)
    assert (await registry.get("Node", "here")).meta.lease == "lease"
    assert await registry.keep_alive("lease") == 10

    assert await registry.revoke("lease") == 2
    assert await registry.get("Node", "here") is None


def say(status):
    def mutate(obj):
        obj.task.status.last_status = status

    return mutate


async def test_update_changes_a_copy_and_returns_what_is_there_now(registry):
    await registry.put(task("default/a"))

    updated = await registry.update("Task", "default/a", say("RUNNING"))
    assert updated == await registry.get("Task", "default/a")
    assert updated.meta.revision == 2


async def test_an_update_that_changes_nothing_keeps_the_revision(registry):
    await registry.put(task("default/a", "RUNNING"))
    await registry.put(task("default/b"))

    updated = await registry.update("Task", "default/a", say("RUNNING"))
    assert updated == await registry.get("Task", "default/a")


async def test_update_can_leave_it(registry):
    await registry.put(task("default/a"))

    await registry.update("Task", "default/a", lambda obj: False)
    assert registry.revision == 1


async def test_update_of_nothing_is_not_found(registry):
    with pytest.raises(NotFound, match="no Task 'default/a'"):
        await registry.update("Task", "default/a", say("RUNNING"))


class Rival(Registry):
    """Somebody else writes between every read and put, so many times."""

    def __init__(self, times):
        super().__init__(MemoryStore())
        self.left = times

    async def get(self, kind, name):
        found = await super().get(kind, name)
        if self.left and found:
            self.left -= 1
            await self.put(task(name, f"rival {self.left}"))
        return found


async def test_update_tries_again_when_others_were_faster():
    registry = Rival(3)
    await registry.put(task("default/a"))

    await registry.update("Task", "default/a", say("RUNNING"))
    assert (await registry.get("Task", "default/a")).task.status.last_status == "RUNNING"


async def test_update_gives_up_in_the_end():
    registry = Rival(99)
    await registry.put(task("default/a"))

    with pytest.raises(Conflict):
        await registry.update("Task", "default/a", say("RUNNING"), attempts=3)
