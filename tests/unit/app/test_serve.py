"""The control plane as `serve` runs it, on the sockets of a home, in this process."""

import asyncio
import os
import signal

import grpc
import pytest

from tsunagu.app import serve
from tsunagu.client.registry import RegistryClient
from tsunagu.kit.lockfile import LockedError
from tsunagu.model import ids
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.settings import Home, ServeSettings
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc, objects_pb2


@pytest.fixture
async def life():
    """Both ends of a life pipe."""
    read, write = os.pipe()
    yield read, write
    os.close(read)


@pytest.fixture
async def running(tmp_path, life):
    home = Home(tmp_path)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(ServeSettings(home, life_fd=life[0], stop_seconds=0.1)), name="serve")
        async with grpc.aio.insecure_channel(f"unix:{home.api_socket}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 60)
            yield home, channel, task
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)


async def until(condition):
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - over an API
            await asyncio.sleep(0.01)


async def test_a_service_gets_its_revision_and_name_and_both_are_published(running, shop_objects):
    _, channel, _ = running
    registry, inspector = RegistryClient(channel), inspector_pb2_grpc.InspectorStub(channel)
    revision = await registry.batch(shop_objects)

    async def published():
        info = await inspector.Info(inspector_pb2.InfoRequest())
        return info.synced and info.published_revision >= revision

    await until(published)

    async def named():
        return await registry.get("VirtualAddress", "shop/web")

    await until(named)
    service = await registry.get("Service", "default/web")
    assert service.service.status.revision.startswith("default/web/")


async def test_a_node_that_does_not_renew_its_lease_is_gone(running):
    registry = RegistryClient(running[1])
    await registry.grant("gone", 1)
    node = ids.make("Node", "elsewhere", objects_pb2.Node())
    node.meta.lease = "gone"
    await registry.put(node)

    async def expired():
        return await registry.get("Node", "elsewhere") is None

    await until(expired)


@pytest.fixture
async def registry_with_nodes(tmp_path):
    """What an earlier control plane left: a node whose agent ended with it, and one whose agent goes on."""
    store = await SqliteStore.open(Home(tmp_path).database)
    registry = Registry(store)
    for name in ("former", "there"):
        await store.grant(f"agent/{name}", 10)
        lease = ids.make("NodeLease", name, objects_pb2.NodeLease(pid=1))
        lease.meta.lease = f"agent/{name}"
        node = objects_pb2.Node(state="READY", api=f"unix:{tmp_path}/{name}.sock")
        await registry.batch([PutObject(lease), PutObject(ids.make("Node", name, node))])
    await store.close()
    async with await asyncio.start_unix_server(lambda _, writer: writer.close(), tmp_path / "there.sock"):
        yield


async def test_a_node_whose_agent_ended_with_the_last_control_plane_is_not_ready(registry_with_nodes, running):
    nodes, _ = await RegistryClient(running[1]).list("Node")
    assert {obj.meta.name: obj.node.state for obj in nodes} == {"former": "NOT_READY", "there": "READY"}
    leases, _ = await RegistryClient(running[1]).list("NodeLease")
    assert [obj.meta.name for obj in leases] == ["there"]


async def test_its_sockets_are_for_the_user_who_runs_it(running):
    home, _, _ = running

    async def offered():
        return home.xds_socket.exists()

    await until(offered)
    assert home.xds_socket.stat().st_mode & 0o777 == 0o600
    assert home.api_socket.stat().st_mode & 0o777 == 0o600


async def test_the_end_of_the_life_ends_it_and_leaves_no_socket(running, life):
    home, _, task = running
    os.close(life[1])
    await asyncio.wait_for(task, 60)
    assert not home.api_socket.exists()
    assert not home.xds_socket.exists()


async def test_a_second_one_on_the_same_home_is_refused(running):
    home, _, _ = running
    with pytest.raises(LockedError, match="is held by process"):
        await serve(ServeSettings(home))


@pytest.fixture
def shop_objects():
    from tsunagu.client import apply
    from tsunagu.model.manifests.formats import Source, read

    text = """
kind: Service
serviceName: web
taskDefinition: web
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: http, clientAliases: [{port: 80, dnsName: web}]}]
---
kind: TaskDefinition
family: web
networkMode: awsvpc
containerDefinitions:
- {name: app, image: web, command: [sleep, "1"], portMappings: [{name: http, containerPort: 80}]}
"""
    made = apply.planned(read([Source("shop.yaml", text)]), {}, {})
    assert ids.KINDS["Service"].message is objects_pb2.Service
    return [apply.operation(change) for change in made.changes]
