"""The Registry API and its client: every method, every error, pages, bookmarks, limits, and what users write."""

import asyncio

import grpc
import grpc.aio
import pytest

from tsunagu.client.status_errors import ROWS, NotSynced, TooManyWatches
from tsunagu.model import ids
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.ids import UnknownKindError
from tsunagu.registry.objects import DeleteObject, NotFound, PutObject
from tsunagu.registry.store import Compacted, Conflict, InvalidCommit, LeaseNotFound, StoreClosed
from tsunagu.serve.api.registry import Limits
from tsunagu.v1 import ecs_pb2, objects_pb2, registry_pb2, registry_pb2_grpc


def task(name, status=""):
    return ids.make("Task", name, objects_pb2.Task(status=objects_pb2.TaskStatus(last_status=status)))


def namespace(name="shop", freeze=""):
    return ids.make("Namespace", name, objects_pb2.Namespace(freeze=freeze))


def cluster(name, default_namespace):
    spec = ecs_pb2.CreateClusterRequest(cluster_name=name)
    spec.service_connect_defaults.namespace = default_namespace
    return ids.make("Cluster", name, objects_pb2.Cluster(spec=spec))


async def taken(watch, count):
    async with asyncio.timeout(60):
        return [await anext(watch) for _ in range(count)]


async def test_objects_go_and_come_back(serve):
    async with serve() as served:
        assert await served.client.put(task("default/a", "RUNNING"), 0) == 1
        found = await served.client.get("Task", "default/a")
        assert (found.task.status.last_status, found.meta.revision, found.meta.created_revision) == ("RUNNING", 1, 1)
        assert await served.client.list("Task", "default/") == ([found], 1)
        assert await served.client.delete("Task", "default/a", 1) == 2
        assert await served.client.get("Task", "default/a") is None
        assert await served.client.list() == ([], 2)


async def test_a_batch_is_applied_whole_or_not_at_all(serve):
    async with serve() as served:
        assert await served.client.batch([PutObject(task("a"), 0), PutObject(task("b"))]) == 1
        with pytest.raises(Conflict) as caught:
            await served.client.batch([DeleteObject("Task", "a"), PutObject(task("b", "RUNNING"), 7)])

        assert (caught.value.key, caught.value.expected, caught.value.actual) == ("tasks/b", 7, 1)
        assert len((await served.client.list("Task"))[0]) == 2


async def test_update_over_the_api(serve):
    async with serve() as served:
        await served.client.put(task("a"))

        def run(obj):
            obj.task.status.last_status = "RUNNING"

        assert await served.client.update("Task", "a", run) == await served.registry.get("Task", "a")
        with pytest.raises(NotFound):
            await served.client.update("Task", "b", run)


async def test_leases_over_the_api(serve):
    async with serve() as served:
        await served.client.grant("lease", 10)
        node = ids.make("Node", "here", objects_pb2.Node())
        node.meta.lease = "lease"
        await served.client.put(node)
        assert await served.client.keep_alive("lease") == 10
        assert await served.client.revoke("lease") == 2
        with pytest.raises(LeaseNotFound) as caught:
            await served.client.keep_alive("lease")
        assert caught.value.lease == "lease"


async def test_the_registry_names_a_lease_that_has_no_name(serve):
    async with serve() as served:
        stub = registry_pb2_grpc.RegistryStub(served.channel)
        lease = await stub.GrantLease(registry_pb2.GrantLeaseRequest(ttl_seconds=10))
        assert len(lease.id) == 16
        assert await served.client.keep_alive(lease.id) == 10


