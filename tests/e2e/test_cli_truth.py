"""What a user is told while things go wrong, and while apps are edited: every view says the same."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APP = """
import http.server, os
print("hello from", os.environ["WORD"], flush=True)
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), App).serve_forever()
"""

MANIFEST = """
kind: Image
name: web
pattern: web*
command: [python3, app.py]
workingDirectory: app
---
kind: TaskDefinition
family: web
networkMode: awsvpc
memory: "128"
containerDefinitions:
- name: app
  image: web:1
  environment: [{name: WORD, value: one}]
  portMappings: [{name: web, containerPort: 80, appProtocol: http}]
---
kind: Service
serviceName: web
taskDefinition: web
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: web, clientAliases: [{port: 80, dnsName: web}]}]
"""


def written(folder: Path) -> Path:
    (folder / "app").mkdir()
    (folder / "app" / "app.py").write_text(APP)
    (folder / "web.yaml").write_text(MANIFEST)
    return folder / "web.yaml"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return written(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def mesh(manifest):
    with Mesh(manifest) as running:
        running.wait_steady()
        yield running


def command(home: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "tsunagu.cli", str(words[0]), "--home", str(home), *map(str, words[1:])]


def tsunagu(mesh, *words, code=0):
    done = subprocess.run(
        command(mesh.home.root, *words), capture_output=True, text=True, timeout=90, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_a_failing_roll_out_is_told_alike_by_every_view_and_ends_with_the_next_good_one(mesh, manifest):
    (manifest.parent / "bad.yaml").write_text(MANIFEST.replace("name: WORD", "name: WRD"))
    tsunagu(mesh, "apply", manifest.parent / "bad.yaml")
    why = "Essential container in task exited: app, with code 1; last line of app: KeyError: 'WORD'"
    mesh.wait_until(lambda: "in a row" in mesh.get("Service", "default/web").service.status.reason, 60, "a failure")
    for words, code in (
        (("get", "services"), 0),
        (("describe", "service", "web"), 0),
        (("ps", "--all"), 0),
    ):
        assert why in tsunagu(mesh, *words, code=code), words
    waits = ("wait", "--steady", "--timeout", "1")  # in which a busy control plane may not even have answered
    mesh.wait_until(lambda: why in tsunagu(mesh, *waits, code=7), 60, "a wait that tells why")
    assert "tasks of an earlier revision are being replaced: 0 of 1" in tsunagu(mesh, "get", "services")
    tsunagu(mesh, "apply", manifest)
    tsunagu(mesh, "wait", "--steady")


def test_a_restart_replaces_the_tasks_and_logs_that_are_followed_go_on_with_the_new_one(mesh):
    before, known = (
        task_id(mesh.task("web")),
        {task_id(task) for task in mesh.tasks("web")},
    )  # one of them may still drain
    with subprocess.Popen(
        command(mesh.home.root, "logs", "-f", "web"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as following:
        assert following.stdout.readline().endswith(" | hello from one\n")
        tsunagu(mesh, "restart", "web")
        line = next(line for line in following.stdout if line.partition(" ")[0] not in known)
        following.kill()
    tsunagu(mesh, "wait", "--steady")
    after = task_id(mesh.task("web"))
    assert after != before
    assert line == f"{after} | hello from one\n"


def test_a_service_that_is_named_means_its_running_task_and_a_killed_envoy_leaves_a_trace(mesh):
    task = task_id(mesh.task("web"))
    assert f"task {task} of default/web" in tsunagu(mesh, "exec", "web", "--", "true")
    mesh.kill("envoy:web")
    mesh.wait_until(lambda: mesh.task(task).task.status.proxy.restarts == 1, 60, "the restart of the Envoy")
    assert "envoy 1 (exit code 137)" in tsunagu(mesh, "ps")
    mesh.wait_steady()


@pytest.mark.slow("a mesh of its own, whose files are edited")
def test_up_watch_follows_manifests_and_the_folders_of_images(tmp_path):
    manifest, home, output = written(tmp_path), tmp_path / "m", tmp_path / "out"
    with output.open("w") as out, subprocess.Popen(command(home, "up", "--watch", manifest), stdout=out) as process:

        def told(text: str, times: int = 1) -> None:
            deadline = time.monotonic() + 60
            while output.read_text().count(text) < times:
                assert time.monotonic() < deadline, (text, output.read_text())
                time.sleep(0.05)

        told("watching the manifests")
        manifest.write_text(MANIFEST.replace("value: one", "value: two"))
        told("service default/web changed")
        told("steady again")
        manifest.write_text("kind: Nonsense\n")
        told("not applied:")
        manifest.write_text(MANIFEST.replace("value: one", "value: two"))
        (tmp_path / "app" / "app.py").write_text(APP + "\n")
        told("app.py changed: service default/web is restarted")
        told("steady again", 2)
        process.terminate()
        assert process.wait(60) == 0
