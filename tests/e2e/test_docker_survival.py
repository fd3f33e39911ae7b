"""What dies in the docker runtime, under load, and what callers see of it: the rows of the table in docs/docker.md.

Load is 20 requests/s on a published port: gateway -> web -> orders -> inventory and stock.
"""

import os
import signal

import pytest

from tests.e2e.docker_shop import containers, docker_shop, kill, left
from tests.e2e.next_agent import kill_node_agent
from tests.e2e.shop import PATIENCE, running
from tsunagu.model.ids import task_id
from tsunagu.testing import Plan
from tsunagu_node.runtime.docker.definition.site import PAUSE

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]
#: So many requests may have been inside of what died: no more are under way at a time. All others are answered, by another task.
INSIDE = 5
#: A network that is gone answers nothing, not even with a reset, until its end is noticed: what is sent to it in that second hangs.
INTO_NOTHING = 25


@pytest.fixture(scope="module")
def shop(engine):
    with pytest.MonkeyPatch.context() as patch, docker_shop(engine, patch) as mesh:
        yield mesh


def survived(shop, act, recovered, what: str, lost: int = 0):
    """`act` under load until `recovered` holds, and some more; so many requests may be `lost` by it."""
    with shop.load("http://web/", Plan(late=60, rps=20, connections=min(20, lost or 20))) as on:
        on.wait_requests(50)
        act()
        shop.wait_until(recovered, PATIENCE, what)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed <= lost, report


def first(shop, service: str) -> str:
    return min(running(shop, service))


def test_an_envoy_is_started_again_beside_an_app_that_runs_on(shop, engine):
    task = first(shop, "orders")
    before = containers(engine, shop)
    survived(
        shop,
        lambda: kill(engine, before[task, "envoy"]),
        lambda: (
            shop.get("Task", f"default/{task}").task.status.proxy.restarts == 1
            and shop.get("Task", f"default/{task}").task.status.proxy.state == "LIVE"
        ),
        "an Envoy that is back",
        INSIDE,
    )
    assert containers(engine, shop) == before  # the same containers, one of them started anew


def test_a_task_whose_app_dies_is_replaced(shop, engine):
    task = first(shop, "inventory")
    survived(
        shop,
        lambda: kill(engine, containers(engine, shop)[task, "app"]),
        lambda: task not in running(shop, "inventory") and len(running(shop, "inventory")) == 3,
        "another task in place of one whose app died",
        INSIDE,
    )
    reason = shop.get("Task", f"default/{task}").task.status.stopped_reason
    assert "Essential container in task exited: app, with code 137" in reason


def test_a_task_whose_network_dies_is_replaced(shop, engine):
    task = first(shop, "inventory")
    survived(
        shop,
        lambda: kill(engine, containers(engine, shop)[task, PAUSE]),
        lambda: task not in running(shop, "inventory") and len(running(shop, "inventory")) == 3,
        "another task in place of one whose pause died",
        INTO_NOTHING,
    )
    shop.wait_until(
        lambda: task not in {one for one, _ in containers(engine, shop)}, PATIENCE, "the end of its containers"
    )


def settled(shop, engine):
    """The containers, once those of tasks that have ended are gone."""

    def all_wanted():
        tasks = {task_id(task) for task in shop.tasks()}
        return {task for task, _ in containers(engine, shop) if task} == tasks

    shop.wait_until(all_wanted, PATIENCE, "the end of containers of tasks that have ended")
    return containers(engine, shop)


def test_the_node_agent_dies_and_nothing_else_notices(shop, engine):
    before = settled(shop, engine)
    survived(shop, lambda: kill_node_agent(shop), shop.answers, "another node agent")
    assert containers(engine, shop) == before
    shop.scale("inventory", 4)
    shop.wait_until(lambda: len(running(shop, "inventory")) == 4, PATIENCE, "a fourth inventory task")
    shop.scale("inventory", 3)
    shop.wait_until(lambda: len(containers(engine, shop)) == len(before), PATIENCE, "the end of the fourth")


def test_the_janitor_dies_and_there_is_another(shop, engine):
    before = settled(shop, engine)
    record = (shop.home.root / "janitor.docker.json").read_text()
    pid = int(record.partition(":")[2].partition(",")[0])
    survived(
        shop,
        lambda: os.kill(pid, signal.SIGKILL),
        lambda: (shop.home.root / "janitor.docker.json").read_text() != record,
        "another janitor",
    )
    assert containers(engine, shop) == before


def test_a_container_s_logs_and_commands_are_those_of_any_runtime(shop):
    (task,) = running(shop, "web")
    assert shop.execute(task, "python3", "-c", "print('inside')").stdout.strip() == b"inside"


@pytest.mark.slow("it brings a mesh of its own up")
def test_when_the_supervisor_is_killed_nothing_is_left(engine, monkeypatch):
    with docker_shop(engine, monkeypatch) as mesh:
        root = mesh.home.root
        assert left(engine, root)
        mesh.kill("up")
        mesh.wait_until(lambda: left(engine, root) == [], PATIENCE, "an engine without anything of the mesh")
