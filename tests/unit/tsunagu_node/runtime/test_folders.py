"""Where a node agent keeps what is its own."""

from pathlib import Path

from tsunagu_node.runtime.folders import Folders

HOME = Path("/home/me/mesh")


def test_the_only_node_of_a_mesh_has_the_mesh_s_folder():
    folders = Folders.of(HOME)
    assert (folders.task("web-1"), folders.socket, folders.log) == (
        HOME / "tasks" / "web-1",
        HOME / "node.sock",
        HOME / "log" / "node.log",
    )


def test_of_several_each_has_its_own_and_all_share_the_mesh_s():
    folders = Folders.of(HOME, "docker")
    assert (folders.mesh, folders.node) == (HOME, HOME / "nodes" / "docker")
    assert (folders.tasks, folders.log) == (HOME / "nodes/docker/tasks", HOME / "log" / "node-docker.log")
