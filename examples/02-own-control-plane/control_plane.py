"""A control plane of one's own: Envoy's port 10000 leads to the addresses in a file, and follows it when it changes."""

import asyncio
import sys
from pathlib import Path

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterEdsClusterConfig
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.google.protobuf import Any

from tsunagu import XdsServer, dangling

FILE = Path(sys.argv[1])  # a line HOST:PORT for each server
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
TO_APP = Filter(name="to app", typed_config=Any.pack(TcpProxy(stat_prefix="app", cluster="app")))


def address(text: str) -> Address:
    host, port = text.split(":")
    return Address(socket_address=SocketAddress(address=host, port_value=int(port)))


def endpoints() -> ClusterLoadAssignment:
    hosts = [LbEndpoint(endpoint=Endpoint(address=address(line))) for line in FILE.read_text().split()]
    return ClusterLoadAssignment(cluster_name="app", endpoints=[LocalityLbEndpoints(lb_endpoints=hosts)])


async def follow(server: XdsServer) -> None:
    while True:
        server.put(endpoints())  # what has not changed is not sent
        await asyncio.sleep(0.2)


async def main() -> None:
    server = XdsServer(checks=[dangling])
    eds = ClusterEdsClusterConfig(eds_config=ADS)
    cluster = Cluster(name="app", type=ClusterDiscoveryType.EDS, eds_cluster_config=eds)
    front = Listener(name="front", address=address("0.0.0.0:10000"), filter_chains=[FilterChain(filters=[TO_APP])])
    server.put(front, cluster, endpoints())
    await server.start("127.0.0.1:18000")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(server), name="follow the file")
        async for event in server.events():
            print(event.proxy, event.kind, event.type, *event.names, event.error or event.detail, flush=True)


asyncio.run(main())
