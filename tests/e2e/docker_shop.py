"""The shop in containers, under load, for the tests of what dies in the docker runtime; `containers` finds them in the engine."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.shop import SHOP
from tsunagu.testing import Mesh
from tsunagu_node.runtime.docker.definition.site import MESH, PROCESS, TASK, mesh_name, network
from tsunagu_node.runtime.docker.engine import engine_api


@contextmanager
def docker_shop(engine, monkeypatch) -> Iterator[Mesh]:
    """The shop, steady, with its front published; `engine` has its images."""
    assert engine.shop
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with Mesh(SHOP, runtime="docker") as mesh:
        mesh.wait_steady(90)
        mesh.publish("web")
        yield mesh


def containers(engine, mesh: Mesh) -> dict[tuple[str, str], str]:
    """(task ID, process) -> ID of its container, of those that run."""
    label = f"{MESH}={mesh_name(mesh.home.root)}"
    found = engine_api.call(str(engine.socket), "GET", engine_api.filtered("/containers/json", label))
    return {(one["Labels"][TASK], one["Labels"][PROCESS]): one["Id"] for one in found}


def kill(engine, container: str) -> None:
    """Kill its first process, as the kernel would when memory runs out: the engine is not asked."""
    os.kill(engine_api.call(str(engine.socket), "GET", f"/containers/{container}/json")["State"]["Pid"], signal.SIGKILL)


def left(engine, root) -> list[str]:
    """What the mesh in the folder `root` has left in the engine: containers, networks, volumes."""
    label = f"{MESH}={mesh_name(root)}"
    socket = str(engine.socket)
    found = engine_api.call(socket, "GET", engine_api.filtered("/containers/json", label, "all=1&"))
    names = [one["Names"][0] for one in found]
    names += [
        one["Name"] for one in engine_api.call(socket, "GET", "/networks") if one["Name"] == network(mesh_name(root))
    ]
    volumes = engine_api.call(socket, "GET", engine_api.filtered("/volumes", label))["Volumes"] or ()
    return names + [one["Name"] for one in volumes]
