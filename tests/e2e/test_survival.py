"""Whatever dies, what should go on goes on; and when the mesh ends, nothing of it is left after 5 seconds.

Load is 100 requests/s on a published port: gateway -> web -> orders -> inventory and stock.
"""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SHOP = Path(__file__).parents[2] / "examples" / "01-shop" / "shop.yaml"
PATIENCE = 30.0  # seconds for what happens in one or two
END = 5.0  # seconds after which nothing may be left
DEAF = """
kind: TaskDefinition
family: deaf
networkMode: awsvpc
memory: "256"
containerDefinitions:
- {name: app, image: deaf, command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"], stopTimeout: 30}
---
kind: Service
serviceName: deaf
taskDefinition: deaf
desiredCount: 1
"""
REFUSED = {"connection refused"}  # what a client is told by a port that is closed in order


def orders_of(answer):
    return json.loads(answer.body)["orders"]["task"]


@pytest.fixture(scope="module")
def shop():
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        yield mesh


@pytest.fixture
def ending():
    """A mesh that its test ends."""
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        yield mesh


def load(mesh, **plan):
    return mesh.load("http://web/", Plan(rps=100, connections=20, label=orders_of, **plan))


def standing(mesh):
    """What must not be restarted: each task's init, Envoy, apps and relay, by pid and time of its start."""
    aside = {process for process in mesh.processes().everything if not process.task}
    return {(one.task, one.name, one.pid, one.begun) for one in mesh.processes().everything if one not in aside}


def running(mesh, service):
    return {
        task_id(task)
        for task in mesh.tasks(service)
        if task.task.status.last_status == "RUNNING" and task.task.spec.desired_status == "RUNNING"
    }


def still_scales(mesh):
    mesh.scale("inventory", 4)
    mesh.wait_until(lambda: len(running(mesh, "inventory")) == 4, PATIENCE, "a fourth inventory task")
    mesh.scale("inventory", 3)
    mesh.wait_steady(PATIENCE)
    mesh.wait_until(lambda: len(mesh.tasks("inventory")) == 3, PATIENCE, "the end of the fourth inventory task")


def all_connected(mesh):
    return mesh.answers() and all(proxy.connected for proxy in mesh.proxies() if proxy.expected)


# -- one dies, under load ------------------------------------------------------------------------------------------


def test_serve_killed(shop):
    before, first = standing(shop), shop.processes().serve
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill("serve")
        shop.wait_until(lambda: not first.alive() and all_connected(shop), PATIENCE, "serve, with all proxies")
        shop.wait_converged()
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)


def test_node_killed(shop):
    before, (node,) = standing(shop), shop.objects("Node")
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill("node")
        shop.wait_until(lambda: shop.objects("Node")[0].node.pid != node.node.pid, PATIENCE, "the node agent")
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)


def test_serve_and_node_killed_together(shop):
    before, first, (node,) = standing(shop), shop.processes().serve, shop.objects("Node")
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill("serve")
        shop.kill("node")
        shop.wait_until(lambda: not first.alive() and all_connected(shop), PATIENCE, "serve, with all proxies")
        shop.wait_until(lambda: shop.objects("Node")[0].node.pid != node.node.pid, PATIENCE, "the node agent")
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)


def test_app_killed(shop):
    before = running(shop, "orders")
    victim = min(before)
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill(f"app:{victim}")
        new = replaced(shop, before, victim)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert report.labels[new] > 0


def test_init_killed(shop):
    """With it the kernel ends the whole task, Envoy and app at once; only callers can make up for that."""
    before = running(shop, "orders")
    victim = min(before)
    own = [process for process in shop.processes().everything if process.task == victim]
    assert {process.name for process in own} >= {"tsunagu-init", "envoy"}
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill(f"init:{victim}")
        new = replaced(shop, before, victim)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert report.labels[new] > 0
    assert not [process for process in own if process.alive()]


def replaced(mesh, before, victim):
    mesh.wait_until(lambda: len(running(mesh, "orders") - {victim}) == len(before), PATIENCE, "a new orders task")
    (new,) = running(mesh, "orders") - before
    return new


def envoy_comes_back(mesh, victim, first):
    def back():
        now = mesh.processes().envoys.get(victim)
        return now is not None and now != first and mesh.task(victim).task.status.proxy.state == "LIVE"

    mesh.wait_until(back, PATIENCE, f"another Envoy of {victim}")


