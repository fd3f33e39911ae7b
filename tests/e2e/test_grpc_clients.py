"""gRPC's own clients and servers against the library: conformance 2K, with real calls."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import grpc.aio
import pytest
from envoy_data_plane.google.protobuf import Any

from tsunagu.serve.library import xds_server
from tsunagu.serve.library.xds_server import EDS, LDS, RDS, XdsServer
from tsunagu.testing.ports import free_port
from tsunagu.v1 import endpoint_pb2

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
ADS = core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3)
ROUTER = hcm.HttpFilter(name="router", typed_config=Any.pack(router.Router()))
PATIENCE = 60.0
TARGET = "xds:///orders:50051"


def listener(name):
    manager = hcm.HttpConnectionManager(
        rds=hcm.Rds(config_source=ADS, route_config_name=f"route/{name}"), http_filters=[ROUTER]
    )
    return listeners.Listener(name=name, api_listener=listeners.ApiListener(api_listener=Any.pack(manager)))


def route(name):
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), route=routes.RouteAction(cluster=f"svc/{name}"))
    host = routes.VirtualHost(name="all", domains=["*"], routes=[everything])
    return routes.RouteConfiguration(name=f"route/{name}", virtual_hosts=[host])


def cluster(name):
    config = clusters.ClusterEdsClusterConfig(eds_config=ADS)
    return clusters.Cluster(name=f"svc/{name}", type=clusters.ClusterDiscoveryType.EDS, eds_cluster_config=config)


def endpoints(name, *ports):
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=f"svc/{name}")
    if ports:
        group = message.endpoints.add(locality={"region": "here"}, load_balancing_weight={"value": 1})
        for port in ports:
            at = group.lb_endpoints.add().endpoint.address.socket_address
            at.address, at.port_value = "127.0.0.1", port
    return message


def everything(name, *ports):
    return listener(name), route(name), cluster(name), endpoints(name, *ports)


class Backend(grpc.GenericRpcHandler):
    """Answers every call with its name."""

    def __init__(self, name):
        self.name = name
        self.server = grpc.aio.server(handlers=[self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self._say)

    async def _say(self, _request, _context):
        return self.name.encode()


class Client:
    """A process with grpcio's xDS client in it."""

    def __init__(self, process):
        self._process = process

    async def ask(self, timeout=20.0):
        """target -> (code, text) of one call each."""
        self._process.stdin.write(f"{timeout}\n".encode())
        async with asyncio.timeout(PATIENCE):
            said = json.loads(await self._process.stdout.readline())
        return {target: (answer["code"], answer["text"]) for target, answer in said.items()}

    async def until(self, wanted, target=TARGET):
        """Calls until the answer is this one; how many calls failed on the way."""
        failed = 0
        async with asyncio.timeout(PATIENCE):
            while (answer := (await self.ask())[target]) != ("OK", wanted):
                failed += answer[0] != "OK"
        return failed


class World:
    def __init__(self, folder, checks):
        self.address = f"unix:{folder}/xds.sock"
        self.server = XdsServer(checks=checks)
        self._processes = []
        self._backends = []

    async def backend(self, name):
        made = Backend(name)
        await made.server.start()
        self._backends.append(made)
        return made.port

    async def client(self, *targets, node="shop", **environment):
        return Client(await self.start("grpc_client.py", *(targets or (TARGET,)), node=node, **environment))

    async def start(self, program, *arguments, node="shop", **environment):
        bootstrap = {
            "xds_servers": [
                {"server_uri": self.address, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            ],
            "node": {"id": node},
            "server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%s",
        }
        environment = {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap), "GRPC_VERBOSITY": "NONE", **environment}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / program),
            *arguments,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    async def restart(self, server):
        """Another server in the place of the one that was there."""
        await self.server.stop(0)
        Path(self.address.removeprefix("unix:")).unlink(missing_ok=True)
        self.server = server
        await server.start(self.address)

    async def event(self, kind, type_url=""):
        async with asyncio.timeout(PATIENCE):
            async for event in self.server.events(type_url=type_url):
                if event.kind == kind:
                    return event
        raise AssertionError

    async def stop(self):
        for process in self._processes:
            process.stdin.close()
            await process.communicate()
        for backend in self._backends:
            await backend.server.stop(0)
        await self.server.stop(0)


@asynccontextmanager
async def world_in(folder, checks=(xds_server.dangling_clusters, xds_server.refused_by_grpc)):
    made = World(folder, checks)
    await made.server.start(made.address)
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def world(tmp_path):
    async with world_in(tmp_path) as made:
        yield made


