"""What a Route does to real requests: seen in what callers got, in what apps were asked, and in Envoy."""

import re
import time

import pytest

from tests.e2e.traffic_lab import (
    apply,
    ask,
    caller,
    clear,
    count,
    flagged,
    lab,
    listener_updates,
    route,
    rules,
    service,
    stat,
    told,
    within_six_sigma,
)
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

BLUE = "action: {weightedTargets: [{target: blue}]}"
GREEN = "action: {weightedTargets: [{target: green}]}"


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue"), service("green")))
        mesh.wait_steady()
        yield mesh


@pytest.fixture(autouse=True)
def clean(mesh):
    yield
    clear(mesh)


# -- where requests go ------------------------------------------------------------------------------------------------


@pytest.mark.slow("ten thousand real calls")
@pytest.mark.parametrize(("protocol", "port"), [("http", 80), ("grpc", 9000)])
def test_weights_between_two_services(mesh, protocol, port):
    ending = "-rpc" if protocol == "grpc" else ""
    split = f"{{weightedTargets: [{{target: blue{ending}, weight: 70}}, {{target: green{ending}, weight: 30}}]}}"
    apply(mesh, route("split", f"action: {split}", alias=f"'blue:{port}'"))
    weights = rules(mesh, f"blue:{port}")[0]["route"]["weighted_clusters"]["clusters"]
    assert [(one["name"], one["weight"]) for one in weights] == [
        (f"svc/lab/blue{ending}", 70),
        (f"svc/lab/green{ending}", 30),
    ]
    found = count(mesh, protocol, 10_000, f"http://blue:{port}/" if protocol == "http" else f"blue:{port}")
    assert sum(found.values()) == 10_000
    assert within_six_sigma(found["green"], 10_000, 0.3), found


MATCHES = [
    ("prefix: /a", {"url": "/a/b"}, {"url": "/b"}),
    ("path: {exact: /a}", {"url": "/a?x=1"}, {"url": "/a/b"}),
    ("path: {regex: '/[0-9]+'}", {"url": "/17"}, {"url": "/17a"}),
    ("method: POST", {"method": "POST", "body": b"x"}, {}),
    ("headers: [{name: x-beta}]", {"headers": {"x-beta": "1"}}, {}),
    ("headers: [{name: x-beta, match: {exact: on}}]", {"headers": {"x-beta": "on"}}, {"headers": {"x-beta": "off"}}),
    ("headers: [{name: x-beta, match: {suffix: n}}]", {"headers": {"x-beta": "on"}}, {"headers": {"x-beta": "off"}}),
    (
        "headers: [{name: x-n, match: {range: {start: 1, end: 5}}}]",
        {"headers": {"x-n": "4"}},
        {"headers": {"x-n": "5"}},
    ),
    ("headers: [{name: x-beta, invert: true}]", {}, {"headers": {"x-beta": "1"}}),
    ("queryParameters: [{name: q, match: {exact: v}}]", {"url": "/?q=v"}, {"url": "/?q=w"}),
    ("prefix: /a, method: POST", {"url": "/a", "method": "POST", "body": b"x"}, {"url": "/a"}),
]


@pytest.mark.parametrize(("match", "meant", "other"), MATCHES)
def test_a_rule_takes_what_it_matches(mesh, match, meant, other):
    apply(mesh, route("beta", f"match: {{{match}}}, {GREEN}"))
    assert asked(mesh, **meant).text == "green"
    assert asked(mesh, **other).text == "blue"


def asked(mesh, url="/", **request):
    return ask(mesh, f"http://blue{url}", **request)


def test_the_rule_with_the_lowest_priority_is_asked_first_and_the_name_decides_between_equals(mesh):
    wide, narrow = f"match: {{prefix: /}}, {GREEN}", f"match: {{prefix: /a}}, {BLUE}"
    apply(mesh, route("a-wide", f"{wide}, priority: 5"), route("b-narrow", f"{narrow}, priority: 5"))
    assert ask(mesh, "http://blue/a").text == "green"
    apply(mesh, route("b-narrow", f"{narrow}, priority: 4"))
    assert ask(mesh, "http://blue/a").text == "blue"


def test_a_route_to_nobody_is_said_and_what_is_removed_is_gone(mesh):
    apply(mesh, route("beta", GREEN))
    assert ask(mesh, "http://blue/").text == "green"
    clear(mesh)
    assert ask(mesh, "http://blue/").text == "blue"


# -- what becomes of them ---------------------------------------------------------------------------------------------


def test_redirect(mesh):
    apply(
        mesh,
        route("moved", "match: {prefix: /old}, action: {redirect: {prefix: /new, host: shop.test, statusCode: 308}}"),
    )
    follow_nothing = "import http.client as h; c = h.HTTPConnection('blue'); c.request('GET', '/old/a?x=1'); r = c.getresponse(); print(r.status, r.headers['location'])"
    told = mesh.execute(caller(mesh), "python3", "-c", follow_nothing).text
    assert told.split() == ["308", "http://shop.test/new/a?x=1"]


def test_fixed_response(mesh):
    apply(mesh, route("closed", "match: {prefix: /admin}, action: {fixedResponse: {statusCode: 418, body: no}}"))
    answer = ask(mesh, "http://blue/admin")
    assert (answer.status, answer.text, dict(answer.headers)["content-type"]) == (418, "no", "text/plain")
    assert ask(mesh, "http://blue/").status == 200


