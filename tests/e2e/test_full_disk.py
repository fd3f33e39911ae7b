"""A disk that is truly full: a file system of a few MiB, filled to its last byte, below a mesh's home.

Nothing that runs is touched by it, nothing that was acknowledged is lost, whoever asks is told what is wrong, and when there is
room again everything goes on by itself. (`tests/unit/registry/stores/test_sqlite.py` has the same for single writes.)
"""

import asyncio
import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.e2e.test_cli import APP, MANIFEST, left
from tsunagu.client.connection import connected
from tsunagu.model import ids
from tsunagu.settings import Home
from tsunagu.testing.ports import free_port
from tsunagu.v1 import objects_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

_MIB = 24
_ROOM = 512 << 10  # for what is acknowledged before the first refusal
_UNWRITABLE = "the registry could not be written"
_PATIENCE = 60.0


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A file system of its own. Short: the path of a Unix socket may have 107 bytes."""
    if os.getuid() != 0:
        pytest.skip("only root mounts a file system")
    folder = Path(tempfile.mkdtemp(prefix="full-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_MIB}m,mode=755", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def fill(disk: Path, room: int = 0) -> None:
    """Take every byte that is left, but for `room`."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    if file.write(b"x" * size) < size:
                        break
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
        file.truncate(file.tell() - room)


def make_room(disk: Path) -> None:
    (disk / "filler").unlink()


