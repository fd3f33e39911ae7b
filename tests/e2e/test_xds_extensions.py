"""ECDS on a real Envoy: a listener whose filter comes over the stream, changes, is refused, and is not there at all.

The filter is that of an AccessPolicy, whose default refuses everything: who is served has met the filter that was sent.
"""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import contextlib

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.rbac.v3 as rbac
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.rbac.v3 as http_rbac
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.type.matcher.v3 as matchers
import pytest
from envoy_data_plane.google.protobuf import Any

from tests.e2e.xds_lab import PATIENCE, address, free_port, lab, sockets  # noqa: F401  # fixtures among them
from tsunagu.mesh.access.words import OPEN
from tsunagu.translate.codec import Codec
from tsunagu.translate.secured import access
from tsunagu.xds.resources import ECDS, LDS, Resource

pytestmark = pytest.mark.e2e

SERVICE, PORT = "default/orders", "web"
NAME = "access/default/orders/web"


def guarded(name: str, port: int) -> Resource:
    """A listener that answers by itself, behind the filter of an AccessPolicy."""
    answer = routes.DirectResponseAction(status=200)
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), direct_response=answer)
    host = routes.VirtualHost(name="all", domains=["*"], routes=[everything])
    manager = hcm.HttpConnectionManager(
        stat_prefix=name,
        route_config=routes.RouteConfiguration(name=name, virtual_hosts=[host]),
        http_filters=[
            access.http_filter(SERVICE, PORT),
            hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router())),
        ],
    )
    chain = listeners.FilterChain(filters=[listeners.Filter(name="hcm", typed_config=Any.pack(manager))])
    return Resource.of(LDS, name, bytes(listeners.Listener(name=name, address=address(port), filter_chains=[chain])))


def open_filter() -> Resource:
    return access.build_http(Codec(), access.PortAccess(SERVICE, PORT, OPEN, "tsunagu.local"))


def filter_of(permission: rbac.Permission) -> Resource:
    """The filter with one rule, for whoever it is."""
    policy = rbac.Policy(permissions=[permission], principals=[rbac.Principal(any=True)])
    config = http_rbac.Rbac(rules=rbac.Rbac(policies={"one": policy}))
    message = core.TypedExtensionConfig(name=NAME, typed_config=Any.pack(config))
    return Resource.of(ECDS, NAME, bytes(message))


def for_path(path: str) -> rbac.Permission:
    return rbac.Permission(url_path=matchers.PathMatcher(path=matchers.StringMatcher(exact=path)))


def broken_filter() -> Resource:
    matcher = matchers.StringMatcher(safe_regex=matchers.RegexMatcher(regex="("))
    return filter_of(rbac.Permission(url_path=matchers.PathMatcher(path=matcher)))


async def status(port: int, path: str = "/") -> int:
    """The status of one request; 0: nobody listens there."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return int(line.split()[1]) if line else 0
    return 0


async def until_status(port: int, wanted: int, path: str = "/") -> set[int]:
    """Ask until the status is the wanted one; return the others that there were."""
    others = set()
    async with asyncio.timeout(PATIENCE):
        while (found := await status(port, path)) != wanted:
            others.add(found)
            await asyncio.sleep(0.005)
    return others


async def test_who_comes_first_meets_the_filter_that_was_sent_and_never_its_default(lab):
    port = free_port()
    await lab.serve()
    lab.publish(guarded("l", port), open_filter())
    assert await until_status(port, 200) <= {0}
    await lab.converged()


@pytest.mark.case(163)
async def test_a_listener_waits_for_its_filter(lab):
    port = free_port()
    await lab.serve()
    lab.publish(guarded("l", port))
    await lab.event("subscribe", ECDS)
    assert await status(port) == 0
    lab.publish(open_filter())
    assert await until_status(port, 200) <= {0}


@pytest.mark.case(163)
async def test_without_its_filter_it_refuses_everything(lab):
    port = free_port()
    await lab.serve()
    lab.publish(guarded("l", port))
    assert await until_status(port, 403) <= {0}
    lab.publish(open_filter())
    await until_status(port, 200)


@pytest.mark.case(164)
async def test_a_change_of_the_filter_touches_no_listener(lab):
    port = free_port()
    await lab.serve()
    lab.publish(guarded("l", port), open_filter())
    await until_status(port, 200)
    for number in range(5):
        lab.publish(filter_of(for_path(f"/{number}")))
        await lab.converged()
        assert [await status(port, f"/{one}") for one in (number, number + 1)] == [200, 403]
    assert await lab.stat("listener_manager.listener_modified") == 0
    assert await lab.stat("listener_manager.listener_in_place_updated") == 0
    assert await lab.stat("listener_manager.listener_create_success") == 1


@pytest.mark.case(162)
async def test_a_refused_filter_leaves_the_one_before_in_force(lab):
    port, other = free_port(), free_port()
    await lab.serve()
    lab.publish(guarded("l", port), filter_of(for_path("/a")))
    await until_status(port, 200, "/a")
    lab.publish(broken_filter())
    await lab.event("nack", ECDS)
    assert [await status(port, path) for path in ("/a", "/b")] == [200, 403]
    lab.publish(guarded("m", other))
    assert await until_status(other, 200, "/a") <= {0}  # a listener that comes later has it too
    lab.publish(filter_of(for_path("/b")))
    await until_status(port, 200, "/b")
    await until_status(other, 200, "/b")


@pytest.mark.case(164)
async def test_a_change_while_no_server_was_there_comes_with_the_next_one(lab):
    port = free_port()
    await lab.serve()
    lab.publish(guarded("l", port), filter_of(for_path("/a")))
    await until_status(port, 200, "/a")
    await lab.server.stop(0.1)
    assert [await status(port, path) for path in ("/a", "/b")] == [200, 403]
    await lab.serve()
    lab.publish(guarded("l", port), filter_of(for_path("/b")))
    await until_status(port, 200, "/b")
    assert await status(port, "/a") == 403
    assert await lab.stat("listener_manager.listener_modified") == 0
