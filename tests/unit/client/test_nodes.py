"""Which nodes may be deleted: those that are lost, when their tasks can go elsewhere."""

import pytest

from tsunagu.client.nodes import why_not
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2


def node(name, state="READY", capacity=0):
    return ids.make("Node", name, objects_pb2.Node(state=state, task_capacity=capacity))


def task(index, on, status="RUNNING"):
    body = objects_pb2.Task(spec=objects_pb2.TaskSpec(node=on), status=objects_pb2.TaskStatus(last_status=status))
    return ids.make("Task", f"default/web-{index}", body)


LOST = node("lost", "NOT_READY")
TASKS = [task(0, "lost"), task(1, "lost"), task(2, "lost", "STOPPED"), task(3, "other")]


@pytest.mark.parametrize("others", [[node("other")], [node("other", capacity=3)]])
def test_a_lost_node_whose_tasks_can_go_elsewhere_may_be_deleted(others):
    assert why_not(LOST, [LOST, *others], TASKS) is None


def test_so_may_a_lost_node_without_tasks():
    assert why_not(LOST, [LOST], [task(0, "lost", "STOPPED")]) is None


@pytest.mark.parametrize(
    ("others", "free"),
    [
        ([], "no other node has room"),
        ([node("other", "NOT_READY")], "no other node has room"),
        ([node("other", capacity=2)], "the other nodes have room for 1"),
    ],
)
def test_a_lost_node_whose_tasks_cannot_go_elsewhere_may_not(others, free):
    reason, right = why_not(LOST, [LOST, *others], TASKS)
    assert reason == f"node lost may still run 2 tasks, which would be given up, and {free}"
    assert right == "wait for its agent, or give them up with --force"


def test_a_ready_node_may_not():
    reason, _ = why_not(node("other"), [LOST, node("other")], TASKS)
    assert reason == "node other is READY: its agent would register it again"
