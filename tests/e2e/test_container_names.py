"""A container may have any name that ECS allows: also those of processes of ours, and the longest."""

import pytest

from tests.e2e.next_agent import kill_node_agent
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

LONG = "a" * 255
NAMES = ("envoy", "init", "relay", LONG)
CONTAINERS = "\n".join(
    f"""- {{name: {name}, image: x, command: [sh, -c, "echo this is number {number}; exec sleep 600"]}}"""
    for number, name in enumerate(NAMES)
)
MANIFEST = f"""
family: web
networkMode: awsvpc
memory: "512"
containerDefinitions:
- name: app
  image: app
  command: [python3, -m, http.server, "80"]
  portMappings: [{{name: http, containerPort: 80, appProtocol: http}}]
{CONTAINERS}
---
serviceName: web
taskDefinition: web
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: web}}]}}]
"""


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as running:
        running.apply(text=MANIFEST)
        running.wait_steady()
        yield running


def states(mesh):
    return {one.name: (one.last_status, one.pid) for one in mesh.task("web").task.status.containers}


def test_all_of_them_run_beside_the_proxy_and_their_lines_are_shown(mesh):
    assert mesh.call("http://web/", from_task="web").status == 200
    assert {name: state for name, (state, _) in states(mesh).items()} == dict.fromkeys(("app", *NAMES), "RUNNING")

    def written():
        return {line.container: line.line for line in mesh.apis.logs(mesh.task("web"), "", None)}

    said = {b"this is number %d" % number for number in range(len(NAMES))}
    mesh.wait_until(lambda: said <= set(written().values()), 60, "a line of each of them")
    lines = written()
    assert {lines[name] for name in NAMES[:3]} == {b"this is number %d" % number for number in range(3)}
    assert lines[LONG[:200]] == b"this is number 3"
    assert b"this is number 0" not in {line.line for line in mesh.apis.logs(mesh.task("web"), "envoy", None)}


def test_another_node_agent_takes_them_over(mesh):
    before = states(mesh)
    kill_node_agent(mesh)
    assert states(mesh) == before
    mesh.execute("web", "true")
    mesh.stop(mesh.task("web").meta.name.rpartition("/")[2])
    mesh.wait_steady(60)
