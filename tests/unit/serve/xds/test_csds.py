"""CSDS as public clients speak it: their messages (envoy_data_plane's), real gRPC, proxies in every state."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import envoy_data_plane.envoy.admin.v3 as admin
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.service.status.v3 as csds
import envoy_data_plane.envoy.type.matcher.v3 as matchers
import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tsunagu.kit.tokens import mint
from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.xds import csds as served_csds
from tsunagu.serve.xds.ads import AdsServer, Scope, Unauthenticated
from tsunagu.serve.xds.csds import ClientStatus, described
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy
from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, SDS, Resource

SERVICE = "/envoy.service.status.v3.ClientStatusDiscoveryService/"
State, Client = csds.ConfigStatus, admin.ClientResourceStatus
SECRET = "-----BEGIN PRIVATE KEY----- never to be seen"
TOKEN = mint(b"k" * 32, "p")
WALL = 1_800_000_000.0


def resource(url: str, name: str, content: str = "1") -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


class World:
    """An xDS server and CSDS beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.now = 100.0
        self.ads = AdsServer(
            authenticate=lambda _, node: Scope(
                node.id.partition("#")[0], ("b",), shared_identity=node.id.startswith("grpc")
            ),
            identifier="x",
            timeline=Timeline(),
            clock=lambda: self.now,
            wall=lambda: WALL + self.now,
        )
        self.revision = 0

    def publish(self, *upserts, removals=()):
        self.revision += 1
        self.ads.publish([BundleUpdate("b", upserts, tuple(removals))], self.revision, "test")

    def proxy(self, name="p", **options):
        return FakeProxy(f"unix:{self.folder}/xds.sock", node=name, **options)

    async def fetch(self, *matcher, **fields):
        request = csds.ClientStatusRequest(node_matchers=list(matcher), **fields)
        call = self.channel.unary_unary(SERVICE + "FetchClientStatus")
        return csds.ClientStatusResponse.parse(await call(bytes(request), timeout=10)).config

    async def only(self, url, name):
        """What is told of one resource of the only proxy."""
        [config] = await self.fetch()
        [found] = [one for one in config.generic_xds_configs if (one.type_url, one.name) == (url, name)]
        return found

    async def until(self, url, name, status):
        """The same, once it has that status: an answer of a proxy is on its way for a moment."""
        async with asyncio.timeout(60):
            while True:
                with suppress(ValueError):
                    found = await self.only(url, name)
                    if found.config_status is status:
                        return found
                await asyncio.sleep(0.002)

    async def until_none(self):
        """Returns once the only proxy is to have nothing, and knows it."""
        async with asyncio.timeout(60):
            while True:
                [config] = await self.fetch()
                if not config.generic_xds_configs:
                    return
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(folder):
    world = World(folder)
    await world.ads.start(f"unix:{folder}/xds.sock")
    world.ads.mark_synced()
    api = ApiServer(folder / "api.sock")
    api.add(served_csds.NAME, ClientStatus(world.ads).register, file=described())
    await api.start()
    async with grpc.aio.insecure_channel(f"unix:{folder}/api.sock") as world.channel:
        yield world
    await api.stop(0.1)
    await world.ads.stop(0.1)


@pytest.fixture
async def world(tmp_path):
    async with running(tmp_path) as made:
        yield made


async def test_nobody_is_connected(world):
    assert await world.fetch() == []


@pytest.mark.case(139)
async def test_each_resource_has_its_status_and_its_time(world):
    world.publish(resource(CDS, "c"), resource(LDS, "l"))
    async with world.proxy() as proxy:
        await proxy.subscribe("CDS")
        update = await proxy.receive()
        world.now = 107.0
        stale = await world.until(CDS, "c", State.STALE)
        assert stale.client_status is Client.UNKNOWN
        assert stale.last_updated == datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=100)

        await proxy.ack(update)
        synced = await world.until(CDS, "c", State.SYNCED)
        assert synced.client_status is Client.ACKED
        assert synced.version_info == resource(CDS, "c").version
        assert synced.last_updated == datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=107)
        assert synced.xds_config.type_url == CDS
        assert synced.xds_config.value == resource(CDS, "c").body
        assert synced.error_state is None


