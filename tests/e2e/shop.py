"""The shop under load, for the tests of what dies: what must be left alone, and how one sees that all goes on."""

import json
from contextlib import contextmanager
from pathlib import Path

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

SHOP = Path(__file__).parents[2] / "examples" / "01-shop" / "shop.yaml"
PATIENCE = 60.0  # seconds for what happens in one or two


@contextmanager
def steady_shop():
    with Mesh(SHOP) as mesh:
        mesh.wait_steady()
        mesh.publish("web")
        yield mesh


def orders_of(answer):
    return json.loads(answer.body)["orders"]["task"]


def load(mesh, **plan):
    """What a busy machine sends late is no failure of the mesh."""
    return mesh.load("http://web/", Plan(**{"rps": 100, "connections": 20, "late": 60, "label": orders_of, **plan}))


def standing(mesh):
    """What must not be restarted: each task's init, Envoy, apps and relay, by pid and time of its start.

    Not by name: a process gives itself one a moment after its start.
    """
    aside = {process for process in mesh.processes().everything if not process.task}
    return {(one.task, one.pid, one.begun) for one in mesh.processes().everything if one not in aside}


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
