"""Our wire-compatible assignment is the one that envoy_data_plane would write."""

import pytest
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint

from tsunagu.mesh.localities import Locality
from tsunagu.translate.endpoints import load_assignment


def by_envoy_data_plane(name, localities):
    return endpoint.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint.LocalityLbEndpoints(
                locality=core.Locality(region="local", zone=one.zone, sub_zone=one.revision),
                lb_endpoints=[host(*address) for address in one.endpoints],
                load_balancing_weight=one.weight or None,
                priority=one.priority,
            )
            for one in localities
        ],
    )


def host(ip, port):
    address = core.Address(socket_address=core.SocketAddress(address=ip, port_value=port))
    return endpoint.LbEndpoint(endpoint=endpoint.Endpoint(address=address))


def locality(zone, revision, priority, weight, count):
    endpoints = tuple((f"10.9.{number // 250}.{number % 250}", 1 + number * 327) for number in range(count))
    return Locality(zone, revision, priority, weight, endpoints)


@pytest.mark.parametrize(
    "localities",
    [
        (),
        (locality("", "default/orders/a1", 0, 1, 1),),
        (locality("", "default/orders/a1", 0, 200, 200),),
        (locality("a", "default/orders/a1", 0, 3, 3), locality("b", "default/orders/a1", 1, 2, 2)),
        (locality("", "default/orders/a1", 0, 2**31, 1), locality("", "default/orders/b2", 0, 0, 1)),
    ],
)
def test_it_equals_envoy_data_planes(localities):
    ours = load_assignment("svc/shop/orders", localities)
    theirs = by_envoy_data_plane("svc/shop/orders", localities)
    assert endpoint.ClusterLoadAssignment.parse(ours) == theirs
    assert ours == bytes(theirs)
