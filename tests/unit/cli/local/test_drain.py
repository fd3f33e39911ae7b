"""The end of a mesh, messages to a registry whose tasks stop when the test says so."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tsunagu.cli.local.drain import drain
from tsunagu.cli.local.shutdown import Ending
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2

SHOP = (
    ids.make("Gateway", "front", objects_pb2.Gateway(namespace="shop", cluster="default")),
    ids.make("Service", "default/web", objects_pb2.Service()),
)


def task(name, **spec):
    made = objects_pb2.Task(spec=objects_pb2.TaskSpec(cluster="default", desired_status="RUNNING", **spec))
    made.status.last_status = "RUNNING"
    return ids.make("Task", name, made)


class Notified:
    """A job that keeps its messages, and how often what containers write was to be shown."""

    def __init__(self):
        self.messages, self.shown = [], 0

    def notify(self, text):
        self.messages.append(text)

    @asynccontextmanager
    async def output(self, link, informer):
        self.shown += 1
        yield


@pytest.fixture
def mesh(server):
    """Served: a gateway and a service with a task each."""
    for obj in (*SHOP, task("default/front-1", gateway="front"), task("default/web-1", service="web")):
        server.do(server.registry.put(obj))
    return server


def names(mesh, kind):
    return [obj.meta.name for obj in mesh.do(mesh.registry.list(kind))[0]]


async def until_gone(mesh, kind):
    async with asyncio.timeout(60):
        while await asyncio.to_thread(names, mesh, kind):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0)


async def stop(mesh, name):
    def change(obj):
        obj.task.status.last_status = "STOPPED"

    await asyncio.to_thread(mesh.do, mesh.registry.update("Task", name, change))


async def test_gateways_go_first_then_services(mesh):
    job = Notified()
    async with asyncio.TaskGroup() as group:
        group.create_task(drain(mesh.home, Ending(), 10.0, job))
        await until_gone(mesh, "Gateway")
        assert names(mesh, "Service") == ["default/web"]  # who was let in is still answered
        await stop(mesh, "default/front-1")
        await until_gone(mesh, "Service")
        await stop(mesh, "default/web-1")
    assert job.messages == ["draining 2 tasks", "every task has stopped"]
    assert job.shown == 1


async def test_a_gateway_that_does_not_stop_leaves_time_for_the_rest(mesh):
    job = Notified()
    await drain(mesh.home, Ending(), 2.0, job)
    assert names(mesh, "Service") == []
    assert job.messages == ["draining 2 tasks", "not every task had stopped after 2 s; the rest is ended now"]


async def test_at_once_is_at_once(mesh):
    ending, job = Ending(), Notified()
    ending.request_at_once()
    await drain(mesh.home, ending, 10.0, job)
    assert (job.messages, names(mesh, "Gateway")) == ([], ["front"])
