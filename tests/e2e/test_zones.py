"""Callers prefer their own zone, and leave it when its tasks are gone; a locality gets as many requests as it has tasks."""

import json
from collections import Counter

import pytest

from tests.e2e.shop import PATIENCE, SHOP
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

#: A service that answers with its version. A new task that is answered by a new one does not listen, so it is not admitted.
TEN = """
kind: Namespace
name: ten
---
kind: TaskDefinition
family: ten
networkMode: awsvpc
containerDefinitions:
- name: app
  image: ten
  command:
  - python3
  - -c
  - |
    import http.server, os, signal, urllib.request
    ask = lambda: urllib.request.urlopen("http://ten", timeout=10).read()
    if os.environ["VERSION"] == "new" and b"new" in {ask() for _ in range(40)}:
        signal.pause()
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            body = os.environ["VERSION"].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *words):
            pass
    http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
  environment: [{name: VERSION, value: "%s"}]
  portMappings: [{name: web, containerPort: 8080, appProtocol: http}]
---
kind: Service
serviceName: ten
taskDefinition: ten
desiredCount: 10
deploymentConfiguration: {minimumHealthyPercent: 100, maximumPercent: 110}
serviceConnectConfiguration:
  enabled: true
  namespace: ten
  services: [{portName: web, clientAliases: [{port: 80, dnsName: ten}]}]
"""


@pytest.fixture(scope="module")
def shop():
    with Mesh(SHOP, zones=("a", "b")) as mesh:
        mesh.scale("web", 2)
        mesh.scale("orders", 2)
        mesh.scale("inventory", 4)
        mesh.wait_steady()
        mesh.publish("web")
        yield mesh


def zones_of(mesh):
    """Task's ID -> its zone."""
    return {task_id(task): task.task.spec.zone for task in mesh.tasks(stopped=True)}


def chain(answer):
    """web, orders and inventory task of one answer."""
    body = json.loads(answer.body)
    return " ".join((body["task"], body["orders"]["task"], body["orders"]["inventory"]["task"]))


def load(mesh):
    return mesh.load("http://web/", Plan(late=60, rps=100, connections=20, label=chain))


def test_tasks_are_spread_over_the_zones_and_know_theirs(shop):
    for service, each in (("web", 1), ("orders", 1), ("inventory", 2)):
        assert Counter(task.task.spec.zone for task in shop.tasks(service)) == {"a": each, "b": each}
    web = shop.task("web")
    ask = "import os, urllib.request as r; print(r.urlopen(os.environ['ECS_CONTAINER_METADATA_URI_V4'] + '/task').read().decode())"
    told = json.loads(shop.execute(task_id(web), "python3", "-c", ask).text)
    assert told["AvailabilityZone"] == web.task.spec.zone


def test_a_call_stays_in_the_zone_of_its_caller(shop):
    zones = zones_of(shop)
    with load(shop) as on:
        report = on.wait_requests(300)
    assert report.failed == 0, report
    chains = [[zones[task] for task in one.split()] for one in report.labels]
    assert {tuple(one) for one in chains} == {("a", "a", "a"), ("b", "b", "b")}
    assert len({one.split()[2] for one in report.labels}) == 4  # round robin within the zone


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_when_the_tasks_of_a_zone_are_gone_its_callers_use_the_others_and_nothing_fails(shop, end):
    shop.wait_steady()
    [victim] = [task_id(task) for task in shop.tasks("orders") if task.task.spec.zone == "a" and wanted(task)]
    [web] = [task_id(task) for task in shop.tasks("web") if task.task.spec.zone == "a"]
    with load(shop) as on:
        on.wait_requests(50)
        if end == "killed":
            shop.kill(f"app:{victim}")
        else:
            shop.stop(victim)
        shop.wait_until(lambda: spilled(shop, on, web), PATIENCE, "an answer from the other zone")
        shop.wait_until(lambda: back(shop, victim), PATIENCE, "another orders task in the zone")
        shop.wait_steady(PATIENCE)
        on.wait_requests(100)
        report = on.stop()
    assert report.failed == 0, report


def wanted(task):
    """Whether it is to run: one that was stopped may still be on its way."""
    return task.task.spec.desired_status == "RUNNING"


def spilled(mesh, on, web):
    """Whether a request of the web task in zone a was answered by orders in zone b."""
    zones = zones_of(mesh)
    pairs = [one.split()[:2] for one in on.report().labels]
    return any(caller == web and zones[orders] == "b" for caller, orders in pairs)


def back(mesh, victim):
    return any(task.task.spec.zone == "a" and wanted(task) and task_id(task) != victim for task in mesh.tasks("orders"))


@pytest.mark.slow("ten tasks and a roll-out")
def test_the_first_task_of_a_roll_out_of_ten_gets_a_tenth():
    """The second new task is not admitted, so that the roll-out stands while we look."""
    with Mesh() as mesh:
        mesh.apply(text=TEN % "old")
        mesh.wait_steady(180)
        url = f"http://{mesh.publish('ten')}"
        mesh.apply(text=TEN % "new")
        mesh.wait_until(lambda: localities(mesh) == [1, 9], PATIENCE, "nine old tasks and a new one")
        answers = Counter(mesh.call(url).text for _ in range(200))
        assert localities(mesh) == [1, 9]  # all the while
    assert answers["old"] + answers["new"] == 200
    assert 18 <= answers["new"] <= 22  # localities take turns by weight


def gateway_of(mesh):
    return next(task_id(task) for task in mesh.tasks() if task.task.spec.gateway)


def localities(mesh):
    """How many endpoints the gateway's Envoy has in each locality of the service."""
    clusters = mesh.envoy(gateway_of(mesh), "/clusters?format=json").json()["cluster_statuses"]
    hosts = next(one["host_statuses"] for one in clusters if one["name"] == "svc/ten/web")
    return sorted(Counter(host["locality"]["sub_zone"] for host in hosts).values())
