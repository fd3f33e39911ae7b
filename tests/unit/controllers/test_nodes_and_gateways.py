"""What becomes of the tasks of a lost node, and the one task of a gateway."""

import pytest

from tests.unit.controllers.world import NOW, POLICY, at, gateway, node, task
from tsunagu.controllers import task_state
from tsunagu.controllers.actions import Change, Create, Remove
from tsunagu.controllers.gateways import GatewayState, desired_spec, plan_gateway
from tsunagu.controllers.nodes import plan_gone, plan_node
from tsunagu.controllers.services.placement import NodeLoad
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2

ONE = (NodeLoad("one", 0),)


def test_the_tasks_of_a_node_that_is_gone_are_over():
    plan = plan_gone("one", [task(0), task(1, "STOPPING", desired=False), task(2, "STOPPED")], NOW)
    assert [action.obj.meta.name[-1] for action in plan.actions] == ["0", "1"]
    spec, status = plan.actions[0].obj.task.spec, plan.actions[0].obj.task.status
    assert (spec.desired_status, spec.stop_code, spec.stop_reason) == (
        "STOPPED",
        "TerminationNotice",
        "node one is gone",
    )
    assert (status.last_status, status.stopped_reason, status.stopped_at.seconds) == (
        "STOPPED",
        "node one is gone",
        NOW,
    )
    assert not task_state.has_failed(plan.actions[0].obj)


def test_a_node_whose_agent_is_silent_is_not_ready_and_nothing_else_changes():
    assert plan_node(node(), held=True).actions == ()
    [action] = plan_node(node(), held=False).actions
    assert isinstance(action, Change)
    assert (action.obj.node.state, action.obj.node.reason) == (
        "NOT_READY",
        "its agent does not answer; its tasks are left as they are",
    )
    assert plan_node(action.obj, held=False).actions == ()
    assert plan_node(action.obj, held=True).actions == ()  # its agent says when it is READY again


def proxy(of, index=0, last="RUNNING", *, desired=True, attempt=0, code="", stopped=None):
    """A task of a gateway."""
    body = objects_pb2.Task(spec=desired_spec(of.meta.name, of.gateway))
    body.spec.node, body.spec.attempt = "one", attempt
    body.spec.desired_status = "RUNNING" if desired else "STOPPED"
    body.status.last_status, body.status.stop_code = last, code
    if stopped is not None:
        body.status.stopped_at.FromMicroseconds(int((NOW - stopped) * 1e6))
    return at(ids.make("Task", f"default/front-{index}", body), 20 + index)


def planned(of, *tasks, nodes=ONE, now=NOW):
    return plan_gateway(GatewayState("front", of, tasks, nodes), now, POLICY)


def test_a_gateway_gets_one_task_with_its_ports():
    front = gateway(8080, 8443)
    [action] = planned(front).actions
    assert isinstance(action, Create)
    spec = action.obj.task.spec
    assert (spec.cluster, spec.service, spec.service_revision, spec.gateway) == ("default", "", "", "front")
    assert (spec.namespace, spec.node, spec.desired_status) == ("shop", "one", "RUNNING")
    assert [port.host_port for port in spec.publish] == [8080, 8443]
    assert planned(front, at(action.obj, 30)).actions == ()


@pytest.mark.parametrize("last", ["RUNNING", "DEACTIVATING", "STOPPING"])
def test_the_ports_must_be_free_before_the_next_task_is_started(last):
    before = gateway(8080)
    after = gateway(9090, revision=2)
    plan = planned(after, proxy(before, last=last))
    assert [type(action) for action in plan.actions] == [Change]
    assert plan.actions[0].obj.task.spec.stop_reason == "Gateway front has changed"
    assert planned(after, proxy(before, last=last, desired=False)).actions == ()
    [action] = planned(after, proxy(before, last="STOPPED", desired=False, stopped=0)).actions
    assert isinstance(action, Create)


def test_a_gateway_that_keeps_failing_waits_longer_each_time():
    front = gateway(8080)
    failed = proxy(front, last="STOPPED", code="TaskFailedToStart", attempt=3, stopped=1)
    plan = planned(front, failed)
    assert (plan.actions, plan.wake_at) == ((), NOW + 3)
    [action] = planned(front, failed, now=NOW + 3).actions
    assert action.obj.task.spec.attempt == 4
    assert action.obj.meta.name != failed.meta.name


def test_without_a_node_it_waits():
    assert planned(gateway(8080), nodes=()).actions == ()


def test_a_deleted_gateway_takes_its_tasks_with_it():
    front = gateway(8080)
    plan = planned(None, proxy(front, 0), proxy(front, 1, "STOPPED", stopped=5))
    assert [type(action) for action in plan.actions] == [Change, Remove]