CALLS = {
    "a kind that is none": (lambda client: client.get("Pod", "a"), UnknownKindError),
    "a list of a kind that is none": (lambda client: client.list("Pod"), UnknownKindError),
    "a delete of a kind that is none": (lambda client: client.delete("Pod", "a"), UnknownKindError),
    "a delete without a name": (lambda client: client.delete("Task", ""), InvalidCommit),
    "a name prefix without a kind": (lambda client: client.list("", "a"), InvalidCommit),
    "an object without a body": (lambda client: client.put(objects_pb2.Object()), InvalidCommit),
    "an object without a name": (lambda client: client.put(objects_pb2.Object(task=objects_pb2.Task())), InvalidCommit),
    "a negative revision": (lambda client: client.put(task("a"), -1), InvalidCommit),
    "a key twice": (lambda client: client.batch([PutObject(task("a")), DeleteObject("Task", "a")]), InvalidCommit),
    "a lease that is none": (lambda client: client.revoke("none"), LeaseNotFound),
    "a term of nothing": (lambda client: client.grant("lease", 0), InvalidCommit),
    "a term without end": (lambda client: client.grant("lease", 3601), InvalidCommit),
    "a watch from the future": (lambda client: anext(client.watch(after=99)), Compacted),
    "a watch of a kind that is none": (lambda client: anext(client.watch("Pod")), UnknownKindError),
}


@pytest.mark.parametrize(("call", "error"), CALLS.values(), ids=CALLS)
async def test_what_is_wrong_is_said(serve, call, error):
    async with serve() as served:
        with pytest.raises(error):
            await call(served.client)
        assert served.registry.revision == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
def test_every_error_is_documented(row, pytestconfig):
    documented = (pytestconfig.rootpath / "docs" / "registry.md").read_text()
    [line] = [line for line in documented.splitlines() if line.startswith(f"| `{row.error.__name__}`")]

    assert f"| {row.status.name} | `{row.reason}` |" in line


async def test_a_tool_sees_the_status_and_the_reason(serve):
    async with serve() as served:
        stub = registry_pb2_grpc.RegistryStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Put(registry_pb2.PutRequest(object=task("a"), expected=3))

        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details().startswith("CONFLICT: tasks/a: expected its last change to be at revision 3")


async def test_an_unset_expectation_differs_from_zero(serve):
    async with serve() as served:
        await served.client.put(task("a"))
        await served.client.put(task("a", "RUNNING"), None)
        with pytest.raises(Conflict):
            await served.client.put(task("a"), 0)


async def test_a_long_list_comes_in_pages(serve):
    async with serve(limits=Limits(page_bytes=10_000)) as served:
        for number in range(50):
            await served.registry.put(task(f"default/{number:02}", "x" * 1000))
        objects, revision = await served.client.list("Task")
        assert [obj.meta.name for obj in objects] == [f"default/{number:02}" for number in range(50)]
        assert revision == 50

        stub = registry_pb2_grpc.RegistryStub(served.channel)
        first = await stub.List(registry_pb2.ListRequest(kind="Task", limit=3))
        second = await stub.List(registry_pb2.ListRequest(kind="Task", page_token=first.next_page_token))
        assert [obj.meta.name for obj in first.objects] == ["default/00", "default/01", "default/02"]
        assert 5 < len(second.objects) < 10
        assert second.objects[0].meta.name == "default/03"


async def test_an_object_larger_than_a_page_is_a_page(serve):
    async with serve(limits=Limits(page_bytes=100)) as served:
        await served.registry.put(task("a", "x" * 1000))
        await served.registry.put(task("b", "x" * 1000))

        assert len((await served.client.list("Task"))[0]) == 2


async def test_a_watch_tells_changes_and_how_far_it_is(serve):
    async with serve(limits=Limits(bookmark_seconds=0.01)) as served:
        await served.registry.put(task("default/a"))
        watch = served.client.watch("Task", "default/")
        [(revision, [(obj, deleted)]), *_] = await taken(watch, 1)
        assert (revision, obj.meta.name, obj.meta.revision, deleted) == (1, "default/a", 1, False)

        await served.registry.put(task("other/a"))
        assert await taken(watch, 1) == [(2, [])]
        await served.registry.delete("Task", "default/a")
        [(revision, [(obj, deleted)])] = await taken(watch, 1)
        assert (revision, obj.meta.name, ids.kind_of(obj), deleted) == (3, "default/a", "Task", True)


