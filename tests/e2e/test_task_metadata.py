"""Programs in tasks read their own metadata, in both runtimes: what a resource detector of OpenTelemetry does, and what it does
not get to see.
"""

import json

import pytest

from tests.e2e.next_agent import kill_node_agent
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

# It asks once, at its very start: the endpoint is there before any container is.
DETECTOR = """
import json, os, time, urllib.request
def get(path):
    return json.load(urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + path, timeout=20))
container, task = get(""), get("/task")
base, _, own = task["TaskARN"].rpartition(":")
print(json.dumps({
    "cloud.provider": base.split(":")[1],
    "cloud.region": base.split(":")[3],
    "cloud.account.id": base.split(":")[4],
    "aws.ecs.cluster.arn": f"{base}:cluster/{task['Cluster']}",
    "aws.ecs.task.id": own.rpartition("/")[2],
    "aws.ecs.task.family": task["Family"],
    "aws.ecs.task.revision": task["Revision"],
    "aws.ecs.launchtype": task["LaunchType"].lower(),
    "aws.log.group.names": [container["LogOptions"]["awslogs-group"]],
    "container.name": container["Name"],
    "container.image": container["Image"],
    "siblings": [one["Name"] for one in task["Containers"]],
}), flush=True)
"""
PYTHON = "python3"
SERVE = "import http.server; http.server.HTTPServer(('', 80), http.server.SimpleHTTPRequestHandler).serve_forever()"
GET = "import os, sys, urllib.request; print(urllib.request.urlopen(os.environ['ECS_CONTAINER_METADATA_URI_V4'] + sys.argv[1], timeout=20).read().decode())"
LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": "/shop", "awslogs-region": "eu-west-1"}}


def definition(name: str, image: str, **more) -> str:
    detector = {"name": "detector", "image": image, "command": [PYTHON, "-c", DETECTOR], "logConfiguration": LOGS}
    app = {
        "name": "app",
        "image": image,
        "command": [PYTHON, "-c", SERVE],
        "portMappings": [{"name": "http", "containerPort": 80, "appProtocol": "http"}],
    }
    containers = [app, {**detector, "essential": False}]
    return json.dumps({"kind": "TaskDefinition", "family": name, "containerDefinitions": containers, **more})


def service(name: str, **more) -> str:
    return json.dumps({"kind": "Service", "serviceName": name, "taskDefinition": name, "desiredCount": 1, **more})


