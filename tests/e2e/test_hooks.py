"""Lifecycle hooks on a real mesh: a command, a URL and a pause hold a deployment, let it go on, and take it back."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.deployed import present
from tests.e2e.commands import tsunagu
from tests.e2e.functions import function
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

COMMAND, LASTING, URL, NOTHING = (
    f"arn:aws:lambda:eu-west-1:123456789012:function:{name}" for name in ("command", "lasting", "url", "none")
)

DEFINITION = """
family: {name}
containerDefinitions:
- name: web
  image: web
  command: ["python3", "-m", "http.server", "8080"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
  environment: [{{name: VERSION, value: "{version}"}}]
"""
SERVICE = """
serviceName: {name}
taskDefinition: {name}
desiredCount: 1
deploymentConfiguration: {{strategy: BLUE_GREEN, bakeTimeInMinutes: 0, lifecycleHooks: [{hooks}]}}
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{{portName: http, discoveryName: {name}, clientAliases: [{{port: 80, dnsName: {name}}}]}}]
"""

#: Keeps what it was given in `events` beside it, and answers with what is in `reply`.
SCRIPT = """
import json, pathlib, sys
with open("events", "a") as file:
    print(json.dumps(json.load(sys.stdin)), file=file)
print(pathlib.Path("reply").read_text())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("hooks")
    (made / "hook.py").write_text(SCRIPT)
    return made


@pytest.fixture(scope="module")
def url():
    with function() as made:
        yield made


@pytest.fixture(scope="module")
def mesh(folder, url):
    command = f"sh -c 'cd {folder} && exec {sys.executable} hook.py'"
    lasting = f"""sh -c 'cd {folder}; echo $$ >> calls; until [ -e go ]; do sleep 0.05; done; cat go'"""
    with Mesh(hooks={COMMAND: command, LASTING: lasting, URL: url.url}) as made:
        yield made


def write(path, reply):
    """Whoever reads meanwhile gets the one or the other."""
    (written := path.with_suffix(".new")).write_text(json.dumps(reply))
    written.replace(path)


def begin(mesh, name, hook, version=2):
    """A deployment of `name` from version 1 to that version, with the hook."""
    if mesh.get("Service", f"default/{name}") is None:
        mesh.apply(text=DEFINITION.format(name=name, version=1) + "---" + SERVICE.format(name=name, hooks=hook))
        mesh.wait_until(lambda: is_completed(mesh, name), 60, "version 1")
    mesh.apply(text=DEFINITION.format(name=name, version=version))
    tsunagu(mesh, "deploy", name, "--task-definition", name, "--no-follow")


def is_completed(mesh, name):
    return mesh.get("Service", f"default/{name}").service.status.rollout_state == "COMPLETED"


def over(mesh, name):
    """The deployment, once it is over."""
    mesh.wait_until(lambda: present(mesh, name).HasField("finished_at"), 60, "the deployment's end")
    return present(mesh, name)


def hook_of(arn, stage="POST_SCALE_UP", more=""):
    return f"{{hookTargetArn: '{arn}', lifecycleStages: [{stage}]{more}}}"


@pytest.mark.slow("the first mesh of the module, and calls a second apart")
def test_a_command_is_asked_again_until_it_says_that_it_is_done(mesh, folder):
    write(folder / "reply", {"hookStatus": "IN_PROGRESS", "callBackDelay": 1, "hookDetails": {"turn": 2}})
    begin(mesh, "cmd", hook_of(COMMAND, more=", hookDetails: {turn: 1}"))

    def events():
        return [json.loads(line) for line in (folder / "events").read_text().splitlines()]

    mesh.wait_until(lambda: (folder / "events").exists() and len(events()) > 1, 60, "a second call")
    waits = "is in POST_SCALE_UP; it waits for hook command at POST_SCALE_UP (call "
    mesh.wait_until(lambda: waits in mesh.get("Service", "default/cmd").service.status.reason, 60, "the reason")
    write(folder / "reply", {"hookStatus": "SUCCEEDED"})
    assert over(mesh, "cmd").status == "SUCCESSFUL"
    first, second, *_ = events()
    assert (first["lifecycleStage"], first["hookDetails"], second["hookDetails"]) == (
        "POST_SCALE_UP",
        {"turn": 1},
        {"turn": 2},
    )
    assert first["executionId"] == second["executionId"]
    target = present(mesh, "cmd").target_revision
    details = first["executionDetails"]
    assert details["targetServiceRevisionArn"] == f"arn:aws:ecs:eu-west-1:123456789012:service-revision/{target}"
    assert sorted(details["productionTrafficWeights"].values()) == [0, 100]


