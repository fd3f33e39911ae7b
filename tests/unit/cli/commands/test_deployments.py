"""deployments, describe deployment, rollback and deployment stop: what they show, what they write, how they end."""

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
