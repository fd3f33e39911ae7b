"""What a Route and a TrafficPolicy must be to be kept; each row is a manifest beside a small mesh, and what is wrong with it."""

import pytest

from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.model.manifests.warnings import warnings_for
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import check_batch

MESH = """
{kind: Namespace, name: shop}
---
kind: TaskDefinition
family: all
networkMode: awsvpc
containerDefinitions:
- name: app
  image: all
  command: [serve]
  portMappings:
  - {name: web, containerPort: 80, appProtocol: http}
  - {name: rpc, containerPort: 81, appProtocol: grpc}
  - {name: db, containerPort: 82}
---
kind: Service
serviceName: all
taskDefinition: all
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services:
  - {portName: web, clientAliases: [{port: 80, dnsName: web}]}
  - {portName: rpc, clientAliases: [{port: 81, dnsName: rpc}]}
  - {portName: db, clientAliases: [{port: 82, dnsName: db}]}
---
kind: Service
serviceName: both
taskDefinition: all
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services:
  - {portName: web, discoveryName: both-web, clientAliases: [{port: 80, dnsName: both}]}
  - {portName: rpc, discoveryName: both-rpc, clientAliases: [{port: 81, dnsName: both}]}
---
{kind: Gateway, name: front, namespace: shop, ports: [{hostPort: 8080}, {hostPort: 8443, tls: {certificateChain: /a, privateKey: /b}}]}
---
{kind: Gateway, name: aside, namespace: shop, ports: [{hostPort: 8081, alias: web, port: 80}]}
---
{kind: Cluster, clusterName: default}
"""
TO_WEB = "action: {weightedTargets: [{target: web}]}"


def route(members, front="alias: web", name="shop/r"):
    return f"{{kind: Route, name: {name}, {front}, {members}}}"


def gateway(port):
    return f"{{kind: Gateway, name: new, namespace: shop, ports: [{{{port}}}]}}"


def policy(of, members):
    return f"{{kind: TrafficPolicy, name: shop/{of}, {members}}}"


def issues(manifest):
    """PATH: MESSAGE of everything that is wrong."""
    reading = read(manifest)
    found = reading.issues or check_batch(made(reading), [], {})
    return [f"{one.path}: {one.message}" for one in found]


def warnings(manifest):
    """Where the last object of a manifest is warned of."""
    objects = made(read(manifest))
    state = {}
    for obj in objects:
        state.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return [one.path for one in warnings_for(objects[-1], Indexes(state, {}))]


def read(manifest):
    return formats.read_all([formats.Source("mesh.yaml", MESH), formats.Source("traffic.yaml", manifest)])


def made(reading):
    objects = [ids.make(one.kind, named(one), one.message) for one in reading.documents]
    for obj in objects:
        if ids.kind_of(obj) == "TaskDefinition":
            obj.task_definition.revision = 1
    return objects


def named(document):
    return f"{document.name}:1" if document.kind == "TaskDefinition" else document.name


SOUND = [
    route(TO_WEB),
    route(TO_WEB, "alias: 'web:80', priority: 0"),
    route(TO_WEB, "gateway: front, hosts: [shop.example.com, '*.shop.test']"),
    route("action: {weightedTargets: [{target: web, revision: a1, weight: 9}, {target: rpc, weight: 0}]}"),
    route("match: {prefix: /old}, action: {redirect: {prefix: /new, statusCode: 308}}"),
    route(
        "match: {path: {regex: '/items/[0-9]+'}, method: POST}, action: {fixedResponse: {statusCode: 404, body: no}}"
    ),
    route(
        """match: {headers: [{name: x-beta, invert: true}, {name: x-n, match: {range: {start: 1, end: 5}}}],
      queryParameters: [{name: q, match: {exact: ''}}]}, retryPolicy: {maxRetries: 0, httpRetryEvents: [gateway-error],
      perRetryTimeout: {unit: ms, value: 500}, onlyIdempotent: true}, timeout: {perRequest: {unit: s, value: 1}},
      fault: {delay: {percent: 0.5, fixed: {unit: s, value: 1}}, abort: {percent: 1, grpcStatus: 14}},
      action: {weightedTargets: [{target: web}], mirror: {target: web, percent: 10}, requestHeaders: {set: {x-a: b}}}"""
    ),
    policy(
        "web",
        """loadBalancing: {algorithm: RING_HASH, hashKeys: [{cookie: s, cookieTtl: {unit: s, value: 0}}, {sourceIp: true}]},
        connectionPool: {http: {maxConnections: 1, maxPendingRequests: 1}}, outlierDetection: {maxServerErrors: 0},
        healthCheck: {path: /health, intervalMillis: 1000}, retryBudget: {percent: 20}, timeout: {idle: {unit: s, value: 0}}""",
    ),
    policy("db", "connectionPool: {tcp: {maxConnections: 5}}, loadBalancing: {algorithm: LEAST_REQUEST, choices: 3}"),
]


@pytest.mark.parametrize("manifest", SOUND)
def test_what_is_sound_is_kept(manifest):
    assert issues(manifest) == []


