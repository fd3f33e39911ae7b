import pytest

from tsunagu.client import apply, manifest_files
from tsunagu.client.wait_steady import unsteady
from tsunagu.model import ids, revisions
from tsunagu.model.rules.validate import state_after
from tsunagu.v1 import deployments_pb2, objects_pb2


@pytest.fixture
def state(shop):
    made = apply.planned(manifest_files.read_manifests([shop]), {}, {})
    found = state_after({}, [change.object for change in made.changes])
    service = found["Service"]["default/web"]
    wanted, _ = revisions.resolve(service, found)
    service.service.status.MergeFrom(
        objects_pb2.ServiceStatus(
            revision=wanted, desired_count=2, running_count=2, updated_count=2, rollout_state="COMPLETED"
        )
    )
    return found


def status(state):
    return state["Service"]["default/web"].service.status


def test_a_service_that_is_as_wanted_is_steady(state):
    assert unsteady(state) == []


def test_a_change_that_nobody_has_seen_yet_is_not_steady(state):
    state["Service"]["default/web"].service.spec.desired_count = 3
    assert unsteady(state) == ["service default/web: 2 of 3 tasks run"]


def test_a_status_of_an_older_revision_is_not_steady(state):
    status(state).revision = "default/web/000000000000"
    assert unsteady(state) == ["service default/web: its change has not been taken up yet"]


def test_a_deployment_that_shifts_traffic_tells_what_it_waits_for(state):
    """Until all traffic has shifted the service stands for the source, though its change has long been taken up."""
    desired, before = status(state).revision, "default/web/000000000000"
    status(state).revision, status(state).deployment = before, 7
    body = deployments_pb2.ServiceDeployment(status="IN_PROGRESS", target_revision=desired, source_revision=before)
    state["ServiceDeployment"] = {"default/web/7": ids.make("ServiceDeployment", "default/web/7", body)}
    assert unsteady(state) == ["service default/web: its deployment goes on"]
    status(state).reason = "deployment 7 is in POST_SCALE_UP; it is paused"
    assert unsteady(state) == ["service default/web: deployment 7 is in POST_SCALE_UP; it is paused"]


def test_its_own_reason_is_told(state):
    status(state).reason = "no node"
    assert unsteady(state) == ["service default/web: no node"]


def test_tasks_of_the_old_revision_still_run(state):
    status(state).running_count = 3
    assert unsteady(state) == ["service default/web: 3 tasks run, 2 are wanted"]


def test_a_gateway_is_steady_when_its_proxy_runs(state):
    state["Gateway"] = {"front": ids.make("Gateway", "front", objects_pb2.Gateway(namespace="shop"))}
    assert unsteady(state) == ["gateway front: its proxy is not running yet"]
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(gateway="front", desired_status="RUNNING"))
    task.status.last_status = "RUNNING"
    state["Task"] = {"default/front-1": ids.make("Task", "default/front-1", task)}
    assert unsteady(state) == []
