"""What an app can reach in the docker runtime: the column of the table in docs/isolation.md, from inside a container."""

import json

import pytest

from tests.e2e.test_isolation import ATTEMPTS, TOOLS, rows, seconds, surroundings  # noqa: F401
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

#: What the engine decides, and not the mesh: one of the tests forwards nothing.
ENGINE_S = frozenset({"the internet"})


def manifests(image: str) -> str:
    return "\n---\n".join(part for name, namespace in SERVICES.items() for part in service(name, namespace, image))


SERVICES = {"web": "shop", "orders": "shop", "vault": "bank"}


def service(name: str, namespace: str, image: str):
    number = 8080 if name == "vault" else 80
    port = {"name": "http", "containerPort": number, "appProtocol": "http"}
    command = ["python3", "-m", "http.server", str(number)]
    app = {"name": "app", "image": image, "command": command, "portMappings": [port]}
    alias = {"portName": "http", "discoveryName": name, "clientAliases": [{"port": 80, "dnsName": name}]}
    connect = {"enabled": True, "namespace": namespace, "services": [alias]}
    definition = {"kind": "TaskDefinition", "family": name, "memory": "256", "containerDefinitions": [app]}
    one = {"kind": "Service", "serviceName": name, "taskDefinition": name, "desiredCount": 1}
    for document in (definition, {**one, "serviceConnectConfiguration": connect}):
        yield json.dumps(document)


@pytest.fixture(scope="module")
def reached(engine, surroundings, tmp_path_factory):  # noqa: F811
    """Attempt -> whether a container reaches what it is about."""
    path = tmp_path_factory.mktemp("isolation") / "mesh.yaml"
    path.write_text(manifests(engine.base))
    with Mesh(path, runtime="docker", environment={"DOCKER_HOST": engine.host}, aws=True) as mesh:
        mesh.wait_steady(90)
        (mesh.home.root / "hooks.json").write_text("{}")
        web, orders, vault = (mesh.task(name) for name in SERVICES)
        at = {
            **surroundings,
            "home": str(mesh.home.root),
            "own": str(mesh.home.tasks / task_id(web)),
            "other": str(mesh.home.tasks / task_id(orders)),
            "address": orders.task.status.ip,
            "vault": vault.task.status.ip,
            "xds": "/xds/sock",
            "gateway": web.task.status.ip.rpartition(".")[0] + ".1",
            "aws": int(mesh.aws()["endpoint_url"].rpartition(":")[2]),
        }

        def attempt(name):
            script = TOOLS.replace("{attempt}", ATTEMPTS[name])
            known = json.dumps({**at, **seconds(rows("docker")[name])})
            done = mesh.execute(task_id(web), "python3", "-c", script, known, timeout=90)
            assert done.exit_code == 0, done.stderr.decode()
            return done.text

        yield {name: attempt(name) for name in ATTEMPTS if name not in ENGINE_S}


@pytest.mark.parametrize("name", sorted(ATTEMPTS.keys() - ENGINE_S))
def test_a_container_reaches_what_the_page_says(reached, name):
    assert reached[name] == rows("docker")[name]