@pytest.mark.case(143)
async def test_a_target_is_resolved_and_called(world):
    world.server.put(*everything("orders:50051", await world.backend("one")))
    client = await world.client()
    assert await client.ask() == {TARGET: ("OK", "one")}
    await world.server.converged(timeout=PATIENCE)
    asked = [(event.type, event.names) for event in world.server.timeline.events() if event.kind == "subscribe"]
    assert asked == [
        ("LDS", ["orders:50051"]),
        ("RDS", ["route/orders:50051"]),
        ("CDS", ["svc/orders:50051"]),
        ("EDS", ["svc/orders:50051"]),
    ]
    (seen,) = world.server.clients()
    assert (seen.proxy, seen.variant) == ("shop#1", "sotw")
    assert {kind.type: kind.state for kind in seen.types} == dict.fromkeys(("LDS", "RDS", "CDS", "EDS"), "SYNCED")


@pytest.mark.case(143)
async def test_endpoints_move_and_no_call_is_lost(world):
    one, two = await world.backend("one"), await world.backend("two")
    world.server.put(*everything("orders:50051", one))
    client = await world.client()
    assert await client.until("one") == 0
    for port, name in ((two, "two"), (one, "one"), (two, "two")):
        world.server.put(endpoints("orders:50051", port))
        assert await client.until(name) == 0
        assert {(await client.ask())[TARGET] for _ in range(10)} == {("OK", name)}
    world.server.put(endpoints("orders:50051", one, two))
    await client.until("one")
    assert {(await client.ask())[TARGET][1] for _ in range(10)} == {"one", "two"}


@pytest.mark.case(143)
async def test_nobody_to_answer_is_unavailable_at_once_and_heals(world):
    world.server.put(*everything("orders:50051"))
    client = await world.client()
    code, words = (await client.ask())[TARGET]
    assert (code, "contains no localities" in words) == ("UNAVAILABLE", True)
    world.server.put(endpoints("orders:50051", await world.backend("one")))
    await client.until("one")
    world.server.put(endpoints("orders:50051"))
    async with asyncio.timeout(PATIENCE):
        while (await client.ask())[TARGET][0] != "UNAVAILABLE":
            pass


@pytest.mark.case(143)
async def test_several_programs_and_several_targets(world):
    """Each target of each program is a stream of its own, whatever their node says."""
    world.server.put(*everything("orders:50051", await world.backend("orders")))
    world.server.put(*everything("stock:80", await world.backend("stock")))
    answers = {TARGET: ("OK", "orders"), "xds:///stock:80": ("OK", "stock")}
    several = [await world.client(*answers) for _ in range(3)]
    assert [await client.ask() for client in several] == [answers] * 3
    assert [client.proxy for client in world.server.clients()] == [f"shop#{number}" for number in range(1, 7)]
    world.server.put(endpoints("stock:80", await world.backend("more stock")))
    for client in several:
        await client.until("more stock", "xds:///stock:80")
    await world.server.converged(timeout=PATIENCE)


@pytest.mark.case(144)
@pytest.mark.slow("grpcio waits for 15 s before it believes that a resource does not exist")
async def test_a_name_that_is_not_there_is_answered_without_it(world):
    """grpcio believes that only after a time of its own, 15 s, since an answer may be to an earlier question."""
    world.server.put(*everything("orders:50051", await world.backend("one")))
    client = await world.client(TARGET, "xds:///nosuch:80")
    answers = await client.ask(timeout=PATIENCE)
    assert answers[TARGET] == ("OK", "one")
    code, words = answers["xds:///nosuch:80"]
    assert (code, "does not exist" in words) == ("UNAVAILABLE", True)
    said = [event for event in world.server.timeline.events(0) if event.kind == "send" and event.type == "LDS"]
    assert sorted(event.names for event in said) == [[], ["orders:50051"]]
    world.server.put(*everything("nosuch:80", await world.backend("born")))
    await client.until("born", "xds:///nosuch:80")


@pytest.mark.case(144)
async def test_what_is_removed_does_not_exist_at_once(world):
    world.server.put(*everything("orders:50051", await world.backend("one")))
    client = await world.client()
    await client.until("one")
    with world.server.change() as change:
        change.remove(LDS, "orders:50051")
        change.remove(RDS, "route/orders:50051")
    async with asyncio.timeout(PATIENCE):
        while (answer := (await client.ask())[TARGET])[0] == "OK":
            pass
    assert (answer[0], "does not exist" in answer[1]) == ("UNAVAILABLE", True)


@pytest.mark.case(144)
async def test_a_route_that_is_not_there_is_waited_for_in_silence(tmp_path):
    async with world_in(tmp_path, checks=()) as world, asyncio.TaskGroup() as tasks:
        world.server.put(listener("orders:50051"))
        client = await world.client()
        asking = tasks.create_task(client.ask(timeout=PATIENCE), name="ask")
        assert (await world.event("subscribe", RDS)).names == ["route/orders:50051"]
        await world.server.converged(timeout=PATIENCE)
        assert not [event for event in world.server.timeline.events() if event.kind == "send" and event.type == "RDS"]
        world.server.put(*everything("orders:50051", await world.backend("one")))
        assert await asking == {TARGET: ("OK", "one")}


