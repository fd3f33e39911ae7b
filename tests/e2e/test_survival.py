"""Whatever dies, what should go on goes on; and when the mesh ends, nothing of it is left.

Load is 100 requests/s on a published port: gateway -> web -> orders -> inventory and stock.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.next_agent import kill_node_agent, node_of, wait_next_agent
from tests.e2e.shop import PATIENCE, all_connected, load, running, standing, steady_shop, still_scales

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

END = 60.0  # seconds after which nothing may be left: 5 on an idle machine, of which other tests make no busy one
DEAF = """
kind: TaskDefinition
family: deaf
networkMode: awsvpc
memory: "256"
containerDefinitions:
- {name: app, image: deaf, command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"], stopTimeout: 120}
---
kind: Service
serviceName: deaf
taskDefinition: deaf
desiredCount: 1
"""
REFUSED = {"connection refused"}  # what a client is told by a port that is closed in order


@pytest.fixture(scope="module")
def shop():
    with steady_shop() as mesh:
        yield mesh


@pytest.fixture
def ending():
    """A mesh that its test ends."""
    with steady_shop() as mesh:
        yield mesh


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
    before = standing(shop)
    with load(shop) as on:
        on.wait_requests(50)
        kill_node_agent(shop)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report
    assert standing(shop) == before
    still_scales(shop)


def test_serve_and_node_killed_together(shop):
    before, first, node = standing(shop), shop.processes().serve, node_of(shop)
    with load(shop) as on:
        on.wait_requests(50)
        shop.kill("serve")
        shop.kill("node")
        shop.wait_until(lambda: not first.alive() and all_connected(shop), PATIENCE, "serve, with all proxies")
        wait_next_agent(shop, node)
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
        on.wait_requests(50)  # of which 20 at most were sent before, and are answered by now
        before = on.report()
        after = on.wait_requests(100)
        on.stop()
    assert set(before.failures) <= {"503"}, before  # the gateway's Envoy says so: nobody to ask
    assert after.failed == before.failed, after
    assert running(shop, "web") == {web}
    assert shop.processes().apps[web] == app


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
    with ThreadPoolExecutor() as pool, load(ending) as on:
        slow = pool.submit(ending.call, "http://web/?ms=1500")
        on.wait_requests(50)
        end(ending)
        assert ending.left_behind(END) == []
        report = on.stop()
    assert set(report.failures) <= REFUSED, report
    assert slow.result().status == 200


def test_an_orderly_end_with_an_app_that_does_not_hear(ending):
    """Its stopTimeout is 120 s; the end of the mesh does not wait for that."""
    ending.apply(text=DEAF)
    ending.wait_steady()
    ctrl_c(ending)
    assert ending.left_behind(END) == []


def test_an_orderly_end_without_a_control_plane(ending):
    ending.kill("serve", signal.SIGSTOP)
    ending.kill("node", signal.SIGSTOP)
    ctrl_c(ending)
    assert ending.left_behind(END) == []
