"""Real Envoys that withhold their answers because a cluster warms: under load, with what they wait for taken away.

Every cluster here waits for ever for what it lacks (`initial_fetch_timeout: 0`), so what a server leaves unanswered is
stuck, and not right after 15 s by itself.
"""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import timedelta

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 as tcp
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import pytest
from envoy_data_plane.google.protobuf import Any

from tests.e2e.xds_lab import (  # noqa: F401  # fixtures among them
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
from tsunagu.xds import order
from tsunagu.xds.resources import CDS, EDS, LDS, Resource
from tsunagu.xds.waits import Waits
from tsunagu.xds.watch import Deferral

pytestmark = pytest.mark.e2e

GAPS = (
    0.0,
    0.0005,
    0.001,
    0.002,
    0.002,
    0.004,
)  # s between two swaps: the second comes while Envoy warms for the first
SWAP = 0.002  # s between two changes
HEALED = 60.0  # s after the last change, on a busy machine: what is stuck is stuck for ever
OTHERS = 80


def inline(name: str, port: int, *, to: str) -> Resource:
    """A listener whose routes are in it."""
    everything = routes.Route(match=routes.RouteMatch(prefix="/"), route=routes.RouteAction(cluster=to))
    host = routes.VirtualHost(name="all", domains=["*"], routes=[everything])
    manager = hcm.HttpConnectionManager(
        stat_prefix="inline",
        route_config=routes.RouteConfiguration(name="inline", virtual_hosts=[host]),
        http_filters=[hcm.HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(router.Router()))],
    )
    return _listener(name, port, listeners.Filter(name="hcm", typed_config=Any.pack(manager)))


def proxy(name: str, port: int, *, to: str) -> Resource:
    """A listener that forwards TCP."""
    config = tcp.TcpProxy(stat_prefix="tcp", cluster=to)
    return _listener(name, port, listeners.Filter(name="tcp", typed_config=Any.pack(config)))


def _listener(name: str, port: int, one: listeners.Filter) -> Resource:
    message = listeners.Listener(name=name, address=address(port), filter_chains=[listeners.FilterChain(filters=[one])])
    return Resource.of(LDS, name, bytes(message))


def with_secret(name: str, secret: str) -> Resource:
    """A cluster that is not warm before it has a secret."""
    source = core.ConfigSource(
        ads=core.AggregatedConfigSource(),
        resource_api_version=core.ApiVersion.V3,
        initial_fetch_timeout=timedelta(0),
    )
    context = tls.UpstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(
            validation_context_sds_secret_config=tls.SdsSecretConfig(name=secret, sds_config=source)
        )
    )
    message = clusters.Cluster(
        name=name,
        type=clusters.ClusterDiscoveryType.EDS,
        eds_cluster_config=clusters.ClusterEdsClusterConfig(eds_config=source),
        connect_timeout=timedelta(seconds=1),
        transport_socket=core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context)),
    )
    return Resource.of(CDS, name, bytes(message))


ROADS = {
    "rds": lambda port, to: (listener("l", port, route="r"), route("r", to)),
    "inline": lambda port, to: (inline("l", port, to=to),),
    "tcp": lambda port, to: (proxy("l", port, to=to),),
}


class Load:
    """Requests one after the other for as long as the block lasts; counts the answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = False
        self.answers: Counter[str] = Counter()

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run(), name="load")
        return self

    async def __aexit__(self, *_):
        self._ended = True
        await self._task

    async def _run(self) -> None:
        while not self._ended:
            try:
                async with asyncio.timeout(60):
                    answer = await self._ask()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                answer = type(error).__name__
            self.answers[answer] += 1

    async def _ask(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            return f"{head[9:12].decode()} {(await reader.readexactly(length)).decode()}"
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def some(self, number: int = 20) -> None:
        """Wait until so many more are answered."""
        wanted = self.answers.total() + number
        async with asyncio.timeout(60):
            while self.answers.total() < wanted:  # noqa: ASYNC110  # counted elsewhere
                await asyncio.sleep(0.005)


async def healed(lab) -> None:
    """Converged: what is not, is named."""
    assert await lab.server.wait(lab.revision, lambda: ["p"], HEALED) == []


async def start(lab, backends, road: str = "rds") -> int:
    """Serve a listener that leads to the first cluster, and wait until it does."""
    port = free_port()
    await lab.serve()
    lab.publish(cluster("c0"), assignment("c0", backends[0]), *ROADS[road](port, "c0"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    return port


@pytest.mark.case(157)
@pytest.mark.parametrize("road", ROADS)
async def test_two_swaps_at_once_lose_no_request(lab, backends, road):
    """Each change is consistent: a new cluster, its endpoints, the way to it, and the old cluster is gone."""
    # How long a server keeps to the order while a client does not answer is shown by unit tests; here the machine may be busy.
    lab.waits = Waits(warming=60.0, warming_total=60.0, connections=2.0)
    port = await start(lab, backends, road)
    async with Load(port) as load:
        await load.some()
        for number, pause in enumerate(pause for gap in GAPS for pause in (gap, 0.1)):
            old, new = f"c{number}", f"c{number + 1}"
            lab.publish(
                cluster(new),
                assignment(new, backends[number % 2]),
                *ROADS[road](port, new),
                removals=((CDS, old), (EDS, old)),
            )
            await asyncio.sleep(pause)
        await healed(lab)
        await load.some()

    assert set(load.answers) <= {"200 x", "200 y"}, load.answers
    assert await lab.stat("cluster_manager.warming_clusters") == 0


@pytest.mark.case(158)
async def test_a_server_without_the_warming_cluster_frees_it(lab, backends, monkeypatch):
    """Envoy comes to a server that never had the cluster, and first asks for what that waits for."""
    port = await start(lab, backends)
    async with Load(port) as load:
        with monkeypatch.context() as broken:  # the first server dies before it has answered
            broken.setitem(order._RULES, EDS, lambda moment, _: Deferral(upserts_until=moment.now + 60))
            lab.publish(cluster("w"), assignment("w", backends[0]))
            await lab.until("cluster_manager.warming_clusters", 1)
            await lab.server.stop(0.1)
        await lab.serve()
        lab.publish(cluster("c0"), assignment("c0", backends[0]), *ROADS["rds"](port, "c0"))
        await lab.until("cluster_manager.warming_clusters", 0)
        await lab.converged()
        await load.some()

    assert set(load.answers) == {"200 x"}, load.answers


@pytest.mark.case(159)
@pytest.mark.parametrize("mend", ["corrected", "removed"])
async def test_a_cluster_that_waits_for_a_secret_is_mended_beside_many_others(lab, backends, mend):
    port = await start(lab, backends)
    async with Load(port) as load:
        lab.publish(with_secret("w", "missing"), assignment("w", backends[0]))
        await lab.until("cluster_manager.warming_clusters", 1)
        for number in range(OTHERS):
            lab.publish(cluster(f"o{number}"), assignment(f"o{number}", backends[1]))
            await asyncio.sleep(SWAP)
        lab.publish(route("r", f"o{OTHERS - 1}"))
        if mend == "corrected":
            lab.publish(cluster("w"))
        else:
            lab.publish(removals=((CDS, "w"), (EDS, "w")))
        await healed(lab)
        await load.some()
        assert await get(port) == b"200 y"

    assert set(load.answers) <= {"200 x", "200 y"}, load.answers
    assert await lab.stat("cluster_manager.warming_clusters") == 0