def test_envoy_of_a_callee_killed(shop):
    """Its callers try another task, and leave this one out for 30 s (outlier ejection); it goes on with another Envoy."""
    tasks, victim = running(shop, "orders"), min(running(shop, "orders"))
    first, app = shop.processes().envoys[victim], shop.processes().apps[victim]
    with load(shop) as on:
        on.wait_requests(50)
        first.kill()
        envoy_comes_back(shop, victim, first)
        shop.wait_converged()
        on.wait_requests(50)
        report = on.stop()
    assert report.failed == 0, report
    address = shop.task(victim).task.status.ip
    assert shop.call(f"http://{address}/orders", from_task="web").json()["task"] == victim
    assert running(shop, "orders") == tasks
    assert shop.processes().apps[victim] == app


def test_envoy_of_a_caller_killed(shop):
    """`web` has one task: what goes through its Envoy cannot go elsewhere, and fails until there is another."""
    (web,) = running(shop, "web")
    first, app = shop.processes().envoys[web], shop.processes().apps[web]
    with load(shop) as on:
        on.wait_requests(50)
        first.kill()
        envoy_comes_back(shop, web, first)
        shop.wait_until(lambda: shop.call("http://web/").status == 200, PATIENCE, "the first good answer")
        before = on.report()
        after = on.wait_requests(100)
        on.stop()
    assert set(before.failures) <= {"503"}, before  # the gateway's Envoy says so: nobody to ask
    assert after.failed == before.failed, after
    assert running(shop, "web") == {web}
    assert shop.processes().apps[web] == app


def test_all_stopped_for_a_minute(shop):
    """As when a laptop is closed: no lease is lost, no task replaced, and the load recovers."""
    before, (node,) = standing(shop), shop.objects("Node")
    tasks = {task.meta.name: task.meta.created_revision for task in shop.tasks()}
    everything = shop.processes().everything
    with load(shop, seconds=60, timeout=5) as on:
        on.wait_requests(50)
        healthy = on.report()
        for process in everything:
            process.kill(signal.SIGSTOP)
        on.wait()
    for process in everything:
        process.kill(signal.SIGCONT)
    assert healthy.failed == 0
    shop.wait_until(lambda: all_connected(shop), PATIENCE, "the proxies' streams")
    shop.wait_until(lambda: shop.call("http://web/").status == 200, PATIENCE, "the first good answer")
    with load(shop) as again:
        report = again.wait_requests(300)
    assert report.failed == 0, report
    assert standing(shop) == before
    assert {task.meta.name: task.meta.created_revision for task in shop.tasks()} == tasks
    assert shop.objects("Node")[0].meta.created_revision == node.meta.created_revision
    still_scales(shop)


# -- the end, under load -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [(), ("serve", "node", "janitor")], ids=["", "with all else stopped"])
def test_up_killed(ending, stopped):
    with load(ending, timeout=2) as on:
        on.wait_requests(50)
        for what in stopped:
            ending.kill(what, signal.SIGSTOP)
        ending.kill("up")
        assert ending.left_behind(END) == []


def ctrl_c(mesh):
    mesh.kill("up", signal.SIGINT)


def down(mesh):
    command = [sys.executable, "-m", "tsunagu.cli", "down", "--home", str(mesh.home.root)]
    subprocess.run(command, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL, env=dict(os.environ))


@pytest.mark.parametrize("end", [ctrl_c, down])
def test_an_orderly_end(ending, end):
    """Whoever was let in is answered, also who waits for long; then the port is closed."""
    with ThreadPoolExecutor() as pool, load(ending, timeout=2) as on:
        slow = pool.submit(ending.call, "http://web/?ms=1500")
        on.wait_requests(50)
        end(ending)
        assert ending.left_behind(END) == []
        report = on.stop()
    assert set(report.failures) <= REFUSED, report
    assert slow.result().status == 200


def test_an_orderly_end_with_an_app_that_does_not_hear(ending):
    """Its stopTimeout is 30 s; the end of the mesh does not wait for that."""
    ending.apply(text=DEAF)
    ending.wait_steady()
    ctrl_c(ending)
    assert ending.left_behind(END) == []


def test_an_orderly_end_without_a_control_plane(ending):
    ending.kill("serve", signal.SIGSTOP)
    ending.kill("node", signal.SIGSTOP)
    ctrl_c(ending)
    assert ending.left_behind(END) == []
