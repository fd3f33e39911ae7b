"""Weights of a service's revisions, as a deployment sets them: read from Envoy exactly, counted over each protocol."""

from collections import Counter

import pytest

from tests.e2e.traffic_lab import (
    PATIENCE,
    ask,
    caller,
    count,
    lab,
    listener_updates,
    service,
    shift,
    within_six_sigma,
)
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

#: Between the steps of a canary that goes on to all.
STEPS = [(950, 50), (900, 100), (500, 500), (0, 1000), (1000, 0)]
TARGETS = [("http", "http://blue/"), ("grpc", "blue:9000"), ("tcp", "blue:7000")]


@pytest.fixture(scope="module")
def mesh():
    """Two old tasks and two new ones, of which one is not admitted, so that the roll-out stands: one old and one new serve."""
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue", "old", count=2)))
        mesh.wait_steady()
        mesh.apply(text=lab(service("blue", "new", count=2, hold="http://blue/")))
        mesh.wait_until(lambda: localities(mesh) == {"old": 1, "new": 1}, PATIENCE, "one old and one new task")
        yield mesh


def revisions(mesh):
    """ "old" and "new" -> name of the ServiceRevision."""
    found = {}
    for obj in mesh.objects("ServiceRevision", "default/blue/"):
        (container,) = obj.service_revision.task_definition.container_definitions
        found[next(one.value for one in container.environment if one.name == "VERSION")] = obj.meta.name
    return found


def localities(mesh, name="blue"):
    """ "old" and "new" -> weight of the locality in the caller's Envoy."""
    names = {revision: version for version, revision in revisions(mesh).items()}
    dump = mesh.envoy(caller(mesh), "/config_dump?include_eds&resource=dynamic_endpoint_configs").json()
    assignments = [one["endpoint_config"] for one in dump.get("configs", [])]
    found = next((one for one in assignments if one.get("cluster_name") == f"svc/lab/{name}"), {})
    return {
        names[one["locality"]["sub_zone"]]: one.get("load_balancing_weight", 0)
        for one in found.get("endpoints", [])
        if one.get("lb_endpoints")
    }


def set_weights(mesh, old, new, tested=""):
    names = revisions(mesh)
    shift(mesh, "blue", {names["old"]: old, names["new"]: new}, tested)


def test_outside_a_shift_each_revision_gets_as_much_as_it_serves(mesh):
    assert localities(mesh) == {"old": 1, "new": 1}
    assert count(mesh, "http", 400, "http://blue/") == {"old": 200, "new": 200}


@pytest.mark.slow("thirty thousand real calls")
@pytest.mark.parametrize(("protocol", "target"), TARGETS)
def test_ten_thousand_calls_at_five_percent(mesh, protocol, target):
    set_weights(mesh, 950, 50)
    for name in ("blue", "blue-rpc", "blue-raw"):
        assert localities(mesh, name) == {"old": 950, "new": 50}
    found = count(mesh, protocol, 10_000, target)
    assert sum(found.values()) == 10_000
    assert within_six_sigma(found["new"], 10_000, 0.05), found


def test_a_grpc_client_without_a_proxy_keeps_to_the_weights_too(mesh):
    set_weights(mesh, 900, 100)
    found = count(mesh, "grpc", 4000, "xds:///blue:9000")
    assert sum(found.values()) == 4000
    assert within_six_sigma(found["new"], 4000, 0.1), found


@pytest.mark.slow("a roll-out that stands in the middle comes first")
def test_no_share_no_call(mesh):
    set_weights(mesh, 1000, 0)
    assert localities(mesh) == {"old": 1000, "new": 0}
    assert count(mesh, "http", 1000, "http://blue/") == {"old": 1000}


def test_test_traffic_goes_to_the_revision_that_is_tested(mesh):
    set_weights(mesh, 1000, 0, tested=revisions(mesh)["new"])
    test = {"x-amzn-ecs-blue-green-test": "1"}
    assert {ask(mesh, "http://blue/", headers=test).text for _ in range(20)} == {"new"}
    assert {ask(mesh, "http://blue/").text for _ in range(20)} == {"old"}
    set_weights(mesh, 1000, 0)
    assert ask(mesh, "http://blue/", headers=test).text == "old"


def test_a_shift_under_load_loses_nothing_and_touches_no_listener(mesh):
    set_weights(mesh, 1000, 0)
    mesh.publish("blue")
    before = listener_updates(mesh)
    seen = Counter()
    with mesh.load("http://blue/", Plan(late=60, rps=200, connections=20, label=lambda answer: answer.text)) as on:
        for old, new in STEPS * 2:
            set_weights(mesh, old, new)
            assert localities(mesh) == {"old": old, "new": new}
            on.wait_requests(60)
        report = on.stop()
        seen.update(report.labels)
    assert report.failed == 0, report
    assert set(seen) == {"old", "new"}
    assert listener_updates(mesh) == before
