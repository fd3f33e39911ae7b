"""Deployments on real Envoys, under 200 requests a second of HTTP, gRPC and TCP without retries; and what dies in them."""

from pathlib import Path

import pytest

from benchmarks import deployed
from benchmarks.deployed import present
from tests.e2e.commands import tsunagu
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PROTOCOLS = ("http", "grpc", "tcp")


@pytest.mark.slow("one deployment of each strategy, with bake times", seconds=60)
def test_no_strategy_loses_a_request_and_envoy_has_the_weights_of_every_step():
    seen = deployed.deployments(1)
    assert {name: seen[name]["failed"] for name in PROTOCOLS} == dict.fromkeys(PROTOCOLS, 0)
    assert all(seen[name]["requests"] > 500 for name in PROTOCOLS)
    assert seen["tcp"]["accepted"] == 0
    assert seen["other shares in Envoy"] == {}


APP = """
family: web
containerDefinitions:
- name: web
  image: web
  command: ["python3", "-m", "http.server", "8080"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
  environment: [{{name: VERSION, value: "{version}"}}]
---
serviceName: web
taskDefinition: web
desiredCount: 1
deploymentConfiguration: {{strategy: {strategy}, deploymentCircuitBreaker: {{enable: true, rollback: true}}}}
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: web}}]}}]
"""


def definition(version, program="python3"):
    return APP.format(version=version, strategy="ROLLING").partition("\n---\n")[0].replace("python3", program)


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as made:
        made.apply(text=APP.format(version=1, strategy="ROLLING"))
        made.wait_steady()
        yield made


@pytest.mark.parametrize("strategy", ["ROLLING", "CANARY"])
def test_a_version_that_never_starts_is_rolled_back_at_awss_threshold(mesh, strategy):
    mesh.apply(text=definition(strategy, "no-such-program"))
    said = tsunagu(mesh, "deploy", "web", "--task-definition", "web", "--strategy", strategy, "--bake", "0s", code=10)
    assert "was rolled back: the deployment circuit breaker was triggered: 3 tasks in a row failed" in said
    assert "no-such-program" in said
    assert present(mesh, "web").circuit_breaker.failure_count == 3
    mesh.wait_until(
        lambda: [task.task.status.last_status for task in mesh.tasks("web")] == ["RUNNING"],
        60,
        "the source's task alone",
    )


def test_a_user_takes_a_canary_back_and_stops_another(mesh):
    mesh.apply(text=definition("back"))
    words = ("--task-definition", "web", "--strategy", "CANARY", "--bake", "1h", "--no-follow")
    tsunagu(mesh, "deploy", "web", *words)
    mesh.wait_until(lambda: present(mesh, "web").lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT", 60, "the canary")
    assert "ROLLBACK_SUCCESSFUL" in tsunagu(mesh, "rollback", "web")
    assert "ROLLBACK_SUCCESSFUL" in tsunagu(mesh, "deployments", "web")


EXAMPLE = Path(__file__).parents[2] / "examples" / "08-deployments"
TEST = {"x-amzn-ecs-blue-green-test": "1"}


def versions(mesh, count, headers=None):
    """How many of that many calls each version answers."""
    bodies = [mesh.call("http://shop/", headers=headers).text.strip() for _ in range(count)]
    return {name: bodies.count(name) for name in sorted(set(bodies))}


def test_test_traffic_goes_to_the_canary_and_after_a_rollback_nothing_does():
    with Mesh(EXAMPLE / "mesh.yaml") as mesh:
        mesh.wait_steady()
        mesh.publish("shop")
        mesh.apply(EXAMPLE / "version-2.yaml")
        tsunagu(mesh, "deploy", "shop", "--task-definition", "shop", "--bake", "1h", "--no-follow")
        mesh.wait_until(lambda: present(mesh, "shop").lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT", 60, "the canary")
        mesh.wait_converged()
        assert versions(mesh, 20, TEST) == {"version 2": 20}
        seen = versions(mesh, 200)
        assert seen["version 1"] > 150  # 180 of 200 expected; 7 sigma are 30
        assert seen["version 2"] > 0
        tsunagu(mesh, "rollback", "shop")
        mesh.wait_converged()
        assert versions(mesh, 20) == versions(mesh, 20, TEST) == {"version 1": 20}
