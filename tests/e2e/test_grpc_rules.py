"""tsunagu.xds.bodies.grpc_rules against grpcio itself: what the rules accept it accepts, what they name it refuses.

Each row is a resource that is wrong in one way. "nack": the client refuses it and says so. "ignored": it takes it without
a word and calls do not arrive, which is why the rules speak of it.
"""

import asyncio
import contextlib
import json
import os
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import grpc.aio
import pytest
from envoy_data_plane.google.protobuf import Any

from tsunagu.serve.library import xds_server
from tsunagu.v1 import endpoint_pb2
from tsunagu.xds.bodies import grpc_rules

pytestmark = pytest.mark.e2e

ADS = core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3)
FILE = core.ConfigSource(path_config_source=core.PathConfigSource(path="/nowhere"))
ROUTER = hcm.HttpFilter(name="router", typed_config=Any.pack(router.Router()))


# -- good resources, and ways to spoil them ---------------------------------------------------------------------------


def listener(name, **fields):
    fields = {"rds": hcm.Rds(config_source=ADS, route_config_name=name), "http_filters": [ROUTER], **fields}
    manager = hcm.HttpConnectionManager(**fields)
    return listeners.Listener(name=name, api_listener=listeners.ApiListener(api_listener=Any.pack(manager)))


def route(name, *, match=None, domains=("*",), **action):
    action = {"cluster": name, **action}
    one = routes.Route(
        match=routes.RouteMatch(prefix="/") if match is None else match, route=routes.RouteAction(**action)
    )
    return configuration(name, one, domains=domains)


def configuration(name, *found, domains=("*",)):
    host = routes.VirtualHost(name="all", domains=list(domains), routes=list(found))
    return routes.RouteConfiguration(name=name, virtual_hosts=[host])


def cluster(name, **fields):
    fields = {
        "type": clusters.ClusterDiscoveryType.EDS,
        "eds_cluster_config": clusters.ClusterEdsClusterConfig(eds_config=ADS),
        **fields,
    }
    return clusters.Cluster(name=name, **fields)