WRONG = [
    # names
    (route(TO_WEB, name="r"), "name: it must be NAMESPACE/NAME"),
    (route(TO_WEB, "priority: 1"), "must say whose requests it takes"),
    (route(TO_WEB, "alias: wob"), "alias: nobody offers 'wob'"),
    (route(TO_WEB, "alias: 'web:81'"), "alias: nobody offers 'web:81'"),
    (route(TO_WEB, "alias: db"), "alias: db is a tcp alias"),
    (route(TO_WEB, "gateway: back"), "gateway: there is no gateway 'back'"),
    (route(TO_WEB, "gateway: aside"), "gateway: no port of gateway aside takes routes"),
    (gateway("hostPort: 1, alias: web"), "ports[0]: port is missing"),
    (gateway("hostPort: 1, port: 80"), "ports[0]: alias is missing"),
    (gateway("hostPort: 1, tls: {certificateChain: /a}"), "ports[0].tls: privateKey is missing"),
    (gateway("hostPort: 1, tls: {certificateChain: a, privateKey: /b}"), "'a' is a relative path"),
    (
        gateway("hostPort: 1, alias: web, port: 80, tls: {certificateChain: /a, privateKey: /b}"),
        "ports[0].tls: has no effect",
    ),
    (route(TO_WEB, name="blog/r"), "name: there is no namespace 'blog'"),
    (route(f"hosts: [a.b], {TO_WEB}"), "hosts: only a gateway"),
    (policy("wob", "fault: {abort: {percent: 1, httpStatus: 500}}"), "name: there is no discovery name 'shop/wob'"),
    # where requests go
    (route("action: {}"), "action: must set exactly one of"),
    ("{kind: Route, name: shop/r, alias: web}", "action is missing"),
    (route("action: {weightedTargets: [{target: web, weight: 0}]}"), "no target has a weight"),
    (
        route("action: {weightedTargets: [{target: wob}]}"),
        "action.weightedTargets[0].target: there is no discovery name",
    ),
    (route("action: {weightedTargets: [{target: db}]}"), "db speaks tcp"),
    (route("action: {weightedTargets: [{target: web}], mirror: {target: db}}"), "action.mirror.target: db speaks tcp"),
    (route("action: {redirect: {host: a}, mirror: {target: web}}"), "action.mirror: has no effect"),
    (route("action: {redirect: {statusCode: 304}}"), "304 is none of"),
    (route("action: {redirect: {prefix: /new}}"), "action.redirect.prefix: there is no prefix"),
    (route("action: {fixedResponse: {statusCode: 99}}"), "99 is out of range"),
    # what is matched
    (route(f"match: {{prefix: /a, path: {{exact: /a}}}}, {TO_WEB}"), "must not set both prefix and path"),
    (route(f"match: {{prefix: a}}, {TO_WEB}"), "'a' does not begin with '/'"),
    (route(f"match: {{path: {{exact: /a, regex: b}}}}, {TO_WEB}"), "must set exactly one of exact, regex"),
    (route(f"match: {{path: {{regex: '(?=a)'}}}}, {TO_WEB}"), "is not RE2"),
    (route(f"match: {{path: {{regex: '('}}}}, {TO_WEB}"), "is no regular expression"),
    (route(f"match: {{method: FETCH}}, {TO_WEB}"), "'FETCH' is none of"),
    (route(f"match: {{methodName: Get}}, {TO_WEB}"), "needs serviceName"),
    (route(f"match: {{headers: [{{name: a, match: {{range: {{start: 3, end: 3}}}}}}]}}, {TO_WEB}"), "holds no number"),
    # how often and how long
    (route(f"retryPolicy: {{httpRetryEvents: [never]}}, {TO_WEB}"), "'never' is none of"),
    (route(f"timeout: {{perRequest: {{unit: h, value: 1}}}}, {TO_WEB}"), "'h' is none of ms, s"),
    (route(f"fault: {{abort: {{percent: 1}}}}, {TO_WEB}"), "fault.abort: must set exactly one of"),
    (route(f"fault: {{delay: {{percent: 101, fixed: {{unit: s, value: 1}}}}}}, {TO_WEB}"), "101.0 is out of range"),
    # a policy asks for what its port has
    (policy("db", "retryPolicy: {maxRetries: 1}"), "retryPolicy: has no effect: db speaks tcp"),
    (policy("web", "connectionPool: {tcp: {maxConnections: 1}}"), "connectionPool.tcp: has no effect"),
    (policy("web", "loadBalancing: {algorithm: MAGLEV}"), "MAGLEV needs hashKeys"),
    (policy("web", "loadBalancing: {hashKeys: [{sourceIp: true}]}"), "have no effect with ROUND_ROBIN"),
    (policy("web", "loadBalancing: {algorithm: RING_HASH, hashKeys: [{header: a, cookie: b}]}"), "must set one of"),
    (policy("web", "loadBalancing: {choices: 3}"), "choices: has no effect with ROUND_ROBIN"),
]


@pytest.mark.parametrize(("manifest", "message"), WRONG)
def test_what_could_have_no_effect_is_refused(manifest, message):
    found = issues(manifest)
    assert message in next(iter(found), "")


@pytest.mark.parametrize(
    ("front", "target", "warned"),
    [
        ("alias: both", "web", True),
        ("alias: rpc", "web", True),
        ("alias: 'both:81'", "web", True),
        ("alias: 'both:80'", "web", False),
        ("alias: both", "rpc", False),
        ("alias: web", "web", False),
        ("gateway: front", "web", False),
    ],
)
def test_a_route_that_leads_calls_of_grpc_to_a_server_of_http_is_warned_of(front, target, warned):
    manifest = route(f"action: {{weightedTargets: [{{target: {target}}}]}}", front)
    assert not issues(manifest)
    assert warnings(manifest) == (["action.weightedTargets[0].target"] if warned else [])
