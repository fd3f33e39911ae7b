"""An `up` that is killed in the midst of a deployment: the next `up` of that home goes on with it, from its stage."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.e2e.commands import tsunagu
from tsunagu.settings import Home
from tsunagu.testing.apis import Apis

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

STAGES = ("PRE_SCALE_UP", "POST_SCALE_UP", "PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT")
DEFINITION = """
family: web
containerDefinitions:
- name: web
  image: web
  command: ["python3", "-m", "http.server", "8080"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
  environment: [{{name: VERSION, value: "{version}"}}]
"""
SERVICE = f"""
serviceName: web
taskDefinition: web
desiredCount: 1
deploymentConfiguration:
  strategy: BLUE_GREEN
  bakeTimeInMinutes: 0
  lifecycleHooks: [{{targetType: PAUSE, lifecycleStages: [{", ".join(STAGES)}]}}]
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: web}}]}}]
"""


class Killed:
    """A mesh whose `up` dies and is started again, with the same manifest in the same home."""

    def __init__(self, folder):
        self.home = Home(folder / "m")
        self.manifest = folder / "mesh.yaml"
        self.manifest.write_text(f"{DEFINITION.format(version=1)}---{SERVICE}")

    def up(self, code=0, timeout=60):
        return tsunagu(self, "up", "--detach", "--timeout", timeout, self.manifest, code=code)

    def kill(self):
        os.kill(int(self.home.pid.read_text()), signal.SIGKILL)

    def of(self, kind, prefix=""):
        apis = Apis(self.home.api_socket)
        try:
            return apis.objects(kind, prefix)
        finally:
            apis.close()

    def deployment(self):
        """The present one, and how many tasks of its source and of its target run."""
        body = max(self.of("ServiceDeployment"), key=lambda one: one.meta.created_revision).service_deployment
        running = [one.task for one in self.of("Task") if one.task.status.last_status == "RUNNING"]
        counts = [
            sum(one.spec.service_revision == name for one in running)
            for name in (body.source_revision, body.target_revision)
        ]
        return SimpleNamespace(
            body=body, source=counts[0], target=counts[1], counted=(body.lifecycle_stage, counts[0], counts[1])
        )

    def until(self, holds, what):
        deadline = time.monotonic() + 60
        while not holds(there := self.deployment()):
            assert time.monotonic() < deadline, f"{what}: {there}"
            time.sleep(0.05)


@pytest.fixture
def mesh():
    folder = Path(tempfile.mkdtemp(prefix="tsunagu-", dir="/tmp"))
    made = Killed(folder)
    try:
        yield made
    finally:
        tsunagu(made, "down", "--now")
        shutil.rmtree(folder)


@pytest.mark.slow("an `up` for each stage in which it is killed")
def test_the_next_up_goes_on_from_the_stored_stage(mesh):
    assert "steady after" in mesh.up()
    (mesh.manifest.parent / "version-2.yaml").write_text(DEFINITION.format(version=2))
    tsunagu(mesh, "apply", mesh.manifest.parent / "version-2.yaml")
    tsunagu(mesh, "deploy", "web", "--task-definition", "web", "--no-follow")
    for stage, target in zip(STAGES, (0, 1, 1, 1), strict=True):
        mesh.until(lambda there, now=stage: there.body.lifecycle_stage == now, stage)
        mesh.kill()
        said = mesh.up(code=7, timeout=1)  # it is not steady: it waits for the user
        assert "the mesh that was killed has these manifests: it goes on from where it was" in said
        assert f"it is paused at {stage} for `tsunagu deployment continue web`" in said
        mesh.until(lambda there, want=(stage, 1, target): there.counted == want, f"{stage} with its tasks")
        assert mesh.deployment().body.circuit_breaker.failure_count == 0
        tsunagu(mesh, "deployment", "continue", "web", "--no-follow")
    mesh.until(lambda there: there.body.status == "SUCCESSFUL" and (there.source, there.target) == (0, 1), "its end")


@pytest.mark.slow("three starts of a mesh")
def test_a_changed_manifest_is_applied_to_the_mesh_that_goes_on_and_down_forgets_it(mesh):
    mesh.up()
    before = {one.meta.name for one in mesh.of("Task")}
    mesh.kill()
    mesh.manifest.write_text(mesh.manifest.read_text().replace("desiredCount: 1", "desiredCount: 2"))
    assert "service default/web changed" in mesh.up()
    assert before < {one.meta.name for one in mesh.of("Task")}  # the records of what ran are still there
    mesh.kill()
    assert "what a killed one left there is deleted" in tsunagu(mesh, "down")
    assert "service default/web created" in mesh.up()
