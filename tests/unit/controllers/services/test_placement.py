"""Tasks spread: first over nodes with few of the same service, then over idle nodes; full nodes get none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.controllers.services.placement import NodeLoad, spread, suited
from tsunagu.v1 import objects_pb2


@pytest.mark.parametrize(
    ("nodes", "count", "chosen"),
    [
        ([], 2, []),
        ([NodeLoad("a", 0)], 3, ["a", "a", "a"]),
        ([NodeLoad("b", 0), NodeLoad("a", 0)], 3, ["a", "b", "a"]),
        ([NodeLoad("a", 0, tasks=1, siblings=1), NodeLoad("b", 0, tasks=9)], 1, ["b"]),
        ([NodeLoad("a", 0, tasks=5), NodeLoad("b", 0, tasks=2)], 1, ["b"]),
        ([NodeLoad("a", 2, tasks=1), NodeLoad("b", 1, tasks=1)], 3, ["a"]),
        ([NodeLoad("a", 1, tasks=4)], 1, []),
    ],
)
def test_where_tasks_go(nodes, count, chosen):
    assert spread(nodes, count) == chosen


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=5), st.integers(0, 12))
def test_no_node_is_overfilled_and_no_room_is_wasted(sizes, count):
    nodes = [NodeLoad(f"n{index}", capacity, tasks) for index, (capacity, tasks) in enumerate(sizes)]
    chosen = spread(nodes, count)
    for load in nodes:
        assert chosen.count(load.name) <= load.vacancies
    assert len(chosen) == min(count, sum(load.vacancies for load in nodes))


def test_a_task_whose_container_has_no_command_goes_where_its_image_is_run():
    nodes = [NodeLoad("linux", 0), NodeLoad("docker", 0, tasks=9, runs_images=True)]
    by_command, by_image = objects_pb2.ServiceRevision(), objects_pb2.ServiceRevision()
    by_command.task_definition.container_definitions.add(name="app", command=["serve"])
    by_image.task_definition.container_definitions.add(name="app", command=["serve"])
    by_image.task_definition.container_definitions.add(name="log")
    assert spread(suited(nodes, by_command), 1) == ["linux"]
    assert spread(suited(nodes, by_image), 2) == ["docker", "docker"]
    assert spread(suited(nodes[:1], by_image), 1) == []
