"""Faults of proxies, agents and what they were told, made on real Envoys: what `tsunagu why` says to each."""

import contextlib
import json
import os
import re
import signal

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.route.v3 as routes
import pytest

from tests.e2e import why_lab as lab
from tests.e2e.commands import tsunagu
from tests.e2e.next_agent import node_of
from tests.e2e.why_lab import client, faulty, why
from tsunagu.mesh.traffic.model import Destination, EndpointPolicy
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, RequestRefused
from tsunagu.translate.clusters import ServiceCluster, service_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ALIAS, CLUSTER = "alias/shop/api:80", "svc/shop/api"


@pytest.fixture(scope="module")
def mesh():
    manifests = [
        {"kind": "Namespace", "name": "shop"},
        {"kind": "Namespace", "name": "ice", "freeze": "deployment"},
        *client("web"),
        *client("cold", "ice"),
        *faulty("api", "ok"),
        *faulty("other", "status", "418"),
        *faulty("db", "ok", protocol="tcp"),
    ]
    with Mesh() as running:
        running.apply(text=lab.text(*manifests))
        running.wait_steady()
        yield running


def overridden(mesh, kind, name, message):
    mesh.override("shop", kind, name, bytes(message))
    mesh.wait_converged()


def route(cluster, prefix="/"):
    action = routes.RouteAction(cluster=cluster)
    one = routes.Route(match=routes.RouteMatch(prefix=prefix), route=action)
    host = routes.VirtualHost(name="all", domains=["*"], routes=[one])
    return routes.RouteConfiguration(name=ALIAS, virtual_hosts=[host])


def test_a_call_that_works(mesh):
    shown, _ = json.JSONDecoder().raw_decode(tsunagu(mesh, "why", "web", "api:80", "-o", "json"))
    assert (shown["kind"], shown["sure"], shown["fault"]) == ("works", "sure", False)
    assert shown["facts"]["held"]["cluster_name"] == "svc/shop/api"
    text = tsunagu(mesh, "why", "web", "api:80", "--verbose")
    assert re.search(r"web-\w+ reaches api:80: answered 200 in [\d.]+ m?s", text), text
    assert re.search(r"endpoints +ok +api-\w+ 10\.88\.\d+\.\d+:8080", text), text


def test_the_command_ends_with_its_own_code_when_something_is_wrong(mesh):
    text = tsunagu(mesh, "why", "web", "api:81", code=9)
    assert text.startswith("web called api:81; api offers 80;"), text
    assert "is no NAME:PORT and no URL" in tsunagu(mesh, "why", "web", "api:eighty", code=2)
    tsunagu(mesh, "why", "nobody", "api:80", code=4)


def test_a_task_that_was_deployed_before_the_name(mesh):
    mesh.apply(text=lab.text(*faulty("fresh", "ok", namespace="ice")))
    mesh.wait_steady()
    asked = why(mesh, "cold", "fresh:80")
    assert (asked.kind, asked.sure) == ("frozen", "sure"), asked
    assert re.search(
        r"cold-\w+ was deployed before fresh:80 existed.*; deploy it again: tsunagu restart cold", asked.sentence
    )


def test_a_route_that_leads_elsewhere(mesh):
    overridden(mesh, "RDS", ALIAS, route("svc/shop/other"))
    asked = why(mesh, "web", "api:80")
    assert asked.kind == "leads-elsewhere", asked
    assert "leads to svc/shop/other, where the registry means svc/shop/api" in asked.sentence
    overridden(mesh, "RDS", ALIAS, route("svc/shop/api", "/v2"))
    asked = why(mesh, "web", "http://api/v1")
    assert (asked.kind, asked.sure) == ("no-route", "sure"), asked
    mesh.override("shop", "RDS", ALIAS)
    mesh.wait_converged()
    assert why(mesh, "web", "api:80").kind == "works"


def test_a_circuit_breaker_that_is_open(mesh):
    whole = service_cluster(CLUSTER, ServiceCluster("shop", Destination("api"), "http", 300, EndpointPolicy()))
    limits = clusters.CircuitBreakersThresholds(max_requests=0, max_pending_requests=0, max_connections=1)
    whole.circuit_breakers = clusters.CircuitBreakers(thresholds=[limits])
    overridden(mesh, "CDS", CLUSTER, whole)
    asked = why(mesh, "web", "api:80")
    mesh.override("shop", "CDS", CLUSTER)
    mesh.wait_converged()
    assert (asked.kind, asked.sure) == ("overflow", "sure"), asked
    assert "max_connections 1" in asked.sentence