def assignment(name, *localities):
    """Localities as dictionaries: region, weight, priority, hosts [(address, port)]."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for one in localities:
        group = message.endpoints.add(priority=one.get("priority", 0))
        if "region" in one:
            group.locality.region = one["region"]
        if "weight" in one:
            group.load_balancing_weight.value = one["weight"]
        for address, port in one.get("hosts", ()):
            socket = group.lb_endpoints.add().endpoint.address.socket_address
            socket.address, socket.port_value = address, port
    return message


def somewhere(port=1, **fields):
    return {"region": "local", "weight": 1, "hosts": [host(port)], **fields}


def unknown_filter(**fields):
    config = Any(type_url="type.googleapis.com/example.Unheard", value=b"")
    return hcm.HttpFilter(name="unheard", typed_config=config, **fields)


def weighted(name, *weights):
    parts = [routes.WeightedClusterClusterWeight(name=name, weight=one) for one in weights]
    return configuration(
        name,
        routes.Route(
            match=routes.RouteMatch(prefix="/"),
            route=routes.RouteAction(weighted_clusters=routes.WeightedCluster(clusters=parts)),
        ),
    )


def secured(name, **common):
    context = tls.UpstreamTlsContext(common_tls_context=tls.CommonTlsContext(**common))
    return cluster(name, transport_socket=core.TransportSocket(name="tls", typed_config=Any.pack(context)))


def host(port=1):
    return ("127.0.0.1", port)


ROWS = {
    "no filters": ("nack", lambda name, port: listener(name, http_filters=[])),
    "no router": ("nack", lambda name, port: listener(name, http_filters=[unknown_filter(is_optional=True)])),
    "two routers": ("nack", lambda name, port: listener(name, http_filters=[ROUTER, hcm.HttpFilter(name="b", typed_config=ROUTER.typed_config)])),
    "twice the name": ("nack", lambda name, port: listener(name, http_filters=[unknown_filter(is_optional=True), unknown_filter(is_optional=True), ROUTER])),
    "unnamed filter": ("nack", lambda name, port: listener(name, http_filters=[hcm.HttpFilter(typed_config=ROUTER.typed_config)])),
    "unknown filter": ("nack", lambda name, port: listener(name, http_filters=[unknown_filter(), ROUTER])),
    "routes from a file": ("nack", lambda name, port: listener(name, rds=hcm.Rds(config_source=FILE, route_config_name=name))),
    "routes without a name": ("ignored", lambda name, port: listener(name, rds=hcm.Rds(config_source=ADS))),
    "no routes at all": ("nack", lambda name, port: listener(name, rds=None)),
    "trusted hops": ("nack", lambda name, port: listener(name, xff_num_trusted_hops=1)),
    "not a manager": ("nack", lambda name, port: listeners.Listener(name=name, api_listener=listeners.ApiListener(api_listener=Any.pack(router.Router())))),
    "neither client nor server": ("nack", lambda name, port: listeners.Listener(name=name)),
    "no path": ("nack", lambda name, port: route(name, match=routes.RouteMatch())),
    "no domains": ("nack", lambda name, port: route(name, domains=())),
    "star inside": ("nack", lambda name, port: route(name, domains=("a*b",))),
    "query": ("ignored", lambda name, port: route(name, match=routes.RouteMatch(prefix="/", query_parameters=[routes.QueryParameterMatcher(name="a")]))),
    "prefix without a slash": ("ignored", lambda name, port: route(name, match=routes.RouteMatch(prefix="x"))),
    "direct response": ("ignored", lambda name, port: configuration(name, routes.Route(match=routes.RouteMatch(prefix="/"), direct_response=routes.DirectResponseAction(status=200)))),
    "cluster header": ("ignored", lambda name, port: route(name, cluster=None, cluster_header="x-cluster")),
    "no weight": ("nack", lambda name, port: weighted(name, 0, 0)),
    "no cluster": ("nack", lambda name, port: route(name, cluster="")),
    "no retries": ("nack", lambda name, port: route(name, retry_policy=routes.RetryPolicy(retry_on="unavailable", num_retries=0))),
    "no base interval": ("nack", lambda name, port: route(name, retry_policy=routes.RetryPolicy(retry_on="unavailable", retry_back_off=routes.RetryPolicyRetryBackOff(max_interval=timedelta(seconds=1))))),
    "static cluster": ("nack", lambda name, port: cluster(name, type=clusters.ClusterDiscoveryType.STATIC)),
    "original destination": ("nack", lambda name, port: cluster(name, type=clusters.ClusterDiscoveryType.ORIGINAL_DST)),
    "endpoints from a file": ("nack", lambda name, port: cluster(name, eds_cluster_config=clusters.ClusterEdsClusterConfig(eds_config=FILE))),
    "random": ("nack", lambda name, port: cluster(name, lb_policy=clusters.ClusterLbPolicy.RANDOM)),
    "maglev": ("nack", lambda name, port: cluster(name, lb_policy=clusters.ClusterLbPolicy.MAGLEV)),
    "least request": ("nack", lambda name, port: cluster(name, lb_policy=clusters.ClusterLbPolicy.LEAST_REQUEST)),
    "load reports elsewhere": ("nack", lambda name, port: cluster(name, lrs_server=ADS)),
    "no CA": ("nack", lambda name, port: secured(name)),
    "TLS parameters": ("nack", lambda name, port: secured(name, tls_params=tls.TlsParameters())),
    "secrets": ("nack", lambda name, port: secured(name, validation_context_sds_secret_config=tls.SdsSecretConfig(name="ca", sds_config=ADS))),
    "no locality": ("nack", lambda name, port: assignment(name, {"weight": 1, "hosts": [host()]})),
    "no weight of a locality": ("ignored", lambda name, port: assignment(name, {"region": "local", "hosts": [host()]})),
    "gap in priorities": ("nack", lambda name, port: assignment(name, somewhere(), somewhere(priority=2, hosts=[host()]))),
    "first priority missing": ("nack", lambda name, port: assignment(name, somewhere(priority=1))),
    "locality twice": ("nack", lambda name, port: assignment(name, somewhere(), somewhere(hosts=[host()]))),
    "endpoint twice": ("nack", lambda name, port: assignment(name, somewhere(hosts=[host(), host()]))),
    "endpoint in two localities": ("nack", lambda name, port: assignment(name, somewhere(hosts=[host()]), somewhere(region="b", hosts=[host()]))),
    "host name": ("nack", lambda name, port: assignment(name, somewhere(hosts=[("localhost", 80)]))),
    "large port": ("nack", lambda name, port: assignment(name, somewhere(hosts=[("127.0.0.1", 65536)]))),
    "heavy": ("nack", lambda name, port: assignment(name, somewhere(1, weight=0xFFFFFFFF), somewhere(2, region="b"))),
}  # fmt: skip

GOOD = {
    "good": lambda name, port: assignment(name, somewhere(port)),
    "optional filter": lambda name, port: listener(name, http_filters=[unknown_filter(is_optional=True), ROUTER]),
    "retries": lambda name, port: route(name, retry_policy=routes.RetryPolicy(retry_on="unavailable", num_retries=2)),
    "ring hash": lambda name, port: cluster(name, lb_policy=clusters.ClusterLbPolicy.RING_HASH),
    "weights": lambda name, port: weighted(name, 0, 3),
    "two priorities": lambda name, port: assignment(name, somewhere(port), somewhere(port + 1, priority=1)),
    "a name of the target": lambda name, port: route(name, domains=[name]),
}
WRONG = {row: build for row, (_, build) in ROWS.items()}


def resources_of(row, port):
    """All that a target needs, with what the row says in the place of the good one."""
    name = f"{row.replace(' ', '-')}:80"
    good = [listener(name), route(name), cluster(name), assignment(name, somewhere(port))]
    said = xds_server.resource((GOOD | WRONG)[row](name, port))
    return {one.type_url: one for one in [*map(xds_server.resource, good), said]}, said


class Trial:
    """What became of each row: the client's answer to a call, and the NACKs of its stream."""

    def __init__(self):
        self.answers = {}
        self.nacks = {}

    async def run(self):
        server = xds_server.XdsServer()
        async with backend() as port:
            for row in GOOD | WRONG:
                server.put(*resources_of(row, port)[0].values())
            address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
            targets = {f"xds:///{row.replace(' ', '-')}:80": row for row in GOOD | WRONG}
            async with asking(address, *targets) as ask:
                answers = await ask()
                await settled(
                    server, {f"{row}:80".replace(" ", "-") for row, (kind, _) in ROWS.items() if kind == "nack"}
                )
                self.answers = {targets[target]: answer for target, answer in answers.items()}
                if any(self.answers[row]["code"] == "DEADLINE_EXCEEDED" for row in GOOD):  # on a machine that is busy
                    again = {targets[target]: answer for target, answer in (await ask()).items()}
                    self.answers |= {row: again[row] for row in GOOD}
            for event in server.timeline.events():
                if event.kind == "nack":
                    self.nacks.setdefault(event.names[0].removesuffix(":80").replace("-", " "), event.error)
            await server.stop()


