"""Conformance cases that only a real Envoy can decide: servers that go and come back, secrets, updates in place."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import pytest
from envoy_data_plane.google.protobuf import Any

from tests.e2e.xds_lab import (  # noqa: F401  # fixtures among them
    ADS,
    PATIENCE,
    address,
    assignment,
    backends,
    cluster,
    get,
    lab,
    listener,
    route,
    sockets,
)  # fmt: skip
from tsunagu.testing.ports import free_port
from tsunagu.xds.resources import CDS, LDS, SDS, Resource

pytestmark = pytest.mark.e2e

CA = Path(__file__).parents[1] / "unit/serve/library/certificates/ca.pem"


def secret(name: str, pem: str) -> Resource:
    context = tls.CertificateValidationContext(trusted_ca=core.DataSource(inline_string=pem))
    return Resource.of(SDS, name, bytes(tls.Secret(name=name, validation_context=context)))


def encrypted(name: str, ca: str) -> Resource:
    """A cluster that checks its endpoint by a secret."""
    wanted = tls.SdsSecretConfig(name=ca, sds_config=ADS)
    context = tls.UpstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(validation_context_sds_secret_config=wanted)
    )
    host = endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address(1)))
    message = clusters.Cluster(
        name=name,
        type=clusters.ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=endpoints.ClusterLoadAssignment(
            cluster_name=name, endpoints=[endpoints.LocalityLbEndpoints(lb_endpoints=[host])]
        ),
        transport_socket=core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context)),
    )
    return Resource.of(CDS, name, bytes(message))


def chain(source: str, answer: str) -> listeners.FilterChain:
    """Answers whoever calls from this address."""
    reply = routes.DirectResponseAction(status=200, body=core.DataSource(inline_string=answer))
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), direct_response=reply)
    config = routes.RouteConfiguration(
        name=source, virtual_hosts=[routes.VirtualHost(name="all", domains=["*"], routes=[everything])]
    )
    manager = hcm.HttpConnectionManager(
        stat_prefix=f"from_{source}",
        route_config=config,
        http_filters=[hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router()))],
    )
    only = core.CidrRange(address_prefix=source, prefix_len=32)
    return listeners.FilterChain(
        name=source,
        filter_chain_match=listeners.FilterChainMatch(source_prefix_ranges=[only]),
        filters=[listeners.Filter(name="hcm", typed_config=Any.pack(manager))],
    )


def two_chains(port: int, *chains: listeners.FilterChain) -> Resource:
    message = listeners.Listener(name="l", address=address(port), filter_chains=list(chains))
    return Resource.of(LDS, "l", bytes(message))


@pytest.mark.case(97)
@pytest.mark.pitfall("P28")
async def test_a_changed_filter_chain_leaves_connections_of_the_others_alone(lab):
    port = free_port()
    await lab.serve()
    lab.publish(two_chains(port, chain("127.0.0.1", "mine"), chain("127.0.0.2", "1")))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.1", 0))

    async def ask() -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(4)

    async with asyncio.timeout(PATIENCE):
        assert await ask() == b"mine"
        lab.publish(two_chains(port, chain("127.0.0.1", "mine"), chain("127.0.0.2", "2")))
        await lab.converged()
        await lab.until("listener_manager.listener_in_place_updated", 1)
        await lab.until("listener_manager.total_filter_chains_draining", 1)
        assert await ask() == b"mine"  # on the same connection
    writer.close()


@pytest.mark.case(85)
@pytest.mark.pitfall("P11")
async def test_traffic_goes_on_without_a_server_and_its_successor_is_followed(lab, backends):
    port = free_port()
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", backends[0]), listener("l", port, route="r"), route("r", "x"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    answers: set[bytes] = set()
    away = True

    async def call() -> None:
        while away:
            answers.add(await get(port))

    async with asyncio.TaskGroup() as group:
        group.create_task(call())
        await lab.server.stop(0.1)
        await lab.until("control_plane.connected_state", 0)
        await lab.serve(synced=False)
        moved = assignment("x", backends[1])
        lab.publish(cluster("x"), moved, listener("l", port, route="r"), route("r", "x"))
        lab.server.mark_synced()
        await lab.converged()
        away = False
    assert await get(port) == b"200 y"
    assert answers <= {b"200 x", b"200 y"}
    assert await lab.stat("listener_manager.listener_modified") == 0


@pytest.mark.case(118)
@pytest.mark.pitfall("P34")
async def test_who_comes_long_before_the_state_is_known_has_it_soon_after(lab):
    """Refused first, then let in and left without an answer: neither makes Envoy stay away for long (docs/protocol.md 12)."""
    async with asyncio.timeout(PATIENCE):
        while await lab.stat("cluster.xds.upstream_cx_connect_fail") < 4:  # noqa: ASYNC110  # Envoy tells nobody
            await asyncio.sleep(0.01)
    await lab.serve(synced=False)
    await lab.event("subscribe", CDS)
    lab.publish(cluster("x"), assignment("x", 1))
    lab.server.mark_synced()
    await lab.converged()


@pytest.mark.case("142c")
@pytest.mark.pitfall("P37")
@pytest.mark.parametrize("sockets", [("xds.sock", "xds2.sock")])
async def test_of_two_servers_one_dies_and_nothing_changes(lab):
    """The other one is an endpoint of the same cluster: xds_failover never came back (P37)."""
    content = (cluster("x"), assignment("x", 1))
    first = await lab.serve()
    lab.publish(*content)
    await lab.converged()
    await lab.serve(socket="xds2.sock")
    lab.publish(*content)
    await first.stop(0)
    await lab.converged()
    assert await lab.stat("cluster_manager.cluster_modified") == 0
    assert await lab.stat("cluster_manager.cluster_added") == 2  # xds and x, once each


@pytest.mark.case("142a")
@pytest.mark.pitfall("P36")
async def test_after_a_refused_secret_a_new_cluster_can_use_the_last_good_one(lab):
    await lab.serve()
    lab.publish(encrypted("a", "ca"), secret("ca", CA.read_text()))
    await lab.converged()
    lab.publish(secret("ca", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"))
    await lab.event("nack", SDS)
    before = lab.timeline.last
    lab.publish(encrypted("b", "ca"))
    await lab.event("ack", CDS, before)
    await lab.until("cluster_manager.cluster_added", 3)  # xds, a, b
    kinds = {kind.type: kind.state for kind in lab.server.proxies()[0].types}
    assert kinds["CDS"] == "SYNCED"
    assert kinds["SDS"] == "NACKED"  # what it was to have is refused, whatever it has instead
