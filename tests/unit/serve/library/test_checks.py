"""Checks: what refers to what is not there, and what gRPC would refuse, is refused before it is offered."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterEdsClusterConfig
from envoy_data_plane.envoy.config.core.v3 import AggregatedConfigSource, ConfigSource
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager, Rds
from envoy_data_plane.google.protobuf import Any

from tsunagu.serve.library import xds_server
from tsunagu.serve.library.xds_server import CDS, EDS, Inconsistent, XdsServer
from tsunagu.v1.endpoint_pb2 import ClusterLoadAssignment


def cluster(name, note=""):
    """Of type EDS: who asks for its endpoints is given none where there are none."""
    config = ClusterEdsClusterConfig(eds_config=ConfigSource(ads=AggregatedConfigSource()))
    return Cluster(name=name, type=ClusterDiscoveryType.EDS, eds_cluster_config=config, alt_stat_name=note)


def plain(name):
    """One that refers to nothing."""
    return Cluster(name=name)


def endpoints(name):
    return ClusterLoadAssignment(cluster_name=name)


def filtered_listener(name, route):
    """One that asks for its routes over the same stream."""
    rds = Rds(config_source=ConfigSource(ads=AggregatedConfigSource()), route_config_name=route)
    chain = FilterChain(filters=[Filter(name="hcm", typed_config=Any.pack(HttpConnectionManager(rds=rds)))])
    return Listener(name=name, filter_chains=[chain])


def route(name, to):
    routes = [Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=to))]
    return RouteConfiguration(name=name, virtual_hosts=[VirtualHost(name="all", domains=["*"], routes=routes)])


def names(server, group=xds_server.EVERYONE):
    return [one.name for one in server.resources(group)]


def checked(*checks):
    server = XdsServer(checks=checks or [xds_server.no_dangling("EDS")])
    server.put(cluster("a"), endpoints("a"))
    return server


@pytest.mark.case(96)
def test_what_dangles_is_refused_by_name_and_nothing_is_changed():
    server = checked()
    with pytest.raises(Inconsistent) as caught:
        server.put(cluster("b"), plain("c"))
    assert caught.value.problems == ("CDS 'b' of 'everyone' refers to EDS 'b', which is not there",)
    assert (names(server), server.revision) == (["a", "a"], 1)
    server.put(cluster("b"), endpoints("b"))
    assert names(server) == ["a", "b", "a", "b"]


def test_what_is_still_referred_to_cannot_go():
    server = checked()
    with pytest.raises(Inconsistent, match="CDS 'a' of 'everyone' refers to EDS 'a', which is not there"):
        server.remove(EDS, "a")
    with pytest.raises(Inconsistent, match="refers to EDS 'a'"):
        server.replace(cluster("a"))
    with server.change() as change:
        change.remove(EDS, "a")
        change.remove(CDS, "a")
    assert names(server) == []


def test_a_changed_referrer_is_judged_by_what_it_is_now():
    server = checked()
    with server.change() as change:
        change.put(plain("a"))
        change.remove(EDS, "a")
    assert names(server) == ["a"]


def test_another_group_may_have_what_is_referred_to():
    server = checked()
    server.put(endpoints("b"), group="shared")
    server.put(cluster("b"), group="left")
    with pytest.raises(Inconsistent, match="CDS 'b' of 'left'"):
        server.remove(EDS, "b", group="shared")


def test_a_cluster_without_an_assignment_is_the_servers_to_answer():
    server = XdsServer(checks=[xds_server.dangling, xds_server.dangling_clusters])
    server.put(cluster("a"))
    server.remove(EDS, "a")
    assert names(server) == ["a"]


def test_a_fault_that_two_checks_find_is_told_once():
    server = XdsServer(checks=[xds_server.dangling, xds_server.dangling_clusters])
    with pytest.raises(Inconsistent) as caught:
        server.put(filtered_listener("front", route="r"))
    assert caught.value.problems == ("LDS 'front' of 'everyone' refers to RDS 'r', which is not there",)


@pytest.mark.case(96)
def test_routes_to_clusters_are_a_check_of_their_own():
    server = checked(xds_server.dangling)
    server.put(route("r", "of the bootstrap"))
    server = checked(xds_server.dangling_clusters)
    with pytest.raises(Inconsistent, match="RDS 'r' of 'everyone' refers to CDS 'nowhere'"):
        server.put(route("r", "nowhere"))
    server.put(route("r", "a"))
    with pytest.raises(Inconsistent, match="RDS 'r' of 'everyone' refers to CDS 'a'"):
        server.replace(route("r", "a"), endpoints("a"))


@pytest.mark.case(145)
def test_what_a_grpc_client_would_refuse_can_be_checked():
    server = XdsServer(checks=[xds_server.refused_by_grpc])
    hosts = endpoints("a")
    hosts.endpoints.add(priority=1).lb_endpoints.add().endpoint.address.socket_address.address = "localhost"
    with pytest.raises(Inconsistent) as caught:
        server.put(hosts)
    assert caught.value.problems == (
        "EDS 'a' of 'everyone': locality -/-/- has no locality message",
        "EDS 'a' of 'everyone': locality -/-/- is ignored, for it has no load_balancing_weight",
        "EDS 'a' of 'everyone': priorities must be 0 to N without gaps, and are 1",
        "EDS 'a' of 'everyone': endpoint address 'localhost' is no IP",
    )


def test_a_check_of_ones_own():
    def no_more_than_two(proposal):
        if len(proposal.upserts) > 2:
            yield f"{len(proposal.upserts)} at once"

    server = XdsServer(checks=[no_more_than_two])
    server.put(cluster("a"), cluster("b"))
    with pytest.raises(Inconsistent, match=r"^3 at once$"):
        server.put(cluster("c"), cluster("d"), cluster("e"))
    server.put(cluster("a"), cluster("b"), cluster("c"))  # two of them are there already