@asynccontextmanager
async def backend():
    """Says OK to every call; its port."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(self.say)

        async def say(self, _request, _context):
            return b"here"

    server = grpc.aio.server(handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(0)


async def settled(server, expected):
    """Until every response has been answered, and these names are refused or will not be: calls may fail before that, while the
    client has not yet asked for the resource.
    """
    waiting, refused = set(), set()
    with contextlib.suppress(TimeoutError):  # the row that it is about fails then
        async with asyncio.timeout(60):
            async for event in server.events():
                if event.kind == "send":
                    waiting.add(event.nonce)
                elif event.kind in ("ack", "nack"):
                    waiting.discard(event.nonce)
                if event.kind == "nack":
                    refused.add(event.names[0])
                if not waiting and expected <= refused and event.sequence == server.timeline.last:
                    return


@asynccontextmanager
async def asking(address, *targets):
    """A function that has a client call each target once, and returns the answers."""
    bootstrap = {
        "xds_servers": [
            {"server_uri": address, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
        ],
        "node": {"id": "trial"},
    }
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("grpc_client.py")),
        *targets,
        env={**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap), "GRPC_VERBOSITY": "NONE"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    async def ask():
        client.stdin.write(b"5\n")
        return json.loads(await client.stdout.readline())

    yield ask
    client.stdin.close()
    await client.communicate()


@pytest.fixture(scope="module")
def trial():
    found = Trial()
    asyncio.run(found.run())
    return found


@pytest.mark.case(145)
@pytest.mark.parametrize("row", list(GOOD))
def test_what_the_rules_accept_a_client_accepts(trial, row):
    everything, _ = resources_of(row, 1)
    assert [problem for one in everything.values() for problem in grpc_rules.problems(one)] == []
    assert trial.answers[row] == {"code": "OK", "text": "here"}
    assert row not in trial.nacks


@pytest.mark.case(145)
@pytest.mark.parametrize("row", list(ROWS))
def test_what_the_rules_name_a_client_refuses_or_ignores(trial, row):
    kind, _ = ROWS[row]
    _, said = resources_of(row, 1)
    assert grpc_rules.problems(said) != ()
    assert trial.answers[row]["code"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert (row in trial.nacks) is (kind == "nack"), trial.answers[row]
