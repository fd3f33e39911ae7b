"""Scenarios of the golden files that are about traffic: a weighted shift, Routes, TrafficPolicies."""

from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.testing import objects as o
from tsunagu.v1 import objects_pb2


def shop_of_two(**statuses):
    """Two http services and a gRPC one; `cart` has two revisions."""
    yield o.namespace()
    yield o.node()
    cart = o.service("default/cart", "b2")
    cart.service.status.traffic.CopyFrom(objects_pb2.ServiceTraffic(**statuses))
    yield cart
    yield o.revision("default/cart/a1", o.port("cart"), created=3)
    yield o.revision("default/cart/b2", o.port("cart"), created=9)
    for number, revision in enumerate("aab"):
        digest = {"a": "a1", "b": "b2"}[revision]
        yield o.task(f"default/cart-{number}", f"default/cart/{digest}", f"10.9.0.{number}")
    yield o.address("cart", "127.255.0.1")
    yield o.service("default/search", "c1")
    rpc = o.port("rpc", app_protocol="grpc", container_port=9000, ingress_port=15101)
    yield o.revision("default/search/c1", o.port("search"), rpc)
    yield o.task("default/search-1", "default/search/c1", "10.9.0.9")
    yield o.address("search", "127.255.0.2")
    yield o.address("rpc", "127.255.0.3")


def written(text):
    """The objects of a manifest."""
    return [ids.make(one.kind, one.name, one.message) for one in formats.read([formats.Source("traffic.yaml", text)])]


def shift():
    """A weighted shift: the new revision has 5 % whatever number of tasks it has, and test traffic goes to it alone."""
    weights = [("default/cart/a1", 950), ("default/cart/b2", 50)]
    yield from shop_of_two(
        weights=[objects_pb2.RevisionWeight(revision=name, weight=weight) for name, weight in weights],
        test_revision="default/cart/b2",
    )


def routes():
    """Every kind of rule: matches, weights, redirects, answers, rewrites, headers, a mirror, faults, retries."""
    yield from shop_of_two()
    yield from written(ROUTES)


ROUTES = """
kind: Route
name: shop/beta
alias: cart:80
priority: 1
match:
  headers: [{name: x-beta, match: {exact: please}}, {name: x-n, invert: true, match: {range: {start: 1, end: 9}}}]
  queryParameters: [{name: q}, {name: v, match: {prefix: a}}]
action: {weightedTargets: [{target: cart, revision: b2}]}
---
kind: Route
name: shop/moved
alias: cart
priority: 2
match: {prefix: /old}
action: {redirect: {prefix: /new, statusCode: 308, host: shop.example.com, scheme: https, stripQuery: true}}
---
kind: Route
name: shop/closed
alias: cart
priority: 3
match: {path: {regex: "/admin/.*"}, method: GET}
action: {fixedResponse: {statusCode: 403, body: "not here\n"}, responseHeaders: {set: {x-by: mesh}}}
---
kind: Route
name: shop/shared
alias: cart
priority: 4
match: {prefix: /find/}
timeout: {perRequest: {unit: ms, value: 2500}, idle: {unit: s, value: 0}}
retryPolicy:
  maxRetries: 4
  perRetryTimeout: {unit: ms, value: 300}
  httpRetryEvents: [gateway-error, stream-error]
  tcpRetryEvents: [connection-error]
  onlyIdempotent: true
fault: {delay: {percent: 10, fixed: {unit: ms, value: 50}}, abort: {percent: 0.5, httpStatus: 418}}
action:
  weightedTargets: [{target: search, weight: 3}, {target: cart, weight: 1}, {target: nobody, weight: 9}]
  rewrite: {prefix: /, host: search.internal}
  requestHeaders: {set: {x-from: cart}, add: {x-hop: mesh}, remove: [x-secret]}
  mirror: {target: cart, revision: a1, percent: 25}
---
kind: Route
name: shop/nobody
alias: cart
priority: 5
match: {path: {exact: /gone}}
action: {weightedTargets: [{target: nobody}]}
---
kind: Route
name: shop/call
alias: rpc
match: {serviceName: shop.Search, methodName: Find, metadata: [{name: x-user}]}
retryPolicy: {maxRetries: 0}
fault: {abort: {percent: 100, grpcStatus: 14}}
action: {weightedTargets: [{target: rpc}]}
"""


def policies():
    """What a TrafficPolicy changes: in clusters (balancing, pools, ejection, checks, budget), and in routes."""
    yield from shop_of_two()
    yield from written(POLICIES)


POLICIES = """
kind: TrafficPolicy
name: shop/cart
loadBalancing: {algorithm: RING_HASH, hashKeys: [{cookie: session, cookieTtl: {unit: s, value: 60}}, {header: x-user}]}
connectionPool: {http: {maxConnections: 100, maxPendingRequests: 10}}
outlierDetection: {maxServerErrors: 3, interval: {unit: s, value: 1}, baseEjectionDuration: {unit: s, value: 5}, maxEjectionPercent: 50}
healthCheck: {path: /health, intervalMillis: 5000, timeoutMillis: 1000, healthyThreshold: 1, unhealthyThreshold: 3}
retryBudget: {percent: 25, minConcurrency: 5}
timeout: {perRequest: {unit: s, value: 1}}
fault: {abort: {percent: 1, httpStatus: 503}}
---
kind: TrafficPolicy
name: shop/search
loadBalancing: {algorithm: LEAST_REQUEST, choices: 3, slowStart: {window: {unit: s, value: 30}}}
outlierDetection: {maxServerErrors: 0}
retryPolicy: {maxRetries: 1, httpRetryEvents: [server-error]}
---
kind: TrafficPolicy
name: shop/rpc
connectionPool: {grpc: {maxRequests: 50}}
healthCheck: {protocol: grpc, serviceName: shop.Search}
"""


def gateway():
    """A gateway with a port for routes by host and path, one with TLS, and one that leads to an alias."""
    yield from shop_of_two()
    yield o.gateway_task("default/front-1")
    yield from written(GATEWAY)


GATEWAY = """
kind: Gateway
name: front
namespace: shop
accessLog: {format: JSON}
ports:
- {hostPort: 8080}
- {hostPort: 8443, tls: {certificateChain: /etc/shop.crt, privateKey: /etc/shop.key}}
- {hostPort: 8081, alias: search, port: 80}
---
kind: Route
name: shop/find
gateway: front
hosts: [shop.example.com, "*.shop.test"]
match: {prefix: /find/}
action: {weightedTargets: [{target: search}], rewrite: {prefix: /}}
---
kind: Route
name: shop/health
gateway: front
priority: 1
match: {path: {exact: /health}}
action: {fixedResponse: {statusCode: 200, body: ok}}
---
kind: Route
name: shop/cart
gateway: front
hosts: [shop.example.com]
action: {weightedTargets: [{target: cart}]}
"""
