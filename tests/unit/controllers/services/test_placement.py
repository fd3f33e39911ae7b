"""Tasks spread: first over zones, then over nodes with few of the same service, then over idle nodes; full nodes get none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.controllers.services.placement import NodeLoad, Place, kind_for, spread, suited
from tsunagu.v1 import objects_pb2


def names(places):
    return [place.node for place in places]


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
    assert names(spread(nodes, count)) == chosen


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=5), st.integers(0, 12))
def test_no_node_is_overfilled_and_no_room_is_wasted(sizes, count):
    nodes = [NodeLoad(f"n{index}", capacity, tasks) for index, (capacity, tasks) in enumerate(sizes)]
    chosen = names(spread(nodes, count))
    for load in nodes:
        assert chosen.count(load.name) <= load.vacancies
    assert len(chosen) == min(count, sum(load.vacancies for load in nodes))


def test_a_task_whose_container_has_no_command_goes_where_its_image_is_run():
    nodes = [NodeLoad("linux", 0), NodeLoad("docker", 0, tasks=9, runs_images=True)]
    by_command, by_image = objects_pb2.ServiceRevision(), objects_pb2.ServiceRevision(as_processes=True)
    by_command.task_definition.container_definitions.add(name="app", command=["serve"])
    by_image.task_definition.container_definitions.add(name="app", command=["serve"])
    by_image.task_definition.container_definitions.add(name="log")
    for both in (False, True):
        assert names(spread(suited(nodes, kind_for(by_image, both=both)), 2)) == ["docker", "docker"]
        assert spread(suited(nodes[:1], kind_for(by_image, both=both)), 1) == []
    assert names(spread(suited(nodes, kind_for(by_command, both=False)), 1)) == ["linux"]


def test_where_there_is_a_choice_a_task_is_processes_if_images_stand_in_for_all_of_it():
    nodes = [NodeLoad("linux", 0, tasks=9), NodeLoad("docker", 0, runs_images=True)]
    own, stood_in = objects_pb2.ServiceRevision(), objects_pb2.ServiceRevision(as_processes=True)
    for revision in (own, stood_in):
        revision.task_definition.container_definitions.add(name="app", command=["serve"])
    assert names(spread(suited(nodes, kind_for(own, both=True)), 1)) == ["docker"]
    assert names(spread(suited(nodes, kind_for(stood_in, both=True)), 1)) == ["linux"]
    assert spread(suited(nodes[1:], kind_for(stood_in, both=True)), 1) == []  # the other's image is nobody's to pull


def empty(*zones):
    return tuple((zone, 0) for zone in zones)


ZONED = [
    # one machine that stands for three zones
    ([NodeLoad("one", 0, zones=empty("a", "b", "c"))], 4, [("one", "a"), ("one", "b"), ("one", "c"), ("one", "a")]),
    ([NodeLoad("one", 0, siblings=1, zones=(("a", 1), ("b", 0)))], 1, [("one", "b")]),
    # the zone goes before the node: two nodes in a, one in b
    (
        [NodeLoad("n1", 0, zones=empty("a")), NodeLoad("n2", 0, zones=empty("a")), NodeLoad("n3", 0, zones=empty("b"))],
        4,
        [("n1", "a"), ("n3", "b"), ("n2", "a"), ("n3", "b")],
    ),
    # a full zone gets none
    ([NodeLoad("n1", 1, tasks=1, zones=empty("a")), NodeLoad("n2", 0, zones=(("b", 5),))], 1, [("n2", "b")]),
    # a node without a zone is a place of its own
    ([NodeLoad("n1", 0, zones=empty("a")), NodeLoad("n2", 0)], 2, [("n1", "a"), ("n2", "")]),
]


@pytest.mark.parametrize(("nodes", "count", "places"), ZONED)
def test_in_which_zone_tasks_go(nodes, count, places):
    assert spread(nodes, count) == [Place(*place) for place in places]


def test_a_daemon_has_a_task_on_each_node_before_it_has_one_in_each_zone():
    nodes = [NodeLoad("n1", 0, zones=empty("a", "b")), NodeLoad("n2", 0, zones=empty("a"))]
    assert names(spread(nodes, 2, daemon=True)) == ["n1", "n2"]
