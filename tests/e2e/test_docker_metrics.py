"""Counts are right in the docker runtime as well, where an adopted Envoy's start is what the engine says of its container."""

import pytest

from tests.e2e.docker_shop import containers, docker_shop, kill
from tests.e2e.next_agent import kill_node_agent
from tests.e2e.shop import PATIENCE, running
from tsunagu.signals import flows, made_by
from tsunagu.testing import Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def shop(engine):
    with pytest.MonkeyPatch.context() as patch, docker_shop(engine, patch) as mesh:
        yield mesh


def answered(mesh):
    """Responses of `web` that its callers have counted."""
    every = mesh.apis.windows(service="default/web")
    called = [one.flow for one in every if (one.flow.direction, one.flow.discovery_name) == (flows.EGRESS, "web")]
    return sum(made_by.app_responses(flow, 2) for flow in called)


@pytest.mark.slow("containers, and readings come every 5 s")
def test_a_killed_node_agent_and_a_killed_envoy_cost_the_caller_s_counts_nothing(shop, engine):
    with shop.load("http://web/", Plan(late=60, rps=20, connections=10)) as load:
        load.wait_requests(150)
        kill_node_agent(shop)
        load.wait_requests(150)
        kill(engine, containers(engine, shop)[min(running(shop, "web")), "envoy"])
        load.wait_requests(150, PATIENCE)
        report = load.stop()
    shop.wait_until(lambda: answered(shop) >= report.succeeded, PATIENCE, f"{report.succeeded} responses")
    assert answered(shop) == report.succeeded