CONNECT = {
    "enabled": True,
    "namespace": "shop",
    "services": [{"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]}],
}


def manifests(image: str) -> str:
    return "\n---\n".join(
        [
            json.dumps({"kind": "Namespace", "name": "shop"}),
            definition("web", image, requiresCompatibilities=["FARGATE"], memory="512", cpu="256"),
            service("web", serviceConnectConfiguration=CONNECT),
            definition("plain", image),
            service("plain"),
        ]
    )


@pytest.fixture(scope="module", params=["linux", "docker"])
def runtime(request):
    return request.param


@pytest.fixture(scope="module")
def image(runtime, request):
    """An image with Python in it; nobody looks for it in the linux runtime."""
    return request.getfixturevalue("engine").base if runtime == "docker" else "otel/collector:1"


@pytest.fixture(scope="module")
def mesh(runtime, image, request, tmp_path_factory):
    path = tmp_path_factory.mktemp("metadata") / "mesh.yaml"
    path.write_text(manifests(image))
    engine = request.getfixturevalue("engine").host if runtime == "docker" else "unix:///nowhere"
    with Mesh(path, runtime=runtime, environment={"DOCKER_HOST": engine}) as running:
        running.wait_steady()
        yield running


@pytest.fixture
def engine_knows(runtime, request):
    """Whether the engine has a container with this ID."""
    if runtime == "linux":
        return lambda _: False
    engine = request.getfixturevalue("engine")
    return lambda identifier: identifier in engine.docker("ps", "--no-trunc", "--quiet").split()


def detected(mesh, name: str):
    """What the detector of the service's task found at its start."""
    mesh.wait_until(lambda: mesh.logs(name, "detector"), 60, "the detector has told")
    return json.loads(mesh.logs(name, "detector")[0])


def asked(mesh, name: str, path: str = ""):
    return mesh.execute(name, PYTHON, "-c", GET, path, container="app")


def read(mesh, name: str, path: str = ""):
    done = asked(mesh, name, path)
    assert done.exit_code == 0, done
    return json.loads(done.stdout)


def test_a_detector_finds_its_own_task(mesh, image):
    assert detected(mesh, "web") == {
        "cloud.provider": "aws",
        "cloud.region": "us-east-1",
        "cloud.account.id": "000000000000",
        "aws.ecs.cluster.arn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
        "aws.ecs.task.id": task_id(mesh.task("web")),
        "aws.ecs.task.family": "web",
        "aws.ecs.task.revision": "1",
        "aws.ecs.launchtype": "fargate",
        "aws.log.group.names": ["/shop"],
        "container.name": "detector",
        "container.image": image,
        "siblings": ["app", "detector"],
    }


def test_each_task_and_each_container_reads_of_itself_with_a_proxy_or_without(mesh):
    plain = detected(mesh, "plain")
    assert (plain["aws.ecs.task.family"], plain["aws.ecs.task.id"]) == ("plain", task_id(mesh.task("plain")))
    assert read(mesh, "plain")["Name"] == "app"
    assert read(mesh, "web", "/task")["Limits"] == {"CPU": 0.25, "Memory": 512}
    addresses = [read(mesh, name)["Networks"][0]["IPv4Addresses"] for name in ("web", "plain")]
    assert addresses == [[mesh.task(name).task.status.ip] for name in ("web", "plain")]


def test_a_container_has_the_id_that_its_engine_knows(mesh, runtime, engine_knows):
    known = engine_knows(read(mesh, "web")["DockerId"])
    assert known == (runtime == "docker")
    assert ("ImageID" in read(mesh, "web")) == (runtime == "docker")


def test_what_a_container_uses_is_told(mesh):
    stats, of_task = read(mesh, "web", "/stats"), read(mesh, "web", "/task/stats")
    assert stats["memory_stats"]["usage"] > 1024 * 1024
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert set(of_task) == {one["DockerId"] for one in read(mesh, "web", "/task")["Containers"]}
    mesh.wait_until(lambda: "network_rate_stats" in read(mesh, "web", "/stats"), 60, "a sample after the first")


def test_the_next_node_agent_answers_as_well(mesh):
    before = read(mesh, "web", "/task")
    kill_node_agent(mesh)
    mesh.wait_until(
        lambda: asked(mesh, "web", "/task").exit_code == 0, 60, "an endpoint: containers have their own later"
    )
    after = read(mesh, "web", "/task")
    assert after["Containers"][0]["DockerId"] == before["Containers"][0]["DockerId"]
    assert after["TaskARN"] == before["TaskARN"]


def test_there_are_no_credentials_and_no_other_task(mesh):
    program = (
        "import os, urllib.request, urllib.error\n"
        "print(*(name in os.environ for name in ('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', 'ECS_AGENT_URI')))\n"
        "for path in ('/v2/credentials/x', '/v4/x'):\n"
        "    try: urllib.request.urlopen('http://169.254.170.2' + path, timeout=20)\n"
        "    except urllib.error.HTTPError as error: print(error.code, error.read().decode())\n"
    )
    done = mesh.execute("web", PYTHON, "-c", program, container="app")
    variables, credentials, unknown = done.stdout.decode().splitlines()
    assert variables == "False False"
    assert credentials.startswith('400 {"code": "InvalidIdInRequest"')
    assert unknown.startswith('404 "V4 container metadata handler: unable to get container ID from request')