@pytest.mark.case(145)
async def test_a_refusal_is_seen_and_calls_go_on_as_before(tmp_path):
    with pytest.raises(xds_server.Inconsistent, match=r"endpoint 127\.0\.0\.1:1 is there twice"):
        XdsServer(checks=[xds_server.refused_by_grpc]).put(endpoints("orders:50051", 1, 1))
    async with world_in(tmp_path, checks=()) as world:
        world.server.put(*everything("orders:50051", port := await world.backend("one")))
        client = await world.client()
        await client.until("one")
        world.server.put(endpoints("orders:50051", port, port))
        nack = await world.event("nack", EDS)
        assert (nack.proxy, nack.names) == ("shop#1", ["svc/orders:50051"])
        assert "duplicate endpoint address" in nack.error
        assert await client.ask() == {TARGET: ("OK", "one")}
        with pytest.raises(xds_server.NotConverged, match="EDS NACKed: svc/orders:50051"):
            await world.server.converged(timeout=0.1)
        world.server.put(endpoints("orders:50051", await world.backend("two")))
        await client.until("two")
        await world.server.converged(timeout=PATIENCE)


async def test_a_control_plane_that_comes_back_finds_its_clients_again(world):
    world.server.put(*everything("orders:50051", await world.backend("one")))
    client = await world.client()
    await client.until("one")
    await world.server.stop(0)
    assert await client.ask() == {TARGET: ("OK", "one")}
    another = XdsServer()
    another.put(*everything("orders:50051", await world.backend("two")))
    await world.restart(another)
    assert await client.until("two") == 0


@pytest.mark.case(146)
async def test_a_server_gets_its_listener_and_loses_it(world):
    """A36: the address is the one that it asked for, one manager, routes that forward nowhere."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    name = f"grpc/server?xds.resource.listening_address={address}"
    process = await world.start("grpc_server.py", address, node="server")
    subscribed = await world.event("subscribe", LDS)
    assert subscribed.names == [name]
    async with grpc.aio.insecure_channel(address) as channel:
        say = channel.unary_unary("/test.Echo/Say")
        with pytest.raises(grpc.aio.AioRpcError):
            await say(b"", timeout=0.5)
        with pytest.raises(xds_server.Inconsistent, match="asks for the one that it listens at"):
            world.server.put(server_listener(name, port + 1))
        world.server.put(server_listener(name, port))
        assert await say(b"", timeout=PATIENCE, wait_for_ready=True) == b"served"
        await world.server.converged(timeout=PATIENCE)
        assert (await process.stdout.readline()) == b"serving\n"
        world.server.remove(LDS, name)
        async with asyncio.timeout(PATIENCE):
            while await code_of(say) is not grpc.StatusCode.UNAVAILABLE:
                pass


async def code_of(say):
    try:
        await say(b"", timeout=1)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def server_listener(name, port):
    here = routes.Route(match=routes.RouteMatch(prefix="/"), non_forwarding_action=routes.NonForwardingAction())
    table = routes.RouteConfiguration(
        name="inline", virtual_hosts=[routes.VirtualHost(name="all", domains=["*"], routes=[here])]
    )
    manager = hcm.HttpConnectionManager(route_config=table, http_filters=[ROUTER])
    return listeners.Listener(
        name=name,
        address=core.Address(socket_address=core.SocketAddress(address="127.0.0.1", port_value=port)),
        filter_chains=[listeners.FilterChain(filters=[listeners.Filter(name="http", typed_config=Any.pack(manager))])],
    )


@pytest.mark.case(146)
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ({"listener_filters": [listeners.ListenerFilter(name="x")]}, "listener_filters are not supported"),
        ({"use_original_dst": True}, "use_original_dst is not supported"),
        ({"filter_chains": []}, "it has no filter chain"),
        ({"filter_chains": [listeners.FilterChain()]}, "a filter chain must have one filter, an HttpConnectionManager"),
        ({"address": None}, "it has neither an api_listener"),
        ({"name": "grpc/server?x=127.0.0.1:2"}, "its address is 127.0.0.1:1, and a server asks for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_listeners_that_a_server_would_refuse_are_told(spoil, problem):
    message = server_listener("grpc/server?x=127.0.0.1:1", 1)
    for field, value in spoil.items():
        setattr(message, field, value)
    server = XdsServer(checks=[xds_server.refused_by_grpc])
    with pytest.raises(xds_server.Inconsistent, match=problem):
        server.put(message)
