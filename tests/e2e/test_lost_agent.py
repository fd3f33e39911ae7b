"""A node agent that hangs costs nobody a request, and no task: its node is NOT_READY until `up` has started another.

The full form, with kills at random moments: `python -m benchmarks soak`.
"""

import os
import signal
import sys

import pytest

from tests.e2e.next_agent import kill_node_agent, node_of, wait_next_agent
from tests.e2e.shop import PATIENCE, load, running, standing, steady_shop, still_scales
from tsunagu.model.ids import task_id

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

NAME = "s" * 255
LONG = f"""
kind: TaskDefinition
family: long
networkMode: awsvpc
containerDefinitions:
- name: app
  image: long
  command: ["{sys.executable}", "-m", "http.server", "8080"]
  environment: [{{name: VERSION, value: "VALUE"}}]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
---
kind: Service
serviceName: {NAME}
taskDefinition: long
desiredCount: 2
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: long}}]}}]
"""


@pytest.fixture(scope="module")
def shop():
    with steady_shop() as mesh:
        yield mesh


@pytest.mark.slow("an agent is silent for longer than its lease, and until `up` starts another")
def test_an_agent_hangs_under_load(shop):
    before, hung = standing(shop), node_of(shop)
    tasks = {task.meta.name: task.meta.created_revision for task in shop.tasks()}
    with load(shop, seconds=120) as on:
        os.kill(hung.node.pid, signal.SIGSTOP)
        shop.wait_until(lambda: node_of(shop).node.state == "NOT_READY", PATIENCE, "the node is not ready")
        assert running(shop, "orders")
        wait_next_agent(shop, hung)
        assert node_of(shop).node.reason == ""
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    assert {task.meta.name: task.meta.created_revision for task in shop.tasks()} == tasks
    still_scales(shop)


@pytest.mark.slow("four agents have to start one after the other")
def test_an_agent_that_is_killed_again_and_again(shop):
    before = standing(shop)
    with load(shop, seconds=120) as on:
        for _ in range(4):
            kill_node_agent(shop)
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)


def roll_out(mesh):
    mesh.apply(text=LONG.replace("VALUE", "2"))


def scale(mesh):
    mesh.scale(NAME, 3)


def drain(mesh):
    mesh.stop(task_id(min(mesh.tasks(NAME), key=lambda task: task.meta.name)))


def end(mesh):
    mesh.delete("Service", f"default/{NAME}")


@pytest.mark.slow("four changes, in each of which the agent is killed")
def test_an_agent_is_killed_in_the_middle_of_changes(shop):
    """Of a service, moreover, whose name is as long as AWS allows: its tasks' directories are not."""
    shop.apply(text=LONG)
    shop.wait_steady()
    with load(shop, seconds=120) as on:
        for change in (roll_out, scale, drain, end):
            before = node_of(shop)
            change(shop)
            os.kill(before.node.pid, signal.SIGKILL)
            wait_next_agent(shop, before)
            shop.wait_steady(PATIENCE)
            codes = {task.task.status.stop_code for task in shop.tasks(stopped=True)} - {""}
            assert codes <= {"ServiceSchedulerInitiated", "UserInitiated"}, change
        shop.wait_until(lambda: not shop.tasks(NAME), PATIENCE, "the end of the tasks of the deleted service")
        report = on.stop()
    assert report.failed == 0, report
