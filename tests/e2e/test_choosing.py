"""Which runtime a mesh gets, and what it gives to a task definition: with a real engine."""

import json
import subprocess
import sys

import pytest

from tsunagu.model.errors import ManifestError
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SERVE = "import http.server; http.server.HTTPServer(('', 80), http.server.SimpleHTTPRequestHandler).serve_forever()"
CONNECT = {
    "enabled": True,
    "namespace": "shop",
    "services": [{"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]}],
}


@pytest.fixture(scope="module")
def image(engine):
    """An image that serves by itself, with a word of its own."""
    recipe = f"FROM BASE\nWORKDIR /site\nCOPY word .\nCMD {json.dumps(['python3', '-c', SERVE])}\n"
    return engine.image("choosing", recipe, {"word": "from the image"})


def manifests(image: str, name: str = "web", container=None, **more) -> str:
    port = {"name": "http", "containerPort": 80, "appProtocol": "http"}
    app = {"name": "app", "image": image, "portMappings": [port], **(container or {})}
    definition = {"kind": "TaskDefinition", "family": name, "memory": "256", "containerDefinitions": [app], **more}
    service = {"kind": "Service", "serviceName": name, "taskDefinition": name, "desiredCount": 1}
    namespace = {"kind": "Namespace", "name": "shop"}
    if name == "web":
        service["serviceConnectConfiguration"] = CONNECT
    return "\n---\n".join(map(json.dumps, (namespace, definition, service)))


@pytest.fixture(scope="module")
def mesh(engine, image, tmp_path_factory):
    """A mesh of which nobody said how it is to run."""
    folder = tmp_path_factory.mktemp("choosing")
    (folder / "mesh.yaml").write_text(manifests(image))
    with Mesh(folder / "mesh.yaml", environment={"DOCKER_HOST": engine.host}) as running:
        running.wait_steady()
        yield running


def test_a_container_without_a_command_runs_in_its_image(mesh, image, engine):
    assert mesh.call("http://web/word", from_task="web").text == "from the image"
    (node,) = mesh.objects("Node")
    why = f"container 'app' of web has no command, so that only its image {image!r} says what it runs"
    assert (node.node.runtime, node.node.runtime_reason.partition("; ")[0]) == ("docker", why)
    assert str(engine.socket) in node.node.runtime_reason


def test_what_reaches_beyond_a_task_is_refused_with_its_word(mesh, image):
    etc = [{"name": "etc", "host": {"sourcePath": "/etc"}}]
    for word, asked in {
        "privileged": {"container": {"privileged": True}},
        "binds": {"volumes": etc},
        "host-namespaces": {"pidMode": "host"},
    }.items():
        with pytest.raises(ManifestError, match=f"--allow {word}"):
            mesh.apply(text=manifests(image, "wild", **asked))
    assert mesh.get("Service", "default/wild") is None


def test_a_log_router_is_left_out_as_in_the_linux_runtime_and_logs_stay_here(mesh, image):
    """Unless it has a command of its own: then it is a container like others."""
    said = {"command": ["sh", "-c", "echo hello; exec sleep 600"], "logConfiguration": {"logDriver": "awsfirelens"}}
    app = {**said, "dependsOn": [{"containerName": "log_router", "condition": "START"}]}
    router = {"name": "log_router", "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"}
    router["firelensConfiguration"] = {"type": "fluentbit"}
    own = {**router, "name": "own_router", "image": image, "command": ["sleep", "60"], "essential": False}
    namespace, definition, service = manifests(image, "firelens", app).split("\n---\n")
    definition = json.loads(definition)
    definition["containerDefinitions"] += [router, own]
    mesh.apply(text="\n---\n".join([namespace, json.dumps(definition), service]))
    mesh.wait_steady()
    mesh.wait_until(lambda: mesh.logs("firelens", "app"), 60, "a line: a container is RUNNING before it says anything")
    assert mesh.logs("firelens", "app") == ["hello"]
    assert {one.name for one in mesh.task("firelens").task.status.containers} == {"app", "own_router"}
    mesh.delete("Service", "default/firelens")


@pytest.mark.slow("a mesh of its own, with containers")
def test_a_folder_of_this_machine_is_seen_where_that_is_allowed(engine, image, tmp_path):
    (tmp_path / "word").write_text("of this machine")
    volumes = [{"name": "files", "host": {"sourcePath": str(tmp_path)}}]
    seen = {"mountPoints": [{"sourceVolume": "files", "containerPath": "/files", "readOnly": True}]}
    (tmp_path / "mesh.yaml").write_text(manifests(image, "web", seen, volumes=volumes))
    environment = {"DOCKER_HOST": engine.host}
    with Mesh(tmp_path / "mesh.yaml", runtime="docker", allow=["binds"], environment=environment) as mesh:
        mesh.wait_steady()
        assert list(mesh.objects("Node")[0].node.allowed) == ["binds"]
        assert mesh.execute("web", "cat", "/files/word").stdout == b"of this machine"


def up(folder, *options, host: str = ""):
    """The end of `tsunagu up`, which fails before anything runs."""
    command = [sys.executable, "-P", "-m", "tsunagu.cli", "up", "--home", str(folder / "m"), *options]
    environment = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": host or f"unix://{folder}/none", "HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment)


def test_docker_that_is_asked_for_and_is_not_there_is_an_error(tmp_path):
    (tmp_path / "mesh.yaml").write_text(manifests("shop/app:1", container={"command": ["true"]}))
    done = up(tmp_path, "--runtime", "docker", str(tmp_path / "mesh.yaml"))
    assert done.returncode == 1
    assert "--runtime docker: there is no container engine here" in done.stderr
    assert "start Docker, or use --runtime linux" in done.stderr


def test_a_container_that_nothing_can_run_is_an_error_that_names_both_ways(tmp_path):
    (tmp_path / "mesh.yaml").write_text(manifests("shop/app:1"))
    done = up(tmp_path, str(tmp_path / "mesh.yaml"))
    assert done.returncode == 3
    assert "container 'app' has no command, and no Image says what 'shop/app:1' runs" in done.stderr
    assert "or run it in its image (--runtime docker)" in done.stderr
