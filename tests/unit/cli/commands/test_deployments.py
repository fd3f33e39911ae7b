"""deployments, describe deployment, rollback, deployment continue and stop: what they show, what they write, how they end."""

import json

import pytest

from tsunagu.cli import errors
from tsunagu.model import ids
from tsunagu.v1 import deployments_pb2


@pytest.fixture
def mesh(server, tsunagu, shop):
    """The shop, with a deployment of `web` that was successful, and one in progress."""
    tsunagu("apply", shop, "--home", server.home.root)
    for number, status in ((3, "SUCCESSFUL"), (7, "IN_PROGRESS")):
        body = deployments_pb2.ServiceDeployment(
            status=status, lifecycle_stage="BAKE_TIME", target_revision=f"default/web/{number:012x}"
        )
        body.created_at.seconds = number
        server.do(server.registry.put(ids.make("ServiceDeployment", f"default/web/{number}", body)))

    def name_the_present_one(obj):
        obj.service.status.deployment = 7

    server.do(server.registry.update("Service", "default/web", name_the_present_one))
    return server


def run(tsunagu, mesh, *arguments):
    return tsunagu(*arguments, "--home", mesh.home.root)


def status(mesh, number=7):
    found = mesh.do(mesh.registry.get("ServiceDeployment", f"default/web/{number}"))
    return found.service_deployment.status


def test_they_are_listed_newest_first(mesh, tsunagu):
    for words in (["deployments"], ["deployments", "web"]):
        lines = run(tsunagu, mesh, *words).stdout.splitlines()
        assert lines[0].split()[:3] == ["NAME", "STATUS", "STAGE"]
        assert [line.split()[:2] for line in lines[1:]] == [
            ["default/web/7", "IN_PROGRESS"],
            ["default/web/3", "SUCCESSFUL"],
        ]
    shown = json.loads(run(tsunagu, mesh, "deployments", "-o", "json").stdout)
    assert [one["status"] for one in shown] == ["IN_PROGRESS", "SUCCESSFUL"]


def test_one_is_described_by_its_name(mesh, tsunagu):
    assert "lifecycleStage: BAKE_TIME" in run(tsunagu, mesh, "describe", "deployment", "default/web/7").stdout


@pytest.mark.parametrize(
    ("words", "asked"),
    [(["rollback", "web", "--no-follow"], "ROLLBACK_REQUESTED"), (["deployment", "stop", "web"], "STOP_REQUESTED")],
)
def test_a_user_asks_by_a_status(mesh, tsunagu, words, asked):
    assert run(tsunagu, mesh, *words).exit_code == errors.OK
    assert status(mesh) == asked
    again = run(tsunagu, mesh, *words)
    assert again.exit_code == errors.USAGE
    assert f"deployment 7 is not in progress: it is {asked}" in again.stderr
    assert status(mesh, 3) == "SUCCESSFUL"


def test_a_rollback_that_is_followed_for_a_time_goes_on_afterwards(mesh, tsunagu, monkeypatch):
    async def without_samples(_link, _service, side):
        return side

    monkeypatch.setattr("tsunagu.cli.commands.deployments.deploy._seen", without_samples)
    done = run(tsunagu, mesh, "rollback", "web", "--timeout", "0.3")
    assert done.exit_code == errors.NOT_CONVERGED
    assert "deployment default/web/7 is not over after 0.3 s; it goes on" in done.stderr


def test_a_deploy_writes_what_is_asked_and_says_when_nothing_begins(mesh, tsunagu, monkeypatch):
    monkeypatch.setattr("tsunagu.cli.commands.deployments.deploy._BEGINS_WITHIN", 0.3)
    done = run(tsunagu, mesh, "deploy", "web", "--strategy", "canary", "--bake", "1m30s")
    assert done.exit_code == errors.NOT_CONVERGED
    assert "no deployment of default/web has begun" in done.stderr
    service = mesh.do(mesh.registry.get("Service", "default/web")).service
    assert (service.next_deployment.strategy, service.next_deployment.bake_seconds) == ("CANARY", 90.0)
    assert service.forced_deployments == 1


def pause(mesh, *stages):
    def change(obj):
        body = obj.service_deployment
        body.service = "web"
        for index, stage in enumerate(stages):
            hook = body.lifecycle_hooks.add(
                hook_id=f"{stage}-0-{index}", status="AWAITING_ACTION", target_type="PAUSE", lifecycle_stage=stage
            )
            hook.timeout_action = "ROLLBACK"
            hook.expires_at.seconds = 1_800_000_000

    mesh.do(mesh.registry.update("ServiceDeployment", "default/web/7", change))


def answers(mesh):
    found = mesh.do(mesh.registry.get("ServiceDeployment", "default/web/7"))
    return [hook.answer.status for hook in found.service_deployment.lifecycle_hooks]


@pytest.mark.parametrize(
    ("words", "written", "says"), [([], "SUCCEEDED", "CONTINUE"), (["--rollback"], "FAILED", "ROLLBACK")]
)
def test_a_user_continues_what_a_hook_pauses_or_takes_it_back(mesh, tsunagu, words, written, says):
    pause(mesh, "POST_SCALE_UP")
    done = run(tsunagu, mesh, "deployment", "continue", "web", "--no-follow", *words)
    assert (done.exit_code, done.stdout) == (errors.OK, f"deployment default/web/7: {says} at POST_SCALE_UP\n")
    assert answers(mesh) == [written]


def test_of_several_pauses_one_is_named(mesh, tsunagu):
    pause(mesh, "POST_SCALE_UP", "POST_SCALE_UP")
    asked = run(tsunagu, mesh, "deployment", "continue", "web", "--no-follow")
    assert asked.exit_code == errors.USAGE
    assert "is paused by 2 hooks; name one with --hook: POST_SCALE_UP-0-0, POST_SCALE_UP-0-1" in asked.stderr
    other = run(tsunagu, mesh, "deployment", "continue", "web", "--no-follow", "--hook", "BAKE-0-0")
    assert "is not paused by hook 'BAKE-0-0', but by POST_SCALE_UP-0-0" in other.stderr
    run(tsunagu, mesh, "deployment", "continue", "web", "--no-follow", "--hook", "POST_SCALE_UP-0-1")
    assert answers(mesh) == ["", "SUCCEEDED"]


def test_what_is_not_paused_is_not_continued(mesh, tsunagu):
    done = run(tsunagu, mesh, "deployment", "continue", "web")
    assert done.exit_code == errors.USAGE
    assert "deployment 7 is not paused: it is IN_PROGRESS" in done.stderr


def test_what_pauses_it_and_until_when_is_described(mesh, tsunagu):
    pause(mesh, "POST_SCALE_UP")
    said = run(tsunagu, mesh, "describe", "deployment", "default/web/7").stdout
    assert "hookId: POST_SCALE_UP-0-0" in said
    assert "expiresAt: '2027-01-15T08:00:00Z'" in said
