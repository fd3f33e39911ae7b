"""The control plane as `serve` runs it, on the sockets of a home, in this process."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import grpc
import pytest

from tsunagu.app import Door, Offers, see_out, serve
from tsunagu.client.registry import RegistryClient
from tsunagu.kit import grpc_bootstrap
from tsunagu.kit.lockfile import LockedError
from tsunagu.kit.tokens import load_key, mint
from tsunagu.model import ids
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.xds.ads import AdsServer, NodeInfo, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.settings import Home, ServeSettings
from tsunagu.testing.fake_proxy import FakeProxy, StreamEnded
from tsunagu.v1 import discovery_pb2, inspector_pb2, inspector_pb2_grpc, objects_pb2
from tsunagu.xds.resources import LDS

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


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
            await asyncio.wait_for(channel.channel_ready(), 20)
            yield home, channel, task
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)


async def until(condition):
    async with asyncio.timeout(20):
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


async def test_the_proxies_socket_is_open_to_all_and_the_api_to_its_owner(running):
    home, _, _ = running

    async def offered():
        return home.xds_socket.exists()

    await until(offered)
    assert home.xds_socket.stat().st_mode & 0o777 == 0o666
    assert home.api_socket.stat().st_mode & 0o777 == 0o600


async def test_the_end_of_the_life_ends_it_and_leaves_no_socket(running, life):
    home, _, task = running
    os.close(life[1])
    await asyncio.wait_for(task, 10)
    assert not home.api_socket.exists()
    assert not home.xds_socket.exists()


async def test_a_second_one_on_the_same_home_is_refused(running):
    home, _, _ = running
    with pytest.raises(LockedError, match="is held by process"):
        await serve(ServeSettings(home))


@pytest.fixture
def door(tmp_path):
    """A door of a mesh in which the task default/web-1 has a proxy."""

    class OffersOfOne(Offers):
        def scope(self, task):
            return ("ns/shop", "rev/default/web/1") if task == "default/web-1" else None

    key = load_key(tmp_path / "key")
    return Door(key, OffersOfOne(Informer(Registry(MemoryStore())))), key


def call(token):
    return {"authorization": f"Bearer {token}"}


def test_the_token_says_who_a_proxy_is_whatever_it_claims(door):
    admit, key = door[0].admit, door[1]
    scope = admit(call(mint(key, "default/web-1")), NodeInfo(id="default/somebody-else"))
    assert scope == Scope("default/web-1", ("ns/shop", "rev/default/web/1"))


@pytest.mark.parametrize(
    "metadata", [{}, {"authorization": "Basic x"}, call("v1.x.y"), call(mint(b"0" * 32, "default/web-1"))]
)
def test_without_a_good_token_nobody_is_admitted(door, metadata):
    with pytest.raises(Unauthenticated):
        door[0].admit(metadata, NodeInfo(id="default/web-1"))


async def test_streams_go_with_the_task_that_they_were_let_in_for(door, tmp_path):
    key = door[1]
    offers = Offers(Informer(Registry(MemoryStore())))
    alive = {"default/web-1", "default/web-2", grpc_bootstrap.client_name("shop", "default/web-1")}
    offers.scope = lambda name: ("ns/shop",) if name in alive else None
    ads = AdsServer(authenticate=Door(key, offers).admit, identifier="cp", timeline=Timeline())
    await ads.start(f"unix:{tmp_path}/xds.sock")
    ads.mark_synced()
    client = grpc_bootstrap.client_name("shop", "default/web-1")
    async with AsyncExitStack() as stack:
        names = ("default/web-1", "default/web-2")
        gone, stays = [
            await stack.enter_async_context(FakeProxy(f"unix:{tmp_path}/xds.sock", node=name, token=mint(key, name)))
            for name in names
        ]
        for proxy in (gone, stays):
            await proxy.subscribe("CDS")
            await proxy.receive()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{tmp_path}/xds.sock"))
        program = channel.stream_stream(ADS)()
        node = discovery_pb2.Node(id=client, user_agent_name="gRPC test")
        node.metadata.update({grpc_bootstrap.TOKEN: mint(key, client)})
        await program.write(discovery_pb2.DiscoveryRequest(type_url=LDS, node=node).SerializeToString())

        async def all_are_there():
            return len(ads.connected()) == 3

        await until(all_are_there)
        see_out(ads, offers, [("Service", "default/web-1", None, None)])
        alive -= {"default/web-1", client}
        see_out(ads, offers, [("Task", "default/web-2", None, None), ("Task", "default/web-1", None, None)])
        with pytest.raises(StreamEnded) as ended:
            await gone.receive()
        assert ended.value.code is grpc.StatusCode.PERMISSION_DENIED
        assert await program.code() is grpc.StatusCode.PERMISSION_DENIED
        assert ads.connected() == ["default/web-2"]
    await ads.stop(0.1)


def test_a_task_that_is_gone_has_no_proxy(door):
    with pytest.raises(PermissionDenied, match="default/web-2"):
        door[0].admit(call(mint(door[1], "default/web-2")), NodeInfo(id="default/web-2"))


async def test_a_proxys_scope_is_known_before_anything_is_offered():
    registry = Registry(MemoryStore())
    informer = Informer(registry)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(informer.run(), name="informer")
        await informer.wait_synced()
        offers = Offers(informer)
        assert offers.scope("default/web-1") is None
        spec = objects_pb2.TaskSpec(service_revision="default/web/1", namespace="shop", desired_status="RUNNING")
        task = objects_pb2.Task(spec=spec, status=objects_pb2.TaskStatus(last_status="PENDING"))
        rev = objects_pb2.ServiceRevision(cluster="default", service="web", namespace="shop", connect=True)
        both = [ids.make("Task", "default/web-1", task), ids.make("ServiceRevision", "default/web/1", rev)]
        await informer.wait_revision(await registry.batch([PutObject(obj) for obj in both]))
        assert offers.scope("default/web-1") == ("ns/shop", "rev/default/web/1")
        assert offers.published_revision == 0
        following.cancel()


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
