"""One of every kind of resource that translation builds, for tests that look at all of them."""

from tsunagu.mesh.localities import Locality
from tsunagu.mesh.rows import AccessLog, PortRow, RevisionRow
from tsunagu.mesh.traffic.model import CONNECT_RETRY_GRPC, Destination, EndpointPolicy, Forward, Limits, Rule, Weighted
from tsunagu.translate import clusters, endpoints, grpc_clients, listeners, routes
from tsunagu.translate.codec import Codec

ONE = Locality(zone="a", revision="c/s/h", priority=0, weight=1, endpoints=(("10.0.0.1", 80),))
PROTOCOLS = ("http", "grpc", "tcp")
RULE = Rule(Forward((Weighted(Destination("x")),)), limits=Limits(1000, 1000), retry=CONNECT_RETRY_GRPC)


def specimens():
    codec = Codec()
    made = [clusters.blackhole(codec), listeners.capture(codec), endpoints.build(codec, "x", (ONE,))]
    for json in (True, False):
        made += _revision(codec, AccessLog(json=json, with_query=False))
    return [*made, *_aliases(codec)]


def _revision(codec, log):
    ports = tuple(
        PortRow(
            name, name, 80, protocol=name, ingress_port=1, aliases=(), idle_timeout=1, request_timeout=1, intercept=True
        )
        for name in PROTOCOLS
    )
    revision = RevisionRow("c/s/h", "c/s", namespace="n", connect=True, created=0, ports=ports, access_log=log)
    apps = [clusters.app(codec, revision, port) for port in ports]
    return [*apps, *(listeners.ingress(codec, revision, port) for port in ports)]


def _aliases(codec):
    services = [
        clusters.build(codec, clusters.ServiceCluster("n", Destination(name), name, 1, EndpointPolicy()))
        for name in PROTOCOLS
    ]
    http = listeners.build(codec, listeners.AliasListener("n", "x", 80, "127.255.0.1"))
    tcp = listeners.build(codec, listeners.AliasListener("n", "x", 81, "127.255.0.1", "x"))
    route = routes.AliasTable("n", "x", 80, rules=(RULE,))
    grpc = grpc_clients.GrpcRoute("n", "x", 82, discovery_name="x", request_timeout=1)
    for_clients = [grpc_clients.listener(codec, grpc_clients.alias_of(grpc)), grpc_clients.route(codec, grpc)]
    return [*services, http, tcp, routes.build(codec, route), *for_clients]
