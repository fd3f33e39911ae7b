"""Each type has a service of its own beside the aggregated one, in both variants."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import grpc
import grpc.aio
import pytest

from tests.conformance.xds_edge import edge, resource  # noqa: F401  # edge is a fixture
from tsunagu.v1 import discovery_pb2
from tsunagu.xds.resources import SHORT

pytestmark = pytest.mark.parametrize("variant", ["delta", "sotw"])

SERVICES = [
    ("CDS", "cluster.v3.ClusterDiscoveryService", "Clusters"),
    ("EDS", "endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    ("SDS", "secret.v3.SecretDiscoveryService", "Secrets"),
    ("LDS", "listener.v3.ListenerDiscoveryService", "Listeners"),
    ("RDS", "route.v3.RouteDiscoveryService", "Routes"),
    ("SRDS", "route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"),
    ("VHDS", "route.v3.VirtualHostDiscoveryService", "VirtualHosts"),
    ("ECDS", "extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
    ("RTDS", "runtime.v3.RuntimeDiscoveryService", "Runtime"),
]


@pytest.mark.case(100, 101)
@pytest.mark.parametrize(("short", "service", "suffix"), SERVICES, ids=[row[0] for row in SERVICES])
async def test_each_type_has_its_service(edge, short, service, suffix):
    """Without a type_url it serves its own type, with another's it refuses."""
    url = SHORT[short]
    edge.publish(resource(url, "x"))
    delta = edge.variant == "delta"
    request = discovery_pb2.DeltaDiscoveryRequest if delta else discovery_pb2.DiscoveryRequest
    response = discovery_pb2.DeltaDiscoveryResponse if delta else discovery_pb2.DiscoveryResponse
    names = {"resource_names_subscribe" if delta else "resource_names": ["x"]}
    node = discovery_pb2.Node(id="p")
    async with grpc.aio.insecure_channel(edge.address) as channel:
        method = channel.stream_stream(f"/envoy.service.{service}/{'Delta' if delta else 'Stream'}{suffix}")
        call = method()
        await call.write(request(node=node, **names).SerializeToString())
        answer = response.FromString(await call.read())
        assert (answer.type_url, len(answer.resources)) == (url, 1)
        call.cancel()
        wrong = method()
        await wrong.write(request(node=node, type_url="type.googleapis.com/other", **names).SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError, match="this service serves"):
            await wrong.read()
        assert await wrong.code() is grpc.StatusCode.INVALID_ARGUMENT
