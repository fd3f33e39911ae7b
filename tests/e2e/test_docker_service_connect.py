"""With containers names freeze and proxies log as with processes: what the node agent does for it is the runtime's own way."""

import json

import pytest

from tests.e2e.connect_manifests import offer, service, text
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

IMAGE = "public.ecr.aws/tsunagu/shop-inventory:1"
LOGS = {
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "connect"}},
    "accessLogConfiguration": {"format": "JSON"},
}


def definition():
    ports = [{"name": "http", "containerPort": 80, "appProtocol": "http"}]
    container = {"name": "app", "image": IMAGE, "portMappings": ports}
    return {
        "kind": "TaskDefinition",
        "family": "inventory",
        "networkMode": "awsvpc",
        "memory": "512",
        "containerDefinitions": [container],
    }


def server(name):
    connect = {"namespace": "shop", "services": [offer("http", name, discoveryName=name)], **LOGS}
    return service(name, connect, taskDefinition="inventory")


@pytest.fixture(scope="module")
def mesh(engine):
    assert engine.shop
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        with Mesh(runtime="docker") as running:
            frozen = {"kind": "Namespace", "name": "shop", "freeze": "deployment"}
            caller = service("caller", {"namespace": "shop"}, taskDefinition="inventory")
            running.apply(text=text(frozen, definition(), server("inventory"), caller))
            running.wait_steady(90)
            running.apply(text=text(server("late")))
            running.wait_steady(90)
            yield running


def test_a_name_that_came_later_is_not_seen(mesh):
    assert mesh.call("http://inventory/items", from_task="caller").status == 200
    hosts = {task: mesh.execute(task, "cat", "/etc/hosts").text for task in ("caller", "late")}
    assert "inventory" in hosts["caller"]
    assert "late" not in hosts["caller"].replace(task_id(mesh.task("late")), "")
    assert "127.255.0" in hosts["late"]
    assert mesh.call("http://late/items", from_task="late").status == 200
    assert "late" not in mesh.envoy("caller", "/listeners?format=text").text


def test_the_proxy_s_log_is_found_by_its_log_group(mesh):
    mesh.call("http://inventory/items", from_task="caller")
    file = mesh.home.root / "awslogs" / "connect" / "envoy" / task_id(mesh.task("inventory"))

    def entries():
        lines = [line.split(" ", 2)[2] for line in file.read_text().splitlines()] if file.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    mesh.wait_until(lambda: any(entry["path"] == "/items" for entry in entries()), 60, "the request's line")
