"""Who a stream is by its token, and that it is disconnected with the task that it was authorized for."""

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest

from tsunagu.kit import grpc_bootstrap
from tsunagu.kit.tokens import incarnate, mint
from tsunagu.serve.xds.ads import AdsServer, NodeInfo, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.authentication import Authenticator, evict
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing.fake_proxy import FakeProxy, StreamEnded
from tsunagu.v1 import discovery_pb2
from tsunagu.xds.bundle import Mask
from tsunagu.xds.resources import LDS

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
KEY = b"k" * 32


@pytest.fixture
def envoys():
    """Of a mesh in which the task default/web-1 has a proxy."""
    return Authenticator(KEY, {"default/web-1": ("ns/shop", "rev/default/web/1")}.get)


def call(token):
    return {"authorization": f"Bearer {token}"}


def test_the_token_says_who_a_proxy_is_whatever_it_claims(envoys):
    scope = envoys.authorize(call(mint(KEY, "default/web-1")), NodeInfo(id="default/somebody-else"))
    assert scope == Scope("default/web-1", ("ns/shop", "rev/default/web/1"), sole=True)


def test_the_token_of_one_start_of_an_envoy_says_which(envoys):
    scope = envoys.authorize(call(mint(KEY, incarnate("default/web-1", 7))), NodeInfo(id="default/web-1"))
    assert scope == Scope("default/web-1", ("ns/shop", "rev/default/web/1"), sole=True, incarnation=7)


@pytest.mark.parametrize("name", ["default/web-1", grpc_bootstrap.client_name("shop", "default/web-1")])
def test_what_a_proxy_does_not_see_is_a_part_of_its_scope(name):
    masks = {name: Mask(until=frozenset({(LDS, 5)}))}
    authenticator = Authenticator(KEY, {name: ("ns/shop",)}.get, masks.__getitem__)
    node = NodeInfo(id="x", user_agent="gRPC" if name.startswith("grpc/") else "envoy")
    assert authenticator.authorize(call(mint(KEY, name)), node).mask == masks[name]


def test_a_token_in_the_metadata_is_checked_before_anything_is_read(envoys):
    assert envoys.recognize(call(mint(KEY, "default/web-1")))
    assert not envoys.recognize({}), "it may be in the node that the first message bears"
    with pytest.raises(Unauthenticated):
        envoys.recognize(call(mint(b"0" * 32, "default/web-1")))


@pytest.mark.parametrize(
    "metadata", [{}, {"authorization": "Basic x"}, call("v1.x.y"), call(mint(b"0" * 32, "default/web-1"))]
)
def test_without_a_good_token_nobody_is_authorized(envoys, metadata):
    with pytest.raises(Unauthenticated):
        envoys.authorize(metadata, NodeInfo(id="default/web-1"))


async def test_streams_end_with_the_task_that_they_were_authorized_for(tmp_path):
    alive = {"default/web-1", "default/web-2", grpc_bootstrap.client_name("shop", "default/web-1")}

    def scope_of(name):
        return ("ns/shop",) if name in alive else None

    ads = AdsServer(authenticate=Authenticator(KEY, scope_of).authorize, identifier="cp", timeline=Timeline())
    await ads.start(f"unix:{tmp_path}/xds.sock")
    ads.mark_synced()
    client = grpc_bootstrap.client_name("shop", "default/web-1")
    async with AsyncExitStack() as stack:
        names = ("default/web-1", "default/web-2")
        gone, stays = [
            await stack.enter_async_context(FakeProxy(f"unix:{tmp_path}/xds.sock", node=name, token=mint(KEY, name)))
            for name in names
        ]
        for proxy in (gone, stays):
            await proxy.subscribe("CDS")
            await proxy.receive()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{tmp_path}/xds.sock"))
        program = channel.stream_stream(ADS)()
        node = discovery_pb2.Node(id=client, user_agent_name="gRPC test")
        node.metadata.update({grpc_bootstrap.TOKEN: mint(KEY, client)})
        await program.write(discovery_pb2.DiscoveryRequest(type_url=LDS, node=node).SerializeToString())

        async with asyncio.timeout(60):
            while len(ads.connected()) < 3:  # noqa: ASYNC110 - over a socket
                await asyncio.sleep(0.01)
        alive -= {"default/web-1", client}
        evict(ads, scope_of, set())  # nothing has changed of any task
        assert len(ads.connected()) == 3
        evict(ads, scope_of, {"default/web-1", "default/web-2"})
        with pytest.raises(StreamEnded) as ended:
            await gone.receive()
        assert ended.value.code is grpc.StatusCode.PERMISSION_DENIED
        assert await program.code() is grpc.StatusCode.PERMISSION_DENIED
        assert ads.connected() == ["default/web-2"]
    await ads.stop(0.1)


def test_a_task_that_is_gone_has_no_proxy(envoys):
    with pytest.raises(PermissionDenied, match="default/web-2"):
        envoys.authorize(call(mint(KEY, "default/web-2")), NodeInfo(id="default/web-2"))
