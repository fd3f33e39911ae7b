"""Our wire-compatible assignment is the one that envoy_data_plane would write."""

import pytest
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint

from tsunagu.translate.endpoints import load_assignment


def by_envoy_data_plane(name, endpoints):
    hosts = [
        endpoint.LbEndpoint(
            endpoint=endpoint.Endpoint(
                address=core.Address(socket_address=core.SocketAddress(address=ip, port_value=port))
            )
        )
        for ip, port in endpoints
    ]
    group = endpoint.LocalityLbEndpoints(
        locality=core.Locality(region="local"), lb_endpoints=hosts, load_balancing_weight=1
    )
    return endpoint.ClusterLoadAssignment(cluster_name=name, endpoints=[group] if hosts else [])


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_it_equals_envoy_data_planes(count):
    endpoints = tuple((f"10.9.{number // 250}.{number % 250}", 1 + number * 327) for number in range(count))
    ours = load_assignment("svc/shop/orders", endpoints)
    theirs = by_envoy_data_plane("svc/shop/orders", endpoints)
    assert endpoint.ClusterLoadAssignment.parse(ours) == theirs
    assert ours == bytes(theirs)