def tsunagu(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tsunagu.cli", str(words[0]), "--home", str(home), *map(str, words[1:])]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def image(name: str) -> objects_pb2.Object:
    """An object that fills some pages of the registry."""
    return ids.make("Image", name, objects_pb2.Image(pattern=f"none-of-{name}", command=["x" * 30_000]))


class Mesh:
    """A mesh whose home is on the small disk."""

    def __init__(self, disk: Path, manifest: Path, port: int) -> None:
        self.disk, self.home, self.manifest, self.port = disk, disk / "m", manifest, port

    def answers(self) -> bool:
        """A 503 is none: an app may just be replaced."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            return answer.read() == b"first"
        return False

    def serve(self) -> psutil.Process:
        module, home = "tsunagu.cli.local.control_plane", str(self.home)
        return next(one for one in psutil.process_iter(["cmdline"]) if {module, home} <= set(one.info["cmdline"] or ()))

    def agent(self) -> psutil.Process:
        (node,) = json.loads(tsunagu(self.home, "get", "nodes", "-o", "json").stdout)
        return psutil.Process(node["pid"])

    def running(self) -> list[str]:
        done = tsunagu(self.home, "ps", "web", "-o", "json")
        found = json.loads(done.stdout) if done.returncode == 0 else []
        return [one["name"].rpartition("/")[2] for one in found if one["status"]["lastStatus"] == "RUNNING"]

    def pid_of_the_app(self) -> int:
        (task,) = json.loads(tsunagu(self.home, "ps", "web", "-o", "json").stdout)
        return task["status"]["containers"][0]["pid"]

    def write_until_refused(self) -> tuple[list[str], str]:
        """Names of what was acknowledged, and the words of the refusal."""
        return asyncio.run(self._write_until_refused())

    async def _write_until_refused(self) -> tuple[list[str], str]:
        written: list[str] = []
        async with connected(Home(self.home)) as link:
            for number in range(2000):
                try:
                    await link.registry.put(image(f"filler-{number}"))
                except Exception as error:  # noqa: BLE001 - which one is what the test looks at
                    return written, str(error)
                written.append(f"filler-{number}")
        raise AssertionError("the disk is never full")

    def write(self, name: str) -> None:
        """Write an object. Raises ClientError when that is refused."""
        asyncio.run(self._write(name))

    async def _write(self, name: str) -> None:
        async with connected(Home(self.home)) as link:
            await link.registry.put(image(name))

    def images(self) -> set[str]:
        done = tsunagu(self.home, "get", "images", "-o", "json")
        assert done.returncode == 0, done.stderr
        return {one["name"] for one in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def mesh(disk, tmp_path_factory) -> Iterator[Mesh]:
    manifest = tmp_path_factory.mktemp("manifests") / "web.yaml"
    manifest.write_text(MANIFEST.format(python=json.dumps(sys.executable), app=json.dumps(APP)))
    made = Mesh(disk, manifest, free_port())
    done = tsunagu(made.home, "up", manifest, "--detach", "--publish", f"{made.port}=web:80")
    assert "steady after" in done.stdout, done.stdout + done.stderr
    yield made
    (disk / "filler").unlink(missing_ok=True)
    assert tsunagu(made.home, "down").returncode == 0
    assert left(made.home) == []


@pytest.fixture
def full(mesh) -> Iterator[tuple[list[str], str]]:
    """The disk is full while a test runs: what was acknowledged before, and how the first refusal was told."""
    fill(mesh.disk, _ROOM)
    try:
        written, refusal = mesh.write_until_refused()
        fill(mesh.disk)
        yield written, refusal
    finally:
        (mesh.disk / "filler").unlink(missing_ok=True)


@pytest.mark.slow("a disk is filled, and what failed meanwhile is tried again later and later")
def test_what_is_refused_says_why_and_what_was_acknowledged_stays(mesh, full):
    written, refusal = full
    assert written
    assert "full" in refusal
    refused = tsunagu(mesh.home, "apply", "--set", f"web/BIG={'x' * 60_000}", mesh.manifest)
    assert refused.returncode == 1
    assert "full" in refused.stderr
    assert "Traceback" not in refused.stderr
    listed = tsunagu(mesh.home, "ps")
    assert _UNWRITABLE in listed.stderr
    assert "full" in listed.stderr
    assert mesh.answers()
    make_room(mesh.disk)
    until(lambda: tsunagu(mesh.home, "scale", "web=2").returncode == 0, "a write")
    assert tsunagu(mesh.home, "wait", "--steady", "--timeout", "60").returncode == 0
    assert _UNWRITABLE not in tsunagu(mesh.home, "ps").stderr
    assert set(written) <= mesh.images()
    assert f"filler-{len(written)}" not in mesh.images()
    tsunagu(mesh.home, "scale", "web=1")
    assert tsunagu(mesh.home, "wait", "--steady", "--timeout", "60").returncode == 0


@pytest.mark.slow("a disk is filled, and a task has to be replaced once there is room")
def test_an_app_that_dies_meanwhile_is_replaced_when_there_is_room_and_the_node_agent_goes_on(mesh, full):
    agent = mesh.agent()
    (task,) = mesh.running()
    psutil.Process(mesh.pid_of_the_app()).kill()
    # What is small may still fit into the space that the journal has: then nothing is wrong for the moment.
    until(lambda: mesh.write_until_refused() and _UNWRITABLE in tsunagu(mesh.home, "ps").stderr, "the cause")
    make_room(mesh.disk)
    until(lambda: (now := mesh.running()) and task not in now, "another task")
    until(mesh.answers, "an answer")
    assert agent.is_running()
    stopped = tsunagu(mesh.home, "ps", "--all").stdout
    assert "with code 137" in next(line for line in stopped.splitlines() if task in line)
    assert tsunagu(mesh.home, "wait", "--steady", "--timeout", "60").returncode == 0


@pytest.mark.slow("a disk is filled, and a control plane has to start on it")
def test_a_control_plane_that_starts_on_a_full_disk_says_what_is_wrong_and_has_lost_nothing(mesh, full):
    written, _ = full
    serve = mesh.serve()
    serve.kill()
    serve.wait(60)
    until(mesh.running, "an answer of the control plane")
    more, refusal = mesh.write_until_refused()
    assert "full" in refusal
    assert _UNWRITABLE in tsunagu(mesh.home, "ps").stderr
    assert mesh.answers()
    make_room(mesh.disk)
    until(lambda: tsunagu(mesh.home, "wait", "--steady", "--timeout", "5").returncode == 0, "a steady mesh")
    assert {*written, *more} <= mesh.images()
    assert mesh.answers()
    mesh.write("last")
    assert _UNWRITABLE not in tsunagu(mesh.home, "ps").stderr