async def test_a_watch_of_nothing_begins_with_a_bookmark(serve):
    async with serve() as served:
        assert await taken(served.client.watch("Task"), 1) == [(0, [])]


async def test_a_quiet_watch_repeats_no_bookmark(serve):
    async with serve(limits=Limits(bookmark_seconds=0.001)) as served:
        watch = served.client.watch("Task")
        await taken(watch, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(watch)


async def test_a_watch_after_compaction_is_told(serve):
    async with serve(history=2) as served:
        for number in range(10):
            await served.registry.put(task("a", str(number)))
        with pytest.raises(Compacted) as caught:
            await taken(served.client.watch(after=1), 1)
        assert (caught.value.revision, caught.value.newest) == (1, 10)


async def test_watches_are_counted(serve):
    async with serve(limits=Limits(watches=2)) as served:
        watches = [served.client.watch() for _ in range(2)]
        for watch in watches:
            await taken(watch, 1)
        with pytest.raises(TooManyWatches, match="2 watches are open"):
            await taken(served.client.watch(), 1)

        await watches[0].aclose()
        async with asyncio.timeout(60):
            while True:  # until the server has heard of it
                try:
                    await taken(served.client.watch(), 1)
                    break
                except TooManyWatches:
                    await asyncio.sleep(0.01)


async def test_watches_end_when_the_server_stops(serve):
    async with serve() as served:
        watch = served.client.watch()
        await taken(watch, 1)
        outcome, _ = await asyncio.gather(anext(watch), served.api.stop(10), return_exceptions=True)

        assert isinstance(outcome, StoreClosed)


async def test_what_users_write_is_validated(serve):
    async with serve() as served:
        with pytest.raises(ManifestError) as caught:
            await served.client.put(cluster("default", "shup"))
        assert any("shup" in issue.message for issue in caught.value.issues)

        await served.client.put(namespace("shop"))
        await served.client.put(cluster("default", "shop"))
        assert len((await served.client.list("Cluster"))[0]) == 1


async def test_a_batch_is_validated_as_a_whole_and_in_any_order(serve):
    async with serve() as served:
        assert await served.client.batch([PutObject(cluster("default", "shop")), PutObject(namespace("shop"))]) == 1


async def test_each_validation_knows_the_commits_before_it(serve):
    """At most three namespaces, says the rule; of ten at once, three get in."""

    def at_most_three(puts, deletes, state):
        after = {*state["Namespace"], *(obj.meta.name for obj in puts)}
        return [Issue("", 0, 0, "", "there are three already")] if len(after) > 3 else []

    async with serve(validate=at_most_three) as served:
        puts = (served.client.put(namespace(f"n{number}")) for number in range(10))
        outcomes = await asyncio.gather(*puts, return_exceptions=True)

        assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [1, 2, 3]
        assert sum(isinstance(outcome, ManifestError) for outcome in outcomes) == 7


async def test_what_agents_write_does_not_wait_for_validation(serve):
    """The informer does not run here, so nothing could be validated."""
    async with serve(followed=False, limits=Limits(catch_up_seconds=0.01)) as served:
        assert await served.client.put(task("a", "RUNNING")) == 1
        with pytest.raises(NotSynced):
            await served.client.put(namespace("shop"))


async def test_more_issues_than_fit_are_shortened_not_lost(serve):
    def endless(puts, deletes, state):
        return [Issue("service.yaml", line, 1, "spec", "wrong é " * 10) for line in range(1, 500)]

    async with serve(validate=endless) as served:
        with pytest.raises(ManifestError) as caught:
            await served.client.put(namespace("shop"))
        assert caught.value.issues[0].line == 1
        assert len(caught.value.issues) > 5