@pytest.mark.case(139)
async def test_a_refusal_stays_with_its_words_until_it_is_repaired(world):
    world.publish(resource(LDS, "bad"), resource(LDS, "good"))
    async with world.proxy() as proxy:
        await proxy.subscribe("LDS")
        await proxy.nack(await proxy.receive(), "Error adding/updating listener(s) bad: no address")
        refused = await world.until(LDS, "bad", State.ERROR)
        assert refused.client_status is Client.NACKED
        assert refused.error_state.details == "Error adding/updating listener(s) bad: no address"
        assert refused.error_state.version_info == resource(LDS, "bad").version
        assert refused.error_state.last_update_attempt == datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=100)
        assert (await world.only(LDS, "good")).config_status is State.SYNCED

        world.publish(resource(LDS, "good", "2"))
        await proxy.ack(await proxy.receive())
        await world.until(LDS, "good", State.SYNCED)
        assert (await world.only(LDS, "bad")).config_status is State.ERROR

        world.publish(resource(LDS, "bad", "2"))
        await proxy.ack(await proxy.receive())
        assert (await world.until(LDS, "bad", State.SYNCED)).error_state is None


async def test_what_is_held_back_behind_an_answer_was_not_sent(world):
    world.publish(resource(CDS, "c"))
    async with world.proxy(variant="sotw") as proxy:
        await proxy.subscribe("CDS")
        update = await proxy.receive()
        world.publish(resource(CDS, "d"))
        waiting = await world.until(CDS, "d", State.NOT_SENT)
        assert waiting.client_status is Client.REQUESTED
        await proxy.ack(update)
        await proxy.ack(await proxy.receive())
        await world.until(CDS, "d", State.SYNCED)


async def test_a_name_that_does_not_exist(world):
    async with world.proxy() as proxy:
        await proxy.subscribe("RDS", ["nothing"])
        await proxy.ack(await proxy.receive())
        found = await world.until(RDS, "nothing", State.SYNCED)
        assert found.client_status is Client.DOES_NOT_EXIST
        assert (found.version_info, found.xds_config) == ("", None)


async def test_a_removal_that_was_not_answered_is_stale(world):
    world.publish(resource(LDS, "l"))
    async with world.proxy() as proxy:
        await proxy.subscribe("LDS")
        await proxy.ack(await proxy.receive())
        world.publish(removals=[(LDS, "l")])
        removal = await proxy.receive()
        assert (await world.until(LDS, "l", State.STALE)).version_info == ""
        await proxy.ack(removal)
        await world.until_none()


async def test_types_that_nobody_here_knows_are_shown_as_well(world):
    own = "type.googleapis.com/own.Type"
    world.publish(resource(own, "x"))
    call = grpc.aio.insecure_channel(f"unix:{world.folder}/xds.sock")
    async with call:
        stream = call.stream_stream("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")()
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=own, resource_names_subscribe=["x", "vain"])
        request.node.id = "p"
        await stream.write(request.SerializeToString())
        response = discovery_pb2.DeltaDiscoveryResponse.FromString(await stream.read())
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=own, response_nonce=response.nonce)
        await stream.write(answer.SerializeToString())
        await world.until(own, "x", State.SYNCED)
        [config] = await world.fetch()
        assert [one.name for one in config.generic_xds_configs] == ["x"]
        stream.cancel()


async def test_the_contents_can_be_left_out(world):
    world.publish(resource(CDS, "c"))
    async with world.proxy() as proxy:
        await proxy.subscribe("CDS")
        await proxy.ack(await proxy.receive())
        [config] = await world.fetch(exclude_resource_contents=True)
        assert [(one.name, one.xds_config) for one in config.generic_xds_configs] == [("c", None)]


@pytest.mark.case(137)
async def test_secrets_are_never_shown(world):
    world.publish(resource(SDS, "s", SECRET))
    metadata = {"token": TOKEN}
    proxy = world.proxy()
    json_format.ParseDict(metadata, proxy.node.metadata)
    async with proxy:
        await proxy.subscribe("SDS", ["s"])
        await proxy.ack(await proxy.receive())
        found = await world.until(SDS, "s", State.SYNCED)
        assert found.version_info == resource(SDS, "s", SECRET).version
        raw = await world.channel.unary_unary(SERVICE + "FetchClientStatus")(b"", timeout=10)
    assert SECRET.encode() not in raw
    assert TOKEN.encode() not in raw


async def test_who_a_client_is(world):
    proxy = world.proxy("default/web-1")
    proxy.node.cluster, proxy.node.locality.zone = "web", "z1"
    async with proxy:
        await proxy.subscribe("CDS")
        await proxy.receive()
        [config] = await world.fetch()
    assert (config.node.id, config.node.cluster, config.node.locality.zone) == ("default/web-1", "web", "z1")
    assert config.node.user_agent_name == "fake-proxy"


