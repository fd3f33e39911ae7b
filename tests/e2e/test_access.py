"""Who may call whom in a mesh with TLS: what policies refuse over http, gRPC and tcp, what is open, what is counted, what `why` says.

`test_access_verdicts.py` asks one Envoy about many random policies; here every call goes from an app through both proxies.
"""

import time

import pytest

from tests.e2e.access_lab import (
    MANIFESTS,
    PATIENCE,
    SERVER,
    TCP,
    grpc,
    http,
    made,
    meant,
    policy,
    put,
    stat,
)
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

#: Policies, and what is asked of each set: 36 calls of each of two callers.
WHOLE = [policy("all", "{from: [{service: web}]}")]
PARTS = [
    policy(
        "http",
        "{from: [{service: web}], requests: [{method: GET, prefix: /items}, {method: POST, path: /orders}]},"
        " {from: [{everybody: true}], requests: [{path: /health}]}",
        "http",
    ),
    policy("rpc", "{from: [{service: web}], requests: [{serviceName: a.B, methodName: C}, {serviceName: a.D}]}", "rpc"),
    policy("raw", "{from: [{service: webs}]}", "raw"),
]
CLOSED = [policy("none", "")]
CALLS = [
    http("GET", "/items"),
    http("GET", "/items/7?x=/orders"),
    http("GET", "/items-old"),
    http("GET", "/items/../orders"),
    http("GET", "/items/%2e%2e/orders"),
    http("HEAD", "/items"),
    http("POST", "/orders"),
    http("POST", "/orders/7"),
    http("GET", "/health"),
    grpc("/a.B/C"),
    grpc("/a.B/E"),
    grpc("/a.D/E"),
    grpc("/a.Db/E"),
    TCP,
]


@pytest.fixture(scope="module")
def lab():
    with Mesh() as mesh:
        mesh.apply(text=MANIFESTS)
        mesh.wait_steady(120)
        mesh.wait_until(lambda: said(mesh, "ANSWER") > 0, 60, "the connection that is held, which counts as any other")
        yield mesh


@pytest.fixture(autouse=True)
def afterwards(lab):
    yield
    put(lab)


@pytest.mark.parametrize("policies", [[], WHOLE, PARTS, CLOSED], ids=["no policy", "a caller", "parts", "nobody"])
def test_what_becomes_of_calls_is_the_verdict_on_them(lab, policies):
    put(lab, *policies)
    for caller in ("web", "webs"):
        assert made(lab, caller, CALLS) == meant(lab, caller, CALLS)


def test_no_listener_is_touched_and_refusals_are_counted(lab):
    names = ("listener_manager.listener_modified", "listener_manager.listener_in_place_updated")
    before = [stat(lab, "orders", name) for name in names]
    denied = stat(lab, "orders", "http.ingress.http.rbac.denied")
    put(lab, *PARTS)
    assert made(lab, "webs", [http("GET", "/items"), TCP]) == ["refused", "taken"]
    put(lab, *WHOLE)
    assert made(lab, "webs", [http("GET", "/items"), TCP]) == ["refused", "refused"]
    assert [stat(lab, "orders", name) for name in names] == before
    assert stat(lab, "orders", "http.ingress.http.rbac.denied") == denied + 2

    def counted():
        windows = lab.apis.windows(300, service=SERVER)
        found = {one.flow.port_name: one.flow.access_refused for one in windows if one.flow.direction == "ingress"}
        return found.get("http", 0) >= 2 and found.get("raw", 0) >= 1

    lab.wait_until(counted, 60, "refusals among the samples")


def test_audit_refuses_nothing_and_counts(lab):
    put(lab, policy("seen", "{from: [{service: web}]}", mode="audit"))
    before = [stat(lab, "orders", f"{one}.rbac.shadow_denied") for one in ("http.ingress.http", "tcp.ingress.raw")]
    assert made(lab, "webs", [http("GET", "/"), grpc("/a.B/C"), TCP]) == ["taken"] * 3
    assert stat(lab, "orders", "http.ingress.http.rbac.shadow_denied") == before[0] + 1
    lab.wait_until(
        lambda: stat(lab, "orders", "tcp.ingress.raw.rbac.shadow_denied") == before[1] + 1,
        60,
        "the end of the connection",
    )


def test_an_open_tcp_connection_lives_on_and_new_ones_are_refused(lab):
    lab.wait_until(lambda: said(lab, "ANSWER") > 0, 60, "a connection")
    put(lab, policy("raw", "{from: [{service: webs}]}", "raw"))
    assert made(lab, "holder", [TCP]) == ["refused"]
    known = said(lab, "ANSWER")
    lab.wait_until(lambda: said(lab, "ANSWER") > known + 2, 60, "answers on the connection that was open")
    assert said(lab, "END") == 0


def said(lab, word):
    """How many lines of that kind the app has written that holds a connection."""
    return sum(line.startswith(word) for line in lab.logs(task_id(lab.task("holder")), "app"))


def test_a_task_that_comes_takes_what_policies_allow_from_its_first_request_on(lab):
    put(lab, *PARTS)
    asked = [http("GET", "/items"), http("GET", "/else")] * 20
    lab.scale("orders", 2)
    deadline = time.monotonic() + PATIENCE
    while len([one for one in lab.tasks("orders") if one.task.status.last_status == "RUNNING"]) < 2:
        assert made(lab, "web", asked) == ["taken", "refused"] * 20
        assert time.monotonic() < deadline + 60
    assert made(lab, "web", asked) == ["taken", "refused"] * 20
    lab.scale("orders", 1)
    lab.wait_steady(120)
