"""SIGKILL of the control plane and of the node agent in each stage of a deployment: the table of docs/deployments.md, row by row.

One mesh, and one canary for each of the two processes. Hooks hold the stages that are over at once otherwise, bake times those
that bake; SCALE_UP and CLEAN_UP are held by tasks that do not get ready. In each stage: kill, look that everything is as before, go on. All the time
there is load without retries, of which nothing may fail.
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from benchmarks.deployed import present
from tests.e2e.commands import tsunagu
from tests.e2e.functions import function
from tests.e2e.next_agent import kill_node_agent
from tsunagu.model.statuses import Stage
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:hold"
PATIENCE = 60
BAKE = 3600.0  # seconds: as long as the test wants

#: Stage -> RUNNING tasks of the source, of the target, and the target's weight in tenths of a percent (None: no weights).
ROWS = {
    "RECONCILE_SERVICE": (2, 0, None),
    "PRE_SCALE_UP": (2, 0, 0),
    "SCALE_UP": (2, 0, 0),
    "POST_SCALE_UP": (2, 2, 0),
    "TEST_TRAFFIC_SHIFT": (2, 2, 0),
    "POST_TEST_TRAFFIC_SHIFT": (2, 2, 0),
    "PRE_PRODUCTION_TRAFFIC_SHIFT": (2, 2, 0),
    "PRODUCTION_TRAFFIC_SHIFT": (2, 2, 100),
    "POST_PRODUCTION_TRAFFIC_SHIFT": (2, 2, 1000),
    "BAKE_TIME": (2, 1, 1000),
    "CLEAN_UP": (1, 1, 1000),
}
ORDER = list(ROWS)
CALLED = ("TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
PAUSED = [stage for stage in ORDER if stage not in {*CALLED, "SCALE_UP", "BAKE_TIME", "CLEAN_UP"}]

DEFINITION = """
family: web
containerDefinitions:
- name: web
  image: web
  command: [sh, -c, "until [ -e {gate} ]; do sleep 0.05; done; exec python3 -m http.server --directory /usr/share 8080 2> /dev/null"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
  environment: [{{name: VERSION, value: "{version}"}}]
"""
SERVICE = f"""
serviceName: web
taskDefinition: web
desiredCount: 2
deploymentConfiguration:
  strategy: CANARY
  canaryConfiguration: {{canaryPercent: 10.0}}
  deploymentCircuitBreaker: {{enable: true, rollback: true}}
  lifecycleHooks:
  - {{targetType: PAUSE, lifecycleStages: [{", ".join(PAUSED)}]}}
  - {{hookTargetArn: '{FUNCTION}', lifecycleStages: [{", ".join(CALLED)}]}}
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: web}}]}}]
"""
IN_PROGRESS = {"hookStatus": "IN_PROGRESS", "callBackDelay": 1}


class Held:
    """A deployment that is led from stage to stage. Tasks that start wait at the gate while it is closed."""

    def __init__(self, mesh, gate, hold):
        self.mesh, self.gate, self.hold = mesh, gate, hold
        self.version = 1
        hold.reply = IN_PROGRESS
        gate.touch()
        mesh.apply(text=f"{DEFINITION.format(gate=gate, version=1)}---{SERVICE}")
        mesh.wait_steady()

    @property
    def now(self):
        """The present deployment."""
        return present(self.mesh, "web")

    @property
    def place(self):
        return self.now.status, self.now.lifecycle_stage, self.now.step

    def running(self):
        """Names of the RUNNING tasks of the source, and of the target."""
        body, tasks = self.now, [one for one in self.mesh.tasks("web") if one.task.spec.desired_status == "RUNNING"]
        up = [one for one in tasks if one.task.status.last_status == "RUNNING"]
        return [
            sorted(one.meta.name for one in up if one.task.spec.service_revision == name)
            for name in (body.source_revision, body.target_revision)
        ]

    def weight(self):
        """That of the target; None: there are none."""
        shares = self.mesh.get("Service", "default/web").service.status.traffic.weights
        return next((one.weight for one in shares if one.revision == self.now.target_revision), None)

    def row(self):
        source, target = self.running()
        return len(source), len(target), self.weight()

    def until(self, condition, what):
        self.mesh.wait_until(condition, PATIENCE, what)

    def reach(self, stage):
        """Lead it to that stage, from where it is; a new one, if it is past it."""
        if self.now.status != "IN_PROGRESS" or ORDER.index(self.now.lifecycle_stage) > ORDER.index(stage):
            self.finish()
            self.begin()
            if stage == "RECONCILE_SERVICE":  # which has hooks only where more than one revision runs
                self.reach("POST_SCALE_UP")
                self.begin()
        while self.now.lifecycle_stage != stage:
            self.leave()
        self.until(lambda: self.row() == ROWS[stage], f"{stage} as {ROWS[stage]}")

    def begin(self):
        self.version += 1
        before = self.mesh.get("Service", "default/web").service.status.deployment
        self.mesh.apply(text=DEFINITION.format(gate=self.gate, version=self.version))
        tsunagu(self.mesh, "deploy", "web", "--task-definition", "web", "--bake", "1h", "--no-follow")
        assert self.mesh.get("Service", "default/web").service.status.deployment > before

    def finish(self):
        if self.now.status == "IN_PROGRESS":
            tsunagu(self.mesh, "rollback", "web")

    def leave(self):
        """Go on to the next step or stage."""
        _, stage, _ = was = self.place
        if stage == "PRE_SCALE_UP":
            self.gate.unlink(missing_ok=True)
        if stage in ("SCALE_UP", "CLEAN_UP"):
            self.gate.touch()
        if stage in ("PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"):
            self.bake(0.0)
        if stage == "POST_PRODUCTION_TRAFFIC_SHIFT":
            self.bake(BAKE)
            self.lose_one()
        if stage in PAUSED:
            tsunagu(self.mesh, "deployment", "continue", "web", "--no-follow")
        if stage in CALLED:
            self.hold.reply = {"hookStatus": "SUCCEEDED"}
        self.until(lambda: self.place != was, f"the end of {stage}")
        self.hold.reply = IN_PROGRESS

    def bake(self, seconds):
        """The deployment bakes so long."""

        def change(obj):
            obj.service_deployment.request.bake_seconds = seconds

        number = self.mesh.get("Service", "default/web").service.status.deployment
        self.mesh.apis.update("ServiceDeployment", f"default/web/{number}", change)

    def lose_one(self):
        """A task of the target stops in order, and the next one does not come up: so CLEAN_UP will not be over."""
        self.gate.unlink(missing_ok=True)
        self.mesh.stop(self.running()[1][0].rpartition("/")[2])
        self.until(lambda: len(self.running()[1]) == 1, "one task less of the target")


@pytest.fixture(scope="module")
def held():
    folder = Path(tempfile.mkdtemp(prefix="tsunagu-gate-", dir="/tmp"))
    folder.chmod(0o755)  # the tasks are another user
    try:
        with function() as hold, Mesh(hooks={FUNCTION: hold.url}) as mesh:
            made = Held(mesh, folder / "open", hold)
            made.url = f"http://{mesh.publish('web')}/"
            yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def load(held):
    with held.mesh.load(held.url, Plan(late=60, rps=50, connections=5)) as running:
        running.wait_requests(20)
        yield running


def kill(mesh, what):
    if what == "node":
        kill_node_agent(mesh)
    else:
        mesh.kill(what)
        mesh.wait_until(mesh.answers, PATIENCE, "another control plane")


@pytest.mark.slow("the first row starts the mesh, others lead the deployment to their stage")
@pytest.mark.parametrize(("what", "stage"), [(what, stage) for what in ("serve", "node") for stage in ORDER])
def test_a_deployment_is_where_it_was_after_a_kill(held, load, what, stage):
    held.reach(stage)
    tasks, number = held.running(), held.now.created_at
    kill(held.mesh, what)
    assert held.now.created_at == number
    assert (held.now.lifecycle_stage, held.row()) == (stage, ROWS[stage])
    assert held.running() == tasks
    assert load.report().failures == {}, load.report().first_failure
    if stage == ORDER[-1]:
        held.leave()
        assert held.now.status == "SUCCESSFUL", held.now.status_reason
        held.mesh.wait_steady()
        assert load.report().failures == {}, load.report().first_failure


def test_the_table_has_every_stage():
    assert [stage.value for stage in Stage] == ORDER