def test_a_refused_resource(mesh):
    broken = route("svc/shop/api")
    broken.virtual_hosts[0].domains = []
    mesh.override("shop", "RDS", ALIAS, bytes(broken))
    asked = mesh.wait_until(lambda: (found := why(mesh, "web", "api:80")).kind == "refused" and found, 60, "refused")
    mesh.override("shop", "RDS", ALIAS)
    mesh.wait_converged()
    assert asked.sure == "sure", asked
    assert re.search(r"the Envoy of web-\w+ has refused the route of api:80 \(RDS NACKed\)", asked.sentence)


def test_what_is_held_back(mesh):
    """A new service: its endpoints do not come, since somebody keeps them back."""
    web = task_id(mesh.task("web"))
    tsunagu(mesh, "xds", "hold", web, "LDS", "--for", "60s")
    mesh.apply(text=lab.text(*faulty("late", "ok")))
    mesh.wait_until(lambda: mesh.tasks("late") and in_service(mesh, "late"), 60, "late")
    asked = why(mesh, "web", "late:80")
    tsunagu(mesh, "xds", "hold", web, "LDS", "--release")
    assert (asked.kind, asked.sure) == ("held", "sure"), asked
    mesh.wait_converged()
    mesh.wait_until(lambda: why(mesh, "web", "late:80").kind == "works", 60, "it works")


def in_service(mesh, name):
    return mesh.tasks(name)[-1].task.status.last_status == "RUNNING"


@pytest.mark.parametrize(
    ("whose", "kind", "words"),
    [
        ("web", "envoy-silent", r"the Envoy of web-\w+ does not answer"),
        ("api", "server-envoy-down", r"the Envoy of api-\w+ does not answer"),
    ],
)
def test_an_envoy_that_hangs(mesh, whose, kind, words):
    mesh.kill(f"envoy:{whose}", signal.SIGSTOP)
    try:
        asked = why(mesh, "web", "api:80")
    finally:
        mesh.kill(f"envoy:{whose}", signal.SIGCONT)
    assert (asked.kind, asked.sure) == (kind, "sure"), asked
    assert re.search(words, asked.sentence), asked


def test_a_node_agent_that_hangs_makes_nobody_sure(mesh):
    with hanging_agent(mesh):
        asked = why(mesh, "web", "api:80", patience=0.5, ready=False)
    assert (asked.kind, asked.sure) == ("agent-down", "not sure"), asked
    with hanging_agent(mesh):
        sure = why(mesh, "web", "api:81", patience=0.5, ready=False)
    assert (sure.kind, sure.sure) == ("unknown-port", "sure"), sure


@contextlib.contextmanager
def hanging_agent(mesh):
    """A node agent that hangs while the block lasts, and another one if that is too long for `up`, which has 15 s of patience."""
    agent = node_of(mesh).node.pid
    os.kill(agent, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, signal.SIGCONT)
        mesh.wait_until(lambda: answers(mesh), 60, "a node agent")


def answers(mesh):
    """Whether the node's present agent does, and not only the Node says so."""
    try:
        return mesh.answers() and mesh.apis.agent(node := node_of(mesh)).pid == node.node.pid
    except RequestRefused:
        return False


def test_a_route_that_answers_by_itself_and_a_timeout_of_a_policy(mesh):
    """Timeouts and answers that the user has set are told as they are in Envoy, not as the port has them."""
    gone = {
        "kind": "Route",
        "name": "shop/gone",
        "alias": "api:80",
        "match": {"prefix": "/old"},
        "action": {"fixedResponse": {"statusCode": 410, "body": "gone"}},
    }
    slow = {"kind": "TrafficPolicy", "name": "shop/other", "timeout": {"perRequest": {"unit": "ms", "value": 700}}}
    mesh.apply(text=lab.text(gone, slow, *faulty("other", "ok")))
    mesh.wait_steady()
    asked = why(mesh, "web", "http://api/old/1")
    assert (asked.kind, asked.sure) == ("route-answers", "sure"), asked
    assert "a Route answers api:80/old/1 by itself (status 410;" in asked.sentence
    assert why(mesh, "web", "http://api/new").kind == "works"
    asked = why(mesh, "web", "http://other/slow/1")
    assert (asked.kind, asked.sure) == ("request-timeout", "sure"), asked
    assert re.search(
        r"needs \d+\.\d s to answer, and a call may take 0\.7 s; raise the timeout of its Route", asked.sentence
    )