def test_a_call_in_flight_ends_with_its_control_plane_and_is_made_again_by_the_next(mesh, folder):
    def calls():
        return (folder / "calls").read_text().split() if (folder / "calls").exists() else []

    begin(mesh, "last", hook_of(LASTING))
    mesh.wait_until(calls, 60, "a call")
    mesh.kill("serve")
    mesh.wait_until(lambda: len(calls()) > 1, 60, "the same call by the next control plane")
    mesh.wait_until(lambda: not Path("/proc", calls()[0]).exists(), 60, "the end of the first command")
    mesh.wait_until(mesh.answers, 60, "another control plane")
    assert present(mesh, "last").lifecycle_stage == "POST_SCALE_UP"
    write(folder / "go", {"hookStatus": "SUCCEEDED"})
    assert over(mesh, "last").status == "SUCCESSFUL"
    assert len(calls()) == 2


def test_a_url_that_says_failed_takes_the_deployment_back(mesh, url):
    url.reply = {"hookStatus": "FAILED"}
    begin(mesh, "url", hook_of(URL, "POST_PRODUCTION_TRAFFIC_SHIFT"))
    found = over(mesh, "url")
    why = "hook url at POST_PRODUCTION_TRAFFIC_SHIFT failed: it answered FAILED"
    assert (found.status, found.status_reason) == ("ROLLBACK_SUCCESSFUL", why)
    assert url.events[-1]["executionDetails"]["productionTrafficWeights"] == {
        f"arn:aws:ecs:eu-west-1:123456789012:service-revision/{found.target_revision}": 100,
        f"arn:aws:ecs:eu-west-1:123456789012:service-revision/{found.source_revision}": 0,
    }


def test_a_function_that_nothing_stands_for_takes_it_back_and_says_what_to_do(mesh):
    begin(mesh, "none", hook_of(NOTHING, "PRE_SCALE_UP"))
    found = over(mesh, "none")
    assert found.status == "ROLLBACK_SUCCESSFUL"
    assert f"nothing is mapped to {NOTHING}: give `--hook {NOTHING}=COMMAND`" in found.status_reason


@pytest.mark.slow("three deployments, and seven commands")
def test_a_user_takes_a_paused_deployment_back_and_lets_the_next_one_go_on(mesh):
    begin(mesh, "pause", "{targetType: PAUSE, lifecycleStages: [POST_TEST_TRAFFIC_SHIFT]}")
    mesh.wait_until(lambda: present(mesh, "pause").lifecycle_stage == "POST_TEST_TRAFFIC_SHIFT", 60, "the pause")
    said = tsunagu(mesh, "deployment", "continue", "pause", "--rollback")
    assert "ROLLBACK at POST_TEST_TRAFFIC_SHIFT" in said
    assert "ROLLBACK_SUCCESSFUL" in said
    begin(mesh, "pause", "", version=3)
    mesh.wait_until(lambda: present(mesh, "pause").lifecycle_stage == "POST_TEST_TRAFFIC_SHIFT", 60, "the pause")
    said = tsunagu(mesh, "wait", "--steady", "--timeout", "3", code=7)
    assert "it is paused at POST_TEST_TRAFFIC_SHIFT for `tsunagu deployment continue pause` (until " in said
    assert "SUCCESSFUL" in tsunagu(mesh, "deployment", "continue", "pause")
    events = [event.message for event in mesh.get("Service", "default/pause").service.status.events]
    assert any("the PAUSE hook at POST_TEST_TRAFFIC_SHIFT SUCCEEDED: the user continued it." in one for one in events)
