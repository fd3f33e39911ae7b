"""Names come with their listeners and go with their addresses."""

import asyncio
import errno

import pytest

from tsunagu.v1 import objects_pb2
from tsunagu_node.task.envoy import has_all
from tsunagu_node.task.names import Names, TaskNames, aliases
from tsunagu_node.task.spec import TaskSpec
from tsunagu_sidecar.admin import AdminUnreachable


def address(name: str, ip: str, namespace: str = "shop", *, released: bool = False, **more) -> objects_pb2.Object:
    body = objects_pb2.VirtualAddress(namespace=namespace, dns_name=name, ip=ip, **more)
    if released:
        body.released_at.GetCurrentTime()
    return objects_pb2.Object(meta=objects_pb2.Meta(name=f"{namespace}/{name}"), virtual_address=body)


def objects(*found: objects_pb2.Object) -> dict[str, objects_pb2.Object]:
    return {obj.meta.name: obj for obj in found}


class Task:
    """Keeps what its hosts file was told to hold."""

    id, ip = "web-1", "10.88.0.2"

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.changed = asyncio.Event()
        self.full = 0  # so many times the disk has no room

    async def set_hosts(self, names) -> None:
        if self.full:
            self.full -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self.shown.append(dict(names))
        self.changed.set()

    async def shows(self, names: dict[str, str]) -> None:
        async with asyncio.timeout(60):
            while not self.shown or self.shown[-1] != names:
                self.changed.clear()
                await self.changed.wait()


class Admin:
    """Envoy's list of listeners; None: it cannot be reached."""

    names: tuple[str, ...] | None = ()

    async def listeners(self) -> tuple[str, ...]:
        if self.names is None:
            raise AdminUnreachable("down")
        return self.names


@pytest.fixture
async def following():
    names, task, admin = Names(), Task(), Admin()
    one = TaskNames(task, spec(), names, admin)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(one.run())
        yield names, task, admin, one
        work.cancel()


def spec(**revision) -> TaskSpec:
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(namespace="shop", deployment=5))
    return TaskSpec("default/web-1", task, objects_pb2.ServiceRevision(**revision))


async def test_a_task_of_a_frozen_deployment_is_given_the_names_that_were_born_until_then():
    names, task, admin = Names(), Task(), Admin()
    admin.names = tuple(f"alias/shop/{name}:80" for name in ("old", "with", "late", "more"))
    one = TaskNames(task, spec(frozen=True), names, admin)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(one.run())
        more = {80: 4, 90: 6}  # a port that came later is no other name
        births = {"old": {}, "with": {80: 5}, "late": {80: 6}, "more": more}
        found = [address(name, f"127.255.0.{at}", births=of) for at, (name, of) in enumerate(births.items())]
        await names.learn(objects(*found))
        await task.shows({"old": "127.255.0.0", "with": "127.255.0.1", "more": "127.255.0.3"})
        await one.complete.wait()
        work.cancel()


async def test_a_task_with_backends_waits_for_their_names_alone():
    names, task, admin = Names(), Task(), Admin()
    admin.names = ("alias/shop/orders:80", "alias/shop/older:80")
    one = TaskNames(task, spec(backends=["orders"]), names, admin)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        work = group.create_task(one.run())
        leads = {
            "orders": ["orders"],
            "mysql": ["mysql"],
            "older": [],
        }  # of a registry that did not keep where it leads
        found = [address(name, f"127.255.0.{at}", discovery_names=to) for at, (name, to) in enumerate(leads.items())]
        await names.learn(objects(*found))
        await one.complete.wait()
        work.cancel()
    await task.shows({"orders": "127.255.0.0", "older": "127.255.0.2"})


async def test_a_name_is_added_once_its_listener_is_there(following):
    names, task, admin, one = following
    admin.names = ("capture", "alias/shop/orders:80")
    await names.learn(objects(address("orders", "127.255.0.1"), address("mysql", "127.255.0.2")))
    await task.shows({"orders": "127.255.0.1"})
    assert not one.complete.is_set()
    admin.names = ("capture", "alias/shop/orders:80", "alias/shop/mysql:3306")
    await task.shows({"orders": "127.255.0.1", "mysql": "127.255.0.2"})
    async with asyncio.timeout(60):
        await one.complete.wait()


async def test_a_released_name_goes_and_others_stay_while_the_proxy_is_down(following):
    names, task, admin, _ = following
    admin.names = ("alias/shop/orders:80", "alias/shop/mysql:3306")
    await names.learn(objects(address("orders", "127.255.0.1"), address("mysql", "127.255.0.2")))
    await task.shows({"orders": "127.255.0.1", "mysql": "127.255.0.2"})
    admin.names = None
    await names.learn(objects(address("orders", "127.255.0.1"), address("mysql", "127.255.0.2", released=True)))
    await task.shows({"orders": "127.255.0.1"})


async def test_names_for_which_the_disk_has_no_room_are_tried_again(following):
    names, task, admin, one = following
    task.full = 2
    admin.names = ("alias/shop/orders:80",)
    await names.learn(objects(address("orders", "127.255.0.1")))
    await task.shows({"orders": "127.255.0.1"})
    async with asyncio.timeout(60):
        await one.complete.wait()
    assert task.full == 0


async def test_a_task_sees_the_names_of_its_namespace_alone(following):
    names, task, admin, _ = following
    admin.names = ("alias/shop/orders:80", "alias/other/stock:80")
    await names.learn(objects(address("stock", "127.255.0.9", "other"), address("orders", "127.255.0.1")))
    await task.shows({"orders": "127.255.0.1"})


def test_aliases_are_told_from_other_listeners():
    listeners = ["capture", "in/default/web/abc/http", "alias/shop/a.b.c:80", "alias/shop/a.b.c:81", "alias/shop2/x:1"]
    assert aliases("shop", listeners) == {"a.b.c"}


def test_what_a_proxy_needs_is_a_prefix():
    assert has_all([], [])
    assert has_all([["tls/default/web/abc/http", "in/default/web/abc/http"]], ["capture", "in/default/web/abc/http"])
    assert not has_all([["in/default/web/abc/http"]], ["capture"])