def by_id(**pattern):
    return matchers.NodeMatcher(node_id=matchers.StringMatcher(**pattern))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([by_id(exact="web-1")], ["web-1"]),
        ([by_id(exact="web")], []),
        ([by_id(prefix="web-")], ["web-1", "web-2"]),
        ([by_id(suffix="-1")], ["api-1", "web-1"]),
        ([by_id(contains="eb")], ["web-1", "web-2"]),
        ([by_id(exact="WEB-1", ignore_case=True)], ["web-1"]),
        ([by_id(exact="WEB-1")], []),
        ([by_id(exact="web-1"), by_id(exact="api-1")], ["api-1", "web-1"]),
        ([matchers.NodeMatcher()], ["api-1", "grpc#1", "web-1", "web-2"]),
        ([by_id(exact="grpc")], ["grpc#1"]),
        ([], ["api-1", "grpc#1", "web-1", "web-2"]),
    ],
)
async def test_clients_are_matched_by_node_id(world, wanted, found):
    async with (
        world.proxy("web-1") as a,
        world.proxy("web-2") as b,
        world.proxy("api-1") as c,
        world.proxy("grpc") as d,
    ):
        for proxy in (a, b, c, d):
            await proxy.subscribe("CDS", ["*"])
            await proxy.receive()
        assert [config.node.id for config in await world.fetch(*wanted)] == found


@pytest.mark.parametrize(
    ("matcher", "words"),
    [
        (by_id(safe_regex=matchers.RegexMatcher(regex=".*")), "node_id.safe_regex is not supported"),
        (matchers.NodeMatcher(node_metadatas=[matchers.StructMatcher()]), "node_metadatas is not supported"),
        (by_id(), "give exact"),
    ],
)
async def test_other_matchers_are_refused_and_not_ignored(world, matcher, words):
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await world.fetch(matcher)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_no_request_is_refused(world):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.channel.unary_unary(SERVICE + "FetchClientStatus")(b"\xff\xff", timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_answer_has_a_limit(world, monkeypatch):
    monkeypatch.setattr(served_csds, "MAX_BYTES", 100)
    world.publish(resource(CDS, "c", "x" * 100))
    async with world.proxy() as proxy:
        await proxy.subscribe("CDS")
        await proxy.receive()
        with pytest.raises(grpc.aio.AioRpcError, match="exclude_resource_contents") as caught:
            await world.fetch()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_answers_each_request(world):
    call = world.channel.stream_stream(SERVICE + "StreamClientStatus")()
    await call.write(b"")
    assert csds.ClientStatusResponse.parse(await call.read()).config == []
    async with world.proxy() as proxy:
        await proxy.subscribe("CDS")
        await proxy.receive()
        await call.write(bytes(csds.ClientStatusRequest(node=core.Node(id="me"))))
        [config] = csds.ClientStatusResponse.parse(await call.read()).config
        assert config.node.id == "p"
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.case(141)
async def test_beside_xds_only_who_may_ask_is_answered(tmp_path):
    def check(metadata):
        if metadata.get("authorization") != "Bearer operator":
            raise Unauthenticated("operators only")

    ads = AdsServer(authenticate=lambda _, node: Scope(node.id, ()), identifier="x", timeline=Timeline())
    ads.add_service(ClientStatus(ads, check).handler())
    await ads.start(f"unix:{tmp_path}/xds.sock")
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/xds.sock") as channel:
        call = channel.unary_unary(SERVICE + "FetchClientStatus")
        assert await call(b"", metadata=(("authorization", "Bearer operator"),), timeout=10) == b""
        for method in (call(b"", timeout=10), channel.stream_stream(SERVICE + "StreamClientStatus")(timeout=10).read()):
            with pytest.raises(grpc.aio.AioRpcError, match="operators only") as caught:
                await method
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await ads.stop(0.1)


def fetch_by_reflection(address):
    """What grpcurl does: it knows nothing but the name of the service, and speaks JSON."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert served_csds.NAME in database.get_services()
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(served_csds.NAME).FindMethodByName("FetchClientStatus")
        call = channel.unary_unary(
            SERVICE + "FetchClientStatus",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = {"nodeMatchers": [{"nodeId": {"exact": "p"}}], "excludeResourceContents": True}
        message = json_format.ParseDict(request, GetMessageClass(method.input_type)(), descriptor_pool=pool)
        return json_format.MessageToDict(call(message, timeout=5))


async def test_a_tool_that_knows_nothing_can_ask(world):
    world.publish(resource(EDS, "e"))
    async with world.proxy() as proxy:
        await proxy.subscribe("EDS", ["e"])
        await proxy.ack(await proxy.receive())
        await world.until(EDS, "e", State.SYNCED)
        [config] = (await asyncio.to_thread(fetch_by_reflection, f"unix:{world.folder}/api.sock"))["config"]
    assert config["node"]["id"] == "p"
    [one] = config["genericXdsConfigs"]
    assert (one["name"], one["configStatus"], one["clientStatus"]) == ("e", "SYNCED", "ACKED")
