"""Resources on demand: a real Envoy asks for the virtual host of a request when the request comes."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.on_demand.v3 as on_demand
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import pytest
from envoy_data_plane.google.protobuf import Any

from tests.e2e.xds_lab import ADS, PATIENCE, address, assignment, backends, cluster, lab, sockets  # noqa: F401  # fixtures among them
from tsunagu import XdsServer, resource
from tsunagu.testing.ports import free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.envoy,
    pytest.mark.parametrize("lab", ["DELTA_GRPC"], indirect=True),
]


def front(port):
    """A listener whose route `r` has its virtual hosts on demand."""
    filters = [
        hcm.HttpFilter(name="envoy.filters.http.on_demand", typed_config=Any.pack(on_demand.OnDemand())),
        hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router())),
    ]
    manager = hcm.HttpConnectionManager(
        stat_prefix="front", rds=hcm.Rds(config_source=ADS, route_config_name="r"), http_filters=filters
    )
    chain = listeners.FilterChain(filters=[listeners.Filter(name="hcm", typed_config=Any.pack(manager))])
    return listeners.Listener(name="front", address=address(port), filter_chains=[chain])


def route():
    source = core.ConfigSource(
        ads=core.AggregatedConfigSource(),
        resource_api_version=core.ApiVersion.V3,
        initial_fetch_timeout=timedelta(seconds=0.2),  # what comes on demand comes at no other time
    )
    return routes.RouteConfiguration(name="r", vhds=routes.Vhds(config_source=source))


def virtual_host(name, *domains, to="x"):
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), route=routes.RouteAction(cluster=to))
    host = routes.VirtualHost(name=f"r/{name}", domains=list(domains), routes=[everything])
    return resource(host, aliases=[f"r/{domain}" for domain in domains])


async def listening(port):
    """Until Envoy listens: it waits for its first virtual hosts, or as long as the fetch timeout says."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


async def ask(port, host):
    """Status and body of a request for a host."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        body = (await reader.readexactly(length)).decode()
        writer.close()
    return f"{head[9:12]} {body}".strip()


@pytest.fixture
async def world(lab, backends):
    """A server, and the port of an Envoy that has a route without virtual hosts."""
    async with XdsServer(signals=()) as server:
        port = free_port()
        server.put(front(port), route(), cluster("x"), assignment("x", backends[0]))
        await server.start(f"unix:{lab.folder}/xds.sock")
        await server.converged("p", timeout=PATIENCE)
        await listening(port)
        yield server, port


@pytest.mark.case(147)
@pytest.mark.variant("delta")
async def test_a_virtual_host_is_found_by_its_domains(world):
    server, port = world
    server.put(virtual_host("shop", "shop.example", "www.shop.example"))
    assert await ask(port, "shop.example") == "200 x"
    assert await ask(port, "www.shop.example") == "200 x"
    await server.converged("p", timeout=PATIENCE)


@pytest.mark.case(148)
@pytest.mark.variant("delta")
async def test_a_host_that_nobody_has_is_a_404_at_once_until_it_is_there(world):
    server, port = world
    assert await ask(port, "nobody.example") == "404"  # or it would wait until the client gives up
    server.put(virtual_host("nobody", "nobody.example"))
    await server.converged("p", timeout=PATIENCE)
    assert await ask(port, "nobody.example") == "200 x"


@pytest.mark.case(147)
@pytest.mark.variant("delta")
async def test_a_virtual_host_that_is_removed_is_a_404_again(world):
    server, port = world
    server.put(virtual_host("shop", "shop.example"))
    assert await ask(port, "shop.example") == "200 x"
    server.remove("VHDS", "r/shop")
    await server.converged("p", timeout=PATIENCE)
    assert await ask(port, "shop.example") == "404"


@pytest.mark.variant("delta")
async def test_a_host_can_be_made_when_the_first_request_asks_for_it(lab, backends):
    """The request waits for the answer, and so does the answer for `on_missing`."""

    def make(missing):
        if missing.type == "VHDS":
            name = missing.name.removeprefix("r/")
            server.put(virtual_host(f"made for {name}", name))

    async with XdsServer(on_missing=make, signals=()) as server:
        port = free_port()
        server.put(front(port), route(), cluster("x"), assignment("x", backends[0]))
        await server.start(f"unix:{lab.folder}/xds.sock")
        await listening(port)
        assert await ask(port, "new.example") == "200 x"
