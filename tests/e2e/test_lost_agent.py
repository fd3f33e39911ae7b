"""A node agent that hangs costs nobody a request, and no task: its node is NOT_READY until `up` has started another.

The full form, with kills at random moments: `python -m benchmarks soak`.
"""

import os
import signal

import pytest

from tests.e2e.shop import PATIENCE, load, running, standing, steady_shop, still_scales

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def shop():
    with steady_shop() as mesh:
        yield mesh


def node_of(mesh):
    (node,) = mesh.objects("Node")
    return node.node


@pytest.mark.slow("an agent is silent for longer than its lease, and until `up` starts another")
def test_an_agent_hangs_under_load(shop):
    before, hung = standing(shop), node_of(shop)
    tasks = {task.meta.name: task.meta.created_revision for task in shop.tasks()}
    with load(shop, seconds=120) as on:
        os.kill(hung.pid, signal.SIGSTOP)
        shop.wait_until(lambda: node_of(shop).state == "NOT_READY", PATIENCE, "the node is not ready")
        assert running(shop, "orders")
        shop.wait_until(lambda: node_of(shop).pid != hung.pid, PATIENCE, "another agent")
        assert (node_of(shop).state, node_of(shop).reason) == ("READY", "")
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    assert {task.meta.name: task.meta.created_revision for task in shop.tasks()} == tasks
    still_scales(shop)


def test_an_agent_that_is_killed_again_and_again(shop):
    before = standing(shop)
    with load(shop, seconds=120) as on:
        for _ in range(4):
            pid = node_of(shop).pid
            shop.kill("node")
            shop.wait_until(lambda pid=pid: node_of(shop).pid != pid, PATIENCE, "another agent")
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)