def test_rewrite_and_headers(mesh):
    changes = "requestHeaders: {set: {x-set: mesh, x-both: b}, remove: [x-secret]}, responseHeaders: {set: {x-app: no}, add: {x-more: m}}"
    action = f"action: {{weightedTargets: [{{target: blue}}], rewrite: {{prefix: /v2/, host: other.test}}, {changes}}}"
    apply(mesh, route("v2", f"match: {{prefix: /v1/}}, {action}"))
    asked = told(mesh, "http://blue/v1/items", headers={"x-secret": "s", "x-set": "mine"})
    headers = {name.lower(): value for name, value in asked["headers"].items()}
    assert asked["path"] == "/v2/items?tell=1"
    assert (headers["host"], headers["x-set"], headers["x-both"]) == ("other.test", "mesh", "b")
    assert "x-secret" not in headers
    answer = dict(ask(mesh, "http://blue/v1/items").headers)
    assert (answer["x-app"], answer["x-more"]) == ("no", "m")


def test_mirror(mesh):
    apply(mesh, route("copy", "action: {weightedTargets: [{target: blue}], mirror: {target: green, percent: 100}}"))
    before = stat(mesh, "cluster.svc/lab/green.upstream_rq_total")
    assert count(mesh, "http", 400, "http://blue/") == {"blue": 400}
    mesh.wait_until(lambda: stat(mesh, "cluster.svc/lab/green.upstream_rq_total") == before + 400, 60, "400 copies")


# -- how they are tried -----------------------------------------------------------------------------------------------


def test_timeout_of_a_route(mesh):
    apply(
        mesh,
        route(
            "short",
            f"match: {{prefix: /slow}}, timeout: {{perRequest: {{unit: ms, value: 200}}}}, retryPolicy: {{maxRetries: 0}}, {BLUE}",
        ),
    )
    assert ask(mesh, "http://blue/slow?ms=2000").status == 504
    assert stat(mesh, "cluster.svc/lab/blue.upstream_rq_timeout") >= 1
    assert ask(mesh, "http://blue/a/slow?ms=600").status == 200


RETRIES = [
    ("retryPolicy: {maxRetries: 0}", 503),
    ("retryPolicy: {maxRetries: 1, httpRetryEvents: [gateway-error]}", 200),
    ("retryPolicy: {maxRetries: 1, httpRetryEvents: [client-error]}", 503),
]


@pytest.mark.parametrize(("members", "status"), RETRIES)
def test_retries_of_a_route(mesh, members, status):
    apply(mesh, route("tries", f"{members}, {BLUE}"))
    before = stat(mesh, "cluster.svc/lab/blue.upstream_rq_retry")
    key = re.sub("[^a-z]", "", members)
    assert ask(mesh, f"http://blue/flaky?key={key}").status == status
    assert stat(mesh, "cluster.svc/lab/blue.upstream_rq_retry") == before + (status == 200)


def test_what_is_not_idempotent_is_not_tried_again(mesh):
    retry = "retryPolicy: {maxRetries: 1, httpRetryEvents: [gateway-error], onlyIdempotent: true}"
    apply(mesh, route("once", f"{retry}, {BLUE}"))
    assert ask(mesh, "http://blue/flaky?key=get").status == 200
    assert ask(mesh, "http://blue/flaky?key=post", method="POST", body=b"x").status == 503
    assert ask(mesh, "http://blue/flaky?key=put", method="PUT", body=b"x").status == 200


@pytest.mark.slow("two thousand real calls")
def test_faults(mesh):
    apply(mesh, route("broken", f"fault: {{abort: {{percent: 25, httpStatus: 418}}}}, {BLUE}"))
    found = count(mesh, "http", 2000, "http://blue/")
    assert within_six_sigma(found["418"], 2000, 0.25), found
    assert flagged(mesh, "FI") == found["418"]
    apply(mesh, route("broken", f"fault: {{delay: {{percent: 100, fixed: {{unit: ms, value: 300}}}}}}, {BLUE}"))
    began = time.monotonic()
    assert ask(mesh, "http://blue/").status == 200
    assert time.monotonic() - began >= 0.3
    assert flagged(mesh, "DI") == 1


# -- changes under load -----------------------------------------------------------------------------------------------

TURNS = [
    route("turn", "action: {weightedTargets: [{target: blue, weight: 9}, {target: green, weight: 1}]}"),
    route("turn", f"match: {{headers: [{{name: x-beta}}]}}, {GREEN}"),
    route("turn", f"timeout: {{perRequest: {{unit: s, value: 9}}}}, retryPolicy: {{maxRetries: 0}}, {BLUE}"),
    route("turn", "action: {weightedTargets: [{target: green}], mirror: {target: blue}}"),
    "{kind: TrafficPolicy, name: lab/blue, loadBalancing: {algorithm: LEAST_REQUEST}, timeout: {perRequest: {unit: s, value: 8}}}",
    "{kind: TrafficPolicy, name: lab/blue, outlierDetection: {maxServerErrors: 9}, connectionPool: {http: {maxConnections: 900}}}",
]


def test_changes_under_load_lose_nothing_and_touch_no_listener(mesh):
    mesh.publish("blue")
    before = listener_updates(mesh)
    with mesh.load("http://blue/", Plan(late=60, rps=200, connections=20)) as on:
        on.wait_requests(100)
        for turn in TURNS * 2:
            apply(mesh, turn)
            on.wait_requests(40)
        clear(mesh)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert listener_updates(mesh) == before
    assert caller(mesh)
