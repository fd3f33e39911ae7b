"""What a command tells beside its answer: a registry that cannot be written, lost nodes, versions that differ."""

from tsunagu.cli.notices import notices
from tsunagu.model import ids
from tsunagu.v1 import inspector_pb2, objects_pb2

FULL = "the registry could not be written to /m/registry.db: database or disk is full"


def told(version="1", problem="", own="1", **node):
    info = inspector_pb2.InfoResponse(version=version, problem=problem)
    nodes = [ids.make("Node", "laptop", objects_pb2.Node(**node))] if node else []
    return list(notices(info, nodes, own))


def test_of_a_mesh_that_is_well_nothing_is_told():
    assert told(version="1", own="1", state="READY") == []


def test_a_registry_that_cannot_be_written_makes_what_is_shown_old():
    """A task may have died meanwhile whose status says RUNNING."""
    assert told(problem=FULL) == [
        f"{FULL}; what is shown may be older than what is",
    ]


def test_a_lost_node_is_told():
    assert told(state="NOT_READY", reason="its agent does not answer") == [
        "node laptop is NOT_READY: its agent does not answer"
    ]
    assert told(state="READY", reason="its watch of Task objects fails") == [
        "node laptop is READY: its watch of Task objects fails"
    ]


def test_versions_that_differ_are_told():
    assert told(own="2") == [
        "the control plane is tsunagu 1, this command 2; end the mesh and start it anew with one version"
    ]


def test_an_agent_of_another_version_is_told():
    info = inspector_pb2.InfoResponse(version="1")
    node = ids.make("Node", "laptop", objects_pb2.Node(state="READY", version="0"))
    assert list(notices(info, [node], "1")) == ["the agent of node laptop is tsunagu 0, the control plane 1"]
